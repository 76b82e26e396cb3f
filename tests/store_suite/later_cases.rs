//! Later answers, admission and the duplicate sweep (rules G8, G14; CONTRACT 1.5).

use crate::cases::refused;
use crate::world::{World, found, identity, noc, open_requests};
use ticketgate_actors::changes::{
    Admission, Applied, Asked, Change, Conclude, Concluded, Decide, End, LaterAnswer, Outcome,
    Refusal, Swept,
};
use ticketgate_actors::model::{
    BackendId, Epoch, EventName, Op, Request, State, TicketError, TicketStatus,
};
use ticketgate_actors::ports::DueMost;
use ticketgate_actors::testing::alarm_event;

fn answer(world: &World, name: &str, asked: Asked, outcome: Outcome) -> Change {
    Change::LaterAnswer(Box::new(LaterAnswer {
        identity: identity(&format!("answer {name}")),
        backend: noc(),
        asked,
        outcome,
        event_id: world.event_id(),
        watch_looks: 2,
    }))
}

fn rejected() -> Outcome {
    Outcome::Rejected(TicketError::because("no such group"))
}

async fn moved(world: &World, change: Change) -> Concluded {
    match world.apply(change).await {
        Applied::Later(Some(concluded)) => *concluded,
        other => panic!("{other:?}"),
    }
}

/// A create that the backend has taken under that reference.
async fn taken(world: &World, epoch: Epoch, id: &str, reference: Option<&str>) -> Request {
    let accepted = world.accepted(id).await;
    let intended = world.intended(epoch, accepted.id).await;
    let backend_ref = reference.map(str::to_owned);
    let concluded = world.concluded(epoch, &intended, End::Acknowledged { backend_ref }).await;
    assert_eq!(concluded.request.state, State::Acknowledged);
    concluded.request
}

pub async fn a_later_answer_finds_its_request_by_any_of_its_names(world: &mut World) {
    let epoch = world.take_lane().await;
    for (n, id) in ["a", "b", "c"].into_iter().enumerate() {
        let request = taken(world, epoch, id, Some(&format!("r{n}"))).await;
        let ticket = world.reads.ticket(request.ticket).await.unwrap().unwrap();
        let asked = match n {
            0 => Asked::Request(request.id),
            1 => Asked::Reference("r1".into()),
            _ => Asked::Correlation(ticket.correlation_key),
        };
        let done = Outcome::Done(found(&format!("INC{n}")));
        let ended = moved(world, answer(world, id, asked.clone(), done.clone())).await;
        assert_eq!(ended.request.state, State::Done);
        assert_eq!(ended.ticket.backend_id, Some(format!("INC{n}")));
        // A repeat changes nothing.
        let repeat = answer(world, id, asked, done);
        assert_eq!(world.apply(repeat).await, Applied::Later(None));
        assert_eq!(world.reads.events_of(request.ticket).await.unwrap().len(), 1);
    }
}

pub async fn a_later_answer_ends_a_doubt_and_what_is_undecided(world: &mut World) {
    let epoch = world.take_lane().await;
    let lost = TicketError::because("unconfirmed");
    let look_at = world.now();
    let doubt = taken(world, epoch, "a", Some("r1")).await;
    world.concluded(epoch, &doubt, End::InDoubt { look_at, error: lost.clone() }).await;
    let undecided = taken(world, epoch, "b", Some("r2")).await;
    world.concluded(epoch, &undecided, End::Undecided(lost)).await;
    let one = answer(world, "1", Asked::Reference("r1".into()), Outcome::Done(found("INC1")));
    assert_eq!(moved(world, one).await.request.state, State::Done);
    let other = answer(world, "2", Asked::Reference("r2".into()), rejected());
    let ended = moved(world, other).await;
    assert_eq!(ended.request.state, State::Rejected);
    assert_eq!(ended.ticket.status, TicketStatus::Rejected);
}

pub async fn a_later_answer_that_fits_nothing_is_refused_and_leaves_no_trace(world: &mut World) {
    let epoch = world.take_lane().await;
    let request = taken(world, epoch, "a", Some("r1")).await;
    let done = || Outcome::Done(found("INC1"));
    let by_id = Asked::Request(request.id);
    for (name, asked, outcome, refusal) in [
        ("1", Asked::Reference("r9".into()), done(), Refusal::NotFound),
        ("2", by_id.clone(), Outcome::Done(found("")), Refusal::NoBackendId),
    ] {
        let change = answer(world, name, asked, outcome);
        assert_eq!(world.try_apply(change).await, refused(refusal));
    }
    let other = Change::LaterAnswer(Box::new(LaterAnswer {
        identity: identity("3"),
        backend: BackendId::new("crm"),
        asked: by_id.clone(),
        outcome: done(),
        event_id: world.event_id(),
        watch_looks: 0,
    }));
    assert_eq!(world.try_apply(other).await, refused(Refusal::NotFound));
    // What was refused may come again, and be right.
    moved(world, answer(world, "1", by_id.clone(), done())).await;
    let contradicts = answer(world, "4", by_id, rejected());
    assert_eq!(world.try_apply(contradicts).await, refused(Refusal::WrongState));
}

pub async fn a_refusal_of_one_of_several_calls_counts_only_if_it_names_the_last(world: &mut World) {
    let epoch = world.take_lane().await;
    let request = world.accepted("a").await;
    let first = world.intended(epoch, request.id).await;
    let (ready_at, error) = (world.now(), TicketError::because("busy"));
    let wait = End::Wait { ready_at, counted: false, error };
    world.concluded(epoch, &first, wait).await;
    let second = world.intended(epoch, request.id).await;
    let backend_ref = Some("r2".to_owned());
    world.concluded(epoch, &second, End::Acknowledged { backend_ref }).await;
    for (name, asked) in [
        ("by our id alone", Asked::Request(request.id)),
        ("of the first call", Asked::Both(request.id, "r1".into())),
    ] {
        let said = world.apply(answer(world, name, asked, rejected())).await;
        assert_eq!(said, Applied::Later(None), "{name}");
    }
    let of_the_last = answer(world, "3", Asked::Both(request.id, "r2".into()), rejected());
    assert_eq!(moved(world, of_the_last).await.request.state, State::Rejected);
}

/// The second call's own answer is lost, or has yet to come: the reference that is stored is the first one's.
pub async fn a_refusal_of_the_first_call_does_not_end_the_second(world: &mut World) {
    let epoch = world.take_lane().await;
    let made = world.done(epoch, "a", "INC1").await;
    let mut event = alarm_event("probe", "a");
    event.details.text = Some("worse".into());
    event.changed_at = Some(world.now());
    world.take_in("a2", event).await;
    let update = world.decided("a", world.write(Op::Update, made.ticket)).await;
    let first = world.intended(epoch, update.id).await;
    let backend_ref = Some("r1".to_owned());
    world.concluded(epoch, &first, End::Acknowledged { backend_ref }).await;
    let unsaid = |error: &str| {
        let (look_at, error) = (world.now(), TicketError::because(error));
        End::InDoubt { look_at, error }
    };
    world.concluded(epoch, &first, unsaid("unconfirmed")).await;
    let second = world.intended(epoch, update.id).await;
    let refused = |name: &str, asked| answer(world, name, asked, rejected());
    let under_way = refused("1", Asked::Reference("r1".into()));
    assert_eq!(world.apply(under_way).await, Applied::Later(None));
    let by_both = refused("2", Asked::Both(update.id, "r1".into()));
    assert_eq!(world.apply(by_both).await, Applied::Later(None));
    world.concluded(epoch, &second, unsaid("the acknowledgement was lost")).await;
    let in_doubt = refused("3", Asked::Reference("r1".into()));
    assert_eq!(world.apply(in_doubt).await, Applied::Later(None));
    // That the first was done is as good as that the second was.
    let done = Outcome::Done(found("INC1"));
    let ended = moved(world, answer(world, "4", Asked::Reference("r1".into()), done)).await;
    assert_eq!(ended.request.state, State::Done);
}

pub async fn an_answer_by_the_tickets_key_alone_is_not_given_to_another_request(world: &mut World) {
    let epoch = world.take_lane().await;
    let request = taken(world, epoch, "a", None).await;
    let look_at = world.now();
    let error = TicketError::because("unconfirmed");
    let doubt = world.concluded(epoch, &request, End::InDoubt { look_at, error }).await.request;
    world.concluded(epoch, &doubt, End::Adopted(found("INC1"))).await;
    let mut event = alarm_event("probe", "a");
    event.details.text = Some("worse".into());
    event.changed_at = Some(world.now());
    world.take_in("a2", event).await;
    let ticket = request.ticket;
    let update = world.decided("a", world.write(Op::Update, ticket)).await;
    world.intended(epoch, update.id).await;
    let key = world.reads.ticket(ticket).await.unwrap().unwrap().correlation_key;
    let late = answer(world, "late", Asked::Correlation(key), Outcome::Done(found("INC1")));
    assert_eq!(world.try_apply(late).await, refused(Refusal::Astray));
}

pub async fn a_full_backend_admits_creates_first_and_then_nothing(world: &mut World) {
    let epoch = world.take_lane().await;
    let made = world.done(epoch, "old", "INC1").await;
    let mut event = alarm_event("probe", "old");
    event.details.text = Some("worse".into());
    event.changed_at = Some(world.now());
    world.take_in("old2", event).await;
    let admission = Admission { creates_only_at: 1, max_open: 2 };
    let with = |decide: Decide| Change::Decide(Box::new(Decide { admission, ..decide }));
    world.accepted("a").await;
    assert_eq!(open_requests(&*world.reads, &noc()).await, 1);
    let update = world.decide("old", world.write(Op::Update, made.ticket)).await;
    assert_eq!(world.try_apply(with(update.clone())).await, refused(Refusal::Full));
    let only_new = |only: bool| {
        let most = DueMost { new: 10, known: if only { 0 } else { 10 } };
        world.reads.due_alarms(noc(), world.now(), most)
    };
    assert_eq!(only_new(false).await.unwrap().len(), 1);
    assert_eq!(only_new(true).await.unwrap().len(), 0);

    world.take_in("b", alarm_event("probe", "b")).await;
    let create = world.decide("b", world.create("tg-b")).await;
    world.apply(with(create)).await;
    world.take_in("c", alarm_event("probe", "c")).await;
    assert_eq!(only_new(true).await.unwrap().len(), 1);
    let create = world.decide("c", world.create("tg-c")).await;
    assert_eq!(world.try_apply(with(create)).await, refused(Refusal::Full));
    assert_eq!(open_requests(&*world.reads, &noc()).await, 2);
    assert_eq!(world.alarm("c").await.ticket, None);
}

pub async fn a_duplicate_is_reported_once_and_watched_for_a_while(world: &mut World) {
    let epoch = world.take_lane().await;
    let request = world.accepted("a").await;
    let intended = world.intended(epoch, request.id).await;
    let (look_at, error) = (world.now(), TicketError::because("lost"));
    let doubt = world.concluded(epoch, &intended, End::InDoubt { look_at, error }).await.request;
    let Change::Conclude(end) =
        world.conclude(epoch, doubt.id, doubt.attempts, End::Adopted(found("INC1")))
    else {
        panic!("a conclusion")
    };
    world.apply(Change::Conclude(Box::new(Conclude { watch_looks: 3, ..*end }))).await;
    let sweep = |found: &[&str]| {
        Change::Swept(Box::new(Swept {
            backend: noc(),
            epoch,
            ticket: request.ticket,
            found: found.iter().map(|id| (*id).to_owned()).collect(),
            event_id: world.event_id(),
        }))
    };
    let watched = || async { world.reads.watched(noc(), 0, 10).await.unwrap().len() };
    for (found, told, left) in
        [(vec!["INC1"], false, 1), (vec!["INC1", "INC2"], true, 1), (vec!["INC2"], false, 0)]
    {
        assert_eq!(world.apply(sweep(&found)).await, Applied::Swept { events: told }, "{found:?}");
        assert_eq!(watched().await, left);
    }
    let events = world.reads.events_of(request.ticket).await.unwrap();
    let told: Vec<_> =
        events.iter().filter(|(it, _)| it.event == EventName::DuplicateDetected).collect();
    let [(event, _)] = told[..] else { panic!("one event: {told:?}") };
    assert!(event.error.as_ref().unwrap().reason.contains("INC2"), "{event:?}");
}
