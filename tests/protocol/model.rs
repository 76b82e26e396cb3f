//! One create and the lane that sends it, as a state machine with every order of events in it.
//!
//! Time is a few ticks that pass between any two steps; a timer at 0 has run out. Nobody hurries: a
//! process may take any time for a step, but for the one from intent to first byte, where only a
//! frozen one does. The backend has a bound, [`Backend::late_by`], within which it has applied what
//! reached it. Faults come out of a
//! purse ([`Faults`]), so that every history ends and what is true at its end can be checked.

use stateright::{Model, Property};

/// From the first byte of a call to the end of waiting for its answer.
pub const TIMEOUT: u8 = 2;
/// From an intent's commit to the last moment of its first byte.
pub const SEND_WITHIN: u8 = 1;
/// How long a new ticket may be missing from searches, as the config says.
pub const INDEX_LAG: u8 = 1;
/// `LaneSettings::settle`.
const SETTLE: u8 = 2 * TIMEOUT + INDEX_LAG;
/// Processes that can hold the lane: one, and the one that takes over.
const HOLDERS: usize = 2;

/// What is done against loss and doubles. [`Protocol::OURS`] has all of it.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// A change of an older epoch is refused (`changes::lane::check_epoch`, rule G13).
    pub epochs: bool,
    /// A change is refused that does not know of the last attempt, or of the request's state
    /// (`changes::intend`, `changes::conclude`).
    pub attempts: bool,
    /// The clock is looked at again just before the first byte (`Call::send_by`, rule G3).
    pub send_by: bool,
    /// How long a doubt waits for its first look (`LaneSettings::settle`).
    pub settle: u8,
    /// Looks that find nothing before a create is sent again (`judge::seen_create`). 0: none.
    pub looks: u8,
    /// Duplicates that can be seen are told of sooner or later (rule G8).
    pub sweep: bool,
}

impl Protocol {
    pub const OURS: Self =
        Self { epochs: true, attempts: true, send_by: true, settle: SETTLE, looks: 2, sweep: true };
}

/// What the ticketing system may do.
#[derive(Clone, Copy, Debug)]
pub struct Backend {
    /// It applies what reached it within so long, or never; whoever waits or not.
    pub late_by: u8,
    /// A search may miss a ticket for so long.
    pub lag: u8,
}

impl Backend {
    /// As its config says it is, and as late as settling allows for.
    pub const AS_CONFIGURED: Self = Self { late_by: 2 * TIMEOUT, lag: INDEX_LAG };
}

/// What can still go wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Faults {
    /// `kill -9` of a holder.
    pub crashes: u8,
    /// A holder stands still; it is taken for dead, and goes on later.
    pub freezes: u8,
    /// A create, its answer or the connection is lost.
    pub losses: u8,
}

/// Protocol, backend and faults together.
#[derive(Clone, Debug)]
pub struct OneTicket {
    pub protocol: Protocol,
    pub backend: Backend,
    pub faults: Faults,
}

/// The request's state (`model::State`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// To be sent: also `wait`.
    Accepted,
    Intent,
    InDoubt,
    /// `done`, `adopted`.
    Made,
    Undecided,
}

/// What is durable: the request's row and the lane's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    epoch: u8,
    pub stage: Stage,
    attempts: u8,
    /// Looks that found nothing since the last attempt.
    absent: u8,
    /// A person was told of more than one ticket.
    pub declared: bool,
}

/// What a holder does (`lane::Doing`, with its copy of the request).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Doing {
    /// It has the request's row in memory, and would send it.
    Ready,
    /// The intent is durable; its first byte may leave until the timer has run out.
    Intended { left: u8 },
    /// It waits for the answer.
    Calling { left: u8 },
    /// It has the answer, or knows that none will come; nothing of it is stored yet.
    Heard { done: bool },
    /// In doubt.
    Settling { left: u8, absent: u8 },
    /// A search was answered; nothing of it is stored yet.
    Looked { found: usize, absent: u8 },
    /// Nothing to do, or no longer the lane's holder.
    Resting,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Holder {
    epoch: u8,
    attempts: u8,
    doing: Doing,
    frozen: bool,
}

/// A create that reached the backend.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Create {
    /// Who may still wait for its answer.
    holder: usize,
    attempt: u8,
    left: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub row: Row,
    holders: [Option<Holder>; HOLDERS],
    creates: Vec<Create>,
    /// For each ticket: how long it is still missing from searches.
    tickets: Vec<u8>,
    faults: Faults,
    /// Somebody's change was taken after somebody else had taken the lane.
    stale_write: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Tick,
    /// The lane is taken under a new epoch; an open intent is in doubt from then on.
    Take(usize),
    /// The holder does what comes next for it.
    Step(usize),
    /// The backend applies a create, and answers.
    Apply(usize),
    /// The backend applies a create, and its answer is lost.
    ApplyUnheard(usize),
    /// A create is lost inside the backend.
    Drop(usize),
    /// The connection breaks while the create goes on.
    Disconnect(usize),
    /// A ticket comes to be found by searches.
    Index(usize),
    Crash(usize),
    Freeze(usize),
    Thaw(usize),
    /// Duplicates that can be seen are declared.
    Sweep,
}

impl State {
    pub fn tickets(&self) -> usize {
        self.tickets.len()
    }

    /// It has not the lane, and nobody else seems to be alive.
    fn may_take(&self, at: usize) -> bool {
        let lost = |holder: &Holder| {
            holder.doing == Doing::Resting && holder.epoch != self.row.epoch && !holder.frozen
        };
        let alone = (0..HOLDERS)
            .filter(|other| *other != at)
            .all(|other| self.holders[other].as_ref().is_none_or(|other| other.frozen));
        alone && self.holders[at].as_ref().is_none_or(lost)
    }

    fn visible(&self) -> usize {
        self.tickets.iter().filter(|hidden| **hidden == 0).count()
    }

    /// The holder whose answer this create's would be.
    fn waits_for(&mut self, create: &Create) -> Option<&mut Holder> {
        let holder = self.holders[create.holder].as_mut()?;
        let waits = matches!(holder.doing, Doing::Calling { .. });
        (waits && holder.attempts == create.attempt).then_some(holder)
    }

    /// Some timer runs. Time stands still while a create must be applied that is due, and while
    /// somebody who does not stand still could send: or an intent could lapse for ever.
    fn time_can_pass(&self) -> bool {
        let due = self.creates.iter().any(|create| create.left == 0);
        let sends = self
            .holders
            .iter()
            .flatten()
            .any(|holder| matches!(holder.doing, Doing::Intended { .. }) && !holder.frozen);
        let timers = self.holders.iter().flatten().any(|holder| match holder.doing {
            Doing::Intended { left } | Doing::Calling { left } | Doing::Settling { left, .. } => {
                left > 0
            }
            _ => false,
        });
        let hidden = self.tickets.iter().any(|hidden| *hidden > 0);
        !due && !sends && (timers || hidden || !self.creates.is_empty())
    }

    fn tick(&mut self) {
        for holder in self.holders.iter_mut().flatten() {
            if let Doing::Intended { left }
            | Doing::Calling { left }
            | Doing::Settling { left, .. } = &mut holder.doing
            {
                *left = left.saturating_sub(1);
            }
        }
        self.creates.iter_mut().for_each(|create| create.left -= 1);
        self.tickets.iter_mut().for_each(|hidden| *hidden = hidden.saturating_sub(1));
    }
}

impl OneTicket {
    /// A change of one holder, judged when it is applied (`changes::perform`).
    fn store(&self, state: &mut State, by: &Holder, from: &[Stage], to: Stage) -> bool {
        let stale = by.epoch != state.row.epoch;
        let conflict = by.attempts != state.row.attempts || !from.contains(&state.row.stage);
        if self.protocol.epochs && stale || self.protocol.attempts && conflict {
            return false;
        }
        state.stale_write |= stale;
        state.row.stage = to;
        true
    }

    fn take(&self, state: &mut State, at: usize) {
        let row = &mut state.row;
        row.epoch += 1;
        if row.stage == Stage::Intent {
            row.stage = Stage::InDoubt;
        }
        let doing = match row.stage {
            Stage::Accepted => Doing::Ready,
            Stage::Intent | Stage::InDoubt if self.protocol.looks == 0 => Doing::Ready,
            Stage::Intent | Stage::InDoubt => {
                Doing::Settling { left: self.protocol.settle, absent: row.absent }
            }
            Stage::Made | Stage::Undecided => Doing::Resting,
        };
        let (epoch, attempts) = (row.epoch, row.attempts);
        state.holders[at] = Some(Holder { epoch, attempts, doing, frozen: false });
    }

    /// What comes next for a holder; none while it waits.
    fn step(&self, state: &mut State, at: usize) -> Option<()> {
        use Stage::{Accepted, InDoubt, Intent, Made, Undecided};
        let mut me = state.holders[at].clone().filter(|holder| !holder.frozen)?;
        let Protocol { send_by, settle, looks, .. } = self.protocol;
        let in_doubt =
            if looks == 0 { Doing::Ready } else { Doing::Settling { left: settle, absent: 0 } };
        me.doing = match me.doing {
            Doing::Ready => self.intend(state, &mut me),
            Doing::Intended { left: 0 } if send_by => {
                let waits = self.store(state, &me, &[Intent], Accepted);
                if waits { Doing::Ready } else { Doing::Resting }
            }
            Doing::Intended { .. } => {
                let (attempt, left) = (me.attempts, self.backend.late_by);
                state.creates.push(Create { holder: at, attempt, left });
                state.creates.sort();
                Doing::Calling { left: TIMEOUT }
            }
            Doing::Calling { left: 0 } => Doing::Heard { done: false },
            Doing::Heard { done: true } => {
                self.store(state, &me, &[Intent, InDoubt], Made);
                Doing::Resting
            }
            Doing::Heard { done: false } => {
                let kept = self.store(state, &me, &[Intent], InDoubt);
                if kept { in_doubt } else { Doing::Resting }
            }
            Doing::Settling { left: 0, absent } => Doing::Looked { found: state.visible(), absent },
            Doing::Looked { found: 0, absent } if absent + 1 >= looks => {
                self.intend(state, &mut me)
            }
            Doing::Looked { found: 0, absent } => {
                let kept = self.store(state, &me, &[InDoubt], InDoubt);
                if kept {
                    state.row.absent = absent + 1;
                    Doing::Settling { left: INDEX_LAG, absent: absent + 1 }
                } else {
                    Doing::Resting
                }
            }
            Doing::Looked { found: 1, .. } => {
                self.store(state, &me, &[InDoubt], Made);
                Doing::Resting
            }
            Doing::Looked { .. } => {
                state.row.declared |= self.store(state, &me, &[InDoubt], Undecided);
                Doing::Resting
            }
            Doing::Calling { .. } | Doing::Settling { .. } | Doing::Resting => return None,
        };
        state.holders[at] = Some(me);
        Some(())
    }

    fn intend(&self, state: &mut State, me: &mut Holder) -> Doing {
        if !self.store(state, me, &[Stage::Accepted, Stage::InDoubt], Stage::Intent) {
            return Doing::Resting;
        }
        me.attempts += 1;
        (state.row.attempts, state.row.absent) = (me.attempts, 0);
        Doing::Intended { left: SEND_WITHIN }
    }

    fn can_step(&self, state: &State, at: usize) -> bool {
        self.step(&mut state.clone(), at).is_some()
    }

    /// Nobody will do anything any more.
    pub fn is_over(&self, state: &State) -> bool {
        let mut actions = Vec::new();
        self.actions(state, &mut actions);
        actions.is_empty()
    }
}

impl Model for OneTicket {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let row = Row { epoch: 0, stage: Stage::Accepted, attempts: 0, absent: 0, declared: false };
        vec![State {
            row,
            holders: [const { None }; HOLDERS],
            creates: Vec::new(),
            tickets: Vec::new(),
            faults: self.faults.clone(),
            stale_write: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.time_can_pass() {
            actions.push(Action::Tick);
        }
        let faults = &state.faults;
        for (at, holder) in state.holders.iter().enumerate() {
            if state.may_take(at) {
                actions.push(Action::Take(at));
            }
            let Some(holder) = holder else { continue };
            if self.can_step(state, at) {
                actions.push(Action::Step(at));
            }
            let works = holder.doing != Doing::Resting;
            if holder.frozen {
                actions.push(Action::Thaw(at));
            } else if works && faults.freezes > 0 {
                actions.push(Action::Freeze(at));
            }
            if works && faults.crashes > 0 {
                actions.push(Action::Crash(at));
            }
            if matches!(holder.doing, Doing::Calling { .. }) && faults.losses > 0 {
                actions.push(Action::Disconnect(at));
            }
        }
        for create in 0..state.creates.len() {
            actions.push(Action::Apply(create));
            if faults.losses > 0 {
                actions.extend([Action::ApplyUnheard(create), Action::Drop(create)]);
            }
        }
        let hidden = state.tickets.iter().enumerate().filter(|(_, hidden)| **hidden > 0);
        actions.extend(hidden.map(|(ticket, _)| Action::Index(ticket)));
        if self.protocol.sweep && state.visible() > 1 && !state.row.declared {
            actions.push(Action::Sweep);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Tick => state.tick(),
            Action::Take(at) => self.take(&mut state, at),
            Action::Step(at) => self.step(&mut state, at)?,
            Action::Apply(at) => {
                let create = state.creates.remove(at);
                state.tickets.push(self.backend.lag);
                if let Some(holder) = state.waits_for(&create) {
                    holder.doing = Doing::Heard { done: true };
                }
            }
            Action::ApplyUnheard(at) => {
                state.faults.losses -= 1;
                state.creates.remove(at);
                state.tickets.push(self.backend.lag);
            }
            Action::Drop(at) => {
                state.faults.losses -= 1;
                state.creates.remove(at);
            }
            Action::Disconnect(at) => {
                state.faults.losses -= 1;
                state.holders[at].as_mut()?.doing = Doing::Heard { done: false };
            }
            Action::Index(ticket) => state.tickets[ticket] = 0,
            Action::Crash(at) => {
                state.faults.crashes -= 1;
                state.holders[at] = None;
            }
            Action::Freeze(at) => {
                state.faults.freezes -= 1;
                state.holders[at].as_mut()?.frozen = true;
            }
            Action::Thaw(at) => state.holders[at].as_mut()?.frozen = false,
            Action::Sweep => state.row.declared = true,
        }
        // Which ticket came first says nothing.
        state.tickets.sort_unstable();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NEVER_TWO, |_, state: &State| state.tickets() <= 1),
            Property::always(NO_STALE_WRITE, |_, state: &State| !state.stale_write),
            Property::always(MADE_MEANS_MADE, |_, state: &State| {
                state.row.stage != Stage::Made || state.tickets() > 0
            }),
            Property::always(ENDS, |model: &Self, state: &State| {
                let ended = matches!(state.row.stage, Stage::Made | Stage::Undecided);
                ended || !model.is_over(state)
            }),
            Property::always(TWO_ARE_DECLARED, |model: &Self, state: &State| {
                state.tickets() <= 1 || state.row.declared || !model.is_over(state)
            }),
            Property::sometimes(IS_MADE, |_, state: &State| state.row.stage == Stage::Made),
        ]
    }
}

pub const NEVER_TWO: &str = "never two tickets of one key";
pub const NO_STALE_WRITE: &str = "no write under a stale fence";
pub const MADE_MEANS_MADE: &str = "what counts as made is there";
// As an `always` over last states, since `eventually` can miss paths that meet.
pub const ENDS: &str = "every accepted one is made or declared in the end";
pub const TWO_ARE_DECLARED: &str = "two tickets are declared in the end";
pub const IS_MADE: &str = "it can be made";
