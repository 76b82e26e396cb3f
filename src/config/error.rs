//! Config errors: one line each, with file, line, key, what is wrong and what is allowed.

use std::fmt;

/// One error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, or the environment.
    pub file: String,
    /// The line, from 1; none where it is not in the file.
    pub line: Option<usize>,
    /// The key, for example `policy.create_delay`.
    pub key: String,
    /// What is wrong, and what is allowed.
    pub what: String,
}

impl ConfigError {
    /// An error of a whole file.
    pub fn of_file(file: &str, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, key: String::new(), what: what.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        // One line an error: a parser's message may have several.
        write!(f, ": {}", self.what.split('\n').map(str::trim).collect::<Vec<_>>().join(" "))
    }
}

/// All errors that were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// serde says "unknown field `x`, expected one of `a`, `b`" at the section's path: the key is the
/// section's and `x`.
pub(super) fn explain(path: &str, message: &str) -> (String, String) {
    let path = if path == "." { "" } else { path };
    let unknown = message
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.split_once('`'))
        .map(|(field, rest)| (field, rest.trim_start_matches([',', ' '])));
    match unknown {
        None => (path.to_owned(), message.to_owned()),
        Some((field, expected)) => {
            // The path may or may not end in the unknown field itself.
            let ends_in_it = path == field || path.ends_with(&format!(".{field}"));
            let key = match (path, ends_in_it) {
                ("", _) => field.to_owned(),
                (_, true) => path.to_owned(),
                (section, false) => format!("{section}.{field}"),
            };
            (key, format!("unknown key; {expected}"))
        }
    }
}
