//! Does to a request, and to its answer, what the rules of its frontend say.

use crate::facts::Asked;
use crate::proxy::link;
use crate::request::{Link, Request};
use crate::tracks;
use gateway_core::config::BackendId;
use gateway_core::rules::{Act, Edit, End, Facts, Format, Moment, same_field};
use gateway_core::track;
use http::header::{CONNECTION, HOST};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Uri};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use pingora::{ErrorType, OrErr};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// How the rules ended.
pub(crate) enum Ended<'a> {
    /// It goes to this backend.
    Backend(BackendId),
    /// The rule at this place says how it is answered.
    Answer(usize, &'a End),
}

/// Goes through the rules: makes their changes, and returns how the first that has an end ends them.
pub(crate) fn apply<'a>(
    session: &mut Session,
    request: &mut Request,
    frontend: &'a gateway_core::config::Frontend,
) -> Result<Option<Ended<'a>>> {
    let mut from = 0;
    while let Some((place, rule)) = frontend.rules.next(from, &facts(session, request, frontend)) {
        from = place + 1;
        for edit in &rule.request {
            let value = value(edit, &facts(session, request, frontend));
            request.proto_is_set |= same_field(name(edit), "x-forwarded-proto");
            edit_request(session.req_header_mut(), edit, value)?;
        }
        if let Some(rewrite) = &rule.path
            && let Some(path) = rewrite.apply(&facts(session, request, frontend))
        {
            set_path(session.req_header_mut(), request, &path)?;
        }
        if !rule.acts.is_empty() {
            act(session, request, frontend, &rule.acts, None);
        }
        request.effects.overlay(rule.effects);
        if let Some(timeout) = rule.effects.client_timeout {
            session.set_read_timeout(Some(timeout));
            session.set_write_timeout(Some(timeout));
            session.set_total_drain_timeout(Some(timeout));
        }
        if !rule.response.is_empty() {
            request.response_rules.push(place);
        }
        match &rule.end {
            None => {}
            Some(End::RouteByName(name, backends)) => {
                let name = name.fill(&facts(session, request, frontend));
                let backend = std::str::from_utf8(&name).ok().and_then(|name| backends.get(name));
                if let Some(backend) = backend {
                    return Ok(Some(Ended::Backend(*backend)));
                }
            }
            Some(End::Route(backend)) => return Ok(Some(Ended::Backend(*backend))),
            Some(end) => return Ok(Some(Ended::Answer(place, end))),
        }
    }
    Ok(None)
}

/// Makes the changes to the answer that the rules which matched its request ask for, and then does what the
/// rules for answers say.
pub(crate) fn change_answer(
    session: &Session,
    request: &mut Request,
    answer: &mut ResponseHeader,
) -> Result<()> {
    if !answer.status.is_informational() {
        let tracks = [link(session).and_then(Link::tracks), request.tracks.as_deref()];
        tracks.into_iter().flatten().for_each(|tracks| {
            tracks.each(|entry, now| track::answered(entry, answer.status.as_u16(), now));
        });
    }
    let Some(frontend) = frontend(request) else { return Ok(()) };
    for rule in request.response_rules.iter().filter_map(|place| frontend.rules.get(*place)) {
        edit_answer(session, request, frontend, &rule.response, answer)?;
    }
    if frontend.response_rules.is_empty() || answer.status.is_informational() {
        return Ok(());
    }
    let (gateway, place) = (Arc::clone(&request.gateway), request.connection.map(|on| on.frontend));
    let Some(frontend) = place.map(|place| &gateway.config.frontends[place]) else { return Ok(()) };
    let mut from = 0;
    loop {
        let asked = Asked { answer: Some(&*answer), ..facts(session, request, frontend) };
        let Some((place, rule)) = frontend.response_rules.next(from, &asked) else { return Ok(()) };
        from = place + 1;
        if !rule.acts.is_empty() {
            act(session, request, frontend, &rule.acts, Some(&*answer));
        }
        edit_answer(session, request, frontend, &rule.response, answer)?;
    }
}

fn edit_answer(
    session: &Session,
    request: &Request,
    frontend: &gateway_core::config::Frontend,
    edits: &[Edit],
    answer: &mut ResponseHeader,
) -> Result<()> {
    for edit in edits {
        let value = value(edit, &Asked { answer: Some(&*answer), ..facts(session, request, frontend) });
        if !matches!(edit, Edit::Add(..)) {
            answer.remove_header(name(edit));
        }
        if let Some(value) = value {
            answer.append_header(name(edit).to_owned(), value)?;
        }
    }
    Ok(())
}

/// Does what a rule says to stick tables.
fn act(
    session: &Session,
    request: &mut Request,
    frontend: &gateway_core::config::Frontend,
    acts: &[Act],
    answer: Option<&ResponseHeader>,
) {
    let mut own = request.tracks.take();
    let facts = Asked { answer, ..facts(session, request, frontend) };
    let moment = if answer.is_some() { Moment::Response } else { Moment::Request };
    let above = link(session).and_then(Link::tracks);
    tracks::act(acts, moment, &request.gateway, &mut own, above, &facts);
    request.tracks = own;
}

/// A format filled with parts of the request.
pub(crate) fn fill(session: &Session, request: &Request, format: &Format) -> Vec<u8> {
    frontend(request).map_or_else(Vec::new, |frontend| format.fill(&facts(session, request, frontend)))
}

/// The page of the rule at this place: its content type and body.
pub(crate) fn page(request: &Request, place: usize) -> Option<(&str, &str)> {
    match frontend(request)?.rules.get(place)?.end.as_ref()? {
        End::Return { content_type, body, .. } => Some((content_type, body)),
        _ => None,
    }
}

/// The host that a request is for, as it was sent.
pub(crate) fn host(head: &RequestHeader) -> &str {
    let authority = head.uri.authority().map(Authority::as_str);
    authority.or_else(|| head.headers.get(HOST)?.to_str().ok()).unwrap_or("")
}

fn frontend(request: &Request) -> Option<&gateway_core::config::Frontend> {
    request.connection.map(|connection| &request.gateway.config.frontends[connection.frontend])
}

pub(crate) fn facts<'a>(
    session: &'a Session,
    request: &'a Request,
    frontend: &gateway_core::config::Frontend,
) -> Asked<'a> {
    let peer = request.connection.map_or(UNKNOWN, |connection| connection.peer.ip());
    let link = link(session);
    Asked {
        head: Some(session.req_header()),
        answer: None,
        gateway: &request.gateway,
        source: request.client.as_ref().map_or(peer, |client| client.address),
        tls: frontend.tls.is_some(),
        handshake: link.and_then(Link::handshake).map(Arc::as_ref),
        tracks: [link.and_then(Link::tracks), request.tracks.as_deref()],
    }
}

fn name(edit: &Edit) -> &str {
    match edit {
        Edit::Set(name, _) | Edit::Add(name, _) | Edit::Delete(name) => name,
    }
}

/// The value that an edit brings; none if it only takes away, or if what the client sent can't stand in
/// a field.
fn value(edit: &Edit, facts: &impl Facts) -> Option<HeaderValue> {
    match edit {
        Edit::Set(_, format) | Edit::Add(_, format) => HeaderValue::from_bytes(&format.fill(facts)).ok(),
        Edit::Delete(_) => None,
    }
}

/// Changes a field of a request so that no client can undo it: not by another spelling of its name, and
/// not by naming it in `Connection`, which would have it taken out on the way.
fn edit_request(head: &mut RequestHeader, edit: &Edit, value: Option<HeaderValue>) -> Result<()> {
    let name = name(edit);
    if !matches!(edit, Edit::Add(..)) {
        delete(head, name);
    }
    let Some(value) = value else { return Ok(()) };
    keep(head, name)?;
    if name.eq_ignore_ascii_case("host") {
        let mut parts = head.uri.clone().into_parts();
        if parts.authority.is_some() {
            parts.authority = Authority::try_from(value.as_bytes()).ok();
        }
        // The target as it came may name another host.
        head.set_uri(Uri::from_parts(parts).or_err(ErrorType::InvalidHTTPHeader, "a rule's Host")?);
    }
    head.append_header(name.to_owned(), value)?;
    Ok(())
}

/// Takes a field away, however its name is spelled.
pub(crate) fn delete(head: &mut RequestHeader, name: &str) {
    let spellings = head.headers.keys().filter(|found| same_field(found.as_str(), name));
    for spelling in spellings.cloned().collect::<Vec<_>>() {
        head.remove_header(&spelling);
    }
}

/// Takes a name out of `Connection`.
pub(crate) fn keep(head: &mut RequestHeader, name: &str) -> Result<()> {
    let named = |line: &HeaderValue| options(line).any(|option| option.eq_ignore_ascii_case(name.as_bytes()));
    if !head.headers.get_all(CONNECTION).iter().any(named) {
        return Ok(());
    }
    let lines = head.headers.get_all(CONNECTION).iter().flat_map(options);
    let others = lines.filter(|option| !option.eq_ignore_ascii_case(name.as_bytes()));
    let others = others.collect::<Vec<_>>().join(&b", "[..]);
    head.remove_header(&CONNECTION);
    if let Ok(others) = HeaderValue::from_bytes(&others) {
        head.insert_header(CONNECTION, others)?;
    }
    Ok(())
}

fn options(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Gives a request another path; its query stays, and the log tells the target as it came.
pub(crate) fn set_path(head: &mut RequestHeader, request: &mut Request, path: &str) -> Result<()> {
    let target = match head.uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    let mut parts = head.uri.clone().into_parts();
    parts.path_and_query = Some(target.or_err(ErrorType::InvalidHTTPHeader, "a rule's path")?);
    let uri = Uri::from_parts(parts).or_err(ErrorType::InvalidHTTPHeader, "a rule's path")?;
    request.target.get_or_insert_with(|| head.raw_path().into());
    head.set_uri(uri);
    Ok(())
}

/// The client of a request without a connection, of which there is none.
const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
