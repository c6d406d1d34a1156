//! What the nodes of a cluster share: tables that all write, and tables of which each node publishes what it
//! has counted itself.
//!
//! A sum is never taught: each run of a gateway (a node and the life of its process) publishes its own numbers
//! as `table.node.run`, and who decides adds them up. So no increment is lost to a later writer and none
//! counts twice. Of a run that can't be heard, what ran counts no more; its rates count on and age out.

use crate::limits::{Limit, MAX_LIMITS, Others};
use crate::table::{DataType, Kind, Options, StickTable};
use arc_swap::ArcSwap;
use base_core::Time;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// What this node shares, and what it knows of the others.
#[derive(Debug)]
pub struct Cluster {
    local: String,
    run: String,
    nodes: u32,
    heard: AtomicU32,
    tables: Vec<Shared>,
}

/// A table that peers know.
#[derive(Debug)]
pub struct Shared {
    /// Its name on the wire, without node and run.
    pub name: String,
    /// The own one.
    pub table: Arc<StickTable>,
    /// Each node publishes its own numbers, instead of all writing the same entries.
    pub sums: bool,
    options: Options,
    mirrors: ArcSwap<Vec<Arc<Mirror>>>,
}

/// What one run of another node has counted.
#[derive(Debug)]
pub struct Mirror {
    peer: String,
    run: String,
    live: AtomicBool,
    /// Its numbers.
    pub table: StickTable,
}

impl Shared {
    /// A table under its name on the wire, made by `options`.
    pub fn new(name: String, table: Arc<StickTable>, options: Options, sums: bool) -> Self {
        Self { name, table, sums, options, mirrors: ArcSwap::default() }
    }

    /// What other runs have counted of a key, for each of these limits.
    pub fn others(&self, key: &[u8], limits: &[Limit], now: Time) -> [u64; MAX_LIMITS] {
        let mut sums = [0; MAX_LIMITS];
        for mirror in self.mirrors.load().iter() {
            let live = mirror.live.load(Ordering::Relaxed);
            mirror.table.peek(key, now, |entry| {
                for (limit, sum) in limits.iter().zip(&mut sums) {
                    *sum += match (limit.data, limit.data.kind()) {
                        (DataType::ConnCur, _) if !live => 0,
                        (data, Kind::Rate) => entry.rate(data, now).into(),
                        (data, _) => entry.get(data),
                    };
                }
            });
        }
        sums
    }

    /// Other runs that are heard of, each with whether it lives.
    pub fn runs(&self) -> Vec<(String, bool, usize)> {
        let mirrors = self.mirrors.load();
        let name = |mirror: &Mirror| format!("{}.{}.{}", self.name, mirror.peer, mirror.run);
        let live = |mirror: &Mirror| mirror.live.load(Ordering::Relaxed);
        mirrors.iter().map(|mirror| (name(mirror), live(mirror), mirror.table.len())).collect()
    }

    /// Shows what each run that lives has published, with its node's name.
    pub fn live_runs(&self, mut each: impl FnMut(&str, &StickTable)) {
        let mirrors = self.mirrors.load();
        let live = mirrors.iter().filter(|mirror| mirror.live.load(Ordering::Relaxed));
        live.for_each(|mirror| each(&mirror.peer, &mirror.table));
    }

    /// The mirror of a run of `peer`, which lives now; all other runs of it have ended.
    fn mirror(&self, peer: &str, run: &str) -> Arc<Mirror> {
        let mirrors = self.mirrors.load_full();
        for other in mirrors.iter().filter(|mirror| mirror.peer == peer && mirror.run != run) {
            other.live.store(false, Ordering::Relaxed);
        }
        if let Some(found) = mirrors.iter().find(|mirror| mirror.peer == peer && mirror.run == run) {
            found.live.store(true, Ordering::Relaxed);
            return Arc::clone(found);
        }
        let mirror = Arc::new(Mirror {
            peer: peer.to_owned(),
            run: run.to_owned(),
            live: AtomicBool::new(true),
            table: StickTable::new(Options { shared: false, ..self.options.clone() }, &RandomState::new()),
        });
        let mut all = Vec::clone(&mirrors);
        let of_peer = |mirror: &Arc<Mirror>| mirror.peer == peer;
        if all.iter().filter(|mirror| of_peer(mirror)).count() >= MAX_RUNS
            && let Some(first) = all.iter().position(of_peer)
        {
            all.remove(first);
        }
        all.push(Arc::clone(&mirror));
        self.mirrors.store(Arc::new(all));
        mirror
    }
}

impl Cluster {
    /// Of `nodes` nodes, of which this is `local` in the run `run`.
    pub fn new(local: String, run: String, nodes: u32, tables: Vec<Shared>) -> Self {
        Self { local, run, nodes, heard: AtomicU32::new(1), tables }
    }

    /// This node's name among its peers.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The life of this process.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// The tables that are shared.
    pub fn tables(&self) -> &[Shared] {
        &self.tables
    }

    /// The name under which an own table goes to peers.
    pub fn wire_name(&self, shared: &Shared) -> String {
        match shared.sums {
            true => format!("{}.{}.{}", shared.name, self.local, self.run),
            false => shared.name.clone(),
        }
    }

    /// Nodes that are heard, with this one, and nodes there are.
    pub fn nodes(&self) -> (u32, u32) {
        (self.heard.load(Ordering::Relaxed), self.nodes)
    }

    /// What the others have counted, for a tracker's limits.
    pub fn others(&self, table: &Shared, key: &[u8], limits: &[Limit], now: Time) -> Others {
        let (heard, nodes) = self.nodes();
        Others { sums: table.others(key, limits, now), heard, nodes }
    }

    /// A peer can be heard from now on, or not.
    pub fn peer_is_live(&self, peer: &str, live: bool) {
        if live {
            self.heard.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.heard.fetch_sub(1, Ordering::Relaxed);
        for shared in &self.tables {
            for mirror in shared.mirrors.load().iter().filter(|mirror| mirror.peer == peer) {
                mirror.live.store(false, Ordering::Relaxed);
            }
        }
    }

    /// Drops what has expired of other runs, and those of which nothing is left.
    pub fn sweep(&self, now: Time) {
        for shared in &self.tables {
            let mirrors = shared.mirrors.load_full();
            let ended = |mirror: &Mirror| !mirror.live.load(Ordering::Relaxed) && mirror.table.is_empty();
            mirrors.iter().for_each(|mirror| mirror.table.sweep(now));
            if mirrors.iter().any(|mirror| ended(mirror)) {
                let rest = mirrors.iter().filter(|mirror| !ended(mirror)).cloned().collect();
                // Only the thread of the peers adds and drops runs.
                shared.mirrors.store(Arc::new(rest));
            }
        }
    }

    /// Where what `peer` sends under `name` belongs.
    pub(super) fn target(&self, peer: &str, name: &str) -> Option<Target> {
        if let Some(place) = self.tables.iter().position(|shared| !shared.sums && shared.name == name) {
            return Some(Target::Own(place));
        }
        let (rest, run) = name.rsplit_once('.')?;
        let table = rest.strip_suffix(peer)?.strip_suffix('.')?;
        let place = self.tables.iter().position(|shared| shared.sums && shared.name == table)?;
        let fits = (1..=MAX_RUN_NAME).contains(&run.len()) && run.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Target::Mirror(place, self.tables[place].mirror(peer, run)))
    }
}

/// A table that a peer writes.
#[derive(Debug)]
pub(super) enum Target {
    /// The own one, as last writer.
    Own(usize),
    /// Its own numbers; with the place of the table that they are of.
    Mirror(usize, Arc<Mirror>),
}

/// Runs of one node that are remembered until their rates have aged out.
const MAX_RUNS: usize = 8;
/// Bytes of a run's name.
const MAX_RUN_NAME: usize = 32;
