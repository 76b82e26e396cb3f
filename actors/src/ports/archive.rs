//! Where offloaded history goes: files below a folder.

use super::Soon;
use crate::logic::offload::{OffloadSettings, Span};
use crate::model::{HistoryList, HistoryRow, Timestamp};

/// Why rows are not in their file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// What stands at the file's place is not ours, or is damaged. It was left as it is, and none of
    /// the rows is in it.
    #[error("{0}")]
    NotOurs(String),
    /// The disk failed, or may not be written: the rows may be in the file or not.
    #[error("{0}")]
    Failed(String),
}

/// The folder of the offload.
pub trait Archive: Send + Sync {
    /// Adds rows of one list, in order of their numbers, to the file of that span. After `Ok` each of
    /// them stands in it exactly once and survives a power cut, also where some stood there before.
    /// Whatever happens on the way, the file is as it was or holds all of them: never a part.
    fn append(
        &self,
        list: HistoryList,
        span: Span,
        rows: Vec<HistoryRow>,
    ) -> Soon<Result<(), ArchiveError>>;
    /// Removes files that were kept long enough, and folders of days that are empty then; says how
    /// many files went. Touches nothing that is not named as ours (C3).
    fn clean(&self, now: Timestamp, settings: OffloadSettings) -> Soon<Result<u64, ArchiveError>>;
}
