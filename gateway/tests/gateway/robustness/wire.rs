//! HTTP/2 by hand, so that what no library sends can be sent.

use crate::harness::{Gateway, connect};
use std::io::{Read, Write};
use std::net::TcpStream;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
/// A type that there is not.
pub(super) const UNKNOWN: u8 = 0xbb;
pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const END_BOTH: u8 = 5;
pub(super) const PADDED: u8 = 8;
pub(super) const GET: &[u8] = b"\x82\x84\x86\x41\x01a";
pub(super) const POST: &[u8] = b"\x83\x84\x86\x41\x01a";

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(super) fn connected(gateway: &Gateway, settings: &[u8]) -> TcpStream {
    let mut stream = connect(gateway.front);
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("sent");
    stream.write_all(&frame(SETTINGS, 0, 0, settings)).expect("sent");
    stream
}

/// Fields as they are, of which nothing is remembered.
pub(super) fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            integer(&mut block, text.len());
            block.extend_from_slice(text);
        }
    }
    block
}

/// A length of 7 bits or more (RFC 7541 §5.1), without Huffman.
fn integer(block: &mut Vec<u8>, value: usize) {
    let Some(mut rest) = value.checked_sub(127) else { return block.push(value as u8) };
    block.push(127);
    while rest >= 128 {
        block.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    block.push(rest as u8);
}

/// HEADERS and as many CONTINUATIONs as they need.
pub(super) fn head(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    let mut pieces = block.chunks(16_384).peekable();
    let mut kind = HEADERS;
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next() {
        let last = if pieces.peek().is_none() { END_HEADERS } else { 0 };
        bytes.extend(frame(kind, if kind == HEADERS { flags } else { 0 } | last, stream, piece));
        kind = CONTINUATION;
    }
    bytes
}

/// What became of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Statuses in the order in which they came.
    pub(super) statuses: Vec<u16>,
    pub(super) body: Vec<u8>,
    pub(super) is_whole: bool,
    /// The code of its reset.
    pub(super) reset: Option<u32>,
    /// Whether the connection has ended, or will.
    pub(super) is_over: bool,
}

impl Told {
    /// Whether it was not served: refused in words, or cut off.
    pub(super) fn is_refused(&self) -> bool {
        let refused = self.statuses.last().is_some_and(|status| (400..500).contains(status));
        refused || (self.statuses.is_empty() && (self.reset.is_some() || self.is_over))
    }
}

/// Reads until a stream, or the connection, has ended.
pub(super) fn told(stream: &mut TcpStream, id: u32) -> Told {
    let mut told = Told::default();
    while let Some((kind, flags, of, payload)) = next(stream) {
        match kind {
            HEADERS if of == id => {
                told.statuses.extend(status(&payload));
                told.is_whole = flags & END_STREAM != 0;
            }
            DATA if of == id => {
                told.body.extend_from_slice(&payload);
                told.is_whole = flags & END_STREAM != 0;
                let room = (payload.len() as u32).to_be_bytes();
                if !payload.is_empty() {
                    let _ = stream.write_all(&frame(WINDOW_UPDATE, 0, 0, &room));
                    let _ = stream.write_all(&frame(WINDOW_UPDATE, 0, id, &room));
                }
            }
            RST_STREAM if of == id => {
                told.reset = payload.first_chunk().map(|code| u32::from_be_bytes(*code));
                return told;
            }
            GOAWAY => told.is_over = true,
            _ => {}
        }
        if told.is_whole {
            return told;
        }
    }
    told.is_over = true;
    told
}

/// The next frame: its type, flags, stream and payload.
pub(super) fn next(stream: &mut TcpStream) -> Option<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).ok()?;
    let [l1, l2, l3, kind, flags, id @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, l1, l2, l3]) as usize];
    stream.read_exact(&mut payload).ok()?;
    Some((kind, flags, u32::from_be_bytes(id), payload))
}

/// The status with which a head begins: an entry of the static table, or its name and three digits.
fn status(block: &[u8]) -> Option<u16> {
    const STATIC: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    // The size of the table may be said first.
    let block = &block[block.iter().take_while(|byte| **byte & 0xe0 == 0x20).count()..];
    match block {
        [entry @ 0x88..=0x8e, ..] => Some(STATIC[usize::from(entry - 0x88)]),
        // Named by the table, or, in what follows an answer before the answer, from what was remembered.
        [0x48 | 0x08 | 0x18, length, rest @ ..] => {
            let text = rest.get(..usize::from(length & 0x7f))?;
            if length & 0x80 == 0 { std::str::from_utf8(text).ok()?.parse().ok() } else { huffman(text) }
        }
        _ => None,
    }
}

/// Digits in the code of RFC 7541 §B: 0 to 2 have five bits, the others six.
fn huffman(text: &[u8]) -> Option<u16> {
    let bits: Vec<u16> =
        text.iter().flat_map(|byte| (0..8).rev().map(move |bit| u16::from(byte >> bit & 1))).collect();
    let (mut place, mut number) = (0, 0);
    for _ in 0..3 {
        let take =
            |count: usize| Some(bits.get(place..place + count)?.iter().fold(0, |sum, bit| sum << 1 | bit));
        let (digit, count) = match take(5)? {
            short @ 0..=2 => (short, 5),
            _ => (take(6)?.checked_sub(0b01_0110)?, 6),
        };
        number = number * 10 + digit;
        place += count;
    }
    Some(number)
}
