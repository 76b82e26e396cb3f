//! A page of what changed.
//!
//! What always holds: one call is one page; rows come as they are, in their order, and none is left out
//! but those that `offset` names. A page that fails is no page: it never reads as "nothing has changed".
//! What a source by cursor gives beyond what was asked for is given on: its next cursor lies behind it.
//!
//! What it leaves to others: which page is read when, and what follows (the sync).

use super::Inner;
use super::compiler::Compiler;
use super::conversation::Conversation;
use super::plan::Operation;
use super::reading::Shown;
use super::selectors::Document;
use super::soap;
use super::variables::Variables;
use super::wire::{CallDescription, WireDescription};
use reqwest::header::HeaderMap;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use ticketgate_actors::model::Mono;
use ticketgate_actors::ports::{Answer, Call, ChangesBy, ChangesPage, Reading, Via, Work};

/// A page larger than this is not one.
const PAGE_SIZE_MAX: u32 = 10_000;

/// How what changed is asked for, compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FeedPlan {
    by: ChangesBy,
    size: u32,
    pages: Pages,
}

/// Who leaves out the rows before `offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pages {
    /// The source: it is told `offset`.
    Offset,
    /// The source gives whole pages by number, and what `offset` lies behind in one is left out here.
    Numbered,
    /// There is one answer with all: what is not asked for is left out here.
    Whole,
}

impl FeedPlan {
    /// Checks what `[backend.changes]` says beyond a call; none for other calls, or where it is wrong.
    /// `used` are the variables that its templates use.
    pub fn of(
        compiler: &mut Compiler<'_>,
        operation: Operation,
        described: &CallDescription,
        used: &BTreeSet<String>,
        wire: &WireDescription,
    ) -> Option<Self> {
        if operation != Operation::Changes {
            return None;
        }
        let Some(by) = described.by else {
            compiler.wrong("changes.by", "say how it tells what changed: cursor, time or scan");
            return None;
        };
        let size = described.size.unwrap_or(0);
        let bad_size = size == 0 || size > PAGE_SIZE_MAX;
        compiler.wrong_if(bad_size, "changes.size", "say how many rows a page has: 1 to 10000");
        let uses = |name: &str| used.contains(name);
        let read = &described.read;
        let by_cursor = by == ChangesBy::Cursor;
        for (name, of) in [("cursor", ChangesBy::Cursor), ("since", ChangesBy::Time)] {
            let word = if of == ChangesBy::Cursor { "cursor" } else { "time" };
            if by == of && !uses(name) {
                let problem = format!("by = {word:?}: it must ask by {name}");
                compiler.wrong("changes", problem);
            }
            if by != of && uses(name) {
                let problem = format!("uses {name}, which only by = {word:?} has");
                compiler.wrong("changes", problem);
            }
        }
        for name in ["offset", "page"] {
            let problem = format!("uses {name}; by = \"cursor\" its cursor alone says where it is");
            compiler.wrong_if(by_cursor && uses(name), "changes", &problem);
        }
        compiler.wrong_if(
            uses("offset") && uses("page"),
            "changes",
            "uses both offset and page: one of them says which rows are wanted",
        );
        compiler.wrong_if(
            by_cursor && read.cursor.is_none(),
            "changes.read.cursor",
            "say where the next cursor is, for example \"$.cursor\"",
        );
        compiler.wrong_if(
            !by_cursor && read.cursor.is_some(),
            "changes.read.cursor",
            "only by = \"cursor\" has this",
        );
        let says_when = read.changed_at.is_some() || wire.read.changed_at.is_some();
        compiler.wrong_if(
            by == ChangesBy::Time && !says_when,
            "changes.read.changed_at",
            "by = \"time\": say where the time of a change is",
        );
        let pages = match (uses("offset"), uses("page"), by_cursor) {
            (true, _, _) | (_, _, true) => Pages::Offset,
            (_, true, _) => Pages::Numbered,
            _ => Pages::Whole,
        };
        Some(Self { by, size, pages })
    }

    /// As the port has it.
    pub fn page(&self) -> ChangesPage {
        ChangesPage { by: self.by, size: self.size }
    }
}

impl Inner {
    /// Reads a file as if the source had answered with it.
    pub(super) fn read_file(&self, body: &[u8]) -> Result<Reading, String> {
        let operation = self.plan.operations.get(&Operation::Changes);
        let operation = operation.ok_or("this backend's description has no [changes]")?;
        let document = match &self.description.wire.soap {
            Some(_) => soap::unwrapped(body).map_err(|_| "the file is no SOAP envelope")?,
            None => serde_json::from_slice(body)
                .map(Document::Json)
                .map_err(|error| format!("the file is no JSON: {error}"))?,
        };
        let work = Work::Changes { cursor: None, since: None, offset: 0, limit: PAGE_SIZE_MAX };
        let call = Call {
            via: Via::default(),
            service: None,
            ticket: None,
            attempt: 0,
            request: None,
            alarm: None,
            work,
            send_by: Mono(0),
            timeout: Duration::ZERO,
        };
        let (variables, headers) = (Variables::of(&call, &BTreeMap::new()), HeaderMap::new());
        let shown = Shown {
            plan: &self.plan,
            base: self.place.base.as_str(),
            variables: &variables,
            document: &document,
            headers: &headers,
        };
        let page = operation.read.rows(shown)?;
        Ok(Reading { tickets: page.tickets, ..Reading::default() })
    }
}

impl Conversation<'_> {
    /// Reads one page.
    pub(super) async fn page_of_changes(
        &mut self,
        feed: &FeedPlan,
        asked: Option<&str>,
        offset: u32,
        limit: u32,
    ) -> Answer {
        let size = limit.clamp(1, feed.size);
        self.variables.set("page_size", size);
        self.variables.set("page", offset / size + 1);
        let heard = match self.say(&self.plan.call, None).await {
            Ok(heard) => heard,
            Err(broken) => return self.told(broken, true),
        };
        let page = match self.plan.read.rows(self.shown(&heard)) {
            Ok(page) => page,
            Err(why_not) => return self.unreadable(&self.plan.call, &heard, &why_not),
        };
        // Rows before this page, and rows of it that are not asked for.
        let (before, left_out) = match feed.pages {
            Pages::Offset => (offset, 0),
            Pages::Numbered => (offset - offset % size, offset % size),
            Pages::Whole => (0, offset),
        };
        let held = u64::from(before) + page.length as u64;
        let by_cursor = feed.by == ChangesBy::Cursor;
        let full = feed.pages != Pages::Whole && page.length >= size as usize;
        let silent = page.more.is_none() && page.total.is_none();
        let mut more = page.more == Some(true)
            || page.total.is_some_and(|total| total > held)
            || silent && full;
        // By offset, a page without rows would be asked for for ever.
        more &= by_cursor || page.length > 0;
        let mut tickets = page.tickets;
        tickets.drain(..tickets.len().min(left_out as usize));
        if !by_cursor && tickets.len() > size as usize {
            tickets.truncate(size as usize);
            more = true;
        }
        let place = self.plan.read.cursor.as_ref();
        let cursor =
            place.and_then(|place| place.text(heard.document.whole(), &heard.answered.headers));
        if by_cursor && more && (cursor.is_none() || cursor.as_deref() == asked) {
            let why_not = "it has more, and no next cursor";
            return self.unreadable(&self.plan.call, &heard, why_not);
        }
        Answer::Read(Reading { tickets, more, cursor })
    }
}
