//! Where a secret is: in the config, or in a file.
//!
//! What always holds: of the two exactly one is given. A file is read anew each time.

use crate::secrets::Secret;
use std::path::{Path, PathBuf};

/// Where a secret is.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Text(Secret),
    File(PathBuf),
}

impl Source {
    /// From the two keys, of which one must be given.
    ///
    /// # Errors
    /// The key, and what is wrong.
    pub fn of(
        key: &'static str,
        text: &Option<Secret>,
        file: &Option<PathBuf>,
    ) -> Result<Self, (&'static str, String)> {
        match (text, file) {
            (Some(text), None) => Ok(Self::Text(text.clone())),
            (None, Some(file)) => Ok(Self::File(file.clone())),
            _ => Err((key, format!("give either {key} or {key}_file"))),
        }
    }

    /// The secret, read while others wait: for the start.
    pub fn read(&self) -> Result<Secret, String> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => from_file(path, std::fs::read_to_string(path)),
        }
    }

    /// The secret, read beside others.
    pub async fn read_later(&self) -> Result<Secret, String> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => from_file(path, tokio::fs::read_to_string(path).await),
        }
    }
}

fn from_file(path: &Path, read: std::io::Result<String>) -> Result<Secret, String> {
    let text = read.map_err(|error| format!("the secret's file {}: {error}", path.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).into())
}
