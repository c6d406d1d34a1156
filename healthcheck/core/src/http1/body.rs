//! The body of an answer, freed of its chunks, byte by byte.

use super::{Framing, MAX_BODY, Malformed};

/// Where in a body an answer is.
#[derive(Clone, Debug)]
pub(super) struct Body {
    part: Part,
    /// Bytes that may still be looked into.
    allowance: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    /// Until the connection ends.
    UntilClose,
    /// So many bytes, and it is over.
    Rest(u64),
    /// The size of a chunk, and whether a digit has been seen.
    Size {
        size: u64,
        begun: bool,
    },
    /// What follows the size in its line.
    Extension {
        size: u64,
    },
    /// So many bytes of a chunk.
    Chunk(u64),
    /// The end of the line behind a chunk.
    ChunkEnd,
    Over,
}

impl Body {
    pub(super) fn new(framing: Framing, code: u16) -> Self {
        let part = match framing {
            _ if code < 200 || code == 204 || code == 304 => Part::Over,
            Framing::Close => Part::UntilClose,
            Framing::Length(0) => Part::Over,
            Framing::Length(length) => Part::Rest(length),
            Framing::Chunked => Part::Size { size: 0, begun: false },
        };
        Self { part, allowance: MAX_BODY }
    }

    pub(super) fn is_over(&self) -> bool {
        self.part == Part::Over || self.allowance == 0
    }

    pub(super) fn ends_with_the_connection(&self) -> bool {
        self.part == Part::UntilClose
    }

    /// Takes the next byte; gives it back if it is the body's own.
    pub(super) fn push(&mut self, byte: u8) -> Result<Option<u8>, Malformed> {
        self.allowance = self.allowance.saturating_sub(1);
        let (next, own) = match self.part {
            Part::UntilClose => (Part::UntilClose, true),
            Part::Rest(left) => (if left > 1 { Part::Rest(left - 1) } else { Part::Over }, true),
            Part::Chunk(left) => (if left > 1 { Part::Chunk(left - 1) } else { Part::ChunkEnd }, true),
            Part::Size { size, begun } => (size_byte(byte, size, begun)?, false),
            Part::Extension { size } if byte == b'\n' => (after_size(size), false),
            Part::Extension { size } => (Part::Extension { size }, false),
            Part::ChunkEnd => match byte {
                b'\r' => (Part::ChunkEnd, false),
                b'\n' => (Part::Size { size: 0, begun: false }, false),
                _ => return Err(Malformed),
            },
            Part::Over => (Part::Over, false),
        };
        self.part = next;
        Ok(own.then_some(byte))
    }
}

fn size_byte(byte: u8, size: u64, begun: bool) -> Result<Part, Malformed> {
    match (char::from(byte).to_digit(16), byte) {
        (Some(digit), _) if size <= MAX_BODY => {
            Ok(Part::Size { size: size << 4 | u64::from(digit), begun: true })
        }
        // Longer than is looked into, however long.
        (Some(_), _) => Ok(Part::Size { size, begun: true }),
        (None, b'\n') if begun => Ok(after_size(size)),
        (None, b'\r' | b';' | b' ' | b'\t') if begun => Ok(Part::Extension { size }),
        _ => Err(Malformed),
    }
}

fn after_size(size: u64) -> Part {
    if size == 0 { Part::Over } else { Part::Chunk(size) }
}
