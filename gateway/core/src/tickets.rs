//! The keys of session tickets, as a file holds them (HAProxy manual, "tls-ticket-keys"): in base64, one a
//! line, 48 or 80 bytes each. All nodes that have the same file resume each other's sessions.
//!
//! The last three count: all of them open tickets, and the one before the last seals. So a new key that
//! is added at the end reaches every node before the first of them seals with it.

use base64::prelude::{BASE64_STANDARD, Engine};

/// A key.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Stands in front of the tickets that it sealed.
    pub name: [u8; NAME],
    /// 32 or 64 bytes.
    pub secret: Vec<u8>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Key").finish_non_exhaustive()
    }
}

/// The three keys that count; the one in the middle seals. The error says what is wrong.
pub fn parse(text: &str) -> Result<[Key; KEYS], String> {
    let mut keys = Vec::new();
    for (place, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let key = BASE64_STANDARD.decode(line.trim()).ok().and_then(|bytes| key(&bytes));
        keys.push(key.ok_or_else(|| format!("line {}: expected 48 or 80 bytes in base64", place + 1))?);
    }
    let last = keys.split_off(keys.len().saturating_sub(KEYS));
    last.try_into().map_err(|few: Vec<Key>| format!("{} keys, expected at least {KEYS}", few.len()))
}

fn key(bytes: &[u8]) -> Option<Key> {
    let (name, secret) = bytes.split_first_chunk()?;
    matches!(secret.len(), 32 | 64).then(|| Key { name: *name, secret: secret.to_vec() })
}

/// Bytes of a key's name.
pub const NAME: usize = 16;
/// Keys that count: one that is going, one that seals, one that is coming.
pub const KEYS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_three_count_and_the_middle_one_seals() {
        let line = |number: u8, length| BASE64_STANDARD.encode(vec![number; length]) + "\n";
        let text = [line(1, 48), line(2, 48), "\n".into(), line(3, 80), line(4, 48)].concat();
        let keys = parse(&text).expect("keys");
        assert_eq!(keys.each_ref().map(|key| key.name[0]), [2, 3, 4]);
        assert_eq!(keys.each_ref().map(|key| key.secret.len()), [32, 64, 32]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let good = BASE64_STANDARD.encode([1; 48]);
        let told = |text: &str| parse(text).expect_err("it is wrong");
        assert_eq!(told(&format!("{good}\n{good}\n")), "2 keys, expected at least 3");
        assert_eq!(told(&format!("{good}\nnonsense!\n")), "line 2: expected 48 or 80 bytes in base64");
        assert_eq!(told(&BASE64_STANDARD.encode([1; 49])), "line 1: expected 48 or 80 bytes in base64");
        assert_eq!(told(""), "0 keys, expected at least 3");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn anything_is_taken_without_harm(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
