//! What health means: for a backend, for a frontend, and for whether this node may announce its VIPs.
//!
//! Promises: a gateway is ready when it can serve, whatever its servers do: the nodes share their servers, so
//! a service that is down everywhere is answered with 503 and never takes the VIPs, and with them every other
//! service, off the internet. Each refusal has one reason word, the same in `/health`, logs and metrics.

use crate::machine::State;
use base_core::Time;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How much of a backend or a frontend can serve; the order is from worst to best.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// Nothing is left that could serve.
    Down,
    /// Some of it serves.
    Degraded,
    /// All of it serves.
    Whole,
}

impl Service {
    /// Whether a request can be served at all.
    pub const fn usable(self) -> bool {
        !matches!(self, Self::Down)
    }
}

/// A backend from its servers' states. A server in maint is out by decision: it is no fault, and no help.
pub fn backend(servers: impl IntoIterator<Item = State>) -> Service {
    let (mut up, mut down) = (0_usize, 0_usize);
    for state in servers {
        match state {
            State::Up => up += 1,
            State::Down => down += 1,
            State::Maint => {}
        }
    }
    match (up, down) {
        (0, _) => Service::Down,
        (_, 0) => Service::Whole,
        _ => Service::Degraded,
    }
}

/// A frontend from the backends that its routes lead to. One without backends answers by itself.
pub fn frontend(backends: impl IntoIterator<Item = Service>) -> Service {
    backends
        .into_iter()
        .reduce(|one, other| if one == other { one } else { Service::Degraded })
        .unwrap_or(Service::Whole)
}

/// Where a gateway is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Lifecycle {
    /// It takes what comes.
    Serving,
    /// It shall leave: neighbors hear it first, what is in flight is finished.
    Draining,
    /// A new process has its sockets and carries on.
    Moved,
}

/// What is known of a gateway's ability to serve.
#[derive(Clone, Copy, Debug)]
pub struct GatewayHealth<'a> {
    /// When each worker last turned its loop.
    pub workers: &'a [Time],
    /// Whether all listeners are bound and accept.
    pub listeners_accept: bool,
    /// Whether a configuration is in force.
    pub configuration_loaded: bool,
    /// Where it is in its life.
    pub lifecycle: Lifecycle,
}

/// The state that a gateway's health stream says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatewayState {
    /// Announce.
    Ready,
    /// Withdraw.
    NotReady,
    /// Announce worse, then withdraw.
    Draining,
    /// Keep what is announced, and listen to the new process.
    Moved,
}

impl GatewayState {
    /// The word in the health stream.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NotReady => "not_ready",
            Self::Draining => "draining",
            Self::Moved => "moved",
        }
    }
}

/// Why a gateway is not simply ready.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A worker has not turned its loop for [`WORKER_STALL`], or there is none.
    WorkerStalled,
    /// A listener does not accept.
    ListenerDown,
    /// No configuration is in force.
    NoConfiguration,
    /// It drains.
    Draining,
    /// A new process carries on.
    Moved,
}

impl Reason {
    /// The one word for it, in the health stream, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WorkerStalled => "worker_stalled",
            Self::ListenerDown => "listener_down",
            Self::NoConfiguration => "no_configuration",
            Self::Draining => "draining",
            Self::Moved => "moved",
        }
    }
}

/// May this node announce? Serializes as the line of the health stream: `{"state":"ready","reasons":[]}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Verdict {
    /// What to say.
    pub state: GatewayState,
    /// Why; empty when ready.
    pub reasons: Vec<Reason>,
}

/// The verdict on a gateway. A process that has moved says so whatever else is wrong with it: its sockets are
/// another's now. A drain does not cover a fault: one that can't serve must be left at once, not in good order.
pub fn gateway(health: &GatewayHealth<'_>, now: Time) -> Verdict {
    let faults = [
        (!may_beat(health.workers, now), Reason::WorkerStalled),
        (!health.listeners_accept, Reason::ListenerDown),
        (!health.configuration_loaded, Reason::NoConfiguration),
    ];
    let mut reasons: Vec<Reason> =
        faults.into_iter().filter_map(|(is, reason)| is.then_some(reason)).collect();
    let state = match health.lifecycle {
        Lifecycle::Moved => {
            reasons.push(Reason::Moved);
            GatewayState::Moved
        }
        lifecycle => {
            let draining = lifecycle == Lifecycle::Draining;
            let faulty = !reasons.is_empty();
            reasons.extend(draining.then_some(Reason::Draining));
            match (faulty, draining) {
                (true, _) => GatewayState::NotReady,
                (false, true) => GatewayState::Draining,
                (false, false) => GatewayState::Ready,
            }
        }
    };
    Verdict { state, reasons }
}

/// Whether a beat may go out: there are workers, and each has turned its loop within [`WORKER_STALL`].
pub fn may_beat(workers: &[Time], now: Time) -> bool {
    !workers.is_empty() && workers.iter().all(|turned| now.since(*turned) <= WORKER_STALL)
}

/// A worker that has not turned its loop for this long is stuck: three beats, far above any pause that a
/// healthy worker makes, and short enough that clients on its listeners hardly notice.
pub const WORKER_STALL: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests;
