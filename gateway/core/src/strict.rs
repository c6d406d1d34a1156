//! One reading of a request, everywhere: a head that two parties could read in two ways is refused
//! before anyone acts on it (RFC 9112 §2.2, §5, §6.3, §11.2).
//!
//! It looks at the raw bytes, since an HTTP library has already decided by the time it hands over a
//! parsed head: a header may have been dropped, a line folded, a length chosen among two.

/// Largest request head, in bytes. HAProxy takes 15 KiB by default, most clients stay under 8.
pub const MAX_HEAD: usize = 32 * 1024;
/// Most header fields of a request, as in HAProxy (tune.http.maxhdr is 101).
pub const MAX_FIELDS: usize = 101;

/// Checks the raw head of an HTTP/1 request, from its request line through the empty line that ends
/// it. The error is the reason word for log and metric.
pub fn check(head: &[u8]) -> Result<(), &'static str> {
    if head.len() > MAX_HEAD {
        return Err("head_too_large");
    }
    let mut lines = Lines { rest: head };
    // RFC 9112 §2.2: empty lines before a request line are skipped.
    let mut request_line: &[u8] = b"";
    while request_line.is_empty() {
        request_line = lines.next().ok_or("bad_request_line")??;
    }
    let version = check_request_line(request_line)?;
    let mut fields = Fields::default();
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        fields.take(line)?;
    }
    fields.check(version)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

/// `METHOD SP target SP version`, each without anything that is not visible ASCII.
fn check_request_line(line: &[u8]) -> Result<Version, &'static str> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("bad_request_line");
    };
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        return Err("bad_method");
    }
    if target.is_empty() || !target.iter().all(|byte| (0x21..0x7f).contains(byte)) || target.contains(&b'#') {
        return Err("bad_target");
    }
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        _ => Err("bad_version"),
    }
}

/// What decides where the body ends and whom the request is for.
#[derive(Default)]
struct Fields {
    count: usize,
    hosts: usize,
    lengths: usize,
    codings: usize,
}

impl Fields {
    fn take(&mut self, line: &[u8]) -> Result<(), &'static str> {
        self.count += 1;
        if self.count > MAX_FIELDS {
            return Err("too_many_fields");
        }
        if line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
            return Err("obs_fold");
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or("bad_field")?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err("bad_field_name");
        }
        if value.iter().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127)) {
            return Err("bad_field_value");
        }
        let value = value.trim_ascii();
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
            if value.iter().any(|byte| matches!(byte, b',' | b' ' | b'\t' | b'/' | b'@')) {
                return Err("bad_host");
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            self.lengths += 1;
            // 18 digits are less than 2^63, so that no two parties disagree on where they wrap.
            if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
                return Err("bad_content_length");
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.codings += 1;
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err("bad_transfer_encoding");
            }
        }
        Ok(())
    }

    fn check(&self, version: Version) -> Result<(), &'static str> {
        match self {
            Self { hosts: 2.., .. } => Err("several_hosts"),
            Self { hosts: 0, .. } if version == Version::Http11 => Err("no_host"),
            Self { lengths: 2.., .. } => Err("several_content_lengths"),
            Self { codings: 2.., .. } => Err("several_transfer_encodings"),
            Self { lengths: 1, codings: 1, .. } => Err("length_and_encoding"),
            Self { codings: 1, .. } if version == Version::Http10 => Err("encoding_in_http10"),
            _ => Ok(()),
        }
    }
}

/// Lines that end in CR LF; anything else is an error.
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<&'a [u8], &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let Some(newline) = self.rest.iter().position(|byte| *byte == b'\n') else {
            self.rest = &[];
            return Some(Err("bad_line_end"));
        };
        let (line, rest) = (&self.rest[..newline], &self.rest[newline + 1..]);
        self.rest = rest;
        Some(match line.strip_suffix(b"\r") {
            Some(line) if !line.contains(&b'\r') => Ok(line),
            _ => Err("bad_line_end"),
        })
    }
}

/// RFC 9110 §5.6.2: token.
fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// Every byte of a head is looked at, so it is looked up.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"!#$%&'*+-.^_`|~";
    let mut place = 0;
    while place < others.len() {
        table[others[place] as usize] = true;
        place += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::check;
    use proptest::prelude::*;

    #[test]
    fn an_ordinary_request_passes() {
        for head in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: a:80\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "POST /v2/x?y=1 HTTP/1.1\r\nhost: [::1]:80\r\nContent-Length: 0\r\nX: \r\n\r\n",
            "PUT http://a/x HTTP/1.1\r\nHost:a\r\nTransfer-Encoding: Chunked\r\n\r\n",
        ] {
            assert_eq!(check(head.as_bytes()), Ok(()), "{head:?}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let get = "GET / HTTP/1.1\r\nHost: a\r\n";
        for (head, reason) in [
            (format!("{get}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"), "length_and_encoding"),
            (format!("{get}Content-Length: 5\r\ncontent-length: 5\r\n\r\n"), "several_content_lengths"),
            (format!("{get}Content-Length: 5, 5\r\n\r\n"), "bad_content_length"),
            (format!("{get}Content-Length: +5\r\n\r\n"), "bad_content_length"),
            (format!("{get}Content-Length: 9223372036854775808\r\n\r\n"), "bad_content_length"),
            (format!("{get}Transfer-Encoding: chunked,\r\n\r\n"), "bad_transfer_encoding"),
            (format!("{get}Transfer-Encoding: gzip, chunked\r\n\r\n"), "bad_transfer_encoding"),
            (format!("{get}Host: b\r\n\r\n"), "several_hosts"),
            (format!("{get}X: 1\r\n folded\r\n\r\n"), "obs_fold"),
            (format!("{get}X : 1\r\n\r\n"), "bad_field_name"),
            (format!("{get}: 1\r\n\r\n"), "bad_field_name"),
            (format!("{get}X: a\0b\r\n\r\n"), "bad_field_value"),
            (format!("{get}X: a\rb\r\n\r\n"), "bad_line_end"),
            (format!("{get}X: a\n\r\n"), "bad_line_end"),
            ("GET / HTTP/1.1\r\n\r\n".to_owned(), "no_host"),
            ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n".to_owned(), "bad_host"),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), "encoding_in_http10"),
            ("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "bad_target"),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "bad_request_line"),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(), "bad_version"),
            ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "bad_method"),
        ] {
            assert_eq!(check(head.as_bytes()), Err(reason), "{head:?}");
        }
        let many = "X: 1\r\n".repeat(200);
        assert_eq!(check(format!("{get}{many}\r\n").as_bytes()), Err("too_many_fields"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_survived(head in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = check(&head);
        }
    }
}
