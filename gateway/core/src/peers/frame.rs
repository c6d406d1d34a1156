//! Frames: a class, a type, and for types from 128 a length and a body (HAProxy `doc/peers-v2.0.txt`).
//!
//! A frame is at most [`MAX_FRAME`] long: HAProxy never gets to the end of one that does not fit its
//! buffer. What is longer is an error here, so that no buffer grows.

use super::varint;

/// A message without a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Teach me all that you know.
    ResyncRequest,
    /// That was all, and it is up to date.
    ResyncFinished,
    /// That was all, but it is not up to date.
    ResyncPartial,
    /// I have it all.
    ResyncConfirm,
    /// I am here.
    Heartbeat,
    /// You have broken the protocol. The connection is closed.
    ProtocolError,
    /// A message is too long. The connection is closed.
    SizeLimit,
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// One without a body.
    Control(Control),
    /// An update of an entry, by its type.
    Update(Update, &'a [u8]),
    /// Which table updates are of from now on, and how they look.
    Define(&'a [u8]),
    /// Which table updates are of from now on: one that was defined before.
    Switch(&'a [u8]),
    /// Updates have come.
    Ack(&'a [u8]),
    /// One that nobody here knows; it is skipped.
    Unknown,
}

/// How an update begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    /// With its number; else the one before is counted on.
    pub numbered: bool,
    /// With the time that its entry has left.
    pub timed: bool,
}

/// Why a stream can't be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It breaks the protocol.
    Protocol,
    /// A message is longer than the protocol allows.
    Size,
}

impl Fault {
    /// What the other side is told before the connection is closed.
    pub fn control(self) -> Control {
        match self {
            Self::Protocol => Control::ProtocolError,
            Self::Size => Control::SizeLimit,
        }
    }
}

impl Control {
    /// Appends the message.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(match self {
            Self::ResyncRequest => &[0, 0],
            Self::ResyncFinished => &[0, 1],
            Self::ResyncPartial => &[0, 2],
            Self::ResyncConfirm => &[0, 3],
            Self::Heartbeat => &[0, 4],
            Self::ProtocolError => &[1, 0],
            Self::SizeLimit => &[1, 1],
        });
    }
}

/// Reads the message at the front of `bytes`, and says how long it is. `None`: it is not whole yet.
pub fn take(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, Fault> {
    let Some((&[class, kind], rest)) = bytes.split_first_chunk::<2>() else { return Ok(None) };
    if class == 255 {
        return Err(Fault::Protocol);
    }
    if kind < 0x80 {
        let control = match (class, kind) {
            (0, 0) => Control::ResyncRequest,
            (0, 1) => Control::ResyncFinished,
            (0, 2) => Control::ResyncPartial,
            (0, 3) => Control::ResyncConfirm,
            (0, 4) => Control::Heartbeat,
            (1, 0) => Control::ProtocolError,
            (1, 1) => Control::SizeLimit,
            _ => return Ok(Some((Frame::Unknown, 2))),
        };
        return Ok(Some((Frame::Control(control), 2)));
    }
    let mut body = rest;
    let Some(length) = varint::take(&mut body) else {
        return if rest.len() >= MAX_LENGTH { Err(Fault::Size) } else { Ok(None) };
    };
    let head = bytes.len() - body.len();
    let whole = usize::try_from(length).ok().and_then(|length| length.checked_add(head));
    let Some(whole) = whole.filter(|whole| *whole <= MAX_FRAME) else { return Err(Fault::Size) };
    let Some(body) = bytes.get(head..whole) else { return Ok(None) };
    let frame = match (class, kind) {
        (10, 0x80) => Frame::Update(Update { numbered: true, timed: false }, body),
        (10, 0x81) => Frame::Update(Update { numbered: false, timed: false }, body),
        (10, 0x82) => Frame::Define(body),
        (10, 0x83) => Frame::Switch(body),
        (10, 0x84) => Frame::Ack(body),
        (10, 0x85) => Frame::Update(Update { numbered: true, timed: true }, body),
        (10, 0x86) => Frame::Update(Update { numbered: false, timed: true }, body),
        _ => Frame::Unknown,
    };
    Ok(Some((frame, whole)))
}

/// Appends a message of the tables' class whose body `write` appends. One that would be too long is left
/// out: false.
pub(super) fn put(out: &mut Vec<u8>, kind: u8, write: impl FnOnce(&mut Vec<u8>)) -> bool {
    let start = out.len();
    out.extend_from_slice(&[10, kind]);
    let body = out.len();
    write(out);
    let length = out.len() - body;
    let mut head = [0; MAX_LENGTH];
    let mut encoded = Vec::with_capacity(MAX_LENGTH);
    varint::put(&mut encoded, length as u64);
    if 2 + encoded.len() + length > MAX_FRAME {
        out.truncate(start);
        return false;
    }
    head[..encoded.len()].copy_from_slice(&encoded);
    out.splice(body..body, head[..encoded.len()].iter().copied());
    true
}

/// Bytes of a whole frame: the buffer that HAProxy reads it into.
pub const MAX_FRAME: usize = 16_384;
/// Bytes of the length of any frame that fits, as HAProxy takes it.
const MAX_LENGTH: usize = 5;
