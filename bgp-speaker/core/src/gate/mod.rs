//! May this node announce each VIP? From the gateway's health stream and from real requests.
//!
//! The gate asks for one thing only: can the gateway of this node serve. What stands behind the gateway
//! is not asked, because all nodes share it, and a VIP that leaves every node helps nobody. It promises: a
//! stream that ends without a word withdraws at once; one that says nothing for `dead_after` withdraws;
//! `draining` makes worse first and withdraws later; `moved` never withdraws while the successor shows up; what was
//! bad and is good again comes back as the last choice first, if so configured.

mod feed;
mod probes;
mod vip;

pub use feed::Reading;
pub use probes::{Fall, PROBE_TIMEOUT};

use crate::config::{Config, OnDown};
use crate::soak;
use base_core::{Machine, Time};
use feed::Feed;
use probes::Probes;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;
use vip::{Verdict, Vip};

/// How a VIP is shown to the neighbors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// As configured.
    Announced,
    /// As the last choice, because it is back and not trusted yet.
    Backup,
    /// As the last choice, because it goes away or is not well.
    Worsened,
    /// Not at all.
    Withdrawn,
}

/// Why a VIP stands as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The gateway serves.
    Ready,
    /// Nothing is known yet.
    Starting,
    /// The gateway says that it cannot serve.
    NotReady,
    /// The gateway is drained.
    Draining,
    /// The health stream ended without a word: the process is gone.
    Closed,
    /// The health stream says nothing: the process hangs.
    Silent,
    /// The health stream cannot be opened.
    Unreachable,
    /// A successor was promised and did not show up.
    MoveFailed,
    /// Requests through the VIP fail.
    ProbeFailed,
    /// The VIP could not be put on the loopback interface.
    NoAddress,
    /// It is back, and waits for its soak to pass.
    Soak,
    /// It comes and goes, and waits longer.
    HoldDown,
}

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
    /// A request through a VIP was answered, or was not.
    Probed {
        /// Which VIP.
        vip: IpAddr,
        /// Was it served? `None`: it could not be asked, which says nothing.
        served: Option<bool>,
    },
    /// A VIP is on the loopback interface, or is not.
    Address {
        /// Which VIP.
        vip: IpAddr,
        /// Is it there?
        present: bool,
    },
}

/// What the shell shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Send a request through a VIP, answer with `Probed` within [`PROBE_TIMEOUT`].
    Probe {
        /// Which VIP.
        vip: IpAddr,
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
    /// How many failed requests are too many.
    pub fall: Fall,
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
    /// When a drain stops being only worse.
    drain_until: Option<Time>,
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
            soak: config.back.gate(),
            vips: select(|_| true),
            probed: select(|vip| vip.probe.is_some()),
            loopback: select(|vip| vip.loopback),
            worsened: select(|vip| vip.on_down == OnDown::Worsen),
            fall: config.probe,
            seed,
        }
    }
}

impl Gate {
    /// A gate that waits for `Start`; nothing is announced before the gateway says `ready`.
    pub fn new(settings: Settings) -> Self {
        Self {
            feed: Feed::new(settings.dead_after, settings.seed),
            probes: Probes::new(&settings.probed, settings.fall),
            missing: settings.loopback.clone(),
            drain_until: None,
            vips: settings.vips.iter().map(|vip| (*vip, Vip::new(settings.soak))).collect(),
            settings,
        }
    }

    /// What holds for every VIP.
    fn node(&self, now: Time) -> Verdict {
        match self.feed.reason() {
            Reason::Ready => (Standing::Announced, Reason::Ready),
            Reason::Draining if self.drain_until.is_some_and(|until| now < until) => {
                (Standing::Worsened, Reason::Draining)
            }
            reason => (Standing::Withdrawn, reason),
        }
    }

    fn decide(&mut self, now: Time, actions: &mut Vec<Action>) {
        match (self.feed.reason(), self.drain_until) {
            (Reason::Draining, None) => {
                // What nobody uses yet has nothing to be moved gently.
                let used = self.vips.values().any(|vip| vip.standing() != Standing::Withdrawn);
                self.drain_until = Some(if used { now + self.settings.worsen_for } else { now });
            }
            (Reason::Draining, Some(_)) => {}
            _ => self.drain_until = None,
        }
        if self.feed.reason() == Reason::Starting {
            return;
        }
        let (standing, reason) = self.node(now);
        for (address, vip) in &mut self.vips {
            let mut verdict = (standing, reason);
            if standing != Standing::Withdrawn {
                if self.missing.contains(address) {
                    verdict = (Standing::Withdrawn, Reason::NoAddress);
                } else if !self.probes.good(*address) {
                    verdict = (Standing::Withdrawn, Reason::ProbeFailed);
                }
            }
            // What lives and serves badly may still be better than nothing; what is dead is not.
            let lives = matches!(verdict.1, Reason::NotReady | Reason::ProbeFailed);
            if lives && vip.standing() != Standing::Withdrawn && self.settings.worsened.contains(address) {
                verdict.0 = Standing::Worsened;
            }
            if let Some((standing, reason)) = vip.judge(verdict, now) {
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
        match event {
            Event::Tick => self.feed.tick(now, actions),
            Event::Start => self.feed.start(now, actions),
            Event::Opened { stream } => self.feed.opened(stream, now),
            Event::Line { stream, reading } => self.feed.line(stream, reading, now, actions),
            Event::Closed { stream } => self.feed.closed(stream, now),
            Event::Probed { vip, served } => self.probes.probed(vip, served),
            Event::Address { vip, present: true } => drop(self.missing.remove(&vip)),
            Event::Address { vip, present: false } if self.settings.loopback.contains(&vip) => {
                self.missing.insert(vip);
            }
            Event::Address { .. } => {}
        }
        if self.feed.reason() == Reason::Ready && before != Reason::Ready {
            self.probes.hurry(now);
        }
        self.decide(now, actions);
        self.probes.run(now, actions);
    }

    fn next_deadline(&self) -> Option<Time> {
        let drain =
            self.drain_until.filter(|_| self.vips.values().any(|vip| vip.standing() == Standing::Worsened));
        let soak = self.vips.values().filter_map(Vip::next_deadline).min();
        [self.feed.next_deadline(), self.probes.next_deadline(), drain, soak].into_iter().flatten().min()
    }

    fn check_invariants(&self) {
        self.feed.check_invariants();
        for (vip, standing) in self.vips.iter().map(|(address, vip)| (address, vip.standing())) {
            let serves = match self.feed.reason() {
                Reason::Ready | Reason::Draining => true,
                Reason::NotReady => self.settings.worsened.contains(vip),
                _ => false,
            };
            assert!(
                standing == Standing::Withdrawn || serves,
                "{vip} is announced by a gateway that cannot serve"
            );
            assert!(standing == Standing::Withdrawn || !self.missing.contains(vip), "{vip} is not there");
        }
    }
}

impl Standing {
    /// One word for logs, metrics and the status.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::Backup => "backup",
            Self::Worsened => "worsened",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl Reason {
    /// One word for logs, metrics and the status.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::NotReady => "not_ready",
            Self::Draining => "draining",
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::Unreachable => "unreachable",
            Self::MoveFailed => "move_failed",
            Self::ProbeFailed => "probe_failed",
            Self::NoAddress => "no_address",
            Self::Soak => "soak",
            Self::HoldDown => "hold_down",
        }
    }
}

#[cfg(test)]
mod tests;
