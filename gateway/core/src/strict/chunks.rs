//! The chunks of a body, byte by byte, decoded here or beside whoever decodes them (RFC 9112 §7.1): what one
//! decoder overlooks another trips over, and takes the rest for a request of its own.

use std::ops::Range;

/// Where in a body of chunks it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chunks {
    state: State,
    /// Of the chunk that is read: its size so far, then what is left of it.
    left: u64,
    /// Digits of the size, bytes of the extension, or bytes of all trailers.
    seen: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Extension,
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    /// At the start of a line behind the last chunk.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
    Done,
}

impl Chunks {
    /// Goes on with `bytes`. The error is the reason word: nothing of what follows has a meaning. What
    /// comes behind the end is not looked at.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        let mut rest = bytes;
        loop {
            let data = self.data(rest)?;
            if data.is_empty() {
                return Ok(());
            }
            rest = rest.get(data.end..).unwrap_or_default();
        }
    }

    /// Goes on with `bytes` up to the end of the next data in them, and says where that is. An empty place: there
    /// is no more, and what comes behind it is no part of the body.
    pub fn data(&mut self, bytes: &[u8]) -> Result<Range<usize>, &'static str> {
        for (place, byte) in bytes.iter().enumerate() {
            match self.state {
                State::Data => {
                    let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - place);
                    self.left -= taken as u64;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(place..place + taken);
                }
                State::Done => return Ok(place..place),
                _ => self.state = self.next(*byte)?,
            }
        }
        Ok(bytes.len()..bytes.len())
    }

    /// Whether the body is whole.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    fn next(&mut self, byte: u8) -> Result<State, &'static str> {
        let is_text = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        match (self.state, byte) {
            (State::Size, _) => self.size(byte),
            (State::Extension, b'\r') => Ok(State::SizeEnd),
            (State::Extension, byte) if is_text(byte) && self.count(MAX_EXTENSION) => Ok(State::Extension),
            (State::SizeEnd, b'\n') => {
                self.seen = 0;
                Ok(if self.left == 0 { State::Trailer } else { State::Data })
            }
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size),
            (State::Trailer, b'\r') => Ok(State::LastLf),
            (State::Trailer | State::TrailerName, byte) if super::is_token(byte) => {
                if self.count(MAX_TRAILERS) { Ok(State::TrailerName) } else { Err(BAD) }
            }
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, byte) if is_text(byte) && self.count(MAX_TRAILERS) => {
                Ok(State::TrailerValue)
            }
            (State::TrailerLf, b'\n') => Ok(State::Trailer),
            (State::LastLf, b'\n') => Ok(State::Done),
            _ => Err(BAD),
        }
    }

    fn size(&mut self, byte: u8) -> Result<State, &'static str> {
        let digit = char::from(byte).to_digit(16);
        match (digit, byte) {
            (Some(digit), _) if self.count(MAX_DIGITS) => {
                self.left = if self.seen == 1 { u64::from(digit) } else { self.left << 4 | u64::from(digit) };
                Ok(State::Size)
            }
            (None, b'\r') if self.seen > 0 => Ok(State::SizeEnd),
            (None, b';') if self.seen > 0 => {
                self.seen = 0;
                Ok(State::Extension)
            }
            _ => Err(BAD),
        }
    }

    /// Counts one more; false if it is one too many.
    fn count(&mut self, most: u32) -> bool {
        self.seen += 1;
        self.seen <= most
    }
}

const BAD: &str = "bad_chunk";
/// Digits of a size: below 2^60, so that no decoder wraps.
const MAX_DIGITS: u32 = 15;
/// Bytes of an extension, which nobody uses.
const MAX_EXTENSION: u32 = 256;
/// Bytes of all trailers.
const MAX_TRAILERS: u32 = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(body: &[u8]) -> Result<bool, &'static str> {
        let mut chunks = Chunks::default();
        chunks.advance(body).map(|()| chunks.is_done())
    }

    #[test]
    fn a_body_ends_where_its_last_chunk_does() {
        assert_eq!(whole(b"5\r\nhello\r\n0\r\n\r\n"), Ok(true));
        assert_eq!(whole(b"A;a=\"b\"\r\n0123456789\r\n00;x\r\nX-Sum: 1\r\nY:\r\n\r\nGET / "), Ok(true));
        assert_eq!(whole(b"5\r\nhello\r\n0\r\n\r"), Ok(false));
        assert_eq!(whole(b"5\r\nhel"), Ok(false));
    }

    #[test]
    fn what_a_lenient_decoder_overlooks_is_refused() {
        for bad in [
            &b"\r\n"[..],
            b"5 \r\n",
            b" 5\r\n",
            b"0x5\r\n",
            b"5\n",
            b"5\rx",
            b"5\r\nhelloX",
            b"5\r\nhello\n",
            b"5;a\n",
            b"5;\r\r",
            b"5\x00",
            b"0123456789abcdef",
            b"0\r\n\n",
            b"0\r\nX : 1\r\n",
            b"0\r\n X: 1\r\n",
            b"0\r\n: 1\r\n",
            b"0\r\nX\r\n",
            b"0\r\nX: a\nb\r\n",
        ] {
            assert_eq!(whole(bad), Err(BAD), "{:?}", String::from_utf8_lossy(bad));
        }
        assert_eq!(whole(&[b"5;", &[b'x'; 300][..]].concat()), Err(BAD));
        assert_eq!(whole(&[b"0\r\n", &b"X: y\r\n".repeat(5000)[..]].concat()), Err(BAD));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn pieces_are_read_as_the_whole(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..5),
            cuts in proptest::collection::vec(1..20usize, 1..20),
            garbage in proptest::collection::vec(any::<u8>(), 0..10),
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
            body.extend_from_slice(&garbage);
            let mut state = Chunks::default();
            let mut rest = body.as_slice();
            let mut cuts = cuts.into_iter().cycle();
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
                prop_assert_eq!(state.advance(piece), Ok(()));
                rest = behind;
            }
            prop_assert!(state.is_done());
            prop_assert_eq!(whole(&body), Ok(true));

            let (mut state, mut rest, mut data) = (Chunks::default(), body.as_slice(), Vec::new());
            while !state.is_done() {
                let place = state.data(rest).expect("it is good");
                data.extend_from_slice(&rest[place.clone()]);
                rest = &rest[place.end..];
            }
            prop_assert_eq!(data, chunks.concat());
            prop_assert_eq!(rest, garbage);
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = whole(&bytes);
        }
    }
}
