//! The connector: it tells what changed in its table, in messages that are doubled, overtaken or lost, and
//! takes what it is answered, soon or late. Now and then it names all that it has, in pages.

use super::super::Broken;
use super::super::sides::Copy;
use super::wire::Sent;
use super::{Cast, brief};
use crate::changes::{Applied, Change, Message, Record};
use crate::model::{Fields, Kind, STATUS, SyncAnswer, Timestamp, Told};
use std::collections::{BTreeMap, BTreeSet};

impl Cast {
    /// The connector tells what changed in its table, and takes its answer.
    pub(super) fn message(&mut self, faults: bool) -> Result<(), Broken> {
        if let Some((message, answer)) = self.wire.inbox.take() {
            self.tell(|| format!("the answer to {} is taken", message.id));
            self.was_told(&message);
            self.take_answer(&answer);
            if faults {
                return Ok(());
            }
        }
        if faults && !self.wire.astray.is_empty() && self.dice.u8(..2) == 0 {
            return self.comes_astray();
        }
        let complete = self.dice.u8(..5) == 0 || !faults;
        let sent = self.compose(complete, faults);
        self.tell(|| {
            let message = &sent.message;
            let whole = if message.complete { ", complete" } else { "" };
            let pass = message.pass.as_deref().unwrap_or("-");
            format!("message {} {pass}{whole}: {:?}", message.id, brief(&message.records))
        });
        if faults {
            match self.dice.u8(..10) {
                // Delivered twice.
                0 => self.wire.astray.push(sent.clone()),
                // Overtaken by those after it.
                1 => {
                    let simple = !self.element.careful;
                    // One that says nothing of what it has taken has no two under way.
                    if !(simple && self.wire.under_way.is_some()) {
                        self.wire.under_way = Some(sent.message.id.clone());
                        self.wire.astray.push(sent);
                        // A page that is not answered ends its pass.
                        self.element.pass = None;
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
        while let Some(answered) = self.deliver(&sent, faults)? {
            if faults && self.dice.u8(..6) == 0 {
                self.tell(|| "its answer is lost: it comes again".into());
                continue;
            }
            if faults && self.more.u8(..5) == 0 {
                self.wire.inbox = Some((sent.message, answered.answer));
                return Ok(());
            }
            self.was_told(&sent.message);
            self.take_answer(&answered.answer);
            let mut answer = answered.answer;
            while answer.more && (!faults || self.dice.u8(..4) > 0) {
                match self.ask_on(&answer.cursor) {
                    Some(next) => answer = next,
                    None => break,
                }
            }
            return Ok(());
        }
        Ok(())
    }

    /// One that came before, or is late.
    fn comes_astray(&mut self) -> Result<(), Broken> {
        let at = self.dice.usize(..self.wire.astray.len());
        let sent = self.wire.astray.remove(at);
        let id = &sent.message.id;
        self.wire.under_way = self.wire.under_way.take().filter(|under_way| under_way != id);
        self.met.astray += 1;
        self.tell(|| format!("message {id} comes astray"));
        if let Some(answered) = self.deliver(&sent, false)?
            && !answered.repeat
        {
            self.was_told(&sent.message);
            self.take_answer(&answered.answer);
        }
        Ok(())
    }

    /// What it says now. A pass over its table comes in one page, or in some, of which the last one declares
    /// it complete; or is never ended.
    pub(super) fn compose(&mut self, complete: bool, faults: bool) -> Sent {
        let clock = self.element.clock(self.now());
        self.element.messages += 1;
        let all: BTreeSet<String> = self.element.table.keys().cloned().collect();
        let name = format!("p{}", self.element.messages);
        let mut page = None;
        if let Some((name, rest)) = self.element.pass.take().filter(|_| faults) {
            if self.more.u8(..5) > 0 {
                page = Some((name, rest));
            }
        } else if complete {
            page = Some((name, all.clone()));
        }
        let (mut pass, mut ends, mut named) = (None, false, BTreeSet::new());
        if let Some((name, mut rest)) = page {
            // What it has got since it began is named too.
            let torn = faults && rest.len() > 1 && self.more.bool();
            let later = if torn { rest.split_off(&middle(&rest)) } else { BTreeSet::new() };
            ends = later.is_empty();
            let known = self.wire.named.get(&name);
            let new =
                all.iter().filter(|id| ends && known.is_none_or(|known| !known.contains(*id)));
            rest.extend(new.cloned());
            named = rest;
            if !ends {
                self.element.pass = Some((name.clone(), later));
            }
            pass = Some(name);
        }
        let (mut records, mut echo) = (Vec::new(), BTreeSet::new());
        for id in all {
            let Some(copy) = self.element.table.get(&id).cloned() else { continue };
            if copy.own.is_empty() && !named.contains(&id) {
                continue;
            }
            if copy.own.is_empty() && copy.fields == copy.sent {
                echo.insert(id.clone());
            }
            records.push(Record { told: Ok(self.tells(id, &copy)), ids: self.fresh() });
        }
        let message = Message {
            plan: self.line.clone(),
            id: format!("m{}", self.element.messages),
            polled_at: Some(clock),
            records,
            credit: Some(self.element.credit),
            cursor: self.element.careful.then_some(self.element.cursor),
            pass,
            complete: ends,
        };
        Sent { message, echo }
    }

    fn tells(&self, id: String, copy: &Copy) -> Told {
        let (now, clock) = (self.now(), self.element.clock(self.now()));
        Told {
            backend_id: Some(id),
            key: None,
            correlation_key: Some(String::new()),
            kind: Kind::Incident,
            fields: copy.fields.clone(),
            backend_status: None,
            url: None,
            said_at: copy.changed_at,
            changed_at: by_ours(copy.changed_at, now, clock),
            deleted: false,
        }
    }

    fn ask_on(&mut self, cursor: &str) -> Option<SyncAnswer> {
        self.element.messages += 1;
        let message = Message {
            plan: self.line.clone(),
            id: format!("m{}", self.element.messages),
            polled_at: Some(self.element.clock(self.now())),
            records: Vec::new(),
            credit: Some(self.element.credit),
            cursor: cursor.parse().ok(),
            pass: None,
            complete: false,
        };
        let answered = self.apply(Change::SyncMessage(Box::new(message)), false);
        let Some(Ok(Applied::SyncAnswered(answered))) = answered else { return None };
        self.take_answer(&answered.answer);
        Some(answered.answer)
    }

    /// An edit is told once the message that carried it is answered.
    fn was_told(&mut self, message: &Message) {
        for told in message.records.iter().filter_map(|record| record.told.as_ref().ok()) {
            if let Some(copy) = self.element.table.get_mut(&told.id()) {
                copy.own.retain(|_, at| *at > told.said_at);
            }
        }
    }

    /// What it is sent is what it has; an edit that it has not told yet stays, and is told next.
    fn take_answer(&mut self, answer: &SyncAnswer) {
        let clock = self.element.clock(self.now());
        self.element.cursor = self.element.cursor.max(answer.cursor.parse().unwrap_or(0));
        for event in &answer.events {
            let Some(id) = event.ticket.backend_id.clone() else { continue };
            let mut fields = event.ticket.fields.clone();
            fields.insert(STATUS.into(), event.ticket.status.as_str().into());
            self.tell(|| format!("connector takes {} {id} {fields:?}", event.event.as_str()));
            let copy = self.element.table.entry(id).or_insert_with(|| Copy {
                fields: Fields::new(),
                changed_at: clock,
                own: BTreeMap::new(),
                sent: Fields::new(),
            });
            copy.sent.clone_from(&fields);
            for name in copy.own.keys() {
                if let Some(value) = copy.fields.get(name) {
                    fields.insert(name.clone(), value.clone());
                }
            }
            if copy.own.is_empty() && copy.fields != fields {
                copy.changed_at = clock;
            }
            copy.fields = fields;
        }
    }

    /// It loses a ticket that nobody there has touched: a whole set that does not name it brings it back.
    pub(super) fn forget(&mut self) {
        let untouched = self.element.table.iter().filter(|(_, copy)| copy.own.is_empty());
        let ids: Vec<_> = untouched.map(|(id, _)| id.clone()).collect();
        if !ids.is_empty() {
            let id = &ids[self.more.usize(..ids.len())];
            self.tell(|| format!("connector: {id} is lost"));
            self.element.table.remove(id);
        }
    }
}

fn middle(ids: &BTreeSet<String>) -> String {
    ids.iter().nth(ids.len() / 2).cloned().unwrap_or_default()
}

fn by_ours(at: Timestamp, now: Timestamp, clock: Timestamp) -> Timestamp {
    match clock > now {
        true => at.minus(clock.since(now)),
        false => at.plus(now.since(clock)),
    }
    .min(now)
}
