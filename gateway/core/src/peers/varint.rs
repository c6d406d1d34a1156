//! Numbers of variable length (HAProxy `src/peers.c`, `intencode`): one byte up to 239; else the low four bits
//! with the high half set, then seven bits at a time.

/// Appends a number.
pub(super) fn put(out: &mut Vec<u8>, value: u64) {
    if value < 0xf0 {
        out.push(value as u8);
        return;
    }
    out.push(value as u8 | 0xf0);
    let mut rest = (value - 0xf0) >> 4;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest = (rest - 0x80) >> 7;
    }
    out.push(rest as u8);
}

/// Takes a number off the front of `bytes`; none if it is not whole, or longer than any of 64 bits.
pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let (&first, mut rest) = bytes.split_first()?;
    let mut value = u64::from(first);
    if first >= 0xf0 {
        let mut shift = 4;
        loop {
            let (&byte, after) = rest.split_first()?;
            rest = after;
            value = value.wrapping_add(u64::from(byte).checked_shl(shift)?);
            if byte < 0x80 {
                break;
            }
            shift += 7;
        }
    }
    *bytes = rest;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_stand_as_haproxy_writes_them() {
        let bytes = |value| {
            let mut out = Vec::new();
            put(&mut out, value);
            out
        };
        assert_eq!(bytes(0xef), [0xef]);
        assert_eq!(bytes(0xf0), [0xf0, 0x00]);
        // From a definition that a real HAProxy sent: 30 s, 10 s and 3 s in milliseconds.
        assert_eq!(bytes(30_000), [0xf0, 0xc4, 0x0d]);
        assert_eq!(bytes(10_000), [0xf0, 0xe2, 0x03]);
        assert_eq!(bytes(3_000), [0xf8, 0xac, 0x00]);
        assert_eq!(bytes(u64::MAX).len(), 10);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_put_is_taken(values in proptest::collection::vec(any::<u64>(), 0..20), shift in 0u32..64) {
            let values: Vec<u64> = values.into_iter().map(|value| value >> shift).collect();
            let mut out = Vec::new();
            values.iter().for_each(|value| put(&mut out, *value));
            let mut bytes = out.as_slice();
            for value in values {
                prop_assert_eq!(take(&mut bytes), Some(value));
            }
            prop_assert!(bytes.is_empty());
        }

        #[test]
        fn garbage_is_a_number_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            let _ = take(&mut bytes.as_slice());
        }
    }
}
