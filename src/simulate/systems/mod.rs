//! The systems that can be simulated besides the plain REST one: each speaks as its original does, and
//! keeps its tickets in the same books.
//!
//! What always holds: a system is a translation. Faults, ledger and order are those of the plain one;
//! only how they look to a client differs. What the ledger needs of a ticket stands in it under the
//! plain names (`correlation_key`, `summary`, `status` with `open` or `closed`), besides the system's
//! own.
//!
//! What it leaves to others: counting and fate (`books`, `fate`).

mod oceane;
mod osb;
mod redmine;
mod rt;
mod s360;
mod tixngo;
mod usms;
mod xml;

use actix_web::web::{self, ServiceConfig};
use serde_json::Value;

use super::handlers;
use super::settings::System;
use super::tickets::{Fields, IdOf};

/// A ticket that somebody made without a key of ours.
const UNKEYED: &str = "unkeyed";

/// Where a system's ticket calls lie.
pub(super) fn scope(system: System) -> &'static str {
    match system {
        System::Rest => "/{backend}/tickets",
        _ => "/{backend}",
    }
}

/// The ticket calls of a system.
pub(super) fn routes(system: System, config: &mut ServiceConfig) {
    match system {
        System::Rest => {
            config
                .route("", web::post().to(handlers::create))
                .route("", web::get().to(handlers::search))
                .route("/changes", web::get().to(handlers::changes))
                .route("/{id}", web::get().to(handlers::get))
                .route("/{id}", web::delete().to(handlers::delete))
                .route("/{id}", web::patch().to(handlers::update));
        }
        System::Usms => usms::routes(config),
        System::TelenetOsb => osb::routes(config),
        System::Oceane => oceane::routes(config),
        System::RequestTracker => rt::routes(config),
        System::Redmine => redmine::routes(config),
        System::Tixngo => tixngo::routes(config),
        System::S360 => s360::routes(config),
    }
}

/// What a system answers that is no ticket call.
pub(super) fn aside(system: System, config: &mut ServiceConfig) {
    if system == System::Oceane {
        oceane::aside(config);
    }
}

/// How a system makes its ids; none: as the plain one.
pub(super) fn id_of(system: System) -> Option<IdOf> {
    match system {
        System::Rest | System::TelenetOsb | System::Oceane => None,
        System::Usms => Some(usms::id_of),
        System::RequestTracker | System::Redmine | System::Tixngo | System::S360 => Some(number),
    }
}

/// How coarse a system's times are, in milliseconds, and whether an update that changes nothing moves them.
pub(super) fn changes_of(system: System) -> (i64, bool) {
    match system {
        System::Redmine => (1_000, true),
        System::RequestTracker => (1_000, false),
        System::Rest
        | System::Usms
        | System::TelenetOsb
        | System::Oceane
        | System::Tixngo
        | System::S360 => (1, false),
    }
}

fn number(_: &str, number: u64, _: &Fields) -> String {
    number.to_string()
}

/// A field as text.
fn text<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A key for a ticket that brings none: the ledger must not take two of them for doubles.
fn key_or_none(key: &str, count: u64) -> String {
    if key.is_empty() { format!("{UNKEYED}-{}", count + 1) } else { key.to_owned() }
}
