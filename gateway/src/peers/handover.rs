//! Two processes of one node, on a UNIX socket: the next one learns from the one that serves, and takes over.

use super::session::{Accepted, Progressed, Session};
use super::{HEADGATE, Peers, Stream};
use crate::state::Gateway;
use base_core::Machine;
use gateway_core::peers::handover::{Action, Event, Handover};
use gateway_core::peers::{Event as Said, Hello, Progress, Status, With};
use std::io;
use std::os::unix::fs::PermissionsExt;
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
    let previous = tokio::time::timeout(HELLO_TIMEOUT, dial(peers, &path)).await;
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
                talk.run(actions).await;
            });
            let _ = serves.await;
        }
        Err(error) => tracing::debug!(%error, "there is no process to learn from"),
    }
    tokio::spawn(async move { wait_for_next(&gateway, &path, &talks).await });
}

async fn wait_for_next(gateway: &Gateway, path: &Path, talks: &watch::Sender<bool>) {
    let Some(peers) = &gateway.peers else { return };
    loop {
        let listener = match listen(path) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "the next process can't be heard");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // Once the next process has taken over, the socket is its own until it is gone.
        let mut succeeded = false;
        while !succeeded {
            let Ok((stream, _)) = listener.accept().await else { continue };
            match tokio::time::timeout(HELLO_TIMEOUT, welcome(peers, stream)).await {
                Ok(Ok(accepted)) => {
                    let mut talk = Talk::new(gateway, peers, accepted, Handover::to_next(), With::Next);
                    talk.talks = Some(talks);
                    succeeded = talk.run(Vec::new()).await;
                }
                _ => tracing::warn!("who came was not the next process of this node"),
            }
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
        Self { gateway, peers, machine, session, with, progress, serve: None, talks: None }
    }

    /// Talks until the other side is gone. Whether it had taken over.
    async fn run(mut self, actions: Vec<Action>) -> bool {
        let interval = self.gateway.config.peers.as_ref().map_or(INTERVAL, |peers| peers.update_interval);
        let clock = self.gateway.clock;
        let mut next_push = clock.now();
        let mut succeeded = false;
        self.obey(actions);
        self.read();
        loop {
            let deadline = self.machine.next_deadline();
            let has_room = self.session.has_room();
            tokio::select! {
                () = clock.sleep_until(next_push), if has_room => {
                    self.session.push(&self.peers.cluster, clock.now());
                    next_push = clock.now() + interval;
                }
                progressed = self.session.go_on() => match progressed {
                    Ok(Progressed::Read) if self.read() => {}
                    Ok(Progressed::Wrote) => {}
                    Ok(Progressed::Read) | Err(_) => {
                        self.on(Event::Closed);
                        return succeeded;
                    }
                },
                () = clock.sleep_until(deadline.unwrap_or_default()), if deadline.is_some() => {
                    self.on(Event::Tick);
                }
            }
            if self.session.teach(&self.peers.cluster, clock.now()) {
                self.on(Event::Taught);
            }
            succeeded |= self.machine.is_succeeded();
        }
    }

    /// Takes what has come; false if it makes no sense.
    fn read(&mut self) -> bool {
        let mut events = Vec::new();
        let (cluster, state) = (&self.peers.cluster, &self.peers.process);
        let now = self.gateway.clock.now();
        let taken = self.session.take(cluster, self.with, state, &mut self.progress, now, |said| {
            if let Said::Control(control) = said {
                events.push(Event::Control(control));
            }
        });
        events.into_iter().for_each(|event| self.on(event));
        taken.is_ok()
    }

    fn on(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.machine.on(event, self.gateway.clock.now(), &mut actions);
        self.obey(actions);
    }

    fn talks(&self, talks: bool) {
        self.peers.succeeded.store(!talks, Ordering::Relaxed);
        if let Some(watch) = self.talks {
            watch.send_replace(talks);
        }
    }

    fn obey(&mut self, actions: Vec<Action>) {
        let cluster = &self.peers.cluster;
        for action in actions {
            match action {
                Action::Send(control) => self.session.send(control),
                Action::Teach => self.session.outgoing.teach(),
                Action::Serve => {
                    cluster.has_learnt();
                    tracing::info!("learnt from the process before this one");
                    if let Some(serve) = self.serve.take() {
                        let _ = serve.send(());
                    }
                }
                Action::HearOnlyNodes => cluster.hears_only_nodes(),
                Action::Succeeded => {
                    cluster.is_succeeded();
                    self.session.outgoing.is_succeeded();
                    tracing::info!("the next process has taken over the peers");
                    self.talks(false);
                }
                Action::Resume => {
                    tracing::info!("the next process is gone; talking to peers again");
                    self.talks(true);
                }
                Action::Forget => cluster.process_is_gone(),
            }
        }
    }
}

/// Listens at `path`, in the place of whoever listened there.
fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut fresh = path.to_owned();
    fresh.as_mut_os_string().push(format!(".{}", std::process::id()));
    let _ = std::fs::remove_file(&fresh);
    let listener = UnixListener::bind(&fresh)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&fresh, path)?;
    Ok(listener)
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
/// Until the next try to listen.
const PAUSE: Duration = Duration::from_secs(1);
/// How often what has changed is sent, on a node without peers.
const INTERVAL: Duration = Duration::from_millis(5);
