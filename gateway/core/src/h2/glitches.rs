//! Does a client send more frames of a kind than what it gets explains? Each costs its sender next to nothing
//! and us a little, so that without a bound they are a flood (CVE-2019-9511 to 9518, CVE-2023-44487).
//!
//! Each kind has a bucket: a frame takes from it, time fills it, and so does each head and each piece of data that
//! goes to the client, since a client that gets much has reason to say much: it opens windows, measures with
//! pings, gives up requests. What a client sends in requests and their bodies is not counted: limits count that.
//! HAProxy's word for it is glitches (`tune.h2.fe.glitches-threshold`).

use super::frames::{
    CONTINUATION, DATA, Frame, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use base_core::Time;

/// How many frames of a kind a client may send without getting anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// At once.
    pub threshold: u32,
    /// In each second besides.
    pub rate: u32,
}

/// What a client has left, of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glitches {
    policy: Policy,
    /// Up to when time has filled the buckets.
    filled: Option<Time>,
    /// What is in the bucket of each kind, in thousandths of a frame.
    buckets: [u64; KINDS.len()],
}

impl Glitches {
    /// A connection on which nothing has been sent.
    pub fn new(policy: Policy) -> Self {
        Self { policy, filled: None, buckets: [full(policy); KINDS.len()] }
    }

    /// The client has sent a frame. The error is the reason word: it is one too many.
    pub fn received(&mut self, frame: Frame, now: Time) -> Result<(), &'static str> {
        let Some(place) = place_of(frame) else { return Ok(()) };
        let (kind, cost) = (&KINDS[place], KINDS[place].cost * FRAME);
        if self.buckets[place] < cost {
            self.fill(now);
        }
        let left = self.buckets[place].checked_sub(cost).ok_or(kind.reason)?;
        // From a bucket that is full time does not run before something is taken.
        self.filled.get_or_insert(now);
        self.buckets[place] = left;
        Ok(())
    }

    /// The client was sent a frame.
    pub fn sent(&mut self, frame: Frame) {
        let is_work = match frame.kind {
            HEADERS => true,
            DATA => frame.length >= WORTH || frame.ends_stream(),
            _ => false,
        };
        if is_work {
            let full = full(self.policy);
            for (bucket, kind) in self.buckets.iter_mut().zip(&KINDS) {
                *bucket = full.min(*bucket + kind.earned * kind.cost * FRAME);
            }
        }
    }

    fn fill(&mut self, now: Time) {
        let passed = self.filled.replace(now).map_or(0, |filled| (now - filled).as_micros());
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        let more = u64::from(self.policy.rate).saturating_mul(passed) / (MICROS / FRAME);
        let full = full(self.policy);
        for bucket in &mut self.buckets {
            *bucket = full.min(bucket.saturating_add(more));
        }
    }
}

/// What is counted together.
struct Kind {
    reason: &'static str,
    /// What one takes, as a multiple of the cheapest.
    cost: u64,
    /// How many of them each head or piece of data that is sent gives back.
    earned: u64,
}

fn full(policy: Policy) -> u64 {
    u64::from(policy.threshold) * FRAME
}

/// Where in [`KINDS`] it is; `None`: it is a request's, and not counted.
fn place_of(frame: Frame) -> Option<usize> {
    match frame.kind {
        DATA if frame.length > 0 || frame.ends_stream() => None,
        HEADERS | GOAWAY => None,
        DATA => Some(0),
        PRIORITY => Some(1),
        RST_STREAM => Some(2),
        SETTINGS => Some(3),
        PING => Some(4),
        WINDOW_UPDATE => Some(5),
        CONTINUATION => Some(6),
        _ => Some(7),
    }
}

const fn kind(reason: &'static str, cost: u64, earned: u64) -> Kind {
    Kind { reason, cost, earned }
}

/// Settings and pings must be answered, and nobody has many of them to send. A window is opened for the stream and
/// for the connection, by some clients more often than for each piece.
const KINDS: [Kind; 8] = [
    kind("h2_empty_data_flood", 1, 1),
    kind("h2_priority_flood", 1, 2),
    kind("h2_reset_flood", 1, 1),
    kind("h2_settings_flood", 10, 0),
    kind("h2_ping_flood", 10, 1),
    kind("h2_window_update_flood", 1, 4),
    kind("h2_continuation_flood", 1, 1),
    kind("h2_unknown_frame_flood", 1, 1),
];
/// Thousandths, so that a bucket fills by the millisecond.
const FRAME: u64 = 1000;
/// In a second.
const MICROS: u64 = 1_000_000;
/// Bytes of data that are worth a frame of the client's: who opens the window byte by byte earns nothing by it.
const WORTH: u32 = 32;

#[cfg(test)]
mod tests;
