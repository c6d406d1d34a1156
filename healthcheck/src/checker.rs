//! Runs the check of one server for as long as someone holds its [`Checker`].
//!
//! Promises: the probes of one server never overlap; dropping the last [`Checker`] ends the one that runs.
//! Everything is bounded: one task, one probe, an inbox of [`INBOX`] events. When that is full, failures that
//! traffic saw are dropped (those in it ask for the same probe), commands wait.

use crate::probe;
use base::{Clock, driver};
use healthcheck_core::{Action, Check, CheckSpec, Event, Kind, Outcome, Reason, State, Status};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

/// Where a server stands, and what its last probe found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// Whether it gets traffic, and how far that is from changing.
    pub status: Status,
    /// What the last probe found; `None` until the first has ended.
    pub last: Option<Outcome>,
}

/// The check of one server, running.
#[derive(Clone, Debug)]
pub struct Checker {
    events: mpsc::Sender<Event>,
    snapshot: watch::Receiver<Snapshot>,
}

impl Checker {
    /// Starts checking `server` as `spec` says, on the runtime that this is called on. The server starts in
    /// `state`. `seed` spreads the probes of many servers. `on_change` hears each change of state, in order; it
    /// must not block.
    pub fn spawn(
        spec: &CheckSpec,
        server: SocketAddr,
        state: State,
        seed: u64,
        clock: Clock,
        on_change: impl FnMut(State, Reason) + Send + 'static,
    ) -> Self {
        let mut check = Check::new(spec.timing, spec.kind.overdue(), state, seed, clock.now());
        let (events, mut inbox) = mpsc::channel(INBOX);
        let (publish, snapshot) = watch::channel(Snapshot { status: check.status(), last: None });
        let mut shell = Shell {
            kind: Arc::new(spec.kind.clone()),
            target: spec.target(server),
            clock,
            // Weak, or the inbox would never close.
            events: events.downgrade(),
            publish,
            running: None,
            on_change,
        };
        tokio::spawn(async move {
            driver::drive(&mut check, clock, &mut inbox, |action| shell.run(action)).await;
        });
        Self { events, snapshot }
    }

    /// Where the server stands.
    pub fn snapshot(&self) -> Snapshot {
        *self.snapshot.borrow()
    }

    /// Real traffic failed on this server, for example its connection was refused: probe it soon.
    pub fn observe_failure(&self) {
        if self.events.capacity() > RESERVED {
            // Full or closed: there is nothing that this one would add.
            let _ = self.events.try_send(Event::Observed);
        }
    }

    /// Takes the server out: it is not probed any more.
    pub async fn maint(&self) {
        self.command(Event::Maint).await;
    }

    /// Puts the server back: it is UP, is probed at once, and one failure takes it down.
    pub async fn ready(&self) {
        self.command(Event::Ready).await;
    }

    async fn command(&self, event: Event) {
        // Closed only when the runtime goes down.
        let _ = self.events.send(event).await;
    }
}

struct Shell<F> {
    kind: Arc<Kind>,
    target: SocketAddr,
    clock: Clock,
    events: mpsc::WeakSender<Event>,
    publish: watch::Sender<Snapshot>,
    running: Option<AbortHandle>,
    on_change: F,
}

impl<F: FnMut(State, Reason)> Shell<F> {
    fn run(&mut self, action: Action) {
        match action {
            Action::StartProbe { probe, deadline } => {
                let (kind, target, clock) = (Arc::clone(&self.kind), self.target, self.clock);
                let events = self.events.clone();
                let task = tokio::spawn(async move {
                    let outcome = probe::run(&kind, target, clock, deadline).await;
                    if let Some(events) = events.upgrade() {
                        let _ = events.send(Event::Probed { probe, outcome }).await;
                    }
                });
                self.running = Some(task.abort_handle());
            }
            Action::StopProbe { .. } => self.stop(),
            Action::Counted { outcome, status } => {
                tracing::debug!(target = %self.target, %outcome, %status, "probed");
                self.publish.send_replace(Snapshot { status, last: Some(outcome) });
            }
            Action::Changed { status, reason } => {
                self.publish.send_modify(|snapshot| snapshot.status = status);
                (self.on_change)(status.state, reason);
            }
        }
    }
}

impl<F> Shell<F> {
    fn stop(&mut self) {
        if let Some(task) = self.running.take() {
            task.abort();
        }
    }
}

impl<F> Drop for Shell<F> {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Events that may wait for one check.
pub const INBOX: usize = 32;
/// Places of the inbox that what traffic saw leaves free, for the probe's result and for commands.
const RESERVED: usize = 8;
