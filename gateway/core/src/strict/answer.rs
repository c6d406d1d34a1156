//! Answers of servers, before a client sees them: one reading, or none (RFC 9112 §6.3, §7, RFC 9110 §7.6.1).

/// What there is to know of an answer's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Whether it is of HTTP/1.0.
    pub http10: bool,
    /// Whether the request asked for the protocol that this changes to, if it does.
    pub upgrade_asked: bool,
    /// Answers before the answer that there were, with this one.
    pub interim: u32,
}

/// Whether an answer of this status has no body, whatever its fields say (RFC 9110 §6.4.1).
pub fn is_bodiless(status: u16) -> bool {
    matches!(status, 100..200 | 204 | 304)
}

/// What is to be mended in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mend {
    /// The same length is said more than once.
    pub one_length: bool,
    /// A length or coding is said of what has no body, and may not say so (RFC 9110 §8.6, RFC 9112 §6.1).
    pub no_framing: bool,
}

/// Checks the head of an answer. The error is the reason word: it can't be passed on.
pub fn check<'a>(
    answer: Answer,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<Mend, &'static str> {
    if answer.status == 101 && !answer.upgrade_asked {
        return Err("unasked_upgrade");
    }
    if answer.interim > MAX_INTERIM {
        return Err("endless_interim");
    }
    if !(100..=599).contains(&answer.status) {
        return Err("bad_status");
    }
    let mut length: Option<&[u8]> = None;
    let mut mend = Mend::default();
    let mut codings = 0;
    for (name, value) in fields {
        if super::has_control(value) {
            return Err("bad_field_value");
        }
        let value = value.trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
                return Err("bad_content_length");
            }
            match length {
                None => length = Some(value),
                Some(before) if before == value => mend.one_length = true,
                Some(_) => return Err("several_content_lengths"),
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            codings += 1;
            if codings > 1 || answer.http10 || !value.eq_ignore_ascii_case(b"chunked") {
                return Err("bad_transfer_encoding");
            }
        }
    }
    let says_framing = length.is_some() || codings > 0;
    mend.no_framing = says_framing && is_bodiless(answer.status) && answer.status != 304;
    Ok(mend)
}

/// Whether a field belongs to the connection to the server only; `named` are those that `Connection`
/// names.
pub fn is_hop_by_hop<'a>(name: &str, mut named: impl Iterator<Item = &'a [u8]>) -> bool {
    let is = |known: &&str| name.eq_ignore_ascii_case(known);
    if FRAMING.iter().any(is) {
        return false;
    }
    HOP_BY_HOP.iter().any(is) || named.any(|named| named.eq_ignore_ascii_case(name.as_bytes()))
}

/// Answers before the answer. Two or three make sense; a server that goes on like that never answers.
const MAX_INTERIM: u32 = 32;
/// Fields that end with the connection whether it names them or not.
const HOP_BY_HOP: &[&str] = &["keep-alive", "proxy-connection", "te"];
/// Fields that are read on the way, and written anew; nobody can name them away.
const FRAMING: &[&str] = &["connection", "content-length", "date", "transfer-encoding", "upgrade"];

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, http10: bool, fields: &[(&str, &str)]) -> Result<Mend, &'static str> {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        check(Answer { status, http10, upgrade_asked: false, interim: 0 }, fields)
    }

    #[test]
    fn an_answer_has_one_length() {
        let length = |one, other| told(200, false, &[("Content-Length", one), ("content-length", other)]);
        assert_eq!(length("5", "5"), Ok(Mend { one_length: true, no_framing: false }));
        assert_eq!(length("5", "6"), Err("several_content_lengths"));
        for wrong in ["", "+5", "5, 5", "0x5", "9223372036854775808"] {
            assert_eq!(told(200, false, &[("Content-Length", wrong)]), Err("bad_content_length"), "{wrong}");
        }
        assert_eq!(told(304, false, &[("Content-Length", "5")]), Ok(Mend::default()));
    }

    #[test]
    fn what_has_no_body_says_nothing_of_one() {
        let no_framing = Ok(Mend { one_length: false, no_framing: true });
        for status in [100, 103, 204] {
            assert_eq!(told(status, false, &[("Content-Length", "5")]), no_framing);
            assert_eq!(told(status, false, &[("Transfer-Encoding", "chunked")]), no_framing);
            assert_eq!(told(status, false, &[("Server", "x")]), Ok(Mend::default()));
        }
    }

    #[test]
    fn an_answer_has_one_coding_or_none() {
        let coding = "Transfer-Encoding";
        assert_eq!(told(200, false, &[(coding, "Chunked")]), Ok(Mend::default()));
        assert!(told(200, true, &[(coding, "chunked")]).is_err());
        assert!(told(200, false, &[(coding, "gzip")]).is_err());
        assert!(told(200, false, &[(coding, "chunked"), (coding, "chunked")]).is_err());
    }

    #[test]
    fn what_was_not_asked_for_is_not_passed_on() {
        assert_eq!(told(101, false, &[]), Err("unasked_upgrade"));
        let asked = Answer { status: 101, http10: false, upgrade_asked: true, interim: 1 };
        assert_eq!(check(asked, std::iter::empty()), Ok(Mend::default()));
        let hints = |interim| check(Answer { status: 103, interim, ..asked }, std::iter::empty());
        assert_eq!((hints(32), hints(33)), (Ok(Mend::default()), Err("endless_interim")));
        assert_eq!((told(99, false, &[]), told(600, false, &[])), (Err("bad_status"), Err("bad_status")));
        assert_eq!(told(200, false, &[("X", "a\0")]), Err("bad_field_value"));
    }

    #[test]
    fn fields_of_one_connection_end_with_it() {
        let named = || [&b"X-Inner"[..], b"content-length"].into_iter();
        for (name, ends) in [
            ("x-inner", true),
            ("Keep-Alive", true),
            ("proxy-connection", true),
            ("content-length", false),
            ("x-kept", false),
        ] {
            assert_eq!(is_hop_by_hop(name, named()), ends, "{name}");
        }
    }
}
