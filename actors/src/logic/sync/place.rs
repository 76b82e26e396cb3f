//! Where a feed goes on (rules S1, S2, S7).
//!
//! A source with a cursor of its own says so itself. One that is asked by time is asked from its last
//! end minus an overlap, so that what was committed late is seen; within a pass by the time of the last
//! row, and by an offset only among rows of one time, because rows that change meanwhile move to the
//! end. The overlap is counted from the beginning of a pass: what was committed behind a page that had
//! been read is seen by the next one, however long this one takes. A full scan goes by offset.

use crate::model::{Found, Place, Timestamp};
use crate::ports::{ChangesBy, Reading, Work};
use std::time::Duration;

/// What a page was followed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Where the next one begins.
    pub place: Place,
    /// There is a next one now.
    pub more: bool,
}

/// The page that begins at this place.
pub fn wanted(by: ChangesBy, place: &Place, overlap: Duration, limit: u32) -> Work {
    let (cursor, since) = match by {
        ChangesBy::Cursor => (place.cursor.clone(), None),
        ChangesBy::Time => (None, place.since.or_else(|| begin(place, overlap))),
        ChangesBy::Scan => (None, None),
    };
    Work::Changes { cursor, since, offset: place.offset, limit }
}

/// A pass by time begins so long before the end of the last one.
fn begin(place: &Place, overlap: Duration) -> Option<Timestamp> {
    place.watermark.map(|mark| mark.minus(overlap))
}

/// Where it goes on after a page. `clock` is the source's own, else ours: what lies in its future never
/// moves the watermark past it (S7).
pub fn next_place(
    by: ChangesBy,
    place: &Place,
    page: &Reading,
    (overlap, clock): (Duration, Timestamp),
) -> Turn {
    match by {
        ChangesBy::Cursor => {
            let cursor = page.cursor.clone().or_else(|| place.cursor.clone());
            // A source that stands still has no more, whatever it says.
            let more = page.more && cursor != place.cursor;
            Turn { place: Place { cursor, ..Place::default() }, more }
        }
        ChangesBy::Scan if page.more && !page.tickets.is_empty() => {
            let offset = place.offset + rows(page);
            Turn { place: Place { offset, ..place.clone() }, more: true }
        }
        ChangesBy::Scan => Turn { place: Place::default(), more: false },
        ChangesBy::Time => by_time(place, page, overlap, clock),
    }
}

fn rows(page: &Reading) -> u32 {
    u32::try_from(page.tickets.len()).unwrap_or(u32::MAX)
}

fn by_time(place: &Place, page: &Reading, overlap: Duration, clock: Timestamp) -> Turn {
    let last = page.tickets.iter().filter_map(|found: &Found| found.changed_at).max();
    let newest = place.newest.max(last);
    let begun = place.begun.unwrap_or(clock);
    let since = place.since.or_else(|| begin(place, overlap));
    if page.more && !page.tickets.is_empty() {
        // All rows of one time: those of it that were read are left out, and no other.
        let (since, offset) = match last {
            Some(last) if since.is_none_or(|since| last > since) => (Some(last), 0),
            _ => (since, place.offset + rows(page)),
        };
        let place = Place { since, offset, newest, begun: Some(begun), ..place.clone() };
        return Turn { place, more: true };
    }
    let reached = newest.map(|newest| newest.min(begun));
    Turn {
        place: Place { watermark: place.watermark.max(reached), ..Place::default() },
        more: false,
    }
}
