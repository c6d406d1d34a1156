//! AMQP 0-9-1, as far as a broker's greeting: a node that starts up, or that has lost its cluster and paused, accepts
//! connections at most, and does not greet. Section 2.2.4 and 4.2.2 of the specification.

use super::inbox::Inbox;
use super::{Finding, Talk};

#[derive(Debug, Default)]
pub(super) struct Amqp {
    inbox: Inbox,
}

impl Talk for Amqp {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(HEADER);
    }

    fn on(&mut self, bytes: &[u8], _: &mut Vec<u8>) -> Option<Finding> {
        if !self.inbox.push(bytes) {
            return Some(Finding::garbage("too_long"));
        }
        let rest = self.inbox.rest();
        let starts = |with: &[u8]| rest.iter().zip(with).all(|(one, other)| one == other);
        if starts(b"AMQP") {
            // Its own header: it wants another version.
            return (rest.len() >= HEADER.len()).then_some(Finding::refused("version"));
        }
        // A method frame on channel 0.
        if !starts(&[1, 0, 0]) {
            return Some(Finding::garbage("not_amqp"));
        }
        let method = rest.get(FRAME_HEADER..FRAME_HEADER + 4)?;
        match method {
            CONNECTION_START => Some(Finding::OK),
            CONNECTION_CLOSE => Some(Finding::refused("closed_by_broker")),
            _ => Some(Finding::garbage("not_amqp")),
        }
    }
}

/// AMQP 0-9-1.
const HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";
/// Type, channel and size.
const FRAME_HEADER: usize = 7;
/// Class 10, method 10.
const CONNECTION_START: &[u8] = &[0, 10, 0, 10];
/// Class 10, method 50.
const CONNECTION_CLOSE: &[u8] = &[0, 10, 0, 50];
