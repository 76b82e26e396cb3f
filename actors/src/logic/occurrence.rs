//! How an event changes its alarm: which event is newer, when an occurrence opens, what is work.
//!
//! Always (rule I2, CONTRACT 1.3): an older event never undoes a newer one; ties go cleared over
//! updated over raised, then by body hash, so that any order of arrival ends in the same level.

use super::policy::Routing;
use crate::model::{Alarm, AlarmEvent, AlarmState, Details, OccurrenceRef, Story, Timestamp};
use std::time::Duration;

/// What an event did.
#[derive(Clone, Debug, PartialEq)]
pub enum Absorbed {
    /// An older event: counted, nothing else.
    TooOld(Alarm),
    /// The newest occurrence has a newer level.
    Changed(Alarm),
    /// A new occurrence.
    Opened(Alarm),
}

/// Applies an event to the newest occurrence of its alarm.
pub fn absorb(
    newest: Option<Alarm>,
    event: &AlarmEvent,
    routing: &Routing,
    now: Timestamp,
) -> Absorbed {
    let changed_at = event.changed_at.unwrap_or_else(|| match (event.state, &newest) {
        (AlarmState::Raised, _) => event.details.raised_at,
        (_, None) => now,
        (_, Some(alarm)) => now.max(alarm.changed_at.plus(Duration::from_millis(1))),
    });
    let Some(mut alarm) = newest else {
        return Absorbed::Opened(open(event, routing, changed_at, None, now));
    };
    let age = |at: Timestamp, state: AlarmState, hash: u64| (at, state, hash);
    if age(changed_at, event.state, event.body_hash)
        <= age(alarm.changed_at, alarm.state, alarm.body_hash)
        && !mutant!(OlderWins)
    {
        alarm.arrivals += 1;
        alarm.story.add_because(
            now,
            format!("{} ignored", event.state.as_str()),
            format!("it is not newer than what is known ({})", alarm.changed_at),
        );
        return Absorbed::TooOld(alarm);
    }
    if !alarm.active && event.state != AlarmState::Cleared {
        return Absorbed::Opened(open(event, routing, changed_at, Some(&alarm), now));
    }
    change(&mut alarm, event, routing, changed_at, now);
    Absorbed::Changed(alarm)
}

/// When an event counts that was kept since `arrived` and is taken only now: as if it had been taken
/// then, so that what came since is the newer. None: it says itself, or by its raise.
pub fn counts_from(
    newest: Option<&Alarm>,
    event: &AlarmEvent,
    arrived: Timestamp,
) -> Option<Timestamp> {
    // That it is over was found by a snapshot after it had arrived, and was given no time of its own.
    let over = newest.filter(|alarm| alarm.taken_as_cleared && alarm.heard_at >= arrived);
    if let Some(alarm) = over {
        return Some(event.changed_at.unwrap_or(arrived).min(alarm.changed_at));
    }
    if event.changed_at.is_some() || event.state == AlarmState::Raised {
        return None;
    }
    // What is known came before it, by a clock of its source's that is ahead of ours.
    let ahead = |alarm: &&Alarm| {
        alarm.heard_at != Timestamp::default()
            && alarm.heard_at < arrived
            && alarm.changed_at >= arrived
    };
    let next = newest.filter(ahead).map(|alarm| alarm.changed_at.plus(Duration::from_millis(1)));
    Some(next.unwrap_or(arrived))
}

fn open(
    event: &AlarmEvent,
    routing: &Routing,
    changed_at: Timestamp,
    before: Option<&Alarm>,
    now: Timestamp,
) -> Alarm {
    let raised = u64::try_from(event.details.raised_at.as_millis()).unwrap_or(0);
    let occurrence = before.map_or(raised, |b| raised.max(b.at.occurrence + 1));
    let active = event.state != AlarmState::Cleared;
    let mut story = Story::default();
    // A clear of an alarm that nobody knows makes no work; it is kept so that its raise, should
    // it arrive late, is recognized as the older one.
    let due_at = (active && routing.backend.is_some()).then(|| {
        let due = now.plus(routing.create_delay);
        routing.quiet_until.map_or(due, |end| due.max(end))
    });
    let reason = if active {
        routing.reason.clone()
    } else {
        "cleared without having been raised here".to_owned()
    };
    story.add_because(now, event.state.as_str(), &reason);
    Alarm {
        at: OccurrenceRef { alarm: event.alarm.clone(), occurrence },
        active,
        changed_at,
        heard_at: now,
        state: event.state,
        body_hash: event.body_hash,
        details: event.details.clone().into(),
        wanted_version: 1,
        settled_version: u64::from(due_at.is_none()),
        backend: routing.backend.clone(),
        kind: routing.kind,
        ticket: None,
        left: Vec::new(),
        request: None,
        no_ticket: false,
        quiet_until: routing.quiet_until,
        rule: routing.rule.clone(),
        group: routing.group.clone(),
        close_delay_ms: in_millis(routing.close_delay),
        after_clear_ms: before.map(|alarm| in_millis(changed_at.since(alarm.changed_at))),
        taken_as_cleared: false,
        taken_off: false,
        waits: false,
        due_at,
        tickets_made: 0,
        reason: Some(reason),
        first_seen: now,
        arrivals: 1,
        story,
    }
}

fn change(
    alarm: &mut Alarm,
    event: &AlarmEvent,
    routing: &Routing,
    changed_at: Timestamp,
    now: Timestamp,
) {
    let was_active = alarm.active;
    // Cleared, and nothing to be done about it: no ticket was made, none is wanted any more.
    let over = !was_active && alarm.ticket.is_none() && !alarm.unsettled();
    let unwanted = alarm.no_ticket;
    // Over before a rule wanted a ticket for it.
    let quietly = event.state == AlarmState::Cleared
        && alarm.ticket.is_none()
        && alarm.request.is_none()
        && alarm.quiet_until.is_some_and(|end| now < end);
    alarm.active = event.state != AlarmState::Cleared;
    alarm.taken_as_cleared = false;
    let details = level_after(&alarm.details, event);
    let differs = alarm.active != was_active
        || says_otherwise(&alarm.details, &details, routing.update_on.as_deref());
    alarm.details = details.into();
    alarm.changed_at = changed_at;
    alarm.heard_at = now;
    alarm.state = event.state;
    alarm.body_hash = event.body_hash;
    alarm.arrivals += 1;
    // A person has taken it out of its group (U4), also where that had not made its ticket for it.
    let group = routing.group.as_ref().filter(|_| !alarm.taken_off);
    if alarm.backend.is_none() && alarm.ticket.is_none() && alarm.active {
        // Policy may want it now (a graver severity); once there is a ticket its backend stays.
        alarm.backend.clone_from(&routing.backend);
        alarm.kind = routing.kind;
        alarm.group = group.cloned();
    }
    if alarm.active && alarm.backend == routing.backend {
        if alarm.ticket.is_none() && alarm.request.is_none() && alarm.tickets_made == 0 {
            alarm.kind = routing.kind;
            alarm.group = group.cloned();
        }
        alarm.rule.clone_from(&routing.rule);
        alarm.close_delay_ms = in_millis(routing.close_delay);
    }
    if !differs {
        alarm.story.add(now, format!("{} again, nothing new in it", event.state.as_str()));
        return;
    }
    alarm.wanted_version += 1;
    if alarm.backend.is_none() || over || unwanted || quietly {
        alarm.settled_version = alarm.wanted_version;
        alarm.due_at = None;
        let why = if unwanted { "a person wants no ticket for it" } else { &routing.reason };
        if quietly {
            alarm.reason = Some(format!("cleared while no ticket was wanted: {why}"));
        }
        alarm.story.add_because(now, event.state.as_str(), why);
        return;
    }
    alarm.story.add(now, event.state.as_str());
    if alarm.request.is_some() {
        return; // the end of that request makes it due again
    }
    let due = now.plus(match (alarm.ticket.is_some(), alarm.active) {
        (false, _) => routing.create_delay,
        (true, true) => routing.update_delay,
        (true, false) => alarm.close_delay(),
    });
    if alarm.ticket.is_none() {
        alarm.quiet_until = routing.quiet_until;
    }
    // Work that was due earlier stays so; only a clear's own delay may move it (a close waits).
    alarm.due_at = Some(match alarm.due_at {
        Some(earlier) if alarm.active || alarm.ticket.is_none() => earlier.min(due),
        _ => due,
    });
    if let Some(end) = alarm.quiet_until.filter(|_| alarm.ticket.is_none() && alarm.active) {
        alarm.due_at = alarm.due_at.map(|due| due.max(end));
    }
}

/// A clear often says little: what it leaves out stays as it was.
fn level_after(before: &Details, event: &AlarmEvent) -> Details {
    let mut after = event.details.clone();
    if event.state != AlarmState::Cleared {
        return after;
    }
    let keep = |new: &mut Option<String>, old: &Option<String>| {
        if new.is_none() {
            new.clone_from(old);
        }
    };
    after.severity = after.severity.or(before.severity);
    keep(&mut after.object_name, &before.object_name);
    keep(&mut after.alarm_type, &before.alarm_type);
    keep(&mut after.probable_cause, &before.probable_cause);
    keep(&mut after.specific_problem, &before.specific_problem);
    keep(&mut after.text, &before.text);
    keep(&mut after.value, &before.value);
    if after.properties.is_empty() {
        after.properties.clone_from(&before.properties);
    }
    if after.wishes.fields.is_empty() {
        after.wishes.fields.clone_from(&before.wishes.fields);
    }
    after
}

fn in_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Names that `update_on` may list; a single property as `properties.NAME`.
pub const UPDATE_ON: [&str; 10] = [
    "severity",
    "object",
    "object_name",
    "alarm_type",
    "probable_cause",
    "specific_problem",
    "text",
    "value",
    "ticket",
    "properties",
];

/// Would the ticket say something else? `properties` are free and often change with every event
/// (counters, times): unless policy names them, they go along with an update, and cause none.
fn says_otherwise(before: &Details, after: &Details, update_on: Option<&[String]>) -> bool {
    if let Some(names) = update_on {
        return names.iter().any(|name| differs_in(before, after, name));
    }
    before.severity != after.severity
        || before.object != after.object
        || before.object_name != after.object_name
        || before.alarm_type != after.alarm_type
        || before.probable_cause != after.probable_cause
        || before.specific_problem != after.specific_problem
        || before.text != after.text
        || before.value != after.value
        || before.wishes.fields != after.wishes.fields
}

fn differs_in(before: &Details, after: &Details, name: &str) -> bool {
    match name {
        "severity" => before.severity != after.severity,
        "object" => before.object != after.object,
        "object_name" => before.object_name != after.object_name,
        "alarm_type" => before.alarm_type != after.alarm_type,
        "probable_cause" => before.probable_cause != after.probable_cause,
        "specific_problem" => before.specific_problem != after.specific_problem,
        "text" => before.text != after.text,
        "value" => before.value != after.value,
        "ticket" => before.wishes.fields != after.wishes.fields,
        "properties" => before.properties != after.properties,
        _ => name.strip_prefix("properties.").is_some_and(|property| {
            before.properties.get(property) != after.properties.get(property)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BackendId, Severity};
    use crate::testing::{alarm_event, at};
    use proptest::prelude::*;

    fn routing() -> Routing {
        Routing { backend: Some(BackendId::new("crm")), ..Routing::default() }
    }
    fn event(state: AlarmState, millis: i64) -> AlarmEvent {
        let mut event = alarm_event("probe", "1");
        event.state = state;
        event.changed_at = Some(at(millis));
        event.details.raised_at = at(millis);
        event.details.text = Some(format!("{state:?} {millis}"));
        event.body_hash = millis as u64;
        event
    }
    fn after(events: &[AlarmEvent]) -> Alarm {
        let mut alarm = None;
        for event in events {
            alarm = Some(match absorb(alarm, event, &routing(), at(10_000)) {
                Absorbed::TooOld(a) | Absorbed::Changed(a) | Absorbed::Opened(a) => a,
            });
        }
        alarm.unwrap()
    }

    #[test]
    fn what_a_person_took_off_its_ticket_stays_out_of_its_group() {
        let shared = Routing { group: Some("site 1".into()), ..routing() };
        let mut alarm = after(&[event(AlarmState::Raised, 10)]);
        alarm.take_care_of(None);
        alarm.taken_off = true;
        let (Absorbed::Changed(alarm) | Absorbed::Opened(alarm) | Absorbed::TooOld(alarm)) =
            absorb(Some(alarm), &event(AlarmState::Updated, 20), &shared, at(10_000));
        assert_eq!(alarm.group, None);
    }

    #[test]
    fn an_older_event_changes_nothing_but_a_count() {
        use AlarmState::*;
        let alarm = after(&[event(Raised, 10), event(Cleared, 20), event(Updated, 15)]);
        assert!(!alarm.active);
        assert_eq!((alarm.changed_at, alarm.arrivals), (at(20), 3));
        assert_eq!(alarm.details.text.as_deref(), Some("Cleared 20"));
    }

    #[test]
    fn a_raise_newer_than_the_clear_opens_an_occurrence() {
        use AlarmState::*;
        let first = after(&[event(Raised, 10), event(Cleared, 20)]);
        let second = after(&[event(Raised, 10), event(Cleared, 20), event(Raised, 30)]);
        assert_eq!((first.at.occurrence, second.at.occurrence), (10, 30));
        assert!(second.active && second.ticket.is_none());
    }

    #[test]
    fn an_occurrence_number_always_grows() {
        let mut again = event(AlarmState::Raised, 30);
        again.details.raised_at = at(10);
        let alarm = after(&[event(AlarmState::Raised, 10), event(AlarmState::Cleared, 20), again]);
        assert_eq!(alarm.at.occurrence, 11);
    }

    #[test]
    fn at_equal_age_a_clear_wins_over_an_update_over_a_raise() {
        use AlarmState::*;
        for order in [[Raised, Updated, Cleared], [Cleared, Raised, Updated]] {
            let alarm = after(&order.map(|state| event(state, 10)));
            assert_eq!(alarm.state, Cleared, "{order:?}");
        }
    }

    #[test]
    fn a_repeat_without_news_makes_no_work() {
        let first = event(AlarmState::Raised, 10);
        let mut again = first.clone();
        again.changed_at = Some(at(20));
        let alarm = after(&[first, again]);
        assert_eq!((alarm.wanted_version, alarm.arrivals), (1, 2));
    }

    #[test]
    fn a_clear_without_a_raise_is_kept_and_wants_nothing() {
        let alarm = after(&[event(AlarmState::Cleared, 20), event(AlarmState::Raised, 10)]);
        assert!(!alarm.active && !alarm.unsettled() && alarm.due_at.is_none());
    }

    #[test]
    fn a_second_clear_of_an_alarm_that_was_never_raised_wants_nothing_either() {
        let alarm = after(&[event(AlarmState::Cleared, 20), event(AlarmState::Cleared, 30)]);
        assert_eq!(alarm.details.text.as_deref(), Some("Cleared 30"));
        assert!(!alarm.unsettled() && alarm.due_at.is_none());
    }

    #[test]
    fn a_clear_that_says_little_keeps_the_level() {
        let mut raised = event(AlarmState::Raised, 10);
        raised.details.severity = Some(Severity::Major);
        let mut clear = event(AlarmState::Cleared, 20);
        clear.details.severity = None;
        clear.details.text = None;
        let alarm = after(&[raised, clear]);
        assert_eq!(alarm.details.severity, Some(Severity::Major));
        assert_eq!(alarm.details.text.as_deref(), Some("Raised 10"));
    }

    #[test]
    fn without_changed_at_a_later_arrival_is_the_newer_one() {
        let mut update = event(AlarmState::Updated, 10);
        update.changed_at = None;
        let mut clear = event(AlarmState::Cleared, 10);
        clear.changed_at = None;
        let alarm = after(&[event(AlarmState::Raised, 10), update, clear]);
        assert!(!alarm.active);
        assert_eq!(alarm.changed_at, at(10_001));
    }

    #[test]
    fn what_was_kept_counts_from_its_arrival_and_not_from_its_taking() {
        use AlarmState::*;
        let mut update = event(Updated, 10);
        update.changed_at = None;
        let from = |newest: Option<&Alarm>, arrived| counts_from(newest, &update, at(arrived));
        assert_eq!(from(None, 5_000), Some(at(5_000)));
        // `after` hears everything at 10,000.
        let over = after(&[event(Raised, 10), event(Cleared, 9_000)]);
        assert_eq!(from(Some(&over), 8_000), Some(at(8_000)), "the clear came after it");
        assert_eq!(from(Some(&over), 11_000), Some(at(11_000)), "the clear came before it");
        let ahead = after(&[event(Raised, 20_000)]);
        assert_eq!(from(Some(&ahead), 11_000), Some(at(20_001)), "its source's clock is ahead");
        assert_eq!(from(Some(&ahead), 10_000), Some(at(10_000)), "it came at the same time");
        assert_eq!(counts_from(None, &event(Updated, 10), at(5_000)), None, "it says when");
        let mut unnamed = after(&[event(Raised, 10), event(Cleared, 11)]);
        unnamed.taken_as_cleared = true;
        assert_eq!(from(Some(&unnamed), 9_000), Some(at(11)), "a snapshot found that it is over");
        assert_eq!(counts_from(Some(&unnamed), &event(Raised, 50), at(9_000)), Some(at(11)));
        assert_eq!(from(Some(&unnamed), 11_000), Some(at(11_000)), "it came after that");
    }

    proptest! {
        /// Inside one occurrence, any order of arrival ends in the same level.
        #[test]
        fn the_order_of_arrival_does_not_matter(mut order in Just((0..6i64).collect::<Vec<_>>()).prop_shuffle()) {
            let events: Vec<_> = order.iter().map(|n| event(
                if *n == 0 { AlarmState::Raised } else { AlarmState::Updated }, 10 + n / 2)).collect();
            let shuffled = after(&events);
            order.sort_unstable();
            let sorted: Vec<_> = order.iter().map(|n| event(
                if *n == 0 { AlarmState::Raised } else { AlarmState::Updated }, 10 + n / 2)).collect();
            let expected = after(&sorted);
            prop_assert_eq!(&shuffled.details.text, &expected.details.text);
            prop_assert_eq!(shuffled.changed_at, expected.changed_at);
            prop_assert_eq!(shuffled.body_hash, expected.body_hash);
        }
    }

    #[test]
    fn planned_work_holds_a_ticket_back_and_what_is_over_by_then_gets_none() {
        let quiet = Routing { quiet_until: Some(at(9_000)), ..routing() };
        let raised = alarm_event("probe", "1");
        let Absorbed::Opened(alarm) = absorb(None, &raised, &quiet, at(2_000)) else { panic!() };
        assert_eq!(alarm.due_at, Some(at(9_000)));
        let mut event = alarm_event("probe", "1");
        event.state = AlarmState::Updated;
        event.changed_at = Some(at(3_000));
        event.details.text = Some("worse".into());
        let changed = absorb(Some(alarm), &event, &quiet, at(3_000));
        let Absorbed::Changed(alarm) = changed else { panic!() };
        assert_eq!(alarm.due_at, Some(at(9_000)), "news does not make it due earlier");
        event.state = AlarmState::Cleared;
        event.changed_at = Some(at(4_000));
        let over = |now| match absorb(Some(alarm.clone()), &event, &quiet, now) {
            Absorbed::Changed(alarm) => (alarm.unsettled(), alarm.due_at.is_some()),
            other => panic!("{other:?}"),
        };
        assert_eq!(over(at(8_999)), (false, false));
        assert_eq!(over(at(9_000)), (true, true), "after it policy decides as always");
    }
}
