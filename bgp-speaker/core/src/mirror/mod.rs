//! What a looking glass shows of the own VIPs: whether what was withdrawn is gone there, too.
//!
//! A router sends no path back to where it came from, so what confirms a withdraw is another node's path, or a neighbor
//! that shows what it has: a looking glass, a route reflector. It promises: of each withdraw that was seen to be needed there,
//! the time until it was true is told once; a route of this node that stays longer than it may is told once as stuck, and
//! once when it is gone; nothing is accepted, and nothing but the own VIPs is looked at, whatever else is sent. That the own AS is in such a path
//! is no reason to ignore it: it is what is looked for.

mod shown;
pub mod traffic;

pub use shown::{Own, Path, read};

use base_core::{Machine, Time};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A deadline has passed.
    Tick,
    /// The looking glass shows a path to a VIP, or none any more.
    Shown {
        /// Which.
        vip: IpAddr,
        /// What it shows.
        path: Option<Path>,
    },
    /// The gate decided.
    Stands {
        /// Which VIP.
        vip: IpAddr,
        /// Is it announced, in whatever way?
        announced: bool,
        /// When that was decided.
        since: Time,
    },
    /// The session with the looking glass stands: what it shows comes now.
    Up,
    /// It is gone, and with it what was shown.
    Lost,
}

/// What the shell shall tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A withdraw is true there.
    Gone {
        /// Which VIP.
        vip: IpAddr,
        /// How long it took.
        after: Duration,
        /// The path that took its place, by its next hop; `None`: when the route would have been stuck, none was shown.
        by: Option<IpAddr>,
    },
    /// The route of this node is still there, although it was withdrawn, or is not any more.
    Stuck {
        /// Which VIP.
        vip: IpAddr,
        /// Is it?
        stuck: bool,
    },
}

/// The machine: one for each looking glass.
#[derive(Debug)]
pub struct Mirror {
    stuck_after: Duration,
    /// The session stands: what is not shown is not there, or on its way.
    up: bool,
    vips: BTreeMap<IpAddr, Vip>,
}

/// How long a withdraw took to be true, and what took over.
type Gone = (Duration, Option<IpAddr>);

#[derive(Clone, Copy, Debug, Default)]
struct Vip {
    shown: Option<Path>,
    /// It was withdrawn then, and that is not known to be true.
    waits: Option<Time>,
    /// Since then nothing is shown of what is waited for.
    left: Option<Time>,
    announced: bool,
    stuck: bool,
}

impl Mirror {
    /// For these VIPs; a withdrawn route that is there for `stuck_after` is stuck.
    pub fn new(vips: impl Iterator<Item = IpAddr>, stuck_after: Duration) -> Self {
        Self { stuck_after, up: false, vips: vips.map(|vip| (vip, Vip::default())).collect() }
    }

    /// What is shown of each VIP that is shown, and whether it is stuck.
    pub fn shown(&self) -> impl Iterator<Item = (IpAddr, Path, bool)> {
        self.vips.iter().filter_map(|(address, vip)| Some((*address, vip.shown?, vip.stuck)))
    }

    /// Is it one of those that are looked for?
    pub fn knows(&self, vip: IpAddr) -> bool {
        self.vips.contains_key(&vip)
    }
}

impl Vip {
    fn shows_own(&self) -> bool {
        self.shown.is_some_and(|path| path.own)
    }

    fn stands(&mut self, announced: bool, since: Time, up: bool) {
        let before = std::mem::replace(&mut self.announced, announced);
        match (before, announced) {
            // What is not shown as ours may still be on its way; another path means that it is a second choice.
            (true, false) if self.shown.map_or(up, |path| path.own) => self.waits = Some(since),
            (_, true) => (self.waits, self.left) = (None, None),
            _ => {}
        }
    }

    /// Another path is the truth of a withdraw, and none is not yet: it may be that this node's path by this very session has
    /// become the best one, which is not sent back.
    fn is_shown(&mut self, path: Option<Path>, now: Time) -> Option<Gone> {
        self.shown = path;
        let Some(path) = path else {
            self.left = self.left.or_else(|| self.waits.map(|_| now));
            return None;
        };
        self.left = None;
        if path.own {
            if !self.announced {
                self.waits.get_or_insert(now);
            }
            return None;
        }
        let since = self.waits.take()?;
        Some((now.since(since), Some(path.next_hop)))
    }

    /// What has been waited for long enough is stuck, if it is shown, and gone, if it was taken back; if nothing was said of it, it
    /// is not waited for any longer. `Some`: it is stuck now, or is not any more.
    fn judge(&mut self, stuck_after: Duration, now: Time) -> (Option<Gone>, Option<bool>) {
        let late = self.waits.filter(|since| *since + stuck_after <= now);
        let stuck = late.is_some() && self.shows_own();
        let mut gone = None;
        if let Some(since) = late.filter(|_| !stuck) {
            gone = self.left.take().map(|left| (left.since(since), None));
            self.waits = None;
        }
        (gone, (std::mem::replace(&mut self.stuck, stuck) != stuck).then_some(stuck))
    }
}

impl Machine for Mirror {
    type Event = Event;
    type Action = Action;

    fn tick() -> Event {
        Event::Tick
    }

    fn on(&mut self, event: Event, now: Time, actions: &mut Vec<Action>) {
        let (stuck_after, up) = (self.stuck_after, self.up);
        let judge = |address: IpAddr, vip: &mut Vip, actions: &mut Vec<Action>| {
            let (gone, stuck) = vip.judge(stuck_after, now);
            actions.extend(gone.map(|(after, by)| Action::Gone { vip: address, after, by }));
            actions.extend(stuck.map(|stuck| Action::Stuck { vip: address, stuck }));
        };
        match event {
            Event::Tick => self.vips.iter_mut().for_each(|(address, vip)| judge(*address, vip, actions)),
            // Of a session that is gone already.
            Event::Shown { .. } if !up => {}
            Event::Shown { vip: address, path } => {
                let Some(vip) = self.vips.get_mut(&address) else { return };
                if let Some((after, by)) = vip.is_shown(path, now) {
                    actions.push(Action::Gone { vip: address, after, by });
                }
                judge(address, vip, actions);
            }
            Event::Stands { vip: address, announced, since } => {
                let Some(vip) = self.vips.get_mut(&address) else { return };
                vip.stands(announced, since, up);
                judge(address, vip, actions);
            }
            Event::Up => self.up = true,
            Event::Lost => {
                self.up = false;
                for (address, vip) in &mut self.vips {
                    (vip.shown, vip.waits, vip.left) = (None, None, None);
                    judge(*address, vip, actions);
                }
            }
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        let waits = self.vips.values().filter(|vip| !vip.stuck).filter_map(|vip| vip.waits);
        waits.min().map(|since| since + self.stuck_after)
    }

    fn check_invariants(&self) {
        for (address, vip) in &self.vips {
            assert!(
                !vip.announced || vip.waits.is_none(),
                "{address} is announced, and its end is waited for"
            );
            assert!(!vip.stuck || vip.shows_own(), "{address} is stuck, and not there");
            let left = vip.left.is_some();
            assert!(
                !left || vip.waits.is_some() && vip.shown.is_none(),
                "{address} is there, or not waited for"
            );
            assert!(self.up || vip.shown.is_none() && vip.waits.is_none(), "{address} is shown by nobody");
        }
    }
}

#[cfg(test)]
mod tests;
