//! One neighbor: its session, and what it holds of ours. The machine that a neighbor's task drives.
//!
//! It promises that a neighbor which does not read gets no new UPDATE behind the bytes it has not taken:
//! when it reads again, it gets the difference to the latest wish, at most once for each VIP. After a session
//! that was lost, all VIPs are the last choice first, and stand as the gate says only after a soak.

use crate::bfd;
use crate::config::{Neighbor as NeighborConfig, Vip};
use crate::fsm::{self, Change, Received, Session, Settings, State, Way, Why};
use crate::gate::{Reason, Standing};
use crate::policy::{self, Terms};
use crate::rib_out::{self, Agreed, RibOut, Routes};
use crate::soak::{self, Soak};
use crate::text_api::Injected;
use crate::wire::attribute::PathAttributes;
use crate::wire::prefix::Family;
use crate::wire::{RouteRefresh, notification};
use base_core::{Machine, Time};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// How each VIP stands, as the gate decided; by address.
pub type Standings = BTreeMap<IpAddr, Decision>;

/// How one VIP stands, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Decision {
    /// Announced, worsened or withdrawn.
    pub standing: Standing,
    /// Why.
    pub reason: Reason,
    /// When what caused it was seen.
    pub since: Time,
}

/// What happens to a neighbor.
#[derive(Clone, Debug)]
pub enum Event {
    /// Something happened to the session.
    Session(fsm::Event),
    /// A connection stands, ours or the neighbor's, and this is our address in it.
    Connected {
        /// Who opened it.
        way: Way,
        /// Our address.
        local: IpAddr,
    },
    /// The gate decided.
    Decided(Arc<Standings>),
    /// What the neighbor shall hold besides, of the text API.
    Injected(Arc<Injected>),
    /// BFD's state changed.
    Bfd(bfd::Change),
    /// What the neighbor has sent so far is not known here: it is asked for all of it again (RFC 2918), if it knows how.
    AskAgain,
}

/// What another process goes on with.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Saved {
    session: fsm::Saved,
    local: IpAddr,
    rib_out: rib_out::Saved,
    told: Vec<(IpAddr, Standing)>,
    soak: soak::Saved,
}

/// What the shell shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a connection.
    Connect,
    /// Keep the connection that the neighbor has just opened.
    Accept,
    /// Close the connection that the neighbor has just opened, with this message.
    Refuse(Vec<u8>),
    /// Write these bytes.
    Send(Way, Vec<u8>),
    /// Close the connection; what was written before shall still arrive.
    Close(Way),
    /// Tell: the session changed.
    Changed(Change),
    /// Tell, once all bytes so far are written: the neighbor's route for this VIP changed.
    Told {
        /// The VIP.
        vip: IpAddr,
        /// What the neighbor was told.
        decision: Decision,
    },
}

/// The machine.
#[derive(Debug)]
pub struct Neighbor {
    config: NeighborConfig,
    vips: Arc<[Vip]>,
    asn: u32,
    session: Session,
    rib_out: RibOut,
    /// Our address in the connection of each way.
    local: [Option<IpAddr>; 2],
    /// Our address in a connection that has just come.
    arriving: Option<IpAddr>,
    standings: Option<Arc<Standings>>,
    injected: Arc<Injected>,
    /// What the neighbor was last told about each VIP.
    told: BTreeMap<IpAddr, Standing>,
    /// Something has changed since the neighbor was last brought up to date.
    due: bool,
    /// The connection that takes no bytes for now.
    blocked: Option<Way>,
    soak: Soak,
    /// When a soak last ended.
    soaked: Time,
}

impl Neighbor {
    /// A neighbor that waits for `Start`.
    pub fn new(config: NeighborConfig, vips: Arc<[Vip]>, settings: Settings, soak: soak::Settings) -> Self {
        let asn = settings.local.asn;
        Self {
            config,
            vips,
            asn,
            session: Session::new(settings),
            rib_out: RibOut::new(),
            local: [None; 2],
            arriving: None,
            standings: None,
            injected: Arc::default(),
            told: BTreeMap::new(),
            due: true,
            blocked: None,
            soak: Soak::new(soak),
            soaked: Time::ZERO,
        }
    }

    /// What another process goes on with; `None` if no session stands.
    pub fn save(&self) -> Option<Saved> {
        Some(Saved {
            session: self.session.save()?,
            local: self.local[self.session.way().index()]?,
            rib_out: self.rib_out.save(),
            told: self.told.iter().map(|(vip, standing)| (*vip, *standing)).collect(),
            soak: self.soak.save(),
        })
    }

    /// Goes on with what another process saved; `self` is new.
    #[must_use]
    pub fn resume(mut self, saved: Saved, settings: Settings, soak: soak::Settings) -> Self {
        let negotiated = saved.session.negotiated();
        let agreed = Agreed { families: negotiated.families, four_octet: negotiated.four_octet };
        self.local[saved.session.way().index()] = Some(saved.local);
        self.session = Session::resume(settings, saved.session);
        self.rib_out = RibOut::resume(agreed, saved.rib_out);
        self.told = saved.told.into_iter().collect();
        self.soak = Soak::resume(soak, saved.soak);
        self
    }

    /// Its session.
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Our address in the connection that counts.
    pub fn local(&self) -> Option<IpAddr> {
        self.local[self.session.way().index()]
    }

    /// How many routes it holds.
    pub fn held(&self) -> usize {
        self.rib_out.len()
    }

    /// The routes that it holds.
    pub fn routes(&self) -> impl Iterator<Item = (IpNet, &PathAttributes)> {
        self.rib_out.routes()
    }

    /// Reads one framed message as this session means it.
    pub fn read(&self, message: &[u8]) -> Received {
        fsm::read(message, self.session.sender())
    }

    fn session_event(&mut self, event: fsm::Event, now: Time, actions: &mut Vec<Action>) {
        match event {
            fsm::Event::Blocked(way) => self.blocked = Some(way),
            fsm::Event::Drained(way) if self.blocked == Some(way) => self.blocked = None,
            fsm::Event::Stop { .. } if self.session.state() == State::Established => {
                self.rib_out.want(Routes::new());
                self.flush(actions);
            }
            _ => {}
        }
        let mut inner = Vec::new();
        self.session.on(event, now, &mut inner);
        for action in inner {
            self.run(action, now, actions);
        }
    }

    fn run(&mut self, action: fsm::Action, now: Time, actions: &mut Vec<Action>) {
        match action {
            fsm::Action::Connect => actions.push(Action::Connect),
            fsm::Action::Accept => {
                self.local[Way::In.index()] = self.arriving.take();
                actions.push(Action::Accept);
            }
            fsm::Action::Refuse(notification) => actions.push(Action::Refuse(notification.encode())),
            fsm::Action::Send(way, bytes) => actions.push(Action::Send(way, bytes)),
            fsm::Action::Close(way) => {
                self.blocked.take_if(|blocked| *blocked == way);
                actions.push(Action::Close(way));
            }
            fsm::Action::Up(negotiated) => {
                self.rib_out.up(Agreed { families: negotiated.families, four_octet: negotiated.four_octet });
                self.soak.back(now);
                self.due = true;
            }
            fsm::Action::Down => {
                self.rib_out.down();
                self.told.clear();
            }
            fsm::Action::Refresh(family) => {
                self.rib_out.refresh(family);
                self.due = true;
            }
            fsm::Action::Changed(change) => {
                if change.from == State::Established {
                    if was_lost(&change.why) { self.soak.lost(now) } else { self.soak.ended() }
                }
                actions.push(Action::Changed(change));
            }
        }
    }

    /// What the gate decided, as this neighbor shall hear it for now.
    fn soften(&self, decision: Decision) -> Decision {
        match (decision.standing, self.soak.reason()) {
            (Standing::Announced, Some(reason)) => {
                Decision { standing: Standing::Backup, reason, ..decision }
            }
            _ => decision,
        }
    }

    /// A path that BFD lost ends the session, unless an operator took BFD down (RFC 5882 sections 3.2 and 4.2);
    /// one that BFD has not found yet is no obstacle (section 4.1), as not every router speaks BFD at once.
    fn path_changed(&mut self, change: bfd::Change, now: Time, actions: &mut Vec<Action>) {
        if change.failed {
            self.session_event(fsm::Event::PathLost, now, actions);
        }
        if change.to == bfd::State::Up {
            self.session_event(fsm::Event::PathFound, now, actions);
        }
    }

    fn ask_again(&mut self, actions: &mut Vec<Action>) {
        let stands = self.session.state() == State::Established;
        let Some(agreed) = self.session.negotiated().filter(|agreed| stands && agreed.route_refresh) else {
            return;
        };
        let families = Family::ALL.into_iter().filter(|family| agreed.families[family.index()]);
        actions.extend(families.map(|family| Action::Send(self.session.way(), RouteRefresh::encode(family))));
        self.session.ask_again();
    }

    /// Brings the neighbor up to date, if anything has changed, and unless it has not taken yet what was sent before.
    fn update(&mut self, actions: &mut Vec<Action>) {
        if !self.due || self.blocked == Some(self.session.way()) || self.session.state() != State::Established
        {
            return;
        }
        let local = self.local[self.session.way().index()];
        let (Some(standings), Some(local)) = (self.standings.clone(), local) else { return };
        self.due = false;
        let extended_next_hop =
            self.session.negotiated().is_some_and(|negotiated| negotiated.extended_next_hop);
        let terms = Terms { asn: self.asn, local, extended_next_hop };
        let mut routes = Routes::new();
        for vip in self.vips.iter() {
            let Some(decision) = standings.get(&vip.address) else { continue };
            let standing = self.soften(*decision).standing;
            if let Some(route) = policy::route(vip, standing, &self.config, terms) {
                routes.insert(vip.address.into(), route);
            }
        }
        for (prefix, route) in self.injected.iter() {
            if let Some(route) = policy::injected(*prefix, route, &self.config, terms) {
                routes.insert(*prefix, route);
            }
        }
        self.rib_out.want(routes);
        self.flush(actions);
        self.tell(&standings, actions);
    }

    /// Says which VIPs it has been told something else of. There may be many, and as many neighbors: both are walked side by
    /// side, as they are in the same order.
    fn tell(&mut self, standings: &Standings, actions: &mut Vec<Action>) {
        if !self.told.keys().eq(standings.keys()) {
            let told = |vip: &IpAddr| (*vip, self.told.get(vip).copied().unwrap_or(Standing::Withdrawn));
            self.told = standings.keys().map(told).collect();
        }
        let mut told = std::mem::take(&mut self.told);
        for ((vip, decision), before) in standings.iter().zip(told.values_mut()) {
            let decision = self.soften(*decision);
            // Not every neighbor can be told everything: it may not speak the VIP's family.
            let standing =
                if self.rib_out.holds((*vip).into()) { decision.standing } else { Standing::Withdrawn };
            if *before != standing {
                *before = standing;
                // A neighbor that was away is late by its own doing.
                let since = decision.since.max(self.session.since()).max(self.soaked);
                actions.push(Action::Told { vip: *vip, decision: Decision { since, ..decision } });
            }
        }
        self.told = told;
    }
}

impl Neighbor {
    fn flush(&mut self, actions: &mut Vec<Action>) {
        let way = self.session.way();
        actions.extend(self.rib_out.flush().into_iter().map(|bytes| Action::Send(way, bytes)));
    }
}

/// Nobody wanted this end: the way to the neighbor was cut. A neighbor that ends a session in good order has lost
/// no way.
const fn was_lost(why: &Why) -> bool {
    match why {
        Why::Word(_) => true,
        Why::Sent(notification) | Why::Got(notification) => {
            matches!(
                notification.code,
                notification::HOLD_TIMER_EXPIRED | notification::SEND_HOLD_EXPIRED | notification::BFD_DOWN
            )
        }
    }
}

impl Machine for Neighbor {
    type Event = Event;
    type Action = Action;

    fn tick() -> Event {
        Event::Session(fsm::Event::Tick)
    }

    fn on(&mut self, event: Event, now: Time, actions: &mut Vec<Action>) {
        match event {
            Event::Session(event) => self.session_event(event, now, actions),
            Event::Connected { way, local } => {
                let event = match way {
                    Way::Out => {
                        self.local[way.index()] = Some(local);
                        fsm::Event::Connected
                    }
                    Way::In => {
                        self.arriving = Some(local);
                        fsm::Event::Accepted
                    }
                };
                self.session_event(event, now, actions);
            }
            Event::Decided(standings) => {
                self.standings = Some(standings);
                self.due = true;
            }
            Event::Injected(routes) => {
                self.injected = routes;
                self.due = true;
            }
            Event::Bfd(change) => self.path_changed(change, now, actions),
            Event::AskAgain => self.ask_again(actions),
        }
        if self.soak.pass(now) {
            self.soaked = now;
            self.due = true;
        }
        self.update(actions);
    }

    fn next_deadline(&self) -> Option<Time> {
        [self.session.next_deadline(), self.soak.next_deadline()].into_iter().flatten().min()
    }

    fn check_invariants(&self) {
        self.session.check_invariants();
        assert!(self.session.state() == State::Established || self.held() == 0, "holds without a session");
    }
}

#[cfg(test)]
mod tests;
