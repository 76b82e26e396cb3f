//! AMQP topic keys: matching, and names made fit for a key.

/// Does a topic pattern match a routing key? `*` stands for one word, `#` for any number of them.
pub fn matches(pattern: &str, key: &str) -> bool {
    fn step(pattern: &[&str], key: &[&str]) -> bool {
        match (pattern.split_first(), key.split_first()) {
            (None, None) => true,
            (Some((&"#", rest)), _) => (0..=key.len()).any(|skip| step(rest, &key[skip..])),
            (Some((&"*", rest)), Some((_, key))) => step(rest, key),
            (Some((word, rest)), Some((is, key))) => word == is && step(rest, key),
            _ => false,
        }
    }
    let pattern: Vec<&str> = pattern.split('.').collect();
    let key: Vec<&str> = key.split('.').collect();
    step(&pattern, &key)
}

/// One word of a routing key: what a topic key cannot carry inside a name becomes `_`
/// (CONTRACT 1.1).
pub fn word(name: &str) -> String {
    if name.is_empty() {
        return "_".to_owned();
    }
    name.chars()
        .map(|c| {
            if c == '.' || c == '*' || c == '#' || c.is_whitespace() || c.is_control() {
                '_'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_the_broker_does() {
        for (pattern, key, expected) in [
            ("ticket.*.incident.created", "ticket.crm.incident.created", true),
            ("ticket.*.incident.created", "ticket.crm.incident.closed", false),
            ("#", "a.b.c", true),
            ("ticket.#", "ticket", true),
            ("ticket.#", "ticket.a.b", true),
            ("*.b", "a.b", true),
            ("*", "a.b", false),
            ("#.created", "ticket.crm.incident.created", true),
            ("a.#.d", "a.b.c.d", true),
            ("a.#.d", "a.d", true),
        ] {
            assert_eq!(matches(pattern, key), expected, "{pattern} on {key}");
        }
    }

    #[test]
    fn what_a_key_cannot_carry_becomes_an_underscore() {
        assert_eq!(word("north.tx 1#"), "north_tx_1_");
        assert_eq!(word(""), "_");
    }
}
