//! Texts with parts of the request in them, as in HAProxy: `%[src]`, `%[req.hdr(host)]`; `%%` is a
//! percent sign (HAProxy manual, "Custom log format").

use super::condition::{Facts, Moment, cookies, parameters};
use super::key::masked;
use super::ssl::Ssl;
use crate::lists::{ListId, Wanted};
use crate::route::without_port;
use std::io::Write;

/// A text with parts of the request in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Source,
    Tls,
    Method,
    Path,
    PathAndQuery,
    Query,
    Header(String),
    Cookie(String),
    Parameter(String),
    Ssl(Ssl),
    Status,
    ResponseHeader(String),
    Converted(Box<Self>, Converter),
}

/// What is made of a part of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Converter {
    Lower,
    Upper,
    /// A host without its port.
    HostOnly,
    /// The network that an address is in: bits of IPv4, and of IPv6.
    IpMask(u8, u8),
    /// What a map has for it, or else this text.
    Map(ListId, String),
}

impl Format {
    /// Reads a format without maps; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::parse_with(text, &|_| None)
    }

    /// Reads a format; `maps` knows the maps that it may name.
    pub fn parse_with(text: &str, maps: &dyn Fn(&str) -> Option<ListId>) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(place) = rest.find('%') {
            literal.push_str(&rest[..place]);
            rest = &rest[place + 1..];
            if let Some(after) = rest.strip_prefix('%') {
                literal.push('%');
                rest = after;
                continue;
            }
            let expression = rest.strip_prefix('[').and_then(|inside| inside.split_once(']'));
            let (expression, after) =
                expression.ok_or("expected `%[…]`, such as %[src], or `%%` for a percent sign")?;
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::parse_all(expression, maps)?);
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Self(pieces))
    }

    /// Reads one expression with its converters, as it stands between the brackets of a format.
    pub fn sample(expression: &str, maps: &dyn Fn(&str) -> Option<ListId>) -> Result<Self, String> {
        Piece::parse_all(expression, maps).map(|piece| Self(vec![piece]))
    }

    /// Whether it is the client's address alone, and of which network, if that is said.
    pub(super) fn as_client(&self) -> Option<Option<(u8, u8)>> {
        match self.0.as_slice() {
            [Piece::Source] => Some(None),
            [Piece::Converted(piece, Converter::IpMask(v4, v6))] if **piece == Piece::Source => {
                Some(Some((*v4, *v6)))
            }
            _ => None,
        }
    }

    /// When all its parts are known.
    pub fn known(&self) -> Moment {
        self.0.iter().map(Piece::known).max().unwrap_or(Moment::Connection)
    }

    /// One text after another.
    pub(crate) fn then(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The text for this request. What the request does not have is left out.
    pub fn fill(&self, facts: &impl Facts) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in &self.0 {
            piece.append(facts, &mut out);
        }
        out
    }

    /// Whether it is the same for every request.
    pub fn is_plain(&self) -> bool {
        self.0.iter().all(|piece| matches!(piece, Piece::Text(_)))
    }
}

impl Piece {
    fn append(&self, facts: &impl Facts, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Source => {
                // Writing to memory can't fail.
                let _ = write!(out, "{}", facts.source());
            }
            Self::Tls => out.push(if facts.tls() { b'1' } else { b'0' }),
            Self::Method => out.extend_from_slice(facts.method().as_bytes()),
            Self::Path => out.extend_from_slice(facts.path().as_bytes()),
            Self::Query => out.extend_from_slice(facts.query().as_bytes()),
            Self::PathAndQuery => {
                out.extend_from_slice(facts.path().as_bytes());
                if !facts.query().is_empty() {
                    out.push(b'?');
                    out.extend_from_slice(facts.query().as_bytes());
                }
            }
            Self::Header(name) => out.extend_from_slice(facts.header(name).last().unwrap_or_default()),
            Self::Cookie(name) => out.extend_from_slice(cookies(facts, name).next().unwrap_or_default()),
            Self::Parameter(name) => {
                out.extend_from_slice(parameters(facts.query(), name).next().unwrap_or_default());
            }
            Self::Ssl(sample) => out.extend_from_slice(facts.ssl(*sample).unwrap_or_default().as_bytes()),
            Self::Status => {
                let _ = facts.status().map(|status| write!(out, "{status}"));
            }
            Self::ResponseHeader(name) => {
                out.extend_from_slice(facts.response_header(name).last().unwrap_or_default());
            }
            Self::Converted(piece, converter) => {
                let start = out.len();
                piece.append(facts, out);
                converter.convert(facts, out, start);
            }
        }
    }

    /// An expression and its converters, as in `req.hdr(host),lower,map(hosts,www)`.
    fn parse_all(expression: &str, maps: &dyn Fn(&str) -> Option<ListId>) -> Result<Self, String> {
        let mut parts = split(expression);
        let first = parts.next().unwrap_or_default();
        let piece = Self::parse(first).ok_or_else(|| {
            format!("`%[{first}]` is not known; expected one of {}", EXPRESSIONS.join(", "))
        })?;
        parts.try_fold(piece, |piece, part| {
            Converter::parse(part, maps).map(|converter| Self::Converted(Box::new(piece), converter))
        })
    }

    fn known(&self) -> Moment {
        match self {
            Self::Text(_) | Self::Source | Self::Tls => Moment::Connection,
            Self::Ssl(_) => Moment::Session,
            Self::Method
            | Self::Path
            | Self::PathAndQuery
            | Self::Query
            | Self::Header(_)
            | Self::Cookie(_)
            | Self::Parameter(_) => Moment::Request,
            Self::Status | Self::ResponseHeader(_) => Moment::Response,
            Self::Converted(piece, _) => piece.known(),
        }
    }

    fn parse(expression: &str) -> Option<Self> {
        let argument = |function: &str| {
            let name = expression.strip_prefix(function)?.strip_prefix('(')?.strip_suffix(')')?;
            (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())).then(|| name.to_owned())
        };
        Some(match expression {
            "src" => Self::Source,
            "ssl_fc" => Self::Tls,
            "method" => Self::Method,
            "path" => Self::Path,
            "pathq" => Self::PathAndQuery,
            "query" => Self::Query,
            "status" => Self::Status,
            _ => {
                let header = || argument("req.hdr").or_else(|| argument("hdr")).map(Self::Header);
                let cookie = || argument("req.cook").map(Self::Cookie);
                let parameter = || argument("url_param").map(Self::Parameter);
                let answer = || argument("res.hdr").map(Self::ResponseHeader);
                let ssl = || Ssl::parse(expression).map(Self::Ssl);
                ssl().or_else(header).or_else(cookie).or_else(parameter).or_else(answer)?
            }
        })
    }
}

impl Converter {
    fn parse(text: &str, maps: &dyn Fn(&str) -> Option<ListId>) -> Result<Self, String> {
        let argument = text.strip_prefix("map(").and_then(|rest| rest.strip_suffix(')'));
        if let Some(bits) = text.strip_prefix("ipmask(").and_then(|rest| rest.strip_suffix(')')) {
            let (v4, v6) = bits.split_once(',').unwrap_or((bits, "128"));
            let bits = |text: &str, most| text.trim().parse::<u8>().ok().filter(|bits| *bits <= most);
            return bits(v4, 32).zip(bits(v6, 128)).map(|(v4, v6)| Self::IpMask(v4, v6)).ok_or_else(|| {
                "expected ipmask(bits of IPv4,bits of IPv6), such as ipmask(24,48)".to_owned()
            });
        }
        match (text, argument) {
            ("lower", _) => Ok(Self::Lower),
            ("upper", _) => Ok(Self::Upper),
            ("host_only", _) => Ok(Self::HostOnly),
            (_, Some(argument)) => {
                let (name, default) = argument.split_once(',').unwrap_or((argument, ""));
                let map = maps(name).ok_or_else(|| format!("there is no map `{name}`"))?;
                Ok(Self::Map(map, default.to_owned()))
            }
            _ => Err(format!(
                "`{text}` is no converter; expected lower, upper, host_only, ipmask(v4,v6), map(name) or map(name,default)"
            )),
        }
    }

    /// Converts what stands in `out` from `start` on.
    fn convert(&self, facts: &impl Facts, out: &mut Vec<u8>, start: usize) {
        let part = out.get_mut(start..).unwrap_or_default();
        match self {
            Self::Lower => part.make_ascii_lowercase(),
            Self::Upper => part.make_ascii_uppercase(),
            Self::HostOnly => {
                let host = std::str::from_utf8(part).map_or(part.len(), |host| without_port(host).len());
                out.truncate(start + host);
            }
            Self::IpMask(v4, v6) => {
                let address = std::str::from_utf8(part).ok().and_then(|text| text.parse().ok());
                let network = address.and_then(|address| masked(address, *v4, *v6));
                out.truncate(start);
                let _ = network.map(|network| write!(out, "{network}"));
            }
            Self::Map(map, default) => {
                let value = facts.lookup(*map, Wanted::Text(part), <[u8]>::to_vec);
                out.truncate(start);
                out.extend_from_slice(value.as_deref().unwrap_or(default.as_bytes()));
            }
        }
    }
}

/// At the commas that are not within brackets.
fn split(expression: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    expression.split(move |character| {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        character == ',' && depth == 0
    })
}

const EXPRESSIONS: [&str; 12] = [
    "src",
    "ssl_fc",
    "method",
    "path",
    "pathq",
    "query",
    "req.hdr(name)",
    "req.cook(name)",
    "url_param(name)",
    "ssl_fc_sni and its like",
    "status",
    "res.hdr(name)",
];
