//! Between processes of different nodes: connections that keep the order of what is sent, and are late.

use super::{Node, Peer, Session, What, Wire, World};
use base_core::Machine;
use gateway_core::peers::{Action, Event, Frame, Incoming, Outgoing, With, frame};
use std::time::Duration;

impl Node {
    fn has_session(&self, connection: u64) -> bool {
        let is_it = |session: &Session| session.connection == connection;
        self.peers.iter().any(|peer| peer.session.as_ref().is_some_and(is_it))
    }
}

impl World {
    fn is_cut(&self, one: usize, other: usize) -> bool {
        self.cut.iter().any(|pair| *pair == (one, other) || *pair == (other, one))
    }

    /// In order on each connection, late by up to 20 ms, later across a cut: as TCP does.
    fn send(&mut self, from: usize, to: usize, connection: u64, what: What) {
        let mut at = self.now + Duration::from_millis(1 + self.random.below(20));
        for wire in &self.wires {
            if (wire.from, wire.to, wire.connection) == (from, to, connection) {
                at = at.max(wire.at);
            }
        }
        self.wires.push(Wire { from, to, at, connection, what });
    }

    pub(super) fn deliver(&mut self) {
        let (due, later) = std::mem::take(&mut self.wires)
            .into_iter()
            .partition(|wire| wire.at <= self.now && !self.is_cut(wire.from, wire.to));
        self.wires = later;
        let due: Vec<Wire> = due;
        for Wire { from, to, connection, what, .. } in due {
            // Of two processes, the one that listens, or the one whose session it is.
            let has_it = |node: &Node| node.place == to && node.has_session(connection);
            let at = match what {
                What::Opened => Some(to),
                _ => self.nodes.iter().position(has_it),
            };
            let Some(at) = at else { continue };
            let Some(peer) = self.nodes[at].peers.iter().position(|peer| peer.to == from) else { continue };
            match what {
                What::Opened => self.open(at, peer, connection),
                What::Bytes(bytes) => self.take(at, peer, connection, &bytes),
                What::Closed => {
                    self.nodes[at].peers[peer].session = None;
                    self.on(at, peer, Event::Closed);
                }
            }
        }
    }

    /// The newest connection counts; who has the other end of the one before is told.
    fn open(&mut self, at: usize, peer: usize, connection: u64) {
        let is_old = |session: &Session| session.connection > connection;
        if self.nodes[at].peers[peer].session.as_ref().is_some_and(is_old) {
            return;
        }
        self.hang_up(at, peer);
        let node = &mut self.nodes[at];
        let with = With::Peer("");
        let outgoing = Outgoing::new(&node.cluster, with, &node.peers[peer].progress, true);
        let (input, incoming) = (Vec::new(), Incoming::default());
        node.peers[peer].session = Some(Session { connection, input, incoming, outgoing });
        self.on(at, peer, Event::Opened);
        self.on(at, peer, Event::IsHeadgate);
    }

    fn hang_up(&mut self, at: usize, peer: usize) {
        let (place, to) = (self.nodes[at].place, self.nodes[at].peers[peer].to);
        if let Some(session) = self.nodes[at].peers[peer].session.take() {
            self.send(place, to, session.connection, What::Closed);
        }
    }

    pub(super) fn hang_up_all(&mut self, at: usize) {
        (0..self.nodes[at].peers.len()).for_each(|peer| self.hang_up(at, peer));
    }

    fn take(&mut self, at: usize, peer: usize, connection: u64, bytes: &[u8]) {
        let (place, to) = (self.nodes[at].place, self.nodes[at].peers[peer].to);
        let from = self.nodes[to].name.clone();
        let node = &mut self.nodes[at];
        let now = self.now + node.ahead;
        let Peer { session, progress, .. } = &mut node.peers[peer];
        let Some(session) = session.as_mut().filter(|session| session.connection == connection) else {
            return;
        };
        session.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut session.input);
        let mut rest = input.as_slice();
        let mut events = vec![Event::Heard];
        while let Some((frame, length)) = frame::take(rest).expect("nobody sends garbage") {
            match frame {
                Frame::Control(control) => events.push(Event::Control(control)),
                Frame::Define(body) => {
                    session
                        .incoming
                        .define(body, &node.cluster, With::Peer(&from), now)
                        .expect("it is whole");
                }
                Frame::Update(update, body) => {
                    let with = With::Peer(&from);
                    let taken = session.incoming.update(update, body, &node.cluster, with, progress, now);
                    taken.expect("it is whole");
                }
                Frame::Ack(body) => session.outgoing.acknowledged(body, progress),
                Frame::Switch(_) | Frame::Unknown => panic!("nobody sends this"),
            }
            rest = &rest[length..];
        }
        session.input = rest.to_vec();
        let mut acks = Vec::new();
        session.incoming.acknowledge(&mut acks);
        if !acks.is_empty() {
            self.send(place, to, connection, What::Bytes(acks));
        }
        events.into_iter().for_each(|event| self.on(at, peer, event));
    }

    /// Deadlines, lessons, and every 5 ms what has changed.
    pub(super) fn turn(&mut self, at: usize, step: u64) {
        let node = &mut self.nodes[at];
        if node.learns {
            return;
        }
        let place = node.place;
        let now = self.now + node.ahead;
        for (renewal, at) in &mut node.renewals {
            while *at <= now {
                *at = renewal.go_on(&node.cluster, now);
            }
        }
        for peer in 0..self.nodes[at].peers.len() {
            let now = self.now + self.nodes[at].ahead;
            if self.nodes[at].peers[peer].link.next_deadline().is_some_and(|at| at <= now) {
                self.on(at, peer, Event::Tick);
            }
            let node = &mut self.nodes[at];
            let Peer { to, session, .. } = &mut node.peers[peer];
            let Some(session) = session else { continue };
            let (to, connection, mut out) = (*to, session.connection, Vec::new());
            let teaches = session.outgoing.is_teaching();
            let taught = teaches && !session.outgoing.go_on_teaching(&node.cluster, now, &mut out);
            if !teaches && step.is_multiple_of(5) {
                session.outgoing.push(&node.cluster, now, 100, &mut out);
            }
            if !out.is_empty() {
                self.send(place, to, connection, What::Bytes(out));
            }
            if taught {
                self.on(at, peer, Event::Taught);
            }
        }
    }

    pub(super) fn on(&mut self, at: usize, peer: usize, event: Event) {
        let mut actions = Vec::new();
        let place = self.nodes[at].place;
        let now = self.now + self.nodes[at].ahead;
        let Peer { link, to, .. } = &mut self.nodes[at].peers[peer];
        let to = *to;
        link.on(event, now, &mut actions);
        link.check_invariants();
        for action in actions {
            match action {
                Action::Dial if !self.is_cut(place, to) => {
                    self.connections += 1;
                    self.send(place, to, self.connections, What::Opened);
                    self.send(to, place, self.connections, What::Opened);
                }
                Action::Dial => {}
                Action::Send(control) => {
                    let session = self.nodes[at].peers[peer].session.as_ref();
                    if let Some(connection) = session.map(|session| session.connection) {
                        let mut out = Vec::new();
                        control.encode(&mut out);
                        self.send(place, to, connection, What::Bytes(out));
                    }
                }
                Action::Teach => {
                    if let Some(session) = &mut self.nodes[at].peers[peer].session {
                        session.outgoing.teach();
                    }
                }
                Action::IsStock | Action::IsHeadgate => panic!("all are Headgates, and say so at once"),
                Action::Close(_) => self.hang_up(at, peer),
                Action::Live(live) => {
                    let name = self.nodes[to].name.clone();
                    self.nodes[at].cluster.peer_is_live(&name, live);
                }
            }
        }
    }
}
