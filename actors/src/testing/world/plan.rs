//! What one seed plays: how many alarms, which faults, how long. Everything else follows from the
//! seed by chance; a plan can be made smaller while it still fails.

use crate::changes::Admission;
use crate::logic::expression::Expression;
use crate::logic::lane::{Capability, LaneSettings, Rate};
use crate::logic::policy::{ClearedFirst, NAMES, OnClear, Policy, RaisedAgain, Rule, Ways};
use crate::model::BackendId;
use fastrand::Rng;
use std::time::Duration;

/// Something that goes wrong outside, or inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The process dies between any two effects.
    Crash,
    /// One actor panics and is replaced: gateway, pool, dispatcher or outbox.
    Replace,
    /// The whole process stands still for a while.
    Freeze,
    /// A flow stalls, also beyond its lock.
    StallFlow,
    /// A call stalls before its first byte, also beyond its `send_by`.
    StallCall,
    /// The wall clock jumps.
    Jump,
    /// No set is taken for a while.
    DiskFull,
    /// A whole group is not committed.
    CommitFails,
    /// A read of the store fails.
    ReadFails,
    /// The backend did it, and its answer is lost.
    LostAnswer,
    /// The answer is lost, and the backend does it later.
    LateApply,
    /// The call is lost on its way.
    LostCall,
    /// 200 with HTML, or 504: done or not.
    Gibberish,
    /// 429, or described as busy.
    Busy,
    /// Described as not done.
    Retryable,
    /// A no for good.
    Refuse,
    /// Credentials are refused for a while.
    Unauthorised,
    /// The backend is away for a while.
    Outage,
    /// A search that lies, fails or says that there is more.
    LyingSearch,
    /// Acknowledgements, confirms and publishes are lost.
    BusLoss,
    /// Deliveries overtake each other.
    Disorder,
    /// Deliveries come twice.
    Repeat,
    /// The sources' clocks are off.
    Skew,
    /// People drop what they could have decided.
    Drop,
    /// Scripts take ticket clients and send commands.
    Scripts,
    /// People take locks away, and say that clients are not busy.
    Meddling,
    /// A call does not end when its time is over.
    Hang,
    /// Other nodes beat, die and come back.
    Neighbours,
    /// A backend takes writes and answers later.
    Later,
    /// A create is done later than its backend promised.
    TooLate,
    /// The canary tries the flow.
    Canary,
    /// Alarms share tickets by a rule of policy.
    Groups,
    /// A source sends snapshots.
    Snapshots,
    /// People link alarms to tickets, take them off, and want no ticket.
    ByHand,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 34] = [
        Self::Crash,
        Self::Replace,
        Self::Freeze,
        Self::StallFlow,
        Self::StallCall,
        Self::Jump,
        Self::DiskFull,
        Self::CommitFails,
        Self::ReadFails,
        Self::LostAnswer,
        Self::LateApply,
        Self::LostCall,
        Self::Gibberish,
        Self::Busy,
        Self::Retryable,
        Self::Refuse,
        Self::Unauthorised,
        Self::Outage,
        Self::LyingSearch,
        Self::BusLoss,
        Self::Disorder,
        Self::Repeat,
        Self::Skew,
        Self::Drop,
        Self::Scripts,
        Self::Meddling,
        Self::Hang,
        Self::Neighbours,
        Self::Later,
        Self::TooLate,
        Self::Canary,
        Self::Groups,
        Self::Snapshots,
        Self::ByHand,
    ];
}

/// Failures in a row that no run has.
pub(super) const NEVER_OPEN: u32 = 10_000;

/// What one seed plays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Of all chance.
    pub seed: u64,
    /// How many alarms.
    pub alarms: u32,
    /// How many ticketing systems.
    pub backends: u32,
    /// Which faults.
    pub faults: Vec<Fault>,
    /// For how many seconds alarms come and faults strike; then it is calm.
    pub seconds: u64,
}

impl Plan {
    /// The plan of a seed: mostly a few alarms and half of the faults; one in forty is a flood.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x7469_636b_6574);
        let flood = rng.u8(..40) == 0;
        let share = [0.2, 0.5, 0.8][rng.usize(..3)];
        let faults = Fault::ALL.into_iter().filter(|_| rng.f64() < share).collect();
        Self {
            seed,
            alarms: if flood { rng.u32(250..400) } else { rng.u32(1..14) },
            backends: if flood { 1 } else { rng.u32(1..4) },
            faults,
            seconds: rng.u64(30..400),
        }
    }

    /// Smaller plans, the smallest first.
    pub fn smaller(&self) -> Vec<Self> {
        let mut plans = Vec::new();
        for alarms in [1, self.alarms / 2, self.alarms.saturating_sub(1)] {
            if alarms > 0 && alarms < self.alarms {
                plans.push(Self { alarms, ..self.clone() });
            }
        }
        if self.backends > 1 {
            plans.push(Self { backends: self.backends - 1, ..self.clone() });
        }
        for (n, _) in self.faults.iter().enumerate() {
            let mut faults = self.faults.clone();
            faults.remove(n);
            plans.push(Self { faults, ..self.clone() });
        }
        if self.seconds > 20 {
            plans.push(Self { seconds: self.seconds / 2, ..self.clone() });
        }
        plans
    }
}

/// The name of a ticketing system: the first three have one, as in all seeds; the others are numbers.
pub(super) fn backend(n: u32) -> BackendId {
    let name = ["crm", "noc", "lab"].get(n as usize);
    name.map_or_else(|| BackendId::new(&format!("b{n}")), |name| BackendId::new(name))
}

pub(super) fn policy(rng: &mut Rng, faults: &[Fault]) -> Policy {
    let delay = |rng: &mut Rng| Duration::from_secs([0, 0, 2, 15][rng.usize(..4)]);
    let ways = Ways {
        search_first: rng.u8(..3) == 0,
        cleared_first: [ClearedFirst::Create, ClearedFirst::Create, ClearedFirst::Skip]
            [rng.usize(..3)],
        on_clear: [OnClear::Close, OnClear::Close, OnClear::Update, OnClear::Nothing]
            [rng.usize(..4)],
        raised_again: [RaisedAgain::New, RaisedAgain::New, RaisedAgain::Reopen][rng.usize(..3)],
        create_delay: delay(rng),
        update_delay: delay(rng),
        close_delay: delay(rng),
        flapping: Duration::from_secs([0, 0, 5, 60][rng.usize(..4)]),
        ..Ways::default()
    };
    let shared = Rule {
        name: "shared".to_owned(),
        object: Some("shared-*".to_owned()),
        group_by: Expression::new("object", &NAMES).ok(),
        ways: ways.clone(),
        ..Rule::default()
    };
    let rules = if faults.contains(&Fault::Groups) { vec![shared] } else { Vec::new() };
    Policy { ways, rules, ..Policy::default() }
}

/// What an alarm is about: two of three share it with others of their backend, where there are groups.
pub(super) fn object(plan: &Plan, n: u32) -> String {
    let place = n / plan.backends.max(1);
    let groups = if plan.alarms > 100 { 40 } else { 2 };
    match plan.faults.contains(&Fault::Groups) && place % 3 != 2 {
        true => format!("shared-{}", place % groups),
        false => "tx/1".to_owned(),
    }
}

pub(super) fn lane_settings(rng: &mut Rng, faults: &[Fault]) -> LaneSettings {
    // A key's age is told by the wall clock, which must not jump further than the key lives.
    let jumps = faults.contains(&Fault::Jump);
    let capability = [
        Capability::IdempotencyKey,
        Capability::ClientId,
        Capability::Searchable,
        Capability::Searchable,
        Capability::None,
    ][rng.usize(..5)];
    LaneSettings {
        capability,
        readable: rng.u8(..4) != 0,
        timeout: Duration::from_secs(rng.u64(2..11)),
        send_within: Duration::from_secs(2),
        index_lag: Duration::from_secs(rng.u64(..6)),
        key_ttl: Duration::from_secs(if jumps { 86_400 } else { [60, 300][rng.usize(..2)] }),
        retries: rng.u32(..4),
        backoff: Duration::from_secs(1),
        backoff_max: Duration::from_secs(20),
        max_in_doubt: [2, 4, 16][rng.usize(..3)],
        rate: (rng.u8(..4) == 0).then(|| Rate {
            calls: rng.u32(1..5),
            per: Duration::from_secs(rng.u64(1..10)),
            burst: rng.u32(1..5),
        }),
        sweep_every: Duration::from_secs(20),
        retry_burst: rng.u32(1..4),
        // One that is never seen open: what is retried meets the budget.
        breaker_after: if rng.u8(..6) == 0 { NEVER_OPEN } else { rng.u32(2..7) },
        admission: match rng.u8(..4) {
            0 => {
                let creates_only_at = rng.u64(1..6);
                Admission { creates_only_at, max_open: creates_only_at + rng.u64(1..6) }
            }
            _ => Admission::default(),
        },
        answers_later: faults.contains(&Fault::Later) && rng.u8(..2) == 0,
        confirm_within: Duration::from_secs(rng.u64(20..90)),
        ..LaneSettings::default()
    }
}
