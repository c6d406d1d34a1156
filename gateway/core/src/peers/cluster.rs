//! What the nodes of a cluster share: tables that all write, and tables of which each node publishes what it
//! has counted itself.
//!
//! A sum is never taught: each run of a gateway (a node and the life of its process) publishes its own numbers
//! as `table.node.run`, and who decides adds them up. So no increment is lost to a later writer and none
//! counts twice. Of a run that can't be heard, what ran counts no more; its rates count on and age out.
//!
//! In an upgrade two processes of a node live at once. The old one teaches the new one all that it knows, and
//! is then heard through it: it has no sessions with other nodes any more, and the new one passes its run on.

use super::mirror::{Mirror, Speaker};
use crate::limits::{Limit, MAX_LIMITS, Others};
use crate::table::{DataType, Kind, Layout, Options, StickTable};
use crate::track;
use arc_swap::ArcSwap;
use base_core::Time;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What this node shares, and what it knows of the others.
#[derive(Debug)]
pub struct Cluster {
    local: String,
    run: String,
    /// The other nodes.
    others: Vec<String>,
    heard: AtomicU32,
    /// Nodes that count as heard in an upgrade, in which sessions move from one process to the other: as the
    /// process before this one has heard them, and as this one did when the next took over.
    learnt: AtomicU32,
    left: AtomicU32,
    /// Those of the latter of which no run is known, HAProxys: the next process can't tell whether they live.
    mute: AtomicU32,
    tables: Vec<Shared>,
}

/// A table that others know.
#[derive(Debug)]
pub struct Shared {
    /// Its name on the wire, without node and run.
    pub name: String,
    /// The own one.
    pub table: Arc<StickTable>,
    /// Who writes it.
    pub role: Role,
    options: Options,
    mirrors: ArcSwap<Vec<Arc<Mirror>>>,
}

/// Who writes and who reads a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// All nodes write its entries.
    Common,
    /// Each run publishes what it has counted itself, to be summed.
    Sums,
    /// No other node sees it, only the next process of this one.
    Private,
    /// What all runs have counted together, for nodes that can't add it up: HAProxys.
    Aggregate,
}

/// Who is at the other end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With<'a> {
    /// Another node.
    Peer(&'a str),
    /// The process of this node that this one takes over from.
    Previous,
    /// The process of this node that takes over.
    Next,
}

impl With<'_> {
    pub(super) fn speaker(self) -> Speaker {
        match self {
            With::Peer(_) => Speaker::Node,
            With::Previous => Speaker::Previous,
            With::Next => Speaker::Next,
        }
    }
}

impl Shared {
    /// A table under its name on the wire, made by `options`. What others have counted of it is lined up for
    /// who is told of it here, if `passes_on`.
    pub fn new(name: String, table: Arc<StickTable>, options: Options, role: Role, passes_on: bool) -> Self {
        // What others have counted: nothing of this node's own.
        let layout = Layout::new(options.layout.stored().copied());
        let options = Options { shared: passes_on, layout, ..options };
        Self { name, table, role, options, mirrors: ArcSwap::default() }
    }

    /// What other runs have counted of a key, for each of these limits.
    pub fn others(&self, key: &[u8], limits: &[Limit], now: Time) -> [u64; MAX_LIMITS] {
        let mut sums = [0; MAX_LIMITS];
        for mirror in self.mirrors.load().iter() {
            let live = mirror.is_live();
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

    /// Whether what each run has counted is summed.
    pub fn is_summed(&self) -> bool {
        self.role == Role::Sums
    }

    /// What other runs have counted of a key, of this kind, as far as that adds up.
    pub fn counted(&self, key: &[u8], (data, index): (DataType, u16), now: Time) -> u64 {
        if !data.adds_up() {
            return 0;
        }
        let value = |mirror: &Arc<Mirror>| match data {
            DataType::ConnCur if !mirror.is_live() => None,
            _ => mirror.table.peek(key, now, |entry| track::value(entry, data, index, now)),
        };
        self.mirrors.load().iter().filter_map(value).fold(0, u64::saturating_add)
    }

    /// Other runs that are heard of, each with whether it lives.
    pub fn runs(&self) -> Vec<(String, bool, usize)> {
        let name = |mirror: &Mirror| self.wire_name(&mirror.node, &mirror.run);
        let mirrors = self.mirrors.load();
        mirrors.iter().map(|mirror| (name(mirror), mirror.is_live(), mirror.table.len())).collect()
    }

    /// Shows what each run that lives has published, with its node's name.
    pub fn live_runs(&self, mut each: impl FnMut(&str, &StickTable)) {
        let mirrors = self.mirrors.load();
        let live = mirrors.iter().filter(|mirror| mirror.is_live());
        live.for_each(|mirror| each(&mirror.node, &mirror.table));
    }

    /// The other runs as they are listed now: another list if one has come, gone or changed its speaker.
    pub(super) fn mirrors(&self) -> Arc<Vec<Arc<Mirror>>> {
        self.mirrors.load_full()
    }

    /// The name of a run's numbers.
    pub(super) fn wire_name(&self, node: &str, run: &str) -> String {
        format!("{}.{node}.{run}", self.name)
    }

    /// The mirror of a run of `node`, which lives now, as this speaker says.
    fn mirror(&self, node: &str, run: &str, speaker: Speaker, now: Time) -> Arc<Mirror> {
        let mirrors = self.mirrors.load_full();
        let is_it = |mirror: &&Arc<Mirror>| mirror.node == node && mirror.run == run;
        if let Some(found) = mirrors.iter().find(is_it) {
            if found.begin(speaker) {
                self.mirrors.store(Arc::new(Vec::clone(&mirrors)));
            }
            return Arc::clone(found);
        }
        let mirror = Arc::new(Mirror::new(node, run, speaker, self.options.clone(), now));
        let mut all = Vec::clone(&mirrors);
        let of_node = |mirror: &Arc<Mirror>| mirror.node == node;
        if all.iter().filter(|mirror| of_node(mirror)).count() >= MAX_RUNS
            && let Some(first) = all.iter().position(of_node)
        {
            all.remove(first);
        }
        all.push(Arc::clone(&mirror));
        self.mirrors.store(Arc::new(all));
        mirror
    }

    /// Of these runs this speaker does not say any more that they live.
    fn end_runs(&self, speaker: Speaker, which: impl Fn(&Mirror) -> bool) {
        let mirrors = self.mirrors.load_full();
        let ended = mirrors.iter().filter(|mirror| which(mirror) && mirror.end(speaker)).count();
        if ended > 0 {
            self.mirrors.store(Arc::new(Vec::clone(&mirrors)));
        }
    }
}

impl Cluster {
    /// Of `local` in the run `run`, and the other nodes.
    pub fn new(local: String, run: String, others: Vec<String>, tables: Vec<Shared>) -> Self {
        let [learnt, left, mute] = [const { AtomicU32::new(0) }; 3];
        Self { local, run, others, heard: AtomicU32::new(1), learnt, left, mute, tables }
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

    /// The name under which an own table goes to others.
    pub fn wire_name(&self, shared: &Shared) -> String {
        match shared.role {
            Role::Sums => shared.wire_name(&self.local, &self.run),
            Role::Common | Role::Private | Role::Aggregate => shared.name.clone(),
        }
    }

    /// Nodes that are heard, with this one, and nodes there are.
    pub fn nodes(&self) -> (u32, u32) {
        let heard = [&self.heard, &self.learnt, &self.left].map(|heard| heard.load(Ordering::Relaxed));
        let heard = heard.into_iter().max().unwrap_or(1);
        (heard, u32::try_from(self.others.len() + 1).unwrap_or(u32::MAX))
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
        self.end_runs(Speaker::Node, |mirror| mirror.node == peer);
    }

    /// The process before this one has taught all that it knows: until the other nodes are heard themselves,
    /// they count as it has heard them.
    pub fn has_learnt(&self) {
        self.learnt.store(self.nodes_that_live(), Ordering::Relaxed);
    }

    /// The other nodes have had their time to speak for themselves.
    pub fn hears_only_nodes(&self) {
        self.learnt.store(0, Ordering::Relaxed);
        self.end_runs(Speaker::Previous, |mirror| mirror.node != self.local);
    }

    /// The next process has taken over: the other nodes are heard through it.
    pub fn is_succeeded(&self) {
        let heard = self.nodes().0;
        self.mute.store(heard.saturating_sub(self.nodes_that_live()), Ordering::Relaxed);
        self.left.store(heard, Ordering::Relaxed);
    }

    /// Whether the next process has taken over, and lives.
    pub(super) fn has_successor(&self) -> bool {
        self.left.load(Ordering::Relaxed) > 0
    }

    /// This other process of the node is gone, and with it what ran there.
    pub fn process_is_gone(&self, with: With<'_>) {
        match with {
            With::Previous => self.learnt.store(0, Ordering::Relaxed),
            With::Next => self.left.store(0, Ordering::Relaxed),
            With::Peer(_) => return,
        }
        self.end_runs(with.speaker(), |_| true);
    }

    /// Drops runs that have ended and of which nothing is left. Once the next process has taken over, looks whom that
    /// one hears.
    pub fn forget(&self, now: Time) {
        if self.left.load(Ordering::Relaxed) > 0 {
            let heard = self.nodes_that_live() + self.mute.load(Ordering::Relaxed);
            self.left.store(heard.min(self.nodes().1), Ordering::Relaxed);
        }
        for shared in &self.tables {
            let mirrors = shared.mirrors.load_full();
            if mirrors.iter().any(|mirror| mirror.is_over(now)) {
                let rest = mirrors.iter().filter(|mirror| !mirror.is_over(now)).cloned().collect();
                // Only the thread of the peers adds and drops runs.
                shared.mirrors.store(Arc::new(rest));
            }
        }
    }

    /// The most tables that can be named in one session: whoever names more is not from this cluster.
    pub(super) fn most_tables(&self, with: With<'_>) -> usize {
        let nodes = match with {
            With::Peer(_) => 1,
            With::Previous | With::Next => self.others.len() + 1,
        };
        (self.tables.len() * (1 + nodes * MAX_RUNS)).max(LEAST_TABLES)
    }

    /// A session says of a run no more that it lives.
    pub(super) fn end_run(&self, place: usize, run: &Arc<Mirror>, with: With<'_>) {
        if let Some(shared) = self.tables.get(place) {
            shared.end_runs(with.speaker(), |mirror| std::ptr::eq(mirror, &**run));
        }
    }

    fn end_runs(&self, speaker: Speaker, which: impl Fn(&Mirror) -> bool) {
        self.tables.iter().for_each(|shared| shared.end_runs(speaker, &which));
    }

    /// Nodes of which a run is known to live, with this one.
    fn nodes_that_live(&self) -> u32 {
        let mirrors = self.tables.iter().map(Shared::mirrors).collect::<Vec<_>>();
        let lives = |node: &str| {
            mirrors.iter().any(|list| list.iter().any(|mirror| mirror.node == node && mirror.is_live()))
        };
        let living = self.others.iter().filter(|node| lives(node)).count();
        u32::try_from(living + 1).unwrap_or(u32::MAX)
    }

    /// Where what comes under `name` belongs. The first run that a peer's session names ends those of the
    /// sessions before it: `is_first` says of a table whether it is.
    pub(super) fn target(
        &self,
        with: With<'_>,
        name: &str,
        is_first: impl Fn(usize) -> bool,
        now: Time,
    ) -> Option<Target> {
        let is_own = |shared: &Shared| match shared.role {
            Role::Common => true,
            Role::Private => with == With::Previous,
            Role::Sums | Role::Aggregate => false,
        };
        if let Some(place) = self.tables.iter().position(|shared| is_own(shared) && shared.name == name) {
            return Some(Target::Own(place));
        }
        let (rest, run) = name.rsplit_once('.')?;
        let fits = (1..=MAX_RUN_NAME).contains(&run.len()) && run.bytes().all(|byte| byte.is_ascii_graphic());
        let of = |node: &str| {
            let table = rest.strip_suffix(node)?.strip_suffix('.')?;
            self.tables.iter().position(|shared| shared.role == Role::Sums && shared.name == table)
        };
        let (node, place) = match with {
            With::Peer(peer) => (peer, of(peer)?),
            With::Previous | With::Next => {
                let mut nodes = self.others.iter().chain([&self.local]);
                nodes.find_map(|node| Some((node.as_str(), of(node)?)))?
            }
        };
        if !fits || (node == self.local && run == self.run) {
            return None;
        }
        let speaker = with.speaker();
        if speaker == Speaker::Node && is_first(place) {
            self.tables[place].end_runs(speaker, |mirror| mirror.node == node);
        }
        Some(Target::Mirror(place, self.tables[place].mirror(node, run, speaker, now)))
    }
}

/// A table that a session writes.
#[derive(Debug)]
pub(super) enum Target {
    /// The own one, as last writer.
    Own(usize),
    /// A run's own numbers; with the place of the table that they are of.
    Mirror(usize, Arc<Mirror>),
}

/// Runs of one node that are remembered until their rates have aged out.
const MAX_RUNS: usize = 8;
/// Tables that may be named in a session, however few there are here: the other side may have more.
const LEAST_TABLES: usize = 256;
/// Bytes of a run's name.
const MAX_RUN_NAME: usize = 32;
