//! Due alarms, lists and figures: what every store reads.

use crate::world::{World, alarm_ref, found, later, noc, raise};
use std::time::Duration;
use ticketgate_actors::changes::{Applied, Change, Decision, End, TakeIn};
use ticketgate_actors::logic::policy::Routing;
use ticketgate_actors::model::{AlarmState, BackendId, Op, Parked, State};
use ticketgate_actors::ports::{
    AlarmFilter, DueMost, LaneCounts, Page, RequestFilter, StoreFigures, TicketFilter,
};
use ticketgate_actors::testing::alarm_event;

fn page(before: Option<u64>, limit: u32) -> Page {
    Page { before, after: None, limit }
}

pub async fn an_alarm_is_due_in_its_time_with_its_ticket(world: &mut World) {
    let start = world.now();
    for (id, delay) in [("late", 20), ("soon", 10)] {
        let routing =
            Routing { create_delay: Duration::from_secs(delay), ..crate::world::routing() };
        let event = alarm_event("probe", id);
        let identity = crate::world::identity(id);
        world
            .apply(Change::TakeIn(Box::new(TakeIn { identity, event, routing, parked_at: None })))
            .await;
    }
    let due = async |seconds: u64, limit: u32| -> Vec<String> {
        let now = start.plus(Duration::from_secs(seconds));
        let due = world.reads.due_alarms(noc(), now, DueMost::of_each(limit)).await.unwrap();
        due.into_iter().map(|due| due.alarm.at.alarm.id).collect()
    };
    assert_eq!(due(9, 10).await, [""; 0]);
    assert_eq!(due(10, 10).await, ["soon"]);
    assert_eq!(due(99, 10).await, ["soon", "late"], "the longest due first");
    assert_eq!(due(99, 1).await, ["soon"]);
    let other = BackendId::new("crm");
    assert_eq!(
        world
            .reads
            .due_alarms(other, start.plus(Duration::MAX), DueMost::of_each(9))
            .await
            .unwrap(),
        []
    );
    assert_eq!(world.reads.lane_counts(noc()).await.unwrap().due_alarms, 2);

    let epoch = world.take_lane().await;
    world.done(epoch, "a", "INC1").await;
    world.take_in("clear", later("a", AlarmState::Cleared, 1)).await;
    let due = world.reads.due_alarms(noc(), world.now(), DueMost::of_each(1)).await.unwrap();
    assert_eq!(due[0].alarm, world.alarm("a").await);
    assert_eq!(due[0].ticket.as_ref().unwrap().backend_id.as_deref(), Some("INC1"));
}

pub async fn a_new_occurrence_is_due_with_the_ticket_of_the_one_before(world: &mut World) {
    let epoch = world.take_lane().await;
    world.done(epoch, "a", "INC1").await;
    // Two more occurrences: the second gets no ticket, so the third sees that of the first.
    for n in 1..=2 {
        world.take_in(&format!("clear {n}"), later("a", AlarmState::Cleared, n * 100)).await;
        let nothing = world.decide("a", Decision::Nothing).await;
        world.apply(Change::Decide(Box::new(nothing))).await;
        let again = later("a", AlarmState::Raised, n * 100 + 50);
        world.take_in(&format!("raise {n}"), again).await;
    }
    assert_eq!(world.reads.occurrences(alarm_ref("a")).await.unwrap().len(), 3);
    let [due] = &world.reads.due_alarms(noc(), world.now(), DueMost::of_each(9)).await.unwrap()[..]
    else {
        panic!("one alarm is due");
    };
    assert_eq!((due.alarm.ticket, due.alarm.at.occurrence), (None, 1_002));
    assert_eq!(due.ticket.as_ref().unwrap().backend_id.as_deref(), Some("INC1"));
}

pub async fn lists_run_newest_first_page_by_page(world: &mut World) {
    let epoch = world.take_lane().await;
    for n in 1..=5 {
        world.done(epoch, &n.to_string(), &format!("INC{n}")).await;
    }
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let rows = world.reads.alarms(AlarmFilter::default(), page(before, 2)).await.unwrap();
        assert!(rows.len() <= 2);
        let Some((n, _)) = rows.last() else { break };
        before = Some(*n);
        seen.extend(rows.into_iter().map(|(_, alarm)| alarm.at.alarm.id));
    }
    assert_eq!(seen, ["5", "4", "3", "2", "1"]);

    let tickets = world.reads.tickets(TicketFilter::default(), page(None, 2)).await.unwrap();
    let ids: Vec<_> = tickets.iter().filter_map(|(_, it)| it.backend_id.as_deref()).collect();
    assert_eq!(ids, ["INC5", "INC4"]);
    let rest = page(Some(tickets[1].0), 9);
    assert_eq!(world.reads.tickets(TicketFilter::default(), rest).await.unwrap().len(), 3);

    let requests = world.reads.requests(RequestFilter::default(), page(None, 2)).await.unwrap();
    assert!(requests[0].n > requests[1].n);
    let rest = page(Some(requests[1].n), 9);
    assert_eq!(world.reads.requests(RequestFilter::default(), rest).await.unwrap().len(), 3);
}

pub async fn lists_are_filtered(world: &mut World) {
    let epoch = world.take_lane().await;
    world.done(epoch, "a", "INC1").await;
    let open = world.accepted("b").await;
    world.take_in("other", alarm_event("scope", "c")).await;
    world.take_in("clear", later("a", AlarmState::Cleared, 1)).await;

    let alarms = async |source: Option<&str>, active| {
        let filter = AlarmFilter { source: source.map(str::to_owned), active };
        let rows = world.reads.alarms(filter, page(None, 9)).await.unwrap();
        rows.into_iter().map(|(_, alarm)| alarm.at.alarm.id).collect::<Vec<_>>()
    };
    assert_eq!(alarms(None, None).await, ["c", "b", "a"]);
    assert_eq!(alarms(Some("probe"), None).await, ["b", "a"]);
    assert_eq!(alarms(None, Some(true)).await, ["c", "b"]);
    assert_eq!(alarms(Some("probe"), Some(false)).await, ["a"]);

    let tickets = async |backend: Option<&str>, status: Option<&str>| {
        let backend = backend.map(BackendId::new);
        let filter = TicketFilter { backend, status: status.map(str::to_owned) };
        world.reads.tickets(filter, page(None, 9)).await.unwrap().len()
    };
    assert_eq!(tickets(Some("noc"), None).await, 2);
    assert_eq!(tickets(Some("crm"), None).await, 0);
    assert_eq!(tickets(None, Some("pending")).await, 1);
    assert_eq!(tickets(Some("noc"), Some("acknowledged")).await, 1);

    let requests = async |state, ticket| {
        let filter = RequestFilter { backend: Some(noc()), state, ticket, open: None };
        let rows = world.reads.requests(filter, page(None, 9)).await.unwrap();
        rows.into_iter().map(|request| request.id).collect::<Vec<_>>()
    };
    assert_eq!(requests(None, None).await.len(), 2);
    assert_eq!(requests(Some(State::Accepted), None).await, [open.id]);
    assert_eq!(requests(None, Some(open.ticket)).await, [open.id]);
    assert_eq!(requests(Some(State::Done), Some(open.ticket)).await, []);
}

pub async fn a_parked_message_comes_back_to_the_byte(world: &mut World) {
    let mut parked = Parked {
        n: 0,
        at: world.now(),
        inlet: "alarms".into(),
        message_id: Some("m-1".into()),
        content_type: None,
        reason: "not JSON".into(),
        field: None,
        mended: 0,
        place: None,
        original: None,
        body: (0..=255).collect(),
    };
    let mut numbers = Vec::new();
    for _ in 0..2 {
        match world.apply(Change::Park(Box::new(parked.clone()))).await {
            Applied::Count(n) => numbers.push(n),
            other => panic!("{other:?}"),
        }
    }
    for (most, counted) in [(1, 1), (9, 2)] {
        assert_eq!(world.reads.parked_count(most).await.unwrap(), counted);
    }
    parked.n = numbers[1];
    assert_eq!(world.reads.parked(None, page(None, 1)).await.unwrap(), [parked.clone()]);
    parked.n = numbers[0];
    assert_eq!(world.reads.parked(None, page(Some(numbers[1]), 9)).await.unwrap(), [parked]);
}

pub async fn events_are_read_on_from_any_of_them(world: &mut World) {
    assert_eq!(world.reads.newest_event().await.unwrap(), None);
    let epoch = world.take_lane().await;
    for n in 1..=5 {
        world.done(epoch, &n.to_string(), &format!("INC{n}")).await;
    }
    let all = world.reads.events_after(0, 99).await.unwrap();
    let theirs: Vec<_> = all.iter().filter_map(|it| it.ticket.backend_id.as_deref()).collect();
    assert_eq!(theirs, ["INC1", "INC2", "INC3", "INC4", "INC5"]);
    assert!(all.is_sorted_by(|one, next| one.n < next.n));
    // Sent or not makes no difference here.
    world.apply(Change::Sent(vec![all[3].n])).await;
    assert_eq!(world.reads.events_after(all[1].n, 2).await.unwrap(), all[2..4]);
    assert_eq!(world.reads.events_after(all[4].n, 2).await.unwrap(), []);
    assert_eq!(world.reads.event(all[2].event_id).await.unwrap().as_ref(), Some(&all[2]));
    assert_eq!(world.reads.event(world.event_id()).await.unwrap(), None);
    assert_eq!(world.reads.newest_event().await.unwrap().as_ref(), Some(&all[4]));
    for (most, counted) in [(99, 4), (3, 3)] {
        assert_eq!(world.reads.unsent_count(most).await.unwrap(), counted);
    }
}

pub async fn the_figures_agree_with_the_rows(world: &mut World) {
    let epoch = world.take_lane().await;
    world.done(epoch, "a", "INC1").await;
    let closing = world.done(epoch, "b", "INC2").await;
    world.take_in("clear", later("b", AlarmState::Cleared, 1)).await;
    let close = world.decided("b", world.write(Op::Close, closing.ticket)).await;
    let ready = world.reads.ready_requests(noc(), 1, world.now(), 9).await.unwrap();
    assert_eq!(ready[..], *std::slice::from_ref(&close));
    let intended = world.intended(epoch, close.id).await;
    world.apply(raise("c")).await;
    let counts = LaneCounts { intent: 1, due_alarms: 1, ..LaneCounts::default() };
    assert_eq!(world.reads.lane_counts(noc()).await.unwrap(), counts);

    let mut figures = world.reads.figures().await.unwrap();
    figures.requests.sort();
    let expected = StoreFigures {
        requests: vec![(noc(), State::Intent, 1), (noc(), State::Done, 2)],
        alarms: 3,
        unsettled_alarms: 2,
        tickets: 2,
        unsent_events: 2,
        parked: 0,
    };
    assert_eq!(figures, expected);
    world.concluded(epoch, &intended, End::Done(found("INC2"))).await;
    assert_eq!(world.reads.figures().await.unwrap().unsettled_alarms, 1);
}
