//! What a person types next, so that it can be pasted as it stands.

/// A command that changes something, with the reason that all such ask for; its words as a shell takes them.
pub(super) fn typed(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
    format!("ticketgate {} --reason …", words.join(" "))
}

/// Sources and ids are other people's words, with spaces and worse.
fn quoted(word: &str) -> String {
    let plain = |sign: char| sign.is_alphanumeric() || "-_./:@%+=,".contains(sign);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_by_a_shell_as_it_was_meant() {
        assert_eq!(typed(&["lane", "resume", "crm"]), "ticketgate lane resume crm --reason …");
        for word in ["a b", "it's", "$(reboot)", "", "`x`", "a;b", "ü/1"] {
            let line = typed(&["alarm", "unlink", "probe", word]);
            let said = std::process::Command::new("sh")
                .args(["-c", &format!("set -- {line}; printf %s \"$5\"")])
                .output()
                .expect("a shell");
            assert_eq!(String::from_utf8_lossy(&said.stdout), word);
        }
    }
}
