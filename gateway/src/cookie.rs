//! The cookie by which a client keeps its server, in requests and answers.

use crate::request::Request;
use crate::to_server::Fields;
use gateway_core::config::Backend;
use gateway_core::cookie::{Answer, Came, Gave, Policy, Visit};
use http::header::{CACHE_CONTROL, COOKIE, SET_COOKIE};
use http::{HeaderValue, Method};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use pingora::{ErrorType, OrErr, Result};
use std::time::SystemTime;

/// What the client of a request comes with.
pub(crate) fn visit(request: &Request, head: &RequestHeader) -> Visit {
    let Some(backend) = backend(request) else { return Visit::default() };
    let Some(policy) = &backend.cookie else { return Visit::default() };
    let lines = head.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    policy.visit(lines, backend.servers.iter().map(|server| server.cookie.as_deref()), now())
}

/// Takes from a request what its server shall not see.
pub(crate) fn change_request<'a>(
    request: &Request,
    head: &RequestHeader,
    fields: &mut impl Fields<'a>,
) -> Result<()> {
    let Some(policy) = backend(request).and_then(|backend| backend.cookie.as_ref()) else { return Ok(()) };
    if !policy.hides() || request.visit.came == Came::None || !fields.has(COOKIE_NAME) {
        return Ok(());
    }
    fields.remove(COOKIE_NAME);
    for line in head.headers.get_all(COOKIE).iter().filter_map(|line| policy.to_server(line.as_bytes())) {
        let line = HeaderValue::try_from(line).or_err(ErrorType::InvalidHTTPHeader, "a cookie")?;
        fields.add(COOKIE_NAME, line)?;
    }
    Ok(())
}

/// Gives the client of an answer the cookie of its server.
pub(crate) fn change_answer(
    session: &Session,
    request: &mut Request,
    head: &mut ResponseHeader,
) -> Result<()> {
    let Some((policy, value, place)) = answered(request) else { return Ok(()) };
    let is_direct = request.visit.server == Some(place);
    let fields = || head.headers.get_all(SET_COOKIE).iter().map(HeaderValue::as_bytes);
    let server_sets_it = fields().any(|field| policy.is_set_by(field));
    let mut gave = Gave::None;
    if server_sets_it {
        gave = policy.gave(value, is_direct);
        let fields: Vec<_> = fields().filter_map(|field| policy.to_client(field, value, is_direct)).collect();
        head.remove_header(&SET_COOKIE);
        for field in fields {
            head.append_header(SET_COOKIE, field)?;
        }
    }
    let is_post = session.req_header().method == Method::POST;
    let answer = Answer { is_direct, server_sets_it, is_post, now: now() };
    if policy.sets(&request.visit, answer) {
        head.append_header(SET_COOKIE, policy.field(value, &request.visit, answer.now))?;
        if policy.nocache {
            head.append_header(CACHE_CONTROL, "private")?;
        }
        gave = if is_direct { Gave::Updated } else { Gave::Inserted };
    }
    request.gave = gave;
    Ok(())
}

/// What became of it, by HAProxy's letters.
pub(crate) fn letters(request: &Request) -> Option<(char, char)> {
    backend(request)?.cookie.as_ref()?;
    let moved = request.lease.as_ref().map(|lease| lease.server) != request.visit.server;
    Some((request.visit.came.letter(moved), request.gave.letter()))
}

/// The cookie, what stands in it for the server that has answered, and that server's place.
fn answered(request: &Request) -> Option<(&Policy, Option<&str>, usize)> {
    let backend = backend(request)?;
    let place = request.lease.as_ref()?.server;
    Some((backend.cookie.as_ref()?, backend.servers[place].cookie.as_deref(), place))
}

fn backend(request: &Request) -> Option<&Backend> {
    Some(&request.gateway.config.backends[request.backend?.0])
}

/// Seconds since 1970, as dates in cookies are.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

const COOKIE_NAME: &str = "cookie";
