//! The due alarms of one backend that are held in memory: when rows are read, and which alarm goes next.
//!
//! Level-triggered: each of them is a row, and what is dropped here is read later. A wake-up and the clock
//! say "read". What was committed just now may be handed over instead, as a read would give it; it is taken
//! only into a line that holds all that is due, so that it overtakes nobody who has been due for longer.
//!
//! What always holds: no alarm is here twice, or here and in a flow. A line of which somebody said that
//! there are others is read before it takes what is handed over.

use super::ahead::Kind;
use crate::changes::Work;
use crate::model::{Alarm, OccurrenceRef, Timestamp};
use crate::ports::{DueAlarm, DueMost};
use std::collections::{HashSet, VecDeque};

/// Due alarms of one kind that are read at once, and up to which others are handed over: of a backlog no
/// more is in memory than that.
pub const QUEUE_MAX: u32 = 128;

/// What was committed just now and makes work for flows of one backend.
#[derive(Debug, Default)]
pub struct News {
    /// All there is of alarms without a ticket, in order of their commits, unless `look`.
    whole: Vec<DueAlarm>,
    /// There are alarms that have a ticket.
    known: bool,
    /// There are others, of either kind.
    look: bool,
}

impl News {
    /// One more that is due.
    pub fn add(&mut self, work: Work) {
        match (work.kind, work.whole) {
            (Kind::Known, _) => self.known = true,
            (Kind::New, Some(alarm)) if !self.look && has_room(self.whole.len()) => {
                self.whole.push(alone(*alarm));
            }
            // They are read, and then all together, in their order.
            (Kind::New, _) => {
                self.look = true;
                self.whole = Vec::new();
            }
        }
    }
}

fn alone(alarm: Alarm) -> DueAlarm {
    DueAlarm { alarm, ticket: None, others: Vec::new() }
}

fn has_room(held: usize) -> bool {
    held < QUEUE_MAX as usize
}

/// What a read has found.
#[derive(Debug, Default)]
pub struct Page {
    /// Due alarms, the longest due first.
    pub rows: Vec<DueAlarm>,
    /// How many creates admission left before them (rule G14).
    pub room: u64,
}

/// The due alarms of one backend.
#[derive(Debug, Default)]
pub struct Desk {
    new: Line,
    known: Line,
    /// New alarms that were handed over while such are read: whether they may be taken is known then.
    handed: Vec<DueAlarm>,
    /// New alarms that may be handed over before admission is asked again; none until a read has said so.
    room: u64,
    /// Queued or in a flow: not to be taken up twice.
    taken: HashSet<OccurrenceRef>,
    running: usize,
}

/// The due alarms of one kind.
#[derive(Debug, Default)]
struct Line {
    /// The longest due first.
    queue: VecDeque<DueAlarm>,
    /// There may be due rows that are not in the queue.
    more: bool,
    /// Enough requests wait for the lane.
    full: bool,
    /// So many rows are being read; none: no read of this kind is under way.
    asked: u32,
}

impl Line {
    /// How many rows to read, for so many flows.
    fn ask(&mut self, share: usize) -> u32 {
        if self.more && !self.full && self.queue.len() < share {
            self.asked = QUEUE_MAX;
            self.more = false;
        }
        self.asked
    }

    fn read(&mut self, rows: usize) {
        // A wake-up that came meanwhile stays.
        self.more |= self.asked > 0 && rows >= self.asked as usize;
        self.asked = 0;
    }

    fn put(&mut self, due: DueAlarm) {
        let place = self.queue.partition_point(|other| other.alarm.due_at <= due.alarm.due_at);
        self.queue.insert(place, due);
    }

    /// When the first that may go has become due.
    fn first(&self) -> Option<Option<Timestamp>> {
        self.queue.front().filter(|_| !self.full).map(|due| due.alarm.due_at)
    }
}

impl Desk {
    /// There are, or may be, due alarms.
    pub fn look(&mut self) {
        self.new.more = true;
        self.known.more = true;
    }

    /// Takes what was committed just now, or remembers that it has to be read.
    pub fn hand(&mut self, news: News) {
        if news.look {
            self.look();
        }
        self.known.more |= news.known;
        for due in news.whole {
            self.take(due);
        }
    }

    fn take(&mut self, due: DueAlarm) {
        // Read meanwhile: not older than what is handed over.
        if self.taken.contains(&due.alarm.at) {
            return;
        }
        let line = &mut self.new;
        if line.more || line.full {
            line.more = true;
        } else if line.asked > 0 && has_room(self.handed.len()) {
            self.handed.push(due);
        } else if line.asked == 0 && self.room > 0 && has_room(line.queue.len()) {
            self.room -= 1;
            self.taken.insert(due.alarm.at.clone());
            line.put(due);
        } else {
            line.more = true;
        }
    }

    /// Enough requests wait for the lane, or no longer.
    pub fn full(&mut self, kind: Kind, full: bool) {
        self.line(kind).full = full;
    }

    /// A flow has ended; `again`: its decision was not committed.
    pub fn finished(&mut self, at: &OccurrenceRef, again: bool) {
        self.running = self.running.saturating_sub(1);
        self.taken.remove(at);
        if again {
            self.look();
        }
    }

    /// The alarm for which a flow begins, of so many at once: of those that may go the one that has been
    /// due longest.
    pub fn begin(&mut self, share: usize) -> Option<DueAlarm> {
        if self.running >= share {
            return None;
        }
        let kind = match (self.new.first(), self.known.first()) {
            (Some(new), Some(known)) if known < new => Kind::Known,
            (None, _) => Kind::Known,
            _ => Kind::New,
        };
        self.line(kind).first()?;
        let due = self.line(kind).queue.pop_front()?;
        self.running += 1;
        Some(due)
    }

    /// What is to be read now, for so many flows; one read at a time.
    pub fn read(&mut self, share: usize) -> Option<DueMost> {
        if self.new.asked > 0 || self.known.asked > 0 {
            return None;
        }
        let most = DueMost { new: self.new.ask(share), known: self.known.ask(share) };
        (most != DueMost::default()).then_some(most)
    }

    /// The read has ended; none: it failed, and the clock looks again.
    pub fn found(&mut self, page: Option<Page>) {
        let Page { rows, room } = page.unwrap_or_default();
        if self.new.asked > 0 {
            self.room = room;
        }
        let new = rows.iter().filter(|due| Kind::of(&due.alarm) == Kind::New).count();
        self.known.read(rows.len() - new);
        self.new.read(new);
        for due in rows {
            if self.taken.insert(due.alarm.at.clone()) {
                let kind = Kind::of(&due.alarm);
                if kind == Kind::New {
                    self.room = self.room.saturating_sub(1);
                }
                self.line(kind).put(due);
            }
        }
        for due in std::mem::take(&mut self.handed) {
            self.take(due);
        }
    }

    fn line(&mut self, kind: Kind) -> &mut Line {
        match kind {
            Kind::New => &mut self.new,
            Kind::Known => &mut self.known,
        }
    }
}

#[cfg(test)]
mod tests;
