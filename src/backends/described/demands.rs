//! What the calls of a description must be able to do together.
//!
//! What always holds: the calls that the capability relies on are there, and carry what a ticket is
//! found by. A backend that is called searchable and is not told our key would read as "absent" for
//! ever, and be sent every ticket twice. What a field that adds up is sent with names its request, so
//! that a repeat can be told from a second note.

use super::compiler::Compiler;
use super::plan::Operation;
use super::variables::{NAMES, NAMES_OF_CHANGES};
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
        let of_changes = *operation == Operation::Changes;
        let there = if of_changes { NAMES_OF_CHANGES } else { NAMES };
        let plain = names.iter().filter(|name| !name.contains('.'));
        for name in plain.filter(|name| !there.contains(&name.as_str())) {
            let problem = format!("a template uses {name}; there are: {}", there.join(", "));
            compiler.wrong(operation.name(), problem);
        }
        let asks_since = !of_changes && names.contains("since");
        compiler.wrong_if(asks_since, operation.name(), "only [backend.changes] has since");
    }
    kept(compiler, wire, used);
    adds_up(compiler, wire, used);
    // A call that could not be compiled would seem to carry nothing.
    if compiler.is_right() {
        finds_again(compiler, capability, used);
    }
}

/// A step that is not there, or keeps nothing of that name, would only be missed in the middle of a write.
fn kept(compiler: &mut Compiler<'_>, wire: &WireDescription, used: &Used) {
    for (operation, names) in used {
        let Some(call) = operation.described(wire) else { continue };
        let steps: BTreeMap<&str, Vec<&str>> = (call.before.iter().chain(&call.after))
            .filter_map(|step| {
                let keeps = step.keep.keys().map(String::as_str).collect();
                Some((step.name.as_deref()?, keeps))
            })
            .collect();
        for name in names.iter().filter_map(|name| name.strip_prefix("kept.")) {
            let mut parts = name.split('.');
            let (step, what) = (parts.next().unwrap_or_default(), parts.next());
            match (steps.get(step), what) {
                (None, _) => {
                    let there: Vec<_> = steps.keys().copied().collect();
                    let problem =
                        format!("kept.{step}: no step is called so; there are: {there:?}");
                    compiler.wrong(operation.name(), problem);
                }
                (Some(keeps), Some(what)) if !keeps.contains(&what) => {
                    let problem = format!("kept.{step}.{what}: that step keeps {keeps:?}");
                    compiler.wrong(operation.name(), problem);
                }
                _ => {}
            }
        }
    }
}

/// Fields that writes send and no answer is read for: after a lost answer, nobody can tell whether they
/// arrived.
pub(super) fn unread(wire: &WireDescription, used: &Used) -> Vec<String> {
    let Some(get) = &wire.get else { return Vec::new() };
    let is_read =
        |name: &str| wire.read.fields.contains_key(name) || get.read.fields.contains_key(name);
    let writes = [Operation::Update, Operation::Close];
    let sent = writes.iter().filter_map(|operation| used.get(operation)).flatten();
    let fields: BTreeSet<&str> = sent.filter_map(|name| name.strip_prefix("fields.")).collect();
    fields.into_iter().filter(|name| !is_read(name)).map(str::to_owned).collect()
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
        Capability::Partner => {
            compiler.wrong("capability", "this is of type = \"partner\" alone");
            return;
        }
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
