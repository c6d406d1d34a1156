//! The task of one neighbor: drives its machine with what the connection, the gate and the clock say.
//!
//! A decision of the gate goes before everything else, and its bytes are written, to every neighbor, before anything is
//! logged or counted.

mod keep;
mod look;
mod reach;
mod tell;

use crate::board::{Decisions, NeighborView, Routes};
use crate::handover::{Fate, Freeze, FrozenNeighbor};
use crate::journal::{Entry, Journal};
use crate::link::{Flushed, Link};
use crate::metrics::NeighborMetrics;
use crate::socket;
use crate::text_api::Feed;
use base::Clock;
use base_core::{Machine, Time};
use bgp_core::bfd;
use bgp_core::config::Neighbor as Config;
use bgp_core::fsm::{self, Received, State, Way};
use bgp_core::mirror;
use bgp_core::neighbor::{Action, Decision, Event, Neighbor};
use bgp_core::wire::notification;
use bgp_core::wire::validate::Summary;
use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use tell::{Complaints, hex};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

pub(crate) use look::Look;
pub(crate) use reach::Reach;

type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

pub(crate) struct Task {
    pub(crate) config: Config,
    pub(crate) hold_time: u16,
    pub(crate) clock: Clock,
    pub(crate) view: watch::Sender<NeighborView>,
    pub(crate) metrics: NeighborMetrics,
    pub(crate) machine: Neighbor,
    /// For the journal.
    name: Arc<str>,
    journal: Journal,
    /// What the text API has for the neighbor, if it is used.
    injected: Option<Feed>,
    /// Who wants to know what the neighbor holds.
    asked: mpsc::Receiver<oneshot::Sender<Routes>>,
    connecting: Option<Connecting>,
    /// By [`Way::index`].
    links: [Option<Link>; 2],
    /// A connection that has just come, until the machine says what becomes of it.
    arrived: Option<Link>,
    /// Where connections of the neighbor come in, if it may connect.
    arrivals: Option<mpsc::Receiver<TcpStream>>,
    freezes: mpsc::Receiver<Freeze<FrozenNeighbor>>,
    /// What to tell once all bytes are written.
    told: Vec<(IpAddr, Decision)>,
    /// When they were; it is told when nobody waits for anything.
    written: Option<Time>,
    closing: JoinSet<()>,
    last_error: Option<String>,
    /// It was told that there is no session; cleared when there is.
    failing: bool,
    complaints: Complaints,
    /// What BFD tells, if the neighbor has it.
    path: Option<mpsc::Receiver<bfd::Change>>,
    path_state: Option<bfd::State>,
    /// What it shows of the own VIPs, if it is a looking glass.
    look: Option<Look>,
    reach: Reach,
}

/// How others reach the task.
pub(crate) struct Wires {
    /// What BFD tells, if the neighbor has it.
    pub(crate) path: Option<mpsc::Receiver<bfd::Change>>,
    /// Where transitions are told.
    pub(crate) journal: Journal,
    /// Who wants to know what the neighbor holds.
    pub(crate) asked: mpsc::Receiver<oneshot::Sender<Routes>>,
    /// Where connections of the neighbor come in, if it may connect.
    pub(crate) arrivals: Option<mpsc::Receiver<TcpStream>>,
    /// What the text API has for the neighbor, if it is used.
    pub(crate) injected: Option<Feed>,
    /// Who wants another process to go on.
    pub(crate) freezes: mpsc::Receiver<Freeze<FrozenNeighbor>>,
    /// If it is a looking glass.
    pub(crate) look: Option<Look>,
    /// Where the gate hears whether there is a session.
    pub(crate) reach: Reach,
}

/// What woke the task.
enum Wake {
    Path(Option<bfd::Change>),
    Decided,
    Injected,
    Stop,
    Connected(io::Result<TcpStream>),
    Arrived(TcpStream),
    Link(Way, io::Result<()>),
    Nothing,
    Deadline,
    Tell,
    Freeze(Freeze<FrozenNeighbor>),
    Asked(oneshot::Sender<Routes>),
}

impl Task {
    pub(crate) fn new(
        config: Config,
        hold_time: u16,
        clock: Clock,
        machine: Neighbor,
        view: watch::Sender<NeighborView>,
        metrics: NeighborMetrics,
        wires: Wires,
    ) -> Self {
        let Wires { path, journal, asked, arrivals, injected, freezes, look, reach } = wires;
        let path_state = path.as_ref().map(|_| bfd::State::Down);
        Self {
            name: config.name.as_str().into(),
            journal,
            asked,
            injected,
            config,
            hold_time,
            clock,
            view,
            metrics,
            machine,
            connecting: None,
            links: [None, None],
            arrived: None,
            arrivals,
            freezes,
            told: Vec::new(),
            written: None,
            closing: JoinSet::new(),
            last_error: None,
            failing: false,
            complaints: Complaints::default(),
            path,
            path_state,
            look,
            reach,
        }
    }

    /// Runs until `stop` carries a text, which the neighbor gets as reason; then says goodbye.
    pub(crate) async fn run(
        mut self,
        mut decisions: watch::Receiver<Decisions>,
        mut stop: watch::Receiver<Option<String>>,
    ) {
        let mut code = notification::ADMINISTRATIVE_SHUTDOWN;
        decisions.mark_changed();
        self.begin();
        loop {
            match self.wake(&mut decisions, &mut stop).await {
                Wake::Decided => {
                    let decided = decisions.borrow_and_update().clone();
                    if let Some(standings) = decided {
                        self.feed(Event::Decided(Arc::clone(&standings)));
                        self.look_later(standings);
                    }
                }
                Wake::Injected => {
                    let routes = self.injected.as_mut().map(|feed| Arc::clone(&feed.borrow_and_update()));
                    self.feed(Event::Injected(routes.unwrap_or_default()));
                }
                Wake::Stop => break,
                Wake::Path(Some(change)) => self.path_changed(change),
                Wake::Path(None) => self.path = None,
                Wake::Connected(outcome) => self.connected(outcome),
                Wake::Arrived(stream) => self.arrived(stream),
                Wake::Link(way, outcome) => self.link_ready(way, outcome),
                Wake::Tell => {
                    self.tell();
                    self.look_at([]);
                }
                Wake::Nothing => {}
                Wake::Freeze(freeze) => match self.freeze(freeze).await {
                    None => {}
                    Some(Fate::Gone) => return,
                    Some(Fate::End(ended)) => {
                        code = ended;
                        break;
                    }
                },
                Wake::Asked(answer) => {
                    let held = self.machine.routes();
                    let _ = answer.send(held.map(|(vip, route)| (vip, route.clone())).collect());
                }
                Wake::Deadline => {
                    // What arrived while this process was held up is read before silence is declared.
                    tokio::task::yield_now().await;
                    Way::ALL.into_iter().for_each(|way| while self.read(way) {});
                    self.feed(Neighbor::tick());
                    self.look(mirror::Event::Tick);
                }
            }
        }
        let text = stop.borrow().clone().unwrap_or_default();
        self.feed(Event::Session(fsm::Event::Stop { code, text }));
        self.tell();
        while self.closing.join_next().await.is_some() {}
    }

    async fn wake(
        &mut self,
        decisions: &mut watch::Receiver<Decisions>,
        stop: &mut watch::Receiver<Option<String>>,
    ) -> Wake {
        let shown = self.look.as_ref().and_then(|look| look.mirror.next_deadline());
        let deadline = [self.machine.next_deadline(), shown].into_iter().flatten().min();
        let waits = self.written.is_some() || self.look.as_ref().is_some_and(|look| look.decided.is_some());
        let (clock, connecting) = (self.clock, self.connecting.as_mut());
        let [out, inward] = self.links.each_ref().map(Option::as_ref);
        let arrivals = self.arrivals.as_mut();
        let path = self.path.as_mut();
        let injected = self.injected.as_mut();
        tokio::select! {
            biased;
            Ok(()) = decisions.changed() => Wake::Decided,
            _ = stop.wait_for(Option::is_some) => Wake::Stop,
            Ok(()) = or_never(injected.map(watch::Receiver::changed)) => Wake::Injected,
            change = or_never(path.map(mpsc::Receiver::recv)) => Wake::Path(change),
            outcome = or_never(connecting) => Wake::Connected(outcome),
            outcome = or_never(out.map(Link::ready)) => Wake::Link(Way::Out, outcome),
            outcome = or_never(inward.map(Link::ready)) => Wake::Link(Way::In, outcome),
            Some(stream) = or_never(arrivals.map(mpsc::Receiver::recv)) => Wake::Arrived(stream),
            () = or_never(deadline.map(|deadline| clock.sleep_until(deadline))) => Wake::Deadline,
            () = or_never(waits.then(tokio::task::yield_now)) => Wake::Tell,
            Some(freeze) = self.freezes.recv() => Wake::Freeze(freeze),
            Some(answer) = self.asked.recv() => Wake::Asked(answer),
            Some(_) = self.closing.join_next() => Wake::Nothing,
        }
    }

    fn path_changed(&mut self, change: bfd::Change) {
        self.path_state = Some(change.to);
        self.feed(Event::Bfd(change));
        let bfd::Change { from, to, diagnostic, remote, failed } = change;
        let (from, to, why, remote) = (from.name(), to.name(), diagnostic.name(), remote.name());
        let neighbor = Arc::clone(&self.name);
        self.journal.record(Entry::Bfd { neighbor, from, to, why });
        tracing::info!(neighbor = %self.config.name, from, to, why, remote, failed, "BFD");
    }

    fn connected(&mut self, outcome: io::Result<TcpStream>) {
        self.connecting = None;
        let link = outcome.map(Link::new).and_then(|link| Ok((link.local()?, link)));
        match link {
            Ok((local, link)) => {
                self.links[Way::Out.index()] = Some(link);
                self.feed(Event::Connected { way: Way::Out, local });
            }
            Err(error) => {
                self.last_error = Some(format!("connect: {error}"));
                self.feed(Event::Session(fsm::Event::ConnectFailed));
            }
        }
    }

    fn arrived(&mut self, stream: TcpStream) {
        let link = Link::new(stream);
        // One that has no address any more is gone already.
        let Ok(local) = link.local() else { return };
        self.arrived = Some(link);
        self.feed(Event::Connected { way: Way::In, local });
        self.arrived = None;
    }

    fn link_ready(&mut self, way: Way, outcome: io::Result<()>) {
        if outcome.is_err() {
            return self.feed(Event::Session(fsm::Event::Lost(way)));
        }
        self.read(way);
        if let Some(event) = self.flush(way) {
            self.feed(event);
        }
        // A router that never stops sending must not keep our own KEEPALIVEs from their turn.
        if self.machine.next_deadline().is_some_and(|deadline| deadline <= self.clock.now()) {
            self.feed(Neighbor::tick());
        }
    }

    /// Reads once and handles what came; says whether there may be more.
    fn read(&mut self, way: Way) -> bool {
        let Some(link) = &mut self.links[way.index()] else { return false };
        let more = link.read();
        self.messages(way);
        let stands = self.links[way.index()].is_some();
        match more {
            Ok(more) => more && stands,
            Err(error) => {
                if stands {
                    self.last_error = Some(format!("connection: {error}"));
                    self.feed(Event::Session(fsm::Event::Lost(way)));
                }
                false
            }
        }
    }

    /// Handles every whole message that was read.
    fn messages(&mut self, way: Way) {
        let mut shown = Vec::new();
        while let Some(bytes) = self.links[way.index()].as_mut().and_then(Link::message) {
            let message = match bytes {
                Ok(bytes) => {
                    let message = self.machine.read(bytes);
                    if let (Some(look), Received::Update(_)) = (&self.look, &message) {
                        look.read(bytes, self.machine.session().sender(), &mut shown);
                    }
                    if let Received::Update(Summary { fault: Some(fault), .. }) = message
                        && self.complaints.allow(self.clock.now())
                    {
                        let (attribute, reason) = (fault.attribute, fault.reason);
                        let response = fault.response.name();
                        let update = hex(bytes);
                        tracing::warn!(neighbor = %self.config.name, attribute, reason, response, update, "bad path attribute");
                    }
                    message
                }
                Err(notification) => Received::Bad(notification),
            };
            self.metrics.received(&message);
            self.feed(Event::Session(fsm::Event::Received(way, message)));
        }
        // What a session showed that has ended, or that never stood, is shown by nobody.
        let session = self.machine.session();
        if !shown.is_empty() && session.state() == State::Established && session.way() == way {
            self.look_at(shown);
        }
    }

    /// Gives the machine an event, runs its actions, and gives it what follows from them.
    fn feed(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        let mut actions = Vec::new();
        while let Some(event) = events.pop_front() {
            self.machine.on(event, self.clock.now(), &mut actions);
            if cfg!(debug_assertions) {
                self.machine.check_invariants();
            }
            for action in actions.drain(..) {
                self.perform(action);
            }
            events.extend(Way::ALL.into_iter().filter_map(|way| self.flush(way)));
        }
        self.publish();
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Connect => {
                self.connecting = Some(Box::pin(socket::connect(self.config.clone(), self.hold_time)));
            }
            Action::Accept => self.links[Way::In.index()] = self.arrived.take(),
            Action::Refuse(bytes) => {
                if let Some(mut link) = self.arrived.take() {
                    link.write(&bytes);
                    self.close(link);
                }
            }
            Action::Send(way, bytes) => {
                if let Some(link) = &mut self.links[way.index()] {
                    link.write(&bytes);
                    self.metrics.sent(&bytes);
                }
            }
            Action::Close(way) => {
                if way == Way::Out {
                    self.connecting = None;
                }
                if let Some(link) = self.links[way.index()].take() {
                    self.close(link);
                }
            }
            Action::Changed(change) => self.changed(&change),
            Action::Told { vip, decision } => self.told.push((vip, decision)),
        }
    }

    fn close(&mut self, mut link: Link) {
        // At once as far as possible; the rest of the goodbye needs no hurry.
        let _ = link.flush();
        self.closing.spawn(link.close());
    }

    /// Writes what waits, then tells what was waiting for that. The event says how it went.
    fn flush(&mut self, way: Way) -> Option<Event> {
        let flushed = self.links[way.index()].as_mut()?.flush();
        let counts = way == self.machine.session().way();
        if counts && matches!(flushed, Ok(Flushed::All | Flushed::Unblocked)) && !self.told.is_empty() {
            self.written.get_or_insert_with(|| self.clock.now());
        }
        let session = match flushed {
            Ok(Flushed::All | Flushed::StillBlocked) => return None,
            Ok(Flushed::Unblocked) => fsm::Event::Drained(way),
            Ok(Flushed::Blocked) => fsm::Event::Blocked(way),
            Err(error) => {
                self.last_error = Some(format!("connection: {error}"));
                fsm::Event::Lost(way)
            }
        };
        Some(Event::Session(session))
    }
}

async fn or_never<F: Future>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}
