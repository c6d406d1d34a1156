//! One peer: its link decides, this does.

use super::session::{Accepted, Progressed, Session};
use super::{PeerState, Peers, Stream, count};
use crate::state::Gateway;
use base_core::{Machine, Time};
use gateway_core::config::Peer;
use gateway_core::peers::{Action, Event, Hello, Link, Progress, Reason, Status, With};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Talks to the peer at `place`, for ever.
pub(super) async fn run(
    gateway: Arc<Gateway>,
    place: usize,
    inbox: mpsc::Receiver<Accepted>,
    talking: watch::Receiver<bool>,
) {
    let Some((config, peers)) = gateway.config.peers.as_ref().zip(gateway.peers.as_ref()) else { return };
    let Some((peer, state)) = config.peers.get(place).zip(peers.states.get(place)) else { return };
    let seed = RandomState::new().hash_one(&peer.name);
    let now = gateway.clock.now();
    let mut task = Task {
        gateway: &gateway,
        peers,
        peer,
        state,
        link: Link::new(&config.local, &peer.name, seed, now),
        progress: Progress::default(),
        session: None,
        dial: None,
        next_push: now,
    };
    task.run(inbox, talking, config.update_interval).await;
}

struct Task<'a> {
    gateway: &'a Arc<Gateway>,
    peers: &'a Peers,
    peer: &'a Peer,
    state: &'a PeerState,
    link: Link,
    progress: Progress,
    session: Option<Session>,
    dial: Option<JoinHandle<Result<Accepted, Failed>>>,
    next_push: Time,
}

/// Why a dial has led to nothing.
enum Failed {
    Io(io::Error),
    Status(Status),
}

/// What a task waits for.
enum Woken {
    Accepted(Accepted),
    Dialled(Result<Accepted, Failed>),
    Progressed(io::Result<Progressed>),
    /// Whether this process is the one that talks to peers.
    Talks(bool),
    Push,
    Deadline,
}

impl Task<'_> {
    async fn run(
        &mut self,
        mut inbox: mpsc::Receiver<Accepted>,
        mut talking: watch::Receiver<bool>,
        interval: std::time::Duration,
    ) {
        loop {
            match self.next(&mut inbox, &mut talking).await {
                Woken::Talks(true) => self.on(Event::Resume),
                Woken::Talks(false) => self.on(Event::Retire),
                Woken::Accepted(accepted) | Woken::Dialled(Ok(accepted)) => self.open(accepted),
                Woken::Dialled(Err(Failed::Status(status))) => {
                    tracing::warn!(peer = self.peer.name, %status, "the peer does not want to talk");
                    self.on(Event::Refused(status));
                }
                Woken::Dialled(Err(Failed::Io(error))) => {
                    tracing::debug!(peer = self.peer.name, %error, "the peer can't be reached");
                    self.on(Event::Unreachable);
                }
                Woken::Progressed(Ok(Progressed::Read)) => self.read(),
                Woken::Progressed(Ok(Progressed::Wrote)) => {}
                Woken::Progressed(Err(error)) => {
                    tracing::info!(peer = self.peer.name, %error, "the session with the peer has ended");
                    self.session = None;
                    self.on(Event::Closed);
                }
                Woken::Push => {
                    self.push();
                    self.next_push = self.gateway.clock.now() + interval;
                }
                Woken::Deadline => self.on(Event::Tick),
            }
            self.teach();
        }
    }

    async fn next(
        &mut self,
        inbox: &mut mpsc::Receiver<Accepted>,
        talking: &mut watch::Receiver<bool>,
    ) -> Woken {
        let deadline = self.link.next_deadline();
        let clock = self.gateway.clock;
        let has_session = self.session.is_some();
        let has_room = self.session.as_ref().is_some_and(Session::has_room);
        let session = async {
            match &mut self.session {
                Some(session) => session.go_on().await,
                None => std::future::pending().await,
            }
        };
        let dial = async {
            match &mut self.dial {
                Some(dial) => dial.await,
                None => std::future::pending().await,
            }
        };
        let woken = tokio::select! {
            biased;
            Ok(()) = talking.changed() => Woken::Talks(*talking.borrow_and_update()),
            Some(accepted) = inbox.recv() => Woken::Accepted(accepted),
            dialled = dial => Woken::Dialled(
                dialled.unwrap_or_else(|error| Err(Failed::Io(io::Error::other(error)))),
            ),
            () = clock.sleep_until(self.next_push), if has_session && has_room => Woken::Push,
            progressed = session => Woken::Progressed(progressed),
            () = clock.sleep_until(deadline.unwrap_or(Time::ZERO)), if deadline.is_some() => Woken::Deadline,
        };
        if matches!(woken, Woken::Dialled(_)) {
            self.dial = None;
        }
        woken
    }

    /// A connection stands: from now on it is the one that counts.
    fn open(&mut self, accepted: Accepted) {
        if self.link.is_retired() {
            // It came half-way when the next process took over: the peer is to find that one.
            return;
        }
        self.stop_dialling();
        let headgate = accepted.headgate;
        self.session =
            Some(Session::new(accepted, &self.peers.cluster, With::Peer(&self.peer.name), &self.progress));
        count(&self.state.sessions, 1);
        self.on(Event::Opened);
        if headgate {
            self.session.iter_mut().for_each(Session::is_headgate);
            self.on(Event::IsHeadgate);
        }
        self.read();
    }

    fn read(&mut self) {
        let now = self.gateway.clock.now();
        let Some(session) = &mut self.session else { return };
        let mut events = vec![Event::Heard];
        let (cluster, name) = (&self.peers.cluster, &self.peer.name);
        let with = With::Peer(name);
        let taken = session.take(cluster, with, self.state, &mut self.progress, now, |event| {
            events.push(event);
        });
        events.into_iter().for_each(|event| self.on(event));
        if let Err(fault) = taken {
            tracing::warn!(peer = self.peer.name, ?fault, "the peer breaks the protocol");
            count(&self.state.faults, 1);
            self.session = None;
            self.on(Event::Closed);
        }
    }

    /// Lines up what has changed.
    fn push(&mut self) {
        if let Some(session) = &mut self.session {
            session.push(&self.peers.cluster, self.gateway.clock.now());
        }
    }

    fn teach(&mut self) {
        if let Some(session) = &mut self.session
            && session.teach(&self.peers.cluster, self.gateway.clock.now())
        {
            self.on(Event::Taught);
        }
    }

    fn on(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.link.on(event, self.gateway.clock.now(), &mut actions);
        for action in actions {
            match action {
                Action::Dial => self.dial(),
                Action::Send(control) => {
                    if let Some(session) = &mut self.session {
                        session.send(control);
                    }
                }
                Action::IsStock => {
                    if let Some(session) = &mut self.session {
                        session.outgoing.is_stock();
                    }
                }
                Action::IsHeadgate => {
                    if let Some(session) = &mut self.session {
                        session.outgoing.is_headgate();
                    }
                }
                Action::Teach => {
                    if let Some(session) = &mut self.session {
                        session.outgoing.teach();
                    }
                }
                Action::Close(reason) => {
                    if self.session.take().is_some() && reason != Reason::Retired {
                        count(&self.state.faults, 1);
                        tracing::warn!(peer = self.peer.name, ?reason, "the session with the peer is closed");
                    }
                    self.stop_dialling();
                }
                Action::Live(live) => {
                    self.state.live.store(live, Ordering::Relaxed);
                    self.peers.cluster.peer_is_live(&self.peer.name, live);
                    tracing::info!(peer = self.peer.name, live, "peer");
                }
            }
        }
    }

    fn dial(&mut self) {
        let (gateway, peer) = (Arc::clone(self.gateway), self.peer.clone());
        self.dial = Some(tokio::spawn(async move { dial(&gateway, &peer).await }));
    }

    fn stop_dialling(&mut self) {
        if let Some(dial) = self.dial.take() {
            dial.abort();
        }
    }
}

async fn dial(gateway: &Gateway, peer: &Peer) -> Result<Accepted, Failed> {
    let Some(peers) = &gateway.peers else { return Err(Failed::Io(io::ErrorKind::NotFound.into())) };
    let stream = TcpStream::connect(peer.address).await.map_err(Failed::Io)?;
    let _ = stream.set_nodelay(true);
    let mut stream: Box<dyn Stream> = match &peers.tls {
        Some(tls) => Box::new(tls.connect(stream, peer).await.map_err(Failed::Io)?),
        None => Box::new(stream),
    };
    let cluster = &peers.cluster;
    let (to, from, process) = (peer.name.clone(), cluster.local().to_owned(), cluster.run().to_owned());
    let hello = Hello { to, from, process, timed: true };
    stream.write_all(&hello.encode()).await.map_err(Failed::Io)?;
    stream.flush().await.map_err(Failed::Io)?;
    let mut bytes = Vec::new();
    loop {
        if let Some((status, used)) = Status::take(&bytes) {
            return match status {
                Status::Succeeded => {
                    Ok(Accepted { stream, rest: bytes.split_off(used), timed: true, headgate: false })
                }
                status => Err(Failed::Status(status)),
            };
        }
        if stream.read_buf(&mut bytes).await.map_err(Failed::Io)? == 0 {
            return Err(Failed::Io(io::ErrorKind::UnexpectedEof.into()));
        }
    }
}
