//! gRPC's health protocol (`grpc.health.v1.Health/Check`): the two messages of it, inside their five byte frames.
//!
//! Promises: whatever comes is survived; memory is bounded.

use crate::outcome::CheckStatus;
use crate::talk::Finding;

/// The path that is asked.
pub const PATH: &str = "/grpc.health.v1.Health/Check";

/// The request for a service; the empty name is the server as a whole.
pub fn request(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(FIELD_1_TEXT);
        varint(&mut message, service.len() as u64);
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], length.to_be_bytes().as_slice(), &message].concat()
}

/// An answer as it comes.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    bytes: Vec<u8>,
}

impl Answer {
    /// Takes the next bytes of the body; the error is the finding when there are too many.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Finding> {
        if self.bytes.len() + bytes.len() > MAX_ANSWER {
            return Err(Finding::garbage("too_long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// What the whole answer means: `status` is `grpc-status` of its trailers, or of its head where there is no body.
    pub fn judge(&self, http: u16, status: Option<u16>) -> Finding {
        match status {
            _ if http != 200 => Finding::refused("http_status").with_code(http),
            None => Finding::garbage("not_grpc"),
            Some(0) => match self.serving() {
                None => Finding::garbage("not_grpc"),
                Some(1) => Finding::OK,
                Some(_) => Finding::refused("not_serving"),
            },
            Some(5) => Finding::refused("unknown_service").with_code(5),
            Some(12) => Finding::refused("no_health_service").with_code(12),
            Some(code) => Finding::new(CheckStatus::L7Status, "grpc_status").with_code(code),
        }
    }

    /// `HealthCheckResponse.status`; 0 where it was left out.
    fn serving(&self) -> Option<u64> {
        let (header, rest) = self.bytes.split_at_checked(FRAME_HEADER)?;
        let (compressed, length) = header.split_first()?;
        let length = length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
        let mut message = rest.get(..length).filter(|_| *compressed == 0)?;
        let mut status = 0;
        while !message.is_empty() {
            let key = read_varint(&mut message)?;
            let skipped = match key & 7 {
                0 => {
                    let value = read_varint(&mut message)?;
                    if key == 1 << 3 {
                        status = value;
                    }
                    0
                }
                1 => 8,
                2 => usize::try_from(read_varint(&mut message)?).ok()?,
                5 => 4,
                _ => return None,
            };
            message = message.get(skipped..)?;
        }
        Some(status)
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Whether it is compressed, and its length.
const FRAME_HEADER: usize = 5;
/// Field 1, bytes behind their length.
const FIELD_1_TEXT: u8 = 1 << 3 | 2;
/// The answer has seven bytes; one from the future has a few more.
const MAX_ANSWER: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(bytes: &[u8]) -> Finding {
        let mut answer = Answer::default();
        answer.push(bytes).expect("short");
        answer.judge(200, Some(0))
    }

    #[test]
    fn a_request_names_its_service_and_only_serving_passes() {
        assert_eq!(request(""), [0, 0, 0, 0, 0]);
        assert_eq!(request("a.B"), [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B']);
        assert_eq!(answer(&[0, 0, 0, 0, 2, 8, 1]), Finding::OK);
        assert_eq!(
            answer(&[0, 0, 0, 0, 6, 0x12, 2, b'x', b'y', 8, 1]),
            Finding::OK,
            "a field from the future"
        );
        for (bytes, note) in [
            (&[0, 0, 0, 0, 2, 8, 2][..], "not_serving"),
            (&[0, 0, 0, 0, 0], "not_serving"),
            (&[1, 0, 0, 0, 2, 8, 1], "not_grpc"),
            (&[0, 0, 0, 0, 3, 8, 1], "not_grpc"),
            (&[0, 0], "not_grpc"),
        ] {
            assert_eq!(answer(bytes).note, note, "{bytes:?}");
        }
        let empty = Answer::default();
        assert_eq!(empty.judge(404, None).code, Some(404));
        assert_eq!(empty.judge(200, Some(5)).note, "unknown_service");
        assert_eq!(empty.judge(200, Some(14)).code, Some(14));
        assert_eq!(empty.judge(200, None).note, "not_grpc");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..64), framed: bool) {
            let mut whole = if framed { vec![0, 0, 0, 0, bytes.len() as u8] } else { Vec::new() };
            whole.extend(bytes);
            answer(&whole);
        }
    }
}
