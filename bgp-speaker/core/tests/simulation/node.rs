//! A node: a model of its gateway, and the speaker's real machines beside it.

use crate::link::{Connection, Item};
use base_core::{Machine, Time};
use bgp_core::bfd;
use bgp_core::config::{self, Config};
use bgp_core::fsm::negotiate::Local;
use bgp_core::fsm::negotiate::Offer;
use bgp_core::fsm::{self, Mode, Settings, State, Way};
use bgp_core::gate::{self, Gate, Reading};
use bgp_core::neighbor::{self, Decision, Neighbor, Standings};
use bgp_core::wire;
use healthcheck_core::fleet::{Fleet, Row};
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// What the gateway is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gateway {
    Says(Reading),
    Hangs,
    Dead,
}

/// What the speaker is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Process {
    Runs,
    /// It does not run, and its sockets stay.
    Hangs,
    Dead,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) gateway: Gateway,
    pub(crate) process: Process,
    pub(crate) link_up: bool,
    /// Requests through the VIP that has a probe are answered.
    pub(crate) probes_good: bool,
    number: u8,
    config: Config,
    with_bfd: bool,
    /// Who opens the connection: it, or the router.
    mode: Mode,
    speaker: Option<Speaker>,
    /// Incarnations of the speaker: each has discriminators and pauses of its own.
    lives: u64,
    pub(crate) connection: Option<Connection>,
    /// A connection is asked for: when the router hears of it.
    pub(crate) syn: Option<Time>,
    /// It took the connection that the router opened last.
    accepted: bool,
    /// What it told its gateway of its VIPs, and when.
    told: (Time, Vec<Row>),
    /// Packets of BFD to the router.
    pub(crate) packets: VecDeque<bfd::Packet>,
}

#[derive(Debug)]
struct Speaker {
    gate: Gate,
    neighbor: Neighbor,
    bfd: Option<bfd::Session>,
    standings: Standings,
    /// What the gate was last told of the session.
    reached: [bool; 2],
    /// Health streams that are open at the gateway, and the next beat.
    streams: Vec<u64>,
    beat: Time,
    said: Option<Gateway>,
    input: Vec<u8>,
}

impl Node {
    pub(crate) fn new(number: u8, with_bfd: bool, mode: Mode) -> Self {
        let config = format!(
            "[bgp]\nasn = 65010\nrouter_id = \"10.0.0.{number}\"\nhold_time = \"3s\"\nretry_max = \"2s\"\n\
             [[neighbor]]\naddress = \"10.0.{number}.1\"\nasn = 65000\n\
             [[vip]]\naddress = \"203.0.113.1\"\nmed = {number}00\n\
             [[vip]]\naddress = \"203.0.113.2\"\nmed = {number}00\nprobe = \"http://203.0.113.2:80/\"\n"
        );
        let source = base_core::diagnose::Source::new("bgp.toml", config);
        Self {
            gateway: Gateway::Says(Reading::Ready),
            process: Process::Dead,
            link_up: true,
            probes_good: true,
            number,
            config: config::parse(&source).expect("a good configuration"),
            with_bfd,
            mode,
            speaker: None,
            lives: 0,
            connection: None,
            syn: None,
            accepted: false,
            told: (Time::ZERO, Vec::new()),
            packets: VecDeque::new(),
        }
    }

    /// Whether requests that arrive at it are served.
    pub(crate) fn serves(&self) -> bool {
        matches!(self.gateway, Gateway::Says(Reading::Ready | Reading::Draining))
    }

    /// Whether it should have its VIPs.
    pub(crate) fn is_healthy(&self) -> bool {
        self.gateway == Gateway::Says(Reading::Ready) && self.process == Process::Runs && self.link_up
    }

    /// Starts a speaker that is dead.
    pub(crate) fn start(&mut self, now: Time) {
        self.process = Process::Runs;
        if self.speaker.is_some() {
            return;
        }
        self.speaker = Some(self.build(now));
        self.gate(gate::Event::Start, now);
        self.neighbor(neighbor::Event::Session(fsm::Event::Start), now);
    }

    /// Another process takes over: all that another would be given is kept, and a session that does not stand is begun anew.
    pub(crate) fn upgrade(&mut self, now: Time) {
        let Some(old) = self.speaker.take().filter(|_| self.process == Process::Runs) else { return };
        let mut new = self.build(now);
        let settings = gate::Settings::new(&self.config, self.lives);
        new.gate = Gate::resume(settings, old.gate.save(), now);
        (new.bfd, new.standings) = (old.bfd, old.standings);
        let saved = old.neighbor.save();
        let stands = saved.is_some();
        if let Some(saved) = saved {
            new.input = old.input;
            let settings = old.neighbor.session().settings().clone();
            new.neighbor = new.neighbor.resume(saved, settings, self.config.back.session());
        } else if let Some(connection) = &mut self.connection {
            connection.to_router.send(Item::End, now);
        }
        let standings = Arc::new(new.standings.clone());
        self.speaker = Some(new);
        if stands {
            self.neighbor(neighbor::Event::Decided(standings), now);
        } else {
            self.syn = None;
            self.neighbor(neighbor::Event::Session(fsm::Event::Start), now);
            self.neighbor(neighbor::Event::Decided(standings), now);
        }
        self.gate(gate::Event::Start, now);
    }

    /// What it tells the other nodes; nothing if nobody can hear it. Its gateway forgets what its speaker does not say again.
    pub(crate) fn tells(&mut self, now: Time) -> Option<Vec<Row>> {
        if let Some(speaker) = self.speaker.as_ref().filter(|_| self.process == Process::Runs) {
            self.told = (now, speaker.gate.rows());
        }
        let (at, rows) = &self.told;
        let speaks = matches!(self.gateway, Gateway::Says(_)) && self.link_up;
        let rows = if now.since(*at) < TOLD_FOR { rows.clone() } else { Vec::new() };
        speaks.then_some(rows)
    }

    /// What it hears of them.
    pub(crate) fn hears(&mut self, fleet: Fleet, now: Time) {
        if self.process == Process::Runs && matches!(self.gateway, Gateway::Says(_)) {
            self.gate(gate::Event::Fleet(Some(fleet)), now);
        }
    }

    fn build(&mut self, now: Time) -> Speaker {
        self.lives += 1;
        let seed = u64::from(self.number) * 1000 + self.lives;
        let local = Local {
            asn: 65010,
            identifier: self.config.bgp.router_id,
            hold_time: self.config.bgp.hold_time,
            neighbor_asn: 65000,
            offer: Offer::default(),
        };
        let retry_max = self.config.bgp.retry_max;
        let settings = Settings { local, mode: self.mode, retry_max, max_prefixes: None, seed };
        let (neighbor, vips) = (self.config.neighbors[0].clone(), self.config.vips.clone());
        let discriminator = NonZeroU32::new(u32::try_from(seed).unwrap_or(1)).unwrap_or(NonZeroU32::MIN);
        let settings_bfd = bfd::Settings { discriminator, timers: TIMERS, seed };
        Speaker {
            gate: Gate::new(gate::Settings::new(&self.config, seed)),
            neighbor: Neighbor::new(neighbor, vips.into(), settings, self.config.back.session()),
            bfd: self.with_bfd.then(|| bfd::Session::new(settings_bfd)),
            standings: Standings::new(),
            reached: [false; 2],
            streams: Vec::new(),
            beat: now,
            said: None,
            input: Vec::new(),
        }
    }

    /// The speaker is killed: its connections end.
    pub(crate) fn kill(&mut self, now: Time) {
        self.process = Process::Dead;
        self.speaker = None;
        self.syn = None;
        if let Some(connection) = &mut self.connection {
            connection.to_router.send(Item::End, now);
        }
    }

    /// What happens at this node until `now`.
    pub(crate) fn turn(&mut self, now: Time) {
        if self.process != Process::Runs {
            return;
        }
        self.streams(now);
        self.receive(now);
        let deadline = |deadline: Option<Time>| deadline.is_some_and(|deadline| deadline <= now);
        if self.speaker.as_ref().is_some_and(|speaker| deadline(speaker.gate.next_deadline())) {
            self.gate(gate::Event::Tick, now);
        }
        if self.speaker.as_ref().is_some_and(|speaker| deadline(speaker.neighbor.next_deadline())) {
            self.neighbor(Neighbor::tick(), now);
        }
        let due = |speaker: &Speaker| deadline(speaker.bfd.as_ref().and_then(Machine::next_deadline));
        if self.speaker.as_ref().is_some_and(due) {
            self.bfd(bfd::Event::Tick, now);
        }
    }

    /// The gateway's word to each open stream: at each change, and every 100 ms.
    fn streams(&mut self, now: Time) {
        let Some(speaker) = &mut self.speaker else { return };
        let changed = speaker.said.replace(self.gateway) != Some(self.gateway);
        let streams = speaker.streams.clone();
        match self.gateway {
            Gateway::Dead => {
                speaker.streams.clear();
                streams.into_iter().for_each(|stream| self.gate(gate::Event::Closed { stream }, now));
            }
            Gateway::Says(reading) if changed || speaker.beat <= now => {
                speaker.beat = now + BEAT;
                streams.into_iter().for_each(|stream| self.gate(gate::Event::Line { stream, reading }, now));
            }
            Gateway::Says(_) | Gateway::Hangs => {}
        }
    }

    fn receive(&mut self, now: Time) {
        while let Some(item) = self.connection.as_mut().and_then(|tcp| tcp.to_node.take(self.link_up, now)) {
            match item {
                Item::Bytes(bytes) => self.read(&bytes, now),
                Item::End => self.neighbor(neighbor::Event::Session(fsm::Event::Lost(self.way())), now),
            }
        }
    }

    fn read(&mut self, bytes: &[u8], now: Time) {
        if let Some(speaker) = &mut self.speaker {
            speaker.input.extend(bytes);
        }
        while let Some(speaker) = &mut self.speaker
            && let Ok(Some(length)) = wire::frame(&speaker.input)
        {
            let message: Vec<u8> = speaker.input.drain(..length).collect();
            let received = speaker.neighbor.read(&message);
            self.neighbor(neighbor::Event::Session(fsm::Event::Received(self.way(), received)), now);
        }
    }

    /// The router took the connection.
    pub(crate) fn connected(&mut self, now: Time) {
        self.connect();
        let local = [10, 0, self.number, 2].into();
        self.neighbor(neighbor::Event::Connected { way: Way::Out, local }, now);
    }

    /// The router opens a connection. `false`: it is not taken.
    pub(crate) fn called(&mut self, now: Time) -> bool {
        self.accepted = false;
        let local = [10, 0, self.number, 2].into();
        self.neighbor(neighbor::Event::Connected { way: Way::In, local }, now);
        self.accepted
    }

    /// Does the router open connections to it?
    pub(crate) const fn is_called(&self) -> bool {
        self.mode.accepts()
    }

    fn connect(&mut self) {
        self.connection = Some(Connection::default());
        if let Some(speaker) = &mut self.speaker {
            speaker.input.clear();
        }
    }

    const fn way(&self) -> Way {
        if self.mode.connects() { Way::Out } else { Way::In }
    }

    /// A packet of BFD came.
    pub(crate) fn heard(&mut self, packet: bfd::Packet, now: Time) {
        let mine = |speaker: &Speaker| speaker.bfd.is_some();
        if self.process == Process::Runs && self.speaker.as_ref().is_some_and(mine) {
            self.bfd(bfd::Event::Received(packet), now);
        }
    }

    fn gate(&mut self, event: gate::Event, now: Time) {
        let Some(speaker) = &mut self.speaker else { return };
        let (mut actions, mut decided, mut probes) = (Vec::new(), false, Vec::new());
        speaker.gate.on(event, now, &mut actions);
        speaker.gate.check_invariants();
        for action in actions {
            match action {
                gate::Action::Open { stream } => self.open(stream, now),
                gate::Action::Close { stream } => {
                    let Some(speaker) = &mut self.speaker else { return };
                    speaker.streams.retain(|open| *open != stream);
                }
                gate::Action::Decide { vip, standing, reason } => {
                    let Some(speaker) = &mut self.speaker else { return };
                    speaker.standings.insert(vip, Decision { standing, reason, since: now });
                    decided = true;
                }
                gate::Action::Probe { subject } => probes.push(subject),
                gate::Action::Ordered { .. } | gate::Action::Drain { .. } => {}
            }
        }
        if let Some(speaker) = self.speaker.as_ref().filter(|_| decided) {
            let standings = Arc::new(speaker.standings.clone());
            self.neighbor(neighbor::Event::Decided(standings), now);
        }
        for subject in probes {
            let served = Some(self.probes_good && self.serves());
            self.gate(gate::Event::Probed { subject, served }, now);
        }
    }

    fn open(&mut self, stream: u64, now: Time) {
        let Some(speaker) = &mut self.speaker else { return };
        match self.gateway {
            Gateway::Dead => self.gate(gate::Event::Closed { stream }, now),
            // A process that hangs has a kernel that accepts for it.
            Gateway::Hangs => speaker.streams.push(stream),
            Gateway::Says(reading) => {
                speaker.streams.push(stream);
                self.gate(gate::Event::Opened { stream }, now);
                self.gate(gate::Event::Line { stream, reading }, now);
            }
        }
    }

    fn neighbor(&mut self, event: neighbor::Event, now: Time) {
        let Some(speaker) = &mut self.speaker else { return };
        let mut actions = Vec::new();
        speaker.neighbor.on(event, now, &mut actions);
        speaker.neighbor.check_invariants();
        for action in actions {
            match (action, &mut self.connection) {
                (neighbor::Action::Accept, _) => {
                    self.accepted = true;
                    self.connect();
                }
                (neighbor::Action::Connect, _) => self.syn = Some(now + crate::link::LATENCY),
                (neighbor::Action::Send(_, bytes), Some(tcp)) => tcp.to_router.send(Item::Bytes(bytes), now),
                (neighbor::Action::Close(_), tcp) => {
                    self.syn = None;
                    if let Some(tcp) = tcp {
                        tcp.to_router.send(Item::End, now);
                    }
                }
                _ => {}
            }
        }
        self.tell_reached(now);
    }

    /// The gate hears whether anybody hears of its VIPs.
    fn tell_reached(&mut self, now: Time) {
        let Some(speaker) = &mut self.speaker else { return };
        let session = speaker.neighbor.session();
        let reached = session.negotiated().filter(|_| session.state() == State::Established);
        let reached = reached.map(|agreed| agreed.families).unwrap_or_default();
        if std::mem::replace(&mut speaker.reached, reached) != reached {
            self.gate(gate::Event::Reached(reached), now);
        }
    }

    fn bfd(&mut self, event: bfd::Event, now: Time) {
        let Some(session) = self.speaker.as_mut().and_then(|speaker| speaker.bfd.as_mut()) else { return };
        let mut actions = Vec::new();
        session.on(event, now, &mut actions);
        session.check_invariants();
        for action in actions {
            match action {
                bfd::Action::Transmit(packet) => self.packets.push_back(packet),
                bfd::Action::Changed(change) => self.neighbor(neighbor::Event::Bfd(change), now),
            }
        }
    }

    /// For messages: what the speaker thinks.
    pub(crate) fn thoughts(&self) -> String {
        let thoughts = |speaker: &Speaker| {
            let session = speaker.neighbor.session();
            let stands = speaker.standings.values().map(|decision| (decision.standing, decision.reason));
            let (state, since, held) =
                (session.state(), session.since().as_millis(), speaker.neighbor.held());
            format!("{state:?} since {since}, holds {held}, {:?}", stands.collect::<Vec<_>>())
        };
        self.speaker.as_ref().map(thoughts).unwrap_or_default()
    }
}

/// A gateway publishes what its speaker has said for so long.
const TOLD_FOR: Duration = Duration::from_secs(3);
const BEAT: Duration = Duration::from_millis(100);
/// 50 ms × 3.
pub(crate) const TIMERS: bfd::Timers = bfd::Timers {
    desired_min_tx: Duration::from_millis(50),
    required_min_rx: Duration::from_millis(50),
    multiplier: std::num::NonZeroU8::new(3).expect("not zero"),
};
