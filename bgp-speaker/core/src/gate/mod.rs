//! May this node announce each VIP? From the gateway's health stream and from real requests.
//!
//! The gate asks for one thing only: can the gateway of this node serve. What stands behind the gateway
//! is not asked, because all nodes share it, and a VIP that leaves every node helps nobody. It promises: a
//! stream that ends without a word withdraws at once; one that says nothing for `dead_after` withdraws;
//! `draining` makes worse first and withdraws later; `moved` never withdraws while the successor shows up; what was
//! bad and is good again comes back as the last choice first, if so configured; what no other node has is kept as the last
//! choice while this gateway serves; no two nodes that hear each other drain one VIP together; the first verdict waits until every probe has been answered once.

mod feed;
pub mod order;
mod others;
mod probes;
mod reason;
mod saved;
mod vip;

pub use feed::Reading;
pub use others::{EXCHANGE, LONGEST, Outcome, PATIENCE, Refusal};
pub use probes::{Fall, Pace, Subject};
pub use reason::{Reason, Standing};
pub use saved::Saved;

use crate::config::{Config, OnDown};
use crate::soak;
use crate::wire::prefix::Family;
use base_core::{Machine, Time};
use feed::Feed;
use healthcheck_core::fleet::{Fleet, Has, Row};
use order::{Command, Kind, Order};
use others::Others;
use probes::Probes;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;
use vip::Vip;

/// What happens to the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A deadline has passed.
    Tick,
    /// Begin.
    Start,
    /// A stream was opened: its request is answered with 200.
    Opened {
        /// Which.
        stream: u64,
    },
    /// A line came.
    Line {
        /// From which stream.
        stream: u64,
        /// What it says.
        reading: Reading,
    },
    /// A stream ended, or could not be opened.
    Closed {
        /// Which.
        stream: u64,
    },
    /// A request through a VIP, or a gate of the node, was answered, or was not.
    Probed {
        /// What was asked about.
        subject: Subject,
        /// Was it served? `None`: it could not be asked, which says nothing.
        served: Option<bool>,
    },
    /// An operator says something.
    Operator(Command),
    /// The disable file is there, or is not.
    Disabled(bool),
    /// What the other nodes say; `None`: there are none.
    Fleet(Option<Fleet>),
    /// By [`Family::index`]: a session stands with at least one neighbor that takes such VIPs.
    Reached([bool; 2]),
    /// The speaker is to end.
    Stopping,
    /// A VIP is on the loopback interface, or is not.
    Address {
        /// Which VIP.
        vip: IpAddr,
        /// Is it there?
        present: bool,
    },
}

/// What the shell shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a health stream under this number.
    Open {
        /// Its number.
        stream: u64,
    },
    /// Drop a stream; nothing more is heard of it.
    Close {
        /// Its number.
        stream: u64,
    },
    /// Ask, answer with `Probed` within [`Pace::timeout`].
    Probe {
        /// About what.
        subject: Subject,
    },
    /// Tell: this order holds for the VIP from now on, or none.
    Ordered {
        /// Which VIP.
        vip: IpAddr,
        /// What holds.
        order: Option<Order>,
    },
    /// Tell who asked for a drain what became of it.
    Drain {
        /// The number that it was asked under.
        number: u64,
        /// What became of it.
        outcome: Outcome,
    },
    /// From now on the VIP stands like this.
    Decide {
        /// Which VIP.
        vip: IpAddr,
        /// How it stands.
        standing: Standing,
        /// Why.
        reason: Reason,
    },
}

/// What the gate is set up with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Silence of the stream that counts as a hang.
    pub dead_after: Duration,
    /// How long a drained VIP is shown as the last choice.
    pub worsen_for: Duration,
    /// How long before that a gateway that drains may let its clients go.
    pub settle: Duration,
    /// How long a VIP is kept as the last choice that no other node has; `None`: not at all.
    pub keep_last: Option<Duration>,
    /// How a VIP comes back that was bad.
    pub soak: soak::Settings,
    /// Every VIP.
    pub vips: BTreeSet<IpAddr>,
    /// Those that requests are sent through.
    pub probed: BTreeSet<IpAddr>,
    /// Those that must be on the loopback interface.
    pub loopback: BTreeSet<IpAddr>,
    /// Those that a failure makes worse and does not withdraw.
    pub worsened: BTreeSet<IpAddr>,
    /// How many gates the node has.
    pub gates: usize,
    /// How often is asked, and how many failures are too many.
    pub pace: Pace,
    /// Makes this node's pauses differ from those of others.
    pub seed: u64,
}

/// The machine.
#[derive(Debug)]
pub struct Gate {
    settings: Settings,
    feed: Feed,
    probes: Probes,
    /// VIPs that shall be on the loopback interface and are not.
    missing: BTreeSet<IpAddr>,
    disabled: bool,
    stopping: bool,
    others: Others,
    /// Families that at least one neighbor takes.
    reached: [bool; 2],
    /// What stands was decided by another process, from which this one took over.
    resumed: bool,
    vips: BTreeMap<IpAddr, Vip>,
}

impl Settings {
    /// As `config` says.
    pub fn new(config: &Config, seed: u64) -> Self {
        let select = |choose: fn(&crate::config::Vip) -> bool| {
            config.vips.iter().filter(|vip| choose(vip)).map(|vip| vip.address).collect()
        };
        Self {
            dead_after: config.health.dead_after,
            worsen_for: config.drain.worsen_for,
            settle: config.drain.settle,
            keep_last: config.keep_last,
            soak: config.back.gate(),
            vips: select(|_| true),
            probed: select(|vip| vip.probe.is_some()),
            loopback: select(|vip| vip.loopback),
            worsened: select(|vip| vip.on_down == OnDown::Worsen),
            gates: config.gates.len(),
            pace: config.probe,
            seed,
        }
    }
}

impl Gate {
    /// A gate that waits for `Start`; nothing is announced before the gateway says `ready`.
    pub fn new(settings: Settings) -> Self {
        Self {
            feed: Feed::new(settings.dead_after, settings.seed),
            probes: Probes::new(&settings.probed, settings.gates, settings.pace),
            missing: settings.loopback.clone(),
            disabled: false,
            stopping: false,
            others: Others::new(settings.seed),
            reached: [false; 2],
            resumed: false,
            vips: settings.vips.iter().map(|vip| (*vip, Vip::new(settings.soak))).collect(),
            settings,
        }
    }

    fn operate(&mut self, command: Command, now: Time, actions: &mut Vec<Action>) {
        match command {
            Command::Order { kind, vips, lasts, reason, forced, number } => {
                let order = Order { kind, until: now + lasts, reason, forced, stood: Standing::Withdrawn };
                let asks = kind == Kind::Drain && !forced && !self.others.are_none();
                if !asks {
                    self.obey(vips, Some(&order), actions);
                    actions.push(Action::Drain { number, outcome: Outcome::Granted(Vec::new()) });
                } else if let Err(refusal) = self.others.want(number, vips, order, now) {
                    actions.push(Action::Drain { number, outcome: Outcome::Refused(refusal) });
                }
            }
            Command::Release { vips } => self.obey(vips, None, actions),
        }
    }

    /// A drain that waited for the others is granted or refused.
    fn settle_drain(&mut self, now: Time, actions: &mut Vec<Action>) {
        let Some((wanted, outcome)) = self.others.granted(now) else { return };
        let outcome = match outcome {
            Ok(nodes) => {
                self.obey(wanted.vips, Some(&wanted.order), actions);
                Outcome::Granted(nodes)
            }
            Err(refusal) => Outcome::Refused(refusal),
        };
        actions.push(Action::Drain { number: wanted.number, outcome });
    }

    /// The last word counts: a drain of one of these VIPs that still waits for the others waits no more.
    fn obey(&mut self, vips: Vec<IpAddr>, order: Option<&Order>, actions: &mut Vec<Action>) {
        if let Some(number) = self.others.give_up(&vips) {
            actions.push(Action::Drain { number, outcome: Outcome::Refused(Refusal::Replaced) });
        }
        for address in vips {
            let Some(vip) = self.vips.get_mut(&address) else { continue };
            vip.obey(order.cloned());
            actions.push(Action::Ordered { vip: address, order: vip.order().cloned() });
        }
    }

    /// What the other nodes shall know; it changes only with an action, or with a word of theirs, of an operator or of a neighbor. What
    /// no neighbor hears of is not announced, whatever was decided.
    pub fn rows(&self) -> Vec<Row> {
        let row = |(address, vip): (&IpAddr, &Vip)| {
            let has = match vip.standing() {
                _ if !self.reached[Family::of(*address).index()] => Has::Withdrawn,
                Standing::Announced | Standing::Backup => Has::Announced,
                Standing::Worsened => Has::Last,
                Standing::Withdrawn => Has::Withdrawn,
            };
            let (claim, attempt, agrees) = self.others.claim(*address, vip.leaves());
            Row { vip: *address, has, claim, attempt, agrees }
        };
        self.vips.iter().map(row).collect()
    }

    fn decide(&mut self, now: Time, actions: &mut Vec<Action>) {
        for (address, vip) in &mut self.vips {
            if vip.expire(now) {
                actions.push(Action::Ordered { vip: *address, order: None });
            }
        }
        let node = self.feed.reason();
        if node == Reason::Starting {
            return;
        }
        let leaving = match node {
            _ if self.stopping => Some(Reason::Stopping),
            _ if self.disabled => Some(Reason::Disabled),
            Reason::Draining => Some(Reason::Draining),
            _ => None,
        };
        // The first verdict lets every router drop what it has kept for us: it has to be the whole one.
        let first = !self.resumed && self.vips.values().any(|vip| !vip.is_decided());
        if first && node == Reason::Ready && leaving.is_none() && self.probes.wait() {
            return;
        }
        let pace = vip::Pace { settle: self.settings.settle, worsen_for: self.settings.worsen_for };
        for (address, vip) in &mut self.vips {
            let mut known = match node {
                Reason::Ready | Reason::Draining if self.missing.contains(address) => {
                    (Standing::Withdrawn, Reason::NoAddress)
                }
                Reason::Ready | Reason::Draining if !self.probes.open() => {
                    (Standing::Withdrawn, Reason::GateShut)
                }
                Reason::Ready | Reason::Draining if !self.probes.good(*address) => {
                    (Standing::Withdrawn, Reason::ProbeFailed)
                }
                Reason::Ready | Reason::Draining => (Standing::Announced, Reason::Ready),
                reason if self.missing.contains(address) && !reason.is_death() => {
                    (Standing::Withdrawn, Reason::NoAddress)
                }
                reason => (Standing::Withdrawn, reason),
            };
            // What lives and serves badly may still be better than nothing; what is dead is not.
            let used = vip.standing() != Standing::Withdrawn;
            if used && !known.1.is_death() && known.1.is_failure() && self.settings.worsened.contains(address)
            {
                known.0 = Standing::Worsened;
            }
            // Asked for what goes away alone: it looks at every other node.
            let last = || self.settings.keep_last.filter(|_| self.others.none_announces(*address));
            if let Some((standing, reason)) = vip.judge(known, leaving, last, pace, now) {
                actions.push(Action::Decide { vip: *address, standing, reason });
            }
        }
    }
}

impl Machine for Gate {
    type Event = Event;
    type Action = Action;

    fn tick() -> Event {
        Event::Tick
    }

    fn on(&mut self, event: Event, now: Time, actions: &mut Vec<Action>) {
        let before = self.feed.reason();
        let concerns_others = !matches!(event, Event::Tick | Event::Line { .. } | Event::Probed { .. });
        match event {
            Event::Tick => self.feed.tick(now, actions),
            Event::Start => self.feed.start(now, actions),
            Event::Opened { stream } => self.feed.opened(stream, now),
            Event::Line { stream, reading } => self.feed.line(stream, reading, now, actions),
            Event::Closed { stream } => self.feed.closed(stream, now),
            Event::Probed { subject, served } => self.probes.probed(subject, served),
            Event::Operator(command) => self.operate(command, now, actions),
            Event::Disabled(disabled) => self.disabled = disabled,
            Event::Fleet(fleet) => self.others.told(fleet, now),
            Event::Reached(families) => self.reached = families,
            Event::Stopping => self.stopping = true,
            Event::Address { vip, present: true } => drop(self.missing.remove(&vip)),
            Event::Address { vip, present: false } if self.settings.loopback.contains(&vip) => {
                self.missing.insert(vip);
            }
            Event::Address { .. } => {}
        }
        if self.feed.reason() == Reason::Ready && before != Reason::Ready {
            self.probes.hurry(now);
        }
        self.others.pass(now);
        self.settle_drain(now, actions);
        self.decide(now, actions);
        if concerns_others || !actions.is_empty() {
            let vips = &self.vips;
            self.others.agree(vips.keys().copied(), |vip| vips.get(&vip).is_some_and(Vip::leaves));
        }
        self.probes.run(now, actions);
    }

    fn next_deadline(&self) -> Option<Time> {
        let vips = self.vips.values().filter_map(Vip::next_deadline).min();
        let others = self.others.next_deadline();
        [self.feed.next_deadline(), self.probes.next_deadline(), vips, others].into_iter().flatten().min()
    }

    fn check_invariants(&self) {
        self.feed.check_invariants();
        for (address, vip) in self.vips.iter().filter(|(_, vip)| vip.standing() != Standing::Withdrawn) {
            let alive = match self.feed.reason() {
                Reason::Starting => self.resumed,
                Reason::Ready | Reason::Draining => true,
                Reason::NotReady => {
                    let ordered = vip.order().is_some_and(|order| order.kind != Kind::Drain);
                    self.settings.worsened.contains(address) || ordered
                }
                _ => false,
            };
            assert!(alive, "{address} is announced by a gateway that cannot serve");
            let unknown = self.resumed && self.feed.reason() == Reason::Starting;
            assert!(unknown || !self.missing.contains(address), "{address} is not there");
        }
    }
}

#[cfg(test)]
mod tests;
