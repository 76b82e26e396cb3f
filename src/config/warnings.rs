//! What is right and yet odd: told by `check` and at the start, refused by nobody.

use super::Config;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Where container engines put secrets, with modes of their own.
const ENGINES_OWN: &str = "/run/secrets";
/// Everybody on the machine may read it.
const OTHERS_READ: u32 = 0o004;

impl Config {
    /// Each key with what is odd about it.
    pub fn warnings(&self) -> Vec<(String, String)> {
        let mut odd = self.sync_warnings();
        let http = &self.http;
        let no_token = http.token.is_none() && http.token_file.is_none() && http.tokens.is_empty();
        if no_token && http.allow_remote_without_auth && !http.listen.ip().is_loopback() {
            let what = format!(
                "whoever reaches {} may do everything: only a proxy with a sign-in may reach it",
                http.listen
            );
            odd.push(("http.allow_remote_without_auth".to_owned(), what));
        }
        let of_tokens = http.tokens.iter().enumerate().filter_map(|(n, token)| {
            Some((format!("http.tokens[{n}].token_file"), token.token_file.as_deref()?))
        });
        let password = self.amqp.as_ref().and_then(|amqp| amqp.password_file.as_deref());
        let single = http.token_file.as_deref().map(|file| ("http.token_file".to_owned(), file));
        let password = password.map(|file| ("amqp.password_file".to_owned(), file));
        let key = http.tls_key.as_deref().map(|file| ("http.tls_key".to_owned(), file));
        let files = single.into_iter().chain(key).chain(of_tokens).chain(password);
        odd.extend(files.filter_map(|(key, file)| Some((key, open_to_all(file)?))));
        odd
    }
}

fn open_to_all(file: &Path) -> Option<String> {
    let mode = std::fs::metadata(file).ok()?.permissions().mode() & 0o777;
    let open = mode & OTHERS_READ != 0 && !file.starts_with(ENGINES_OWN);
    let name = file.display();
    open.then(|| format!("everybody on this machine may read {name} (mode {mode:o}): chmod o-r"))
}

#[cfg(test)]
mod tests {
    use crate::config::parse;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_open_door_and_a_readable_token_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "0123456789abcdef").unwrap();
        let keys = |text: &str| -> Vec<String> {
            let loaded = parse("t", text, std::iter::empty()).unwrap();
            loaded.config.warnings().into_iter().map(|(key, _)| key).collect()
        };
        let open = "[http]\nlisten = \"0.0.0.0:1\"\nallow_remote_without_auth = true\n";
        assert_eq!(keys(open), ["http.allow_remote_without_auth"]);
        let loopback = "[http]\nallow_remote_without_auth = true\n";
        assert_eq!(keys(loopback), [""; 0]);
        let with_token = format!("[http]\ntoken_file = {file:?}\n");
        set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(keys(&with_token), ["http.token_file"]);
        let named =
            format!("[[http.tokens]]\nname = \"ann\"\nrole = \"viewer\"\ntoken_file = {file:?}\n");
        assert_eq!(keys(&named), ["http.tokens[0].token_file"]);
        set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        assert_eq!(keys(&with_token), [""; 0]);
    }
}
