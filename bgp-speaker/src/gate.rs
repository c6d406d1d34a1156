//! The gate's task: health streams and probes in, decisions out to all neighbors at once.

use crate::board::{Decisions, Drains, Orders, Reached};
use crate::fleet::{self, Rows};
use crate::handover::{Freeze, SavedGate};
use crate::journal::{Entry, Journal};
use crate::metrics::GateMetrics;
use crate::probe::Probes;
use crate::stream::Streams;
use base::Clock;
use base_core::{Machine, Time};
use bgp_core::config::Url;
use bgp_core::gate::order::Order;
use bgp_core::gate::{Action, Event, Gate};
use bgp_core::neighbor::{Decision, Standings};
use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub(crate) struct Task {
    clock: Clock,
    machine: Gate,
    streams: Streams,
    probes: Probes,
    sender: mpsc::Sender<Event>,
    inbox: mpsc::Receiver<Event>,
    standings: Standings,
    decisions: watch::Sender<Decisions>,
    orders: watch::Sender<Orders>,
    drains: watch::Sender<Drains>,
    watch: Url,
    /// What the other nodes shall know.
    rows: watch::Sender<Rows>,
    journal: Journal,
    metrics: GateMetrics,
    freezes: mpsc::Receiver<Freeze<SavedGate>>,
    reached: watch::Receiver<Reached>,
}

/// What it says to everybody, and who wants another process to go on.
pub(crate) struct Wires {
    pub(crate) decisions: watch::Sender<Decisions>,
    pub(crate) orders: watch::Sender<Orders>,
    pub(crate) drains: watch::Sender<Drains>,
    pub(crate) freezes: mpsc::Receiver<Freeze<SavedGate>>,
    /// Who hears of what is decided.
    pub(crate) reached: watch::Receiver<Reached>,
}

/// What woke the task.
enum Wake {
    Event(Event),
    Freeze(Freeze<SavedGate>),
}

impl Task {
    pub(crate) fn new(
        clock: Clock,
        machine: Gate,
        watch: Url,
        probes: Probes,
        wires: Wires,
        journal: Journal,
        metrics: GateMetrics,
    ) -> Self {
        // One probe of each subject is under way at most; who finds no room waits.
        let (sender, inbox) = mpsc::channel(probes.len().max(16));
        let (streams, standings) = (Streams::new(watch.clone()), Standings::new());
        let Wires { decisions, orders, drains, freezes, reached } = wires;
        Self {
            clock,
            machine,
            streams,
            probes,
            sender,
            inbox,
            standings,
            decisions,
            orders,
            drains,
            watch,
            rows: watch::Sender::default(),
            journal,
            metrics,
            freezes,
            reached,
        }
    }

    /// Where others report: probes, and the keeper of the loopback interface.
    pub(crate) fn inbox(&self) -> mpsc::Sender<Event> {
        self.sender.clone()
    }

    /// Goes on with what another process decided: the neighbors hold that already.
    pub(crate) fn adopt(&mut self, standings: Standings) {
        for (vip, decision) in &standings {
            self.metrics.decided(*vip, decision.standing);
        }
        self.orders.send_replace(Arc::new(self.machine.orders()));
        self.decisions.send_replace(Some(Arc::new(standings.clone())));
        self.standings = standings;
    }

    /// Runs for ever. `present` says which VIPs are on the loopback interface, `disabled` whether the disable file
    /// is there.
    pub(crate) async fn run(mut self, present: Vec<IpAddr>, disabled: bool) {
        self.feed(Event::Disabled(disabled)).await;
        for vip in present {
            self.feed(Event::Address { vip, present: true }).await;
        }
        let reached = self.reached();
        self.feed(reached).await;
        self.feed(Event::Start).await;
        let _exchange = AbortOnDrop(tokio::spawn(fleet::run(
            self.watch.clone(),
            self.rows.subscribe(),
            self.sender.clone(),
        )));
        loop {
            match self.next().await {
                Wake::Event(event) => self.feed(event).await,
                Wake::Freeze(freeze) => {
                    let standings = self.decisions.borrow().as_deref().cloned();
                    let _ = freeze.reply.send(SavedGate { machine: self.machine.save(), standings });
                    if freeze.fate.await.is_ok() {
                        return;
                    }
                }
            }
            self.streams.complain();
        }
    }

    async fn next(&mut self) -> Wake {
        let (clock, deadline) = (self.clock, self.machine.next_deadline());
        let passed = async {
            match deadline {
                Some(deadline) => clock.sleep_until(deadline).await,
                None => pending().await,
            }
            // The clock alone says nothing: this process may have been held up. One turn of the runtime
            // fetches what lies in the sockets, and it goes first.
            tokio::task::yield_now().await;
        };
        tokio::select! {
            biased;
            event = self.streams.next() => Wake::Event(event),
            Some(event) = self.inbox.recv() => Wake::Event(event),
            Ok(()) = self.reached.changed() => Wake::Event(self.reached()),
            Some(freeze) = self.freezes.recv() => Wake::Freeze(freeze),
            () = passed => Wake::Event(Event::Tick),
        }
    }

    fn reached(&mut self) -> Event {
        let all = self.reached.borrow_and_update();
        Event::Reached([0, 1].map(|family: usize| all.iter().any(|one| one[family])))
    }

    async fn feed(&mut self, event: Event) {
        let concerns_others = !matches!(event, Event::Tick | Event::Line { .. } | Event::Probed { .. });
        let now = self.clock.now();
        let mut actions = Vec::new();
        self.machine.on(event, now, &mut actions);
        if cfg!(debug_assertions) {
            self.machine.check_invariants();
        }
        let decided = actions.iter().filter(|action| self.decide(action, now)).count();
        if decided > 0 {
            self.decisions.send_replace(Some(Arc::new(self.standings.clone())));
            // The neighbors' tasks write first; everything else comes after.
            tokio::task::yield_now().await;
        }
        if !concerns_others && actions.is_empty() {
            return;
        }
        for action in actions {
            self.perform(action);
        }
        self.rows.send_if_modified(|rows| {
            let now = self.machine.rows();
            let changed = **rows != now;
            if changed {
                *rows = Arc::new(now);
            }
            changed
        });
    }

    fn decide(&mut self, action: &Action, now: Time) -> bool {
        let Action::Decide { vip, standing, reason } = *action else { return false };
        self.standings.insert(vip, Decision { standing, reason, since: now });
        true
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Open { stream } => self.streams.open(stream),
            Action::Close { stream } => self.streams.close(stream),
            Action::Probe { subject } => {
                let Some(probe) = self.probes.get(&subject).cloned() else { return };
                let (sender, clock) = (self.sender.clone(), self.clock);
                tokio::spawn(async move {
                    let served = probe.ask(clock).await;
                    let _ = sender.send(Event::Probed { subject, served }).await;
                });
            }
            Action::Ordered { vip, order } => {
                let kind = order.as_ref().map(|order| order.kind.name());
                tracing::info!(%vip, kind, reason = order.as_ref().map(|order| &*order.reason), "order");
                self.orders.send_modify(|orders| {
                    let orders = Arc::make_mut(orders);
                    match order.clone() {
                        Some(order) => drop(orders.insert(vip, order)),
                        None => drop(orders.remove(&vip)),
                    }
                });
                let left = |order: Order| (order.until.since(self.clock.now()), order);
                let order = order.map(left).map(|(lasts, order)| (order, lasts));
                self.journal.record(Entry::Order { vip, order });
            }
            Action::Drain { number, outcome } => self.drains.send_modify(|drains| {
                drains.push_back((number, outcome));
                let extra = drains.len().saturating_sub(REMEMBERED);
                drains.drain(..extra);
            }),
            Action::Decide { vip, standing, reason } => {
                self.journal.record(Entry::Vip { vip, standing, reason });
                self.metrics.decided(vip, standing);
                tracing::info!(%vip, state = standing.name(), reason = reason.name(), "VIP decided");
            }
        }
    }
}

/// A task that ends with who holds this.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Answers to drains that are kept for who asked; each looks for its own at once.
const REMEMBERED: usize = 64;

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task").field("machine", &self.machine).finish_non_exhaustive()
    }
}
