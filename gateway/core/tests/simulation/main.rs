//! Nodes that share counters and sticky entries, in virtual time, with delays, cuts, deaths and clocks that
//! differ by days and step: what every seed must keep.
//!
//! A failing seed is printed; `SIMULATION_SEED=7 cargo test -p gateway-core --test simulation` runs it again,
//! `SIMULATION_SEEDS=1000` runs more of them.

use base_core::random::Random;
use base_core::{Machine, Time};
use gateway_core::limits::Limit;
use gateway_core::peers::{
    Action, Cluster, Event, Frame, Incoming, Link, Outgoing, Progress, Renewal, Role, Shared, With, frame,
};
use gateway_core::table::{DataType, KeyType, Layout, Options, StickTable, Stored};
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn sums_lose_nothing_count_nothing_twice_and_all_settles_after_a_cut() {
    let read = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match read("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..read("SIMULATION_SEEDS").unwrap_or(5),
    };
    for seed in seeds {
        // Shown by the harness if it fails.
        eprintln!("SIMULATION_SEED={seed}");
        World::new(2 + (seed % 4) as usize, seed).run();
    }
}

struct World {
    now: Time,
    random: Random,
    nodes: Vec<Node>,
    wires: Vec<Wire>,
    /// Pairs that can't reach each other.
    cut: Vec<(usize, usize)>,
    connections: u64,
    /// Of every run there ever was: what it has counted of each key.
    counted: Vec<[u64; KEYS]>,
    /// Clients that have come to stick to a server so far.
    clients: u32,
}

struct Node {
    name: String,
    cluster: Cluster,
    run: usize,
    /// What its clock shows beside the world's.
    ahead: Duration,
    running: [u64; KEYS],
    peers: Vec<Peer>,
    /// What says again what runs for long, and when.
    renewals: Vec<(Renewal, Time)>,
}

struct Peer {
    to: usize,
    link: Link,
    progress: Progress,
    session: Option<Session>,
}

struct Session {
    connection: u64,
    input: Vec<u8>,
    incoming: Incoming,
    outgoing: Outgoing,
}

/// What is on its way from one node to another.
struct Wire {
    from: usize,
    to: usize,
    at: Time,
    connection: u64,
    what: What,
}

enum What {
    Opened,
    Bytes(Vec<u8>),
    Closed,
}

impl World {
    fn new(count: usize, seed: u64) -> Self {
        let mut world = Self {
            now: Time::from_millis(1_000_000),
            random: Random::new(seed),
            nodes: Vec::new(),
            wires: Vec::new(),
            cut: Vec::new(),
            connections: 0,
            counted: Vec::new(),
            clients: 0,
        };
        for place in 0..count {
            let node = world.node(place, count);
            world.nodes.push(node);
        }
        world
    }

    /// A new life of the node at `place`.
    fn node(&mut self, place: usize, count: usize) -> Node {
        self.counted.push([0; KEYS]);
        let run = self.counted.len() - 1;
        let options = Options {
            key: KeyType::Integer,
            layout: Layout::new([DataType::ConnCur, DataType::HttpReqCnt].map(Stored::one)),
            size: 100,
            expire: EXPIRE,
            nopurge: false,
            shared: true,
        };
        let table = Arc::new(StickTable::new(options.clone(), &RandomState::new()));
        let shared = Shared::new("t".into(), table, options.clone(), Role::Sums, true);
        let layout = Layout::new([Stored::one(DataType::ServerId)]);
        let options = Options { layout, size: 10_000, expire: Duration::from_secs(86_400), ..options };
        let table = Arc::new(StickTable::new(options.clone(), &RandomState::new()));
        let sticky = Shared::new("s".into(), table, options, Role::Common, false);
        let name = format!("gw{place}");
        let others = (0..count).filter(|to| *to != place).map(|to| format!("gw{to}")).collect();
        let cluster = Cluster::new(name.clone(), format!("hg{run}"), others, vec![shared, sticky]);
        let ahead = Duration::from_millis(self.random.below(40 * 86_400_000));
        let mut peers = Vec::new();
        for to in (0..count).filter(|to| *to != place) {
            let link = Link::new(&name, &format!("gw{to}"), self.random.below(u64::MAX), self.now + ahead);
            peers.push(Peer { to, link, progress: Progress::default(), session: None });
        }
        let mut running = [0; KEYS];
        (running[LONG], self.counted[run][LONG]) = (1, 1);
        let held = cluster.tables()[0].table.track((LONG as u32).to_be_bytes(), self.now + ahead, |entry| {
            entry.add(DataType::ConnCur, 1);
            entry.add(DataType::HttpReqCnt, 1);
            ((), true)
        });
        assert!(held.is_some_and(|(_, held)| held.is_some()), "it is never let go");
        let renewals = Renewal::of(&cluster, self.now + ahead);
        let renewals = renewals.into_iter().map(|renewal| (renewal, self.now + ahead)).collect();
        Node { name, cluster, run, ahead, running, peers, renewals }
    }

    fn run(&mut self) {
        for step in 0..STEPS {
            if step < STEPS - QUIET {
                self.work();
                self.stick();
                self.faults();
            } else {
                self.cut.clear();
            }
            if step == STEPS - QUIET / 2 {
                self.ask_again();
            }
            self.step(step);
        }
        self.all_is_known();
        self.all_have_settled();
        for _ in 0..3 {
            let chosen = self.choose_again();
            (0..200).for_each(|step| self.step(step));
            self.all_have_settled();
            self.all_stick_to(&chosen);
        }
    }

    fn step(&mut self, step: u64) {
        self.now += Duration::from_millis(1);
        self.deliver();
        for place in 0..self.nodes.len() {
            self.turn(place, step);
        }
        if step.is_multiple_of(50) {
            self.nothing_counts_twice();
        }
    }

    /// Requests begin and end here and there.
    fn work(&mut self) {
        let place = self.random.below(self.nodes.len() as u64) as usize;
        let key = self.random.below(LONG as u64) as usize;
        let wants_end = self.random.below(2) == 0;
        let node = &mut self.nodes[place];
        let ends = wants_end && node.running[key] > 0;
        let table = &node.cluster.tables()[0].table;
        table.update((key as u32).to_be_bytes(), self.now + node.ahead, |entry| {
            if ends {
                entry.sub(DataType::ConnCur, 1);
            } else {
                entry.add(DataType::ConnCur, 1);
                entry.add(DataType::HttpReqCnt, 1);
            }
        });
        if ends {
            node.running[key] -= 1;
        } else {
            node.running[key] += 1;
            self.counted[node.run][key] += 1;
        }
    }

    /// Now and then a new client comes to all nodes in the same instant, and each chooses another server for it;
    /// or one that is known gets another server, since its own is down there.
    fn stick(&mut self) {
        let chance = self.random.below(100);
        let node = self.random.below(self.nodes.len() as u64) as usize;
        let known = self.random.below(u64::from(self.clients.max(1))) as u32;
        let server = 1 + self.random.below(5);
        for (place, node) in self.nodes.iter().enumerate().filter(|(place, _)| chance == 0 || *place == node)
        {
            let (client, server) = match chance {
                0 => (self.clients, 1 + place as u64),
                1 => (known, server),
                _ => return,
            };
            node.cluster.tables()[1].table.update(client.to_be_bytes(), self.now + node.ahead, |entry| {
                entry.set(DataType::ServerId, server);
            });
        }
        self.clients += u32::from(chance == 0);
    }

    /// Each client asks once more, somewhere, and is sent where that node knows it to stick to. A node that has
    /// learnt from one that did not know better yet has it right from then on at the latest.
    fn ask_again(&mut self) {
        for client in 0..self.clients {
            let node = &self.nodes[self.random.below(self.nodes.len() as u64) as usize];
            let table = &node.cluster.tables()[1].table;
            let key = client.to_be_bytes();
            if table.peek(key, self.now + node.ahead, |_| ()).is_some() {
                table.update(key, self.now + node.ahead, |_| ());
            }
        }
    }

    /// Each client gets another server at some node, which knows what the others know: that is the last word.
    fn choose_again(&mut self) -> Vec<u64> {
        let mut chosen = Vec::new();
        for client in 0..self.clients {
            let node = &self.nodes[self.random.below(self.nodes.len() as u64) as usize];
            let table = &node.cluster.tables()[1].table;
            let server = table.update(client.to_be_bytes(), self.now + node.ahead, |entry| {
                let server = 1 + (entry.get(DataType::ServerId) + 1) % 5;
                entry.set(DataType::ServerId, server);
                server
            });
            chosen.push(server.expect("there is room"));
        }
        chosen
    }

    /// Cuts, heals, deaths and steps of a clock, each every few seconds.
    fn faults(&mut self) {
        let count = self.nodes.len();
        let mut any = || self.random.below(count as u64) as usize;
        let (one, other) = (any(), any());
        match self.random.below(6_000) {
            0 | 1 => self.cut.push((one, other)),
            2 | 3 => self.cut.clear(),
            4 => {
                for peer in 0..self.nodes[one].peers.len() {
                    self.hang_up(one, peer);
                }
                self.nodes[one] = self.node(one, count);
                self.wires.retain(|wire| wire.to != one);
            }
            5 => self.nodes[one].ahead += Duration::from_millis(self.random.below(5_000)),
            _ => {}
        }
    }

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

    fn deliver(&mut self) {
        let (due, later) = std::mem::take(&mut self.wires)
            .into_iter()
            .partition(|wire| wire.at <= self.now && !self.is_cut(wire.from, wire.to));
        self.wires = later;
        let due: Vec<Wire> = due;
        for Wire { from, to, connection, what, .. } in due {
            let Some(peer) = self.nodes[to].peers.iter().position(|peer| peer.to == from) else { continue };
            match what {
                What::Opened => self.open(to, peer, connection),
                What::Bytes(bytes) => self.take(to, peer, connection, &bytes),
                What::Closed => {
                    let session = &mut self.nodes[to].peers[peer].session;
                    if session.take_if(|session| session.connection == connection).is_some() {
                        self.on(to, peer, Event::Closed);
                    }
                }
            }
        }
    }

    /// The newest connection counts; who has the other end of the one before is told.
    fn open(&mut self, place: usize, peer: usize, connection: u64) {
        let is_old = |session: &Session| session.connection > connection;
        if self.nodes[place].peers[peer].session.as_ref().is_some_and(is_old) {
            return;
        }
        self.hang_up(place, peer);
        let node = &mut self.nodes[place];
        let with = With::Peer("");
        let outgoing = Outgoing::new(&node.cluster, with, &node.peers[peer].progress, true);
        let (input, incoming) = (Vec::new(), Incoming::default());
        node.peers[peer].session = Some(Session { connection, input, incoming, outgoing });
        self.on(place, peer, Event::Opened);
        self.on(place, peer, Event::IsHeadgate);
    }

    fn hang_up(&mut self, place: usize, peer: usize) {
        let to = self.nodes[place].peers[peer].to;
        if let Some(session) = self.nodes[place].peers[peer].session.take() {
            self.send(place, to, session.connection, What::Closed);
        }
    }

    fn take(&mut self, place: usize, peer: usize, connection: u64, bytes: &[u8]) {
        let to = self.nodes[place].peers[peer].to;
        let from = self.nodes[to].name.clone();
        let node = &mut self.nodes[place];
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
        events.into_iter().for_each(|event| self.on(place, peer, event));
    }

    /// Deadlines, lessons, and every 5 ms what has changed.
    fn turn(&mut self, place: usize, step: u64) {
        let node = &mut self.nodes[place];
        let now = self.now + node.ahead;
        for (renewal, at) in &mut node.renewals {
            while *at <= now {
                *at = renewal.go_on(&node.cluster, now);
            }
        }
        for peer in 0..self.nodes[place].peers.len() {
            let now = self.now + self.nodes[place].ahead;
            if self.nodes[place].peers[peer].link.next_deadline().is_some_and(|at| at <= now) {
                self.on(place, peer, Event::Tick);
            }
            let node = &mut self.nodes[place];
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
                self.on(place, peer, Event::Taught);
            }
        }
    }

    fn on(&mut self, place: usize, peer: usize, event: Event) {
        let mut actions = Vec::new();
        let now = self.now + self.nodes[place].ahead;
        let Peer { link, to, .. } = &mut self.nodes[place].peers[peer];
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
                    let session = self.nodes[place].peers[peer].session.as_ref();
                    if let Some(connection) = session.map(|session| session.connection) {
                        let mut out = Vec::new();
                        control.encode(&mut out);
                        self.send(place, to, connection, What::Bytes(out));
                    }
                }
                Action::Teach => {
                    if let Some(session) = &mut self.nodes[place].peers[peer].session {
                        session.outgoing.teach();
                    }
                }
                Action::IsStock | Action::IsHeadgate => panic!("all are Headgates, and say so at once"),
                Action::Close(_) => self.hang_up(place, peer),
                Action::Live(live) => {
                    let name = self.nodes[to].name.clone();
                    self.nodes[place].cluster.peer_is_live(&name, live);
                }
            }
        }
    }

    /// What a node knows of the others: requests that run, and requests there were.
    fn known(&self, place: usize, key: usize) -> [u64; 2] {
        let limit = |data| Limit::new(data, 1);
        let limits = [limit(DataType::ConnCur), limit(DataType::HttpReqCnt)];
        let table = &self.nodes[place].cluster.tables()[0];
        let sums = table.others(&(key as u32).to_be_bytes(), &limits, self.now + self.nodes[place].ahead);
        [sums[0], sums[1]]
    }

    fn nothing_counts_twice(&self) {
        for (place, node) in self.nodes.iter().enumerate() {
            for key in 0..KEYS {
                let all: u64 = self.counted.iter().map(|run| run[key]).sum();
                let others = all - self.counted[node.run][key];
                assert!(self.known(place, key)[1] <= others, "{} of key {key}", node.name);
            }
        }
    }

    fn all_stick_to(&self, chosen: &[u64]) {
        for (client, server) in (0u32..).zip(chosen) {
            let node = &self.nodes[0];
            let table = &node.cluster.tables()[1].table;
            let known = table
                .peek(client.to_be_bytes(), self.now + node.ahead, |entry| entry.get(DataType::ServerId));
            assert_eq!(known, Some(*server), "client {client} goes where it was sent last");
        }
    }

    /// Where each node would send a client.
    fn all_have_settled(&self) {
        for client in 0..self.clients {
            let server = |node: &Node| {
                let table = &node.cluster.tables()[1].table;
                table.peek(client.to_be_bytes(), self.now + node.ahead, |entry| entry.get(DataType::ServerId))
            };
            let servers: Vec<_> = self.nodes.iter().map(server).collect();
            assert!(servers.iter().all(|server| *server == servers[0]), "client {client}: {servers:?}");
        }
    }

    fn all_is_known(&self) {
        for (place, node) in self.nodes.iter().enumerate() {
            for key in 0..KEYS {
                let others = || self.nodes.iter().filter(|other| other.name != node.name);
                let running: u64 = others().map(|other| other.running[key]).sum();
                let counted: u64 = others().map(|other| self.counted[other.run][key]).sum();
                let [known_running, known] = self.known(place, key);
                assert_eq!(known_running, running, "{} knows what runs of key {key}", node.name);
                assert!(known >= counted, "{} has all of key {key}: {known} of {counted}", node.name);
            }
            assert_eq!(node.cluster.nodes().0 as usize, self.nodes.len(), "{} hears all", node.name);
        }
    }
}

const KEYS: usize = 5;
/// The key of which each run has a request from its first moment on to the last, for longer than an entry lives.
const LONG: usize = KEYS - 1;
/// Longer than what clocks step by, and shorter than a run of the simulation.
const EXPIRE: Duration = Duration::from_secs(15);
/// Milliseconds of each run, and of its end, in which nothing happens any more: 3 s after a heal all is known.
const STEPS: u64 = 23_000;
const QUIET: u64 = 3_000;
