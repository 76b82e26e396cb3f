//! Sessions of the dashboard: who signed in with a token keeps a cookie instead of it.
//!
//! What always holds: a session's name is random and kept only as its digest, in memory, so that neither
//! a store nor a restart keeps one. It ends when it is not used for a while, and after its longest life
//! however much it is used. Wrong tokens are counted, by address and in all; over the limit nobody is
//! looked at until a minute is over.

use super::access::{By, Caller};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use ticketgate_actors::model::{Moment, Mono};
use uuid::Uuid;

/// The cookie.
pub(super) const COOKIE: &str = "ticketgate_session";
/// A session that is not used for so long is over: a shift's break, not its end.
pub const IDLE: Duration = Duration::from_secs(60 * 60);
/// The longest life of a session: a shift.
pub const LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// Sessions at once; the one that was used longest ago gives way.
pub const SESSIONS_MAX: usize = 1_000;
/// Wrong tokens in a minute, from one address and in all.
pub const WRONG_BY_ADDRESS: u32 = 10;
/// See [`WRONG_BY_ADDRESS`].
pub const WRONG_IN_ALL: u32 = 200;
/// Wrong tokens are counted for so long.
const MINUTE: Duration = Duration::from_secs(60);

struct Session {
    caller: Caller,
    begun: Moment,
    used: Mono,
}

#[derive(Default)]
struct Inner {
    sessions: HashMap<[u8; 32], Session>,
    wrong: HashMap<IpAddr, u32>,
    wrong_in_all: u32,
    counted_from: Mono,
}

impl Inner {
    fn begin_minute(&mut self, now: Mono) {
        if now.since(self.counted_from) >= MINUTE {
            self.wrong.clear();
            self.wrong_in_all = 0;
            self.counted_from = now;
        }
    }
}

/// All sessions of this process.
#[derive(Default)]
pub struct Sessions(Mutex<Inner>);

fn digest(name: &str) -> [u8; 32] {
    Sha256::digest(name.as_bytes()).into()
}

fn is_over(session: &Session, now: Mono) -> bool {
    now.since(session.used) >= IDLE || now.since(session.begun.mono) >= LIFE
}

impl Sessions {
    /// May somebody at this address try a token?
    pub fn may_try(&self, address: IpAddr, now: Mono) -> bool {
        let mut inner = self.lock();
        inner.begin_minute(now);
        let of_address = inner.wrong.get(&address).copied().unwrap_or_default();
        of_address < WRONG_BY_ADDRESS && inner.wrong_in_all < WRONG_IN_ALL
    }

    /// A wrong token came from there.
    pub fn wrong(&self, address: IpAddr, now: Mono) {
        let mut inner = self.lock();
        inner.begin_minute(now);
        inner.wrong_in_all += 1;
        // As many addresses as wrong tokens: they are bounded too.
        *inner.wrong.entry(address).or_default() += 1;
    }

    /// Begins a session; gives its name, for the cookie.
    pub fn begin(&self, caller: Caller, now: Moment) -> String {
        let name = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let mut inner = self.lock();
        inner.sessions.retain(|_, session| !is_over(session, now.mono));
        if inner.sessions.len() >= SESSIONS_MAX {
            let oldest = inner.sessions.iter().min_by_key(|(_, session)| session.used);
            if let Some(oldest) = oldest.map(|(name, _)| *name) {
                inner.sessions.remove(&oldest);
            }
        }
        inner.sessions.insert(digest(&name), Session { caller, begun: now, used: now.mono });
        name
    }

    /// Whose session it is; used now.
    pub fn caller(&self, name: &str, now: Mono) -> Option<Caller> {
        let mut inner = self.lock();
        let key = digest(name);
        let session = inner.sessions.get_mut(&key)?;
        if is_over(session, now) {
            inner.sessions.remove(&key);
            return None;
        }
        session.used = now;
        let until = session.begun.wall.plus(LIFE);
        Some(Caller { by: By::Session(until), ..session.caller.clone() })
    }

    /// Does it live? Asked by what goes on by itself, which is no use of it.
    pub fn lives(&self, name: &str, now: Mono) -> bool {
        self.lock().sessions.get(&digest(name)).is_some_and(|session| !is_over(session, now))
    }

    /// Ends a session; one that is not there is no error.
    pub fn end(&self, name: &str) {
        self.lock().sessions.remove(&digest(name));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ticketgate_actors::model::Timestamp;

    fn at(seconds: u64) -> Moment {
        let wall = Timestamp::from_millis(i64::try_from(seconds).unwrap() * 1_000);
        Moment { wall, mono: Mono(seconds * 1_000) }
    }

    #[test]
    fn a_session_ends_when_it_is_not_used_and_after_its_longest_life() {
        let sessions = Sessions::default();
        let name = sessions.begin(Caller::somebody(), at(0));
        let (idle, life) = (IDLE.as_secs(), LIFE.as_secs());
        let mut now = 0;
        while now + idle - 1 < life {
            now += idle - 1;
            assert!(sessions.caller(&name, at(now).mono).is_some(), "{now}");
        }
        assert!(sessions.caller(&name, at(life).mono).is_none(), "however much it is used");
        let name = sessions.begin(Caller::somebody(), at(0));
        assert!(sessions.caller(&name, at(idle).mono).is_none());
        let name = sessions.begin(Caller::somebody(), at(0));
        assert!(sessions.lives(&name, at(idle - 1).mono) && !sessions.lives(&name, at(idle).mono));
        sessions.end(&name);
        assert!(!sessions.lives(&name, at(1).mono));
        assert!(sessions.caller(&name, at(1).mono).is_none());
        assert!(sessions.caller("", at(1).mono).is_none());
    }

    #[test]
    fn wrong_tokens_are_limited_by_address_and_in_all() {
        let sessions = Sessions::default();
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        for _ in 0..WRONG_BY_ADDRESS {
            assert!(sessions.may_try(address(1), at(1).mono));
            sessions.wrong(address(1), at(1).mono);
        }
        assert!(!sessions.may_try(address(1), at(2).mono));
        assert!(sessions.may_try(address(2), at(2).mono), "others may");
        for n in 0..WRONG_IN_ALL {
            sessions.wrong(address(n + 10), at(2).mono);
        }
        assert!(!sessions.may_try(address(9_999), at(3).mono));
        assert!(sessions.may_try(address(1), at(70).mono), "after a minute");
    }

    #[test]
    fn there_are_only_so_many_and_the_least_used_gives_way() {
        let sessions = Sessions::default();
        let first = sessions.begin(Caller::somebody(), at(0));
        for _ in 0..SESSIONS_MAX {
            sessions.begin(Caller::somebody(), at(1));
        }
        assert!(sessions.caller(&first, at(2).mono).is_none());
        assert_eq!(sessions.lock().sessions.len(), SESSIONS_MAX);
    }
}
