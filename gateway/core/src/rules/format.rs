//! Texts with parts of the request in them, as in HAProxy: `%[src]`, `%[req.hdr(host)]`; `%%` is a
//! percent sign (HAProxy manual, "Custom log format").

use super::condition::{Facts, cookies, parameters};
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
}

impl Format {
    /// Reads a format; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
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
            pieces.push(Piece::parse(expression).ok_or_else(|| {
                format!("`%[{expression}]` is not known; expected one of {}", EXPRESSIONS.join(", "))
            })?);
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Self(pieces))
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
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Source => {
                    // Writing to memory can't fail.
                    let _ = write!(out, "{}", facts.source());
                }
                Piece::Tls => out.push(if facts.tls() { b'1' } else { b'0' }),
                Piece::Method => out.extend_from_slice(facts.method().as_bytes()),
                Piece::Path => out.extend_from_slice(facts.path().as_bytes()),
                Piece::Query => out.extend_from_slice(facts.query().as_bytes()),
                Piece::PathAndQuery => {
                    out.extend_from_slice(facts.path().as_bytes());
                    if !facts.query().is_empty() {
                        out.push(b'?');
                        out.extend_from_slice(facts.query().as_bytes());
                    }
                }
                Piece::Header(name) => out.extend_from_slice(facts.header(name).last().unwrap_or_default()),
                Piece::Cookie(name) => out.extend_from_slice(cookies(facts, name).next().unwrap_or_default()),
                Piece::Parameter(name) => {
                    out.extend_from_slice(parameters(facts.query(), name).next().unwrap_or_default());
                }
            }
        }
        out
    }
}

impl Piece {
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
            _ => {
                let header = || argument("req.hdr").or_else(|| argument("hdr")).map(Self::Header);
                let cookie = || argument("req.cook").map(Self::Cookie);
                header().or_else(cookie).or_else(|| argument("url_param").map(Self::Parameter))?
            }
        })
    }
}

const EXPRESSIONS: [&str; 9] = [
    "src",
    "ssl_fc",
    "method",
    "path",
    "pathq",
    "query",
    "req.hdr(name)",
    "req.cook(name)",
    "url_param(name)",
];
