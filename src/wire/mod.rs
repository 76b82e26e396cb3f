//! The wire's formats (CONTRACT 1.2 to 1.4, 1.6): what goes through RabbitMQ, and alarms over HTTP.
//!
//! Exactly one file knows each format; the model and the actors never see one. Everything in here
//! is a function of bytes: no clock, no broker, no await. Bad input is data: a [`Malformed`] that
//! names the field at fault, never a panic.
//!
//! [`Malformed`]: ticketgate_actors::ports::Malformed

mod alarm_in;
mod alarms_json;
mod answer_out;
mod asyncapi;
mod beat;
mod canary;
mod codec;
mod command_in;
mod decoder;
mod event_out;
mod later_in;
mod reader;
mod sync;
mod tree;

pub use alarm_in::{FIELDS as ALARM_FIELDS, said as alarm_from_fields, severity_words};
pub use alarms_json::{MAX_EVENTS, alarms_from_json};
pub use answer_out::{AnswerOut, answer, found};
pub use asyncapi::{Place, asyncapi, yaml};
pub use codec::{Encoding, MAX_BODY};
pub use command_in::command_from_json;
pub use decoder::Decoder;
pub use event_out::{Encoded, Exchange, encode, ticket_json};
pub use later_in::{later_from_fields, later_from_json};
pub use sync::{field_name, sync_answer, sync_from_json};
