//! Takes from requests and answers what the log has of them, too: before rules change the one, and as the server has
//! sent the other. Nothing is done, or kept, where nothing is captured.

use crate::request::Request;
use gateway_core::capture::Capture;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::{RequestHeader, ResponseHeader};

pub(crate) fn request(request: &mut Request, capture: &Capture, head: &RequestHeader) {
    if !capture.is_empty() {
        let taken = capture.request(|name| last(&head.headers, name), lines(&head.headers, &COOKIE));
        request.captured = Some(Box::new(taken));
    }
}

pub(crate) fn response(request: &mut Request, head: &ResponseHeader) {
    if head.status.is_informational() {
        return;
    }
    let Some((taken, connection)) = request.captured.as_deref_mut().zip(request.connection) else { return };
    let capture = &request.gateway.config.frontends[connection.frontend].capture;
    capture.response(taken, |name| last(&head.headers, name), lines(&head.headers, &SET_COOKIE));
}

fn last<'a>(fields: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    fields.get_all(name).iter().next_back().map(HeaderValue::as_bytes)
}

fn lines<'a>(fields: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    fields.get_all(name).iter().map(HeaderValue::as_bytes)
}
