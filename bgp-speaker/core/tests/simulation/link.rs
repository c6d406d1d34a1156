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
