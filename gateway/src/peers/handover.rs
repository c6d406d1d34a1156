//! Two processes of one node, on a UNIX socket: the next one learns from the one that serves, and takes over.

use super::session::{Accepted, Progressed, Session};
use super::{HEADGATE, PeerState, Peers, Stream};
use crate::state::Gateway;
use base::control;
use base_core::Machine;
use gateway_core::peers::handover::{Action, Event, Handover};
use gateway_core::peers::{Event as Said, Hello, Progress, Status, With};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{oneshot, watch};

/// Learns from the process that serves, if there is one; then waits, beside the caller, for the next one.
/// `talks` says whether this process is the one that talks to other nodes.
pub(super) async fn start(gateway: Arc<Gateway>, path: PathBuf, talks: watch::Sender<bool>) {
    let Some(peers) = &gateway.peers else { return };
    let previous = tokio::time::timeout(DIAL_TIMEOUT, dial(peers, &path)).await;
    match previous.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(accepted) => {
            let (serve, serves) = oneshot::channel();
            let gateway = Arc::clone(&gateway);
            tokio::spawn(async move {
                let Some(peers) = &gateway.peers else { return };
                let mut actions = Vec::new();
                let machine = Handover::from_previous(gateway.clock.now(), &mut actions);
                let mut talk = Talk::new(&gateway, peers, accepted, machine, With::Previous);
                talk.serve = Some(serve);
                talk.obey(actions);
                talk.go_on_until(|_| false).await;
            });
            let _ = serves.await;
        }
        Err(error) if is_nobody(&error) => tracing::debug!(%error, "there is no process to learn from"),
        Err(error) => tracing::warn!(
            %error, path = %path.display(),
            "the process before this one does not teach: what it has counted is lost"
        ),
    }
    tokio::spawn(async move { wait_for_next(&gateway, &path, &talks).await });
}

async fn wait_for_next(gateway: &Gateway, path: &Path, talks: &watch::Sender<bool>) {
    let Some(peers) = &gateway.peers else { return };
    loop {
        let listener = match control::bind(path, 0o600) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "the next process can't be heard");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let mut talk = hand_over(gateway, peers, &listener, talks).await;
        // The next process has taken over, and the path with it.
        drop(listener);
        talk.go_on_until(|_| false).await;
        // One that hangs is to find that it is done without.
        drop(talk);
        while is_answered(path).await {
            // Another one has come after that.
            tokio::time::sleep(PAUSE).await;
        }
        tracing::info!("the next process is gone; talking to peers again");
        peers.succeeded.store(false, Ordering::Relaxed);
        talks.send_replace(true);
    }
}

/// Teaches who comes; returns the talk with the process that has taken over. Who comes last counts: the one before it
/// may hang.
async fn hand_over<'a>(
    gateway: &'a Gateway,
    peers: &'a Peers,
    listener: &UnixListener,
    talks: &'a watch::Sender<bool>,
) -> Talk<'a> {
    let mut current: Option<Talk<'a>> = None;
    loop {
        let taught = async {
            match &mut current {
                Some(talk) => talk.go_on_until(Handover::is_succeeded).await,
                None => std::future::pending().await,
            }
        };
        let accepted = tokio::select! {
            has_taken_over = taught => match current.take().filter(|_| has_taken_over) {
                Some(talk) => return talk,
                None => continue,
            },
            accepted = next_process(peers, listener) => accepted,
        };
        if let Some(mut hangs) = current.take() {
            hangs.on(Event::Closed);
        }
        let machine = Handover::to_next(gateway.clock.now());
        let talk = Talk::new(gateway, peers, accepted, machine, With::Next);
        current = Some(Talk { talks: Some(talks), ..talk });
    }
}

async fn next_process(peers: &Peers, listener: &UnixListener) -> Accepted {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the next process can't be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        match tokio::time::timeout(HELLO_TIMEOUT, welcome(peers, stream)).await {
            Ok(Ok(accepted)) => return accepted,
            // A look whether somebody listens.
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Ok(Err(error)) => tracing::warn!(%error, "who came was not the next process of this node"),
            Err(_) => tracing::warn!("who came does not say what it is"),
        }
    }
}

/// The talk between two processes.
struct Talk<'a> {
    gateway: &'a Gateway,
    peers: &'a Peers,
    machine: Handover,
    session: Session,
    with: With<'a>,
    progress: Progress,
    /// What has gone and come.
    state: PeerState,
    /// The other side is gone.
    closed: bool,
    /// To be told that there is nothing left to learn.
    serve: Option<oneshot::Sender<()>>,
    /// To be told which process talks to other nodes.
    talks: Option<&'a watch::Sender<bool>>,
}

impl<'a> Talk<'a> {
    fn new(
        gateway: &'a Gateway,
        peers: &'a Peers,
        accepted: Accepted,
        machine: Handover,
        with: With<'a>,
    ) -> Self {
        let progress = Progress::default();
        let session = Session::new(accepted, &peers.cluster, with, &progress);
        let (state, closed) = (PeerState::default(), false);
        Self { gateway, peers, machine, session, with, progress, state, closed, serve: None, talks: None }
    }

    /// Goes on until the machine is as wanted, or the other side is gone. Whether it is as wanted.
    async fn go_on_until(&mut self, wanted: impl Fn(&Handover) -> bool) -> bool {
        let interval = self.gateway.config.peers.as_ref().map_or(INTERVAL, |peers| peers.update_interval);
        let clock = self.gateway.clock;
        let mut next_push = clock.now();
        // What has come behind the hello.
        self.read();
        while !self.closed {
            if wanted(&self.machine) {
                return true;
            }
            let deadline = self.machine.next_deadline();
            let has_room = self.session.has_room();
            tokio::select! {
                () = clock.sleep_until(next_push), if has_room => {
                    self.session.push(&self.peers.cluster, clock.now());
                    next_push = clock.now() + interval;
                }
                progressed = self.session.go_on() => match progressed {
                    Ok(Progressed::Read) => self.read(),
                    Ok(Progressed::Wrote) => {}
                    Err(error) => {
                        tracing::info!(%error, "the other process of this node is gone");
                        self.close();
                    }
                },
                () = clock.sleep_until(deadline.unwrap_or_default()), if deadline.is_some() => {
                    self.on(Event::Tick);
                }
            }
            if self.session.teach(&self.peers.cluster, clock.now()) {
                self.on(Event::Taught);
            }
        }
        false
    }

    /// Takes what has come.
    fn read(&mut self) {
        let mut events = vec![Event::Heard];
        let cluster = &self.peers.cluster;
        let now = self.gateway.clock.now();
        let taken = self.session.take(cluster, self.with, &self.state, &mut self.progress, now, |said| {
            if let Said::Control(control) = said {
                events.push(Event::Control(control));
            }
        });
        events.into_iter().for_each(|event| self.on(event));
        if let Err(fault) = taken {
            tracing::warn!(?fault, "the other process of this node breaks the protocol");
            self.close();
        }
    }

    fn close(&mut self) {
        self.closed = true;
        self.on(Event::Closed);
    }

    fn on(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.machine.on(event, self.gateway.clock.now(), &mut actions);
        self.obey(actions);
    }

    fn obey(&mut self, actions: Vec<Action>) {
        let cluster = &self.peers.cluster;
        for action in actions {
            match action {
                Action::Send(control) => self.session.send(control),
                Action::Teach => self.session.outgoing.teach(),
                Action::Serve { learnt } => {
                    cluster.has_learnt();
                    if learnt {
                        tracing::info!("learnt from the process before this one");
                    } else {
                        tracing::warn!(
                            "the process before this one has not taught all: part of what it has counted is lost"
                        );
                    }
                    if let Some(serve) = self.serve.take() {
                        let _ = serve.send(());
                    }
                }
                Action::HearOnlyNodes => cluster.hears_only_nodes(),
                Action::Succeeded => {
                    cluster.is_succeeded();
                    self.session.outgoing.is_succeeded();
                    tracing::info!("the next process has taken over the peers");
                    self.peers.succeeded.store(true, Ordering::Relaxed);
                    if let Some(talks) = self.talks {
                        talks.send_replace(false);
                    }
                }
                // Who waits for the next process sees first whether there is another one.
                Action::Resume => {}
                Action::Close => {
                    tracing::warn!("the other process of this node hangs");
                    self.closed = true;
                }
                Action::Forget => cluster.process_is_gone(self.with),
            }
        }
    }
}

/// Whether nobody is there at all.
fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Whether somebody listens who does not hang: he hangs up on who says nothing.
async fn is_answered(path: &Path) -> bool {
    let asks = async {
        let mut stream = UnixStream::connect(path).await?;
        stream.shutdown().await?;
        stream.read(&mut [0]).await
    };
    matches!(tokio::time::timeout(DIAL_TIMEOUT, asks).await, Ok(Ok(_)))
}

/// Both processes have the same name.
async fn dial(peers: &Peers, path: &Path) -> io::Result<Accepted> {
    let mut stream = UnixStream::connect(path).await?;
    let cluster = &peers.cluster;
    let (name, process) = (cluster.local().to_owned(), cluster.run().to_owned());
    let hello = Hello { to: name.clone(), from: name, process, timed: true };
    stream.write_all(&hello.encode()).await?;
    let mut bytes = Vec::new();
    loop {
        match Status::take(&bytes) {
            Some((Status::Succeeded, used)) => return Ok(accepted(Box::new(stream), bytes.split_off(used))),
            Some((status, _)) => return Err(io::Error::other(status.to_string())),
            None => {}
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

async fn welcome(peers: &Peers, mut stream: UnixStream) -> io::Result<Accepted> {
    let user = stream.peer_cred()?.uid();
    if user != nix::unistd::geteuid().as_raw() && user != 0 {
        return Err(io::Error::other(format!("it is of user {user}")));
    }
    let mut bytes = Vec::new();
    let (hello, used) = loop {
        match Hello::take(&bytes) {
            Some(Ok(hello)) => break hello,
            Some(Err(status)) => return Err(io::Error::other(status.to_string())),
            None => {}
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let local = peers.cluster.local();
    if hello.to != local || hello.from != local || !hello.process.starts_with(HEADGATE) {
        let _ = stream.write_all(&Status::RemoteIdMismatch.encode()).await;
        return Err(io::Error::other(format!("it is {}", hello.from)));
    }
    stream.write_all(&Status::Succeeded.encode()).await?;
    Ok(accepted(Box::new(stream), bytes.split_off(used)))
}

fn accepted(stream: Box<dyn Stream>, rest: Vec<u8>) -> Accepted {
    Accepted { stream, rest, timed: true, headgate: true }
}

/// For the first words; both are on one machine.
const HELLO_TIMEOUT: Duration = Duration::from_secs(1);
/// For both sides' first words, when somebody who says nothing came before.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// Until the next try to listen.
const PAUSE: Duration = Duration::from_secs(1);
/// How often what has changed is sent, on a node without peers.
const INTERVAL: Duration = Duration::from_millis(5);
