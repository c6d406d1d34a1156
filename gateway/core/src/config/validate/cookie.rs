//! The cookie of a backend, and what stands for its servers in it. Both go into fields as they are.

use super::Result;
use crate::config::{Server, schema};
use crate::cookie::{Mode, Policy};
use base_core::diagnose::Source;
use toml::Spanned;

pub(super) fn policy(
    source: &Source,
    written: &Spanned<schema::Cookie>,
    servers: &[Server],
) -> Result<Policy> {
    let cookie = written.get_ref();
    if servers.iter().all(|server| server.cookie.is_none()) {
        let error = source.at(written.span(), "no server has a cookie");
        return Err(error.help("give each server a cookie of its own: cookie = \"s1\""));
    }
    for (place, server) in servers.iter().enumerate() {
        if let Some(other) =
            servers[..place].iter().find(|other| other.cookie.is_some() && other.cookie == server.cookie)
        {
            let message = format!("servers `{}` and `{}` have the same cookie", other.name, server.name);
            return Err(source.at(written.span(), message).help("give each a cookie of its own"));
        }
    }
    let mut attributes = String::new();
    if let Some(domain) = &cookie.domain {
        attributes = format!("; domain={}", token(source, domain, "a domain")?);
    }
    if cookie.httponly {
        attributes.push_str("; HttpOnly");
    }
    if cookie.secure {
        attributes.push_str("; Secure");
    }
    Ok(Policy {
        name: token(source, &cookie.name, "a cookie's name")?,
        mode: match cookie.mode {
            schema::CookieMode::Insert => Mode::Insert,
            schema::CookieMode::Prefix => Mode::Prefix,
        },
        indirect: cookie.indirect,
        nocache: cookie.nocache,
        preserve: cookie.preserve,
        attributes,
    })
}

/// What stands for a server.
pub(super) fn value(source: &Source, written: Option<&Spanned<String>>) -> Result<Option<String>> {
    let value = written.map(|written| token(source, written, "a cookie's value")).transpose()?;
    match (value, written) {
        (Some(value), Some(written)) if value.contains('~') => {
            Err(source.at(written.span(), "a `~` in a cookie").help("it ends a prefix"))
        }
        (value, _) => Ok(value),
    }
}

/// Letters, digits and what else may stand in a name (RFC 9110 §5.6.2).
pub(super) fn token(source: &Source, written: &Spanned<String>, what: &str) -> Result<String> {
    let text = written.get_ref();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(fits) {
        return Ok(text.clone());
    }
    let help = format!("expected 1 to {MAX_TOKEN} letters, digits, and other characters of a token");
    Err(source.at(written.span(), format!("`{text}` can't be {what}")).help(help))
}

/// Longer ones only cost.
const MAX_TOKEN: usize = 128;
