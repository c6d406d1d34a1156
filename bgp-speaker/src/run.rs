//! Starts everything in the order that is safe, and ends it in the order that is.
//!
//! Start: sockets of our own, VIPs on `lo`, then gate and neighbors. End: withdraws and a goodbye to every
//! neighbor, then BFD, then the VIPs off `lo`.

use crate::bfd::{self, Bfd};
use crate::board::{self, Board, NeighborView};
use crate::control::Control;
use crate::journal::Journal;
use crate::listener::{self, Door};
use crate::loopback::Loopback;
use crate::metrics::{self, Metrics};
use crate::{disable, gate, neighbor, socket, sys, text_api};
use base::{Clock, control};
use base_core::diagnose::{Diagnostic, Source};
use bgp_core::config::{self, Config};
use bgp_core::fsm::negotiate::{Local, Offer};
use bgp_core::fsm::{self};
use bgp_core::gate::Gate;
use bgp_core::neighbor::Neighbor;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use toml::Spanned;

/// Why the speaker does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A value of the configuration cannot be used on this machine.
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

/// Runs until SIGTERM or SIGINT, then says goodbye to everybody. `source` is where `config` was read from.
pub async fn run(mut config: Config, source: &Source) -> Result<(), StartError> {
    let system = |what| move |source| StartError::System { what, source };
    let mut terminate = signal(SignalKind::terminate()).map_err(system("signals"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("signals"))?;
    let control = open_socket(&config.bgp.socket, source)?;
    let text_socket =
        config.text_api.socket.as_ref().map(|socket| open_socket(socket, source)).transpose()?;
    try_keys(&config, source)?;
    let listeners = open_listeners(&config, source)?;
    let metrics = Metrics::new().map_err(|error| system("metrics")(io::Error::other(error)))?;
    if let Some(listener) = open_metrics(&config, source).await? {
        tokio::spawn(metrics::serve(listener, metrics.clone()));
    }
    if let Err(error) = sys::set_priority(PRIORITY) {
        tracing::info!(%error, "runs at ordinary priority");
    }
    config.node.get_or_insert_with(host_name);
    let config = Arc::new(config);
    let wanted = config.vips.iter().filter(|vip| vip.loopback).map(|vip| vip.address);
    let clock = Clock::start();
    let (bfd, paths) = Bfd::start(&config, clock, &metrics.bfd).map_err(system("BFD"))?;
    let loopback = Loopback::add(wanted).await.map_err(system("netlink"))?;

    let disabled = match config.disable.clone() {
        Some(path) => disable::present(path).await,
        None => false,
    };
    let journal = Journal::new();
    let (stop, stopped) = watch::channel(None);
    let (feeds, mut processes) = text_api::start(&config, text_socket, metrics.text_api(), clock, &stopped);
    let shared = Shared { clock, metrics: &metrics, journal: &journal, stopped: &stopped };
    let (board, mut neighbors, gate) =
        start(&config, &shared, listeners, (paths, feeds), loopback.present(), disabled);
    let (end, ended) = oneshot::channel();
    if let Some(path) = config.disable.clone() {
        tokio::spawn(disable::watch(path, disabled, gate.clone()));
    }
    let loopback = tokio::spawn(loopback.keep(gate.clone(), ended));
    serve_control(control, Control { config: Arc::clone(&config), board, clock, gate, journal });
    tracing::info!(
        asn = config.bgp.asn,
        neighbors = config.neighbors.len(),
        vips = config.vips.len(),
        "started"
    );

    let why = ended_by(&mut terminate, &mut interrupt).await;
    tracing::info!(why, "ends: withdraws everything");
    stop.send_replace(Some(format!("{} ends: {why}", config.node.as_deref().unwrap_or_default())));
    let farewell = async {
        while neighbors.join_next().await.is_some() {}
        while processes.join_next().await.is_some() {}
        if let Some(bfd) = bfd {
            bfd.stop().await;
        }
        drop(end);
        let _ = loopback.await;
    };
    if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
        tracing::warn!("not everybody took part in the goodbye");
    }
    let _ = std::fs::remove_file(config.bgp.socket.get_ref());
    if let Some(socket) = &config.text_api.socket {
        let _ = std::fs::remove_file(socket.get_ref());
    }
    Ok(())
}

/// What every task gets.
struct Shared<'a> {
    clock: Clock,
    metrics: &'a Metrics,
    journal: &'a Journal,
    stopped: &'a watch::Receiver<Option<String>>,
}

fn start(
    config: &Arc<Config>,
    shared: &Shared<'_>,
    listeners: Vec<TcpListener>,
    (paths, feeds): (bfd::Paths, Vec<Option<text_api::Feed>>),
    present: Vec<std::net::IpAddr>,
    disabled: bool,
) -> (Board, JoinSet<()>, mpsc::Sender<bgp_core::gate::Event>) {
    let Shared { clock, metrics, journal, stopped } = *shared;
    let seed = RandomState::new().build_hasher().finish();
    let vips: Arc<[config::Vip]> = config.vips.clone().into();
    let (decide, decisions) = watch::channel(None);
    let (obey, orders) = watch::channel(board::Orders::default());
    let mut tasks = JoinSet::new();
    let (mut views, mut ribs, mut doors) = (Vec::new(), Vec::new(), Vec::new());
    for (((number, neighbor), path), injected) in (1_u64..).zip(&config.neighbors).zip(paths).zip(feeds) {
        let settings = fsm::Settings {
            local: Local {
                asn: config.bgp.asn,
                identifier: config.bgp.router_id,
                hold_time: config.bgp.hold_time,
                neighbor_asn: neighbor.asn,
                offer: Offer {
                    extended_next_hop: neighbor.extended_next_hop,
                    graceful_restart: neighbor.graceful_restart,
                },
            },
            mode: neighbor.mode,
            retry_max: config.bgp.retry_max,
            max_prefixes: neighbor.max_prefixes,
            seed: seed.wrapping_add(number),
        };
        let machine = Neighbor::new(neighbor.clone(), Arc::clone(&vips), settings, config.back.session());
        let (show, view) = watch::channel(NeighborView::new());
        views.push(view);
        let (ask, asked) = mpsc::channel(ASKED_AT_ONCE);
        ribs.push(ask);
        let counters = metrics.neighbor(&neighbor.name);
        let (door, arrivals) = Door::new(neighbor, config.bgp.hold_time);
        doors.push(door);
        let arrivals = Some(arrivals).filter(|_| neighbor.mode.accepts());
        let wires = neighbor::Wires { path, journal: journal.clone(), asked, arrivals, injected };
        let task = neighbor::Task::new(
            neighbor.clone(),
            config.bgp.hold_time,
            clock,
            machine,
            show,
            counters,
            wires,
        );
        tasks.spawn(task.run(decisions.clone(), stopped.clone()));
    }
    let doors: Arc<[Door]> = doors.into();
    for listener in listeners {
        tokio::spawn(listener::serve(listener, Arc::clone(&doors)));
    }
    let machine = Gate::new(bgp_core::gate::Settings::new(config, seed));
    let counters = metrics.gate(config.vips.iter().map(|vip| vip.address));
    let gate = gate::Task::new(
        clock,
        machine,
        config.health.watch.clone(),
        &vips,
        (decide, obey),
        journal.clone(),
        counters,
    );
    let inbox = gate.inbox();
    tokio::spawn(gate.run(present, disabled));
    (Board { decisions, orders, neighbors: views, ribs }, tasks, inbox)
}

fn serve_control(listener: UnixListener, control: Control) {
    let shared = Arc::new(control);
    tokio::spawn(control::serve(listener, move |command| {
        let shared = Arc::clone(&shared);
        async move { shared.answer(&command).await }
    }));
}

fn open_socket(socket: &Spanned<PathBuf>, source: &Source) -> Result<UnixListener, StartError> {
    control::listen(socket.get_ref()).map_err(|error| {
        let message = format!("the socket {} cannot be opened: {error}", socket.get_ref().display());
        let help = "a path in a folder that this user may write to, and no other speaker on it";
        StartError::Config(Box::new(source.at(socket.span(), message).help(help)))
    })
}

fn open_listeners(config: &Config, source: &Source) -> Result<Vec<TcpListener>, StartError> {
    let open = |(at, span)| {
        listener::open(at, config).map_err(|error| {
            let help =
                "an address of this node and a port that is free; below 1024 it takes CAP_NET_BIND_SERVICE";
            let message = format!("neighbors cannot connect to {at}: {error}");
            StartError::Config(Box::new(source.at(span, message).help(help)))
        })
    };
    listener::places(config).into_iter().map(open).collect()
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

async fn open_metrics(config: &Config, source: &Source) -> Result<Option<TcpListener>, StartError> {
    let Some(address) = &config.bgp.metrics else { return Ok(None) };
    match TcpListener::bind(address.get_ref()).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) => {
            let message = format!("{} cannot be listened on: {error}", address.get_ref());
            let help = "an address of this node and a port that is free";
            Err(StartError::Config(Box::new(source.at(address.span(), message).help(help))))
        }
    }
}

/// The node's name when the configuration gives none.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

async fn ended_by(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Questions for a neighbor's routes that wait; more wait outside.
const ASKED_AT_ONCE: usize = 4;
/// Niceness: a withdraw must not wait behind the requests that the node is busy with.
const PRIORITY: i32 = -10;
/// How long the whole goodbye may take.
const FAREWELL: Duration = Duration::from_millis(1800);
