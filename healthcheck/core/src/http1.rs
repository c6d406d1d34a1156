//! The few bytes of HTTP/1.1 that a probe speaks (RFC 9112): one request, and of the answer its head.
//!
//! Promises: whatever arrives, the memory used is fixed, each byte is looked at once, and what is not HTTP is
//! known from its first wrong byte. Refuses a head of more than [`MAX_HEAD`] bytes.

use crate::outcome::CheckStatus;
use crate::spec::HttpCheck;
use std::net::SocketAddr;

/// The request of a probe; the connection is for this one request.
pub fn request(check: &HttpCheck, target: SocketAddr) -> String {
    let HttpCheck { method, uri, host, .. } = check;
    let host = host.clone().unwrap_or_else(|| target.to_string());
    format!(
        "{method} {uri} HTTP/1.1\r\nhost: {host}\r\nuser-agent: headgate-probe\r\naccept: */*\r\nconnection: close\r\n\r\n"
    )
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
}

/// The answer is not HTTP, or its head is too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

impl Head {
    /// Takes the next bytes. The status of the answer once its head is whole, `None` before that.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<u16>, Malformed> {
        for byte in bytes {
            self.seen += 1;
            if self.seen > MAX_HEAD {
                return Err(Malformed);
            }
            let status = if self.in_fields { self.field_byte(*byte) } else { self.status_byte(*byte)? };
            if status.is_some() {
                return Ok(status);
            }
        }
        Ok(None)
    }

    /// The status that has been read, if the line it stands in is over.
    pub fn status(&self) -> Option<u16> {
        self.in_fields.then_some(self.code)
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
            (b'\n', _) => self.line = 0,
            _ => self.line += 1,
        }
        None
    }
}

/// What an answer with this status means for a check.
pub fn judge(check: &HttpCheck, status: u16) -> CheckStatus {
    if check.expect.matches(status) { CheckStatus::L7Ok } else { CheckStatus::L7Status }
}

/// Longest head of an answer, in bytes: what HAProxy takes by default (`tune.bufsize`).
pub const MAX_HEAD: usize = 16 * 1024;
/// How each answer starts; a digit follows.
const VERSION: &[u8] = b"HTTP/1.";
/// Answers after which another one follows (RFC 9110, section 15.2). 101 is the last one: it was not asked for.
const INTERIM: [u16; 4] = [100, 102, 103, 104];

#[cfg(test)]
mod tests;
