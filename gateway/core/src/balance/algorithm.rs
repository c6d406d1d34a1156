//! What a choice goes by, in HAProxy's words, and what a request is hashed by.

use super::hash::bytes;
use std::net::IpAddr;

/// How a backend spreads its load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// In turn, smoothly by weight.
    #[default]
    RoundRobin,
    /// Where the fewest requests run, by weight; in turn among equals.
    LeastConn,
    /// The first with room, in the order of the configuration.
    First,
    /// The less busy of two that are drawn by weight.
    Random,
    /// By the client's address: the same client gets the same server.
    Source,
    /// By the target of the request.
    Uri(Uri),
    /// By the value of this field; without it in turn.
    Header(String),
}

/// Which part of a target counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uri {
    /// The query, too.
    pub whole: bool,
    /// Only so many bytes from its start.
    pub len: Option<usize>,
    /// Only so many directories: up to the slash after them.
    pub depth: Option<usize>,
}

/// How a hash becomes a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashType {
    /// The hash modulo all shares: even, but nearly all move when a server goes or comes.
    #[default]
    Modulo,
    /// Only those of the server that goes, or comes, move. Weighted rendezvous hashing: what a ring of points
    /// (ketama) does, with exact shares and nothing to build anew when a weight changes.
    Consistent,
    /// As `Consistent`, in the same time for any number of servers: a table made at the start.
    Maglev,
}

impl Algorithm {
    /// From HAProxy's words: `uri len 8 depth 2`, `hdr(x-tenant)`, `random(2)`. The error says what is expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let name = text.strip_prefix("hdr(").and_then(|rest| rest.strip_suffix(')'));
        if let Some(name) = name {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            let is_name = !name.is_empty() && name.bytes().all(fits);
            return if is_name { Ok(Self::Header(name.to_ascii_lowercase())) } else { Err(EXPECTED) };
        }
        let mut words = text.split_ascii_whitespace();
        let algorithm = match words.next() {
            Some("roundrobin") => Self::RoundRobin,
            Some("leastconn") => Self::LeastConn,
            Some("first") => Self::First,
            Some("random" | "random(2)") => Self::Random,
            Some("source") => Self::Source,
            Some("uri") => return Uri::parse(words).map(Self::Uri),
            _ => return Err(EXPECTED),
        };
        if words.next().is_some() { Err(EXPECTED) } else { Ok(algorithm) }
    }

    /// What a request of `client` for `target` (path and query) is hashed by; `None` if nothing.
    pub fn key<'a>(
        &self,
        client: IpAddr,
        target: &str,
        header: impl FnOnce(&str) -> Option<&'a [u8]>,
    ) -> Option<u64> {
        match self {
            Self::RoundRobin | Self::LeastConn | Self::First | Self::Random => None,
            Self::Source => Some(match client {
                IpAddr::V4(v4) => bytes(&v4.octets()),
                IpAddr::V6(v6) => bytes(&v6.octets()),
            }),
            Self::Uri(uri) => Some(bytes(uri.part(target))),
            Self::Header(name) => header(name).map(bytes),
        }
    }
}

impl Uri {
    fn parse<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Self, &'static str> {
        let mut uri = Self::default();
        let number = |word: Option<&str>| {
            let number =
                word.and_then(|word| word.parse().ok()).filter(|number| (1..=MAX_PART).contains(number));
            number.ok_or("expected a number from 1 to 65535 after len and depth")
        };
        while let Some(word) = words.next() {
            match word {
                "whole" => uri.whole = true,
                "len" => uri.len = Some(number(words.next())?),
                "depth" => uri.depth = Some(number(words.next())?),
                _ => return Err("expected whole, len or depth after uri"),
            }
        }
        Ok(uri)
    }

    fn part<'a>(&self, target: &'a str) -> &'a [u8] {
        let target = target.as_bytes();
        let mut end = target.len();
        if !self.whole {
            end = target.iter().position(|byte| *byte == b'?').unwrap_or(end);
        }
        end = end.min(self.len.unwrap_or(end));
        let part = target.get(..end).unwrap_or(target);
        let Some(depth) = self.depth else { return part };
        // The slash that it begins with is not the end of a directory.
        let mut slashes = part.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/');
        match slashes.nth(depth - 1) {
            Some((slash, _)) => &part[..slash],
            None => part,
        }
    }
}

const EXPECTED: &str = "expected `roundrobin`, `leastconn`, `first`, `random`, `source`, `uri [whole] [len N] [depth N]` or `hdr(name)`";
/// As long as a target can be.
const MAX_PART: usize = 65_535;
