//! May this client have one more? Limits on what a stick table knows of it.
//!
//! A [`Tracker`] counts each request once, whatever its table stores, and asks the limits on that table. By
//! default it counts what it let through: a client that keeps knocking gets its share, no more and no
//! less, and is not shut out for knocking. Told to count all, it does as HAProxy does.
//!
//! What other nodes have counted comes in as [`Others`]; a limit for the cluster adds it to its own exact
//! numbers.

mod decide;
mod gcra;

#[cfg(test)]
mod tests;

pub use gcra::Gcra;

use crate::config::{BackendId, TableId};
use crate::identity::{IdentityId, Who};
use crate::rules::Condition;
use crate::table::{DataType, Stored};
use ipnet::IpNet;
use std::net::IpAddr;
use std::time::Duration;

/// Counts requests of a frontend by client, in one table.
#[derive(Clone, Debug)]
pub struct Tracker {
    /// The table that counts.
    pub table: TableId,
    /// What comes: requests, or in mode tcp connections.
    pub unit: Unit,
    /// What is counted.
    pub count: Count,
    /// Whose requests.
    pub whom: Whom,
    /// Limits on what it has counted, all of which apply; at most [`MAX_LIMITS`].
    pub limits: Vec<Limit>,
}

/// Whose requests a tracker counts, and by what: all by the client's address, unless it says otherwise.
#[derive(Clone, Debug, Default)]
pub struct Whom {
    /// Those for whom this is proven, by it and not by address.
    pub by: Option<IdentityId>,
    /// Those for whom this is not proven.
    pub unless: Option<IdentityId>,
    /// Those that go to one of these backends; none: to any.
    pub backends: Vec<BackendId>,
    /// Those for which this holds.
    pub condition: Option<Condition>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// From where.
    pub address: IpAddr,
    /// Who, where that is proven and counts.
    pub who: Option<&'a Who>,
}

/// What some may have instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Of whom.
    pub of: Of,
    /// How much.
    pub most: u32,
    /// The pace, where the limit has one.
    pub gcra: Option<Gcra>,
}

/// Whom a plan is for: whoever chooses a name must not get the plan of a class by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// Of one name.
    Name(String),
    /// All of one class.
    Class(String),
}

/// Most of one thing that a client may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Of what.
    pub data: DataType,
    /// How much.
    pub most: u32,
    /// On what it goes by.
    pub scope: Scope,
    /// Counts what it would refuse, and refuses nothing.
    pub dry_run: bool,
    /// Whom it does not concern.
    pub exempt: Vec<IpNet>,
    /// An even pace with a burst, instead of the sliding window.
    pub gcra: Option<Gcra>,
    /// What becomes of who has had as much.
    pub action: Action,
    /// What others may have instead: a name goes before a class.
    pub plans: Vec<Plan>,
}

/// What a limit does with what is too much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// Refuses it: 429, or the end of a connection.
    #[default]
    Deny,
    /// Refuses it after so long.
    Tarpit(Duration),
    /// Says nothing, and leaves the client alone with its connection.
    SilentDrop,
    /// Lets it wait for its turn.
    Queue(Patience),
    /// Lets it through with a mark.
    Mark,
}

/// How long, and with how many others, a request of a client may wait for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// At most so long.
    pub timeout: Duration,
    /// As one of so many of the same client.
    pub most: u32,
}

/// What a tracker counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Requests: `http_req_cnt` and `http_req_rate`.
    #[default]
    Request,
    /// Connections, in mode tcp: `conn_cnt` and `conn_rate`.
    Connection,
}

/// Which requests a tracker counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Count {
    /// Those that its limits let through.
    #[default]
    Admitted,
    /// All.
    All,
}

/// What a limit goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// What this node has counted.
    #[default]
    Node,
    /// What all nodes have counted.
    Cluster(Fallback),
}

/// What a limit for the cluster is while not all nodes can be heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// The same, on what the nodes that are heard have counted.
    #[default]
    Own,
    /// The share of the nodes that are heard.
    Share,
}

/// What the other nodes have counted of a client, for each limit of a tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Others {
    /// In the order of the limits.
    pub sums: [u64; MAX_LIMITS],
    /// Nodes that are heard, with this one.
    pub heard: u32,
    /// Nodes there are.
    pub nodes: u32,
}

/// What a tracker says to one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Why it goes no further, if so.
    pub denial: Option<Denial>,
    /// The first limit that would have refused it if it were not a dry run.
    pub would_deny: Option<&'static str>,
    /// The first limit that only marks it.
    pub mark: Option<&'static str>,
    /// Whether it is counted among those that run, until [`Tracker::release`].
    pub holds: bool,
}

/// Why a request is refused, and when to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The reason word, for log and metric: the name of what there is too much of.
    pub reason: &'static str,
    /// Whole seconds for the `Retry-After` field, at least 1.
    pub retry_after: u64,
    /// How much the client may have.
    pub most: u32,
    /// In how many whole seconds; 0: at once.
    pub period: u64,
    /// What there is too much of.
    pub data: DataType,
    /// When it may go, if nothing else of the client comes; none if nobody knows.
    pub wait: Option<Duration>,
    /// What becomes of it.
    pub action: Action,
}

impl Denial {
    /// The value of the `RateLimit-Policy` field (draft-ietf-httpapi-ratelimit-headers).
    pub fn policy(&self) -> String {
        let Self { reason, most, period, .. } = self;
        let window = if *period == 0 { String::new() } else { format!(";w={period}") };
        // Without a unit it is requests.
        let unit = match self.data {
            DataType::BytesInRate | DataType::BytesOutRate => ";qu=\"content-bytes\"",
            DataType::ConnCur => ";qu=\"concurrent-requests\"",
            _ => "",
        };
        format!("\"{reason}\";q={most}{unit}{window}")
    }

    /// The value of the `RateLimit` field: nothing is left, and when there will be something again.
    pub fn state(&self) -> String {
        format!("\"{}\";r=0;t={}", self.reason, self.retry_after)
    }
}

/// What a request was when it had ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The status of its answer; 0: none.
    pub status: u16,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to the client.
    pub bytes_out: u64,
}

impl Others {
    /// Of a node that is alone.
    pub const NONE: Self = Self { sums: [0; MAX_LIMITS], heard: 1, nodes: 1 };
}

impl Whom {
    /// Whether all requests are meant, by address.
    pub fn is_all(&self) -> bool {
        self.by.is_none() && self.unless.is_none() && self.backends.is_empty() && self.condition.is_none()
    }
}

impl From<IpAddr> for Asker<'_> {
    fn from(address: IpAddr) -> Self {
        Self { address, who: None }
    }
}

impl Limit {
    /// Of this node, refusing all beyond so much.
    pub fn new(data: DataType, most: u32) -> Self {
        let (scope, action) = (Scope::Node, Action::Deny);
        Self { data, most, scope, dry_run: false, exempt: Vec::new(), gcra: None, action, plans: Vec::new() }
    }

    /// For how long what a client has done matters, in a table that stores this.
    pub fn lasts(&self, stored: &[Stored]) -> Duration {
        let period = stored.iter().find(|stored| stored.data == self.data).map(|stored| stored.period);
        let paces = self.plans.iter().map(|plan| plan.gcra).chain([self.gcra]).flatten();
        paces.map(|gcra| gcra.lasts()).max().or(period).unwrap_or_default()
    }

    /// Whether it concerns this client.
    pub fn concerns(&self, client: IpAddr) -> bool {
        !self.exempt.iter().any(|network| network.contains(&client))
    }

    /// How much who asks may have, as long as so many nodes are heard.
    pub fn most(&self, asker: Asker<'_>, others: &Others) -> u32 {
        let most = self.plan(asker).map_or(self.most, |plan| plan.most);
        match self.scope {
            Scope::Cluster(Fallback::Share) if others.heard < others.nodes => {
                let share = u64::from(most) * u64::from(others.heard) / u64::from(others.nodes);
                u32::try_from(share).unwrap_or(u32::MAX).max(1)
            }
            _ => most,
        }
    }

    /// The pace of who asks.
    fn gcra(&self, asker: Asker<'_>) -> Option<Gcra> {
        let gcra = self.gcra?;
        Some(self.plan(asker).and_then(|plan| plan.gcra).unwrap_or(gcra))
    }

    #[inline]
    fn plan(&self, asker: Asker<'_>) -> Option<&Plan> {
        let who = asker.who.filter(|_| !self.plans.is_empty())?;
        let named = |plan: &&Plan| matches!(&plan.of, Of::Name(name) if **name == *who.name);
        let classed = |plan: &&Plan| matches!(&plan.of, Of::Class(of) if who.class.as_deref() == Some(of));
        self.plans.iter().find(named).or_else(|| self.plans.iter().find(classed))
    }
}

/// Limits of a tracker.
pub const MAX_LIMITS: usize = 8;
/// Tables that count one request: a dozen.
pub const MAX_TRACKERS: usize = 12;
