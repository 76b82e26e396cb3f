//! One rule of policy: which alarms it means, and what it wants for them.

use super::ways::Ways;
use crate::logic::expression::Expression;
use crate::model::{AlarmEvent, BackendId, Kind, Severity, Timestamp};
use minijinja::Value;

/// One rule: the first that matches an alarm decides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// Shown in `explain`; its own.
    pub name: String,
    /// Matches the source: `*` stands for any characters.
    pub source: Option<String>,
    /// Matches the managed object: `*` stands for any characters.
    pub object: Option<String>,
    /// Matches any of these severities; none: all.
    pub severity: Vec<Severity>,
    /// Matches where this is true.
    pub when: Option<Expression>,
    /// No ticket, for this reason. With an end (`until`): none before that, and then only for what is
    /// still active.
    pub no_ticket: Option<String>,
    /// From then on the rule matches nothing.
    pub until: Option<Timestamp>,
    /// Which backend; none: the default one.
    pub backend: Option<BackendId>,
    /// Which kind of ticket.
    pub kind: Kind,
    /// Alarms with the same value of this share a ticket while it is open.
    pub group_by: Option<Expression>,
    /// How their tickets are treated: the policy's ways with the rule's own over them.
    pub ways: Ways,
}

impl Rule {
    /// Does it mean that alarm? `seen` gives what expressions see; it is asked only if there is one.
    pub fn matches(
        &self,
        event: &AlarmEvent,
        seen: impl FnOnce() -> Value,
        now: Timestamp,
    ) -> bool {
        let text = |pattern: &Option<String>, value: &str| {
            pattern.as_ref().is_none_or(|pattern| glob(pattern, value))
        };
        self.until.is_none_or(|end| now < end)
            && text(&self.source, &event.alarm.source)
            && text(&self.object, &event.details.object)
            && (self.severity.is_empty()
                || event.details.severity.is_some_and(|is| self.severity.contains(&is)))
            && self.when.as_ref().is_none_or(|when| when.holds(&seen()))
    }
}

/// Matches a whole text against a pattern in which `*` stands for any characters.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text, matches) in [
            ("probe", "probe", true),
            ("probe", "probes", false),
            ("probe*", "probes", true),
            ("*", "", true),
            ("a*b*c", "a--b--c", true),
            ("a*b*c", "a--c--b", false),
            ("*-tx", "north-tx", true),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(glob(pattern, text), matches, "{pattern} on {text}");
        }
    }
}
