//! A model of a router: takes connections, holds what each node announced, forgets it when the session ends.

use crate::link::{Connection, Item};
use crate::node::TIMERS;
use base_core::{Machine, Time};
use bgp_core::bfd;
use bgp_core::wire::{self, Message, Open};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

/// The router's side of one node.
#[derive(Debug)]
pub(crate) struct Port {
    session: Option<Session>,
    /// When it may call again.
    call: Time,
    pub(crate) bfd: Option<bfd::Session>,
}

#[derive(Debug)]
struct Session {
    established: bool,
    heard: Time,
    keepalive: Time,
    input: Vec<u8>,
    held: BTreeSet<IpAddr>,
}

impl Port {
    pub(crate) fn new(number: u32, with_bfd: bool) -> Self {
        let discriminator = NonZeroU32::new(number + 100).unwrap_or(NonZeroU32::MIN);
        let settings = bfd::Settings { discriminator, timers: TIMERS, seed: number.into() };
        Self { session: None, call: Time::ZERO, bfd: with_bfd.then(|| bfd::Session::new(settings)) }
    }

    /// Whether it would take a connection: an old one that has not ended stands in its way, as in BIRD.
    pub(crate) const fn accepts(&self) -> bool {
        self.session.is_none()
    }

    /// Whether it opens a connection now: it tries every second while it has none.
    pub(crate) fn calls(&mut self, now: Time) -> bool {
        let calls = self.session.is_none() && self.call <= now;
        if calls {
            self.call = now + CALL_EVERY;
        }
        calls
    }

    /// The node did not take the connection.
    pub(crate) fn refused(&mut self) {
        self.session = None;
    }

    pub(crate) fn accepted(&mut self, now: Time) {
        self.session = Some(Session {
            established: false,
            heard: now,
            keepalive: now + HOLD / 3,
            input: Vec::new(),
            held: BTreeSet::new(),
        });
    }

    /// What it holds from the node.
    pub(crate) fn held(&self) -> BTreeSet<IpAddr> {
        self.session.as_ref().map(|session| session.held.clone()).unwrap_or_default()
    }

    pub(crate) fn path_is_up(&self) -> bool {
        self.bfd.as_ref().is_some_and(|bfd| bfd.state() == bfd::State::Up)
    }

    /// Reads, sends what is due, and gives up on a node that is silent. `true`: routes came.
    pub(crate) fn turn(&mut self, connection: &mut Connection, up: bool, now: Time) -> bool {
        let mut came = false;
        while let Some(item) = self.session.as_ref().and_then(|_| connection.to_router.take(up, now)) {
            match item {
                Item::Bytes(bytes) => came |= self.read(&bytes, connection, now),
                Item::End => self.session = None,
            }
        }
        let Some(session) = &mut self.session else { return came };
        if now.since(session.heard) >= HOLD {
            self.end(connection, now);
        } else if session.established && session.keepalive <= now {
            session.keepalive = now + HOLD / 3;
            connection.to_node.send(Item::Bytes(wire::keepalive()), now);
        }
        came
    }

    /// The session ends from this side, without a word.
    pub(crate) fn end(&mut self, connection: &mut Connection, now: Time) {
        if self.session.take().is_some() {
            connection.to_node.send(Item::End, now);
        }
    }

    fn read(&mut self, bytes: &[u8], connection: &mut Connection, now: Time) -> bool {
        let (mut came, mut over) = (false, false);
        let Some(session) = &mut self.session else { return false };
        session.input.extend(bytes);
        while let Ok(Some(length)) = wire::frame(&session.input) {
            let message: Vec<u8> = session.input.drain(..length).collect();
            session.heard = now;
            match wire::decode(&message).expect("the speaker speaks BGP") {
                Message::Open(_) => {
                    let open = Open::ours(65000, 3, [10, 0, 0, 254].into()).encode();
                    connection.to_node.send(Item::Bytes([open, wire::keepalive()].concat()), now);
                }
                Message::Keepalive => session.established = true,
                Message::Update(update) => {
                    for gone in update.withdrawn().map(|net| net.expect("a prefix").addr()) {
                        assert!(session.held.remove(&gone), "{gone} was not held");
                    }
                    for net in update.nlri() {
                        came |= session.held.insert(net.expect("a prefix").addr());
                    }
                }
                Message::Notification(_) => over = true,
                Message::RouteRefresh(_) => {}
            }
        }
        if over {
            self.end(connection, now);
        }
        came
    }

    /// Drives BFD; `true`: the path is lost.
    pub(crate) fn bfd(&mut self, event: bfd::Event, now: Time, sent: &mut Vec<bfd::Packet>) -> bool {
        let Some(bfd) = &mut self.bfd else { return false };
        let mut actions = Vec::new();
        bfd.on(event, now, &mut actions);
        let mut lost = false;
        for action in actions {
            match action {
                bfd::Action::Transmit(packet) => sent.push(packet),
                bfd::Action::Changed(change) => lost |= change.failed,
            }
        }
        lost
    }
}

const CALL_EVERY: Duration = Duration::from_secs(1);
/// The router asks for this.
pub(crate) const HOLD: Duration = Duration::from_secs(3);
