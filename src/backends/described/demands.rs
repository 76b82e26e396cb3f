//! What the calls of a description must be able to do together.
//!
//! What always holds: the calls that the capability relies on are there, and carry what a ticket is
//! found by. A backend that is called searchable and is not told our key would read as "absent" for
//! ever, and be sent every ticket twice. What a field that adds up is sent with names its request, so
//! that a repeat can be told from a second note.

use super::compiler::Compiler;
use super::plan::Operation;
use super::variables::NAMES;
use super::wire::WireDescription;
use std::collections::{BTreeMap, BTreeSet};
use ticketgate_actors::logic::lane::Capability;

/// The variables that each operation's templates use; `fields.note` besides `fields`.
pub(super) type Used = BTreeMap<Operation, BTreeSet<String>>;

/// Notes what is missing.
pub(super) fn check(
    compiler: &mut Compiler<'_>,
    capability: Capability,
    wire: &WireDescription,
    used: &Used,
) {
    for (operation, names) in used {
        let plain = names.iter().filter(|name| !name.contains('.'));
        for name in plain.filter(|name| !NAMES.contains(&name.as_str())) {
            let problem = format!("a template uses {name}; there are: {}", NAMES.join(", "));
            compiler.wrong(operation.name(), problem);
        }
    }
    adds_up(compiler, wire, used);
    // A call that could not be compiled would seem to carry nothing.
    if compiler.is_right() {
        finds_again(compiler, capability, used);
    }
}

fn adds_up(compiler: &mut Compiler<'_>, wire: &WireDescription, used: &Used) {
    for (operation, names) in used {
        // The table of doubt repeats these; a create it looks for instead.
        if operation.is_read() || *operation == Operation::Create {
            continue;
        }
        for field in &wire.append {
            let sends = names.contains(&format!("fields.{field}"));
            compiler.wrong_if(
                sends && !names.contains("request_id"),
                operation.name(),
                &format!("what it sends of {field} must name its request: use request_id"),
            );
        }
    }
}

fn finds_again(compiler: &mut Compiler<'_>, capability: Capability, used: &Used) {
    let (look, sent, looked_by): (_, &[&str], &[&str]) = match capability {
        Capability::None => return,
        Capability::IdempotencyKey => (None, &["correlation_key", "key", "request_id"], &[]),
        Capability::ClientId => (Some(Operation::Get), &["key"], &["backend_id"]),
        Capability::Searchable => {
            (Some(Operation::Search), &["correlation_key"], &["correlation_key", "where"])
        }
    };
    let uses = |operation: Operation, any: &[&str]| {
        used.get(&operation).is_none_or(|used| any.iter().any(|name| used.contains(*name)))
    };
    if !uses(Operation::Create, sent) {
        let problem = format!("with this capability it must send {}", sent.join(" or "));
        compiler.wrong("create", problem);
    }
    let Some(look) = look else { return };
    if !used.contains_key(&look) {
        compiler.wrong("capability", format!("this needs [backend.{}]", look.name()));
    } else if !uses(look, looked_by) {
        compiler.wrong(look.name(), format!("it must ask by {}", looked_by.join(" or ")));
    }
}
