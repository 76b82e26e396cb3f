//! What is over: history rows (C1, C2), and what goes from the main tables (T5).

use crate::cases::refused;
use crate::world::{World, alarm_ref, found, later, noc, raise};
use std::time::Duration;
use ticketgate_actors::changes::{
    Applied, ByHand, Change, Decision, End, Named, Past, Refusal, Retire, Walk, Wanted,
};
use ticketgate_actors::logic::offload::{Check, OffloadSettings, Span};
use ticketgate_actors::model::{
    AlarmState, CorrelationKey, Epoch, Fields, Found, HistoryList, HistoryRow, Kind, Op, Origin,
    Request, TicketError, TicketName, TicketStatus, Timestamp,
};
use ticketgate_actors::ports::{Leaving, Page, RequestFilter, TicketFilter};
use ticketgate_actors::testing::alarm_event;

const ALL: Page = Page { before: None, after: None, limit: 1_000 };
const DAY: Duration = Duration::from_secs(86_400);

async fn list(world: &World, list: HistoryList) -> Vec<HistoryRow> {
    let rows = world.reads.history(list, ALL).await.unwrap();
    assert_eq!(world.reads.history_count(list).await.unwrap(), rows.len() as u64);
    rows
}

fn cell<'a>(row: &'a HistoryRow, column: &str) -> &'a str {
    row.named().find(|(name, _)| *name == column).unwrap_or_else(|| panic!("{column}?")).1
}

fn no() -> TicketError {
    TicketError {
        reason: "priority is missing".into(),
        http_status: Some(422),
        code: Some("E42".into()),
        description: Some("priority must be given".into()),
    }
}

async fn refused_create(world: &World, epoch: Epoch, id: &str) -> Request {
    let accepted = world.accepted(id).await;
    let intended = world.intended(epoch, accepted.id).await;
    world.concluded(epoch, &intended, End::Rejected(no())).await.request
}

/// The ticket of an alarm is closed with it.
async fn closed(world: &World, epoch: Epoch, id: &str, backend_id: &str) -> Request {
    let made = world.done(epoch, id, backend_id).await;
    let end = later(id, AlarmState::Cleared, 5);
    world.take_in(&format!("{id} ends"), end).await;
    let close = world.decided(id, world.write(Op::Close, made.ticket)).await;
    let intended = world.intended(epoch, close.id).await;
    world.concluded(epoch, &intended, End::Done(found(backend_id))).await.request
}

pub async fn every_end_of_a_write_leaves_its_rows(world: &mut World) {
    let epoch = world.take_lane().await;
    let mut event = alarm_event("probe", "a");
    event.details.object_name = Some("Antwerp 7".into());
    event.details.properties = Fields::from_iter([
        ("dataminer_id".to_owned(), 12.into()),
        ("urgency".into(), "high".into()),
    ]);
    world.take_in("a", event).await;
    let mut create = world.create("tg-a");
    if let Decision::Create { fields, .. } = &mut create {
        fields.insert("priority".into(), "P1".into());
    }
    let accepted = world.decided("a", create).await;
    for list_ in HistoryList::ALL {
        assert_eq!(list(world, list_).await, [], "nothing has ended");
    }
    let intended = world.intended(epoch, accepted.id).await;
    let done = world.concluded(epoch, &intended, End::Done(found("INC1"))).await.request;
    let no_more = refused_create(world, epoch, "b").await;

    let status = list(world, HistoryList::Status).await;
    let [failed, succeeded] = &status[..] else { panic!("{status:#?}") };
    for (column, value) in [
        ("instance", done.id.to_string()),
        ("ticket", done.ticket.to_string()),
        ("backend", "noc".to_owned()),
        ("backend_id", "INC1".to_owned()),
        ("kind", "incident".to_owned()),
        ("operation", "create".to_owned()),
        ("alarm", "probe/a".to_owned()),
        ("status", "Succeeded".to_owned()),
        ("reason", String::new()),
    ] {
        assert_eq!(cell(succeeded, column), value, "{column}");
    }
    assert_eq!(Some(succeeded.at), done.ended_at);
    assert_eq!(cell(failed, "status"), "Failed");
    assert_eq!(cell(failed, "reason"), "priority is missing");

    let tickets = list(world, HistoryList::Tickets).await;
    let [failed, made] = &tickets[..] else { panic!("{tickets:#?}") };
    for (column, value) in [
        ("ticket_id", "INC1"),
        ("alarm_id", "a"),
        ("dataminer_id", "12"),
        ("element_id", "tx/1"),
        ("element_name", "Antwerp 7"),
        ("priority", "P1"),
        ("urgency", "high"),
        ("root_cause", ""),
        ("status", "acknowledged"),
    ] {
        assert_eq!(cell(made, column), value, "{column}");
    }
    assert_eq!((cell(failed, "status"), cell(failed, "created_at")), ("failed", ""));

    let failures = list(world, HistoryList::Failed).await;
    let [row] = &failures[..] else { panic!("{failures:#?}") };
    let ours = no_more.ticket.to_string();
    for (column, value) in [
        ("ticket_id", ours.as_str()),
        ("http_error_code", "422"),
        ("app_error_code", "E42"),
        ("error_message", "priority is missing"),
        ("error_description", "priority must be given"),
    ] {
        assert_eq!(cell(row, column), value, "{column}");
    }
}

pub async fn what_was_never_sent_leaves_no_row_and_what_was_found_leaves_one(world: &mut World) {
    let epoch = world.take_lane().await;
    let waits = world.accepted("a").await;
    let superseded = End::Superseded("cleared before".into());
    world.apply(world.conclude(epoch, waits.id, 0, superseded)).await;
    assert_eq!(list(world, HistoryList::Status).await, []);
    world.apply(raise("b")).await;
    let found = Found { status: Some(TicketStatus::InProgress), ..found("INC7") };
    let adopt = Decision::Adopt {
        ticket: world.ticket_key(),
        correlation_key: CorrelationKey("tg-b".into()),
        found: Box::new(found),
        ours: false,
    };
    let decide = world.decide("b", adopt).await;
    world.apply(Change::Decide(Box::new(decide))).await;
    let status = list(world, HistoryList::Status).await;
    assert_eq!((status.len(), cell(&status[0], "status")), (1, "Succeeded"));
    let tickets = list(world, HistoryList::Tickets).await;
    assert_eq!(
        (cell(&tickets[0], "ticket_id"), cell(&tickets[0], "status")),
        ("INC7", "inProgress")
    );
    // A close is no ticket of its own.
    closed(world, epoch, "c", "INC8").await;
    assert_eq!(list(world, HistoryList::Status).await.len(), 3);
    assert_eq!(list(world, HistoryList::Tickets).await.len(), 2);
}

pub async fn history_is_paged_from_both_ends(world: &mut World) {
    let epoch = world.take_lane().await;
    for n in 1..=5 {
        world.done(epoch, &n.to_string(), &format!("INC{n}")).await;
    }
    let rows = list(world, HistoryList::Tickets).await;
    let numbers: Vec<u64> = rows.iter().map(|row| row.n).collect();
    assert!(numbers.is_sorted_by(|one, next| one > next), "newest first: {numbers:?}");
    let page = Page { before: Some(numbers[1]), after: None, limit: 2 };
    assert_eq!(world.reads.history(HistoryList::Tickets, page).await.unwrap(), rows[2..4]);
    let nth = async |nth| world.reads.nth_history(HistoryList::Tickets, nth).await.unwrap();
    assert_eq!(
        [nth(0).await, nth(1).await, nth(5).await, nth(6).await],
        [None, Some(numbers[4]), Some(numbers[0]), None]
    );
    let (first, third) = (numbers[4], numbers[2]);
    let between = world.reads.history_between(HistoryList::Tickets, first, third, 9).await.unwrap();
    assert_eq!(between.iter().map(|row| row.n).collect::<Vec<_>>(), [numbers[3], third]);
    let one = world.reads.history_between(HistoryList::Tickets, 0, third, 1).await.unwrap();
    assert_eq!(one[0].n, first);
}

pub fn span(now: Timestamp) -> Span {
    let settings = OffloadSettings {
        max_rows: 1,
        amount: 1,
        check: Check::Every(DAY),
        span_hours: 1,
        zone: jiff::tz::TimeZone::UTC,
        keep_files: None,
    };
    Span::of(now, &settings)
}

/// C1.
pub async fn rows_leave_only_under_their_mark_and_their_numbers_never_come_back(world: &mut World) {
    let epoch = world.take_lane().await;
    for n in 1..=4 {
        world.done(epoch, &n.to_string(), &format!("INC{n}")).await;
    }
    let list_ = HistoryList::Status;
    let rows = list(world, list_).await;
    let left = |upto, limit| Change::Past(Past::Left { list: list_, upto, limit });
    let newest = rows[0].n;
    assert_eq!(world.try_apply(left(newest, 9)).await, refused(Refusal::WrongState));
    let leaving = Leaving { upto: newest, span: span(world.now()) };
    world.apply(Change::Past(Past::Leave(list_, leaving))).await;
    assert_eq!(world.reads.leaving(list_).await.unwrap(), Some(leaving));
    assert_eq!(world.reads.leaving(HistoryList::Failed).await.unwrap(), None);
    // Another offload must not begin, and no other rows go.
    let again = Change::Past(Past::Leave(list_, Leaving { upto: 1, ..leaving }));
    assert_eq!(world.try_apply(again).await, refused(Refusal::WrongState));
    assert_eq!(world.try_apply(left(newest - 1, 9)).await, refused(Refusal::WrongState));
    // A row that comes meanwhile stays.
    world.done(epoch, "5", "INC5").await;
    assert_eq!(world.apply(left(newest, 3)).await, Applied::Count(3));
    assert_eq!(world.reads.leaving(list_).await.unwrap(), Some(leaving), "one is left");
    assert_eq!(world.apply(left(newest, 3)).await, Applied::Count(1));
    assert_eq!(world.reads.leaving(list_).await.unwrap(), None);
    let rest = list(world, list_).await;
    assert_eq!((rest.len(), cell(&rest[0], "backend_id")), (1, "INC5"));
    assert_eq!(list(world, HistoryList::Tickets).await.len(), 5, "other lists stay");
    // All go, and the next row has a number of its own.
    let leaving = Leaving { upto: rest[0].n, span: span(world.now()) };
    world.apply(Change::Past(Past::Leave(list_, leaving))).await;
    world.apply(left(rest[0].n, 9)).await;
    world.done(epoch, "6", "INC6").await;
    assert!(list(world, list_).await[0].n > rest[0].n);
    world.apply(Change::Past(Past::Leave(list_, leaving))).await;
    world.apply(Change::Past(Past::Stay(list_))).await;
    assert_eq!(world.reads.leaving(list_).await.unwrap(), None);
    assert_eq!(list(world, list_).await.len(), 1);
}

pub async fn history_is_limited_by_number_and_by_age(world: &mut World) {
    let epoch = world.take_lane().await;
    for n in 1..=6 {
        world.done(epoch, &n.to_string(), &format!("INC{n}")).await;
        world.clock.advance(DAY);
    }
    let limit = async |most, before, limit| {
        let list = HistoryList::Tickets;
        world.apply(Change::Past(Past::Limit { list, most, before, limit })).await
    };
    assert_eq!(limit(6, None, 9).await, Applied::Count(0));
    assert_eq!(limit(4, None, 1).await, Applied::Count(1), "so many in one go");
    assert_eq!(limit(4, None, 9).await, Applied::Count(1));
    let now = world.now();
    let third = Timestamp::from_nanos(now.as_nanos() - 4 * 86_400_000_000_000);
    assert_eq!(limit(9, Some(third), 9).await, Applied::Count(0), "not older");
    assert_eq!(limit(9, Some(third.plus(DAY)), 9).await, Applied::Count(1));
    let left = list(world, HistoryList::Tickets).await;
    assert_eq!(
        left.iter().map(|row| cell(row, "ticket_id")).collect::<Vec<_>>(),
        ["INC6", "INC5", "INC4"]
    );
}

/// Walks everything as the clock does.
pub async fn retire(world: &World, limit: u32) -> [u64; 3] {
    let before = Timestamp::from_nanos(world.now().as_nanos() - 90 * 86_400_000_000_000);
    let mut gone = [0; 3];
    for (walk, gone) in Walk::ALL.into_iter().zip(&mut gone) {
        let mut after = Some(0);
        while let Some(from) = after {
            let retire = Retire { walk, after: from, before, limit };
            let Applied::Retired(page) = world.apply(Change::Retire(retire)).await else {
                panic!("another answer");
            };
            *gone += page.gone;
            after = page.next;
        }
    }
    gone
}

pub async fn send_all(world: &World) {
    let events = world.reads.unsent_events(0, 1_000).await.unwrap();
    world.apply(Change::Sent(events.iter().map(|event| event.n).collect())).await;
}

async fn rows(world: &World) -> [usize; 4] {
    let alarms = world.reads.alarms(Default::default(), ALL).await.unwrap().len();
    let tickets = world.reads.tickets(TicketFilter::default(), ALL).await.unwrap().len();
    let requests = world.reads.requests(RequestFilter::default(), ALL).await.unwrap().len();
    let events = world.reads.events_after(0, 1_000).await.unwrap().len();
    [alarms, tickets, requests, events]
}

/// T5.
pub async fn what_is_over_goes_when_it_is_old(world: &mut World) {
    let epoch = world.take_lane().await;
    for n in 1..=5 {
        closed(world, epoch, &n.to_string(), &format!("INC{n}")).await;
    }
    // An alarm that never had a ticket.
    let raised = later("quiet", AlarmState::Raised, 1);
    world.take_in("quiet", raised).await;
    let nothing = world.decide("quiet", Decision::Nothing).await;
    world.apply(Change::Decide(Box::new(nothing))).await;
    world.take_in("quiet ends", later("quiet", AlarmState::Cleared, 2)).await;
    let nothing = world.decide("quiet", Decision::Nothing).await;
    world.apply(Change::Decide(Box::new(nothing))).await;
    send_all(world).await;
    assert_eq!(rows(world).await, [6, 5, 10, 10]);
    world.clock.advance(89 * DAY);
    assert_eq!(retire(world, 3).await, [0, 0, 0], "not old enough");
    world.clock.advance(2 * DAY);
    assert_eq!(retire(world, 3).await, [10, 5, 1]);
    assert_eq!(rows(world).await, [0, 0, 0, 0]);
    let figures = world.reads.figures().await.unwrap();
    assert!(figures.requests.iter().all(|(_, _, n)| *n == 0), "{figures:?}");
    // What comes then begins anew, under numbers that were never given.
    let made = world.done(epoch, "9", "INC9").await;
    assert!(made.n > 10);
    assert_eq!(list(world, HistoryList::Status).await.len(), 11, "history has its own limits");
}

/// T5: what matters is never expired.
pub async fn what_is_at_work_never_goes(world: &mut World) {
    let epoch = world.take_lane().await;
    // Active, with an open ticket; cleared, with an open ticket; cleared, with its close in doubt.
    world.done(epoch, "active", "INC1").await;
    let open = world.done(epoch, "still open", "INC2").await;
    world.take_in("open ends", later("still open", AlarmState::Cleared, 5)).await;
    let nothing = world.decide("still open", Decision::Nothing).await;
    world.apply(Change::Decide(Box::new(nothing))).await;
    let doubted = world.done(epoch, "in doubt", "INC3").await;
    world.take_in("doubt ends", later("in doubt", AlarmState::Cleared, 5)).await;
    let close = world.decided("in doubt", world.write(Op::Close, doubted.ticket)).await;
    let intended = world.intended(epoch, close.id).await;
    let lost = TicketError::because("no answer");
    let doubt = End::InDoubt { look_at: world.now(), error: lost.clone() };
    world.concluded(epoch, &intended, doubt).await;
    // Refused, and still active: a newer level may send it again.
    refused_create(world, epoch, "refused").await;
    // Cleared and not settled: its close is due.
    world.done(epoch, "unsettled", "INC4").await;
    world.take_in("unsettled ends", later("unsettled", AlarmState::Cleared, 5)).await;
    // Waiting for its turn.
    world.accepted("waits").await;
    send_all(world).await;
    // Closed, but the broker has not confirmed its events.
    let unsent = closed(world, epoch, "unsent", "INC5").await;
    // Closed, but it may exist twice.
    let twice = world.accepted("twice").await;
    let intended = world.intended(epoch, twice.id).await;
    let doubt = End::InDoubt { look_at: world.now(), error: lost };
    world.concluded(epoch, &intended, doubt).await;
    let change = world.conclude(epoch, twice.id, 1, End::Adopted(found("INC6")));
    let Change::Conclude(mut conclude) = change else { panic!() };
    conclude.watch_looks = 3;
    world.apply(Change::Conclude(conclude)).await;

    let before = rows(world).await;
    world.clock.advance(400 * DAY);
    let [requests, tickets, alarms] = retire(world, 2).await;
    assert_eq!((tickets, alarms), (0, 0));
    // Ended requests of what is still open are told by the history; the doubted ones stay.
    assert_eq!(requests, 7, "creates that ended, and the one close");
    let after = rows(world).await;
    assert_eq!([after[0], after[1], after[3]], [before[0], before[1], before[3]]);
    assert_eq!(after[2], before[2] - 7);
    for key in [open.ticket, unsent.ticket] {
        assert!(world.reads.ticket(key).await.unwrap().is_some());
    }
    assert!(world.reads.request(twice.id).await.unwrap().is_some(), "watched");
    assert!(world.reads.request(close.id).await.unwrap().is_some(), "in doubt");
    assert_eq!(world.alarm("still open").await.ticket, Some(open.ticket), "links stay");
    // Once its events are out, the closed one goes.
    send_all(world).await;
    assert_eq!(retire(world, 2).await, [0, 1, 0]);
    assert_eq!(world.reads.occurrences(alarm_ref("unsent")).await.unwrap(), []);
}

/// T5: a link goes only with its ticket, whichever of a ticket's alarms is old.
pub async fn a_ticket_goes_with_the_last_of_its_alarms(world: &mut World) {
    let epoch = world.take_lane().await;
    let ended = closed(world, epoch, "a", "INC1").await;
    send_all(world).await;
    world.clock.advance(91 * DAY);
    // Somebody links a live alarm to another ticket, and this one to the old one's neighbour.
    world.apply(raise("b")).await;
    let key = world.ticket_key();
    let row = Named {
        ticket: key,
        correlation_key: CorrelationKey(format!("tg-{key}")),
        origin: Origin::Command { id: key.to_string() },
    };
    let wanted = Wanted::Link(TicketName::Theirs(noc(), "OLD9".into(), Kind::Incident));
    let (who, reason) = ("ann".to_owned(), "the same fault".to_owned());
    let alarm = alarm_ref("b");
    let it = ByHand { alarm, wanted, row, seen: None, unverified: None, who, reason };
    world.apply(Change::ByHand(Box::new(it))).await;
    assert_eq!(retire(world, 50).await, [2, 1, 0]);
    assert!(world.reads.ticket(ended.ticket).await.unwrap().is_none());
    assert_eq!(world.alarm("b").await.ticket, Some(key));
    world.clock.advance(400 * DAY);
    assert_eq!(retire(world, 50).await, [0, 0, 0], "b is active");
}
