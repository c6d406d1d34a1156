//! A cable, and the connections through it: what is sent while it is cut arrives when it is mended, as TCP sees to.

use base_core::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// One direction of a connection.
#[derive(Debug, Default)]
pub(crate) struct Pipe(VecDeque<(Time, Item)>);

/// What goes through it.
#[derive(Debug)]
pub(crate) enum Item {
    Bytes(Vec<u8>),
    /// No more comes.
    End,
}

impl Pipe {
    pub(crate) fn send(&mut self, item: Item, now: Time) {
        self.0.push_back((now + LATENCY, item));
    }

    /// What has arrived, if the cable is whole.
    pub(crate) fn take(&mut self, up: bool, now: Time) -> Option<Item> {
        let due = self.0.front().is_some_and(|(at, _)| up && *at <= now);
        due.then(|| self.0.pop_front()).flatten().map(|(_, item)| item)
    }
}

/// A connection between a node and the router.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    pub(crate) to_router: Pipe,
    pub(crate) to_node: Pipe,
}

/// From one end to the other.
pub(crate) const LATENCY: Duration = Duration::from_millis(1);

/// Numbers that follow from a seed (SplitMix64).
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From 0 up to, and not including, `sides`.
    pub(crate) const fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % sides
    }
}
