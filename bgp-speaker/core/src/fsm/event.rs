//! What happens to a session, and what it asks for.

use super::State;
use super::collision::Way;
use super::negotiate::{Local, Negotiated};
use crate::wire::notification::{Code, Notification};
use crate::wire::prefix::Family;
use crate::wire::validate::Summary;
use crate::wire::{Open, RouteRefresh};
use std::time::Duration;

/// What happens to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A deadline has passed.
    Tick,
    /// The operator wants the session.
    Start,
    /// The operator ends it.
    Stop {
        /// Cease with this subcode.
        code: Code,
        /// Why, for people; goes to the neighbor where the code has room for it.
        text: String,
    },
    /// The connection that was asked for stands.
    Connected,
    /// It could not be made.
    ConnectFailed,
    /// The neighbor has opened a connection; answered with `Accept` or `Refuse`.
    Accepted,
    /// A connection is gone.
    Lost(Way),
    /// A message came.
    Received(Way, Received),
    /// The neighbor takes no more bytes for now.
    Blocked(Way),
    /// All bytes are out again.
    Drained(Way),
    /// BFD lost the way to the neighbor.
    PathLost,
    /// BFD found it.
    PathFound,
}

/// A message after decoding and validation: all that the machine needs of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// OPEN.
    Open(Open),
    /// UPDATE; its routes are already forgotten.
    Update(Summary),
    /// NOTIFICATION.
    Notification(Notification),
    /// KEEPALIVE.
    Keepalive,
    /// ROUTE-REFRESH.
    RouteRefresh(RouteRefresh),
    /// Bytes that deserve this answer.
    Bad(Notification),
}

/// What the shell shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a connection; answer with `Connected` or `ConnectFailed`.
    Connect,
    /// Keep the connection that the neighbor has just opened.
    Accept,
    /// Close the connection that the neighbor has just opened, with this.
    Refuse(Notification),
    /// Write these bytes.
    Send(Way, Vec<u8>),
    /// Close the connection, or stop making it; what was written before shall still arrive.
    Close(Way),
    /// The session stands: the neighbor holds nothing yet.
    Up(Negotiated),
    /// The session that stood is gone, and with it all that the neighbor held.
    Down,
    /// The neighbor wants this family again.
    Refresh(Family),
    /// The state changed.
    Changed(Change),
}

/// A change of state, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The state before.
    pub from: State,
    /// The state now.
    pub to: State,
    /// What happened.
    pub why: Why,
}

/// Why a state changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// A word from a fixed list.
    Word(&'static str),
    /// We ended it with this.
    Sent(Notification),
    /// The neighbor ended it with this.
    Got(Notification),
}

/// Who opens connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// We do; nothing is accepted.
    #[default]
    Active,
    /// The neighbor does.
    Passive,
    /// Whoever comes first.
    Both,
}

/// What a session is set up with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who we are and whom we expect.
    pub local: Local,
    /// Who opens connections.
    pub mode: Mode,
    /// Longest pause between two attempts.
    pub retry_max: Duration,
    /// Most prefixes that the neighbor may have announced and not withdrawn.
    pub max_prefixes: Option<u32>,
    /// Makes this neighbor's pauses differ from those of others.
    pub seed: u64,
}

impl Mode {
    /// Do we open connections?
    pub const fn connects(self) -> bool {
        matches!(self, Self::Active | Self::Both)
    }

    /// Do we accept them?
    pub const fn accepts(self) -> bool {
        matches!(self, Self::Passive | Self::Both)
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Sent(notification) => write!(f, "sent {notification}"),
            Self::Got(notification) => write!(f, "received {notification}"),
        }
    }
}
