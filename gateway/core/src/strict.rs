//! One reading of a request, everywhere: a head that two parties could read in two ways is refused
//! before anyone acts on it (RFC 9112 §2.2, §5, §6.3, §11.2).
//!
//! It looks at the raw bytes before any HTTP library does, since that has already decided by the time it
//! hands over a parsed head: a header may have been dropped, a line folded, a length chosen among two.

pub mod answer;
pub mod chunks;
mod host;

use memchr::memchr;

/// Largest request head, in bytes. HAProxy takes 15 KiB by default, most clients stay under 8.
pub const MAX_HEAD: usize = 32 * 1024;
/// Most header fields of a request, as in HAProxy (tune.http.maxhdr is 101).
pub const MAX_FIELDS: usize = 101;

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of the whole.
    pub head: usize,
    /// Header fields.
    pub fields: usize,
    /// Bytes of the target.
    pub target: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { head: MAX_HEAD, fields: MAX_FIELDS, target: MAX_HEAD }
    }
}

/// The head of an HTTP/1 request while it comes in: each line is checked once, as soon as it is whole, so
/// a client that dribbles costs no more than one that does not.
#[derive(Debug, Default)]
pub struct Head {
    /// Where the first line begins that is not whole yet.
    line: usize,
    /// Up to where there is known to be no line end.
    seen: usize,
    version: Option<Version>,
    fields: Fields,
    bounds: Bounds,
}

impl Head {
    /// One that may be so large.
    pub fn within(bounds: Bounds) -> Self {
        Self { bounds, ..Self::default() }
    }

    /// Whether its body comes in chunks, once it is whole.
    pub fn is_chunked(&self) -> bool {
        self.fields.codings > 0
    }

    /// Whether it asks for an answer and nothing else: it has no body, speaks HTTP/1.1, and says nothing of
    /// the connection but whether it stays.
    pub fn is_plain(&self) -> bool {
        self.version == Some(Version::Http11) && !self.fields.is_special && self.fields.authority.is_none()
    }

    /// Goes on with `bytes`, all that has come so far, from the first byte on. `Some` is the length of
    /// the head, from its request line through the empty line that ends it; what follows is its body.
    /// The error is the reason word for log and metric.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Option<usize>, &'static str> {
        while let Some(newline) = bytes.get(self.seen..).and_then(position_of_newline) {
            let end = self.seen + newline;
            let line = bytes.get(self.line..end).and_then(|line| line.strip_suffix(b"\r"));
            let line = line.filter(|line| !line.contains(&b'\r')).ok_or("bad_line_end")?;
            (self.line, self.seen) = (end + 1, end + 1);
            match self.version {
                // RFC 9112 §2.2: empty lines before a request line are skipped.
                None if line.is_empty() => {}
                None => {
                    let (version, target) = check_request_line(line)?;
                    if target.len() > self.bounds.target {
                        return Err("target_too_long");
                    }
                    self.version = Some(version);
                    self.fields.authority = authority(target)?.map(Box::from);
                }
                Some(version) if line.is_empty() => {
                    self.fields.check(version)?;
                    if self.fields.count > self.bounds.fields {
                        return Err("too_many_fields");
                    }
                    return if self.line > self.bounds.head {
                        Err("head_too_large")
                    } else {
                        Ok(Some(self.line))
                    };
                }
                Some(_) => self.fields.take(line)?,
            }
        }
        self.seen = bytes.len();
        if bytes.len() <= self.bounds.head {
            return Ok(None);
        }
        let line = bytes.get(self.line..).unwrap_or_default();
        Err(match self.version {
            // What is too long has no end yet: the method, or the target.
            None if !line.contains(&b' ') => "bad_request_line",
            None => "target_too_long",
            Some(_) => "head_too_large",
        })
    }
}

/// The status that a refusal for this reason is answered with. Where HAProxy has 400 for all, what is only too large
/// has one of its own since RFC 6585: a client can do something about it.
pub fn status(reason: &str) -> u16 {
    match reason {
        "target_too_long" => 414,
        "head_too_large" | "too_many_fields" => 431,
        _ => 400,
    }
}

/// What comes before the fields of a request over HTTP/2.
#[derive(Clone, Copy, Debug)]
pub struct PseudoFields<'a> {
    /// `:method`.
    pub method: &'a [u8],
    /// `:path`.
    pub target: &'a [u8],
    /// `:authority`, if it has one.
    pub authority: Option<&'a [u8]>,
    /// Whether a body follows.
    pub has_body: bool,
}

/// Checks a request that came over HTTP/2, where lines and lengths of frames can't be doubted (RFC 9113
/// §8.1.1, §8.2, §8.3): what could be read in two ways once it is written as HTTP/1.
pub fn check_h2<'a>(
    bounds: Bounds,
    PseudoFields { method, target, authority, has_body }: PseudoFields<'_>,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<(), &'static str> {
    check_method(method)?;
    check_target(target)?;
    if target.len() > bounds.target {
        return Err("target_too_long");
    }
    // What is no path could be taken for a target of another form.
    if !matches!((method, target), (b"OPTIONS", b"*") | (_, [b'/', ..])) || method == b"CONNECT" {
        return Err("bad_target");
    }
    if authority.is_some_and(|authority| authority.is_empty() || !host::is_host(authority)) {
        return Err("bad_host");
    }
    let mut seen = Fields::default();
    // As it would be written in HTTP/1.
    let mut size = target.len();
    for (name, value) in fields {
        size += name.len() + value.len() + FIELD_ENDS;
        if size > bounds.head {
            return Err("head_too_large");
        }
        // RFC 9113 §8.2.3: crumbs of one cookie field.
        if name == b"cookie" {
            if seen.cookie {
                continue;
            }
            seen.cookie = true;
        }
        if name == b"host" && authority.is_some_and(|said| !said.eq_ignore_ascii_case(value.trim_ascii())) {
            return Err("host_unlike_target");
        }
        seen.take_field(name, value)?;
    }
    if authority.is_none() && seen.hosts == 0 {
        return Err("no_host");
    }
    if seen.count > bounds.fields {
        return Err("too_many_fields");
    }
    if seen.length && !has_body {
        return Err("length_without_body");
    }
    seen.check(Version::Http2)
}

/// Bytes of a method. The longest that is registered has 17.
const MAX_METHOD: usize = 64;
/// Bytes of a field's line that are neither name nor value.
const FIELD_ENDS: usize = ": \r\n".len();

fn position_of_newline(bytes: &[u8]) -> Option<usize> {
    memchr(b'\n', bytes)
}

/// Checks a head that is there as a whole.
pub fn check(head: &[u8]) -> Result<(), &'static str> {
    Head::default().advance(head)?.map(|_| ()).ok_or("unfinished_head")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
    Http2,
}

/// `METHOD SP target SP version`, each without anything that is not visible ASCII.
fn check_request_line(line: &[u8]) -> Result<(Version, &[u8]), &'static str> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("bad_request_line");
    };
    check_method(method)?;
    check_target(target)?;
    if !is_whole_or_path(method, target) {
        return Err("bad_target");
    }
    match version {
        b"HTTP/1.1" => Ok((Version::Http11, target)),
        b"HTTP/1.0" => Ok((Version::Http10, target)),
        _ => Err("bad_version"),
    }
}

/// Whom a target in absolute form is for (RFC 9112 §3.2.2); `None` for the other forms.
fn authority(target: &[u8]) -> Result<Option<&[u8]>, &'static str> {
    let starts_with =
        |scheme: &[u8]| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let Some(scheme) = [&b"http://"[..], b"https://"].into_iter().find(|scheme| starts_with(scheme)) else {
        return Ok(None);
    };
    let rest = target.get(scheme.len()..).unwrap_or_default();
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    match rest.get(..end) {
        Some(authority) if !authority.is_empty() && !authority.contains(&b'@') => Ok(Some(authority)),
        _ => Err("bad_target"),
    }
}

/// The forms of RFC 9112 §3.2 that a gateway serves: a path, a whole `http` or `https` URI, `*` for OPTIONS.
fn is_whole_or_path(method: &[u8], target: &[u8]) -> bool {
    match target {
        [b'/', ..] => method != b"CONNECT",
        b"*" => method == b"OPTIONS",
        _ => method != b"CONNECT" && matches!(authority(target), Ok(Some(_))),
    }
}

fn check_method(method: &[u8]) -> Result<(), &'static str> {
    let is_one =
        !method.is_empty() && method.len() <= MAX_METHOD && method.iter().all(|byte| is_token(*byte));
    if is_one { Ok(()) } else { Err("bad_method") }
}

fn check_target(target: &[u8]) -> Result<(), &'static str> {
    let are_visible =
        target.iter().fold(true, |are, byte| are & (0x21..0x7f).contains(byte) & (*byte != b'#'));
    if target.is_empty() || !are_visible {
        return Err("bad_target");
    }
    Ok(())
}

/// What decides where the body ends and whom the request is for.
#[derive(Debug, Default)]
struct Fields {
    count: usize,
    hosts: usize,
    lengths: usize,
    codings: usize,
    /// Whether a length is stated that is not 0.
    length: bool,
    cookie: bool,
    /// Whether any field has to do with more than an answer.
    is_special: bool,
    /// From a target in absolute form: the server would go by it, a route by `Host`.
    authority: Option<Box<[u8]>>,
}

impl Fields {
    fn take(&mut self, line: &[u8]) -> Result<(), &'static str> {
        if line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
            return Err("obs_fold");
        }
        let colon = memchr(b':', line).ok_or("bad_field")?;
        self.take_field(&line[..colon], &line[colon + 1..])
    }

    fn take_field(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        self.count += 1;
        if self.count > MAX_FIELDS {
            return Err("too_many_fields");
        }
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err("bad_field_name");
        }
        if has_control(value) {
            return Err("bad_field_value");
        }
        let value = value.trim_ascii();
        self.is_special |= is_special(name, value);
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
            if !host::is_host(value) {
                return Err("bad_host");
            }
            if self.authority.as_ref().is_some_and(|authority| !authority.eq_ignore_ascii_case(value)) {
                return Err("host_unlike_target");
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            self.lengths += 1;
            // 18 digits are less than 2^63, so that no two parties disagree on where they wrap.
            if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
                return Err("bad_content_length");
            }
            self.length = value.iter().any(|digit| *digit != b'0');
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
            Self { hosts: 0, authority, .. } if version == Version::Http11 || authority.is_some() => {
                Err("no_host")
            }
            Self { lengths: 2.., .. } => Err("several_content_lengths"),
            Self { codings: 2.., .. } => Err("several_transfer_encodings"),
            Self { lengths: 1, codings: 1, .. } => Err("length_and_encoding"),
            Self { codings: 1, .. } if version == Version::Http2 => Err("encoding_in_h2"),
            Self { codings: 1, .. } if version == Version::Http10 => Err("encoding_in_http10"),
            _ => Ok(()),
        }
    }
}

/// Whether a field has to do with a body, or with the connection in another way than whether it stays.
fn is_special(name: &[u8], value: &[u8]) -> bool {
    // Names of these lengths are few, so most are told apart by that.
    let is_one_of = |names: &[&[u8]]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
    match name.len() {
        2 => is_one_of(&[b"te"]),
        6 => is_one_of(&[b"expect"]),
        7 => is_one_of(&[b"upgrade", b"trailer"]),
        10 if is_one_of(&[b"connection"]) => {
            !value.eq_ignore_ascii_case(b"close") && !value.eq_ignore_ascii_case(b"keep-alive")
        }
        10 => is_one_of(&[b"keep-alive"]),
        14 => is_one_of(&[b"content-length", b"http2-settings"]),
        16 => is_one_of(&[b"proxy-connection"]),
        17 => is_one_of(&[b"transfer-encoding"]),
        18 => is_one_of(&[b"proxy-authenticate"]),
        19 => is_one_of(&[b"proxy-authorization"]),
        _ => false,
    }
}

/// Whether a field's value has in it what none may have (RFC 9110 §5.5): a control but a tab. All of it is looked at,
/// for so it is many bytes at once that are.
fn has_control(value: &[u8]) -> bool {
    value.iter().fold(false, |found, byte| found | ((*byte < b' ') & (*byte != b'\t')) | (*byte == 0x7f))
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
mod tests;
