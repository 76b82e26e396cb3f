//! A flow's decision on its way to the store, through the real actors: together with its call's intent, or
//! alone.

use super::*;
use crate::changes::{ChangeSet, Decide, Decision, LockProof, TakeIn};
use crate::logic::correlation::identity_by_id;
use crate::logic::locks::{Grant, Holder};
use crate::logic::policy::Routing;
use crate::logic::turns::Turns;
use crate::model::{
    AlarmRef, ClientNumber, CorrelationKey, EventId, Fence, Fields, Found, Mono, OccurrenceRef,
    RequestId, State, TicketKey,
};
use crate::ports::{
    Answer, Call, DueMost, Heard, Outgoing, PublishFailed, RequestFilter, Soon, Work,
};
use crate::testing::{CountedIds, ManualClock, MemoryStore, alarm_event};
use actix::{Handler, Message};
use std::sync::Mutex;
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

/// What happened at the store and at the backend, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Writes down what is applied, and can be made to hang with the decisions.
struct Watched {
    memory: Arc<MemoryStore>,
    log: Log,
    hangs: Arc<std::sync::atomic::AtomicBool>,
}

impl Store for Watched {
    fn apply_each(&self, sets: Vec<ChangeSet>) -> Soon<Vec<Result<Vec<Applied>, StoreError>>> {
        let word = |change: &Change| match change {
            Change::Decide(_) => "decision",
            Change::Intend(_) => "intent",
            Change::Conclude(_) => "outcome",
            Change::RaiseBarrier(..) => "barrier",
            _ => "other",
        };
        let mut decides = false;
        for set in &sets {
            let words: Vec<_> = set.0.iter().map(word).collect();
            decides |= words.contains(&"decision");
            if words != ["other"] {
                self.log.add(words.join(" + "));
            }
        }
        if decides && self.hangs.load(std::sync::atomic::Ordering::SeqCst) {
            return Box::pin(std::future::pending());
        }
        self.memory.apply_each(sets)
    }
}

/// Makes a ticket as soon as it is allowed to.
struct Desk {
    log: Log,
    may: Arc<Semaphore>,
}

impl Backend for Desk {
    fn call(&self, call: Call) -> Soon<Heard> {
        let what = if matches!(call.work, Work::Create { .. }) { "create" } else { "other call" };
        self.log.add(what.to_owned());
        let may = self.may.clone();
        Box::pin(async move {
            may.acquire().await.unwrap().forget();
            let backend_id = call.request.unwrap().to_string();
            Answer::Done(Found { backend_id, ..Found::default() }).into()
        })
    }
}

struct NoBus;
impl Bus for NoBus {
    fn publish(&self, _: Outgoing) -> Soon<Result<(), PublishFailed>> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn connected(&self) -> bool {
        true
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Break;
impl Handler<Break> for Gateway {
    type Result = ();
    fn handle(&mut self, _: Break, _: &mut Self::Context) {
        panic!("broken on purpose");
    }
}

struct Stage {
    outside: Arc<Outside>,
    log: Log,
    may: Arc<Semaphore>,
    hangs: Arc<std::sync::atomic::AtomicBool>,
    gateway: Post<Gateway>,
    client: Post<TicketClient>,
}

fn crm() -> BackendId {
    BackendId::new("crm")
}

impl Stage {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let memory = Arc::new(MemoryStore::new(clock.clone(), "node-1"));
        let (log, may) = (Log::default(), Arc::new(Semaphore::new(0)));
        let hangs = Arc::<std::sync::atomic::AtomicBool>::default();
        let store: Arc<dyn Store> =
            Arc::new(Watched { memory: memory.clone(), log: log.clone(), hangs: hangs.clone() });
        let ids = Arc::new(CountedIds::default());
        let port = Arc::new(Desk { log: log.clone(), may: may.clone() });
        let seat = BackendSeat { port, settings: LaneSettings::default() };
        let leases = StoreLeases { store: store.clone(), clock: clock.clone(), ids: ids.clone() };
        let outside = Arc::new(Outside {
            clock,
            ids,
            store,
            reads: memory,
            bus: Arc::new(NoBus),
            leases: Arc::new(leases),
            backends: Backends::new(HashMap::from([(crm(), seat)])),
            policy: RwLock::default(),
            instance: "test".into(),
            routes: RwLock::default(),
            notices: Notices::default(),
            views: Views::default(),
        });
        let (keeper, gateway, client) = (Keeper::default(), Post::default(), Post::default());
        keeper.keep("gateway", &gateway, {
            let outside = outside.clone();
            move |alive| Gateway::new(outside.clone(), Post::default(), Post::default(), alive)
        });
        keeper.keep("ticket client", &client, {
            let (outside, gateway) = (outside.clone(), gateway.clone());
            move |alive| {
                let number = ClientNumber(1);
                TicketClient::new(number, outside.clone(), gateway.clone(), Post::default(), alive)
            }
        });
        let stage = Self { outside, log, may, hangs, gateway, client };
        stage.until(|stage| stage.lane().taken).await;
        // Its windows are loaded then, too: the store in memory answers at once.
        settled().await;
        stage
    }

    fn lane(&self) -> crate::logic::lane::LaneGlance {
        self.outside.views.lanes.get(&crm()).map(|it| it.glance.clone()).unwrap_or_default()
    }

    async fn until(&self, is: impl Fn(&Self) -> bool) {
        let waits = async {
            while !is(self) {
                actix::clock::sleep(Duration::from_millis(1)).await;
            }
        };
        actix::clock::timeout(Duration::from_secs(10), waits).await.expect("it comes to pass");
    }

    async fn raise(&self, id: &str) -> crate::ports::DueAlarm {
        let take = TakeIn {
            identity: identity_by_id("test", id),
            event: alarm_event("probe", id),
            routing: Routing { backend: Some(crm()), ..Routing::default() },
            parked_at: None,
        };
        self.outside.store.apply(Change::TakeIn(Box::new(take)).into()).await.unwrap();
        let now = self.outside.clock.now().wall;
        let due = self.outside.reads.due_alarms(crm(), now, DueMost { new: 9, known: 9 });
        due.await.unwrap().into_iter().find(|due| due.alarm.at.alarm.id == id).unwrap()
    }

    /// Ends when the flow has.
    async fn carry(&self, due: crate::ports::DueAlarm) {
        self.carry_under(Fence(1), due).await;
    }

    async fn carry_under(&self, fence: Fence, due: crate::ports::DueAlarm) {
        let grant = Grant {
            guid: Uuid::from_u128(7),
            client: ClientNumber(1),
            holder: Holder::Flow(crm()),
            since: Mono(0),
            fence,
            timeout: Duration::from_secs(60),
            expires: Mono(u64::MAX),
        };
        let carry = Carry::new(due, crm(), grant, Post::default(), Post::default());
        let carried = self.client.ask(carry);
        let carried = actix::clock::timeout(Duration::from_secs(10), carried).await;
        carried.expect("a flow waits for no outcome").expect("the client lives");
    }

    async fn states(&self) -> Vec<State> {
        let page = crate::ports::Page { limit: 100, ..crate::ports::Page::default() };
        let rows = self.outside.reads.requests(RequestFilter::default(), page).await.unwrap();
        rows.into_iter().map(|row| row.state).collect()
    }
}

/// Whatever was said among the actors was heard.
async fn settled() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    actix::clock::sleep(Duration::from_millis(5)).await;
}

#[actix::test]
async fn an_idle_lane_calls_after_one_commit_and_the_flow_does_not_wait_for_the_answer() {
    let stage = Stage::new().await;
    let due = stage.raise("a").await;
    stage.carry(due).await;
    stage.until(|stage| stage.log.lines().len() > 1).await;
    assert_eq!(stage.log.lines(), ["decision + intent", "create"]);
    stage.may.add_permits(1);
    stage.until(|stage| stage.log.lines().len() > 2).await;
    settled().await;
    assert_eq!(stage.log.lines()[2..], ["outcome"]);
    assert_eq!(stage.states().await, [State::Done]);
}

#[actix::test]
async fn behind_a_call_a_decision_is_stored_alone_and_goes_with_the_outcome_before() {
    let stage = Stage::new().await;
    let (a, b) = (stage.raise("a").await, stage.raise("b").await);
    stage.carry(a).await;
    stage.until(|stage| stage.log.lines().len() > 1).await;
    stage.carry(b).await;
    settled().await;
    assert_eq!(stage.log.lines()[2..], ["decision"]);
    stage.may.add_permits(2);
    stage.until(|stage| stage.log.lines().len() > 5).await;
    settled().await;
    assert_eq!(stage.log.lines()[3..], ["outcome + intent", "create", "outcome"]);
    assert_eq!(stage.states().await, [State::Done, State::Done]);
}

#[actix::test]
async fn a_flow_whose_gateway_goes_away_ends_and_does_not_store_its_decision_again() {
    let stage = Stage::new().await;
    let due = stage.raise("a").await;
    stage.hangs.store(true, std::sync::atomic::Ordering::SeqCst);
    let breaks = async {
        stage.until(|stage| stage.log.lines().len() == 1).await;
        stage.gateway.tell(Break);
    };
    tokio::join!(stage.carry(due.clone()), breaks);
    settled().await;
    // What may be on its way to the store still is shut out there before the lock is given back.
    assert_eq!(stage.log.lines(), ["decision + intent", "barrier"]);
    assert!(stage.states().await.is_empty());
    // The next flow of that alarm finds a new gateway.
    stage.hangs.store(false, std::sync::atomic::Ordering::SeqCst);
    stage.until(|stage| stage.outside.views.lanes.get(&crm()).is_some()).await;
    actix::clock::sleep(Duration::from_millis(300)).await;
    stage.carry_under(Fence(2), due).await;
    stage.may.add_permits(1);
    stage.until(|stage| stage.log.lines().contains(&"outcome".to_owned())).await;
    settled().await;
    assert_eq!(stage.states().await, [State::Done]);
}

/// A decision that was made by another client.
fn decision() -> Box<Decide> {
    let lock = LockProof { client: ClientNumber(2), fence: Fence(1), expires: Mono(u64::MAX) };
    let alarm = AlarmRef { source: "probe".into(), id: "other".into() };
    Box::new(Decide {
        at: OccurrenceRef { alarm, occurrence: 1 },
        version: 1,
        ticket: None,
        lock,
        request: RequestId(Uuid::from_u128(1)),
        event_id: EventId(Uuid::from_u128(2)),
        decision: Decision::Create {
            ticket: TicketKey(Uuid::from_u128(3)),
            correlation_key: CorrelationKey("tg3".into()),
            fields: Fields::new(),
        },
        reason: "raised".into(),
        along: Vec::new(),
        admission: crate::changes::Admission::default(),
        storm: None,
    })
}

#[actix::test]
async fn what_a_person_has_made_void_on_its_way_to_the_gateway_goes_back() {
    let stage = Stage::new().await;
    let turns = watch::Sender::new(Turns::default());
    let made_in = turns.borrow().begin();
    turns.send_modify(Turns::void);
    let journal = |backend| {
        let turns = turns.subscribe();
        stage.gateway.ask(Journal { backend, decide: decision(), turns, made_in })
    };
    assert!(matches!(journal(crm()).await, Some(Journaled::Alone(..))));
    assert!(matches!(journal(BackendId::new("unknown")).await, Some(Journaled::Alone(..))));
    assert!(stage.log.lines().is_empty());
}

#[actix::test]
async fn nothing_goes_before_a_decision_that_its_client_is_storing_alone() {
    let stage = Stage::new().await;
    let (a, b, c) = (stage.raise("a").await, stage.raise("b").await, stage.raise("c").await);
    stage.carry(a).await;
    stage.until(|stage| stage.log.lines().len() > 1).await;
    let turns = watch::Sender::new(Turns::default());
    let (made_in, turns) = (turns.borrow().begin(), turns.subscribe());
    let journal = Journal { backend: crm(), decide: decision(), turns, made_in };
    // Behind a call it is declined, and another client has it now.
    let Some(Journaled::Alone(_, place)) = stage.gateway.ask(journal).await else { panic!() };
    stage.may.add_permits(3);
    stage.until(|stage| stage.log.lines().len() > 2).await;
    settled().await;
    stage.carry(b).await;
    stage.until(|stage| stage.log.lines().len() > 6).await;
    assert_eq!(stage.log.lines()[2..], ["outcome", "decision", "intent", "create", "outcome"]);
    settled().await;
    drop(place);
    stage.carry(c).await;
    stage.until(|stage| stage.log.lines().len() > 9).await;
    assert_eq!(stage.log.lines()[7..], ["decision + intent", "create", "outcome"]);
}
