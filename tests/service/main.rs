//! The service from outside: real processes, held to what they promise on the wire.
//!
//! A [`world::World`] runs the binary with a data folder of its own beside simulated ticketing
//! systems, whose ledger knows nothing of Ticketgate, and a private RabbitMQ. Alarm systems and
//! subscribers are Python programs over pika (`tests/pika`), so that nothing here can agree with
//! itself about a format. Work is waited for by looking until it is there; no time is asserted.
//!
//! Needs Debian's `rabbitmq-server`, `python3-pika`, `python3-msgpack`, `prometheus-alertmanager`
//! and `syslog-ng` (`scripts/install-test-needs`).

mod alarms;
mod by_hand;
mod canary;
mod clients;
mod command_line;
mod commands;
mod crowd;
mod dice;
mod element;
mod exactly_once;
mod face;
mod feed;
mod first_day;
mod forced;
mod foreign;
mod history;
mod later;
mod locked_out;
mod locks;
mod million;
mod plain_answers;
mod policy;
mod process;
mod programs;
mod refusals;
mod reload;
mod replies;
mod restarts;
mod routes;
mod scripts;
mod services;
mod stopping;
mod subscribers;
mod telenet;
mod torture;
mod verdict;
mod world;

#[path = "../support/rabbit.rs"]
mod rabbit;
