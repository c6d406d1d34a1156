//! What all workers share. Everything in here is written with short locks or atomically; nothing
//! waits while it holds one.

use crate::access_log::AccessLog;
use crate::early::Rejections;
use crate::error_pages::ErrorPages;
use crate::guard::Lines;
use crate::identity::LiveIdentity;
use crate::lists::LiveList;
use crate::load::Loaded;
use crate::metrics::Metrics;
use crate::observe;
use crate::peers::Peers;
use crate::tls::TlsSide;
use crate::trace::Tracer;
use crate::upstream::Backend;
use base::Clock;
use base_core::Time;
use gateway_core::observe::Observer;
use gateway_core::table::StickTable;
use gateway_core::{Config, sticky};
use std::hash::RandomState;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// The running gateway.
pub(crate) struct Gateway {
    pub(crate) config: Config,
    /// TLS of each frontend that speaks it.
    pub(crate) tls: Vec<Option<TlsSide>>,
    /// In the order of `config.frontends`.
    pub(crate) error_pages: Vec<ErrorPages>,
    /// In the order of `config.frontends`.
    pub(crate) rejections: Vec<Rejections>,
    /// What traces requests, if anything does.
    pub(crate) tracer: Option<Arc<Tracer>>,
    /// In the order of `config.lists`.
    pub(crate) lists: Vec<LiveList>,
    /// In the order of `config.identities`.
    pub(crate) identities: Vec<LiveIdentity>,
    /// What is observed of clients, if anything is.
    pub(crate) observer: Option<Observer>,
    pub(crate) node: String,
    pub(crate) clock: Clock,
    /// In the order of `config.tables`.
    pub(crate) tables: Vec<Arc<StickTable>>,
    /// For who saves a table, so that nobody else does.
    pub(crate) saving: Mutex<()>,
    /// Who waits under a limit.
    pub(crate) lines: Lines,
    /// The other nodes of the cluster.
    pub(crate) peers: Option<Peers>,
    /// In the order of `config.backends`.
    pub(crate) backends: Vec<Backend>,
    /// Whom all servers with TLS are trusted by, where that is one file.
    pub(crate) server_ca: Option<PathBuf>,
    /// What each server of each backend is asked by, if it is checked.
    pub(crate) probers: Vec<Vec<Option<healthcheck::Prober>>>,
    pub(crate) metrics: Metrics,
    pub(crate) access_log: AccessLog,
    pub(crate) load: Load,
    /// When each worker last turned its loop.
    turns: Box<[AtomicU64]>,
    /// Whether answers end their connection.
    draining: AtomicBool,
}

/// What there is to do, for the end of the process and for the log.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// Client connections that are open.
    pub(crate) connections: AtomicU64,
    /// Requests that run, without probes.
    pub(crate) in_flight: AtomicU64,
    /// Requests begun, without probes.
    pub(crate) started: AtomicU64,
}

impl Gateway {
    pub(crate) fn new(
        loaded: Loaded,
        node: String,
        workers: usize,
        clock: Clock,
        access_log: AccessLog,
    ) -> Self {
        let Loaded { config, tls, server_tls, names: _, error_pages, lists, identities, peers_tls, probers } =
            loaded;
        let observer = observe::load(&config);
        let metrics = Metrics::new(&config);
        let table = |table: &gateway_core::config::Table| {
            Arc::new(StickTable::new(table.options(), &RandomState::new()))
        };
        let tables: Vec<_> = config.tables.iter().map(table).collect();
        for backend in &config.backends {
            if let Some(table) = backend.stick {
                let names = backend.servers.iter().map(|server| server.name.as_str());
                sticky::intern(&tables[table.0], names);
            }
        }
        let now = clock.now().as_nanos();
        Self {
            peers: Peers::new(&config, &node, &tables, peers_tls),
            tables,
            saving: Mutex::default(),
            lines: Lines::default(),
            backends: config
                .backends
                .iter()
                .zip(server_tls.servers)
                .map(|(backend, identities)| Backend::new(backend, identities))
                .collect(),
            tracer: config.tracing.as_ref().map(Tracer::new).map(Arc::new),
            error_pages,
            rejections: config.frontends.iter().map(|_| Rejections::default()).collect(),
            probers,
            lists,
            identities,
            observer,
            server_ca: server_tls.ca_file,
            node,
            clock,
            metrics,
            access_log,
            load: Load::default(),
            turns: (0..workers).map(|_| AtomicU64::new(now)).collect(),
            draining: AtomicBool::new(false),
            tls,
            config,
        }
    }

    /// A worker says that its loop turns.
    pub(crate) fn turned(&self, worker: usize) {
        self.turns[worker].store(self.clock.now().as_nanos(), Ordering::Relaxed);
    }

    /// When each worker last turned its loop.
    pub(crate) fn turns(&self) -> Vec<Time> {
        self.turns.iter().map(|turned| Time::from_nanos(turned.load(Ordering::Relaxed))).collect()
    }

    /// Whether another process of this node has taken over, and with that the files that both would write.
    pub(crate) fn is_succeeded(&self) -> bool {
        self.peers.as_ref().is_some_and(|peers| peers.succeeded.load(Ordering::Relaxed))
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Relaxed);
    }
}
