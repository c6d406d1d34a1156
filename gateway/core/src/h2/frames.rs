//! The frames on one way of an HTTP/2 connection, seen in the bytes that go by, in whatever pieces they come
//! (RFC 9113 §4.1). It keeps no payload, and refuses nothing: what is wrong is for whoever speaks the protocol.

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type, as on the wire.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// The stream that it is on; 0 is the connection.
    pub stream: u32,
    /// Bytes of its payload, without the padding of data.
    pub length: u32,
}

impl Frame {
    /// Whether it is data or a head, in which it would say so, and the last of its stream.
    pub fn ends_stream(self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

/// How far a way of a connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    /// What there is of a frame's head, and of padded data the length of the padding.
    head: [u8; HEAD + 1],
    filled: u8,
    /// Bytes that are no part of a head and still to come.
    left: u32,
}

impl Frames {
    /// Those of a client, which begins with the preface of RFC 9113 §3.4.
    pub fn of_client() -> Self {
        Self { left: PREFACE, ..Self::default() }
    }

    /// Those of a server.
    pub fn of_server() -> Self {
        Self::default()
    }

    /// Goes on with `bytes`, and shows each frame as soon as its head is whole, until `see` has had enough.
    pub fn advance<E>(&mut self, bytes: &[u8], mut see: impl FnMut(Frame) -> Result<(), E>) -> Result<(), E> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let passed = rest.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= u32::try_from(passed).unwrap_or(self.left);
            rest = rest.get(passed..).unwrap_or_default();
            let Some((&byte, behind)) = rest.split_first() else { break };
            rest = behind;
            if let Some(place) = self.head.get_mut(usize::from(self.filled)) {
                *place = byte;
            }
            self.filled += 1;
            if let Some(frame) = self.whole() {
                self.filled = 0;
                see(frame)?;
            }
        }
        Ok(())
    }

    /// The frame whose head this is, once it is whole.
    fn whole(&mut self) -> Option<Frame> {
        let [l1, l2, l3, kind, flags, s1, s2, s3, s4, padding] = self.head;
        let filled = usize::from(self.filled);
        let length = u32::from_be_bytes([0, l1, l2, l3]);
        let is_padded = filled >= HEAD && kind == DATA && flags & PADDED != 0 && length > 0;
        if filled < HEAD + usize::from(is_padded) {
            return None;
        }
        self.left = length - u32::from(is_padded);
        let padding = if is_padded { u32::from(padding) + 1 } else { 0 };
        let stream = u32::from_be_bytes([s1 & 0x7f, s2, s3, s4]);
        Some(Frame { kind, flags, stream, length: length.saturating_sub(padding) })
    }
}

/// A frame of data.
pub const DATA: u8 = 0;
/// A head, or trailers.
pub const HEADERS: u8 = 1;
/// What a stream is worth.
pub const PRIORITY: u8 = 2;
/// The end of a stream before its time.
pub const RST_STREAM: u8 = 3;
/// What a side can do, or that it knows what the other can.
pub const SETTINGS: u8 = 4;
/// A question whether the other side is there, or its answer.
pub const PING: u8 = 6;
/// The last that a side takes.
pub const GOAWAY: u8 = 7;
/// Room for more data.
pub const WINDOW_UPDATE: u8 = 8;
/// More of a head.
pub const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 0x1;
const PADDED: u8 = 0x8;
/// Bytes of a frame's head.
const HEAD: usize = 9;
/// Bytes that a client says first.
const PREFACE: u32 = 24;

#[cfg(test)]
mod tests;
