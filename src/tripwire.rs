//! Which messages were open when the process died (rule I3), kept in one small file.
//!
//! Written without a sync, on purpose: what it guards against is a reader that aborts (a stack
//! overflow, memory), and a dead *process* loses nothing that was written. Costs two writes
//! a batch. Layout: 16 bytes of hash and 4 bytes of crash count an entry. What is left of a longer list is
//! zeros: to cut the file would change what the file system journals, and make the store's next sync slower.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use ticketgate_actors::ports::{MessageHash, Tripwire};

const ENTRY: usize = 20;
/// Where the list ends before the file does. No message has this hash, but once in 2^128.
const NOTHING: MessageHash = [0; 16];
/// Suspects that are remembered; more than a batch can hold at once are not needed.
const ENTRIES_MAX: usize = 4_096;

/// The tripwire in a file.
#[derive(Debug)]
pub struct FileTripwire {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    /// Bytes of the file that may be other than zero.
    used: usize,
    open: HashMap<MessageHash, u32>,
    /// Left over from processes that died, with their counts.
    suspects: HashMap<MessageHash, u32>,
}

impl FileTripwire {
    /// Opens the file in a data folder; what was open at the last death becomes suspect.
    pub fn open_in(dir: &Path) -> std::io::Result<Self> {
        let path = dir.join("intake.open");
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut suspects = HashMap::new();
        for entry in bytes.chunks_exact(ENTRY).take(ENTRIES_MAX) {
            let (hash, count) = entry.split_at(16);
            let mut key = [0; 16];
            key.copy_from_slice(hash);
            if key == NOTHING {
                break;
            }
            let mut crashes = [0; 4];
            crashes.copy_from_slice(count);
            // One more death than was written down: the one that ended the last process.
            suspects.insert(key, u32::from_be_bytes(crashes).saturating_add(1));
        }
        let mut state = State { file, used: bytes.len(), open: HashMap::new(), suspects };
        state.write();
        Ok(Self { state: Mutex::new(state) })
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Open messages are written with the crashes that they have seen so far; suspects that are
    /// not open now keep theirs, one less, since reading the file adds one.
    fn write(&mut self) {
        let idle = self
            .suspects
            .iter()
            .filter(|(hash, _)| !self.open.contains_key(*hash))
            .map(|(hash, crashes)| (hash, crashes.saturating_sub(1)));
        let open = self.open.iter().map(|(hash, crashes)| (hash, *crashes));
        let mut bytes = Vec::with_capacity((self.open.len() + self.suspects.len()) * ENTRY);
        for (hash, crashes) in open.chain(idle).take(ENTRIES_MAX) {
            bytes.extend_from_slice(hash);
            bytes.extend_from_slice(&crashes.to_be_bytes());
        }
        let used = bytes.len();
        bytes.resize(used.max(self.used), 0);
        match self.file.write_all_at(&bytes, 0) {
            Ok(()) => self.used = used,
            // Without it a message that kills its reader is only found by a person.
            Err(error) => tracing::warn!(%error, "the intake tripwire cannot be written"),
        }
    }
}

impl Tripwire for FileTripwire {
    fn open(&self, hashes: &[MessageHash]) -> Vec<u32> {
        let mut state = self.locked();
        let crashes: Vec<u32> =
            hashes.iter().map(|hash| state.suspects.get(hash).copied().unwrap_or(0)).collect();
        for (hash, crashes) in hashes.iter().zip(&crashes) {
            state.open.insert(*hash, *crashes);
        }
        state.write();
        crashes
    }

    fn close(&self, hashes: &[MessageHash]) {
        let mut state = self.locked();
        for hash in hashes {
            state.open.remove(hash);
            state.suspects.remove(hash);
        }
        state.write();
    }

    fn careful(&self) -> bool {
        !self.locked().suspects.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_was_open_at_three_deaths_has_three_crashes() {
        let dir = tempfile::tempdir().unwrap();
        for deaths in 0..4 {
            let wire = FileTripwire::open_in(dir.path()).unwrap();
            assert_eq!(wire.careful(), deaths > 0);
            assert_eq!(wire.open(&[[7; 16]]), [deaths]);
        }
    }

    #[test]
    fn a_message_that_was_closed_is_forgotten_and_a_neighbour_keeps_its_count() {
        let dir = tempfile::tempdir().unwrap();
        FileTripwire::open_in(dir.path()).unwrap().open(&[[1; 16], [2; 16]]);
        let wire = FileTripwire::open_in(dir.path()).unwrap();
        assert_eq!(wire.open(&[[1; 16]]), [1]);
        wire.close(&[[1; 16]]);
        drop(wire);
        let wire = FileTripwire::open_in(dir.path()).unwrap();
        assert_eq!(wire.open(&[[1; 16], [2; 16]]), [0, 1]);
    }
}
