//! Peers at work: one thread for all of them, one task for each, so that no request waits for them.
//!
//! ```text
//!  listener ─► hello ─┐
//!                     ├─► a peer's task: link (who dials, who lives) ─► session: bytes in ─► cluster, tables
//!  dial ─────► hello ─┘                                                          out ◄─ changes, every 5 ms
//!
//!  UNIX socket ─► handover: the same with the process of this node before this one, and the one after it
//! ```

mod accept;
mod handover;
mod session;
mod task;
mod tls;

pub use tls::{PeersTls, load as load_tls};

use crate::load::StartError;
use crate::state::Gateway;
use base_core::Time;
use gateway_core::Config;
use gateway_core::config::TableId;
use gateway_core::limits::{Others, Tracker};
use gateway_core::peers::aggregate::{self, Aggregate};
use gateway_core::peers::{Cluster, Renewal, Role, Shared, vips};
use gateway_core::table::StickTable;
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};

/// What is known of the peers, for requests and metrics.
pub(crate) struct Peers {
    pub(crate) cluster: Arc<Cluster>,
    /// Where each table of the configuration is among the shared ones.
    shared: Vec<Option<usize>>,
    /// Tables whose sums HAProxy nodes get: where each is, and where its sums are.
    sums: Vec<(usize, usize)>,
    /// In the order of the configuration.
    pub(crate) states: Vec<PeerState>,
    /// How many connections of this node's speaker there have been.
    pub(crate) speakers: AtomicU64,
    /// Whether the next process of this node has taken over.
    pub(crate) succeeded: AtomicBool,
    tls: Option<PeersTls>,
}

/// How it goes with one peer.
#[derive(Debug, Default)]
pub(crate) struct PeerState {
    pub(crate) live: AtomicBool,
    /// Sessions there have been.
    pub(crate) sessions: AtomicU64,
    /// Entries taken from it.
    pub(crate) received: AtomicU64,
    /// Bytes sent to it.
    pub(crate) sent: AtomicU64,
    /// Sessions that ended since it broke the protocol, or said that this node did.
    pub(crate) faults: AtomicU64,
}

/// A connection in clear or over TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Peers {
    /// What this configuration shares; none if it has no peers and hands nothing over.
    pub(crate) fn new(
        config: &Config,
        node: &str,
        tables: &[Arc<StickTable>],
        tls: Option<PeersTls>,
    ) -> Option<Self> {
        let peers = config.peers.as_ref();
        let handover = config.admin.handover.is_some();
        if peers.is_none() && !handover {
            return None;
        }
        let mut all = Vec::new();
        let mut places = Vec::new();
        let mut aggregates = Vec::new();
        for (table, own) in config.tables.iter().zip(tables) {
            let (name, role) = match &table.peers_name {
                Some(name) if table.sums => (name, Role::Sums),
                Some(name) => (name, Role::Common),
                None if handover => (&table.name, Role::Private),
                None => {
                    places.push(None);
                    continue;
                }
            };
            all.push(Shared::new(
                name.clone(),
                Arc::clone(own),
                table.options(),
                role,
                handover || table.agg,
            ));
            places.push(Some(all.len() - 1));
            if table.agg {
                aggregates.push((all.len() - 1, aggregate::shared(name, &table.options())));
            }
        }
        all.extend(peers.map(|_| vips::shared(handover)));
        let mut sums = Vec::new();
        for (source, shared) in aggregates {
            sums.push((source, all.len()));
            all.push(shared);
        }
        // Begins with a letter, unlike the process numbers of HAProxy.
        let run = format!("{HEADGATE}{:012x}", RandomState::new().hash_one(std::process::id()) >> 16);
        let local = peers.map_or_else(|| node.to_owned(), |peers| peers.local.clone());
        let others: Vec<_> =
            peers.iter().flat_map(|peers| &peers.peers).map(|peer| peer.name.clone()).collect();
        Some(Self {
            shared: places,
            sums,
            speakers: AtomicU64::new(0),
            states: others.iter().map(|_| PeerState::default()).collect(),
            cluster: Arc::new(Cluster::new(local, run, others, all)),
            succeeded: AtomicBool::new(false),
            tls,
        })
    }

    /// A table as peers know it.
    pub(crate) fn shared(&self, table: TableId) -> Option<&Shared> {
        self.cluster.tables().get(self.shared.get(table.0).copied().flatten()?)
    }

    /// As [`Self::shared`], if what the other nodes have counted in it adds up.
    pub(crate) fn summed(&self, table: TableId) -> Option<&Shared> {
        self.shared(table).filter(|shared| shared.is_summed())
    }

    /// What the other nodes have counted, for the limits of a tracker.
    pub(crate) fn others(&self, tracker: &Tracker, key: &[u8], now: Time) -> Others {
        let shared = self.shared(tracker.table);
        shared.map_or(Others::NONE, |shared| self.cluster.others(shared, key, &tracker.limits, now))
    }
}

/// Listens for peers, if there are any.
pub(crate) fn bind(config: &Config) -> Result<Option<TcpListener>, StartError> {
    let bind = match config.admin.handover {
        Some(_) => crate::accept::bind_with_next,
        None => crate::accept::bind_alone,
    };
    config.peers.as_ref().map(|peers| bind(&peers.bind)).transpose()
}

/// Starts the thread of the peers, which ends with the process, and learns from the process before this one,
/// if there is one. Nothing is to be served before that.
pub(crate) fn start(gateway: &Arc<Gateway>, listener: Option<TcpListener>) -> Result<(), StartError> {
    if gateway.peers.is_none() {
        return Ok(());
    }
    let system = |source| StartError::System { what: "the peers", source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
    let thread = std::thread::Builder::new().name("peers".to_owned());
    let (learnt, has_learnt) = std::sync::mpsc::sync_channel(0);
    let gateway = Arc::clone(gateway);
    let run = move || runtime.block_on(run(gateway, listener, learnt));
    thread.spawn(run).map_err(system)?;
    // Bounded by the lesson's own time.
    let _ = has_learnt.recv();
    Ok(())
}

async fn run(gateway: Arc<Gateway>, listener: Option<TcpListener>, learnt: SyncSender<()>) {
    let Some(peers) = &gateway.peers else { return };
    let (talks, talking) = watch::channel(true);
    if let Some(path) = gateway.config.admin.handover.clone() {
        handover::start(Arc::clone(&gateway), path, talks).await;
    }
    drop(learnt);
    if let Some((config, listener)) = gateway.config.peers.as_ref().zip(listener) {
        let mut inboxes = Vec::new();
        for place in 0..config.peers.len() {
            let (sender, inbox) = mpsc::channel(ACCEPTED);
            inboxes.push(sender);
            tokio::spawn(task::run(Arc::clone(&gateway), place, inbox, talking.clone()));
        }
        for (source, target) in peers.sums.iter().copied() {
            let (gateway, interval) = (Arc::clone(&gateway), config.update_interval);
            tokio::spawn(async move { add_up(&gateway, Aggregate::new(source, target), interval).await });
        }
        tokio::spawn(accept::run(Arc::clone(&gateway), listener, inboxes.into(), talking));
    }
    for renewal in Renewal::of(&peers.cluster, gateway.clock.now()) {
        tokio::spawn(renew(Arc::clone(&gateway), renewal));
    }
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        peers.cluster.forget(gateway.clock.now());
    }
}

/// Tells others once more what runs for longer than an entry lives.
async fn renew(gateway: Arc<Gateway>, mut renewal: Renewal) {
    let Some(peers) = &gateway.peers else { return };
    loop {
        let next = renewal.go_on(&peers.cluster, gateway.clock.now());
        gateway.clock.sleep_until(next).await;
    }
}

/// Keeps the sums for HAProxy nodes up to date, as often as anything is sent.
async fn add_up(gateway: &Gateway, mut aggregate: Aggregate, interval: Duration) {
    let Some(peers) = &gateway.peers else { return };
    let mut turn = tokio::time::interval(interval);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        aggregate.go_on(&peers.cluster, ADDED_UP, gateway.clock.now());
    }
}

fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// What the name of a run begins with.
const HEADGATE: &str = "hg";
/// Entries of each run that are added up at once.
const ADDED_UP: usize = 1024;
/// Connections of one peer that wait for its task.
const ACCEPTED: usize = 4;
/// How often runs are looked for of which nothing is left.
const LOOK: Duration = Duration::from_secs(1);
