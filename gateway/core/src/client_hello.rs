//! The name that a TLS client asks for, read from its ClientHello without taking part in the handshake
//! (RFC 8446 §4.1.2 and §5.1, RFC 6066 §3): so a connection can be led to a server that holds the key,
//! and that the gateway does not.
//!
//! A hello may come in any number of segments and records. What is no hello is said to be none as soon as
//! that shows; what could become one of more than [`MAX_HELLO`] bytes is none either.

/// What the first bytes of a connection are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// They may become a hello: there is more to come.
    More,
    /// They are no TLS handshake.
    NotTls,
    /// A hello, with the name that it asks for, in lower case; `None` if it asks for none.
    Hello(Option<String>),
}

/// Looks at what has come so far.
pub fn inspect(bytes: &[u8]) -> Seen {
    match message(bytes) {
        Ok(Some(hello)) => match server_name(&hello) {
            Some(name) => Seen::Hello(name),
            None => Seen::NotTls,
        },
        Ok(None) if bytes.len() < MAX_HELLO => Seen::More,
        Ok(None) | Err(()) => Seen::NotTls,
    }
}

/// The body of the ClientHello, put together from the records that it is in; `None` if it is not whole.
fn message(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, ()> {
    let mut message = Vec::new();
    loop {
        let Some((header, rest)) = bytes.split_first_chunk() else {
            // Even a part of a header must be that of a handshake.
            let fits = bytes.iter().zip([HANDSHAKE, MAJOR]).all(|(byte, expected)| *byte == expected);
            return if fits { Ok(None) } else { Err(()) };
        };
        let [kind, major, _, length_1, length_0] = *header;
        let length = usize::from(u16::from_be_bytes([length_1, length_0]));
        if kind != HANDSHAKE || major != MAJOR || length == 0 || length > MAX_RECORD {
            return Err(());
        }
        message.extend_from_slice(rest.get(..length).unwrap_or(rest));
        if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
            return Err(());
        }
        if let Some(([_, length_2, length_1, length_0], body)) = message.split_first_chunk() {
            let length = u32::from_be_bytes([0, *length_2, *length_1, *length_0]) as usize;
            if length > MAX_HELLO {
                return Err(());
            }
            if let Some(body) = body.get(..length) {
                return Ok(Some(body.to_vec()));
            }
        }
        match rest.get(length..) {
            Some(rest) => bytes = rest,
            None => return Ok(None),
        }
    }
}

/// The host name among the extensions of a whole hello; the outer `None`: it is malformed.
#[expect(clippy::option_option, reason = "malformed, and without a name, are two things")]
fn server_name(hello: &[u8]) -> Option<Option<String>> {
    let mut hello = Reader(hello);
    hello.take(VERSION_AND_RANDOM)?;
    let _session = hello.prefixed(1)?;
    let _ciphers = hello.prefixed(2)?;
    let _compressions = hello.prefixed(1)?;
    if hello.0.is_empty() {
        return Some(None);
    }
    let mut extensions = Reader(hello.prefixed(2)?);
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let body = extensions.prefixed(2)?;
        if kind != SERVER_NAME {
            continue;
        }
        let mut names = Reader(Reader(body).prefixed(2)?);
        while !names.0.is_empty() {
            let kind = names.number(1)?;
            let name = names.prefixed(2)?;
            if kind == HOST_NAME {
                return Some(host_name(name));
            }
        }
    }
    Some(None)
}

/// Only what can be a DNS name goes on into routes and logs.
fn host_name(name: &[u8]) -> Option<String> {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let is_name = (1..=MAX_NAME).contains(&name.len()) && name.iter().all(fits);
    is_name.then(|| String::from_utf8_lossy(name).to_ascii_lowercase())
}

/// Takes from the front, as far as there is something.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(front)
    }

    /// A number in so many bytes.
    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// What follows its own length, which is in so many bytes.
    fn prefixed(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let length = self.number(bytes)?;
        self.take(length)
    }
}

/// Bytes of a hello with its records: those of browsers have 2 KiB, with keys of tomorrow some more.
pub const MAX_HELLO: usize = 16 * 1024;
/// RFC 8446 §5.1.
const MAX_RECORD: usize = 1 << 14;
const HANDSHAKE: u8 = 22;
/// The first byte of every version since SSL 3.0.
const MAJOR: u8 = 3;
const CLIENT_HELLO: u8 = 1;
const VERSION_AND_RANDOM: usize = 2 + 32;
const SERVER_NAME: usize = 0;
const HOST_NAME: usize = 0;
/// RFC 1035 §2.3.4, as text.
const MAX_NAME: usize = 253;

#[cfg(test)]
mod tests;
