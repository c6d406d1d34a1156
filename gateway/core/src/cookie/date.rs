//! Dates behind the value of a cookie, as HAProxy writes them: `s1|YYYYY|YYYYY`, when its client was seen last and
//! first. Each is 30 bits of units of four seconds since 1970 in five digits of base64, the highest first.

/// A value, and when its client was seen last and first, in seconds.
pub(super) fn split(value: &[u8]) -> (&[u8], Option<u64>, Option<u64>) {
    let mut parts = value.splitn(3, |byte| *byte == b'|');
    let name = parts.next().unwrap_or_default();
    (name, parts.next().and_then(seconds), parts.next().and_then(seconds))
}

/// Appends a date.
pub(super) fn push(out: &mut String, seconds: u64) {
    let units = seconds.div_ceil(UNIT);
    out.push('|');
    for shift in [24, 18, 12, 6, 0] {
        let digit = DIGITS.get((units >> shift) as usize & 63).copied().unwrap_or_default();
        out.push(char::from(digit));
    }
}

/// `None` where there is none, or it is nought.
fn seconds(text: &[u8]) -> Option<u64> {
    let mut units = 0u64;
    for byte in text.get(..5)? {
        let digit = DIGITS.iter().position(|digit| digit == byte)?;
        units = units << 6 | digit as u64;
    }
    (units > 0).then_some(units * UNIT)
}

/// Seconds.
const UNIT: u64 = 4;
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_date_comes_back_within_its_unit(last in 1u64..4_000_000_000, first in 1u64..4_000_000_000) {
            let mut text = "s1".to_owned();
            push(&mut text, last);
            push(&mut text, first);
            let up = |seconds: u64| Some(seconds.div_ceil(4) * 4);
            prop_assert_eq!(text.len(), 14);
            prop_assert_eq!(split(text.as_bytes()), (b"s1".as_slice(), up(last), up(first)));
        }

        #[test]
        fn any_text_is_survived(text: Vec<u8>) {
            let (name, ..) = split(&text);
            prop_assert!(text.starts_with(name));
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        assert_eq!(split(b"s1"), (b"s1".as_slice(), None, None));
        assert_eq!(split(b"s1|ab|"), (b"s1".as_slice(), None, None));
        assert_eq!(split(b"s1|AAAAA|a~aaa"), (b"s1".as_slice(), None, None));
        assert_eq!(split(b"s1|AAAAB|AAABA"), (b"s1".as_slice(), Some(4), Some(256)));
    }
}
