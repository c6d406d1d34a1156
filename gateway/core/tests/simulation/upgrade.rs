//! Two processes of a node: the next one learns, takes over and speaks for the one before it. Either may die at any
//! moment.

use super::{Node, World};
use base_core::{Machine, Time};
use gateway_core::peers::handover::{Action, Event, Handover};
use gateway_core::peers::{Control, Event as LinkEvent, Frame, Incoming, Outgoing, Progress, With, frame};
use std::collections::VecDeque;
use std::time::Duration;

pub(super) struct Upgrade {
    place: usize,
    /// The next process serves, and talks to the other nodes.
    serves: bool,
    /// Runs that both know to live when the next process takes over, until it goes by what the nodes say themselves.
    taught: Option<Vec<String>>,
    old: End,
    new: End,
}

/// One side of the talk.
struct End {
    machine: Handover,
    outgoing: Outgoing,
    incoming: Incoming,
    input: Vec<u8>,
    /// What the other side has sent.
    wire: VecDeque<(Time, Vec<u8>)>,
}

/// Which process it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Old,
    New,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }

    /// Whom it talks to.
    fn with(self) -> With<'static> {
        match self {
            Self::Old => With::Next,
            Self::New => With::Previous,
        }
    }
}

impl End {
    fn new(node: &Node, side: Side, machine: Handover) -> Self {
        let outgoing = Outgoing::new(&node.cluster, side.with(), &Progress::default(), true);
        Self { machine, outgoing, incoming: Incoming::default(), input: Vec::new(), wire: VecDeque::new() }
    }
}

impl Upgrade {
    fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Old => &mut self.old,
            Side::New => &mut self.new,
        }
    }
}

impl World {
    /// The next process of a node comes, unless one is there already.
    pub(super) fn begin_upgrade(&mut self, place: usize) {
        if self.upgrades.iter().any(|upgrade| upgrade.place == place) {
            return;
        }
        let next = Node { learns: true, ..self.node(place) };
        let mut actions = Vec::new();
        let machine = Handover::from_previous(self.now + next.ahead, &mut actions);
        let new = End::new(&next, Side::New, machine);
        let old = &self.nodes[place];
        let old = End::new(old, Side::Old, Handover::to_next(self.now + old.ahead));
        self.nodes.push(next);
        self.upgrades.push(Upgrade { place, serves: false, taught: Some(Vec::new()), old, new });
        self.obey(self.upgrades.len() - 1, Side::New, actions);
    }

    /// The old process has drained, or dies before it has handed everything over.
    pub(super) fn old_ends(&mut self, place: usize) {
        self.ends(place, Side::Old);
    }

    /// The next process dies.
    pub(super) fn new_ends(&mut self, place: usize) {
        self.ends(place, Side::New);
    }

    /// The machine that both run on is gone.
    pub(super) fn both_end(&mut self, place: usize) {
        if self.upgrades.iter().any(|upgrade| upgrade.place == place) {
            self.upgrades.retain(|upgrade| upgrade.place != place);
            self.remove(place);
        }
    }

    /// What goes on between the processes of each node.
    pub(super) fn upgrade(&mut self, step: u64) {
        for upgrade in 0..self.upgrades.len() {
            for side in [Side::Old, Side::New] {
                self.hear(upgrade, side, self.now);
                let at = self.at(upgrade, side);
                let node = &self.nodes[at];
                let now = self.now + node.ahead;
                let end = self.upgrades[upgrade].end(side);
                let is_due = end.machine.next_deadline().is_some_and(|at| at <= now);
                let mut out = Vec::new();
                let teaches = end.outgoing.is_teaching();
                let taught = teaches && !end.outgoing.go_on_teaching(&node.cluster, now, &mut out);
                if !teaches && step.is_multiple_of(5) {
                    end.outgoing.push(&node.cluster, now, 100, &mut out);
                }
                self.tell(upgrade, side, out);
                if taught {
                    self.happens(upgrade, side, Event::Taught);
                }
                if is_due {
                    self.happens(upgrade, side, Event::Tick);
                }
            }
        }
    }

    fn ends(&mut self, place: usize, side: Side) {
        let Some(upgrade) = self.upgrades.iter().position(|upgrade| upgrade.place == place) else { return };
        // What it has said still comes.
        self.hear(upgrade, side.other(), Time::from_millis(u64::MAX / 2));
        self.happens(upgrade, side.other(), Event::Closed);
        if (side == Side::Old) != self.upgrades[upgrade].serves {
            self.change_over(upgrade);
        }
        self.upgrades.remove(upgrade);
        self.remove(place);
    }

    /// Takes out the process of a node that does not talk to the others.
    fn remove(&mut self, place: usize) {
        let at = self.other(place);
        self.hang_up_all(at);
        self.nodes.remove(at);
    }

    /// The other process is the one that others reach.
    fn change_over(&mut self, upgrade: usize) {
        let place = self.upgrades[upgrade].place;
        let other = self.other(place);
        self.upgrades[upgrade].serves ^= true;
        self.nodes.swap(place, other);
    }

    /// Where the process of a node is that does not talk to the others.
    fn other(&self, place: usize) -> usize {
        let is_it = |node: &Node| node.place == place;
        self.count + self.nodes[self.count..].iter().position(is_it).expect("there are two")
    }

    /// Where the process is.
    fn at(&self, upgrade: usize, side: Side) -> usize {
        let Upgrade { place, serves, .. } = &self.upgrades[upgrade];
        if (side == Side::New) == *serves { *place } else { self.other(*place) }
    }

    /// Late by some milliseconds, as both are on one machine.
    fn tell(&mut self, upgrade: usize, side: Side, bytes: Vec<u8>) {
        let at = self.now + Duration::from_millis(1 + self.random.below(4));
        let wire = &mut self.upgrades[upgrade].end(side.other()).wire;
        if !bytes.is_empty() {
            wire.push_back((at.max(wire.back().map_or(at, |(at, _)| *at)), bytes));
        }
    }

    fn hear(&mut self, upgrade: usize, side: Side, until: Time) {
        loop {
            let end = self.upgrades[upgrade].end(side);
            let Some((_, bytes)) = end.wire.pop_front_if(|(at, _)| *at <= until) else { return };
            end.input.extend_from_slice(&bytes);
            self.read(upgrade, side);
        }
    }

    fn read(&mut self, upgrade: usize, side: Side) {
        let at = self.at(upgrade, side);
        let node = &self.nodes[at];
        let (now, with) = (self.now + node.ahead, side.with());
        let end = self.upgrades[upgrade].end(side);
        let input = std::mem::take(&mut end.input);
        let (mut rest, mut events) = (input.as_slice(), vec![Event::Heard]);
        let mut progress = Progress::default();
        while let Some((frame, length)) = frame::take(rest).expect("nobody sends garbage") {
            match frame {
                Frame::Control(control) => events.push(Event::Control(control)),
                Frame::Define(body) => {
                    end.incoming.define(body, &node.cluster, with, now).expect("it is whole");
                }
                Frame::Update(update, body) => {
                    let taken = end.incoming.update(update, body, &node.cluster, with, &progress, now);
                    taken.expect("it is whole");
                }
                Frame::Ack(body) => end.outgoing.acknowledged(body, &mut progress),
                Frame::Switch(_) | Frame::Unknown => panic!("nobody sends this"),
            }
            rest = &rest[length..];
        }
        end.input = rest.to_vec();
        events.into_iter().for_each(|event| self.happens(upgrade, side, event));
    }

    fn happens(&mut self, upgrade: usize, side: Side, event: Event) {
        let now = self.now + self.nodes[self.at(upgrade, side)].ahead;
        let mut actions = Vec::new();
        self.upgrades[upgrade].end(side).machine.on(event, now, &mut actions);
        self.obey(upgrade, side, actions);
    }

    fn obey(&mut self, upgrade: usize, side: Side, actions: Vec<Action>) {
        for action in actions {
            let at = self.at(upgrade, side);
            match action {
                Action::Send(control) => self.tell(upgrade, side, encoded(control)),
                Action::Teach => self.upgrades[upgrade].end(side).outgoing.teach(),
                Action::Serve { .. } => {
                    self.nodes[at].cluster.has_learnt();
                    self.nodes[at].learns = false;
                    self.change_over(upgrade);
                }
                Action::HearOnlyNodes => {
                    self.nodes[at].cluster.hears_only_nodes();
                    self.upgrades[upgrade].taught = None;
                }
                Action::Succeeded => {
                    self.remember(upgrade);
                    self.nodes[at].cluster.is_succeeded();
                    self.upgrades[upgrade].end(side).outgoing.is_succeeded();
                    self.all_links(at, LinkEvent::Retire);
                }
                Action::Resume => self.all_links(at, LinkEvent::Resume),
                Action::Forget => self.nodes[at].cluster.process_is_gone(side.with()),
                Action::Close => panic!("nobody hangs"),
            }
        }
    }

    /// Which runs the next process is not to lose while it takes over.
    fn remember(&mut self, upgrade: usize) {
        // What is on its way to it may still end one of them.
        self.hear(upgrade, Side::New, Time::from_millis(u64::MAX / 2));
        let [old, new] = [Side::Old, Side::New].map(|side| &self.nodes[self.at(upgrade, side)]);
        let known = old.live_runs();
        let both = new.live_runs().into_iter().filter(|run| known.contains(run)).collect();
        if let Some(taught) = &mut self.upgrades[upgrade].taught {
            *taught = both;
        }
    }

    pub(super) fn what_was_taught_lives_on(&self) {
        for (number, upgrade) in self.upgrades.iter().enumerate() {
            let new = &self.nodes[self.at(number, Side::New)];
            let known = new.live_runs();
            for run in upgrade.taught.iter().flatten() {
                assert!(known.contains(run), "the next process of {} has lost {run}: {known:?}", new.name);
            }
        }
    }

    fn all_links(&mut self, at: usize, event: LinkEvent) {
        (0..self.nodes[at].peers.len()).for_each(|peer| self.on(at, peer, event));
    }
}

fn encoded(control: Control) -> Vec<u8> {
    let mut out = Vec::new();
    control.encode(&mut out);
    out
}
