//! What people do by hand to lanes, requests and parked messages; and the audit of it.

use crate::world::{
    Answer, World, alarm_ref, found, identity, later, noc, raise, routing, take_in,
};
use std::slice::from_ref;
use std::time::Duration;
use ticketgate_actors::changes::{
    Admission, Applied, Cancel, Change, Concluded, Decision, End, Guard, HELD_MAX, HoldTicket,
    Level, Mend, Refusal, Retry, TakeCommand, TakeIn, Unpark, Write,
};
use ticketgate_actors::model::{
    AlarmEvent, AlarmState, AsItCame, CommandId, CorrelationKey, Epoch, Fields, Kind, MadeBy, Mark,
    Op, Parked, Reply, Request, RequestId, State, TicketError, TicketKey, TicketName, TicketStatus,
    Timestamp,
};
use ticketgate_actors::ports::{Page, StoreError};
use uuid::Uuid;

fn refused(refusal: Refusal) -> Answer {
    Err(StoreError::Refused(refusal))
}

fn pause() -> Change {
    Change::PauseByHand { backend: noc(), who: "ann".into(), reason: "they upgrade".into() }
}

pub async fn a_person_pauses_a_lane_once_and_a_restart_keeps_it(world: &mut World) {
    world.take_lane().await;
    let Applied::Held(pause_as_told) = world.apply(pause()).await else { panic!("not paused") };
    assert_eq!((&*pause_as_told.by, &*pause_as_told.reason), ("ann", "they upgrade"));
    assert_eq!(world.try_apply(pause()).await, refused(Refusal::AlreadyPaused));
    world.take_lane().await;
    assert_eq!(world.reads.lane(noc()).await.unwrap().pause, Some(pause_as_told));
    let resume = Change::ResumeLane { backend: noc(), who: "bob".into(), reason: "done".into() };
    world.apply(resume).await;
    assert_eq!(world.reads.lane(noc()).await.unwrap().pause, None);
    let page = Page { before: None, after: None, limit: 10 };
    let audit = world.reads.audited(None, page).await.unwrap();
    let told: Vec<_> = audit.iter().map(|it| (&*it.who, &*it.what, &*it.why)).collect();
    assert_eq!(
        told,
        [("bob", "lane noc resumed", "done"), ("ann", "lane noc paused", "they upgrade")]
    );
    let of_ann = world.reads.audited(Some("ann".into()), page).await.unwrap();
    assert_eq!(of_ann, audit[1..]);
    let oldest = Page { before: None, after: Some(0), limit: 1 };
    assert_eq!(world.reads.audited(None, oldest).await.unwrap(), audit[1..]);
    let next = Page { before: None, after: Some(audit[1].n), limit: 9 };
    assert_eq!(world.reads.audited(None, next).await.unwrap(), audit[..1]);
}

pub fn hold(ticket: TicketKey, hold: bool) -> Change {
    let (who, reason) = ("ann".into(), "wait for the owner".into());
    Change::HoldTicket(Box::new(HoldTicket { backend: noc(), ticket, hold, who, reason }))
}

pub async fn a_held_ticket_is_not_ready_until_it_is_released(world: &mut World) {
    world.take_lane().await;
    let held = world.accepted("a").await;
    let other = world.accepted("b").await;
    let ready = async || {
        let rows = world.reads.ready_requests(noc(), 0, world.now(), 9).await.unwrap();
        rows.into_iter().map(|request| request.id).collect::<Vec<_>>()
    };
    assert_eq!(ready().await, [held.id, other.id]);
    assert_eq!(world.try_apply(hold(held.ticket, false)).await, refused(Refusal::NotHeld));
    world.apply(hold(held.ticket, true)).await;
    assert_eq!(world.try_apply(hold(held.ticket, true)).await, refused(Refusal::AlreadyHeld));
    assert_eq!(ready().await, [other.id]);
    let list = world.reads.held(noc()).await.unwrap();
    assert_eq!((list.len(), list[0].0, &*list[0].1.by), (1, held.ticket, "ann"));
    world.apply(hold(held.ticket, false)).await;
    assert_eq!(ready().await, [held.id, other.id]);
    assert_eq!(world.reads.held(noc()).await.unwrap(), []);
    let nobodys = TicketKey(Uuid::from_u128(77));
    assert_eq!(world.try_apply(hold(nobodys, true)).await, refused(Refusal::NotFound));
}

pub async fn only_so_many_tickets_of_a_backend_are_held(world: &mut World) {
    for n in 0..=HELD_MAX {
        let request = world.accepted(&format!("a{n}")).await;
        let held = world.try_apply(hold(request.ticket, true)).await;
        match n < HELD_MAX {
            true => assert!(held.is_ok(), "{n}: {held:?}"),
            false => assert_eq!(held, refused(Refusal::TooManyHeld)),
        }
    }
}

fn retry_of(world: &World, request: RequestId) -> Retry {
    Retry {
        request,
        fresh: world.request_id(),
        command: CommandId(world.request_id().0),
        admission: Admission::default(),
        may_be_done: false,
        settle: Duration::from_secs(30),
        who: "ann".into(),
        reason: "they have mended it".into(),
    }
}

async fn try_retry(world: &World, retry: &Retry) -> Answer {
    world.try_apply(Change::Retry(Box::new(retry.clone()))).await
}

async fn retried(world: &World, retry: &Retry) -> Concluded {
    match try_retry(world, retry).await.unwrap().pop() {
        Some(Applied::Concluded(it)) => *it,
        other => panic!("{other:?}"),
    }
}

pub async fn fails(world: &World, epoch: Epoch, request: RequestId) -> Request {
    let intended = world.intended(epoch, request).await;
    let failed = End::Failed(TicketError::because("429 for ever"));
    world.concluded(epoch, &intended, failed).await.request
}

pub async fn a_failed_create_is_done_again_by_a_fresh_request_of_its_ticket(world: &mut World) {
    let epoch = world.take_lane().await;
    let accepted = world.accepted("a").await;
    let retry = retry_of(world, accepted.id);
    assert_eq!(try_retry(world, &retry).await, refused(Refusal::WrongState));
    let failed = fails(world, epoch, accepted.id).await;
    let before = world.alarm("a").await;
    assert!(before.request.is_none() && !before.unsettled());

    let it = retried(world, &retry).await;
    assert_eq!(it.request.ticket, failed.ticket);
    assert_eq!((it.request.state, it.request.retry_of), (State::Accepted, Some(failed.id)));
    assert_eq!(it.next.as_ref().map(|next| next.id), Some(it.request.id));
    assert_eq!(it.ticket.status, TicketStatus::Pending);
    let old = world.reads.request(failed.id).await.unwrap().unwrap();
    assert_eq!((old.state, old.retried_by), (State::Failed, Some(it.request.id)));
    let alarm = world.alarm("a").await;
    assert_eq!((alarm.request, alarm.due_at), (Some(it.request.id), None));

    // Its level is rendered anew before it is sent, whatever has changed in between.
    let intend = world.intend(epoch, it.request.id).await;
    let Applied::Stale(..) = world.apply(intend).await else { panic!("it is not rendered anew") };
    let level = Level { version: alarm.wanted_version, fields: Fields::new() };
    let Change::Intend(mut intend) = world.intend(epoch, it.request.id).await else { panic!() };
    intend.level = Some(level);
    let Applied::Intended(intended, _) = world.apply(Change::Intend(intend)).await else {
        panic!("not intended")
    };
    let done = world.concluded(epoch, &intended, End::Done(found("INC1"))).await;
    assert_eq!(done.request.state, State::Done);
    assert!(!world.alarm("a").await.unsettled());
    let again = retry_of(world, failed.id);
    assert_eq!(try_retry(world, &again).await, refused(Refusal::AlreadyRetried));
}

pub async fn a_create_of_a_cleared_alarm_that_is_done_again_is_closed_after_it(world: &mut World) {
    let epoch = world.take_lane().await;
    let accepted = world.accepted("a").await;
    fails(world, epoch, accepted.id).await;
    world.take_in("a2", later("a", AlarmState::Cleared, 10)).await;
    let it = retried(world, &retry_of(world, accepted.id)).await;
    let version = world.alarm("a").await.wanted_version;
    let Change::Intend(mut intend) = world.intend(epoch, it.request.id).await else { panic!() };
    intend.level = Some(Level { version, fields: Fields::new() });
    let Applied::Intended(intended, _) = world.apply(Change::Intend(intend)).await else {
        panic!("not intended")
    };
    world.concluded(epoch, &intended, End::Done(found("INC1"))).await;
    let alarm = world.alarm("a").await;
    assert!(alarm.unsettled() && alarm.due_at.is_some(), "its close is yet to be decided");
}

/// G7.
pub async fn a_create_that_may_have_been_done_begins_in_doubt(world: &mut World) {
    let epoch = world.take_lane().await;
    let accepted = world.accepted("a").await;
    let intended = world.intended(epoch, accepted.id).await;
    let error = TicketError::because("no answer");
    let in_doubt = End::InDoubt { look_at: world.now(), error };
    world.concluded(epoch, &intended, in_doubt).await;
    // Looked for twice and not found, sent again, and refused for good.
    world.concluded(epoch, &intended, End::AbsentOnce { look_at: world.now() }).await;
    let failed = fails(world, epoch, accepted.id).await;
    assert!(failed.doubted);

    let it = retried(world, &retry_of(world, failed.id)).await;
    let fresh = &it.request;
    assert_eq!((fresh.state, fresh.attempts, it.next.is_none()), (State::InDoubt, 0, true));
    assert!(fresh.frozen && fresh.doubted);
    assert_eq!(fresh.fields, failed.fields, "what was sent may be there");
    let look_at = fresh.doubt.as_ref().unwrap().look_at;
    assert_eq!(look_at, world.now().plus(Duration::from_secs(30)));
    assert_eq!(world.reads.ready_requests(noc(), 0, look_at, 9).await.unwrap(), []);
    let in_doubt = world.reads.requests_in(noc(), State::InDoubt).await.unwrap();
    assert_eq!(in_doubt.len(), 1, "a lane that is taken anew finds it");
    let adopted = world.concluded(epoch, fresh, End::Adopted(found("INC1"))).await;
    assert_eq!(adopted.ticket.backend_id.as_deref(), Some("INC1"));

    // And where the backend's description says that what failed may have been done.
    let other = world.accepted("b").await;
    fails(world, epoch, other.id).await;
    let retry = Retry { may_be_done: true, ..retry_of(world, other.id) };
    assert_eq!(retried(world, &retry).await.request.state, State::InDoubt);
}

pub async fn what_has_moved_on_is_not_done_again(world: &mut World) {
    let epoch = world.take_lane().await;
    let accepted = world.accepted("a").await;
    fails(world, epoch, accepted.id).await;
    // The alarm changed, and its create was sent again for that.
    world.take_in("a2", later("a", AlarmState::Updated, 10)).await;
    let again = Decision::CreateAgain { ticket: accepted.ticket, fields: Fields::new() };
    let newer = world.decided("a", again).await;
    let retry = retry_of(world, accepted.id);
    assert_eq!(try_retry(world, &retry).await, refused(Refusal::UnderWay));
    let intended = world.intended(epoch, newer.id).await;
    world.concluded(epoch, &intended, End::Done(found("INC1"))).await;
    assert_eq!(try_retry(world, &retry).await, refused(Refusal::MovedOn));

    // A newer occurrence has begun.
    let accepted = world.accepted("b").await;
    fails(world, epoch, accepted.id).await;
    world.take_in("b2", later("b", AlarmState::Cleared, 10)).await;
    world.take_in("b3", later("b", AlarmState::Raised, 20)).await;
    let retry = retry_of(world, accepted.id);
    assert_eq!(try_retry(world, &retry).await, refused(Refusal::MovedOn));
    let nobodys = retry_of(world, RequestId(Uuid::from_u128(5)));
    assert_eq!(try_retry(world, &nobodys).await, refused(Refusal::NotFound));
}

/// G5: the command that failed keeps its outcome.
pub async fn a_failed_command_is_done_again_under_another_id(world: &mut World) {
    let epoch = world.take_lane().await;
    let id = CommandId(Uuid::from_u128(1));
    let take = TakeCommand {
        id,
        body_hash: [7; 16],
        write: Write::Create { backend: noc(), kind: Kind::Incident, alarm: None },
        fields: Fields::new(),
        guard: Guard::None,
        reply: Reply { correlation_id: Some("c".into()), ..Reply::default() },
        request: world.request_id(),
        ticket: world.ticket_key(),
        correlation_key: CorrelationKey("tg-command".into()),
        admission: Admission::default(),
    };
    let Applied::Command(taken) = world.apply(Change::Command(Box::new(take))).await else {
        panic!("not taken")
    };
    let failed = fails(world, epoch, taken.request.id).await;
    let retry = retry_of(world, failed.id);
    let it = retried(world, &retry).await;
    let MadeBy::Command { id: fresh, reply } = &it.request.made_by else { panic!("not a command") };
    assert_eq!((*fresh, reply), (retry.command, &Reply::default()));
    assert!(it.request.frozen);
    let record = world.reads.command(id).await.unwrap().unwrap();
    assert_eq!(record.request, failed.id);
    let record = world.reads.command(retry.command).await.unwrap().unwrap();
    assert_eq!(record.request, it.request.id);
    let intended = world.intended(epoch, it.request.id).await;
    let done = world.concluded(epoch, &intended, End::Done(found("INC1"))).await;
    assert_eq!(done.request.state, State::Done);
}

pub fn cancel(world: &World, request: RequestId) -> Change {
    Change::Cancel(Box::new(Cancel {
        request,
        may_be_done: false,
        who: "ann".into(),
        reason: "not needed".into(),
        event_id: world.event_id(),
        watch_looks: 0,
    }))
}

pub async fn a_request_is_cancelled_before_its_intent_and_not_after(world: &mut World) {
    let epoch = world.take_lane().await;
    let accepted = world.accepted("a").await;
    // What the alarm wants by now is not wanted either.
    world.take_in("a2", later("a", AlarmState::Updated, 10)).await;
    let Applied::Concluded(it) = world.apply(cancel(world, accepted.id)).await else {
        panic!("not cancelled")
    };
    assert_eq!((it.request.state, it.ticket.status), (State::Cancelled, TicketStatus::Cancelled));
    let alarm = world.alarm("a").await;
    assert!(alarm.request.is_none() && !alarm.unsettled() && alarm.due_at.is_none());
    let intend = world.intend(epoch, accepted.id).await;
    assert_eq!(world.apply(intend).await, Applied::Skipped, "the lane's old copy sends nothing");
    let again = world.try_apply(cancel(world, accepted.id)).await;
    assert_eq!(again, refused(Refusal::WrongState));

    let sent = world.accepted("b").await;
    let intended = world.intended(epoch, sent.id).await;
    let late = world.try_apply(cancel(world, sent.id)).await;
    assert_eq!(late, refused(Refusal::WrongState));
    let waits = End::Wait {
        ready_at: world.now().plus(Duration::from_secs(60)),
        counted: true,
        error: TicketError::because("busy"),
    };
    world.concluded(epoch, &intended, waits).await;
    let Change::Cancel(doubtful) = cancel(world, sent.id) else { panic!() };
    let doubtful = Change::Cancel(Box::new(Cancel { may_be_done: true, ..*doubtful }));
    assert_eq!(world.try_apply(doubtful).await, refused(Refusal::WrongState));
    world.apply(cancel(world, sent.id)).await;
    let row = world.reads.request(sent.id).await.unwrap().unwrap();
    assert_eq!(row.state, State::Cancelled);
}

pub async fn what_is_cancelled_in_the_midst_of_a_line_leaves_its_first_alone(world: &mut World) {
    let epoch = world.take_lane().await;
    let done = world.done(epoch, "a", "INC1").await;
    let update = |n| TakeCommand {
        id: CommandId(Uuid::from_u128(n)),
        body_hash: [7; 16],
        write: Write::Change(Op::Update, TicketName::Key(done.ticket)),
        fields: Fields::new(),
        guard: Guard::None,
        reply: Reply::default(),
        request: world.request_id(),
        ticket: world.ticket_key(),
        correlation_key: CorrelationKey(format!("tg-{n}")),
        admission: Admission::default(),
    };
    let mut taken = Vec::new();
    for n in [1, 2] {
        match world.apply(Change::Command(Box::new(update(n)))).await {
            Applied::Command(it) => taken.push(it.request),
            other => panic!("{other:?}"),
        }
    }
    let first = world.intended(epoch, taken[0].id).await;
    let error = TicketError::because("no answer");
    let in_doubt = End::InDoubt { look_at: world.now(), error };
    world.concluded(epoch, &first, in_doubt).await;
    let Applied::Concluded(it) = world.apply(cancel(world, taken[1].id)).await else {
        panic!("not cancelled")
    };
    assert_eq!(it.next, None, "what is in doubt is not sent again because of it");
}

async fn park(world: &World, body: &[u8]) -> Parked {
    let parked = Parked {
        n: 0,
        at: world.now(),
        inlet: "ticketgate.alarms.intake".into(),
        message_id: None,
        content_type: None,
        reason: "not JSON".into(),
        field: None,
        mended: 0,
        place: None,
        original: None,
        body: body.to_vec(),
    };
    match world.apply(Change::Park(Box::new(parked.clone()))).await {
        Applied::Count(n) => Parked { n, ..parked },
        other => panic!("{other:?}"),
    }
}

fn unpark(n: u64, mended: u32) -> Change {
    let (who, reason) = ("ann".into(), "mended".into());
    Change::Unpark(Box::new(Unpark { n, mended, taken: true, who, reason }))
}

pub async fn a_parked_message_goes_only_with_what_is_made_of_it(world: &mut World) {
    let parked = park(world, b"{").await;
    let other = park(world, b"[").await;
    let mend = Change::Mend(Box::new(Mend {
        n: parked.n,
        body: b"{}".to_vec(),
        content_type: Some("application/json".into()),
        who: "ann".into(),
        reason: "a brace was missing".into(),
    }));
    let Applied::Mended(mended) = world.apply(mend).await else { panic!("not mended") };
    assert_eq!((&mended.body[..], mended.mended), (&b"{}"[..], 1));
    assert_eq!(mended.reason, parked.reason);
    assert_eq!(mended.original, Some(AsItCame(b"{".to_vec())));
    // Read before it was mended: it stays, and nothing is made of it.
    let sets = vec![vec![raise("a"), unpark(parked.n, 0)], vec![raise("a"), unpark(parked.n, 1)]];
    let answers = world.apply_each(sets).await;
    assert_eq!(answers[0], refused(Refusal::StaleVersion));
    assert!(answers[1].is_ok(), "{answers:?}");
    assert_eq!(world.reads.occurrences(alarm_ref("a")).await.unwrap().len(), 1);
    let page = Page { before: None, after: None, limit: 9 };
    assert_eq!(world.reads.parked(None, page).await.unwrap(), from_ref(&other));
    let elsewhere = world.reads.parked(Some("elsewhere".into()), page).await.unwrap();
    assert_eq!(elsewhere, []);
    let here = world.reads.parked(Some(other.inlet.clone()), page).await.unwrap();
    assert_eq!(here, from_ref(&other));
    assert_eq!(world.try_apply(unpark(parked.n, 1)).await, refused(Refusal::NotFound));
    // A number is never given again.
    world.apply(unpark(other.n, 0)).await;
    assert!(park(world, b"(").await.n > other.n);
}

fn mend(n: u64, body: &[u8]) -> Change {
    let (who, reason) = ("ann".to_owned(), "the wrong file".to_owned());
    Change::Mend(Box::new(Mend { n, body: body.to_vec(), content_type: None, who, reason }))
}

pub async fn what_came_is_kept_however_often_it_is_mended(world: &mut World) {
    let parked = park(world, &[0xff, b'{']).await;
    world.apply(mend(parked.n, b"a shell script")).await;
    world.apply(mend(parked.n, b"{}")).await;
    let page = Page { before: None, after: None, limit: 9 };
    let row = world.reads.parked(None, page).await.unwrap().pop().unwrap();
    assert_eq!((&row.body[..], row.mended), (&b"{}"[..], 2));
    assert_eq!(row.original, Some(AsItCame(vec![0xff, b'{'])));
}

/// An event without a time of its own, parked at that time.
fn replayed(name: &str, mut event: AlarmEvent, parked_at: Timestamp) -> Change {
    event.changed_at = None;
    let (identity, routing) = (identity(name), routing());
    Change::TakeIn(Box::new(TakeIn { identity, event, routing, parked_at: Some(parked_at) }))
}

/// Nothing that has come since is undone; and what has not is done.
pub async fn a_replayed_alarm_counts_from_when_it_was_parked(world: &mut World) {
    world.apply(raise("over")).await;
    world.apply(raise("goes on")).await;
    world.clock.advance(Duration::from_secs(60));
    let parked_at = world.now();
    world.clock.advance(Duration::from_secs(60));
    let mut clear = later("over", AlarmState::Cleared, 1);
    clear.changed_at = None;
    world.apply(take_in("the clear", clear)).await;
    world.clock.advance(Duration::from_secs(3_600));
    let mut update = later("over", AlarmState::Updated, 1);
    update.details.text = Some("worse".into());
    match world.apply(replayed("one", update.clone(), parked_at)).await {
        Applied::TakenIn(taken) => assert_eq!((taken.repeat, taken.older), (false, true)),
        other => panic!("{other:?}"),
    }
    let rows = world.reads.occurrences(alarm_ref("over")).await.unwrap();
    assert_eq!(rows.len(), 1, "it is not raised again");
    assert!(!rows[0].active);
    let told: Vec<_> = rows[0].story.steps().iter().map(|step| step.what.as_str()).collect();
    assert!(told.contains(&"updated ignored"), "{told:?}");
    assert!(told.iter().any(|what| what.contains("replayed")), "{told:?}");
    // Of this one nothing has come since.
    let mut update = later("goes on", AlarmState::Updated, 1);
    update.details.text = Some("worse".into());
    match world.apply(replayed("two", update, parked_at)).await {
        Applied::TakenIn(taken) => assert!(!taken.older),
        other => panic!("{other:?}"),
    }
    let row = world.alarm("goes on").await;
    assert_eq!((row.changed_at, row.details.text.as_deref()), (parked_at, Some("worse")));
}

pub async fn a_replay_raises_nothing_that_a_snapshot_has_found_over(world: &mut World) {
    world.apply(raise("a")).await;
    world.clock.advance(Duration::from_secs(60));
    let parked_at = world.now();
    for ends in [false, true] {
        world.clock.advance(Duration::from_secs(60));
        let pass = "p".to_owned();
        let mark = Mark { source: "probe".to_owned(), pass, ends, at: None };
        world.apply(Change::Mark(identity(&format!("mark {ends}")), mark)).await;
    }
    world.apply(Change::ClearUnnamed { source: "probe".to_owned(), limit: 9 }).await;
    assert!(!world.alarm("a").await.active);
    world.apply(replayed("late", later("a", AlarmState::Updated, 1), parked_at)).await;
    let rows = world.reads.occurrences(alarm_ref("a")).await.unwrap();
    assert_eq!((rows.len(), rows[0].active), (1, false));
}
