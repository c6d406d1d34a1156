//! The request of an HTTP check, and the answer that passes.

use super::{MAX_TEXT, Pattern, is_one_word};
use serde::{Deserialize, Deserializer, de};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The request of an HTTP check, and the answer that passes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpCheck {
    /// The method.
    pub method: String,
    /// The path and query.
    pub uri: String,
    /// The version that is spoken.
    pub version: Version,
    /// The `Host` header; the probed address when absent.
    pub host: Option<String>,
    /// More headers, by name.
    pub headers: BTreeMap<String, String>,
    /// The body of the request.
    pub body: String,
    /// The statuses that pass.
    pub expect: Expect,
    /// What the body must and must not contain.
    pub contains: Vec<Contains>,
}

/// The version of HTTP that a probe speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
pub enum Version {
    /// HTTP/1.0.
    #[serde(rename = "1.0")]
    Http10,
    /// HTTP/1.1.
    #[default]
    #[serde(rename = "1.1")]
    Http11,
}

/// Something to look for in the body of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contains {
    /// What is looked for.
    pub pattern: Pattern,
    /// Whether it must not be there.
    pub not: bool,
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
        if self.headers.len() > MAX_HEADERS || self.body.len() > MAX_BODY {
            return Err(format!(
                "a check has at most {MAX_HEADERS} `headers` and {MAX_BODY} bytes of `body`"
            ));
        }
        for (name, value) in &self.headers {
            let is_name = (1..=MAX_TEXT).contains(&name.len())
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&byte));
            let is_value = value.len() <= MAX_TEXT && value.bytes().all(|byte| byte >= b' ' && byte != 0x7f);
            if !is_name || !is_value {
                return Err(format!("`{name}` can't stand in `headers` of a check"));
            }
            if RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
                return Err(format!(
                    "`{name}` of a check is set by the probe; the name of the host has its key `host`"
                ));
            }
        }
        Ok(())
    }
}

impl Default for HttpCheck {
    fn default() -> Self {
        Self {
            method: DEFAULT_METHOD.to_owned(),
            uri: DEFAULT_URI.to_owned(),
            version: Version::default(),
            host: None,
            headers: BTreeMap::new(),
            body: String::new(),
            expect: Expect::default(),
            contains: Vec::new(),
        }
    }
}

/// The HTTP statuses that pass: `200`, `200-399`, `200,204,300-399`, `!500-599`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expect {
    ranges: Vec<(u16, u16)>,
    not: bool,
}

impl Expect {
    /// Whether an answer with this status passes.
    pub fn matches(&self, status: u16) -> bool {
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&status)) != self.not
    }
}

impl Default for Expect {
    fn default() -> Self {
        Self { ranges: vec![DEFAULT_EXPECT], not: false }
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
        let (not, list) = text.trim().strip_prefix('!').map_or((false, text), |list| (true, list));
        match list.split(',').take(MAX_RANGES + 1).map(range).collect::<Option<Vec<_>>>() {
            Some(ranges) if ranges.len() <= MAX_RANGES => Ok(Self { ranges, not }),
            _ => Err(format!("`{text}` is no HTTP status or range of them, such as \"200\" or \"200-399\"")),
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.not { "!" } else { "" })?;
        for (at, (low, high)) in self.ranges.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "," })?;
            if low == high { write!(f, "{low}")? } else { write!(f, "{low}-{high}")? }
        }
        Ok(())
    }
}

/// `expect` as it is written: statuses, or a table of what the answer must have.
#[derive(Debug, Default)]
pub(super) struct Expectations {
    pub(super) status: Expect,
    pub(super) contains: Vec<Contains>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    status: Option<Expect>,
    string: Option<String>,
    not_string: Option<String>,
    regex: Option<String>,
    not_regex: Option<String>,
}

impl Table {
    fn read(self) -> Result<Expectations, String> {
        let string = |text: &String| Pattern::bytes(text.as_bytes());
        let regex = |text: &String| Pattern::regex(text);
        let all = [
            (self.string.as_ref().map(string), false),
            (self.not_string.as_ref().map(string), true),
            (self.regex.as_ref().map(regex), false),
            (self.not_regex.as_ref().map(regex), true),
        ];
        let mut contains = Vec::new();
        for (pattern, not) in all {
            if let Some(pattern) = pattern {
                let pattern = pattern.map_err(|error| format!("`expect` of a check: {error}"))?;
                contains.push(Contains { pattern, not });
            }
        }
        Ok(Expectations { status: self.status.unwrap_or_default(), contains })
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Expectations;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "an HTTP status or ranges of them, such as 200, \"200-399\" or \"200,204\", or a table of `status`, \
             `string` and `regex`",
        )
    }

    fn visit_i64<E: de::Error>(self, status: i64) -> Result<Expectations, E> {
        self.visit_str(&status.to_string())
    }

    fn visit_u64<E: de::Error>(self, status: u64) -> Result<Expectations, E> {
        self.visit_str(&status.to_string())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Expectations, E> {
        let status = text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))?;
        Ok(Expectations { status, contains: Vec::new() })
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Expectations, A::Error> {
        Table::deserialize(de::value::MapAccessDeserializer::new(map))?.read().map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Expectations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

impl<'de> Deserialize<'de> for Expect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Expectations { status, contains } = deserializer.deserialize_any(Visitor)?;
        if contains.is_empty() {
            Ok(status)
        } else {
            Err(de::Error::custom("only statuses can be said here"))
        }
    }
}

/// The statuses that pass: HAProxy's 2xx and 3xx.
pub const DEFAULT_EXPECT: (u16, u16) = (200, 399);
/// GET and not HAProxy's OPTIONS: what serves GET is what clients need.
pub const DEFAULT_METHOD: &str = "GET";
/// Every server has it.
pub const DEFAULT_URI: &str = "/";
/// The statuses that HTTP knows (RFC 9110, section 15).
const STATUSES: std::ops::RangeInclusive<u16> = 100..=599;
/// Longest list of statuses: more is a mistake.
const MAX_RANGES: usize = 16;
/// Longest method, in bytes: no registered one is longer than 17.
const MAX_METHOD: usize = 20;
/// Headers of a request: more is a mistake.
const MAX_HEADERS: usize = 32;
/// Longest body of a request, in bytes: it fits a socket's buffer, so that it is sent at once.
const MAX_BODY: usize = 16 * 1024;
/// What frames the request, or has a key of its own.
const RESERVED: [&str; 4] = ["host", "connection", "content-length", "transfer-encoding"];
