//! The ledger: what was done to the simulated backends, and the one handle to read and steer them.
//!
//! What always holds: all books are behind one lock, held only for a few map operations and never
//! across a wait, so that a report is one moment's truth over all backends.
//!
//! What it leaves to others: the books themselves (`books`, `traffic`), when a call begins
//! and ends (`calls`). It is the one place of the simulator that reads a clock: a monotonic one, and at the
//! start the wall clock.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::time::Instant;

use super::books::Books;
use super::faults::{Dice, Faults};
use super::report::Report;
use super::settings::{RestSettings, System};
use super::systems;
use super::tickets::Tickets;
use super::traffic::{LineId, Traffic};

/// So many backends are made up on first use; a client that calls more has lost its way.
const MAX_BACKENDS: usize = 256;
/// A backend's name becomes a part of ids and addresses.
const MAX_BACKEND_NAME_CHARS: usize = 64;

/// Why the ledger cannot answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// There is no such backend, and none may be made up.
    #[error("there is no backend {name:?}; known are: {known}")]
    UnknownBackend {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The faults make no sense.
    #[error("{0}")]
    Faults(String),
}

/// A handle to the ledger of a running simulator; clones see the same books.
#[derive(Debug, Clone)]
pub struct Ledger(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    started: Instant,
    /// The wall clock then, in milliseconds since 1970.
    began_ms: i64,
    base_url: String,
    seed: u64,
    first_number: u64,
    system: System,
    /// When not empty, the only backends.
    only: Vec<String>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    traffic: Traffic,
    new_backends_begin_with: Faults,
    books: BTreeMap<String, Books>,
}

impl Ledger {
    /// An empty ledger of backends that are reached under `base_url`.
    pub(super) fn new(base_url: String, settings: &RestSettings) -> Self {
        let RestSettings { seed, first_number, system, backends: only, faults, .. } = settings;
        let state = State {
            traffic: Traffic::default(),
            new_backends_begin_with: faults.clone(),
            books: BTreeMap::new(),
        };
        let ledger = Self(Arc::new(Inner {
            started: Instant::now(),
            began_ms: wall_clock(),
            base_url,
            seed: *seed,
            first_number: *first_number,
            system: *system,
            only: only.clone(),
            state: Mutex::new(state),
        }));
        for backend in only {
            // A configured name that is no good is told on its first call; see `books_of`.
            let _ = ledger.in_books(backend, |_, _| ());
        }
        ledger
    }

    /// The ledger of all backends together, with each one's own in `backends`.
    pub fn report(&self) -> Report {
        self.report_all(false)
    }

    /// The ledger of one backend.
    ///
    /// # Errors
    /// When there is no such backend.
    pub fn report_of(&self, backend: &str) -> Result<Report, LedgerError> {
        self.report_one(backend, false)
    }

    /// The ledger of one backend with every ticket in it.
    ///
    /// # Errors
    /// When there is no such backend.
    pub fn report_with_tickets(&self, backend: &str) -> Result<Report, LedgerError> {
        self.report_one(backend, true)
    }

    pub(super) fn report_one(&self, name: &str, tickets: bool) -> Result<Report, LedgerError> {
        let mut state = self.state();
        let now_ms = self.now_ms();
        let mut report = self.books_of(&mut state, name)?.report(tickets);
        state.traffic.tell(name, &mut report, now_ms);
        Ok(report)
    }

    pub(super) fn report_all(&self, with_tickets: bool) -> Report {
        let state = self.state();
        let now_ms = self.now_ms();
        let mut all = Report::default();
        state.traffic.tell_all(&mut all, now_ms);
        for (name, books) in &state.books {
            let mut report = books.report(with_tickets);
            state.traffic.tell(name, &mut report, now_ms);
            all.add(name, report);
        }
        all
    }

    /// The faults of one backend now.
    ///
    /// # Errors
    /// When there is no such backend.
    pub fn faults(&self, backend: &str) -> Result<Faults, LedgerError> {
        self.in_books(backend, |books, _| books.faults().clone())
    }

    /// The faults that new backends begin with.
    pub fn faults_of_new_backends(&self) -> Faults {
        self.state().new_backends_begin_with.clone()
    }

    /// Replaces the faults of one backend.
    ///
    /// # Errors
    /// When there is no such backend, or the faults make no sense.
    pub fn set_faults(&self, backend: &str, faults: Faults) -> Result<(), LedgerError> {
        faults.check().map_err(LedgerError::Faults)?;
        self.in_books(backend, |books, _| books.set_faults(faults))
    }

    /// Replaces the faults of all backends, those still to be made up included.
    ///
    /// # Errors
    /// When the faults make no sense.
    pub fn set_all_faults(&self, faults: Faults) -> Result<(), LedgerError> {
        faults.check().map_err(LedgerError::Faults)?;
        let mut state = self.state();
        for books in state.books.values_mut() {
            books.set_faults(faults.clone());
        }
        state.new_backends_begin_with = faults;
        Ok(())
    }

    /// Does something to the books of a backend, at a moment in milliseconds since the start.
    pub(super) fn in_books<T>(
        &self,
        backend: &str,
        act: impl FnOnce(&mut Books, u64) -> T,
    ) -> Result<T, LedgerError> {
        let mut state = self.state();
        // Read under the lock: moments in the books then never go back.
        let now_ms = self.now_ms();
        Ok(act(self.books_of(&mut state, backend)?, now_ms))
    }

    /// The name of a line that was just opened.
    pub(super) fn new_line(&self) -> LineId {
        self.state().traffic.new_line()
    }

    /// A call begins; one to a backend that does not exist is none.
    pub(super) fn begin_call(&self, line: LineId, socket: Option<&Arc<TcpStream>>, backend: &str) {
        let mut state = self.state();
        let now_ms = self.now_ms();
        if self.books_of(&mut state, backend).is_ok() {
            state.traffic.begin_call(line, socket, backend, now_ms);
        }
    }

    /// The call on a line ends, if it has not ended before.
    pub(super) fn end_call(&self, line: LineId) {
        let mut state = self.state();
        let now_ms = self.now_ms();
        state.traffic.end_call(line, now_ms);
    }

    /// A line is closed, if it has not been before.
    pub(super) fn close_line(&self, line: LineId) {
        let mut state = self.state();
        let now_ms = self.now_ms();
        state.traffic.close(line, now_ms);
    }

    fn books_of<'a>(&self, state: &'a mut State, name: &str) -> Result<&'a mut Books, LedgerError> {
        if !state.books.contains_key(name) {
            let may_begin = match self.0.only.as_slice() {
                [] => state.books.len() < MAX_BACKENDS && is_backend_name(name),
                only => only.iter().any(|known| known == name) && is_backend_name(name),
            };
            if !may_begin {
                let known: Vec<&str> = state.books.keys().map(String::as_str).collect();
                let (name, known) = (name.to_owned(), known.join(", "));
                return Err(LedgerError::UnknownBackend { name, known });
            }
            let tickets = Tickets::new(name, &format!("{}/{name}/tickets", self.0.base_url))
                .numbered_from(self.0.first_number);
            let tickets = {
                let (precision_ms, always_changes) = systems::changes_of(self.0.system);
                tickets.with_times_of(precision_ms, always_changes)
            };
            let tickets = match systems::id_of(self.0.system) {
                Some(id_of) => tickets.with_ids(id_of),
                None => tickets,
            };
            let dice = Dice::of_backend(self.0.seed, name);
            let faults = state.new_backends_begin_with.clone();
            let books = Books::new(tickets, faults, dice, self.0.began_ms);
            state.books.insert(name.to_owned(), books);
        }
        Ok(state.books.get_mut(name).expect("it was there, or was inserted just now"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("nothing panics while it holds the books")
    }

    fn now_ms(&self) -> u64 {
        // A u64 of milliseconds lasts for half a billion years.
        self.0.started.elapsed().as_millis() as u64
    }
}

#[expect(clippy::disallowed_methods, reason = "a system outside has a clock of its own")]
pub(super) fn wall_clock() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Whether a name can be a backend's: letters, digits, `-` and `_`, and none of the words that
/// the simulator answers itself.
pub(super) fn is_backend_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !name.is_empty()
        && name.len() <= MAX_BACKEND_NAME_CHARS
        && name.chars().all(allowed)
        && !["ledger", "faults"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(only: &[&str]) -> Ledger {
        let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
        let settings = RestSettings { backends: only, ..RestSettings::default() };
        Ledger::new("http://sim".to_owned(), &settings)
    }

    #[test]
    fn any_good_name_is_a_backend_unless_the_backends_are_given() {
        let open = ledger(&[]);
        assert!(open.report_of("oceane").is_ok());
        for name in ["", "a b", "ledger", "../a"] {
            assert!(open.report_of(name).is_err(), "{name}");
        }
        let closed = ledger(&["a", "b"]);
        assert!(closed.report_of("b").is_ok());
        let error = closed.report_of("c").unwrap_err().to_string();
        assert!(error.contains("\"c\"") && error.contains("a, b"), "{error}");
    }

    #[test]
    fn faults_for_all_reach_backends_that_come_later() {
        let ledger = ledger(&[]);
        ledger.set_faults("a", Faults { down: true, ..Faults::default() }).unwrap();
        assert!(!ledger.faults("b").unwrap().down);
        ledger.set_all_faults(Faults { idempotent: true, ..Faults::default() }).unwrap();
        for backend in ["a", "b", "c"] {
            let faults = ledger.faults(backend).unwrap();
            assert!(faults.idempotent && !faults.down, "{backend}");
        }
    }

    #[test]
    fn the_names_of_made_up_backends_are_bounded() {
        let ledger = ledger(&[]);
        for number in 0..MAX_BACKENDS {
            assert!(ledger.report_of(&format!("b{number}")).is_ok());
        }
        assert!(ledger.report_of("one-too-many").is_err());
    }
}
