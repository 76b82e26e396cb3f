//! Nobody edits any more: all is carried to its end, a full pass is made, and two people fight a duel.

use super::super::Broken;
use super::Cast;
use crate::model::{Fields, Timestamp};
use serde_json::Value;
use std::time::Duration;

/// Rounds within which everybody must have come to rest.
const ROUNDS_MAX: u32 = 40;
/// More than that many pages, or requests, have no end.
const AT_ONCE_MAX: u32 = 500;

impl Cast {
    /// A full pass over what both sides have says nothing, and writes nothing.
    pub fn full_pass(&mut self) -> Result<(), Broken> {
        // What was never compared since it was merged is verified by the first; and what a source writes in
        // its own way is written once more by some.
        for last in [false, false, false, false, true] {
            let before = (self.rows.all_events().count(), self.system.written);
            self.lose_the_place()?;
            self.all_of("pages", |cast| cast.read_page(false))?;
            self.all_of("requests", |cast| Ok(cast.lane(false)))?;
            let after = (self.rows.all_events().count(), self.system.written);
            if last && before != after {
                let what =
                    format!("{} events and {} writes", after.0 - before.0, after.1 - before.1);
                return Err(Broken { rule: "S3", what: format!("a full pass made {what}") });
            }
        }
        Ok(())
    }

    /// Two people change one field, one on each side, one later: the later one's value is kept, whatever
    /// the clocks say (rule S2). At one time, what is here stays (rule S4).
    pub fn duel(&mut self) -> Result<(), Broken> {
        let field = if self.system.shouts == Some("c") { "d" } else { "c" };
        let known: Vec<String> = self.element.table.keys().cloned().collect();
        if known.is_empty() {
            return Ok(());
        }
        let id = known[self.dice.usize(..known.len())].clone();
        let there_last = self.dice.bool();
        self.now_ms += 60_000;
        for there in [!there_last, there_last] {
            let value = if there { "there" } else { "connector" };
            let fields = Fields::from_iter([(field.to_owned(), Value::from(value))]);
            self.tell(|| format!("duel over {id}.{field}: {value}"));
            let now = self.now();
            if there {
                self.note(&id, "there", &fields, &Fields::new());
                self.system.edit(&id, &fields, now, Duration::ZERO);
            } else {
                let at = self.element.clock(now);
                self.set_at_the_connector(&id, fields, at);
            }
            self.now_ms += 30_000;
        }
        self.quiet()?;
        let won = if there_last { "there" } else { "connector" };
        self.has(&id, field, won, "S2", "was changed last")?;
        if there_last || self.feed.rules.three_way {
            return Ok(());
        }
        let key = self.rows.all_tickets().find(|it| it.backend_id.as_ref() == Some(&id));
        let edited = key.map(|ticket| ticket.edited()).unwrap_or_default();
        let ahead = self.element.ahead_ms;
        let at = Timestamp::from_millis(edited.as_nanos() / 1_000_000 + ahead);
        self.tell(|| format!("duel over {id}.{field}: at the time of the last change"));
        let fields = Fields::from_iter([(field.to_owned(), Value::from("tie"))]);
        self.set_at_the_connector(&id, fields, at);
        self.message(false)?;
        self.has(&id, field, won, "S4", "was here, at the same time")?;
        self.quiet()
    }

    pub(super) fn has(
        &self,
        id: &str,
        field: &str,
        value: &str,
        rule: &'static str,
        why: &str,
    ) -> Result<(), Broken> {
        let ticket = self.rows.all_tickets().find(|it| it.backend_id.as_deref() == Some(id));
        let ours = ticket.and_then(|ticket| ticket.fields.get(field).cloned());
        match ours.as_ref().and_then(Value::as_str) == Some(value) {
            true => Ok(()),
            false => {
                Err(Broken { rule, what: format!("{id}.{field} is {ours:?}, but {value} {why}") })
            }
        }
    }

    /// Does something until there is no more of it to do.
    pub(super) fn all_of(
        &mut self,
        what: &str,
        mut one: impl FnMut(&mut Self) -> Result<bool, Broken>,
    ) -> Result<(), Broken> {
        for _ in 0..AT_ONCE_MAX {
            if !one(self)? {
                return Ok(());
            }
        }
        Err(Broken { rule: "S5", what: format!("no end of {what} though nobody edits") })
    }

    /// Nobody edits any more: everything is carried to its end.
    pub fn quiet(&mut self) -> Result<(), Broken> {
        self.tell(|| "quiet".into());
        self.wire.astray.clear();
        self.reader.dies();
        self.unskip();
        self.late_pages.clear();
        let mut at_rest_for = 0;
        for _ in 0..ROUNDS_MAX {
            let before =
                (self.system.written, self.element.table.clone(), self.system.rows.clone());
            self.now_ms += 700_000;
            self.all_of("pages", |cast| cast.read_page(false))?;
            self.all_of("requests", |cast| Ok(cast.lane(false)))?;
            self.held(false);
            self.all_of("requests", |cast| Ok(cast.lane(false)))?;
            self.sweep()?;
            self.message(false)?;
            self.message(false)?;
            let after = (self.system.written, self.element.table.clone(), self.system.rows.clone());
            at_rest_for = if before == after { at_rest_for + 1 } else { 0 };
            if at_rest_for == 4 {
                return Ok(());
            }
        }
        Err(Broken { rule: "S5", what: format!("not at rest after {ROUNDS_MAX} quiet rounds") })
    }
}
