//! What the gateway answers itself: refusals, redirects, pages and errors.

use crate::error_pages::Page;
use crate::proxy::{Edge, link};
use crate::request::{Refusal, Request};
use crate::{account, rules, tarpit};
use bytes::Bytes;
use gateway_core::limits::Denial;
use gateway_core::record::Termination;
use gateway_core::rules::End;
use gateway_core::strict;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use std::time::Duration;

/// An answer that the gateway gives itself.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Why, if it is a refusal.
    pub(crate) refused: Option<Refusal>,
    /// What the client has had too much of.
    pub(crate) limited: Option<Box<Denial>>,
    pub(crate) location: Option<HeaderValue>,
    /// The rule whose page it is.
    pub(crate) page: Option<usize>,
    /// How long the client waits for it.
    pub(crate) tarpit: Option<Duration>,
    /// Whether there is none: the client is left alone with its connection.
    pub(crate) silent_drop: bool,
    /// Whether the connection can't be trusted to be at the start of a next request.
    pub(crate) close: bool,
}

impl Answer {
    pub(crate) fn of(status: u16) -> Self {
        Self { status, close: status == 500, ..Self::default() }
    }

    pub(crate) fn refuse(status: u16, reason: &'static str) -> Self {
        Self { status, refused: Some(Refusal::Word(reason)), close: status == 400, ..Self::default() }
    }
}

impl Edge {
    /// The answer that a rule's end gives.
    pub(crate) fn ended(&self, session: &Session, request: &mut Request, place: usize, end: &End) -> Answer {
        match end {
            End::Deny { status, .. } => {
                Answer { status: *status, refused: Some(Refusal::Rule(place)), ..Answer::default() }
            }
            End::Tarpit { status, timeout, .. } => Answer {
                status: *status,
                refused: Some(Refusal::Rule(place)),
                tarpit: Some(*timeout),
                close: true,
                ..Answer::default()
            },
            End::SilentDrop { .. } => Answer {
                refused: Some(Refusal::Rule(place)),
                silent_drop: true,
                close: true,
                ..Answer::default()
            },
            End::Redirect { status, location } => {
                request.termination = Termination::Local;
                let location = HeaderValue::from_bytes(&rules::fill(session, request, location));
                Answer { status: *status, location: location.ok(), ..Answer::default() }
            }
            End::Return { status, .. } => {
                request.termination = Termination::Local;
                Answer { status: *status, page: Some(place), ..Answer::default() }
            }
            End::Route(_) | End::RouteByName(..) | End::Reject { .. } => Answer::of(500),
        }
    }

    /// Keeps a client waiting that is in a tarpit. False if there is nobody left to answer.
    pub(crate) async fn waits(&self, session: &mut Session, request: &mut Request, answer: &Answer) -> bool {
        let (Some(timeout), Some(connection)) = (answer.tarpit, request.connection) else { return true };
        let begun = self.gateway.clock.now();
        let held = tarpit::hold(&self.gateway, session, connection.frontend, timeout).await;
        let waits = held != tarpit::Held::ClientGone;
        if held != tarpit::Held::Full {
            request.tarpit = Some(self.gateway.clock.now() - begun);
        }
        if !waits {
            session.set_keepalive(None);
            self.refuse(request, answer);
        }
        waits
    }

    /// Says for log and metric that it is refused, if it is.
    fn refuse(&self, request: &mut Request, answer: &Answer) {
        if let Some(refusal) = answer.refused {
            let in_tarpit = request.tarpit.is_some();
            request.termination = if in_tarpit { Termination::Tarpit } else { Termination::Refused };
            account::refused(request, refusal);
        }
    }

    fn error_page(&self, request: &Request, status: u16) -> Option<&Page> {
        self.gateway.error_pages.get(request.connection?.frontend)?.page(status)
    }

    pub(crate) async fn answer(
        &self,
        session: &mut Session,
        request: &mut Request,
        answer: Answer,
    ) -> Result<()> {
        self.refuse(request, &answer);
        if answer.silent_drop {
            session.set_keepalive(None);
            if let Some(link) = link(session) {
                link.vanish();
            }
            return Ok(());
        }
        let mut head = ResponseHeader::build(answer.status, Some(3))?;
        if let Some(denial) = answer.limited {
            head.insert_header("Retry-After", denial.retry_after)?;
            head.insert_header("RateLimit-Policy", denial.policy())?;
            head.insert_header("RateLimit", denial.state())?;
        }
        if let Some(location) = answer.location {
            head.insert_header(LOCATION, location)?;
        }
        let body = match answer.page.and_then(|place| rules::page(request, place)) {
            Some((content_type, body)) => {
                head.insert_header(CONTENT_TYPE, content_type)?;
                Bytes::copy_from_slice(body.as_bytes())
            }
            None => match self.error_page(request, answer.status) {
                Some(page) => {
                    head.insert_header(CONTENT_TYPE, page.content_type.as_str())?;
                    page.body.clone()
                }
                None => {
                    head.insert_header(CONTENT_TYPE, "text/plain")?;
                    let reason = head.status.canonical_reason().unwrap_or("");
                    Bytes::from(format!("{} {reason}\n", answer.status))
                }
            },
        };
        // Over HTTP/2 a body that must not be is an error of the protocol.
        let is_bodiless =
            session.req_header().method == Method::HEAD || strict::answer::is_bodiless(answer.status);
        if answer.status == 204 {
            head.remove_header(&CONTENT_TYPE);
        } else {
            head.set_content_length(body.len())?;
        }
        rules::change_answer(session, request, &mut head)?;
        if answer.close || self.gateway.is_draining() || !session.is_body_empty() {
            session.set_keepalive(None);
        }
        session.write_response_header(Box::new(head), false).await?;
        session.write_response_body(Some(if is_bodiless { Bytes::new() } else { body }), true).await
    }
}
