//! Runs the check of one server for as long as someone holds its [`Checker`].
//!
//! Promises: the probes of one server never overlap; dropping the last [`Checker`] ends the one that runs.
//! Everything is bounded: one task, one probe, an inbox of [`INBOX`] events. When that is full, failures that
//! traffic saw are dropped (those in it ask for the same probe), commands wait. Probes of many servers share
//! [`Slots`]: one that finds none in time counts for nothing, as one that was kept waiting and then ran out of time.

use crate::probe::{Prober, by};
use base::{Clock, driver};
use base_core::Time;
use healthcheck_core::{
    Action, Check, CheckSpec, CheckStatus, Event, OnError, Outcome, Reason, State, Status,
};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::AbortHandle;

/// Where a server stands, and what its last probe found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// Whether it gets traffic, and how far that is from changing.
    pub status: Status,
    /// What the last probe found; `None` until the first has ended.
    pub last: Option<Outcome>,
    /// Probes that have passed.
    pub passed: u64,
    /// Probes that have failed.
    pub failed: u64,
}

/// The check of one server, running.
#[derive(Clone, Debug)]
pub struct Checker {
    events: mpsc::Sender<Event>,
    snapshot: watch::Receiver<Snapshot>,
    target: Arc<Mutex<SocketAddr>>,
}

/// Probes that may run at once, however many servers there are.
#[derive(Clone, Debug)]
pub struct Slots(Arc<Semaphore>);

impl Slots {
    /// So many.
    pub fn new(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count)))
    }
}

impl Slots {
    async fn probe(&self, prober: &Prober, target: SocketAddr, clock: Clock, deadline: Time) -> Outcome {
        let (asked, was_free) = (clock.now(), self.0.available_permits() > 0);
        let slot = by(clock, deadline, self.0.acquire()).await;
        // Closed never.
        let Some(Ok(_slot)) = slot else { return no_slot(asked, clock) };
        let outcome = prober.probe(target, clock, deadline).await;
        if !was_free && outcome.status.is_timeout() { no_slot(asked, clock) } else { outcome }
    }
}

/// Too many other probes run: it says nothing about the server.
fn no_slot(asked: Time, clock: Clock) -> Outcome {
    Outcome {
        status: CheckStatus::SocketError,
        code: None,
        note: "no_slot",
        duration: clock.now().since(asked),
    }
}

/// What a [`Checker`] goes by.
pub struct Setup<'a> {
    /// How often, and how many in a row count.
    pub spec: &'a CheckSpec,
    /// How it asks.
    pub prober: Prober,
    /// What it shares with others.
    pub slots: Slots,
    /// How the server starts.
    pub state: State,
    /// Spreads the probes of many servers.
    pub seed: u64,
    /// The time.
    pub clock: Clock,
}

impl Checker {
    /// Starts checking `server`, on the runtime that this is called on; `None`: once it is [`found`](Self::found).
    /// `on_change` hears each change of state, in order; it must not block.
    pub fn spawn(
        setup: Setup<'_>,
        server: Option<SocketAddr>,
        on_change: impl FnMut(State, Reason) + Send + 'static,
    ) -> Self {
        let Setup { spec, prober, slots, state, seed, clock } = setup;
        let mut check = Check::new(spec.timing, spec.overdue(), state, seed, clock.now());
        let (events, mut inbox) = mpsc::channel(INBOX);
        let (publish, snapshot) =
            watch::channel(Snapshot { status: check.status(), last: None, passed: 0, failed: 0 });
        let target = Arc::new(Mutex::new(server.unwrap_or(NOWHERE)));
        if server.is_none() {
            // The first in an empty inbox: no probe comes before it.
            let _ = events.try_send(Event::Lost);
        }
        let mut shell = Shell {
            prober: Arc::new(prober),
            slots,
            target: Arc::clone(&target),
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
        Self { events, snapshot, target }
    }

    /// Where the server stands.
    pub fn snapshot(&self) -> Snapshot {
        *self.snapshot.borrow()
    }

    /// Real traffic failed on this server, for example its connection was refused: probe it soon.
    pub fn observe_failure(&self) {
        self.observe(Event::Observed);
    }

    /// So many requests in a row have failed on it that this is what becomes of it. With a full inbox it is not heard:
    /// the next row will be.
    pub fn failing(&self, on_error: OnError) {
        self.observe(Event::Failing(on_error));
    }

    /// Takes the server out: it is not probed any more.
    pub async fn maint(&self) {
        self.command(Event::Maint).await;
    }

    /// Puts the server back: it is UP, is probed at once, and one failure takes it down.
    pub async fn ready(&self) {
        self.command(Event::Ready).await;
    }

    /// It is not known where the server is: it is not probed.
    pub fn lost(&self) {
        self.tell(Event::Lost);
    }

    /// The server is there now: what was found out elsewhere is forgotten, it is probed at once.
    pub fn found(&self, server: SocketAddr) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = server;
        self.tell(Event::Found);
    }

    /// What traffic saw, unless it would take a place that is kept for what is to be heard in any case.
    fn observe(&self, event: Event) {
        if self.events.capacity() > RESERVED {
            // Full or closed: there is nothing that this one would add.
            let _ = self.events.try_send(event);
        }
    }

    /// At once, as there is a reserve for it; else as soon as there is room.
    fn tell(&self, event: Event) {
        if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event) {
            let checker = self.clone();
            tokio::spawn(async move { checker.command(event).await });
        }
    }

    async fn command(&self, event: Event) {
        // Closed only when the runtime goes down.
        let _ = self.events.send(event).await;
    }
}

struct Shell<F> {
    prober: Arc<Prober>,
    slots: Slots,
    target: Arc<Mutex<SocketAddr>>,
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
                let (prober, target, clock) = (Arc::clone(&self.prober), self.target(), self.clock);
                let slots = self.slots.clone();
                let events = self.events.clone();
                let task = tokio::spawn(async move {
                    let outcome = slots.probe(&prober, target, clock, deadline).await;
                    if let Some(events) = events.upgrade() {
                        let _ = events.send(Event::Probed { probe, outcome }).await;
                    }
                });
                self.running = Some(task.abort_handle());
            }
            Action::StopProbe { .. } => self.stop(),
            Action::Counted { outcome, status } => {
                tracing::debug!(target = %self.target(), %outcome, %status, "probed");
                self.publish.send_modify(|snapshot| {
                    *snapshot = Snapshot { status, last: Some(outcome), ..*snapshot };
                    match outcome.passed() {
                        true => snapshot.passed += 1,
                        false if outcome.status.inconclusive() => {}
                        false => snapshot.failed += 1,
                    }
                });
            }
            Action::Changed { status, reason } => {
                self.publish.send_modify(|snapshot| snapshot.status = status);
                (self.on_change)(status.state, reason);
            }
        }
    }
}

impl<F> Shell<F> {
    fn target(&self) -> SocketAddr {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }

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

/// Where a server is of which that is not known: it is never probed there.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
/// Events that may wait for one check.
pub const INBOX: usize = 32;
/// Places of the inbox that what traffic saw leaves free, for the probe's result and for commands.
const RESERVED: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Names;
    use healthcheck_core::{HttpCheck, Kind};

    #[tokio::test]
    async fn what_traffic_saw_leaves_room_for_what_is_to_be_heard_in_any_case() {
        let spec = CheckSpec::new(Kind::Http(HttpCheck::default()));
        let prober = Prober::new(spec.kind.clone(), None, Names::default()).expect("no TLS");
        let (slots, clock) = (Slots::new(1), Clock::start());
        let setup = Setup { spec: &spec, prober, slots, state: State::Up, seed: 1, clock };
        // It does not run before this test waits for something.
        let checker = Checker::spawn(setup, Some(NOWHERE), |_, _| {});
        for _ in 0..INBOX {
            checker.failing(OnError::MarkDown);
            checker.observe_failure();
        }
        assert_eq!(checker.events.capacity(), RESERVED);
    }
}
