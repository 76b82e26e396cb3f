//! Deliberate breaks, one or more for each rule that the simulator checks. A rule whose mutant
//! nothing catches is not checked.

use std::cell::Cell;

thread_local! {
    static ON: Cell<Option<Mutant>> = const { Cell::new(None) };
}

/// Is it on, in this thread?
pub fn is_on(mutant: Mutant) -> bool {
    ON.get() == Some(mutant)
}

/// Runs something with a break.
pub fn with<T>(mutant: Mutant, run: impl FnOnce() -> T) -> T {
    ON.set(Some(mutant));
    let result = run();
    ON.set(None);
    result
}

macro_rules! mutants {
    ($($(#[doc = $doc:literal])* $name:ident by $($rule:literal)*,)*) => {
        /// One break.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mutant { $($(#[doc = $doc])* $name,)* }

        impl Mutant {
            /// Every break.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Those of two-way sync, which the simulated pair plays; the world plays the others.
            pub fn of_pair(self) -> bool {
                self.caught_by().iter().all(|rule| rule.starts_with('S'))
            }

            /// Rules of which one must be seen broken first.
            pub fn caught_by(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$($rule),*],)* }
            }
        }
    };
}

mutants! {
    /// A ticket is taken over while another occurrence works on it; no index minds.
    SharedTicket by "T1",
    /// Decisions commit whatever they read.
    OldVersion by "T2",
    /// A rejection settles nothing: the alarm wakes itself.
    RejectionWakes by "T3",
    /// A client is granted again.
    TwoHolders by "L1",
    /// A new pool begins again with its first fences, whatever the store gave.
    FencesBeginAgain by "L2",
    /// The journal does not look at the lock.
    LocksForEver by "L3",
    /// A new pool raises no barriers.
    NoBarrier by "L3",
    /// A doubt is looked at when the wall clock says so.
    DoubtByWall by "L4",
    /// Locks end before their time.
    EndsEarly by "L4",
    /// A release frees whatever is held.
    WrongGuid by "L6",
    /// The last waiter is served first.
    LastFirst by "L8",
    /// One GUID gets two locks.
    LockTwice by "L9",
    /// Anybody may hold all clients.
    NoShare by "L12",
    /// A doubt is stored and not looked at.
    ForgetsDoubt by "G1",
    /// An intent that was open when the process died stays open.
    IntentsForgotten by "G1",
    /// A call is made beside another.
    TwoCalls by "G3",
    /// A write in doubt counts as done: the next one overtakes it.
    DoubtIsDone by "G4",
    /// What was just decided goes at once, whatever stands before it in the line of its ticket.
    DecidedGoesAtOnce by "G4",
    /// A create in doubt is sent again.
    DoubtIsWait by "G7",
    /// A doubt is looked at without settling.
    NoSettle by "G7",
    /// One look that finds nothing is enough.
    LookOnce by "G7",
    /// An old copy of a request makes an intent.
    StaleHead by "G7" "G10",
    /// An idempotency key is trusted for ever.
    KeyForEver by "G7",
    /// All occurrences of an alarm have one key; no index minds.
    OneKeyForAll by "G8",
    /// A look that failed found nothing.
    FailedLookIsAbsent by "G9",
    /// "There is more" found nothing.
    MoreIsAbsent by "G9",
    /// A backend that is away is called at once again.
    NoPause by "G10",
    /// A backend that fails again and again is called as if nothing were wrong.
    OpenCalls by "G11",
    /// What is primed goes, whatever was heard since.
    PrimedGoes by "G10" "G11",
    /// Retries have no budget.
    NoBudget by "G10",
    /// A backend's pace is not kept.
    NoPace by "G10",
    /// Retries are not counted.
    RetriesForEver by "G10",
    /// Any epoch may write.
    AnyEpoch by "G13",
    /// All ready requests are kept in memory.
    NoWindow by "G14",
    /// A backend's open requests are not limited.
    NoAdmission by "G14",
    /// Nothing is ever old enough to go first.
    NoAging by "G17",
    /// A repeat counts like the first.
    RepeatsCount by "I1",
    /// What a backend took and never answers waits for ever.
    NeverOverdue by "G1",
    /// A later answer that names only a ticket is given to whatever request is open.
    AnswersMixed by "T3",
    /// Sweeps report nothing.
    NoSweep by "G8",
    /// The last arrival wins.
    OlderWins by "I2",
    /// Events of a ticket are published side by side.
    NoEventOrder by "O3",
    /// External locks do not outlive the process.
    KeptLocksLost by "L4",
    /// A lock that is over is renewed.
    RenewsTheDead by "L5",
    /// Who has gone while it waited is given a client.
    GoneAreGranted by "L7",
    /// A forced unlock raises no barrier.
    UnlockedStillWrites by "L10",
    /// What a person forced to be not busy goes on.
    VoidedStands by "L11",
    /// The ids of commands are not remembered.
    CommandsForgotten by "G5",
    /// One id may come with another body.
    BodyIgnored by "G5",
    /// A command behind one in doubt is told that it is on its way.
    FrontUntold by "G4",
    /// Beats of a backlog are signs of life.
    BacklogCounts by "H1",
    /// Time without a link is the others' silence.
    DeafSilence by "H1",
    /// An origin is told as gone at each look.
    DownAgain by "H3",
    /// A call that outlives its time-out is no halt.
    NeverHung by "H2",
    /// A refusal leaves no history.
    RefusalUntold by "C2",
    /// What is old goes, whatever it is at.
    OldIsOver by "T5",
    /// A new round of the canary begins while one is under way.
    CanaryPilesUp by "K1",
    /// What is over of the canary stays in the store.
    CanaryStays by "K2",
    /// A flow that is dead is told so at every look.
    DeadAgain by "K3",
    /// An alarm of a group gets a ticket of its own.
    NoJoin by "U1",
    /// A close is journaled whatever the ticket's other alarms are at.
    ClosesUnderOthers by "U2",
    /// An alarm is linked by hand to a ticket that is being closed.
    LinksToTheClosing by "U2",
    /// Who is left behind on a ticket does not look at it again.
    NobodyCloses by "U3",
    /// What a rule had put among others goes back there after a person has taken it off.
    BackToItsGroup by "U4",
    /// What others have become since they were read counts as told.
    AlongWhateverVersion by "U5",
    /// Whatever is active is taken as cleared.
    NamedIsCleared by "P1",
    /// What is raised between a snapshot's end and its last page is taken as cleared.
    NewsIsCleared by "P1",
    /// Nothing is taken as cleared.
    NothingIsCleared by "P2",
    /// A page that does not begin where the feed stands is merged, and the feed goes on behind it.
    AnyPage by "S1",
    /// A feed goes on where it ended: what was committed late is not seen.
    NoOverlap by "S2",
    /// The next page begins after the last row's time: others of that time are not seen.
    EqualTimesSkipped by "S2",
    /// The other side's clock is taken for ours.
    SkewTrusted by "S2",
    /// A page knows what was written after it was asked for.
    PagesAreNew by "S2",
    /// What was told while a write was in doubt is always older than that.
    NeverReadAgain by "S2",
    /// A cursor that its source does not know is asked for again.
    LostIsKept by "S3",
    /// What is equal is told at every pass.
    FullPassIsNews by "S3",
    /// At equal times the side that speaks wins.
    TieIsTheirs by "S4",
    /// What both had in common is not asked for.
    NoBase by "S4",
    /// The more recent ticket wins, whoever is master.
    NobodyIsMaster by "S4",
    /// What we sent and that comes back is news.
    EchoIsNews by "S5",
    /// What the other side does not take is written for ever.
    WrittenForEver by "S5",
    /// A run begins while another one is active.
    SecondRun by "S6",
    /// A record that cannot be read stops its page.
    BadRecordStops by "S6",
    /// A record that cannot be read is passed over in silence.
    BadRecordUntold by "S6",
    /// A time in the future moves the feed's place there.
    FutureTrusted by "S7",
    /// A pass that was torn has looked at all tickets.
    TornPassCounts by "S8",
    /// What was told and is held was not named.
    HeldIsAbsent by "S8",
    /// What a pass that has only begun did not name yet is gone.
    NextPassCounts by "S8",
    /// What a part of a connector's set did not name it does not have.
    PartIsWhole by "S8",
    /// What a part of a pass did not name is gone.
    AnyPassIsWhole by "S8",
}
