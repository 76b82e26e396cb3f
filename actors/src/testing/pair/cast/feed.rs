//! The feed's reader: runs of pages that are lost, come twice or too late, a place that is lost or refused,
//! people who skip tickets, and what was held.

use super::super::Broken;
use super::super::sides::{at_rest, stand};
use super::{Cast, OVERLAP, PAGE, brief};
use crate::actors::{OneAtATime, UnderWay, told_of_feed};
use crate::changes::{Applied, Change, Page, PersonSync, Record, Refusal, Steer, Where};
use crate::logic::sync::{anew, before, next_place, wanted};
use crate::model::Place;
use crate::ports::{StoreError, SyncTx, Work};

/// Where the feed's reader is.
#[derive(Default)]
pub(super) struct Reader {
    /// Whether a run is active, as its actor knows it.
    active: OneAtATime,
    /// Runs that are, as the world knows it; whether a page of each was read.
    runs: Vec<(UnderWay, bool)>,
    /// How far it was read: its watermark, and within a pass.
    reached: (Option<crate::model::Timestamp>, Option<crate::model::Timestamp>),
    /// By cursor.
    stood: Option<super::super::sides::Stand>,
}

impl Reader {
    /// The process is gone, and its runs with it.
    pub fn dies(&mut self) {
        self.runs.clear();
        self.active = OneAtATime::default();
    }

    /// The place is lost: it may go back.
    fn lost(&mut self) {
        (self.reached, self.stood) = ((None, None), None);
    }
}

/// What came of asking for a page.
#[derive(PartialEq)]
enum Paged {
    More,
    End,
    Lost,
}

impl Cast {
    /// The clock, or a person, wants a run; or one that is active goes on by a page.
    pub(super) fn run(&mut self) -> Result<(), Broken> {
        if self.reader.runs.is_empty() || self.more.u8(..4) == 0 {
            match self.reader.active.begin() {
                Some(run) => self.reader.runs.push((run, false)),
                None => self.tell(|| "a second run is refused".into()),
            }
        }
        if self.reader.runs.len() > 1 {
            return Err(Broken { rule: "S6", what: "two runs of the feed are active".into() });
        }
        let begins = !self.reader.runs.iter().all(|(_, read)| *read);
        let paged = self.page(true, begins)?;
        match paged {
            Paged::More => self.reader.runs.iter_mut().for_each(|(_, read)| *read = true),
            Paged::End | Paged::Lost => self.reader.runs.clear(),
        }
        Ok(())
    }

    /// Reads one page of the feed; says whether there are more.
    pub(super) fn read_page(&mut self, faults: bool) -> Result<bool, Broken> {
        let place = SyncTx::sync(&mut self.rows, "feed").map(|row| row.place).unwrap_or_default();
        Ok(self.page(faults, at_rest(&place))? != Paged::End)
    }

    /// A page. What is lost on the way is read again.
    fn page(&mut self, faults: bool, begins: bool) -> Result<Paged, Broken> {
        let Ok(row) = SyncTx::sync(&mut self.rows, "feed") else { return Ok(Paged::Lost) };
        let by = self.system.by();
        let work = wanted(by, &row.place, OVERLAP, PAGE);
        let now = self.now();
        let Some(mut page) = self.system.page(&work, now) else {
            self.tell(|| format!("{work:?} is refused"));
            self.place_is_lost()?;
            return Ok(Paged::More);
        };
        let clock = self.system.clock(now);
        if faults && self.dice.u8(..10) == 0 {
            self.tell(|| "a page is lost".into());
            return Ok(Paged::Lost);
        }
        if page.tickets.is_empty() && self.system.by_cursor && self.more.u8(..4) == 0 {
            // There is more, it says, where we are already.
            (page.more, page.cursor) = (true, row.place.cursor.clone());
        }
        // Between a page and what is asked for after it, the lane may make other calls.
        if faults && self.more.u8(..8) == 0 {
            self.lane(true);
        }
        let slipped = before(by, &row.place).is_some_and(|(work, last)| {
            let page = self.system.page(&work, now).unwrap_or_default();
            page.tickets.first().is_none_or(|row| row.backend_id != last)
        });
        let turn = match slipped {
            true => anew(&row.place, &page),
            false => next_place(by, &row.place, &page, (OVERLAP, clock)),
        };
        let mut records = Vec::new();
        for found in page.tickets {
            let told = told_of_feed(found, now, clock);
            records.push(Record { told, ids: self.fresh() });
        }
        if faults && self.dice.u8(..12) == 0 {
            let id = format!("bad{}", self.dice.u8(..3));
            let at = self.dice.usize(..=records.len());
            let told = Err((id, "cannot be read".to_owned()));
            records.insert(at, Record { told, ids: self.fresh() });
        }
        self.tell(|| format!("page {work:?}: {:?}", brief(&records)));
        let at = Where::Feed {
            begins,
            from: Box::new(row.place),
            to: Box::new(turn.place),
            ends: !turn.more,
            complete: false,
            asked_at: now,
        };
        let page = Page { plan: self.feed.clone(), records, at };
        self.met.pages += 1;
        if faults && self.dice.u8(..6) == 0 {
            self.late_pages.push((page.clone(), self.system.written));
        }
        self.page_comes(page, faults)?;
        Ok(if turn.more { Paged::More } else { Paged::End })
    }

    /// A page reaches the store: its place goes on, and never back.
    fn page_comes(&mut self, page: Page, faults: bool) -> Result<(), Broken> {
        let clock = self.system.clock(self.now());
        let bad = page.records.iter().filter_map(|it| Some(it.told.as_ref().err()?.0.clone()));
        let bad: Vec<_> = bad.collect();
        match self.apply(Change::SyncPage(Box::new(page)), faults) {
            Some(Err(StoreError::Refused(Refusal::StaleVersion))) | None => return Ok(()),
            Some(Err(error)) => {
                return Err(Broken { rule: "S6", what: format!("a page was refused: {error}") });
            }
            Some(Ok(_)) => self.bad.extend(bad),
        }
        let Ok(row) = SyncTx::sync(&mut self.rows, "feed") else { return Ok(()) };
        let place = row.place;
        let reached = place.since.max(place.watermark);
        let stood = place.cursor.as_deref().and_then(stand);
        let before = &self.reader.reached;
        if place.watermark > Some(clock) {
            return Err(Broken { rule: "S7", what: format!("{place:?} at {clock} there") });
        }
        if place.watermark < before.0
            || place.watermark == before.0 && reached < before.1 && !at_rest(&place)
            || stood < self.reader.stood
        {
            let what = format!("{place:?} after {before:?} {:?}", self.reader.stood);
            return Err(Broken { rule: "S1", what });
        }
        let within = Some(reached).filter(|_| !at_rest(&place)).flatten();
        (self.reader.reached, self.reader.stood) = ((place.watermark, within), stood);
        Ok(())
    }

    /// One that came before comes once more.
    pub(super) fn late_page(&mut self) -> Result<(), Broken> {
        if self.late_pages.is_empty() {
            return Ok(());
        }
        let at = self.dice.usize(..self.late_pages.len());
        let (mut page, written) = self.late_pages.remove(at);
        // What was written meanwhile, the lane would have asked for after the page.
        if written != self.system.written {
            return Ok(());
        }
        for record in &mut page.records {
            record.ids = self.fresh();
        }
        self.met.astray += 1;
        self.tell(|| "a page comes once more".into());
        self.page_comes(page, true)
    }

    /// The source does not know its place any more: the feed is read from its beginning. A source by cursor
    /// says so when it is asked; or a person has the feed begin anew.
    pub(super) fn lose_the_place(&mut self) -> Result<(), Broken> {
        if !self.system.by_cursor {
            return self.place_is_lost();
        }
        self.late_pages.clear();
        if self.more.bool() {
            self.tell(|| "the source begins anew: it knows no cursor that it gave".into());
            self.system.generation += 1;
            return Ok(());
        }
        self.reader.lost();
        self.steer(Steer::Cursor(Place::default()));
        Ok(())
    }

    fn place_is_lost(&mut self) -> Result<(), Broken> {
        self.tell(|| "the feed's place is lost".into());
        let reason = "410 Gone".to_owned();
        let failed = Change::SyncFailed { name: "feed".into(), reason, lost: true };
        self.apply(failed, false);
        self.reader.lost();
        self.late_pages.clear();
        let place = SyncTx::sync(&mut self.rows, "feed").map(|row| row.place).unwrap_or_default();
        match wanted(self.system.by(), &place, OVERLAP, PAGE) {
            Work::Changes { cursor: None, since: None, offset: 0, .. } => Ok(()),
            work => Err(Broken { rule: "S3", what: format!("no full pass, but {work:?}") }),
        }
    }

    /// A person has a ticket left alone.
    pub(super) fn skip(&mut self) {
        let known: Vec<String> = self.system.rows.keys().cloned().collect();
        if !known.is_empty() {
            let id = known[self.more.usize(..known.len())].clone();
            self.steer(Steer::Skip(vec![id]));
        }
    }

    /// None is left alone any more.
    pub(super) fn unskip(&mut self) {
        let row = SyncTx::sync(&mut self.rows, "feed").unwrap_or_default();
        if !row.skip.is_empty() {
            self.steer(Steer::Unskip(row.skip));
        }
    }

    fn steer(&mut self, steer: Steer) {
        self.tell(|| format!("a person: {steer:?}"));
        let ids = match &steer {
            Steer::Unskip(of) => of.iter().map(|_| self.fresh()).collect(),
            Steer::Cursor(_) | Steer::Skip(_) => Vec::new(),
        };
        let (who, reason) = ("a person".to_owned(), "wanted".to_owned());
        let order = PersonSync { plan: self.feed.clone(), steer, who, reason, ids };
        self.apply(Change::SyncSteer(Box::new(order)), false);
    }

    /// What waits is tried; of what only the system can say, the ticket is read once more.
    pub(super) fn held(&mut self, faults: bool) {
        let records = (0..16)
            .map(|_| Record { told: Err((String::new(), String::new())), ids: self.fresh() });
        let records = records.collect();
        let at = Where::Held { after: String::new(), limit: 16 };
        let page = Page { plan: self.feed.clone(), records, at };
        if let Some(Ok(Applied::Synced(synced))) =
            self.apply(Change::SyncPage(Box::new(page)), false)
        {
            self.again = synced.again;
        }
        // What is not read now is asked for at the next look.
        if !faults || self.more.bool() {
            self.read_again(faults);
        }
    }

    fn read_again(&mut self, faults: bool) {
        let (now, clock) = (self.now(), self.system.clock(self.now()));
        let mut records = Vec::new();
        for (id, _) in std::mem::take(&mut self.again) {
            let Some(found) = self.system.get(&id) else { continue };
            self.tell(|| format!("{id} is read once more: {:?}", found.fields));
            self.met.again += 1;
            records.push(Record { told: told_of_feed(found, now, clock), ids: self.fresh() });
        }
        let page = Page { plan: self.feed.clone(), records, at: Where::Again };
        self.apply(Change::SyncPage(Box::new(page)), faults);
    }
}
