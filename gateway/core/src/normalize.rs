//! One spelling of a path, so that no other spelling walks round a route or a rule: what was judged is
//! what the server gets (RFC 3986 §6.2.2).
//!
//! `/a/../admin`, `//admin`, `/%61dmin` and `/a%2f..%2fadmin` all are `/admin` to some server. Some
//! spellings have no one reading: an encoded NUL, a backslash, a broken percent sign, bytes that are no
//! UTF-8 (such as the overlong `%c0%ae`), `..;` as Java servers know it. They are refused in either mode.

use std::borrow::Cow;

/// What a frontend does with other spellings of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: the path is judged, and passed on, as it came.
    #[default]
    Off,
    /// The path gets its one spelling, is judged, and passed on so.
    Decode,
    /// A path in another than its one spelling is refused. Upper or lower case of hex digits is no
    /// other spelling.
    Reject,
}

/// The path as this mode has it judged. The error is the reason word for log and metric.
pub fn apply(mode: Mode, path: &str) -> Result<Cow<'_, str>, &'static str> {
    // `*`, or the target of CONNECT.
    if mode == Mode::Off || !path.starts_with('/') || is_plain(path) {
        return Ok(Cow::Borrowed(path));
    }
    let normal = normalize(path).ok_or("bad_path")?;
    if mode == Mode::Reject {
        return match normal.eq_ignore_ascii_case(path) {
            true => Ok(Cow::Borrowed(path)),
            false => Err("path_not_normal"),
        };
    }
    Ok(if normal == path { Cow::Borrowed(path) } else { Cow::Owned(normal) })
}

/// Whether there is nothing in it that could be spelled otherwise: one pass, for almost every request.
fn is_plain(path: &str) -> bool {
    let mut before = 0;
    for byte in path.bytes() {
        let odd = match byte {
            b'%' | b'\\' => true,
            b'/' | b'.' => before == b'/',
            _ => false,
        };
        if odd {
            return false;
        }
        before = byte;
    }
    true
}

fn normalize(path: &str) -> Option<String> {
    let decoded = decode(path)?;
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut ends_with_slash = false;
    for segment in decoded.split(|byte| *byte == b'/') {
        ends_with_slash = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            [b'.', b';', ..] | [b'.', b'.', b';', ..] => return None,
            _ => segments.push(segment),
        }
    }
    let mut normal = String::with_capacity(path.len());
    for segment in segments {
        normal.push('/');
        encode(segment, &mut normal);
    }
    if ends_with_slash {
        normal.push('/');
    }
    Some(normal)
}

/// The bytes that the path stands for, except that what must stay encoded is marked by [`KEPT`].
fn decode(path: &str) -> Option<Vec<u8>> {
    let (mut decoded, mut text) = (Vec::with_capacity(path.len()), Vec::with_capacity(path.len()));
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let was_encoded = byte == b'%';
        let byte = if was_encoded { hex(bytes.next()?)? << 4 | hex(bytes.next()?)? } else { byte };
        let means_itself = byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        if matches!(byte, 0 | b'\\') || !(was_encoded || byte.is_ascii_graphic()) {
            return None;
        }
        if was_encoded && !means_itself {
            decoded.push(KEPT);
        }
        decoded.push(byte);
        text.push(byte);
    }
    std::str::from_utf8(&text).is_ok().then_some(decoded)
}

fn encode(segment: &[u8], out: &mut String) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let mut bytes = segment.iter();
    while let Some(byte) = bytes.next() {
        match (byte, *byte == KEPT) {
            (_, true) => {
                let byte = bytes.next().copied().unwrap_or_default();
                let digits = [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]);
                out.push('%');
                out.extend(digits);
            }
            (byte, false) => out.push(char::from(*byte)),
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Stands before a byte that stays encoded. It is none that a target has, and none of UTF-8.
const KEPT: u8 = 0xff;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(path: &str) -> Result<String, &'static str> {
        apply(Mode::Decode, path).map(Cow::into_owned)
    }

    #[test]
    fn every_spelling_of_a_path_is_one() {
        for spelling in [
            "/admin",
            "//admin",
            "///admin",
            "/./admin",
            "/.//admin",
            "/x/../admin",
            "/../admin",
            "/x/y/../../admin",
            "/%61dmin",
            "/%61%64%6d%69%6e",
            "/%2e/admin",
            "/x/%2e%2e/admin",
            "/x/.%2e/admin",
            "/x/%2E./admin",
            "/%2fadmin",
            "/x%2f..%2fadmin",
            "/x/..%2Fadmin",
            "/%2e%2e%2f%2e%2e%2fadmin",
        ] {
            assert_eq!(decoded(spelling).as_deref(), Ok("/admin"), "{spelling}");
            let refused = apply(Mode::Reject, spelling).is_err();
            assert_eq!(refused, spelling != "/admin", "{spelling}");
            assert_eq!(apply(Mode::Off, spelling).as_deref(), Ok(spelling));
        }
    }

    #[test]
    fn what_has_no_one_reading_is_refused() {
        for path in [
            "/x\\..\\admin",
            "/%5cadmin",
            "/admin%00",
            "/%",
            "/%4",
            "/%zz",
            "/%c0%ae%c0%ae/admin",
            "/%ff",
            "/x/..;/admin",
            "/.;x/admin",
        ] {
            for mode in [Mode::Decode, Mode::Reject] {
                assert_eq!(apply(mode, path), Err("bad_path"), "{path}");
            }
        }
    }

    #[test]
    fn what_is_fine_stays_as_it_is() {
        for path in [
            "/",
            "*",
            "/v2.1/servers/",
            "/a.b/..c/...",
            "/%C3%A9%20%3F%25",
            "/a;b=c/d",
            "/.well-known/x",
            "/~x",
        ] {
            assert_eq!(apply(Mode::Decode, path), Ok(Cow::Borrowed(path)));
            assert_eq!(apply(Mode::Reject, path), Ok(Cow::Borrowed(path)));
        }
        assert_eq!(decoded("/%c3%a9").as_deref(), Ok("/%C3%A9"));
        assert_eq!(apply(Mode::Reject, "/%c3%a9").as_deref(), Ok("/%c3%a9"));
        assert_eq!(decoded("/a/b/..").as_deref(), Ok("/a/"));
        assert_eq!(decoded("/%252e%252e/x").as_deref(), Ok("/%252e%252e/x"), "it is decoded once");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_path_has_one_spelling_and_nothing_to_walk_with(
            parts in proptest::collection::vec("(/|\\.|%2[eEfF]|%2[05]|%5c|%[0-9a-f]{2}|;|[ab]|%c3%a9|\\\\)", 0..20),
        ) {
            let path = format!("/{}", parts.concat());
            if let Ok(normal) = decoded(&path) {
                prop_assert_eq!(decoded(&normal), Ok(normal.clone()), "{}", path);
                prop_assert_eq!(apply(Mode::Reject, &normal), Ok(Cow::Borrowed(normal.as_str())));
                prop_assert!(normal.starts_with('/') && !normal.contains("//") && !normal.contains('\\'));
                prop_assert!(!normal.split('/').any(|segment| segment == "." || segment == ".."));
                prop_assert!(!normal.to_ascii_lowercase().contains("%2f") && !normal.contains("%2E"));
            }
            if apply(Mode::Reject, &path).is_ok() {
                prop_assert!(decoded(&path).is_ok_and(|normal| normal.eq_ignore_ascii_case(&path)));
            }
        }

        #[test]
        fn any_text_is_survived(path in ".{0,60}") {
            for mode in [Mode::Off, Mode::Decode, Mode::Reject] {
                let _ = apply(mode, &path);
            }
        }
    }
}
