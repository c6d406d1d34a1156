//! Puts the gateway together, runs it, and takes it apart.
//!
//! ```text
//!  signals, control socket ──events──► lifecycle ──state──► health ──verdicts──► admin (/health/watch)
//!                                          │
//!                                        phase ──► worker-0 … worker-n: accept, serve, drain, close, stop
//! ```

use crate::accept::{self, Listener};
use crate::access_log::AccessLog;
use crate::admin;
use crate::admin::control::Control;
use crate::health;
use crate::identity::LiveIdentity;
use crate::load::{Loaded, StartError};
use crate::observe;
use crate::peers;
use crate::persist;
use crate::state::Gateway;
use crate::trace;
use crate::upstream;
use crate::worker::{self, Phase};
use base::{Clock, control, driver};
use gateway_core::drain::{Action, Event, Lifecycle, State};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc, watch};

/// Runs the gateway until it has been told to stop and has drained.
pub fn run(mut loaded: Loaded) -> Result<(), StartError> {
    raise_descriptor_limit();
    let clock = Clock::start();
    let workers = loaded.config.workers.unwrap_or_else(cores);
    let listeners = accept::bind_all(&loaded, workers)?;
    let peers = peers::bind(&loaded.config)?;
    let admin = loaded.config.admin.bind.as_ref().map(accept::bind_alone).transpose()?;
    let node = loaded.config.node.clone().unwrap_or_else(host_name);
    let access_log = AccessLog::open(&loaded.config, &node, workers)?;
    let names = std::mem::take(&mut loaded.names);
    let gateway = Arc::new(Gateway::new(loaded, node, workers, clock, access_log));
    persist::load(&gateway);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(system("the control thread"))?;
    let socket = listen(&runtime, &gateway)?;
    // After all that may be taken: who can't start takes nothing over from the process that serves.
    peers::start(&gateway, peers)?;
    let outcome = runtime.block_on(control_thread(Arc::clone(&gateway), listeners, admin, socket, names));
    // What has not begun has nothing that is newer than its files.
    if outcome.is_ok() {
        persist::save_all(&gateway);
        if let Err(error) = observe::write(&gateway) {
            tracing::warn!(%error, "what was observed can't be written");
        }
    }
    gateway.access_log.close();
    outcome
}

fn listen(runtime: &Runtime, gateway: &Gateway) -> Result<UnixListener, StartError> {
    let _entered = runtime.enter();
    let path = &gateway.config.admin.socket;
    control::listen(path).map_err(|source| StartError::ControlSocket { path: path.clone(), source })
}

async fn control_thread(
    gateway: Arc<Gateway>,
    listeners: Vec<Vec<Listener>>,
    admin: Option<TcpListener>,
    socket: UnixListener,
    names: upstream::Names,
) -> Result<(), StartError> {
    let path = gateway.config.admin.socket.clone();
    let mut terminate = signal(SignalKind::terminate()).map_err(system("signals"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("signals"))?;

    upstream::resolve(&gateway, names).await?;
    let (phase, phases) = watch::channel(Phase::Serve);
    let threads = listeners.into_iter().enumerate().map(|(place, listeners)| {
        worker::start(Arc::clone(&gateway), place, listeners, phases.clone()).map_err(system("a worker"))
    });
    let threads = threads.collect::<Result<Vec<_>, _>>()?;
    upstream::start_checks(&gateway);
    tokio::spawn(renew_certificates(Arc::clone(&gateway)));
    if gateway.observer.is_some() {
        tokio::spawn(observe::keep(Arc::clone(&gateway)));
    }
    tokio::spawn(renew_lists(Arc::clone(&gateway)));
    persist::start(&gateway);
    if let Some(tracer) = gateway.tracer.clone() {
        tokio::spawn(trace::export(tracer, gateway.node.clone()));
    }

    let (events, mut inbox) = mpsc::channel(EVENTS);
    let (publish_state, state) = watch::channel(State::Serving);
    let (publish_verdict, verdicts) = watch::channel(health::first(&gateway));
    tokio::spawn(health::run(Arc::clone(&gateway), state.clone(), publish_verdict));
    if let Some(admin) = admin {
        let admin = tokio::net::TcpListener::from_std(admin).map_err(system("the admin listener"))?;
        tokio::spawn(admin::http::run(Arc::clone(&gateway), admin, verdicts.clone()));
    }
    let control = Control {
        gateway: Arc::clone(&gateway),
        lifecycle: events.clone(),
        state: state.clone(),
        verdicts,
        turn: Arc::new(Semaphore::new(1)),
    };
    tokio::spawn(control::serve(socket, move |line| control.clone().answer(line)));
    tokio::spawn(report_load(Arc::clone(&gateway), state.clone(), events.clone()));
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            // Full only if it has been told many times already.
            let _ = events.try_send(Event::Terminate);
        }
    });
    tracing::info!(node = gateway.node, workers = threads.len(), control = %path.display(), "serving");

    let mut lifecycle = Lifecycle::new(gateway.config.drain_timeout, gateway.clock.now());
    let live = driver::drive(&mut lifecycle, gateway.clock, &mut inbox, |action| {
        obey(action, &gateway, &publish_state, &phase);
    });
    let mut gone = state;
    tokio::select! {
        () = live => {}
        _ = gone.wait_for(|state| *state == State::Gone) => {}
    }
    let _ = std::fs::remove_file(&path);
    join(threads).await;
    tracing::info!("stopped");
    Ok(())
}

fn obey(action: Action, gateway: &Gateway, state: &watch::Sender<State>, phase: &watch::Sender<Phase>) {
    match action {
        Action::Enter(entered) => {
            gateway.set_draining(entered != State::Serving);
            match entered {
                State::Serving => phase.send_replace(Phase::Serve),
                State::Draining | State::Stopping => phase.send_replace(Phase::Drain),
                State::Closing | State::Gone => *phase.borrow(),
            };
            tracing::info!(state = ?entered, "lifecycle");
            state.send_replace(entered);
        }
        Action::CloseListeners => {
            phase.send_replace(Phase::Close);
        }
        Action::Exit => {
            phase.send_replace(Phase::Stop);
        }
    }
}

/// Tells the lifecycle what there is to do, once that matters.
async fn report_load(gateway: Arc<Gateway>, mut state: watch::Receiver<State>, events: mpsc::Sender<Event>) {
    let ending = |state: &State| matches!(state, State::Stopping | State::Closing);
    if state.wait_for(ending).await.is_err() {
        return;
    }
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        let in_flight = gateway.load.in_flight.load(Ordering::Relaxed);
        let started = gateway.load.started.load(Ordering::Relaxed);
        if events.send(Event::Load { in_flight, started }).await.is_err() {
            return;
        }
    }
}

/// Looks for changed certificates now and then, on a thread where a slow disk delays nobody.
async fn renew_certificates(gateway: Arc<Gateway>) {
    let mut look = tokio::time::interval(CERTIFICATES_LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while gateway.tls.iter().any(Option::is_some) {
        look.tick().await;
        let gateway = Arc::clone(&gateway);
        let renewed = tokio::task::spawn_blocking(move || {
            for (frontend, tls) in gateway.config.frontends.iter().zip(&gateway.tls) {
                if let Some(tls) = tls {
                    tls.renew(&frontend.name);
                }
            }
        });
        if let Err(error) = renewed.await {
            tracing::error!(%error, "certificates can't be renewed");
        }
    }
}

/// Looks for changed lists, maps and keys, likewise.
async fn renew_lists(gateway: Arc<Gateway>) {
    let mut look = tokio::time::interval(CERTIFICATES_LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !gateway.lists.is_empty() || !gateway.identities.is_empty() {
        look.tick().await;
        let gateway = Arc::clone(&gateway);
        let renewed = tokio::task::spawn_blocking(move || {
            gateway.lists.iter().zip(&gateway.config.lists).for_each(|(list, file)| list.renew(file));
            gateway.identities.iter().for_each(LiveIdentity::renew);
        });
        if let Err(error) = renewed.await {
            tracing::error!(%error, "lists can't be read again");
        }
    }
}

/// Workers end as soon as they are told to; one that is stuck ends with the process.
async fn join(threads: Vec<std::thread::JoinHandle<()>>) {
    let mut look = tokio::time::interval(LOOK);
    for _ in 0..STOP_LOOKS {
        look.tick().await;
        if threads.iter().all(std::thread::JoinHandle::is_finished) {
            return;
        }
    }
    tracing::warn!("a worker does not end");
}

/// Each connection takes a descriptor, so take as many as there may be.
fn raise_descriptor_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn host_name() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "gateway".to_owned())
}

fn system(what: &'static str) -> impl Fn(io::Error) -> StartError {
    move |source| StartError::System { what, source }
}

/// Commands and signals that may wait for the lifecycle.
const EVENTS: usize = 64;
/// How often certificates are looked at: a second after a renewal nobody waits for it any more, and a
/// thousand files take a few milliseconds.
const CERTIFICATES_LOOK: Duration = Duration::from_secs(1);
/// How often a gateway that ends looks at what is left.
const LOOK: Duration = Duration::from_millis(20);
/// Looks that the workers get to end: 2 s.
const STOP_LOOKS: usize = 100;
