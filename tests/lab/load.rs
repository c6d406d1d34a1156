//! The load: what clients of the deployment do, at an even pace, with a memory of every request.
//!
//! Four kinds at once: new connections with one request each, keep-alive connections with a request
//! every 100 ms, long requests with one small answer at the end, and streams. All on one thread in the
//! client's namespace. Bounded in rate and in time; each request comes from a client address that is
//! far from its limits.

use crate::http::{Connection, Failure, Request, fetch};
use crate::inside::Inside;
use crate::netns::Namespace;
use crate::report::Report;
use crate::topology::{PORT, SERVICES, VIPS, client_address};
use anyhow::Result;
use base::Clock;
use base_core::Time;
use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// How much of each kind, spread evenly over the VIPs.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// New connections a second, one request each.
    pub new_per_second: u32,
    /// Connections that are kept, a request every 100 ms on each.
    pub keep_alive: u32,
    /// Requests of four seconds, at any time.
    pub long: u32,
    /// Streams of four seconds, at any time.
    pub streams: u32,
    /// Longest time that the load runs.
    pub at_most: Duration,
}

impl Mix {
    /// New connections alone.
    pub const fn new_connections(per_second: u32) -> Self {
        Self {
            new_per_second: per_second,
            keep_alive: 0,
            long: 0,
            streams: 0,
            at_most: Duration::from_secs(300),
        }
    }

    /// What the deployment is judged by.
    pub const fn full() -> Self {
        Self { new_per_second: 300, keep_alive: 30, long: 6, streams: 6, at_most: Duration::from_secs(600) }
    }
}

/// The kinds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// On a new connection.
    New,
    /// On a connection that is kept.
    KeepAlive,
    /// Four seconds, then a small answer.
    Long,
    /// Four seconds, an answer in pieces.
    Stream,
}

/// One request that was made.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its kind.
    pub kind: Kind,
    /// The VIP that it went to.
    pub vip: Ipv4Addr,
    /// The service that it asked for.
    pub service: &'static str,
    /// When it began.
    pub start: Time,
    /// When its outcome was known.
    pub end: Time,
    /// The server that answered, or why none did.
    pub outcome: Result<Box<str>, Failure>,
}

/// A running load. Dropping it ends it.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    _inside: Inside,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    mix: Mix,
    until: Time,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    samples: Vec<Sample>,
    /// Requests without an outcome yet, by number.
    open: HashMap<u64, (Kind, Time)>,
    /// When the last request whose outcome is known was begun on each connection that is kept.
    kept: BTreeMap<u32, Time>,
    begun: u64,
}

impl Load {
    /// Starts it in the client's namespace.
    pub fn start(client: &Namespace, clock: Clock, mix: Mix) -> Result<Self> {
        let inside = Inside::start(Some(client))?;
        let until = clock.now() + mix.at_most;
        let shared = Arc::new(Shared { clock, mix, until, memory: Mutex::default() });
        if mix.new_per_second > 0 {
            inside.spawn(new_connections(Arc::clone(&shared)));
        }
        // Each kind has clients of its own, far enough apart that they never share an address.
        for index in 0..mix.keep_alive {
            inside.spawn(keep_alive(Arc::clone(&shared), index, KEEP_ALIVE_CLIENTS + index));
        }
        let stagger = |index: u32, count: u32| LONG_TIME * index / count.max(1);
        for index in 0..mix.long {
            let (shared, first) = (Arc::clone(&shared), stagger(index, mix.long));
            inside.spawn(repeat(shared, Kind::Long, index, LONG_CLIENTS + index, first));
        }
        for index in 0..mix.streams {
            let (shared, first) = (Arc::clone(&shared), stagger(index, mix.streams));
            inside.spawn(repeat(shared, Kind::Stream, index, STREAM_CLIENTS + index, first));
        }
        Ok(Self { shared, _inside: inside })
    }

    /// What became of the requests that were begun in a span of time. Requests that are still on their
    /// way are not in it: ask a moment later ([`Load::settle`]).
    pub fn report(&self, from: Time, to: Time) -> Report {
        let memory = self.shared.memory();
        Report::new(
            memory
                .samples
                .iter()
                .filter(|sample| sample.start >= from && sample.start < to)
                .cloned()
                .collect(),
        )
    }

    /// What became of the requests whose outcome was known in a span of time, whenever they began.
    pub fn ended(&self, from: Time, to: Time) -> Report {
        let memory = self.shared.memory();
        Report::new(
            memory.samples.iter().filter(|sample| sample.end >= from && sample.end < to).cloned().collect(),
        )
    }

    /// Waits until every request on a new connection that was begun before now has its outcome.
    pub fn settle(&self) -> Result<()> {
        self.settle_those("the outcome of new requests", |kind| kind == Kind::New)
    }

    /// Waits until every request of any kind that was begun before now has its outcome, some seconds, and every
    /// connection that is kept has been asked once more: whether it has been broken is then known.
    pub fn settle_all(&self) -> Result<()> {
        let now = self.shared.clock.now();
        self.settle_those("the outcome of all requests", |_| true)?;
        crate::wait_until("a request on every kept connection", 2 * KEEP_ALIVE_DEADLINE, || {
            let memory = self.shared.memory();
            let asked = memory.kept.values().filter(|start| **start >= now).count();
            Ok((asked == self.shared.mix.keep_alive as usize).then_some(()))
        })
    }

    fn settle_those(&self, what: &str, wanted: impl Fn(Kind) -> bool) -> Result<()> {
        let now = self.shared.clock.now();
        let within = LONG_TIME + 2 * NEW_DEADLINE;
        crate::wait_until(what, within, || {
            let memory = self.shared.memory();
            let waits = memory.open.values().any(|(kind, start)| wanted(*kind) && *start < now);
            Ok((!waits).then_some(()))
        })
    }
}

impl Shared {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.clock.now() >= self.until
    }

    fn begin(&self, kind: Kind) -> (u64, Time) {
        let start = self.clock.now();
        let mut memory = self.memory();
        memory.begun += 1;
        let number = memory.begun;
        memory.open.insert(number, (kind, start));
        (number, start)
    }

    fn end(&self, plan: &Plan, (number, start): (u64, Time), outcome: Result<Box<str>, Failure>) {
        let Plan { kind, vip, service, .. } = *plan;
        let mut memory = self.memory();
        memory.open.remove(&number);
        if memory.samples.len() < MAX_SAMPLES {
            memory.samples.push(Sample { kind, vip, service, start, end: self.clock.now(), outcome });
        }
    }
}

/// One request to be.
struct Plan {
    kind: Kind,
    vip: Ipv4Addr,
    service: &'static str,
    request: Request,
}

impl Plan {
    fn new(kind: Kind, index: u32, client: u32) -> Self {
        let index = usize::try_from(index).unwrap_or_default();
        let vip = VIPS[index % VIPS.len()];
        let service = SERVICES[index / VIPS.len() % SERVICES.len()];
        let (path, deadline) = match kind {
            Kind::New => ("/whoami", NEW_DEADLINE),
            Kind::KeepAlive => ("/whoami", KEEP_ALIVE_DEADLINE),
            Kind::Long => ("/slow?ms=4000", LONG_TIME + NEW_DEADLINE),
            Kind::Stream => ("/stream?ms=4000&every=100", LONG_TIME + NEW_DEADLINE),
        };
        let request = Request::get(SocketAddr::from((vip, PORT)), &format!("{service}.example"), path)
            .from(client_address(client))
            .within(deadline);
        Self { kind, vip, service, request }
    }
}

async fn new_connections(shared: Arc<Shared>) {
    let mut tick = interval(Duration::from_secs(1) / shared.mix.new_per_second);
    // Behind by a moment of no processor: catch up, so that the rate holds.
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut index = 0_u32;
    while !shared.is_over() {
        tick.tick().await;
        let plan = Plan::new(Kind::New, index, index % NEW_CLIENTS);
        index = index.wrapping_add(1);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move { once(&shared, plan).await });
    }
}

async fn repeat(shared: Arc<Shared>, kind: Kind, index: u32, client: u32, first: Duration) {
    sleep(first).await;
    while !shared.is_over() {
        if !once(&shared, Plan::new(kind, index, client)).await {
            sleep(RECONNECT).await;
        }
    }
}

async fn once(shared: &Shared, plan: Plan) -> bool {
    let begun = shared.begin(plan.kind);
    let outcome = judge(fetch(plan.request.clone()).await);
    let good = outcome.is_ok();
    shared.end(&plan, begun, outcome);
    good
}

async fn keep_alive(shared: Arc<Shared>, index: u32, client: u32) {
    let plan = Plan::new(Kind::KeepAlive, index, client);
    sleep(KEEP_ALIVE_EVERY * index / shared.mix.keep_alive.max(1)).await;
    let mut tick = interval(KEEP_ALIVE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut connection: Option<Connection> = None;
    while !shared.is_over() {
        tick.tick().await;
        let begun = shared.begin(Kind::KeepAlive);
        // One that was closed in order is not broken: the next request opens another.
        let kept = connection.take().filter(|connection| !connection.is_closed());
        let outcome = match kept {
            Some(kept) => keep(kept, &plan, &mut connection).await,
            None => {
                let opened = Connection::open(plan.request.to, plan.request.from);
                match tokio::time::timeout(plan.request.deadline, opened).await {
                    Ok(Ok(fresh)) => keep(fresh, &plan, &mut connection).await,
                    Ok(Err(failure)) => Err(failure),
                    Err(_) => Err(Failure::Timeout),
                }
            }
        };
        shared.end(&plan, begun, outcome);
        shared.memory().kept.insert(index, begun.1);
    }
}

/// One request; the connection is put back if it is still good.
async fn keep(
    mut connection: Connection,
    plan: &Plan,
    back: &mut Option<Connection>,
) -> Result<Box<str>, Failure> {
    let outcome = judge(connection.fetch(&plan.request).await);
    if !matches!(outcome, Err(Failure::Broken | Failure::Timeout)) {
        *back = Some(connection);
    }
    outcome
}

fn judge(outcome: Result<crate::http::Answer, Failure>) -> Result<Box<str>, Failure> {
    let answer = outcome?;
    if answer.status.is_success() {
        Ok(answer.server().into())
    } else {
        Err(Failure::Status(answer.status.as_u16()))
    }
}

/// Deadline of a request on a new connection.
pub const NEW_DEADLINE: Duration = Duration::from_secs(1);
const KEEP_ALIVE_DEADLINE: Duration = Duration::from_secs(1);
const KEEP_ALIVE_EVERY: Duration = Duration::from_millis(100);
const LONG_TIME: Duration = Duration::from_secs(4);
/// Before a long request or stream that failed is begun again.
const RECONNECT: Duration = Duration::from_millis(100);
/// Client addresses of new connections: each makes a request every ten seconds at 300 a second.
const NEW_CLIENTS: u32 = 3_000;
const KEEP_ALIVE_CLIENTS: u32 = 10_000;
const LONG_CLIENTS: u32 = 20_000;
const STREAM_CLIENTS: u32 = 30_000;
/// Samples that are kept: an hour of the full mix.
const MAX_SAMPLES: usize = 2_500_000;
