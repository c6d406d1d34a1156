//! When a rule matches.

use super::key::Key;
use super::ssl::Ssl;
use super::text::Text;
use crate::config::TableId;
use crate::lists::{ListId, Wanted};
use crate::route::HostPattern;
use crate::table::DataType;
use ipnet::IpNet;
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// What rules can ask about a request. The shell answers from what it has parsed already.
pub trait Facts {
    /// The client's address.
    fn source(&self) -> IpAddr;
    /// Whether it came over TLS.
    fn tls(&self) -> bool;
    /// The method.
    fn method(&self) -> &str;
    /// The host that it is for, as it was sent.
    fn host(&self) -> &str;
    /// The path.
    fn path(&self) -> &str;
    /// The query, without its `?`; empty if there is none.
    fn query(&self) -> &str;
    /// The values of all header fields of this name, in order.
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]>;
    /// What stick tables know of this; none if nothing is tracked there. An entry that there is not has 0 of
    /// everything.
    fn counter(&self, counter: &Counter) -> Option<u64>;
    /// The status of the answer, once there is one.
    fn status(&self) -> Option<u16> {
        None
    }
    /// The values of all fields of this name in the answer, in order.
    fn response_header<'a>(&'a self, _name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        std::iter::empty()
    }
    /// What the TLS handshake has shown; none if there was none, or it did not show that.
    fn ssl(&self, _: Ssl) -> Option<&str> {
        None
    }
    /// Looks something up in a list or map, and hands what stands behind it to `then`.
    fn lookup<R>(&self, list: ListId, wanted: Wanted<'_>, then: impl FnOnce(&[u8]) -> R) -> Option<R>;
}

/// What a request must be like.
#[derive(Clone, Debug)]
pub enum Condition {
    /// All hold; of none that is true.
    All(Vec<Self>),
    /// At least one holds.
    Any(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// The client is in one of these networks.
    Source(Vec<IpNet>),
    /// The client is in this list.
    SourceListed(ListId),
    /// It has one of these methods.
    Method(Vec<String>),
    /// It is for one of these hosts.
    Host(Vec<HostPattern>),
    /// Its host, without port, is like this.
    HostText(Text),
    /// Its path is like this.
    Path(Text),
    /// One of its header fields of this name is like this.
    Header(String, Text),
    /// One of its query parameters of this name is like this, as it stands in the query.
    Query(String, Text),
    /// One of its cookies of this name is like this.
    Cookie(String, Text),
    /// It came over TLS, or not.
    Tls(bool),
    /// What the TLS handshake has shown is like this.
    Ssl(Ssl, Text),
    /// What stick tables know of this compares so.
    Counter(Counter, Comparison, u64),
    /// The answer has one of these statuses.
    Status(Vec<RangeInclusive<u16>>),
    /// One of the answer's fields of this name is like this.
    ResponseHeader(String, Text),
}

/// What is asked of a stick table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Of which entry.
    pub from: Lookup,
    /// What kind.
    pub data: DataType,
    /// At this place of an array.
    pub index: u16,
    /// What this node has counted, also where a table is summed over all nodes.
    pub own: bool,
}

/// Which entry of which table is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The one that is tracked under this number.
    Tracked(u8),
    /// The one with this key in this table.
    Table(TableId, Key),
}

/// When rules are asked; what is known then is known later, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// A connection has come, and nothing is read from it but who it is (HAProxy: `tcp-request connection`).
    Connection,
    /// It has shown its TLS handshake, if it has TLS (`tcp-request session`).
    Session,
    /// A request has come (`http-request`).
    #[default]
    Request,
    /// There is an answer (`http-response`).
    Response,
}

/// How a counter is compared, in HAProxy's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Equal.
    Eq,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
}

impl Condition {
    /// What always holds.
    pub fn always() -> Self {
        Self::All(Vec::new())
    }

    /// Whether it holds for this request.
    pub fn holds(&self, facts: &impl Facts) -> bool {
        match self {
            Self::All(all) => all.iter().all(|condition| condition.holds(facts)),
            Self::Any(any) => any.iter().any(|condition| condition.holds(facts)),
            Self::Not(condition) => !condition.holds(facts),
            Self::Source(networks) => {
                let source = facts.source();
                networks.iter().any(|network| network.contains(&source))
            }
            Self::SourceListed(list) => {
                facts.lookup(*list, Wanted::Address(facts.source()), |_| ()).is_some()
            }
            Self::Method(methods) => methods.iter().any(|method| method == facts.method()),
            Self::Host(patterns) => {
                let host = crate::route::without_port(facts.host());
                patterns.iter().any(|pattern| pattern.matches(host))
            }
            Self::HostText(text) => {
                let host = crate::route::without_port(facts.host());
                text.fits(facts, [host.as_bytes()].into_iter())
            }
            Self::Path(text) => text.fits(facts, [facts.path().as_bytes()].into_iter()),
            Self::Header(name, text) => text.fits(facts, facts.header(name).map(<[u8]>::trim_ascii)),
            Self::Query(name, text) => text.fits(facts, parameters(facts.query(), name)),
            Self::Cookie(name, text) => text.fits(facts, cookies(facts, name)),
            Self::Ssl(sample, text) => text.fits(facts, facts.ssl(*sample).map(str::as_bytes).into_iter()),
            Self::Tls(tls) => facts.tls() == *tls,
            Self::Counter(counter, comparison, value) => {
                facts.counter(counter).is_some_and(|found| comparison.holds(found, *value))
            }
            Self::Status(ranges) => {
                facts.status().is_some_and(|status| ranges.iter().any(|range| range.contains(&status)))
            }
            Self::ResponseHeader(name, text) => {
                text.fits(facts, facts.response_header(name).map(<[u8]>::trim_ascii))
            }
        }
    }

    /// When all that it asks for is known.
    pub fn known(&self) -> Moment {
        match self {
            Self::All(all) | Self::Any(all) => {
                all.iter().map(Self::known).max().unwrap_or(Moment::Connection)
            }
            Self::Not(condition) => condition.known(),
            Self::Source(_) | Self::SourceListed(_) | Self::Tls(_) => Moment::Connection,
            Self::Counter(counter, ..) => match &counter.from {
                Lookup::Tracked(_) => Moment::Connection,
                Lookup::Table(_, key) => key.known(),
            },
            Self::Ssl(..) => Moment::Session,
            Self::Method(_)
            | Self::Host(_)
            | Self::HostText(_)
            | Self::Path(_)
            | Self::Header(..)
            | Self::Query(..)
            | Self::Cookie(..) => Moment::Request,
            Self::Status(_) | Self::ResponseHeader(..) => Moment::Response,
        }
    }
}

impl Comparison {
    fn holds(self, found: u64, value: u64) -> bool {
        match self {
            Self::Eq => found == value,
            Self::Gt => found > value,
            Self::Ge => found >= value,
            Self::Lt => found < value,
            Self::Le => found <= value,
        }
    }
}

/// The values of the query parameters of this name, as they stand there.
pub(crate) fn parameters<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    query.as_bytes().split(|byte| *byte == b'&').filter_map(|pair| named(pair, name))
}

/// The values of the cookies of this name (RFC 6265 §4.2.1).
pub(crate) fn cookies<'a>(facts: &'a impl Facts, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let pairs = facts.header("cookie").flat_map(|line| line.split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| named(pair.trim_ascii(), name))
}

/// The value of `name=value`; a name alone has an empty one.
fn named<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    match pair.strip_prefix(name.as_bytes())? {
        [] => Some(&[]),
        [b'=', value @ ..] => Some(value),
        _ => None,
    }
}
