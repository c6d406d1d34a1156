//! Who says whether a server is up; who tracks whom.

use super::Result;
use super::backend::{DEFAULT_ERROR_LIMIT, MAX_UNANSWERED, layer};
use super::values::{duration, in_range};
use crate::config::{Agent, Backend, BackendId, Watch, schema};
use crate::on_error;
use base_core::diagnose::Source;
use healthcheck_core::OnError;
use healthcheck_core::spec::DEFAULT_INTER;
use toml::Spanned;

/// A wish to track, until all servers are known.
pub(super) struct Wish {
    /// Who tracks.
    by: (usize, usize),
    whom: Spanned<String>,
}

/// How a server is watched, as far as it alone says.
pub(super) fn watch(source: &Source, server: &schema::Server, has_check: bool) -> Result<Watch> {
    let (addr, port) = (server.check_addr, server.check_port.as_ref());
    if let Some(port) = port {
        in_range(source, port, 1..=u16::MAX, "check_port")?;
    }
    let wants = server.check.as_ref().map(|check| *check.get_ref());
    if let (Some(true), Some(check), false) = (wants, &server.check, has_check) {
        let error = source.at(check.span(), "its backend has no check");
        return Err(error.help("say in the backend what is asked: check = { type = \"tcp\" }, say"));
    }
    if let (Some(track), true) = (&server.track, wants == Some(true) || addr.is_some() || port.is_some()) {
        let error = source.at(track.span(), "a server is checked itself, or tracks another one, not both");
        return Err(error.help("leave out `track`, or `check`, `check_addr` and `check_port`"));
    }
    let is_checked = has_check && wants != Some(false) && server.track.is_none();
    Ok(if is_checked { Watch::Check { addr, port: port.map(|port| *port.get_ref()) } } else { Watch::Nobody })
}

/// What errors in a row do to a server's check, as far as it has one; `own` is what the server says, not its default.
pub(super) fn on_error(
    source: &Source,
    own: &schema::Server,
    server: &schema::Server,
    watch: Watch,
) -> Result<Option<on_error::Policy>> {
    let Some(observe) = &server.observe else {
        let own = [
            ("error_limit", own.error_limit.as_ref().map(Spanned::span)),
            ("on_error", own.on_error.as_ref().map(Spanned::span)),
        ];
        let own = own.into_iter().find_map(|(key, span)| Some((key, span?)));
        return own.map_or(Ok(None), |(key, span)| {
            let error = source.at(span, format!("{key}, but nothing is observed"));
            Err(error.help("add observe = \"layer7\", or \"layer4\""))
        });
    };
    if !matches!(watch, Watch::Check { .. }) {
        return own.observe.as_ref().map_or(Ok(None), |own| {
            let error = source.at(own.span(), "no check of its own that could learn from its requests");
            Err(error.help("give its backend a check, or use the backend's breaker, which needs none"))
        });
    }
    if let Some(limit) = &server.error_limit {
        in_range(source, limit, 1..=MAX_UNANSWERED, "error_limit")?;
    }
    Ok(Some(on_error::Policy {
        layer: layer(*observe.get_ref()),
        error_limit: server.error_limit.as_ref().map_or(DEFAULT_ERROR_LIMIT, |limit| *limit.get_ref()),
        on_error: match server.on_error.as_ref().map(|on_error| *on_error.get_ref()) {
            None | Some(schema::OnError::Fastinter) => OnError::Fastinter,
            Some(schema::OnError::FailCheck) => OnError::FailCheck,
            Some(schema::OnError::SuddenDeath) => OnError::SuddenDeath,
            Some(schema::OnError::MarkDown) => OnError::MarkDown,
        },
    }))
}

pub(super) fn agent(source: &Source, written: Option<&Spanned<schema::Agent>>) -> Result<Option<Agent>> {
    let Some(written) = written.map(Spanned::get_ref) else { return Ok(None) };
    in_range(source, &written.port, 1..=u16::MAX, "port")?;
    let inter = match &written.inter {
        Some(inter) => duration(source, inter, "inter")?,
        None => DEFAULT_INTER.0,
    };
    let timeout = match &written.timeout {
        Some(timeout) => duration(source, timeout, "timeout")?,
        None => inter,
    };
    if let (Some(written), true) = (&written.timeout, timeout > inter) {
        let error = source.at(written.span(), format!("{timeout:?} is longer than `inter` ({inter:?})"));
        return Err(error.help("one question ends before the next begins"));
    }
    if let Some(send) = written.send.as_ref().filter(|send| send.get_ref().len() > MAX_SEND) {
        return Err(source.at(send.span(), format!("an agent is sent at most {MAX_SEND} bytes")));
    }
    let send = written.send.as_ref().map(|send| send.get_ref().clone()).unwrap_or_default();
    Ok(Some(Agent { addr: written.addr, port: *written.port.get_ref(), inter, timeout, send }))
}

/// Remembers whom the servers of the backend at `place` track.
pub(super) fn wishes(place: usize, servers: &[Spanned<schema::Server>]) -> impl Iterator<Item = Wish> {
    servers.iter().enumerate().filter_map(move |(server, written)| {
        written.get_ref().track.clone().map(|whom| Wish { by: (place, server), whom })
    })
}

/// Lets servers track those that they name, directly: whoever tracks one that tracks another tracks that.
pub(super) fn track(source: &Source, backends: &mut [Backend], wishes: Vec<Wish>) -> Result<()> {
    let mut wanted = Vec::new();
    for Wish { by, whom } in wishes {
        let target = find(backends, by.0, whom.get_ref()).ok_or_else(|| {
            let error = source.at(whom.span(), format!("there is no server `{}`", whom.get_ref()));
            error.help("expected `backend/server`, or a server of the same backend")
        })?;
        wanted.push((by, target, whom));
    }
    for (by, target, whom) in &wanted {
        let next =
            |at: (usize, usize)| wanted.iter().find(|(by, ..)| *by == at).map(|(_, target, _)| *target);
        let mut last = *target;
        let mut steps = 0;
        while let Some(further) = next(last) {
            (last, steps) = (further, steps + 1);
            if steps > wanted.len() {
                let error = source.at(whom.span(), "servers track each other in a circle");
                return Err(error.help("one of them has to be checked itself"));
            }
        }
        if !matches!(backends[last.0].servers[last.1].watch, Watch::Check { .. }) {
            let error = source.at(whom.span(), format!("`{}` is not checked", whom.get_ref()));
            return Err(error.help("track a server whose backend has a check"));
        }
        backends[by.0].servers[by.1].watch = Watch::Track(BackendId(last.0), last.1);
    }
    Ok(())
}

/// The server that is called so from within the backend at `place`.
fn find(backends: &[Backend], place: usize, name: &str) -> Option<(usize, usize)> {
    let (backend, server) = match name.split_once('/') {
        Some((backend, server)) => (backends.iter().position(|known| known.name == backend)?, server),
        None => (place, name),
    };
    let server = backends[backend].servers.iter().position(|known| known.name == server)?;
    Some((backend, server))
}

/// Bytes that an agent is sent: they fit a socket's buffer.
const MAX_SEND: usize = 4096;
