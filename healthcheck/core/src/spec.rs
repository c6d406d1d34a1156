//! The `check` of a backend as operators write it. A [`CheckSpec`] that exists is valid: what makes no sense
//! (a timeout beyond the interval, a `uri` for a TCP check) is refused when it is read.
//! HAProxy manual 5.2 `check`, 4.2 `option httpchk`, `http-check expect`.

use crate::outcome::CheckStatus;
use crate::schedule::MIN_INTERVAL;
use base_core::units::Span;
use serde::{Deserialize, Deserializer, de};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// How the servers of a backend are checked.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "Keys")]
pub struct CheckSpec {
    /// What is asked.
    pub kind: Kind,
    /// The address to probe, if it is not the server's.
    pub addr: Option<IpAddr>,
    /// The port to probe, if it is not the server's.
    pub port: Option<u16>,
    /// How often, and how many in a row count.
    pub timing: Timing,
}

impl CheckSpec {
    /// A check of this kind with all defaults.
    pub const fn new(kind: Kind) -> Self {
        Self { kind, addr: None, port: None, timing: Timing::DEFAULT }
    }

    /// Where to probe a server.
    pub fn target(&self, server: SocketAddr) -> SocketAddr {
        SocketAddr::new(self.addr.unwrap_or_else(|| server.ip()), self.port.unwrap_or_else(|| server.port()))
    }
}

/// What is asked of a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// To accept a connection.
    Tcp,
    /// To answer a request.
    Http(HttpCheck),
}

impl Kind {
    /// How a probe of this kind that did not end in time is counted.
    pub const fn overdue(&self) -> CheckStatus {
        match self {
            Self::Tcp => CheckStatus::L4Timeout,
            Self::Http(_) => CheckStatus::L7Timeout,
        }
    }
}

/// The request of an HTTP check, and the answer that passes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpCheck {
    /// The method.
    pub method: String,
    /// The path and query.
    pub uri: String,
    /// The `Host` header; the probed address when absent.
    pub host: Option<String>,
    /// The statuses that pass.
    pub expect: Expect,
}

impl HttpCheck {
    /// Refuses what could not stand in a request: the error names the key and what is expected.
    pub fn validate(&self) -> Result<(), String> {
        let is_method = (1..=MAX_METHOD).contains(&self.method.len())
            && self.method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        if !self.uri.starts_with('/') || !is_one_word(&self.uri) {
            return Err("`uri` of a check is a path such as \"/health\", without spaces".to_owned());
        }
        if !is_method {
            return Err("`method` of a check is an HTTP method such as \"GET\"".to_owned());
        }
        if self.host.as_ref().is_some_and(|host| !is_one_word(host)) {
            return Err("`host` of a check is a host name such as \"api.example\"".to_owned());
        }
        Ok(())
    }
}

impl Default for HttpCheck {
    fn default() -> Self {
        Self {
            method: DEFAULT_METHOD.to_owned(),
            uri: DEFAULT_URI.to_owned(),
            host: None,
            expect: Expect::default(),
        }
    }
}

/// How often a server is probed, and how many probes in a row count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// Between probes of a server that is UP.
    pub inter: Duration,
    /// Between probes while they point to another state than the one held.
    pub fastinter: Duration,
    /// Between probes of a server that is DOWN.
    pub downinter: Duration,
    /// How long one probe may take.
    pub timeout: Duration,
    /// Passes in a row that make a server UP.
    pub rise: u32,
    /// Failures in a row that make a server DOWN.
    pub fall: u32,
}

impl Timing {
    /// HAProxy's defaults.
    pub const DEFAULT: Self = Self {
        inter: DEFAULT_INTER.0,
        fastinter: DEFAULT_INTER.0,
        downinter: DEFAULT_INTER.0,
        timeout: DEFAULT_INTER.0,
        rise: DEFAULT_RISE,
        fall: DEFAULT_FALL,
    };

    /// The same with every value in its bounds, so that a machine needs no care.
    #[must_use]
    pub fn in_bounds(self) -> Self {
        Self {
            inter: self.inter.max(MIN_INTERVAL),
            fastinter: self.fastinter.max(MIN_INTERVAL),
            downinter: self.downinter.max(MIN_INTERVAL),
            timeout: self.timeout.max(MIN_TIMEOUT),
            rise: self.rise.max(1),
            fall: self.fall.max(1),
        }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The HTTP statuses that pass: `200`, `200-399`, `200,204,300-399`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expect {
    ranges: Vec<(u16, u16)>,
}

impl Expect {
    /// Whether an answer with this status passes.
    pub fn matches(&self, status: u16) -> bool {
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&status))
    }
}

impl Default for Expect {
    fn default() -> Self {
        Self { ranges: vec![DEFAULT_EXPECT] }
    }
}

impl FromStr for Expect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let code = |text: &str| text.trim().parse::<u16>().ok().filter(|code| STATUSES.contains(code));
        let range = |part: &str| {
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            code(low).zip(code(high)).filter(|(low, high)| low <= high)
        };
        match text.split(',').take(MAX_RANGES + 1).map(range).collect::<Option<Vec<_>>>() {
            Some(ranges) if ranges.len() <= MAX_RANGES => Ok(Self { ranges }),
            _ => Err(format!("`{text}` is no HTTP status or range of them, such as \"200\" or \"200-399\"")),
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (low, high)) in self.ranges.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "," })?;
            if low == high { write!(f, "{low}")? } else { write!(f, "{low}-{high}")? }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Expect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Expect;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an HTTP status or ranges of them, such as 200, \"200-399\" or \"200,204\"")
            }

            fn visit_i64<E: de::Error>(self, status: i64) -> Result<Expect, E> {
                self.visit_str(&status.to_string())
            }

            fn visit_u64<E: de::Error>(self, status: u64) -> Result<Expect, E> {
                self.visit_str(&status.to_string())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Expect, E> {
                text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The keys as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    r#type: Type,
    uri: Option<String>,
    method: Option<String>,
    host: Option<String>,
    expect: Option<Expect>,
    addr: Option<IpAddr>,
    port: Option<u16>,
    inter: Option<Span>,
    fastinter: Option<Span>,
    downinter: Option<Span>,
    timeout: Option<Span>,
    rise: Option<u32>,
    fall: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Type {
    Http,
    Tcp,
}

impl TryFrom<Keys> for CheckSpec {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        let timing = keys.timing()?;
        if keys.port == Some(0) {
            return Err("`port` of a check is at least 1".to_owned());
        }
        let (addr, port) = (keys.addr, keys.port);
        Ok(Self { kind: keys.kind()?, addr, port, timing })
    }
}

impl Keys {
    fn kind(&mut self) -> Result<Kind, String> {
        let default = HttpCheck::default();
        let (uri, method, host) = (self.uri.take(), self.method.take(), self.host.take());
        if let Type::Tcp = self.r#type {
            let set = [
                ("uri", uri.is_some()),
                ("method", method.is_some()),
                ("host", host.is_some()),
                ("expect", self.expect.is_some()),
            ];
            return match set.iter().find(|(_, is_set)| *is_set) {
                Some((key, _)) => Err(format!("`{key}` has no meaning for a check of type \"tcp\"")),
                None => Ok(Kind::Tcp),
            };
        }
        let http = HttpCheck {
            uri: uri.unwrap_or(default.uri),
            method: method.unwrap_or(default.method),
            host,
            expect: self.expect.take().unwrap_or_default(),
        };
        http.validate()?;
        Ok(Kind::Http(http))
    }

    fn timing(&self) -> Result<Timing, String> {
        let inter = self.inter.unwrap_or(DEFAULT_INTER);
        let timing = Timing {
            inter: inter.0,
            fastinter: self.fastinter.unwrap_or(inter).0,
            downinter: self.downinter.unwrap_or(inter).0,
            timeout: self.timeout.unwrap_or(inter).0,
            rise: self.rise.unwrap_or(DEFAULT_RISE),
            fall: self.fall.unwrap_or(DEFAULT_FALL),
        };
        let intervals =
            [("inter", timing.inter), ("fastinter", timing.fastinter), ("downinter", timing.downinter)];
        if let Some((key, _)) = intervals.iter().find(|(_, interval)| *interval < MIN_INTERVAL) {
            return Err(format!("`{key}` of a check is at least {MIN_INTERVAL:?}"));
        }
        if timing.timeout < MIN_TIMEOUT || timing.timeout > timing.inter {
            return Err(format!("`timeout` of a check is between {MIN_TIMEOUT:?} and `inter` ({inter:?})"));
        }
        if timing.rise == 0 || timing.fall == 0 {
            return Err("`rise` and `fall` of a check are at least 1".to_owned());
        }
        Ok(timing)
    }
}

/// Printable ASCII without a space: what may stand in a request line or a header.
fn is_one_word(text: &str) -> bool {
    (1..=MAX_TEXT).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Between probes: HAProxy's `inter`. Also what `fastinter`, `downinter` and `timeout` are when not set.
pub const DEFAULT_INTER: Span = Span::secs(2);
/// Passes in a row: HAProxy's `rise`. One pass may be luck.
pub const DEFAULT_RISE: u32 = 2;
/// Failures in a row: HAProxy's `fall`. One or two may be a lost packet or a pause.
pub const DEFAULT_FALL: u32 = 3;
/// The statuses that pass: HAProxy's 2xx and 3xx.
pub const DEFAULT_EXPECT: (u16, u16) = (200, 399);
/// GET and not HAProxy's OPTIONS: what serves GET is what clients need.
pub const DEFAULT_METHOD: &str = "GET";
/// Every server has it.
pub const DEFAULT_URI: &str = "/";
/// The shortest timeout: timers are exact to a millisecond.
pub const MIN_TIMEOUT: Duration = Duration::from_millis(1);
/// The statuses that HTTP knows (RFC 9110, section 15).
const STATUSES: std::ops::RangeInclusive<u16> = 100..=599;
/// Longest list of statuses: more is a mistake.
const MAX_RANGES: usize = 16;
/// Longest method, in bytes: no registered one is longer than 17.
const MAX_METHOD: usize = 20;
/// Longest `uri` and `host`, in bytes: a request line that every server takes.
const MAX_TEXT: usize = 2048;

#[cfg(test)]
mod tests;
