//! Rules of a frontend, in order: what is changed in a request and its answer, and who gets no further
//! (HAProxy manual, "http-request").
//!
//! A rule that matches first makes its changes; one that also has an [`End`] ends the evaluation, and so
//! the first such match wins. Conditions see what earlier rules have changed. Evaluation is total: it
//! moves on by at least one rule with each step, allocates nothing, and knows no error. What a rule
//! asks for is done by the shell.

mod condition;
mod effects;
mod format;
mod key;
mod ssl;
mod text;

#[cfg(test)]
mod tests;

pub use condition::{Comparison, Condition, Counter, Facts, Lookup, Moment};
pub(crate) use condition::{cookies, parameters};
pub use effects::{Effects, Pace};
pub use format::Format;
pub use key::{Key, KeyBytes, LEAST_STRING, hashed_name};
pub use ssl::Ssl;
pub use text::{Case, Regex, Test, Text};
pub(crate) use text::{automaton, check_expression};

use crate::config::{BackendId, TableId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The rules of a frontend.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// When it matches.
    pub condition: Condition,
    /// Changes to the request, in order.
    pub request: Vec<Edit>,
    /// Changes to the answer, whoever gives it.
    pub response: Vec<Edit>,
    /// What becomes of the path.
    pub path: Option<Rewrite>,
    /// How its request is served from then on.
    pub effects: Effects,
    /// What it does to stick tables, in order.
    pub acts: Vec<Act>,
    /// How it ends the evaluation; `None`: the next rule is asked.
    pub end: Option<End>,
}

/// A change of a header field.
#[derive(Clone, Debug)]
pub enum Edit {
    /// Takes all fields of that name away and puts this one in their place.
    Set(String, Format),
    /// Puts one more behind those that are there.
    Add(String, Format),
    /// Takes all fields of that name away.
    Delete(String),
}

/// What a rule does to a stick table.
#[derive(Clone, Debug)]
pub enum Act {
    /// Tracks an entry under a number from then on, unless one is tracked there already.
    Track {
        /// The number.
        slot: u8,
        /// Of this table.
        table: TableId,
        /// With this key.
        key: Key,
    },
    /// Adds to a general purpose counter of what is tracked there.
    IncGpc {
        /// The number.
        slot: u8,
        /// Which counter.
        index: u16,
        /// How much.
        by: u32,
    },
    /// Writes a general purpose tag of what is tracked there.
    SetGpt {
        /// The number.
        slot: u8,
        /// Which tag.
        index: u16,
        /// What it is then.
        value: u32,
    },
}

/// A change of the path; the query stays.
#[derive(Clone, Debug)]
pub enum Rewrite {
    /// The whole of it.
    Whole(Format),
    /// Its start, if it starts so.
    Prefix {
        /// What the path starts with.
        beg: String,
        /// What stands there instead.
        to: String,
    },
}

/// How a rule ends the evaluation.
#[derive(Clone, Debug)]
pub enum End {
    /// Answers with an error.
    Deny {
        /// The status.
        status: u16,
        /// The reason word, for log and metric.
        reason: String,
    },
    /// Answers with an error, but only after a while.
    Tarpit {
        /// The status.
        status: u16,
        /// The reason word, for log and metric.
        reason: String,
        /// How long the client waits.
        timeout: Duration,
    },
    /// Closes the connection, and says nothing to the client, not even that.
    SilentDrop {
        /// The reason word, for log and metric.
        reason: String,
    },
    /// Ends a connection before anything is served on it.
    Reject {
        /// The reason word, for log and metric.
        reason: String,
    },
    /// Sends the client elsewhere.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// The `Location` field.
        location: Format,
    },
    /// Answers with a page.
    Return {
        /// The status.
        status: u16,
        /// The `Content-Type` field.
        content_type: String,
        /// The page.
        body: String,
    },
    /// Sends the request to this backend.
    Route(BackendId),
    /// Sends the request to the backend of this name; if there is none, the next rule is asked.
    RouteByName(Format, Arc<BTreeMap<String, BackendId>>),
}

impl Rules {
    /// Rules in their order.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    /// One more, behind the others.
    pub fn push(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// The first rule from place `from` on that matches, and its place. Go on behind it unless it has
    /// an end.
    pub fn next(&self, from: usize, facts: &impl Facts) -> Option<(usize, &Rule)> {
        let mut rules = self.rules.iter().enumerate().skip(from);
        rules.find(|(_, rule)| rule.condition.holds(facts))
    }

    /// The rule at this place.
    pub fn get(&self, place: usize) -> Option<&Rule> {
        self.rules.get(place)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Every backend that rules can lead to.
    pub fn backends(&self) -> impl Iterator<Item = BackendId> {
        self.rules.iter().flat_map(|rule| match &rule.end {
            Some(End::Route(backend)) => vec![*backend],
            Some(End::RouteByName(_, backends)) => backends.values().copied().collect(),
            _ => Vec::new(),
        })
    }
}

impl End {
    /// The reason word, if it is a refusal.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Deny { reason, .. }
            | Self::Tarpit { reason, .. }
            | Self::SilentDrop { reason }
            | Self::Reject { reason } => Some(reason),
            Self::Redirect { .. } | Self::Return { .. } | Self::Route(_) | Self::RouteByName(..) => None,
        }
    }
}

impl Rewrite {
    /// The new path, unless it stays as it is. It begins with a slash and has nothing in it that would
    /// end it, or the request line.
    pub fn apply(&self, facts: &impl Facts) -> Option<String> {
        let path = match self {
            Self::Whole(format) => String::from_utf8_lossy(&format.fill(facts)).into_owned(),
            Self::Prefix { beg, to } => format!("{to}{}", facts.path().strip_prefix(beg.as_str())?),
        };
        let mut safe = String::with_capacity(path.len() + 1);
        if !path.starts_with('/') {
            safe.push('/');
        }
        for byte in path.bytes() {
            match byte {
                b'?' | b'#' | 0..=0x20 | 0x7f.. => safe.push_str(&format!("%{byte:02X}")),
                _ => safe.push(char::from(byte)),
            }
        }
        Some(safe)
    }
}

/// Whether two names of header fields are one to some server: CGI and what comes from it make `_` of
/// `-`, so that a client could send `X_User` beside an `X-User` that a rule has set.
pub fn same_field(one: &str, other: &str) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    one.len() == other.len() && one.bytes().map(plain).eq(other.bytes().map(plain))
}
