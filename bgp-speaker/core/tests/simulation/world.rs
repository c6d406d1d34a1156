//! Nodes, router and faults on one clock, and what must hold at every moment.

use crate::node::{Gateway, Node, Process};
use crate::router::Port;
use base_core::random::Random;
use base_core::{Machine, Time};
use bgp_core::bfd;
use bgp_core::fsm::Mode;
use bgp_core::gate::Reading;
use healthcheck_core::fleet::{self, Fleet};
use std::collections::BTreeSet;
use std::time::Duration;

/// How the router finds out that a node is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detection {
    Bfd,
    HoldTime,
}

/// What a good run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) faults: u32,
    pub(crate) announced: u32,
}

pub(crate) struct World {
    now: Time,
    dice: Random,
    detection: Detection,
    nodes: Vec<Node>,
    ports: Vec<Port>,
    watches: Vec<Watch>,
    next_fault: Time,
    next_exchange: Time,
    /// Since when a healthy node could have the VIP whose requests may fail, and has had it.
    wanted: Option<Time>,
    outcome: Outcome,
}

/// Since when things are as they are.
#[derive(Clone, Copy, Debug)]
struct Watch {
    /// Since when the gateway does not serve, and whether BFD was up then.
    dead: Option<(Time, bool)>,
    /// Since when the node is healthy, and its requests are answered or not.
    healthy: Option<Time>,
    probes_good: bool,
    /// Since when the node is healthy, whatever becomes of its requests.
    alive: Option<Time>,
}

impl World {
    /// `mode`: who opens connections, the nodes or the router.
    pub(crate) fn new(seed: u64, detection: Detection, mode: Mode) -> Self {
        let bfd = detection == Detection::Bfd;
        let mut nodes: Vec<_> = (1..=3).map(|number| Node::new(number, bfd, mode)).collect();
        nodes.iter_mut().for_each(|node| node.start(Time::from_millis(1)));
        Self {
            now: Time::from_millis(1),
            dice: Random::new(seed),
            detection,
            nodes,
            ports: (1..=3).map(|number| Port::new(number, bfd)).collect(),
            watches: vec![Watch { dead: None, healthy: None, probes_good: true, alive: None }; 3],
            next_fault: Time::from_millis(5000),
            next_exchange: Time::from_millis(1),
            wanted: None,
            outcome: Outcome::default(),
        }
    }

    /// A minute and a half of faults, then half a minute of peace in which everything must come back.
    pub(crate) fn run(mut self) -> Result<Outcome, String> {
        while self.now < PEACE {
            if self.next_fault <= self.now {
                self.fault();
                self.next_fault = self.now + Duration::from_millis(self.dice.below(4000));
            }
            self.step()?;
        }
        (0..3).for_each(|index| self.mend(index));
        while self.now < END {
            self.step()?;
        }
        let whole = self.ports.iter().all(|port| port.held().len() == VIPS);
        whole.then_some(self.outcome).ok_or_else(|| "not everything is back at the end".to_owned())
    }

    fn fault(&mut self) {
        let index = usize::try_from(self.dice.below(3)).unwrap_or_default();
        let now = self.now;
        let kind = self.dice.below(17);
        let node = &mut self.nodes[index];
        self.outcome.faults += 1;
        match kind {
            0 => node.gateway = Gateway::Dead,
            1 => node.gateway = Gateway::Hangs,
            2 => node.gateway = Gateway::Says(Reading::NotReady),
            3 => node.gateway = Gateway::Says(Reading::Draining),
            4 => node.kill(now),
            5 if node.process == Process::Runs => node.process = Process::Hangs,
            6 => node.link_up = false,
            // Everything on the node stands still at once, as a virtual machine that is moved.
            7 if node.process == Process::Runs => {
                node.process = Process::Hangs;
                node.gateway = Gateway::Hangs;
            }
            // A flap: bad and good again within one beat.
            8 => {
                node.gateway = Gateway::Dead;
                node.turn(now);
                node.gateway = Gateway::Says(Reading::Ready);
                self.watches[index].healthy = None;
            }
            9 => node.probes_good = false,
            // A mistake that all nodes have in common.
            12 | 13 => self.nodes.iter_mut().for_each(|node| node.probes_good = false),
            10 | 11 => {
                node.upgrade(now);
                // A process that has just taken over waits for the gateway's word as long as one that has heard it.
                if let Some((since, _)) = &mut self.watches[index].dead {
                    *since = now;
                }
            }
            _ => self.mend(index),
        }
    }

    fn mend(&mut self, index: usize) {
        let now = self.now;
        let node = &mut self.nodes[index];
        node.gateway = Gateway::Says(Reading::Ready);
        node.link_up = true;
        node.probes_good = true;
        node.start(now);
    }

    fn step(&mut self) -> Result<(), String> {
        self.now += STEP;
        for index in 0..self.nodes.len() {
            self.nodes[index].turn(self.now);
            self.connect(index);
            self.route(index);
            self.watch(index)?;
        }
        if self.next_exchange <= self.now {
            self.next_exchange = self.now + EXCHANGE;
            self.exchange();
        }
        self.watch_last()
    }

    /// What the nodes tell each other of their VIPs, by way of their gateways.
    fn exchange(&mut self) {
        let now = self.now;
        let told: Vec<_> = self.nodes.iter_mut().map(|node| node.tells(now)).collect();
        for index in 0..self.nodes.len() {
            let name = |other: usize| format!("gw{}", other + 1);
            let hears = told[index].is_some();
            let peers = (0..told.len()).filter(|other| *other != index).map(|other| {
                let rows = told[other].clone().filter(|_| hears);
                fleet::Node { name: name(other), heard: rows.is_some(), vips: rows.unwrap_or_default() }
            });
            let fleet = Fleet { node: name(index), peers: peers.collect() };
            self.nodes[index].hears(fleet, self.now);
        }
    }

    /// As long as one and the same node stays healthy, the router has every VIP by some node, however requests fail.
    fn watch_last(&mut self) -> Result<(), String> {
        let long = |index: usize| {
            let alive = self.watches[index].alive;
            alive.is_some_and(|since| self.now.since(since) > CONVERGED)
        };
        let Some(index) = (0..self.nodes.len()).find(|index| long(*index)) else {
            self.wanted = None;
            return Ok(());
        };
        let vips: BTreeSet<_> = self.ports.iter().flat_map(|port| port.held().into_iter()).collect();
        if vips.len() == VIPS {
            self.wanted = Some(self.now);
        }
        match self.wanted {
            Some(had) if self.now.since(had) > REGAINED => Err(format!(
                "at {} ms node {} is healthy, and the router has only {vips:?}; {}",
                self.now.as_millis(),
                index + 1,
                self.nodes.iter().map(Node::thoughts).collect::<Vec<_>>().join("; ")
            )),
            _ => Ok(()),
        }
    }

    fn connect(&mut self, index: usize) {
        let (node, port, now) = (&mut self.nodes[index], &mut self.ports[index], self.now);
        // What is not answered is asked again by the machine's own time-out.
        if node.syn.is_some_and(|at| at <= now) && node.link_up && port.accepts() {
            node.syn = None;
            port.accepted(now);
            node.connected(now);
        }
        // A process that hangs would be tried until the router gives up: as if it were not there.
        let reachable = node.link_up && node.process == Process::Runs;
        if node.is_called() && reachable && port.calls(now) {
            port.accepted(now);
            if !node.called(now) {
                port.refused();
            }
        }
    }

    fn route(&mut self, index: usize) {
        let (node, port, now) = (&mut self.nodes[index], &mut self.ports[index], self.now);
        let up = node.link_up;
        let mut packets: Vec<_> = node.packets.drain(..).filter(|_| up).map(bfd::Event::Received).collect();
        if port.bfd.as_ref().and_then(Machine::next_deadline).is_some_and(|deadline| deadline <= now) {
            packets.push(bfd::Event::Tick);
        }
        let (mut answers, mut lost) = (Vec::new(), false);
        packets.into_iter().for_each(|event| lost |= port.bfd(event, now, &mut answers));
        if let Some(connection) = &mut node.connection {
            if lost {
                port.end(connection, now);
            }
            self.outcome.announced += u32::from(port.turn(connection, up, now));
        }
        answers.into_iter().filter(|_| up).for_each(|packet| node.heard(packet, now));
    }

    /// What must hold, now and always.
    fn watch(&mut self, index: usize) -> Result<(), String> {
        let (node, port, now) = (&self.nodes[index], &self.ports[index], self.now);
        let (held, watch) = (port.held(), &mut self.watches[index]);
        let began = watch.dead.unwrap_or_else(|| (now, port.path_is_up()));
        watch.dead = (!node.serves()).then_some(began);
        let healthy = node.is_healthy() && node.probes_good == watch.probes_good;
        watch.healthy = healthy.then(|| watch.healthy.unwrap_or(now));
        watch.probes_good = node.probes_good;
        watch.alive = node.is_healthy().then(|| watch.alive.unwrap_or(now));
        let tell = |what: &str| {
            let Node { gateway, process, link_up, .. } = node;
            format!(
                "at {} ms node {}: {what}; gateway {gateway:?}, speaker {process:?} ({}), link up {link_up}, \
                 the router holds {held:?}",
                now.as_millis(),
                index + 1,
                node.thoughts()
            )
        };
        if let Some((since, path_was_up)) = watch.dead
            && !held.is_empty()
        {
            let bound = if self.detection == Detection::Bfd && path_was_up { BOUND_BFD } else { BOUND_HOLD };
            if now.since(since) > bound {
                return Err(tell("announced although its gateway does not serve"));
            }
        }
        if let Some(since) = watch.healthy
            && now.since(since) > CONVERGED
            && held.len() < if node.probes_good { VIPS } else { 1 }
        {
            return Err(tell("healthy for long, and a VIP is missing"));
        }
        Ok(())
    }
}

const VIPS: usize = 2;
const EXCHANGE: Duration = Duration::from_millis(200);
/// Nodes that give a VIP up in the same moment hear of it with the next exchange; and who was the only one that had it may
/// have died, which a hold time shows.
const REGAINED: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(5);
const PEACE: Time = Time::from_millis(90_000);
const END: Time = Time::from_millis(120_000);
/// A hang is seen after 300 ms; if the speaker is gone as well, BFD takes 150 ms. The rest is steps.
const BOUND_BFD: Duration = Duration::from_millis(500);
/// A hang, and then a hold time; a session that was just being made may get its routes in between.
const BOUND_HOLD: Duration = Duration::from_millis(3500);
/// The router forgets an old session after its hold time, and the speaker tries every two seconds and waits three.
const CONVERGED: Duration = Duration::from_secs(12);
