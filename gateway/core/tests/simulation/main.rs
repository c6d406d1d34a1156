//! Nodes that share counters and sticky entries, in virtual time, with delays, cuts, deaths, upgrades and clocks
//! that differ by days and step: what every seed must keep.
//!
//! ```text
//!  work (what clients do) ─► nodes ─► wire (what one process sends another) ─► nodes ─► invariants
//!  faults (cuts, deaths)    upgrade (two processes of a node)
//! ```
//!
//! A failing seed is printed; `SIMULATION_SEED=7 cargo test -p gateway-core --test simulation` runs it again,
//! `SIMULATION_SEEDS=1000` runs more of them.

mod invariants;
mod upgrade;
mod wire;
mod work;

use base_core::Time;
use base_core::random::Random;
use gateway_core::peers::{Cluster, Incoming, Link, Outgoing, Progress, Renewal, Role, Shared};
use gateway_core::table::{DataType, KeyType, Layout, Options, StickTable, Stored};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::Duration;
use upgrade::Upgrade;

#[test]
fn sums_lose_nothing_count_nothing_twice_and_all_settles_after_a_cut() {
    let read = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds: Vec<u64> = match read("SIMULATION_SEED") {
        Some(seed) => vec![seed],
        None => (0..read("SIMULATION_SEEDS").unwrap_or(5)).chain(FOUND).collect(),
    };
    for seed in seeds {
        // Shown by the harness if it fails.
        eprintln!("SIMULATION_SEED={seed}");
        World::new(2 + (seed % 4) as usize, seed).run();
    }
}

/// The same for each run, so that a seed says all.
type Seedless = BuildHasherDefault<DefaultHasher>;

struct World {
    now: Time,
    random: Random,
    /// How many nodes there are.
    count: usize,
    /// Of each node the process that talks to the others, in order; then, of some nodes, another one.
    nodes: Vec<Node>,
    upgrades: Vec<Upgrade>,
    wires: Vec<Wire>,
    /// Pairs that can't reach each other.
    cut: Vec<(usize, usize)>,
    connections: u64,
    /// Of every run there ever was: what it has counted of each key.
    counted: Vec<[u64; KEYS]>,
    /// Clients that have come to stick to a server so far.
    clients: u32,
}

/// A process of a node.
struct Node {
    place: usize,
    name: String,
    cluster: Cluster,
    run: usize,
    /// What its clock shows beside the world's.
    ahead: Duration,
    running: [u64; KEYS],
    peers: Vec<Peer>,
    /// What says again what runs for long, and when.
    renewals: Vec<(Renewal, Time)>,
    /// It learns from the one before it, and does not serve yet.
    learns: bool,
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
            count,
            nodes: Vec::new(),
            upgrades: Vec::new(),
            wires: Vec::new(),
            cut: Vec::new(),
            connections: 0,
            counted: Vec::new(),
            clients: 0,
        };
        for place in 0..count {
            let node = world.node(place);
            world.nodes.push(node);
        }
        world
    }

    /// A new life of the node at `place`.
    fn node(&mut self, place: usize) -> Node {
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
        let table = Arc::new(StickTable::new(options.clone(), &Seedless::default()));
        let shared = Shared::new("t".into(), table, options.clone(), Role::Sums, true);
        let layout = Layout::new([Stored::one(DataType::ServerId)]);
        let options = Options { layout, size: 10_000, expire: Duration::from_secs(86_400), ..options };
        let table = Arc::new(StickTable::new(options.clone(), &Seedless::default()));
        let sticky = Shared::new("s".into(), table, options, Role::Common, false);
        let name = format!("gw{place}");
        let others = (0..self.count).filter(|to| *to != place).map(|to| format!("gw{to}")).collect();
        let cluster = Cluster::new(name.clone(), format!("hg{run}"), others, vec![shared, sticky]);
        let ahead = Duration::from_millis(self.random.below(40 * 86_400_000));
        let mut peers = Vec::new();
        for to in (0..self.count).filter(|to| *to != place) {
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
        Node { place, name, cluster, run, ahead, running, peers, renewals, learns: false }
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
        for at in 0..self.nodes.len() {
            self.turn(at, step);
        }
        self.upgrade(step);
        if step.is_multiple_of(1_000) {
            self.nodes.iter().for_each(|node| node.cluster.forget(self.now + node.ahead));
        }
        if step.is_multiple_of(50) {
            self.nothing_counts_twice();
            self.what_was_taught_lives_on();
        }
    }
}

/// Seeds that once found something.
const FOUND: [u64; 6] = [213, 267, 514, 690, 693, 768];
const KEYS: usize = 5;
/// The key of which each run has a request from its first moment on to the last, for longer than an entry lives.
const LONG: usize = KEYS - 1;
/// Longer than what clocks step by, and shorter than a run of the simulation.
const EXPIRE: Duration = Duration::from_secs(15);
/// Milliseconds of each run, and of its end, in which nothing happens any more: 3 s after a heal all is known.
const STEPS: u64 = 23_000;
const QUIET: u64 = 3_000;
