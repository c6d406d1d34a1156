//! Starts everything in the order that is safe, and ends it in the order that is; or goes on where another process was, and
//! lets another go on.
//!
//! Start: sockets of our own, VIPs on `lo`, then gate and neighbors. End: every VIP is the last choice, then withdrawn
//! (`end`), then a goodbye to every neighbor, then BFD, then the VIPs off `lo`.

use crate::bfd::{self, Bfd};
use crate::control::{Control, Renew};
use crate::handover::Paths;
use crate::handover::take::{Inherited, Taking};
use crate::journal::Journal;
use crate::listener::Door;
use crate::loopback::Loopback;
use crate::metrics::Metrics;
use crate::renew::Renewed;
use crate::sockets::{Servers, Sockets};
use crate::tasks::{Freezers, Left, Shared, Tasks};
use crate::{disable, notify, socket, sys, text_api, traffic};
use base::Clock;
use base_core::diagnose::{Diagnostic, Source};
use bgp_core::config::{self, Config};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

/// Why the speaker does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A value of the configuration cannot be used, or not on this machine.
    #[error("{0}")]
    Config(Box<Diagnostic>),
    /// The system refuses what every process needs.
    #[error("error: {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Runs until SIGTERM or SIGINT, then says goodbye to everybody; or until another process has taken over. `take_over`:
/// this process takes over from the one at the other end of the standard input.
pub async fn run(file: &Path, take_over: bool) -> Result<(), StartError> {
    if !take_over {
        let text = std::fs::read_to_string(file).map_err(system("the configuration"))?;
        let (speaker, built) = Speaker::start(file, text, &mut Inherited::default(), None).await?;
        let running = speaker.go(built)?;
        notify::ready();
        return speaker.run(running).await;
    }
    let (taking, hello, mut inherited) = Taking::begin().map_err(system("taking over"))?;
    let (speaker, built) = match Speaker::start(file, hello.config, &mut inherited, Some(&taking)).await {
        Ok(started) => started,
        Err(error) => {
            taking.refuse(&error.to_string());
            return Err(error);
        }
    };
    taking.go().map_err(system("taking over"))?;
    let running = speaker.go(built)?;
    tracing::info!(process = std::process::id(), "took over");
    speaker.run(running).await
}

/// What a speaker is made of.
pub(crate) struct Speaker {
    pub(crate) file: PathBuf,
    pub(crate) program: PathBuf,
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Clock,
    pub(crate) journal: Journal,
    pub(crate) sockets: Sockets,
    pub(crate) freezers: Freezers,
    /// The keeper of the text API's table, if that is used.
    pub(crate) asker: Option<text_api::Asker>,
    pub(crate) added: watch::Receiver<BTreeSet<IpAddr>>,
    pub(crate) control: Arc<Control>,
    pub(crate) signals: Signals,
    metrics: Metrics,
    doors: Arc<[Door]>,
    renewals: mpsc::Receiver<Renew>,
}

/// What does not run yet.
struct Built {
    tasks: Tasks,
    text_api: text_api::TextApi,
    bfd: bfd::Prepared,
    loopback: Loopback,
    disabled: bool,
}

/// What runs.
pub(crate) struct Running {
    pub(crate) neighbors: JoinSet<()>,
    pub(crate) bfd: Option<Bfd>,
    processes: text_api::Processes,
    servers: Servers,
    stop: watch::Sender<Option<String>>,
    end: oneshot::Sender<()>,
    loopback: JoinHandle<()>,
}

/// What the operator's system says.
pub(crate) struct Signals {
    pub(crate) terminate: Signal,
    pub(crate) interrupt: Signal,
    hangup: Signal,
    upgrade: Signal,
}

/// What ends the wait.
enum Word {
    End(&'static str),
    Renew(Renew),
}

impl Speaker {
    /// Builds everything, and runs nothing yet.
    async fn start(
        file: &Path,
        text: String,
        inherited: &mut Inherited,
        taking: Option<&Taking>,
    ) -> Result<(Self, Built), StartError> {
        let source = Source::new(file.display().to_string(), text);
        let config = read(&source).map_err(|error| StartError::Config(Box::new(error)))?;
        let signals = Signals::new().map_err(system("signals"))?;
        try_keys(&config, &source)?;
        let sockets = Sockets::open(&config, &source, inherited)?;
        let metrics = Metrics::new().map_err(|error| system("metrics")(io::Error::other(error)))?;
        if let Err(error) = sys::set_priority(PRIORITY) {
            tracing::info!(%error, "runs at ordinary priority");
        }
        let config = Arc::new(config);
        let disabled = match config.disable.clone() {
            Some(path) => disable::present(path).await,
            None => false,
        };
        let program = std::env::current_exe().map_err(system("the program"))?;
        // From here on the process before this one waits.
        let (record, connections) = match taking {
            Some(taking) => taking.record().map(|(record, sockets)| (Some(record), sockets)),
            None => Ok((None, Vec::new())),
        }
        .map_err(system("taking over"))?;
        let clock = record.as_ref().map_or_else(Clock::start, |record| Clock::resume(record.now));
        let (mut prepared, paths) =
            Bfd::prepare(&config, clock, &metrics.bfd, inherited).map_err(system("BFD"))?;
        let (mut left, mut events, mut added) = (Left::default(), Vec::new(), Vec::new());
        let mut routes = text_api::Saved::default();
        let mut known = BTreeMap::new();
        if let Some(record) = record {
            for ((key, saved), socket) in record.neighbors.into_iter().zip(connections) {
                known.extend(saved.path.map(|state| (key.clone(), state)));
                left.neighbors.insert(key, (saved, socket));
            }
            left.gate = Some(record.gate);
            (events, added, routes) = (record.events, record.loopback, record.text_api);
        }
        let wanted = config.vips.iter().filter(|vip| vip.loopback).map(|vip| vip.address);
        let loopback = Loopback::add(wanted, added).await.map_err(system("netlink"))?;
        let journal = Journal::resume(events);
        let text_api = text_api::start(&config, routes, metrics.text_api(), clock);
        let feeds = text_api.feeds.clone();
        let shared = Shared { config: &config, clock, metrics: &metrics, journal: &journal };
        let (tasks, freezers) = Tasks::new(&shared, (paths, feeds), left).map_err(system("connections"))?;
        let (renew, renewals) = mpsc::channel(1);
        let control = Control {
            config: Arc::clone(&config),
            board: tasks.board.clone(),
            clock,
            gate: tasks.inbox.clone(),
            journal: journal.clone(),
            drains: AtomicU64::new(1),
            renew,
        };
        if let Some(taking) = taking {
            let (Paths { paths }, sockets) = taking.paths().map_err(system("taking over"))?;
            prepared.resume(paths.into_iter().zip(sockets), &known);
        }
        let speaker = Self {
            file: file.to_owned(),
            program,
            clock,
            metrics,
            journal,
            sockets,
            doors: Arc::clone(&tasks.doors),
            control: Arc::new(control),
            renewals,
            signals,
            freezers,
            asker: text_api.ask.clone(),
            added: loopback.added(),
            config,
        };
        Ok((speaker, Built { tasks, text_api, bfd: prepared, loopback, disabled }))
    }

    /// Runs what is built; BFD first, as its neighbors wait for milliseconds.
    fn go(&self, built: Built) -> Result<Running, StartError> {
        let Built { tasks, text_api, bfd, loopback, disabled } = built;
        let bfd = bfd.spawn().map_err(system("BFD"))?;
        let (stop, stopped) = watch::channel(None);
        let inbox = tasks.inbox.clone();
        let neighbors = tasks.run(loopback.present(), disabled, &stopped);
        let (end, ended) = oneshot::channel();
        if self.config.verify.traffic {
            let watch = traffic::Watch {
                every: self.config.verify.stuck_after,
                clock: self.clock,
                journal: self.journal.clone(),
                metrics: self.metrics.clone(),
            };
            tokio::spawn(watch.run(self.control.board.decisions.clone()));
        }
        if let Some(path) = self.config.disable.clone() {
            tokio::spawn(disable::watch(path, disabled, inbox.clone()));
        }
        let loopback = tokio::spawn(loopback.keep(inbox, ended));
        let processes = text_api.run();
        let servers = self.serve()?;
        tracing::info!(
            asn = self.config.bgp.asn,
            neighbors = self.config.neighbors.len(),
            vips = self.config.vips.len(),
            "started"
        );
        Ok(Running { neighbors, bfd, processes, servers, stop, end, loopback })
    }

    fn serve(&self) -> Result<Servers, StartError> {
        self.sockets
            .serve(&self.metrics, &self.doors, &self.control, self.asker.as_ref())
            .map_err(system("listeners"))
    }

    async fn run(mut self, mut running: Running) -> Result<(), StartError> {
        loop {
            let renew = match self.word().await {
                Word::Renew(renew) => renew,
                Word::End(why) => {
                    self.leave(why).await;
                    self.end(running, why).await;
                    return Ok(());
                }
            };
            running.servers.tasks.shutdown().await;
            let outcome = self.renew(&renew, &mut running).await;
            let gone = matches!(outcome, Ok(Renewed::Gone(_)));
            let text = match outcome {
                Ok(Renewed::Stays(text) | Renewed::Gone(text)) => text,
                Err(text) => format!("error: {}", text.trim_start_matches("error: ")),
            };
            tracing::info!(upgrade = renew.upgrade, plan = renew.plan, outcome = text, "renewal");
            let _ = renew.answer.send(text);
            if gone {
                let last = async {
                    while running.neighbors.join_next().await.is_some() {}
                    running.processes.end().await;
                };
                let _ = tokio::time::timeout(FAREWELL, last).await;
                // Who asked gets the answer, and so does everybody else who still waits for one.
                let _ = tokio::time::timeout(ANSWER, running.servers.answers.recv()).await;
                return Ok(());
            }
            running.servers = self.serve()?;
        }
    }

    async fn word(&mut self) -> Word {
        let silent = |upgrade| {
            let (answer, _) = oneshot::channel();
            Word::Renew(Renew { plan: false, reset: false, upgrade, answer })
        };
        let Signals { terminate, interrupt, hangup, upgrade } = &mut self.signals;
        tokio::select! {
            _ = terminate.recv() => Word::End("SIGTERM"),
            _ = interrupt.recv() => Word::End("SIGINT"),
            _ = hangup.recv() => silent(false),
            _ = upgrade.recv() => silent(true),
            Some(renew) = self.renewals.recv() => Word::Renew(renew),
        }
    }

    async fn end(&self, running: Running, why: &str) {
        let Running { mut neighbors, bfd, processes, stop, end, loopback, servers } = running;
        stop.send_replace(Some(format!("{} ends: {why}", self.config.node.as_deref().unwrap_or_default())));
        let farewell = async {
            let neighbors = async { while neighbors.join_next().await.is_some() {} };
            tokio::join!(neighbors, processes.end());
            if let Some(bfd) = bfd {
                bfd.stop().await;
            }
            drop(end);
            let _ = loopback.await;
        };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            tracing::warn!("not everybody took part in the goodbye");
        }
        drop(servers);
        let _ = std::fs::remove_file(self.config.bgp.socket.get_ref());
        if let Some(socket) = &self.config.text_api.socket {
            let _ = std::fs::remove_file(socket.get_ref());
        }
    }
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            upgrade: signal(SignalKind::user_defined2())?,
        })
    }
}

/// Reads a configuration, and gives it the name that it lacks.
pub(crate) fn read(source: &Source) -> Result<Config, Diagnostic> {
    let mut config = config::parse(source)?;
    config.node.get_or_insert_with(host_name);
    Ok(config)
}

fn system(what: &'static str) -> impl Fn(io::Error) -> StartError {
    move |source| StartError::System { what, source }
}

/// A kernel that does not sign as a neighbor wants it would only show as connections that time out.
fn try_keys(config: &Config, source: &Source) -> Result<(), StartError> {
    for neighbor in &config.neighbors {
        let Some(ao) = &neighbor.tcp_ao else { continue };
        socket::try_key(neighbor).map_err(|error| {
            let message = format!("this kernel does not sign with TCP-AO: {error}");
            let help = "Linux 6.7 or later with CONFIG_TCP_AO; or password = \"…\" for TCP MD5";
            StartError::Config(Box::new(source.at(ao.span(), message).help(help)))
        })?;
    }
    Ok(())
}

/// The node's name when the configuration gives none.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// Niceness: a withdraw must not wait behind the requests that the node is busy with.
const PRIORITY: i32 = -10;
/// How long the whole goodbye may take.
const FAREWELL: Duration = Duration::from_millis(1800);
/// How long a process that was taken over from stays at most for those who have not taken their answers yet.
const ANSWER: Duration = Duration::from_secs(1);
