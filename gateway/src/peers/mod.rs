//! Peers at work: one thread for all of them, one task for each, so that no request waits for them.
//!
//! ```text
//!  listener ─► hello ─┐
//!                     ├─► a peer's task: link (who dials, who lives) ─► session: bytes in ─► cluster, tables
//!  dial ─────► hello ─┘                                                          out ◄─ changes, every 5 ms
//! ```

mod accept;
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
use gateway_core::peers::{Cluster, Shared, vips};
use gateway_core::table::StickTable;
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

/// What is known of the peers, for requests and metrics.
pub(crate) struct Peers {
    pub(crate) cluster: Arc<Cluster>,
    /// Where each table of the configuration is among the shared ones.
    shared: Vec<Option<usize>>,
    /// In the order of the configuration.
    pub(crate) states: Vec<PeerState>,
    /// How many connections of this node's speaker there have been.
    pub(crate) speakers: AtomicU64,
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
    /// What this configuration shares; none if it has no peers.
    pub(crate) fn new(config: &Config, tables: &[Arc<StickTable>], tls: Option<PeersTls>) -> Option<Self> {
        let peers = config.peers.as_ref()?;
        let mut all = Vec::new();
        let mut places = Vec::new();
        for (table, own) in config.tables.iter().zip(tables) {
            let shared = table.peers_name.as_ref().map(|name| {
                all.push(Shared::new(name.clone(), Arc::clone(own), table.options(), table.sums));
                all.len() - 1
            });
            places.push(shared);
        }
        all.push(vips::shared());
        // Begins with a letter, unlike the process numbers of HAProxy.
        let run = format!("{HEADGATE}{:012x}", RandomState::new().hash_one(std::process::id()) >> 16);
        let nodes = u32::try_from(peers.peers.len() + 1).unwrap_or(u32::MAX);
        Some(Self {
            cluster: Arc::new(Cluster::new(peers.local.clone(), run, nodes, all)),
            shared: places,
            states: peers.peers.iter().map(|_| PeerState::default()).collect(),
            speakers: AtomicU64::new(0),
            tls,
        })
    }

    /// A table as peers know it.
    pub(crate) fn shared(&self, table: TableId) -> Option<&Shared> {
        self.cluster.tables().get(self.shared.get(table.0).copied().flatten()?)
    }

    /// What the other nodes have counted, for the limits of a tracker.
    pub(crate) fn others(&self, tracker: &Tracker, key: &[u8], now: Time) -> Others {
        let shared = self.shared(tracker.table);
        shared.map_or(Others::NONE, |shared| self.cluster.others(shared, key, &tracker.limits, now))
    }
}

/// Starts the thread of the peers. It ends with the process.
pub(crate) fn start(gateway: Arc<Gateway>, listener: TcpListener) -> Result<(), StartError> {
    let system = |source| StartError::System { what: "the peers", source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
    let thread = std::thread::Builder::new().name("peers".to_owned());
    let run = move || runtime.block_on(run(gateway, listener));
    thread.spawn(run).map_err(system).map(drop)
}

async fn run(gateway: Arc<Gateway>, listener: TcpListener) {
    let Some(config) = &gateway.config.peers else { return };
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "peers can't be heard"),
    };
    let mut inboxes = Vec::new();
    for place in 0..config.peers.len() {
        let (sender, inbox) = mpsc::channel(ACCEPTED);
        inboxes.push(sender);
        tokio::spawn(task::run(Arc::clone(&gateway), place, inbox));
    }
    tokio::spawn(accept::run(Arc::clone(&gateway), listener, inboxes));
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        sweep.tick().await;
        if let Some(peers) = &gateway.peers {
            peers.cluster.sweep(gateway.clock.now());
        }
    }
}

fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// What the name of a run begins with.
const HEADGATE: &str = "hg";
/// Connections of one peer that wait for its task.
const ACCEPTED: usize = 4;
/// How often expired entries of other nodes are dropped.
const SWEEP: Duration = Duration::from_secs(1);
