//! The HTTP face from outside: a whole service in this process, over real connections.

mod access;
mod beats;
mod canary;
mod doubts;
mod events;
mod hands;
mod notices;
mod pages;
mod presets;
mod schema;
mod scope;
mod sides;
mod sync;
mod tls;
mod world;
