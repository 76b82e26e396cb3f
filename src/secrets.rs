//! Secrets of the config that may stand in the file, in the environment, or in a file of their own.
//!
//! What always holds: a secret is shown by nothing but [`Secret::expose`], and no error repeats one,
//! not even an error about its type.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, de::Error};
use std::path::Path;

/// The largest file that is taken for a secret's: a wrong path must not read a disk.
const FILE_MAX: u64 = 64 * 1024;

/// A text that must not be seen.
#[derive(Clone, Debug)]
pub struct Secret(SecretString);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Reads the file of a secret; line breaks at its end do not count.
    ///
    /// # Errors
    /// When it cannot be read, is empty or too large; names the file.
    pub fn from_file(path: &Path) -> Result<Self, String> {
        let wrong = |what: &str| format!("the secret's file {} {what}", path.display());
        let told = |error: std::io::Error| wrong(&format!("cannot be read: {error}"));
        if std::fs::metadata(path).map_err(told)?.len() > FILE_MAX {
            return Err(wrong("is too large for a secret: 64 KiB are allowed"));
        }
        let text = std::fs::read_to_string(path).map_err(told)?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(wrong("is empty")),
            text => Ok(text.into()),
        }
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}
impl Eq for Secret {}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(from)? {
            toml::Value::String(text) => Ok(text.as_str().into()),
            _ => Err(D::Error::custom("a secret must be text, in quotes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_from_its_file_without_the_last_line_break() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("token");
        let missing = Secret::from_file(&path).unwrap_err();
        assert!(missing.contains("token cannot be read"), "{missing}");
        for (text, expected) in
            [("s3cret\n", Ok("s3cret")), (" a b\r\n", Ok(" a b")), ("\n", Err(()))]
        {
            std::fs::write(&path, text).unwrap();
            let read = Secret::from_file(&path);
            assert_eq!(read.as_ref().map(Secret::expose).map_err(|_| ()), expected);
            assert!(!format!("{read:?}").contains("s3cret"));
        }
        std::fs::write(&path, vec![b'x'; 65 * 1024]).unwrap();
        assert!(Secret::from_file(&path).unwrap_err().contains("too large"));
    }
}
