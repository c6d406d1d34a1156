//! Ids by which a request is found again in the logs of all who had it (HAProxy manual, "unique-id-header").
//!
//! An id that came with a request stays, if it can harm no log; else there is a new one.

use std::fmt::Write;

/// Whether an id that came with a request may stay: 1 to 128 letters, digits and `-_.:=+/@`.
pub fn may_stay(id: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:=+/@".contains(byte);
    (1..=LONGEST).contains(&id.len()) && id.iter().all(fits)
}

/// A new one: a UUID of version 4 (RFC 9562 section 5.4) of these random bytes.
pub fn new(mut random: [u8; 16]) -> String {
    random[6] = random[6] & 0x0f | 0x40;
    random[8] = random[8] & 0x3f | 0x80;
    let mut id = String::with_capacity(36);
    for (place, byte) in random.iter().enumerate() {
        if [4, 6, 8, 10].contains(&place) {
            id.push('-');
        }
        // Writing to a string can't fail.
        let _ = write!(id, "{byte:02x}");
    }
    id
}

/// Bytes of an id: twice what the longest common ones have.
const LONGEST: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_break_a_line_or_fill_a_log_does_not_stay() {
        assert!(may_stay(b"7f3a:0001/edge=1+x@gw_1.2-3"));
        for id in [&b""[..], b"a b", b"a\"b", b"a{b}", b"a,b", b"\xff", &[b'a'; 129]] {
            assert!(!may_stay(id), "{id:?}");
        }
    }

    #[test]
    fn a_new_one_is_a_uuid_that_may_stay() {
        let id = new([0xff; 16]);
        assert_eq!(id, "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert!(may_stay(id.as_bytes()));
    }
}
