//! The cookie of a backend, and what stands for its servers in it. Both go into fields as they are.

use super::Result;
use super::values::optional;
use crate::config::{Address, Server, schema};
use crate::cookie::{self, Mode, Policy};
use base_core::diagnose::Source;
use base_core::units::Span;
use std::time::Duration;
use toml::Spanned;

pub(super) fn policy(
    source: &Source,
    written: &Spanned<schema::Cookie>,
    servers: &mut [Server],
) -> Result<Policy> {
    let cookie = written.get_ref();
    if let Some(key) = &cookie.dynamic_cookie_key {
        let token = token(source, key, "a key")?;
        for server in servers.iter_mut().filter(|server| server.cookie.is_none()) {
            let Address::At(address) = server.address else {
                let error = source.at(key.span(), format!("server `{}` has no fixed address", server.name));
                return Err(error.help("give it a cookie of its own"));
            };
            server.cookie = Some(cookie::dynamic_value(&token, address));
        }
    }
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
    if cookie.indirect && cookie.mode == schema::CookieMode::Rewrite {
        let error = source.at(written.span(), "a server that does not see its own cookie");
        return Err(error.help("leave out `indirect`: in mode \"rewrite\" the cookie is the servers'"));
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
    for attr in &cookie.attr {
        attributes = format!("{attributes}; {}", attribute(source, attr)?);
    }
    let date = |written: Option<&Spanned<Span>>, key: &str| match written {
        Some(written) if cookie.mode != schema::CookieMode::Insert => {
            let error = source.at(written.span(), format!("{key} of a cookie that servers set"));
            Err(error.help("dates are in cookies of mode \"insert\""))
        }
        written => whole_seconds(source, written, key),
    };
    let (maxidle, maxlife) =
        (date(cookie.maxidle.as_ref(), "maxidle")?, date(cookie.maxlife.as_ref(), "maxlife")?);
    Ok(Policy {
        name: token(source, &cookie.name, "a cookie's name")?,
        mode: match cookie.mode {
            schema::CookieMode::Insert => Mode::Insert,
            schema::CookieMode::Rewrite => Mode::Rewrite,
            schema::CookieMode::Prefix => Mode::Prefix,
        },
        indirect: cookie.indirect,
        nocache: cookie.nocache,
        preserve: cookie.preserve,
        postonly: cookie.postonly,
        maxidle,
        maxlife,
        attributes,
    })
}

/// What stands for a server.
pub(super) fn value(source: &Source, written: Option<&Spanned<String>>) -> Result<Option<String>> {
    let value = written.map(|written| token(source, written, "a cookie's value")).transpose()?;
    match (value, written) {
        (Some(value), Some(written)) if value.contains(['~', '|']) => {
            let error = source.at(written.span(), "a `~` or `|` in a cookie");
            Err(error.help("one ends a prefix, the other begins a date"))
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

/// What may stand in an attribute (RFC 6265 §4.1.1, av-octet).
fn attribute(source: &Source, written: &Spanned<String>) -> Result<String> {
    let text = written.get_ref();
    let fits = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b';';
    if (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(fits) {
        return Ok(text.clone());
    }
    let help = format!("expected 1 to {MAX_TOKEN} ASCII characters without `;`, such as `SameSite=Lax`");
    Err(source.at(written.span(), format!("`{text}` can't be an attribute")).help(help))
}

fn whole_seconds(source: &Source, written: Option<&Spanned<Span>>, key: &str) -> Result<Option<Duration>> {
    let time = optional(source, written, key)?;
    match (time, written) {
        (Some(time), Some(written)) if time.subsec_nanos() > 0 => {
            Err(source.at(written.span(), format!("{key} is in whole seconds")).help("say `1h`, or `90s`"))
        }
        (time, _) => Ok(time),
    }
}

/// Longer ones only cost.
const MAX_TOKEN: usize = 128;
