//! A client keeps its server by a cookie (HAProxy manual, "cookie"): one of the gateway's own, one of the servers'
//! whose value is written over, or a prefix before it. Nothing is remembered here, so any node can read it.
//!
//! Promises: a cookie says which of the configured servers its client wants, when it was seen last and first, and
//! nothing else; one that names none, is too old, or names one that is down, is as none. A server whose weight is 0
//! keeps the clients that it has.

mod date;
mod dynamic;

pub use dynamic::value as dynamic_value;

use std::time::Duration;

/// How a backend does it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The cookie's name.
    pub name: String,
    /// Whose cookie it is.
    pub mode: Mode,
    /// Servers do not see it.
    pub indirect: bool,
    /// Caches are told not to keep an answer that sets it.
    pub nocache: bool,
    /// A server may set it itself, and what it says goes.
    pub preserve: bool,
    /// Only answers to POST set it.
    pub postonly: bool,
    /// For how long a client may stay away.
    pub maxidle: Option<Duration>,
    /// For how long a client may keep it at all.
    pub maxlife: Option<Duration>,
    /// What follows its value.
    pub attributes: String,
}

/// Whose cookie it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The gateway's own.
    #[default]
    Insert,
    /// The servers', whose value is written over.
    Rewrite,
    /// The servers', with a server's name and `~` before its value.
    Prefix,
}

/// What a client came with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Visit {
    /// The server that it wants.
    pub server: Option<usize>,
    /// What its cookie was.
    pub came: Came,
    /// When it was seen last and first, in seconds since 1970, where its cookie says so.
    last: Option<u64>,
    first: Option<u64>,
}

/// What a cookie was, by HAProxy's letters in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Came {
    /// There was none.
    #[default]
    None,
    /// It names no server.
    Invalid,
    /// It names one.
    Valid,
    /// Its client has stayed away for too long.
    Expired,
    /// It has been kept for too long.
    Old,
}

/// What became of the cookie in an answer, by HAProxy's letters in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gave {
    /// Nothing.
    #[default]
    None,
    /// The server set it, and it was let through.
    Provided,
    /// The server set it, and it was taken away.
    Deleted,
    /// The gateway set it.
    Inserted,
    /// What the server set was changed.
    Replaced,
    /// The gateway set it anew for its dates.
    Updated,
}

/// An answer, as far as cookies go.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// It comes from the server that its client wanted.
    pub is_direct: bool,
    /// The server sets the cookie itself.
    pub server_sets_it: bool,
    /// It answers a POST.
    pub is_post: bool,
    /// Seconds since 1970.
    pub now: u64,
}

impl Came {
    /// Its letter. `moved`: its client was served by another server than it wanted.
    pub fn letter(self, moved: bool) -> char {
        match self {
            Self::None => 'N',
            Self::Invalid => 'I',
            Self::Valid if moved => 'D',
            Self::Valid => 'V',
            Self::Expired => 'E',
            Self::Old => 'O',
        }
    }
}

impl Gave {
    /// Its letter.
    pub fn letter(self) -> char {
        match self {
            Self::None => 'N',
            Self::Provided => 'P',
            Self::Deleted => 'D',
            Self::Inserted => 'I',
            Self::Replaced => 'R',
            Self::Updated => 'U',
        }
    }
}

impl Policy {
    /// What a client comes with, from the `Cookie` fields of its request. `servers` are the values that stand for
    /// each.
    pub fn visit<'a>(
        &self,
        mut lines: impl Iterator<Item = &'a [u8]>,
        servers: impl Iterator<Item = Option<&'a str>>,
        now: u64,
    ) -> Visit {
        let value = lines.find_map(|line| crumbs(line).find_map(|crumb| self.value(crumb)));
        let Some(value) = value else { return Visit::default() };
        let (value, last, first) = match self.mode {
            Mode::Prefix => (split(value).map_or(value, |(server, _)| server), None, None),
            Mode::Insert | Mode::Rewrite => date::split(value),
        };
        if self.maxlife.is_some_and(|most| is_past(first, most, now)) {
            return Visit { came: Came::Old, ..Visit::default() };
        }
        if self.maxidle.is_some_and(|most| is_past(last, most, now)) {
            return Visit { came: Came::Expired, ..Visit::default() };
        }
        let mut servers = servers.enumerate();
        let server = servers.find_map(|(place, server)| (server?.as_bytes() == value).then_some(place));
        let came = if server.is_some() { Came::Valid } else { Came::Invalid };
        Visit { server, came, last, first }
    }

    /// Whether servers see other `Cookie` fields than their clients send.
    pub fn hides(&self) -> bool {
        self.mode == Mode::Prefix || self.mode == Mode::Insert && self.indirect
    }

    /// A `Cookie` field as servers shall see it; `None` if nothing of it is left.
    pub fn to_server(&self, line: &[u8]) -> Option<Vec<u8>> {
        let mut left = Vec::with_capacity(line.len());
        for crumb in crumbs(line) {
            let value = self.value(crumb);
            if value.is_some() && self.mode == Mode::Insert && self.indirect {
                continue;
            }
            if !left.is_empty() {
                left.extend_from_slice(b"; ");
            }
            match value.and_then(split).filter(|_| self.mode == Mode::Prefix) {
                Some((_, own)) => {
                    left.extend_from_slice(self.name.as_bytes());
                    left.push(b'=');
                    left.extend_from_slice(own);
                }
                None => left.extend_from_slice(crumb),
            }
        }
        (!left.is_empty()).then_some(left)
    }

    /// Whether a client gets a cookie for the server that has answered.
    pub fn sets(&self, visit: &Visit, answer: Answer) -> bool {
        let dated = self.maxidle.is_some() || visit.last.is_some();
        let is_stale = dated && visit.last.is_none_or(|last| last < answer.now)
            || self.maxlife.is_some() != visit.first.is_some();
        self.mode == Mode::Insert
            && !(self.preserve && answer.server_sets_it)
            && (!answer.is_direct || is_stale)
            && (!self.postonly || answer.is_post)
    }

    /// The `Set-Cookie` field that gives a client the cookie of the server that `value` stands for, or takes the one
    /// away that it has.
    pub fn field(&self, value: Option<&str>, visit: &Visit, now: u64) -> String {
        let Some(value) = value else {
            let gone = "Expires=Thu, 01-Jan-1970 00:00:01 GMT";
            return format!("{}=; {gone}; path=/{}", self.name, self.attributes);
        };
        let mut field = format!("{}={value}", self.name);
        if self.maxidle.is_some() || self.maxlife.is_some() {
            date::push(&mut field, now);
        }
        if self.maxlife.is_some() {
            date::push(&mut field, visit.first.unwrap_or(now));
        }
        field.push_str("; path=/");
        field.push_str(&self.attributes);
        field
    }

    /// What was done to the cookie of a server in an answer that sets it; the server is known if `value` stands for it.
    pub fn gave(&self, value: Option<&str>, is_direct: bool) -> Gave {
        match (self.mode, value) {
            _ if self.preserve => Gave::Provided,
            (Mode::Insert, _) => Gave::Deleted,
            _ if self.indirect && is_direct => Gave::Deleted,
            (_, Some(_)) => Gave::Replaced,
            (_, None) => Gave::Provided,
        }
    }

    /// Whether a `Set-Cookie` field of a server sets this cookie.
    pub fn is_set_by(&self, field: &[u8]) -> bool {
        self.value(field).is_some()
    }

    /// A `Set-Cookie` field of a server, as its client shall see it; `None` if not at all. `value` stands for the
    /// server.
    pub fn to_client(&self, field: &[u8], value: Option<&str>, is_direct: bool) -> Option<Vec<u8>> {
        let Some(own) = self.value(field) else { return Some(field.to_vec()) };
        match (self.gave(value, is_direct), self.mode, value) {
            (Gave::Deleted, ..) => None,
            (Gave::Replaced, Mode::Prefix, Some(value)) => {
                Some([self.name.as_bytes(), b"=", value.as_bytes(), b"~", own].concat())
            }
            (Gave::Replaced, _, Some(value)) => {
                let end = own.iter().position(|byte| *byte == b';').unwrap_or(own.len());
                let rest = own.get(end..).unwrap_or_default();
                Some([self.name.as_bytes(), b"=", value.as_bytes(), rest].concat())
            }
            _ => Some(field.to_vec()),
        }
    }

    /// What follows the cookie's name and `=`, if that is what it begins with.
    fn value<'a>(&self, crumb: &'a [u8]) -> Option<&'a [u8]> {
        crumb.strip_prefix(self.name.as_bytes())?.strip_prefix(b"=")
    }
}

fn crumbs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).filter(|crumb| !crumb.is_empty())
}

/// A server's name, and the value behind it.
fn split(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = value.iter().position(|byte| *byte == b'~')?;
    Some((value.get(..end)?, value.get(end + 1..)?))
}

/// Whether it is longer ago than allowed, or so far ahead that no clock can be meant.
fn is_past(date: Option<u64>, most: Duration, now: u64) -> bool {
    date.is_some_and(|date| now > date + most.as_secs() || date > now + FUTURE)
}

/// Clocks of nodes that differ by more than a day are no clocks, as HAProxy has it.
const FUTURE: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests;
