//! The other nodes: does one of them announce a VIP, and may this one drain it?
//!
//! A drain is a claim. It promises: of the nodes that can hear each other no two drain a VIP together. Who wants to drain
//! says so, and waits until every other node that has the VIP has agreed to this very claim: two exchanges, there and back.
//! A node agrees to one claim at a time and to none while it has its own; of two that want at once the lower name goes
//! first. What is not granted in time is refused, as is everything while a node cannot be heard. A claim ends with
//! its drain, or with the node's last word.

use super::order::Order;
use base_core::Time;
use healthcheck_core::fleet::{Claim, Fleet, MAX_ATTEMPT, Node, Row, ticket};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// What became of a drain that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has begun; these nodes agreed. Nobody: there are no others, or it was forced.
    Granted(Vec<String>),
    /// It has not, and nothing has changed.
    Refused(Refusal),
}

/// Why a drain is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another node drains the VIP.
    Holds(IpAddr, String),
    /// Another node was first.
    Wants(IpAddr, String),
    /// A node cannot be heard.
    Unheard(String),
    /// A node's gateway can be heard, and says nothing of its VIPs.
    Silent(String),
    /// A node did not answer in time.
    NoAnswer(String),
    /// This node wants to drain something else at the moment.
    Busy,
    /// The operator has said something else since, about some of its VIPs.
    Replaced,
    /// This node's gateway has not said who else there is.
    Unasked,
}

/// What is known of the others, and what this node claims.
#[derive(Debug)]
pub(super) struct Others {
    /// `None`: the gateway has not said yet whether there are any; without peers in it, there are none.
    fleet: Option<Fleet>,
    told: Time,
    /// Since when each node is heard.
    heard: BTreeMap<String, Time>,
    agrees: BTreeMap<IpAddr, Agreed>,
    wants: Option<Wanted>,
    attempt: u32,
}

/// Another node's claim.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Agreed {
    node: String,
    attempt: u32,
}

/// A drain that waits for the others.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// For who asked.
    pub(super) number: u64,
    /// Which VIPs.
    pub(super) vips: Vec<IpAddr>,
    /// What holds for them then.
    pub(super) order: Order,
    until: Time,
}

impl Others {
    pub(super) fn new(seed: u64) -> Self {
        let attempt = u32::try_from(seed & u64::from(MAX_ATTEMPT)).unwrap_or_default();
        Self {
            fleet: None,
            told: Time::ZERO,
            heard: BTreeMap::new(),
            agrees: BTreeMap::new(),
            wants: None,
            attempt,
        }
    }

    pub(super) fn save(&self) -> Option<Fleet> {
        self.fleet.clone()
    }

    pub(super) fn resume(&mut self, fleet: Option<Fleet>, now: Time) {
        if fleet.is_some() {
            self.told(fleet, now);
        }
    }

    /// There are no others, as the gateway has said.
    pub(super) fn are_none(&self) -> bool {
        self.fleet.as_ref().is_some_and(|fleet| fleet.peers.is_empty())
    }

    /// No other node that can be heard announces the VIP. Never so without others, or before they are known.
    pub(super) fn none_announces(&self, vip: IpAddr) -> bool {
        use healthcheck_core::fleet::Has;
        let announces =
            |node: &Node| node.heard && row(node, vip).is_some_and(|row| row.has == Has::Announced);
        self.peers().next().is_some() && !self.peers().any(announces)
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        let stale = self.peers().any(|node| node.heard).then(|| self.told + STALE);
        [stale, self.wants.as_ref().map(|wanted| wanted.until)].into_iter().flatten().min()
    }

    /// What this node claims of a VIP, with the claim's number and the ticket of the claim that it agrees to.
    pub(super) fn claim(&self, vip: IpAddr, drains: bool) -> (Claim, u32, u32) {
        let wants = self.wants.as_ref().is_some_and(|wanted| wanted.vips.contains(&vip));
        let claim = match (drains, wants) {
            (true, _) => Claim::Holds,
            (false, true) => Claim::Wants,
            (false, false) => Claim::Nothing,
        };
        let agrees = self.agrees.get(&vip).map_or(0, |agreed| ticket(&agreed.node, agreed.attempt));
        (claim, if claim == Claim::Nothing { 0 } else { self.attempt }, agrees)
    }

    /// The others have spoken; `None`: there are none.
    pub(super) fn told(&mut self, mut fleet: Option<Fleet>, now: Time) {
        for node in fleet.iter_mut().flat_map(|fleet| &mut fleet.peers) {
            node.vips.sort_unstable_by_key(|row| row.vip);
        }
        let heard = fleet.iter().flat_map(|fleet| &fleet.peers).filter(|node| node.heard);
        let heard = heard.map(|node| (node.name.clone(), self.heard.get(&node.name).copied().unwrap_or(now)));
        self.heard = heard.collect();
        (self.fleet, self.told) = (Some(fleet.unwrap_or_default()), now);
    }

    /// Who has not been heard of for too long is not heard.
    pub(super) fn pass(&mut self, now: Time) {
        if let Some(fleet) = self.fleet.as_mut().filter(|_| now.since(self.told) >= STALE) {
            fleet.peers.iter_mut().for_each(|node| node.heard = false);
            self.heard.clear();
        }
    }

    /// This node wants to drain; [`Others::granted`] says when it may.
    pub(super) fn want(
        &mut self,
        number: u64,
        vips: Vec<IpAddr>,
        order: Order,
        now: Time,
    ) -> Result<(), Refusal> {
        if self.wants.is_some() {
            return Err(Refusal::Busy);
        }
        if self.fleet.is_none() {
            return Err(Refusal::Unasked);
        }
        self.attempt = if self.attempt >= MAX_ATTEMPT { 1 } else { self.attempt + 1 };
        let wanted = Wanted { number, vips, order, until: now + CLAIM_WITHIN };
        self.all_agree(&wanted, now)?;
        for vip in &wanted.vips {
            if let Some(agreed) = self.agrees.get(vip) {
                return Err(Refusal::Wants(*vip, agreed.node.clone()));
            }
        }
        self.wants = Some(wanted);
        Ok(())
    }

    /// Wants no longer what has one of these VIPs in it; the number of who is to hear that.
    pub(super) fn give_up(&mut self, vips: &[IpAddr]) -> Option<u64> {
        let wanted = self.wants.take_if(|wanted| wanted.vips.iter().any(|vip| vips.contains(vip)))?;
        Some(wanted.number)
    }

    /// What became of what this node wants, once it is known.
    pub(super) fn granted(&mut self, now: Time) -> Option<(Wanted, Result<Vec<String>, Refusal>)> {
        let wanted = self.wants.as_ref()?;
        let outcome = match self.all_agree(wanted, now) {
            Err(refusal) => Err(refusal),
            Ok(None) => Ok(self.peers().map(|node| node.name.clone()).collect()),
            Ok(Some(waits)) if wanted.until <= now => Err(Refusal::NoAnswer(waits)),
            Ok(Some(_)) => return None,
        };
        Some((self.wants.take()?, outcome))
    }

    /// Agrees to what the others claim, and no longer to what they do not. `drains`: this node has begun with that VIP.
    pub(super) fn agree(&mut self, vips: impl Iterator<Item = IpAddr>, drains: impl Fn(IpAddr) -> bool) {
        for vip in vips {
            let own = drains(vip) || self.wants.as_ref().is_some_and(|wanted| wanted.vips.contains(&vip));
            let agreed = self.agrees.remove(&vip).filter(|_| !own);
            let stands = |agreed: &Agreed| self.claims(vip).any(|(_, other)| other == *agreed);
            let agreed = agreed.filter(stands).or_else(|| {
                let first = self.claims(vip).min_by_key(|(holds, agreed)| (!holds, agreed.node.clone()));
                first.filter(|_| !own).map(|(_, agreed)| agreed)
            });
            if let Some(agreed) = agreed {
                self.agrees.insert(vip, agreed);
            }
        }
    }

    /// `Ok(None)`: all of them do; `Ok(Some)`: not yet this one.
    fn all_agree(&self, wanted: &Wanted, now: Time) -> Result<Option<String>, Refusal> {
        let Some(fleet) = &self.fleet else { return Ok(None) };
        let own = ticket(&fleet.node, self.attempt);
        let mut waits = None;
        for node in &fleet.peers {
            let name = || node.name.clone();
            if !node.heard {
                return Err(Refusal::Unheard(name()));
            }
            if node.vips.is_empty() {
                return Err(Refusal::Silent(name()));
            }
            for vip in &wanted.vips {
                let Some(row) = row(node, *vip) else {
                    // Who does not have the VIP cannot drain it; but of who has just come not everything may be there yet.
                    let settled =
                        self.heard.get(&node.name).is_some_and(|since| now.since(*since) >= SETTLES);
                    if !settled {
                        waits = Some(name());
                    }
                    continue;
                };
                match row.claim {
                    Claim::Holds => return Err(Refusal::Holds(*vip, name())),
                    Claim::Wants if node.name < fleet.node => return Err(Refusal::Wants(*vip, name())),
                    Claim::Wants | Claim::Nothing => {}
                }
                if row.agrees != own {
                    waits = Some(name());
                }
            }
        }
        Ok(waits)
    }

    /// The claims of others to a VIP, with whether each is granted.
    fn claims(&self, vip: IpAddr) -> impl Iterator<Item = (bool, Agreed)> {
        let claim = move |node: &Node| {
            let row = row(node, vip).filter(|row| row.claim != Claim::Nothing)?;
            Some((row.claim == Claim::Holds, Agreed { node: node.name.clone(), attempt: row.attempt }))
        };
        self.peers().filter(|node| node.heard).filter_map(claim)
    }

    fn peers(&self) -> impl Iterator<Item = &Node> {
        self.fleet.iter().flat_map(|fleet| &fleet.peers)
    }
}

fn row(node: &Node, vip: IpAddr) -> Option<&Row> {
    let place = node.vips.binary_search_by_key(&vip, |row| row.vip).ok()?;
    node.vips.get(place)
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds(vip, node) => write!(f, "{node} drains {vip}"),
            Self::Wants(vip, node) => write!(f, "{node} is about to drain {vip}"),
            Self::Unheard(node) => {
                write!(f, "{node} cannot be heard, and may drain the same; --force does it anyway")
            }
            Self::Silent(node) => {
                write!(f, "{node} says nothing of its VIPs, and may drain the same; --force does it anyway")
            }
            Self::NoAnswer(node) => write!(f, "{node} has not agreed in time; --force does it anyway"),
            Self::Busy => f.write_str("another drain waits for the other nodes"),
            Self::Replaced => {
                f.write_str("another order for some of the same VIPs came before the others agreed")
            }
            Self::Unasked => {
                f.write_str("this node's gateway has not said who else there is; --force does it anyway")
            }
        }
    }
}

/// From one exchange with the gateway to the next, if nothing changes here; a drain waits for two.
pub const EXCHANGE: Duration = Duration::from_millis(200);
/// The longest pause, with many VIPs.
pub const LONGEST: Duration = Duration::from_millis(800);
/// How long an exchange may take.
pub const PATIENCE: Duration = Duration::from_millis(500);
/// A word of the gateway about the others that is older counts no more: the next is late by more than it may be.
const STALE: Duration = LONGEST.saturating_add(PATIENCE).saturating_add(EXCHANGE);
/// What a node says of its VIPs is there after this, once it is heard: 4096 rows behind all else that peers teach.
const SETTLES: Duration = Duration::from_secs(1);
/// How long the others may take to agree: several times what two exchanges take.
const CLAIM_WITHIN: Duration = Duration::from_secs(3);
