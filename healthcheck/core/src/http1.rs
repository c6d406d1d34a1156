//! The few bytes of HTTP/1 that a probe speaks (RFC 9112): one request, and of the answer its head; of its body what a
//! check looks for.
//!
//! Promises: whatever arrives, the memory used is fixed, each byte is looked at once, and what is not HTTP is
//! known from its first wrong byte. Refuses a head of more than [`MAX_HEAD`] bytes; looks into no more than
//! [`MAX_BODY`] bytes of a body.

mod body;

use crate::outcome::CheckStatus;
use crate::spec::{HttpCheck, Search, Version};
use crate::talk::{Finding, Talk};
use body::Body;
use std::net::SocketAddr;

/// The request of a probe; the connection is for this one request.
pub fn request(check: &HttpCheck, target: SocketAddr) -> String {
    let HttpCheck { method, uri, host, .. } = check;
    let host = host.clone().unwrap_or_else(|| target.to_string());
    let version = if check.version == Version::Http10 { "1.0" } else { "1.1" };
    let mut request = format!("{method} {uri} HTTP/{version}\r\nhost: {host}\r\nconnection: close\r\n");
    let has = |name: &str| check.headers.keys().any(|header| header.eq_ignore_ascii_case(name));
    for (name, value) in [("user-agent", "headgate-probe"), ("accept", "*/*")] {
        if !has(name) {
            field(&mut request, name, value);
        }
    }
    for (name, value) in &check.headers {
        field(&mut request, name, value);
    }
    if !check.body.is_empty() {
        field(&mut request, "content-length", &check.body.len().to_string());
    }
    request + "\r\n" + &check.body
}

fn field(request: &mut String, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        request.push_str(part);
    }
}

/// One request and its answer.
#[derive(Debug)]
pub struct Exchange<'a> {
    check: &'a HttpCheck,
    request: String,
    head: Head,
    body: Option<Body>,
    wanted: Vec<Search>,
    unwanted: Vec<Search>,
}

impl<'a> Exchange<'a> {
    /// With the server at `target`.
    pub fn new(check: &'a HttpCheck, target: SocketAddr) -> Self {
        let searches =
            |not| check.contains.iter().filter(move |one| one.not == not).map(|one| one.pattern.search());
        Self {
            check,
            request: request(check, target),
            head: Head::default(),
            body: None,
            wanted: searches(false).collect(),
            unwanted: searches(true).collect(),
        }
    }

    /// The head is whole.
    fn judge_head(&mut self, code: u16) -> Option<Finding> {
        if !self.check.expect.matches(code) {
            return Some(Finding::refused("").with_code(code));
        }
        if self.wanted.is_empty() && self.unwanted.is_empty() {
            return Some(Finding::OK.with_code(code));
        }
        self.body = Some(Body::new(self.head.framing(), code));
        None
    }

    fn look_into(&mut self, bytes: &[u8]) -> Option<Finding> {
        let body = self.body.as_mut()?;
        for byte in bytes {
            match body.push(*byte) {
                Err(Malformed) => return Some(self.found(CheckStatus::L7Response, "bad_chunk")),
                Ok(None) => {}
                Ok(Some(byte)) => {
                    self.wanted.retain_mut(|search| !search.push(&[byte]));
                    if self.unwanted.iter_mut().any(|search| search.push(&[byte])) {
                        return Some(self.found(CheckStatus::L7Response, "unwanted_text"));
                    }
                }
            }
            if body.is_over() {
                return Some(self.end_of_body());
            }
        }
        (self.wanted.is_empty() && self.unwanted.is_empty()).then(|| self.found(CheckStatus::L7Ok, ""))
    }

    fn end_of_body(&mut self) -> Finding {
        self.wanted.retain_mut(|search| !search.end());
        if self.unwanted.iter_mut().any(Search::end) {
            return self.found(CheckStatus::L7Response, "unwanted_text");
        }
        if self.wanted.is_empty() {
            return self.found(CheckStatus::L7Ok, "");
        }
        self.found(CheckStatus::L7Response, "text_not_found")
    }

    fn found(&self, status: CheckStatus, note: &'static str) -> Finding {
        Finding { status, code: self.head.status(), note }
    }
}

impl Talk for Exchange<'_> {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.request.as_bytes());
    }

    fn on(&mut self, bytes: &[u8], _: &mut Vec<u8>) -> Option<Finding> {
        let mut rest = bytes;
        if self.body.is_none() {
            let (code, taken) = match self.head.push(bytes) {
                Err(Malformed) => return Some(self.found(CheckStatus::L7Response, "not_http")),
                Ok(None) => return None,
                Ok(Some(whole)) => whole,
            };
            if let Some(finding) = self.judge_head(code) {
                return Some(finding);
            }
            if self.body.as_ref().is_some_and(Body::is_over) {
                return Some(self.end_of_body());
            }
            rest = bytes.get(taken..).unwrap_or_default();
        }
        self.look_into(rest)
    }

    fn end(&mut self) -> Finding {
        match &self.body {
            Some(body) if body.ends_with_the_connection() => self.end_of_body(),
            _ => self.found(CheckStatus::L7Response, "closed"),
        }
    }

    fn code(&self) -> Option<u16> {
        self.head.status()
    }
}

/// Reads the head of an answer as its bytes arrive.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Bytes of all heads so far, interim answers included.
    seen: usize,
    /// Bytes of the present line so far, line ends not counted.
    line: usize,
    /// Digits of the status so far.
    code: u16,
    /// Whether the status line is over.
    in_fields: bool,
    /// The present line as far as it could matter.
    text: Vec<u8>,
    framing: Framing,
}

/// Where a body ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Framing {
    /// With the connection.
    #[default]
    Close,
    /// After so many bytes.
    Length(u64),
    /// After the last chunk.
    Chunked,
}

/// The answer is not HTTP, or its head is too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

impl Head {
    /// Takes the next bytes. The status of the answer once its head is whole, and how many of these bytes were the
    /// head's; `None` before that.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<(u16, usize)>, Malformed> {
        for (at, byte) in bytes.iter().enumerate() {
            self.seen += 1;
            if self.seen > MAX_HEAD {
                return Err(Malformed);
            }
            let status = if self.in_fields { self.field_byte(*byte) } else { self.status_byte(*byte)? };
            if let Some(status) = status {
                return Ok(Some((status, at + 1)));
            }
        }
        Ok(None)
    }

    /// The status that has been read, if the line it stands in is over.
    pub fn status(&self) -> Option<u16> {
        self.in_fields.then_some(self.code)
    }

    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    fn status_byte(&mut self, byte: u8) -> Result<Option<u16>, Malformed> {
        let at = self.line;
        let end_of_code = VERSION.len() + 5;
        let fits = match at {
            _ if byte == b'\n' => at >= end_of_code && (100..=599).contains(&self.code),
            _ if at < VERSION.len() => VERSION.get(at) == Some(&byte),
            _ if at == VERSION.len() => matches!(byte, b'0' | b'1'),
            _ if at == VERSION.len() + 1 => byte == b' ',
            _ if at < end_of_code => byte.is_ascii_digit(),
            _ if at == end_of_code => matches!(byte, b' ' | b'\r'),
            _ => true,
        };
        if !fits {
            return Err(Malformed);
        }
        if (VERSION.len() + 2..end_of_code).contains(&at) {
            self.code = self.code * 10 + u16::from(byte - b'0');
        }
        if byte == b'\n' {
            (self.line, self.in_fields) = (0, true);
        } else {
            self.line += 1;
        }
        Ok(None)
    }

    fn field_byte(&mut self, byte: u8) -> Option<u16> {
        match (byte, self.line) {
            (b'\r', _) => {}
            (b'\n', 0) if INTERIM.contains(&self.code) => *self = Self { seen: self.seen, ..Self::default() },
            (b'\n', 0) => return Some(self.code),
            (b'\n', _) => self.end_of_field(),
            _ => {
                self.line += 1;
                if self.text.len() < MAX_FRAMING_FIELD {
                    self.text.push(byte.to_ascii_lowercase());
                }
            }
        }
        None
    }

    fn end_of_field(&mut self) {
        let text = self.text.as_slice();
        if let Some(length) = text.strip_prefix(b"content-length:") {
            let length = std::str::from_utf8(length).ok().and_then(|length| length.trim().parse().ok());
            if let (Some(length), Framing::Close) = (length, self.framing) {
                self.framing = Framing::Length(length);
            }
        } else if text
            .strip_prefix(b"transfer-encoding:")
            .is_some_and(|codings| codings.ends_with(b"chunked"))
        {
            self.framing = Framing::Chunked;
        }
        self.text.clear();
        self.line = 0;
    }
}

/// Longest head of an answer, in bytes: what HAProxy takes by default (`tune.bufsize`).
pub const MAX_HEAD: usize = 16 * 1024;
/// Most bytes of a body that are looked into: HAProxy looks into its buffer, of 16 KiB.
pub const MAX_BODY: u64 = 64 * 1024;
/// Longest field that says how a body ends, in bytes; a longer one says something else.
const MAX_FRAMING_FIELD: usize = 64;
/// How each answer starts; a digit follows.
const VERSION: &[u8] = b"HTTP/1.";
/// Answers after which another one follows (RFC 9110, section 15.2). 101 is the last one: it was not asked for.
const INTERIM: [u16; 4] = [100, 102, 103, 104];

#[cfg(test)]
mod tests;
