//! The cookie by which a client keeps its server, in requests and answers.

use crate::request::Request;
use gateway_core::config::Backend;
use gateway_core::cookie::Policy;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, COOKIE, SET_COOKIE};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

/// The server that the client of a request wants.
pub(crate) fn wanted(request: &Request, head: &RequestHeader) -> Option<usize> {
    let backend = backend(request)?;
    let policy = backend.cookie.as_ref()?;
    let lines = head.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    policy.wanted(lines, backend.servers.iter().map(|server| server.cookie.as_deref()))
}

/// Takes from a request what its server shall not see.
pub(crate) fn change_request(request: &Request, head: &mut RequestHeader) -> Result<()> {
    let Some(policy) = backend(request).and_then(|backend| backend.cookie.as_ref()) else { return Ok(()) };
    let lines = head.headers.get_all(COOKIE).iter();
    let lines: Vec<_> = lines.filter_map(|line| policy.to_server(line.as_bytes())).collect();
    head.remove_header(&COOKIE);
    for line in lines {
        head.append_header(COOKIE, line)?;
    }
    Ok(())
}

/// Gives the client of an answer the cookie of its server.
pub(crate) fn change_answer(request: &Request, head: &mut ResponseHeader) -> Result<()> {
    let Some((policy, value, place)) = answered(request) else { return Ok(()) };
    let fields = || head.headers.get_all(SET_COOKIE).iter().map(HeaderValue::as_bytes);
    let server_sets_it = fields().any(|field| policy.is_set_by(field));
    if server_sets_it {
        let fields: Vec<_> = fields().filter_map(|field| policy.to_client(field, value)).collect();
        head.remove_header(&SET_COOKIE);
        for field in fields {
            head.append_header(SET_COOKIE, field)?;
        }
    }
    if policy.sets(request.wanted == Some(place), server_sets_it) {
        head.append_header(SET_COOKIE, policy.field(value))?;
        if policy.nocache {
            head.append_header(CACHE_CONTROL, "private")?;
        }
    }
    Ok(())
}

/// The cookie, what stands in it for the server that has answered, and that server's place.
fn answered(request: &Request) -> Option<(&Policy, &str, usize)> {
    let backend = backend(request)?;
    let place = request.lease.as_ref()?.server;
    Some((backend.cookie.as_ref()?, backend.servers[place].cookie.as_deref()?, place))
}

fn backend(request: &Request) -> Option<&Backend> {
    Some(&request.gateway.config.backends[request.backend?.0])
}
