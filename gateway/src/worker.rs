//! A worker: one thread with a runtime of its own, its own listening sockets and its own connections
//! to servers. Nothing moves between workers, so nothing waits for another core.

use crate::accept::{self, Listener};
use crate::exchange::Exchange;
use crate::proxy::Edge;
use crate::state::Gateway;
use pingora::apps::HttpServerApp;
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

/// What the control thread wants of the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Accept and serve.
    Serve,
    /// Serve, but end each connection with its next answer.
    Drain,
    /// Accept no more; serve what is there.
    Close,
    /// End.
    Stop,
}

/// Starts worker number `worker` on its listeners.
pub(crate) fn start(
    gateway: Arc<Gateway>,
    worker: usize,
    listeners: Vec<Listener>,
    phase: watch::Receiver<Phase>,
) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // The name is shown by ps and top, and tells a stuck worker from the others.
    std::thread::Builder::new().name(format!("worker-{worker}")).spawn(move || {
        runtime.block_on(run(gateway, worker, listeners, phase));
    })
}

async fn run(
    gateway: Arc<Gateway>,
    worker: usize,
    listeners: Vec<Listener>,
    mut phase: watch::Receiver<Phase>,
) {
    let conf = ServerConf {
        threads: 1,
        upstream_keepalive_pool_size: IDLE_CONNECTIONS,
        max_retries: MAX_TRIES,
        ca_file: gateway.server_ca.as_ref().map(|path| path.display().to_string()),
        ..ServerConf::default()
    };
    let exchange = Arc::new(Exchange::new(Edge { gateway: Arc::clone(&gateway), worker }, IDLE_CONNECTIONS));
    let mut proxy = HttpProxy::new(Edge { gateway: Arc::clone(&gateway), worker }, Arc::new(conf));
    proxy.handle_init_modules();
    let proxy = Arc::new(proxy);
    for listener in listeners {
        let (proxy, exchange) = (Arc::clone(&proxy), Arc::clone(&exchange));
        tokio::spawn(accept::run(Arc::clone(&gateway), worker, listener, proxy, exchange, phase.clone()));
    }
    let mut turn = tokio::time::interval(TURN);
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            _ = turn.tick() => {
                gateway.turned(worker);
                gateway.access_log.flush(worker);
            }
            _ = sweep.tick() => exchange.sweep(),
            changed = phase.wait_for(|phase| *phase == Phase::Stop) => {
                if changed.is_ok() {
                    proxy.http_cleanup().await;
                }
                return;
            }
        }
    }
}

/// How often a worker says that its loop turns: several times in the 300 ms after which it counts as
/// stuck.
const TURN: Duration = Duration::from_millis(50);
/// How often connections to servers are asked whether they still stand: so long one that its server has closed
/// holds a descriptor.
const SWEEP: Duration = Duration::from_secs(1);
/// Idle connections to servers that a worker keeps.
const IDLE_CONNECTIONS: usize = 1024;
/// Above any number of retries that can be configured: those are what bounds tries.
const MAX_TRIES: usize = 32;
