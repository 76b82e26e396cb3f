//! How one sync works: between whom, by which fields, who is master of what.

use crate::changes::Admission;
use crate::logic::correlation::correlation_key;
use crate::model::{BackendId, CorrelationKey, Fields, Origin, STATUS, Side, TicketStatus, Told};
use crate::ports::ChangesBy;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One field on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Its name here.
    pub ours: String,
    /// Its name there.
    pub theirs: String,
    /// Whose value is kept where the two differ; none: the more recent ticket's.
    pub master: Option<Side>,
}

/// Which fields are kept in step, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// These and no others; empty: all of them, by the same names.
    pub pairs: Vec<Pair>,
    /// A field that only one side has changed since both agreed is that side's, whatever the times say.
    pub three_way: bool,
    /// A field that they do not name is empty there. Without it they just have not said.
    pub whole: bool,
    /// Their words for a status, by TMF621's; where one is not here it must be TMF621's own.
    pub states: BTreeMap<String, String>,
    /// Fields of which another side of the same tickets is master. We have its value, so seen from this
    /// side we are.
    pub elsewhere: BTreeSet<String>,
}

impl Rules {
    /// Who is master of one of our fields.
    pub fn master(&self, ours: &str) -> Option<Side> {
        let own = self.pairs.iter().find(|pair| pair.ours == ours).and_then(|pair| pair.master);
        own.or_else(|| self.elsewhere.contains(ours).then_some(Side::Ours))
    }

    /// Is this field of ours kept in step?
    pub fn covers(&self, ours: &str) -> bool {
        self.pairs.is_empty() || self.pairs.iter().any(|pair| pair.ours == ours)
    }

    /// What they say, by our names; what is not kept in step is left out. Nulls are not kept.
    pub fn to_ours(&self, theirs: &Fields) -> Fields {
        let ours = |(name, value): (&String, &serde_json::Value)| {
            let name = if self.pairs.is_empty() {
                name.clone()
            } else {
                self.pairs.iter().find(|pair| pair.theirs == *name)?.ours.clone()
            };
            (!value.is_null()).then(|| (name, value.clone()))
        };
        theirs.iter().filter_map(ours).collect()
    }

    /// What we have, by their names.
    pub fn to_theirs(&self, ours: &Fields) -> Fields {
        let theirs = |(name, value): (&String, &serde_json::Value)| {
            let name = if self.pairs.is_empty() {
                name.clone()
            } else {
                self.pairs.iter().find(|pair| pair.ours == *name)?.theirs.clone()
            };
            Some((name, value.clone()))
        };
        ours.iter().filter_map(theirs).collect()
    }

    /// Their word for a status in TMF621's; itself where the config does not name it.
    pub fn status<'a>(&'a self, theirs: &'a str) -> &'a str {
        self.states.get(theirs).map_or(theirs, String::as_str)
    }

    /// A status of ours in their words: the one that they said last where it still means the same, else
    /// the first that does, else TMF621's own, as [`Self::status`] reads it. None where the status is not
    /// kept in step.
    pub fn their_status(&self, ours: TicketStatus, said: Option<&str>) -> Option<String> {
        if !self.covers(STATUS) {
            return None;
        }
        let means = |theirs: &str| self.status(theirs) == ours.as_str();
        let said = said.filter(|said| means(said));
        let word = said.or_else(|| self.states.keys().map(String::as_str).find(|it| means(it)));
        Some(word.unwrap_or(ours.as_str()).to_owned())
    }
}

/// Where what the other side says comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Its feed of changes, which we read through its lane.
    Feed(ChangesBy, u32),
    /// Messages of a connector, which takes our changes from the answers (CONTRACT 1.7).
    Connector,
}

/// One sync.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// Whose changes come in.
    pub source: BackendId,
    /// Of several organizers at one source, which.
    pub organizer: String,
    /// Whose tickets they are about: the source's, or another system's by the same ids.
    pub home: BackendId,
    /// How they come in.
    pub from: From,
    /// What is kept in step.
    pub rules: Rules,
    /// What they have and we have not is taken over.
    pub takes_over: bool,
    /// A connector's ids are its own and not home's: tickets are known by our key, and what it has first is
    /// made at home.
    pub own_ids: bool,
    /// Home takes writes through its lane; else its tickets live here, until their connector has them.
    pub home_writes: bool,
    /// Where our value is kept it is written back to the source through its lane.
    pub writes_back: bool,
    /// Given on only where contacts are to be made: the field that names the owner's address.
    pub contact_field: String,
    /// Contacts are to be made.
    pub contacts: bool,
    /// Changes that a connector is sent at once, and may send us at once.
    pub credit: u32,
    /// A feed by time is read again from so long before its last end: what was committed late.
    pub overlap: Duration,
    /// How much home may have open.
    pub admission: Admission,
    /// Our installation's name: part of every correlation key.
    pub instance: String,
}

impl Plan {
    /// Are the source's tickets the very tickets of ours?
    pub fn is_home(&self) -> bool {
        self.source == self.home
    }

    /// Is it the home backend itself that speaks, and not a connector or another system?
    pub fn is_home_itself(&self) -> bool {
        self.is_home() && self.from != From::Connector
    }

    /// The key of a ticket that they have first: it follows from what they call it, so that telling of it
    /// again finds it.
    pub fn correlation_key(&self, told: &Told) -> CorrelationKey {
        let origin = Origin::Sync { sync: self.name.clone(), id: told.id() };
        correlation_key(&self.instance, &self.home, told.kind, &origin)
    }

    /// What they say by our names, the status in TMF621's words; without the contact's field where no
    /// contacts are to be made.
    pub fn read(&self, mut told: Told) -> Told {
        told.fields = self.rules.to_ours(&told.fields);
        let status = told.fields.get(STATUS).and_then(|status| status.as_str()).map(str::to_owned);
        if let Some(status) = status {
            let known = TicketStatus::parse(self.rules.status(&status));
            told.backend_status = told.backend_status.take().or(Some(status));
            match known {
                Some(known) => told.fields.insert(STATUS.into(), known.as_str().into()),
                // A word that nobody knows says nothing about the status.
                None => told.fields.remove(STATUS),
            };
        }
        if !self.contacts {
            told.fields.remove(&self.contact_field);
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_said_in_their_last_word_for_it_or_their_first_or_as_it_is() {
        let states = [("Open", "acknowledged"), ("New", "acknowledged"), ("Done", "closed")];
        let states = states.map(|(theirs, ours)| (theirs.to_owned(), ours.to_owned()));
        let rules = Rules { states: states.into(), ..Rules::default() };
        let said = |ours, said| rules.their_status(ours, said);
        let (taken, closed) = (TicketStatus::Acknowledged, TicketStatus::Closed);
        assert_eq!(said(taken, Some("Open")).as_deref(), Some("Open"), "as they said it");
        assert_eq!(said(taken, None).as_deref(), Some("New"));
        assert_eq!(said(closed, Some("Open")).as_deref(), Some("Done"), "it is not open any more");
        assert_eq!(said(TicketStatus::Held, Some("Open")).as_deref(), Some("held"));
        let name = || "note".to_owned();
        let pairs = vec![Pair { ours: name(), theirs: name(), master: None }];
        let rules = Rules { pairs, ..rules };
        assert_eq!(rules.their_status(taken, Some("Open")), None, "it is not kept in step");
    }
}
