//! ExaBGP's text API: lines from a socket and from processes, into one table, out to the neighbors.
//!
//! One task keeps the table. A line is answered with `done` once the neighbors' tasks have been told, with `error` if it
//! could not be done; why is in the log.

mod lines;
mod process;

use crate::handover::Freeze;
use crate::metrics::TextApiMetrics;
use base::Clock;
use bgp_core::config::{Config, Process};
use bgp_core::text_api::{Injected, Known, Owner, Table, parse, table};
use lines::converse;
use std::iter;
use std::sync::Arc;
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// What one neighbor shall hold of it.
pub(crate) type Feed = watch::Receiver<Arc<Injected>>;

/// Where the keeper of the table is asked.
pub(crate) type Asker = mpsc::Sender<Request>;

/// What another process goes on with.
pub(crate) type Saved = table::Saved;

/// What the keeper of the table hears.
pub(crate) enum Request {
    /// A line, and where its answer goes.
    Line { owner: Owner, line: String, answer: oneshot::Sender<bool> },
    /// A process has ended, and its routes go with it.
    Gone { owner: Owner },
    /// Another process wants to go on with the table.
    Freeze(Freeze<Saved>),
}

/// The text API, not running yet.
pub(crate) struct TextApi {
    /// In the order of the neighbors.
    pub(crate) feeds: Vec<Option<Feed>>,
    /// `None`: it is not used.
    pub(crate) ask: Option<Asker>,
    keeper: Option<(Keeper, mpsc::Receiver<Request>)>,
    processes: Vec<Process>,
    clock: Clock,
}

/// The processes that run.
pub(crate) struct Processes {
    stop: watch::Sender<Option<String>>,
    tasks: JoinSet<()>,
}

impl TextApi {
    /// Runs keeper and processes.
    pub(crate) fn run(self) -> Processes {
        let (stop, stopped) = watch::channel(None);
        let mut tasks = JoinSet::new();
        if let Some((keeper, inbox)) = self.keeper {
            tokio::spawn(keeper.run(inbox));
        }
        for ((index, process), ask) in self.processes.into_iter().enumerate().zip(iter::repeat(self.ask)) {
            let Some(ask) = ask else { break };
            let owner = Owner::Process(index);
            tasks.spawn(process::run(process, owner, self.clock, ask, stopped.clone()));
        }
        Processes { stop, tasks }
    }
}

impl Processes {
    /// Ends all of them.
    pub(crate) async fn end(mut self) {
        self.stop.send_replace(Some(String::new()));
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Makes everything but the socket; `saved` are the routes that another process had.
pub(crate) fn start(config: &Config, saved: Saved, metrics: TextApiMetrics, clock: Clock) -> TextApi {
    if !config.text_api.is_used() {
        let feeds = config.neighbors.iter().map(|_| None).collect();
        return TextApi { feeds, ask: None, keeper: None, processes: Vec::new(), clock };
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
    let processes = config.text_api.processes.clone();
    let mut table = Table::new(known.collect(), reserved, config.text_api.max_routes);
    table.resume(saved, processes.len());
    let keeper = Keeper { table, senders, metrics };
    keeper.publish();
    let feeds = feeds.into_iter().map(Some).collect();
    TextApi { feeds, ask: Some(ask), keeper: Some((keeper, inbox)), processes, clock }
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
                Request::Freeze(freeze) => {
                    let _ = freeze.reply.send(self.table.save());
                    if freeze.fate.await.is_ok() {
                        return;
                    }
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

/// Serves the socket for ever.
pub(crate) async fn serve(listener: UnixListener, ask: mpsc::Sender<Request>) {
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
