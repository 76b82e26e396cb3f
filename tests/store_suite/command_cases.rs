//! Commands and external locks (CONTRACT 1.5): one id, one outcome; locks that outlive the process.

use crate::world::{Answer, World, alarm_ref, found, noc, raise};
use std::time::Duration;
use ticketgate_actors::changes::{
    Admission, Applied, Change, CommandTaken, End, ForceUnlock, Guard, Intend, LockProof, Refusal,
    TakeCommand, Write,
};
use ticketgate_actors::logic::answers;
use ticketgate_actors::model::{
    ClientNumber, Code, CommandId, CorrelationKey, EventName, Fence, Fields, Given, KeptLock, Kind,
    MadeBy, Mono, Op, Reply, Route, Stage, State, TicketKey, TicketName, TicketStatus,
};
use ticketgate_actors::ports::StoreError;
use uuid::Uuid;

pub fn command(world: &World, n: u128, write: Write) -> TakeCommand {
    let mut fields = Fields::new();
    fields.insert("summary".into(), "by hand".into());
    TakeCommand {
        id: CommandId(Uuid::from_u128(n)),
        body_hash: [7; 16],
        write,
        fields,
        guard: Guard::None,
        reply: Reply {
            to: Some(Route { exchange: String::new(), key: "answers".into() }),
            correlation_id: Some(format!("c{n}")),
            content_type: "application/json".into(),
        },
        request: world.request_id(),
        ticket: world.ticket_key(),
        correlation_key: CorrelationKey(format!("tg-command-{n}")),
        admission: Admission::default(),
    }
}

fn create() -> Write {
    Write::Create { backend: noc(), kind: Kind::Change, alarm: None }
}

fn create_for(alarm: &str) -> Write {
    Write::Create { backend: noc(), kind: Kind::Incident, alarm: Some(alarm_ref(alarm)) }
}

pub fn update(key: TicketKey) -> Write {
    Write::Change(Op::Update, TicketName::Key(key))
}

async fn try_take(world: &World, take: &TakeCommand) -> Answer {
    world.try_apply(Change::Command(Box::new(take.clone()))).await
}

pub async fn take(world: &World, take: &TakeCommand) -> CommandTaken {
    match try_take(world, take).await.unwrap().pop() {
        Some(Applied::Command(taken)) => *taken,
        other => panic!("{other:?}"),
    }
}

fn refused(refusal: Refusal) -> Answer {
    Err(StoreError::Refused(refusal))
}

/// G5.
pub async fn one_command_id_is_one_request(world: &mut World) {
    let first = command(world, 1, create());
    let taken = take(world, &first).await;
    assert!(!taken.repeat);
    assert_eq!(taken.request.state, State::Accepted);
    assert!(taken.request.frozen);
    assert_eq!(taken.front, Some((taken.request.id, State::Accepted)));
    // Ids are made anew for every delivery; only the command's own counts.
    let again = TakeCommand {
        request: world.request_id(),
        ticket: world.ticket_key(),
        guard: Guard::Lost,
        ..first.clone()
    };
    let repeat = take(world, &again).await;
    assert!(repeat.repeat);
    assert_eq!((repeat.request.id, repeat.ticket.key), (taken.request.id, taken.ticket.key));
    let other = TakeCommand { body_hash: [8; 16], ..again };
    assert_eq!(try_take(world, &other).await, refused(Refusal::IdReused));
    let record = world.reads.command(first.id).await.unwrap().unwrap();
    assert_eq!((record.request, record.body_hash), (taken.request.id, [7; 16]));
    assert_eq!(world.reads.command(CommandId(Uuid::from_u128(2))).await.unwrap(), None);
}

/// L3: and what was refused may be sent again.
pub async fn a_command_under_a_lost_lock_leaves_no_trace(world: &mut World) {
    let proof = LockProof { client: ClientNumber(1), fence: Fence(3), expires: Mono(u64::MAX) };
    let late = LockProof { expires: Mono(0), ..proof };
    world.apply(Change::RaiseBarrier(ClientNumber(2), Fence(4))).await;
    let old = LockProof { client: ClientNumber(2), ..proof };
    let guid = Uuid::from_u128(5);
    let row = |client, fence| KeptLock {
        guid,
        client: ClientNumber(client),
        fence: Fence(fence),
        timeout: Duration::from_secs(60),
        holder: "script".into(),
    };
    world.apply(Change::KeepLock(row(1, 3))).await;
    let given_back = Guard::Held(Uuid::from_u128(6), proof);
    for guard in [Guard::Lost, Guard::Held(guid, late), Guard::Held(guid, old), given_back] {
        let it = TakeCommand { guard, ..command(world, 1, create()) };
        assert_eq!(try_take(world, &it).await, refused(Refusal::LockLost), "{guard:?}");
        assert_eq!(world.reads.command(it.id).await.unwrap(), None);
        assert_eq!(world.reads.ticket(it.ticket).await.unwrap(), None);
    }
    let it = TakeCommand { guard: Guard::Held(guid, proof), ..command(world, 1, create()) };
    assert!(!take(world, &it).await.repeat);
}

pub async fn a_command_goes_its_whole_way_and_its_event_carries_the_answer(world: &mut World) {
    let epoch = world.take_lane().await;
    let first = command(world, 1, create());
    let taken = take(world, &first).await;
    let behind = take(world, &command(world, 2, update(taken.ticket.key))).await;
    assert_eq!(behind.front, Some((taken.request.id, State::Accepted)));
    let ready = world.reads.ready_requests(noc(), 0, world.now(), 10).await.unwrap();
    assert_eq!(ready.iter().map(|it| it.id).collect::<Vec<_>>(), [taken.request.id]);

    let intended = world.intended(epoch, taken.request.id).await;
    let concluded = world.concluded(epoch, &intended, End::Done(found("INC1"))).await;
    assert_eq!(concluded.next.map(|next| next.id), Some(behind.request.id));
    let event = world.reads.unsent_events(0, 10).await.unwrap().pop().unwrap();
    assert_eq!((event.event, event.ticket.kind), (EventName::Created, Kind::Change));
    assert_eq!(event.command, Some((first.id, first.reply.clone())));
    let answer = answers::of_event(&event).unwrap();
    assert_eq!((answer.id, answer.stage), (Some(first.id), Stage::Final));
    assert_eq!(answer.said, Ok(Given::Made { backend_id: Some("INC1".into()), url: None }));

    let intended = world.intended(epoch, behind.request.id).await;
    let error = ticketgate_actors::model::TicketError::because("no answer");
    let end = End::InDoubt { look_at: world.now(), error };
    world.concluded(epoch, &intended, end).await;
    let third = take(world, &command(world, 3, update(taken.ticket.key))).await;
    let told = answers::of_request(&third.request, &third.ticket, third.front);
    let blocked = told.said.unwrap_err();
    assert_eq!((told.stage, blocked.code), (Stage::Accepted, Code::BlockedBy));
    assert_eq!(blocked.field, Some(behind.request.id.to_string()));
}

/// T2: a flow that has read the alarm before decides again.
pub async fn a_command_for_an_alarm_makes_its_ticket(world: &mut World) {
    world.apply(raise("a")).await;
    let flow = world.decide("a", world.create("tg-a")).await;
    let taken = take(world, &command(world, 1, create_for("a"))).await;
    let answer = world.try_apply(Change::Decide(Box::new(flow))).await;
    assert_eq!(answer, refused(Refusal::StaleVersion));
    let alarm = world.alarm("a").await;
    assert_eq!((alarm.ticket, alarm.due_at), (Some(taken.ticket.key), None));
    assert!(!alarm.unsettled());
    let second = command(world, 2, create_for("a"));
    assert_eq!(try_take(world, &second).await, refused(Refusal::HasTicket));
    let unknown = command(world, 3, create_for("nobody"));
    assert_eq!(try_take(world, &unknown).await, refused(Refusal::UnknownAlarm));
    let epoch = world.take_lane().await;
    let intended = world.intended(epoch, taken.request.id).await;
    world.concluded(epoch, &intended, End::Done(found("INC1"))).await;
    let event = world.reads.unsent_events(0, 10).await.unwrap().pop().unwrap();
    assert_eq!(event.alarms, [alarm_ref("a")]);
}

/// Nothing is read in between: no store may need that to tell of the alarm.
pub async fn a_command_for_an_alarm_tells_of_it_at_once(world: &mut World) {
    let epoch = world.take_lane().await;
    world.apply(raise("a")).await;
    let taken = take(world, &command(world, 1, create_for("a"))).await;
    let intend = Intend {
        backend: noc(),
        epoch,
        request: taken.request.id,
        attempts: 0,
        level: None,
        with_decision: false,
    };
    world.apply(Change::Intend(Box::new(intend))).await;
    let end = world.conclude(epoch, taken.request.id, 1, End::Done(found("INC1")));
    world.apply(end).await;
    let event = world.reads.unsent_events(0, 10).await.unwrap().pop().unwrap();
    assert_eq!(event.alarms, [alarm_ref("a")]);
}

pub async fn a_command_names_a_ticket_by_either_id(world: &mut World) {
    let epoch = world.take_lane().await;
    let ours = world.done(epoch, "a", "INC1").await;
    let theirs = |id: &str| {
        Write::Change(Op::Close, TicketName::Theirs(noc(), id.to_owned(), Kind::Problem))
    };
    let known = take(world, &command(world, 1, theirs("INC1"))).await;
    assert_eq!(known.ticket.key, ours.ticket);
    let other = take(world, &command(world, 2, theirs("INC9"))).await;
    assert_eq!((other.ticket.kind, other.ticket.adopted), (Kind::Problem, true));
    assert_eq!(other.ticket.backend_id.as_deref(), Some("INC9"));
    let same = take(world, &command(world, 3, theirs("INC9"))).await;
    assert_eq!(same.ticket.key, other.ticket.key);
    let found = world.reads.ticket_by_backend_id(noc(), "INC9".into()).await.unwrap().unwrap();
    assert_eq!(found.key, other.ticket.key);
    let nobody = command(world, 4, update(world.ticket_key()));
    assert_eq!(try_take(world, &nobody).await, refused(Refusal::NotFound));
}

pub async fn a_ticket_that_was_never_made_takes_no_commands(world: &mut World) {
    let epoch = world.take_lane().await;
    let taken = take(world, &command(world, 1, create())).await;
    let intended = world.intended(epoch, taken.request.id).await;
    let error = ticketgate_actors::model::TicketError::because("no such queue");
    let concluded = world.concluded(epoch, &intended, End::Rejected(error)).await;
    assert_eq!(concluded.ticket.status, TicketStatus::Rejected);
    let late = command(world, 2, update(taken.ticket.key));
    assert_eq!(try_take(world, &late).await, refused(Refusal::NeverMade));
    let told = answers::of_request(&concluded.request, &concluded.ticket, None);
    assert_eq!(told.said.unwrap_err().code, Code::Rejected);
    assert!(matches!(concluded.request.made_by, MadeBy::Command { .. }));
}

/// A partner's write is done without an id: the ticket is ours until its connector fetches it.
pub async fn a_partners_ticket_takes_commands_before_it_has_an_id_there(world: &mut World) {
    let epoch = world.take_lane().await;
    let mut key = None;
    for n in [1, 2] {
        let taken = take(world, &command(world, n, create())).await;
        let intended = world.intended(epoch, taken.request.id).await;
        let made = world.concluded(epoch, &intended, End::Done(found(""))).await.ticket;
        assert_eq!((made.backend_id, made.status), (None, TicketStatus::Acknowledged));
        key = Some(made.key);
    }
    let event = world.reads.unsent_events(0, 10).await.unwrap().pop().unwrap();
    let answer = answers::of_event(&event).unwrap();
    assert_eq!(answer.said, Ok(Given::Made { backend_id: None, url: None }));

    let close = Write::Change(Op::Close, TicketName::Key(key.unwrap()));
    let taken = take(world, &command(world, 3, close)).await;
    let intended = world.intended(epoch, taken.request.id).await;
    let closed = world.concluded(epoch, &intended, End::Done(found(""))).await.ticket;
    assert_eq!((closed.backend_id, closed.status), (None, TicketStatus::Closed));
}

/// L4.
pub async fn an_external_lock_is_kept_until_it_is_over(world: &mut World) {
    let lock = |n: u128, client| KeptLock {
        guid: Uuid::from_u128(n),
        client: ClientNumber(client),
        fence: Fence(5),
        timeout: Duration::from_secs(60),
        holder: "script".into(),
    };
    world.apply(Change::KeepLock(lock(1, 2))).await;
    world.apply(Change::KeepLock(lock(2, 1))).await;
    let longer = KeptLock { timeout: Duration::from_secs(90), ..lock(1, 2) };
    world.apply(Change::KeepLock(longer.clone())).await;
    assert_eq!(world.reads.kept_locks().await.unwrap(), [lock(2, 1), longer.clone()]);
    world.apply(Change::DropLock(Uuid::from_u128(1), Fence(4))).await;
    world.apply(Change::DropLock(Uuid::from_u128(2), Fence(5))).await;
    world.apply(Change::DropLock(Uuid::from_u128(2), Fence(5))).await;
    assert_eq!(world.reads.kept_locks().await.unwrap(), [longer]);
}

/// The name may have been granted again since, with another client.
pub async fn a_forced_unlock_takes_away_no_later_lock_of_that_name(world: &mut World) {
    let guid = Uuid::from_u128(5);
    let again = KeptLock {
        guid,
        client: ClientNumber(2),
        fence: Fence(8),
        timeout: Duration::from_secs(60),
        holder: "script".into(),
    };
    world.apply(Change::KeepLock(again.clone())).await;
    let force = |client, barrier| {
        let (who, reason) = ("operator".into(), "it hangs".into());
        let force = ForceUnlock { client, guid: Some(guid), barrier, who, reason };
        Change::ForceUnlock(force)
    };
    world.apply(force(ClientNumber(1), Fence(9))).await;
    assert_eq!(world.reads.kept_locks().await.unwrap(), [again]);
    world.apply(force(ClientNumber(2), Fence(10))).await;
    assert_eq!(world.reads.kept_locks().await.unwrap(), []);
}

/// L10.
pub async fn a_forced_unlock_bars_every_older_fence(world: &mut World) {
    let proof = LockProof { client: ClientNumber(1), fence: Fence(5), expires: Mono(u64::MAX) };
    let force = ForceUnlock {
        client: ClientNumber(1),
        guid: None,
        barrier: Fence(6),
        who: "operator".into(),
        reason: "it hangs".into(),
    };
    world.apply(Change::ForceUnlock(force)).await;
    let guid = Uuid::from_u128(5);
    let row = |fence| KeptLock {
        guid,
        client: ClientNumber(1),
        fence,
        timeout: Duration::from_secs(60),
        holder: "script".into(),
    };
    // A renewal that was under way brings it back neither.
    world.apply(Change::KeepLock(row(proof.fence))).await;
    assert_eq!(world.reads.kept_locks().await.unwrap(), []);
    let it = TakeCommand { guard: Guard::Held(guid, proof), ..command(world, 1, create()) };
    assert_eq!(try_take(world, &it).await, refused(Refusal::LockLost));
    let newer = LockProof { fence: Fence(7), ..proof };
    world.apply(Change::KeepLock(row(newer.fence))).await;
    take(world, &TakeCommand { guard: Guard::Held(guid, newer), ..it }).await;
}
