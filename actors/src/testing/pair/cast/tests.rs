//! What single seeds have found, step by step.

use super::super::checks;
use super::*;
use crate::model::{STATUS, State};
use crate::ports::SyncTx;
use crate::testing::an_update;
use crate::testing::mutants::{self, Mutant};

/// All clocks are right, and both sides remember what they agreed on.
fn a_cast() -> Cast {
    let mut cast = Cast::new(0);
    cast.system = System::default();
    let mut feed = a_sync("feed", From::Feed(ChangesBy::Time, PAGE));
    feed.rules.three_way = true;
    cast.feed = Arc::new(feed);
    cast
}

impl Cast {
    fn there(&mut self, field: &str, value: &str) {
        self.now_ms += 60_000;
        let fields = [(field, value), (STATUS, "acknowledged")];
        let fields = fields.map(|(name, value)| (name.to_owned(), Value::from(value)));
        let (now, fields) = (self.now(), Fields::from_iter(fields));
        self.note("T1", "there", &fields, &Fields::new());
        self.system.edit("T1", &fields, now, Duration::ZERO);
    }

    /// The next pass will begin behind what was read of the first ticket.
    fn time_goes_on(&mut self) {
        self.now_ms += 700_000;
        let fields = Fields::from_iter([(STATUS.to_owned(), Value::from("acknowledged"))]);
        let now = self.now();
        self.system.edit("T2", &fields, now, Duration::ZERO);
        self.pages();
    }

    fn here(&mut self, field: &str, value: &str) {
        let mut all = self.rows.all_tickets();
        let one = all.find(|it| it.backend_id.as_deref() == Some("T1"));
        let key = one.expect("it was read").key;
        drop(all);
        let fields = Fields::from_iter([(field.to_owned(), Value::from(value))]);
        self.note("T1", "here", &fields, &Fields::new());
        let take = an_update(key, fields, || self.uuid());
        let taken = self.apply(Change::Command(Box::new(take)), false);
        assert!(matches!(taken, Some(Ok(_))), "{taken:?}");
    }

    fn pages(&mut self) {
        self.now_ms += 60_000;
        while self.read_page(false).expect("no rule is broken") {}
    }
}

/// Seed 6538: while a write was in doubt somebody set the field back to what it had been. What the feed
/// told of that was taken for older than the write, and both sides stayed different until the next edit.
fn changed_back_while_in_doubt(by_sync: bool) -> Result<(), Broken> {
    let mut cast = a_cast();
    let field = if by_sync { "a" } else { "c" };
    cast.there(field, "red");
    cast.pages();
    cast.here(field, "blue");
    if by_sync {
        // We are its master: what they change is written back.
        assert!(cast.lane(false));
        cast.there(field, "red");
        cast.pages();
    }
    let request = cast.in_state(State::Accepted).expect("it waits");
    cast.send(&request, false, Some(Answers::Lost));
    cast.there(field, "red");
    cast.pages();
    cast.time_goes_on();
    let request = cast.in_state(State::InDoubt).expect("its answer was lost");
    cast.later_answer(&request);
    cast.quiet()?;
    checks::all(&cast)?;
    let last = if by_sync { "blue" } else { "red" };
    cast.has("T1", field, last, "S2", "is its master's, or was set last")
}

#[test]
fn a_field_that_is_changed_back_while_a_write_is_in_doubt_is_heard() {
    for by_sync in [false, true] {
        assert_eq!(changed_back_while_in_doubt(by_sync), Ok(()), "by a sync: {by_sync}");
        let deaf = || changed_back_while_in_doubt(by_sync);
        let broken = mutants::with(Mutant::NeverReadAgain, deaf);
        assert_eq!(broken.expect_err("it is not read again").rule, "S2");
    }
}

/// What was read before the write was carried out is no change back.
#[test]
fn a_field_that_was_read_before_its_write_was_carried_out_is_as_it_was_written() {
    let mut cast = a_cast();
    cast.there("c", "red");
    cast.pages();
    cast.here("c", "blue");
    let request = cast.in_state(State::Accepted).expect("it waits");
    cast.send(&request, false, Some(Answers::Later));
    cast.there("d", "white");
    cast.pages();
    assert!(cast.answer_later(false), "it is carried out");
    assert!(cast.answer_later(false), "it is answered");
    cast.held(false);
    cast.has("T1", "c", "blue", "S2", "was written").expect("it was read once more");
    cast.has("T1", "d", "white", "S2", "was edited there").expect("it was held, and is taken");
    assert_eq!(cast.system.written, 1, "nothing is written twice");
}

/// Seed 6607: its feed had never named the ticket that we made before a write was in doubt.
#[test]
fn what_is_told_for_the_first_time_while_a_write_is_in_doubt_is_heard() {
    let mut cast = a_cast();
    cast.there("c", "red");
    cast.pages();
    // As if we had made it: nothing of what the feed told is known.
    let key = cast.rows.all_tickets().next().expect("it was read").key;
    SyncTx::drop_twins(&mut cast.rows, key).expect("rows in memory");
    cast.here("c", "blue");
    let request = cast.in_state(State::Accepted).expect("it waits");
    cast.send(&request, false, Some(Answers::Lost));
    cast.there("c", "red");
    cast.pages();
    cast.time_goes_on();
    let request = cast.in_state(State::InDoubt).expect("its answer was lost");
    cast.later_answer(&request);
    assert_eq!(cast.quiet().and_then(|()| checks::all(&cast)), Ok(()));
}
