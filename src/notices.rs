//! How a backend's notice over HTTP that something has changed there is believed: `[[notices]]`.
//!
//! What a notice says is not read: it only brings forward the run of the syncs that read that backend,
//! so that a forged or lost one can change nothing but a time. A backend that brings a secret of its own
//! needs none of the API's.

use crate::trust::Trust;
use crate::words;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use ticketgate_actors::model::BackendId;

/// From one run to the next, where notices ask for them and the config says nothing: soon enough for
/// whoever waits, and a flood of notices costs the lane a call in so long.
pub const PAUSE: Duration = Duration::from_secs(5);
/// A feed that is read more often would be all that its lane does.
pub const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longer than that is a schedule, and no notice.
pub const PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// `[[notices]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoticeSection {
    /// Whose notices come at `/webhooks/{backend}`.
    pub backend: BackendId,
    /// The file of a token that it brings as `Authorization: Bearer`.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Or the file of a key with which it signs each body: HMAC-SHA256, in hexadecimal.
    #[serde(default)]
    pub hmac_file: Option<PathBuf>,
    /// The header of that signature; `sha256=` may stand before it. Default `x-signature-256`.
    #[serde(default)]
    pub signature_header: Option<String>,
    /// From one run to the next that notices ask for, 1 s to 1 h.
    #[serde(with = "words::duration", default = "pause")]
    pub pause: Duration,
}

fn pause() -> Duration {
    PAUSE
}

impl NoticeSection {
    /// Whom it believes.
    ///
    /// # Errors
    /// The key at fault below `[[notices]]`, and what is wrong with it.
    pub fn trust(&self) -> Result<Trust, (&'static str, String)> {
        if !(PAUSE_MIN..=PAUSE_MAX).contains(&self.pause) {
            return Err(("pause", "must be 1s to 1h".to_owned()));
        }
        let (token, hmac) = (self.token_file.as_deref(), self.hmac_file.as_deref());
        Trust::of(token, hmac, self.signature_header.as_deref())
    }
}

/// How each backend's notices are believed; those that are not here, as the API's callers are.
///
/// # Errors
/// The key at fault below `notices`, and what is wrong with it.
pub fn by_backend(
    sections: &[NoticeSection],
) -> Result<HashMap<BackendId, Arc<Trust>>, (&'static str, String)> {
    let built = sections.iter().map(|one| Ok((one.backend.clone(), Arc::new(one.trust()?))));
    built.collect()
}
