//! What a server is told beside what its client has said.

use crate::proxy::{Edge, link};
use crate::request::Request;
use crate::{cookie, forwarded, rules};
use http::HeaderValue;
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use pingora::{ErrorType, OrErr, Result};

/// The fields of a head while it is changed.
pub(crate) trait Fields<'a> {
    fn has(&self, name: &'a str) -> bool;
    /// In the place of all others of this name.
    fn set(&mut self, name: &'a str, value: HeaderValue) -> Result<()>;
    /// Beside others of this name.
    fn add(&mut self, name: &'a str, value: HeaderValue) -> Result<()>;
    fn remove(&mut self, name: &'a str);
}

impl<'a> Fields<'a> for RequestHeader {
    fn has(&self, name: &'a str) -> bool {
        self.headers.contains_key(name)
    }

    fn set(&mut self, name: &'a str, value: HeaderValue) -> Result<()> {
        self.insert_header(name.to_owned(), value)
    }

    fn add(&mut self, name: &'a str, value: HeaderValue) -> Result<()> {
        self.append_header(name.to_owned(), value).map(drop)
    }

    fn remove(&mut self, name: &'a str) {
        self.remove_header(name);
    }
}

impl Edge {
    /// Says in a head for a server what its client has had too much of, and lets nobody else say it.
    pub(crate) fn mark(&self, head: &mut RequestHeader, request: &Request) -> Result<()> {
        let frontend = request.connection.map(|connection| connection.frontend);
        if frontend.is_some_and(|frontend| self.gateway.config.frontends[frontend].marks) {
            rules::delete(head, MARK);
            if let Some(reason) = request.tracked.mark {
                rules::keep(head, MARK)?;
                head.insert_header(MARK, reason)?;
            }
        }
        Ok(())
    }

    /// What a server is told beside what the client has said.
    pub(crate) fn for_server<'a>(
        &'a self,
        session: &Session,
        request: &Request,
        is_h2: bool,
        fields: &mut impl Fields<'a>,
    ) -> Result<()> {
        let Some(link) = link(session) else { return Ok(()) };
        if let Some(lease) = &request.lease {
            let backend = &self.gateway.config.backends[lease.backend.0];
            if !backend.reuses && !is_h2 && !fields.has("upgrade") {
                fields.set("connection", HeaderValue::from_static("close"))?;
            }
            if let Some(name) = &backend.http_send_name_header {
                fields.set(name, value(&backend.servers[lease.server].name)?)?;
            }
            cookie::change_request(request, session.req_header(), fields)?;
        }
        let frontend = &self.gateway.config.frontends[link.connection().frontend];
        forwarded::tell(session, link, frontend, request, fields)?;
        if let Some(trace) = &request.trace {
            fields.set(TRACEPARENT, value(&trace.to_string())?)?;
            if trace.parent.is_none() {
                // It belongs to another trace, if to any.
                fields.remove(TRACESTATE);
            }
        }
        Ok(())
    }
}

fn value(text: &str) -> Result<HeaderValue> {
    HeaderValue::try_from(text).or_err(ErrorType::InvalidHTTPHeader, "a field for the server")
}

/// Says to servers what a client has had too much of.
const MARK: &str = "x-headgate-limit";
/// W3C Trace Context.
pub(crate) const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
