//! ExaBGP's text API: lines from a socket and from processes, into one table, out to the neighbors.
//!
//! One task keeps the table. A line is answered with `done` once the neighbors' tasks have been told, with `error` if it
//! could not be done; why is in the log.

mod lines;
mod process;

use crate::metrics::TextApiMetrics;
use base::Clock;
use bgp_core::config::Config;
use bgp_core::text_api::{Injected, Known, Owner, Table, parse};
use lines::converse;
use std::sync::Arc;
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// What one neighbor shall hold of it.
pub(crate) type Feed = watch::Receiver<Arc<Injected>>;

/// What the keeper of the table hears.
enum Request {
    /// A line, and where its answer goes.
    Line { owner: Owner, line: String, answer: oneshot::Sender<bool> },
    /// A process has ended, and its routes go with it.
    Gone { owner: Owner },
}

/// Starts socket, processes and keeper; the feeds are in the order of the neighbors, and the set ends when every process
/// has. `stop` carries a text when the speaker ends.
pub(crate) fn start(
    config: &Config,
    listener: Option<UnixListener>,
    metrics: TextApiMetrics,
    clock: Clock,
    stop: &watch::Receiver<Option<String>>,
) -> (Vec<Option<Feed>>, JoinSet<()>) {
    if !config.text_api.is_used() {
        return (config.neighbors.iter().map(|_| None).collect(), JoinSet::new());
    }
    let (senders, feeds): (_, Vec<_>) =
        config.neighbors.iter().map(|_| watch::channel(Arc::default())).unzip();
    let (ask, inbox) = mpsc::channel(WAITING);
    let known = config.neighbors.iter().map(|neighbor| Known {
        address: neighbor.address,
        local_ip: neighbor.source,
        local_as: config.bgp.asn,
        peer_as: neighbor.asn,
        router_id: config.bgp.router_id,
    });
    let reserved = config.vips.iter().map(|vip| vip.address.into()).collect();
    let table = Table::new(known.collect(), reserved, config.text_api.max_routes);
    tokio::spawn(Keeper { table, senders, metrics }.run(inbox));
    if let Some(listener) = listener {
        tokio::spawn(serve(listener, ask.clone()));
    }
    let mut processes = JoinSet::new();
    for (index, process) in config.text_api.processes.iter().enumerate() {
        let owner = Owner::Process(index);
        processes.spawn(process::run(process.clone(), owner, clock, ask.clone(), stop.clone()));
    }
    (feeds.into_iter().map(Some).collect(), processes)
}

struct Keeper {
    table: Table,
    senders: Vec<watch::Sender<Arc<Injected>>>,
    metrics: TextApiMetrics,
}

impl Keeper {
    async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        while let Some(request) = inbox.recv().await {
            match request {
                Request::Line { owner, line, answer } => {
                    let done = parse(&line).and_then(|command| self.table.apply(owner, command));
                    match done {
                        Ok(true) => {
                            self.publish();
                            tracing::info!(line, "text API");
                        }
                        Ok(false) => {}
                        Err(error) => tracing::warn!(line, error, "text API"),
                    }
                    self.metrics.line(done.is_ok());
                    // Who went away wants no answer.
                    let _ = answer.send(done.is_ok());
                }
                Request::Gone { owner } => {
                    if self.table.forget(owner) {
                        self.publish();
                    }
                }
            }
        }
    }

    fn publish(&self) {
        for (sender, wanted) in self.senders.iter().zip(self.table.wanted()) {
            sender.send_if_modified(|now| {
                let changed = **now != *wanted;
                if changed {
                    *now = wanted;
                }
                changed
            });
        }
        self.metrics.routes(self.table.len());
    }
}

async fn serve(listener: UnixListener, ask: mpsc::Sender<Request>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let ask = ask.clone();
                tokio::spawn(async move {
                    let (read, write) = stream.into_split();
                    converse(read, write, Owner::Socket, &ask).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the text API's socket does not accept");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// Lines that wait for the keeper; more wait where they come from.
const WAITING: usize = 64;
/// Connections at once; more wait.
const CONNECTIONS: usize = 32;
