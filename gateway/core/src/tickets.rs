//! The keys of session tickets, as a file holds them (HAProxy manual, "tls-ticket-keys"): in base64, one a
//! line, 48 or 80 bytes each. All nodes that have the same file resume each other's sessions.
//!
//! The last three count: all of them open tickets, and the one before the last seals. So a new key that
//! is added at the end reaches every node before the first of them seals with it.

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
        let key = decode(line.trim().as_bytes()).and_then(|bytes| key(&bytes));
        keys.push(key.ok_or_else(|| format!("line {}: expected 48 or 80 bytes in base64", place + 1))?);
    }
    let last = keys.split_off(keys.len().saturating_sub(KEYS));
    last.try_into().map_err(|few: Vec<Key>| format!("{} keys, expected at least {KEYS}", few.len()))
}

fn key(bytes: &[u8]) -> Option<Key> {
    let (name, secret) = bytes.split_first_chunk()?;
    matches!(secret.len(), 32 | 64).then(|| Key { name: *name, secret: secret.to_vec() })
}

/// RFC 4648 §4.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let unpadded = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    if !text.len().is_multiple_of(4) || unpadded.len() % 4 == 1 {
        return None;
    }
    let (mut bytes, mut bits, mut held) = (Vec::with_capacity(unpadded.len()), 0u32, 0);
    for digit in unpadded {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    Some(bytes)
}

/// Bytes of a key's name.
pub const NAME: usize = 16;
/// Keys that count: one that is going, one that seals, one that is coming.
pub const KEYS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(bytes: &[u8]) -> String {
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let group = |group: &[u8]| {
            let bits =
                group.iter().chain([&0, &0]).take(3).fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
            let digit = move |place: usize| match place <= group.len() {
                true => char::from(DIGITS[(bits >> (18 - 6 * place) & 63) as usize]),
                false => '=',
            };
            (0..4).map(digit).collect::<String>()
        };
        bytes.chunks(3).map(group).collect()
    }

    #[test]
    fn the_last_three_count_and_the_middle_one_seals() {
        let line = |number: u8, length| encode(&vec![number; length]) + "\n";
        let text = [line(1, 48), line(2, 48), "\n".into(), line(3, 80), line(4, 48)].concat();
        let keys = parse(&text).expect("keys");
        assert_eq!(keys.each_ref().map(|key| key.name[0]), [2, 3, 4]);
        assert_eq!(keys.each_ref().map(|key| key.secret.len()), [32, 64, 32]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let good = encode(&[1; 48]);
        let told = |text: &str| parse(text).expect_err("it is wrong");
        assert_eq!(told(&format!("{good}\n{good}\n")), "2 keys, expected at least 3");
        assert_eq!(told(&format!("{good}\nnonsense!\n")), "line 2: expected 48 or 80 bytes in base64");
        assert_eq!(told(&encode(&[1; 49])), "line 1: expected 48 or 80 bytes in base64");
        assert_eq!(told(""), "0 keys, expected at least 3");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn base64_is_read_as_it_is_written(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(decode(encode(&bytes).as_bytes()), Some(bytes));
        }

        #[test]
        fn anything_is_taken_without_harm(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
