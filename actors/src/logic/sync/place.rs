//! Where a feed goes on (rules S1, S2, S7).
//!
//! A source with a cursor of its own says so itself. One that is asked by time is asked from its last
//! end minus an overlap, so that what was committed late is seen; within a pass by the time of the last
//! row, and by an offset only among rows of one time, because rows that change meanwhile move to the
//! end. Those among them leave a gap that the rows behind them fill, so that one would slip past the
//! offset unread: the row before a page must still be the last one of the page before, or the rows of
//! that time are read anew. The overlap is counted from the beginning of a pass: what was committed behind
//! a page that had been read is seen by the next pass, however long this one takes. A full scan goes by
//! offset.

use crate::model::{Found, Place, Timestamp};
use crate::ports::{ChangesBy, Reading, Work};
use std::time::Duration;

/// The rows of one time are begun anew so often in a pass. Each time at least one has left that time for
/// good; a source that gives them in another order at each call would never end.
const ANEW_MAX: u32 = 256;

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
    place.watermark.map(|mark| if mutant!(NoOverlap) { mark } else { mark.minus(overlap) })
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

/// After a page by offset has been read: where the row before it stands, and which it must be.
pub fn before(by: ChangesBy, place: &Place) -> Option<(Work, &str)> {
    let last = place.last.as_deref().filter(|_| by == ChangesBy::Time && place.anew < ANEW_MAX)?;
    let offset = place.offset.checked_sub(1)?;
    Some((Work::Changes { cursor: None, since: place.since, offset, limit: 1 }, last))
}

/// Where it goes on after a page before which rows have moved away: at the first row of that time.
pub fn anew(place: &Place, page: &Reading) -> Turn {
    let (newest, anew) = (place.newest.max(newest(page)), place.anew + 1);
    Turn { place: Place { offset: 0, last: None, newest, anew, ..place.clone() }, more: true }
}

fn newest(page: &Reading) -> Option<Timestamp> {
    page.tickets.iter().filter_map(|found: &Found| found.changed_at).max()
}

fn by_time(place: &Place, page: &Reading, overlap: Duration, clock: Timestamp) -> Turn {
    let last = newest(page);
    let newest = place.newest.max(last);
    let begun = Some(place.begun.unwrap_or(clock));
    let since = place.since.or_else(|| begin(place, overlap));
    if page.more && !page.tickets.is_empty() {
        // All rows of one time: those of it that were read are left out, and no other.
        let place = match last {
            Some(last) if since.is_none_or(|since| last > since) => {
                let watermark = place.watermark;
                // A row of the same time may stand behind the page.
                let last = match mutant!(EqualTimesSkipped) {
                    true => last.plus(Duration::from_millis(1)),
                    false => last,
                };
                Place { since: Some(last), newest, watermark, begun, ..Place::default() }
            }
            _ => {
                let offset = place.offset + rows(page);
                let last = page.tickets.last().map(|row| row.backend_id.clone());
                Place { since, offset, newest, last, begun, ..place.clone() }
            }
        };
        return Turn { place, more: true };
    }
    let begun = begun.filter(|_| !mutant!(FutureTrusted));
    let reached = newest.map(|newest| begun.map_or(newest, |begun| newest.min(begun)));
    Turn {
        place: Place { watermark: place.watermark.max(reached), ..Place::default() },
        more: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u32 = 10;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    /// Rows by time and id, as a source gives them that sorts by both.
    #[derive(Clone)]
    struct Source(Vec<(i64, u32)>);

    impl Source {
        fn change(&mut self, id: u32, seconds: i64) {
            self.0.retain(|(_, other)| *other != id);
            self.0.push((seconds, id));
            self.0.sort_unstable();
        }

        fn page(&self, work: &Work) -> Reading {
            let Work::Changes { since, offset, limit, .. } = work else { panic!("no page") };
            let after = |row: &&(i64, u32)| since.is_none_or(|since| at(row.0) >= since);
            let rows: Vec<_> = self.0.iter().filter(after).skip(*offset as usize).collect();
            let row = |(seconds, id): &&(i64, u32)| Found {
                backend_id: id.to_string(),
                changed_at: Some(at(*seconds)),
                ..Found::default()
            };
            let tickets = rows.iter().take(*limit as usize).map(row).collect();
            Reading { tickets, more: rows.len() > *limit as usize, ..Reading::default() }
        }
    }

    /// One pass; between two pages somebody changes something.
    fn pass(source: &mut Source, mut between: impl FnMut(&mut Source, u32)) -> Vec<String> {
        let (by, overlap) = (ChangesBy::Time, Duration::ZERO);
        let (mut place, mut seen) = (Place::default(), Vec::new());
        for calls in 0..1_000 {
            between(source, calls);
            let page = source.page(&wanted(by, &place, overlap, PAGE));
            seen.extend(page.tickets.iter().map(|row| row.backend_id.clone()));
            let slipped = before(by, &place).is_some_and(|(work, last)| {
                source.page(&work).tickets.first().is_none_or(|row| row.backend_id != last)
            });
            let turn = match slipped {
                true => anew(&place, &page),
                false => next_place(by, &place, &page, (overlap, at(10_000))),
            };
            if !turn.more {
                assert_eq!(turn.place.watermark, source.0.last().map(|row| at(row.0)));
                return seen;
            }
            place = turn.place;
        }
        panic!("it never ends")
    }

    #[test]
    fn none_of_many_rows_of_one_time_slips_when_some_change_meanwhile() {
        for changed_after in 0..8 {
            for id in [0, 5, 9, 10, 19, 34] {
                let mut source = Source((0..60).map(|id| (100, id)).collect());
                let seen = pass(&mut source, |source, calls| {
                    if calls == changed_after {
                        source.change(id, 200);
                    }
                });
                let missed = (0..60).find(|id: &u32| !seen.contains(&id.to_string()));
                assert_eq!(missed, None, "{id} changed before call {changed_after}");
            }
        }
    }

    #[test]
    fn a_pass_misses_none_though_rows_change_from_call_to_call() {
        let mut source = Source((0..60).map(|id| (100, id)).collect());
        let seen = pass(&mut source, |source, calls| {
            if calls < ANEW_MAX {
                source.change(calls, 200 + i64::from(calls));
            }
        });
        assert!((0..60).all(|id: u32| seen.contains(&id.to_string())));
    }

    #[test]
    fn a_source_without_an_order_of_its_own_is_not_read_for_ever() {
        let place =
            Place { offset: 10, last: Some("9".into()), anew: ANEW_MAX, ..Place::default() };
        assert!(before(ChangesBy::Time, &place).is_none());
    }

    fn read(rows: &[(i64, &str)], more: bool) -> Reading {
        let row = |(seconds, id): &(i64, &str)| Found {
            backend_id: (*id).to_owned(),
            changed_at: Some(at(*seconds)),
            ..Found::default()
        };
        Reading { tickets: rows.iter().map(row).collect(), more, cursor: None }
    }

    const OVERLAP: Duration = Duration::from_secs(100);

    #[test]
    fn a_pass_by_time_begins_before_the_end_of_the_last_one() {
        let place = Place { watermark: Some(at(1_000)), ..Place::default() };
        let Work::Changes { since, offset, .. } = wanted(ChangesBy::Time, &place, OVERLAP, PAGE)
        else {
            panic!("no page")
        };
        assert_eq!((since, offset), (Some(at(900)), 0));
    }

    #[test]
    fn a_time_in_the_future_does_not_move_the_place_there() {
        let page = read(&[(500, "1"), (9_000, "2")], false);
        let turn = next_place(ChangesBy::Time, &Place::default(), &page, (OVERLAP, at(600)));
        assert_eq!(turn.place.watermark, Some(at(600)), "the source's own now");
    }

    /// What was committed behind a page that had been read is seen by the next pass.
    #[test]
    fn the_overlap_is_counted_from_the_beginning_of_a_pass() {
        let first = read(&[(400, "1"), (500, "2")], true);
        let turn = next_place(ChangesBy::Time, &Place::default(), &first, (OVERLAP, at(600)));
        assert_eq!(turn.place.begun, Some(at(600)));
        let last = read(&[(500, "2"), (2_000, "3")], false);
        let turn = next_place(ChangesBy::Time, &turn.place, &last, (OVERLAP, at(2_100)));
        assert_eq!(turn.place, Place { watermark: Some(at(600)), ..Place::default() });
    }

    #[test]
    fn the_place_never_goes_back_and_nothing_new_leaves_it() {
        let place = Place { watermark: Some(at(1_000)), ..Place::default() };
        for page in [read(&[], false), read(&[(950, "1")], false)] {
            let turn = next_place(ChangesBy::Time, &place, &page, (OVERLAP, at(5_000)));
            assert_eq!(turn, Turn { place: place.clone(), more: false });
        }
    }

    #[test]
    fn a_source_whose_cursor_stands_still_has_no_more() {
        let place = Place { cursor: Some("7".into()), ..Place::default() };
        let page = |cursor: &str| Reading { cursor: Some(cursor.into()), ..read(&[], true) };
        let next = |cursor| {
            let clock = (OVERLAP, at(1));
            next_place(ChangesBy::Cursor, &place, &page(cursor), clock)
        };
        assert!(!next("7").more);
        assert!(next("8").more);
        assert_eq!(next("8").place.cursor.as_deref(), Some("8"));
    }

    #[test]
    fn a_scan_goes_by_offset_and_begins_anew() {
        let rows = read(&[(1, "1"), (2, "2")], true);
        let clock = (OVERLAP, at(1));
        let turn = next_place(ChangesBy::Scan, &Place::default(), &rows, clock);
        assert_eq!((turn.place.offset, turn.more), (2, true));
        let end = next_place(ChangesBy::Scan, &turn.place, &read(&[], false), clock);
        assert_eq!(end, Turn { place: Place::default(), more: false });
    }
}
