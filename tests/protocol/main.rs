//! A small, exhaustive model of what keeps a ticket from being lost or made twice: fence, settle,
//! looks, and a backend that applies a create late.
//!
//! [`model`] has one create, a lane that is taken over from a holder that crashed or stands still,
//! and a backend that loses answers, applies late and finds late. Every order of events is tried.
//! What stands for what in the code is written at each part of [`model::Protocol`],
//! [`model::Stage`] and [`model::OneTicket`]. The simulator (`actors/src/testing/world`) plays the
//! machines themselves; this plays the idea, and shows what each part of it is for: without it, a
//! counterexample is found.
//!
//! `cargo test --test protocol -- --nocapture` prints the number of states, and the
//! counterexamples.

mod model;

use model::{
    Action, Backend, ENDS, Faults, IS_MADE, MADE_MEANS_MADE, NEVER_TWO, NO_STALE_WRITE, OneTicket,
    Protocol, State, TIMEOUT, TWO_ARE_DECLARED,
};
use stateright::{Checker, HasDiscoveries, Model, Path};

/// Each of the two holders can be gone or stand still, and the first two creates be lost.
const FAULTS: Faults = Faults { crashes: 1, freezes: 1, losses: 2 };

/// Every history of it.
fn all_of(protocol: Protocol, backend: Backend) -> impl Checker<OneTicket> {
    let model = OneTicket { protocol, backend, faults: FAULTS };
    let checked = model.checker().spawn_bfs().join();
    eprintln!("{protocol:?}, {backend:?}: {} states", checked.unique_state_count());
    checked
}

/// The shortest history that breaks a rule.
fn counterexample(rule: &'static str, protocol: Protocol, backend: Backend) -> Vec<Action> {
    let model = OneTicket { protocol, backend, faults: FAULTS };
    let until = HasDiscoveries::AnyOf([rule].into());
    let checked = model.checker().finish_when(until).spawn_bfs().join();
    let found: Option<Path<State, Action>> = checked.discovery(rule);
    let found = found.unwrap_or_else(|| panic!("{rule:?} holds with {protocol:?}, {backend:?}"));
    let actions = found.into_actions();
    eprintln!("{protocol:?}, {backend:?} breaks {rule:?}: {actions:?}");
    actions
}

#[test]
fn a_ticket_is_never_lost_and_never_made_twice() {
    let checked = all_of(Protocol::OURS, Backend::AS_CONFIGURED);
    checked.assert_properties();
}

#[test]
fn two_looks_allow_for_an_index_that_is_slower_than_it_says() {
    let slow = Backend { lag: 2 * model::INDEX_LAG, ..Backend::AS_CONFIGURED };
    all_of(Protocol::OURS, slow).assert_properties();
    counterexample(NEVER_TWO, Protocol { looks: 1, ..Protocol::OURS }, slow);
}

#[test]
fn a_backend_that_is_later_than_settling_allows_makes_two_and_both_are_declared() {
    let late = Backend { late_by: 3 * TIMEOUT, ..Backend::AS_CONFIGURED };
    counterexample(NEVER_TWO, Protocol::OURS, late);
    let checked = all_of(Protocol::OURS, late);
    for rule in [NO_STALE_WRITE, MADE_MEANS_MADE, ENDS, TWO_ARE_DECLARED] {
        checked.assert_no_discovery(rule);
    }
    checked.assert_any_discovery(IS_MADE);
    counterexample(TWO_ARE_DECLARED, Protocol { sweep: false, ..Protocol::OURS }, late);
}

#[test]
fn without_a_fence_the_old_holder_writes_over_the_new_one_and_sends_a_second_create() {
    let none = Protocol { epochs: false, attempts: false, ..Protocol::OURS };
    counterexample(NO_STALE_WRITE, none, Backend::AS_CONFIGURED);
    counterexample(NEVER_TWO, none, Backend::AS_CONFIGURED);
    // Knowing the last attempt keeps from doubles, but not from what an old holder says.
    let counted = Protocol { epochs: false, ..Protocol::OURS };
    counterexample(NO_STALE_WRITE, counted, Backend::AS_CONFIGURED);
}

#[test]
fn without_settling_a_create_that_is_still_on_its_way_is_sent_again() {
    let hasty = Protocol { settle: 0, ..Protocol::OURS };
    counterexample(NEVER_TWO, hasty, Backend::AS_CONFIGURED);
}

#[test]
fn with_one_look_an_index_that_lags_hides_the_first_ticket() {
    // Long enough for the create itself, and nothing for the index.
    let once = Protocol { settle: 2 * TIMEOUT, looks: 1, ..Protocol::OURS };
    counterexample(NEVER_TWO, once, Backend::AS_CONFIGURED);
}

#[test]
fn without_a_look_a_lost_answer_makes_a_second_ticket() {
    let blind = Protocol { looks: 0, ..Protocol::OURS };
    counterexample(NEVER_TWO, blind, Backend::AS_CONFIGURED);
}

#[test]
fn without_the_last_look_at_the_clock_a_frozen_sender_sends_after_the_take_over() {
    let late = Protocol { send_by: false, ..Protocol::OURS };
    counterexample(NEVER_TWO, late, Backend::AS_CONFIGURED);
}
