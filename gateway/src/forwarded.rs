//! Whom a trusted proxy speaks for, and what servers are told about who the client is.

use crate::request::{Link, Request};
use crate::to_server::Fields;
use gateway_core::client::{self, Chain, Client};
use gateway_core::config::Frontend;
use http::header::{FORWARDED, HeaderName, HeaderValue};
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};
use std::net::IpAddr;

/// Who has sent a request, on a connection from `peer`.
pub(crate) fn identify(session: &Session, peer: IpAddr, frontend: &Frontend) -> Client {
    let said = lines(session, field(frontend.trusted_header));
    client::identify(peer, frontend.trusted_header, said, &frontend.trusted_proxies)
}

/// Tells a server. What nobody has vouched for goes.
pub(crate) fn tell<'a>(
    session: &Session,
    link: &Link,
    frontend: &Frontend,
    request: &Request,
    fields: &mut impl Fields<'a>,
) -> Result<()> {
    let Some(client) = &request.client else { return Ok(()) };
    let trusted = client.chain_is_trusted;
    let proto = if frontend.tls.is_some() { "https" } else { "http" };
    match (trusted, frontend.trusted_header) {
        (true, Chain::XForwardedFor) => {
            let own = link.forwarded_for().to_str().unwrap_or_default();
            fields.set(X_FORWARDED_FOR.as_str(), value(&extended(session, &X_FORWARDED_FOR, own))?)?;
            fields.remove("forwarded");
        }
        (true, Chain::Forwarded) => {
            let own = client::element(link.connection().peer.ip(), proto);
            fields.set("forwarded", value(&extended(session, &FORWARDED, &own))?)?;
            fields.set(X_FORWARDED_FOR.as_str(), value(&client.address.to_string())?)?;
        }
        (false, _) => {
            fields.set(X_FORWARDED_FOR.as_str(), link.forwarded_for().clone())?;
            fields.remove("forwarded");
        }
    }
    if !request.proto_is_set && (!trusted || !fields.has(X_FORWARDED_PROTO)) {
        fields.set(X_FORWARDED_PROTO, HeaderValue::from_static(proto))?;
    }
    Ok(())
}

fn field(chain: Chain) -> &'static HeaderName {
    match chain {
        Chain::XForwardedFor => &X_FORWARDED_FOR,
        Chain::Forwarded => &FORWARDED,
    }
}

/// What has come, and what is said here, behind it.
fn extended(session: &Session, name: &HeaderName, own: &str) -> String {
    let mut whole = String::new();
    for line in lines(session, name) {
        whole.push_str(line);
        whole.push_str(", ");
    }
    whole.push_str(own);
    whole
}

fn lines<'a>(session: &'a Session, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'a str> {
    session.req_header().headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}

fn value(text: &str) -> Result<HeaderValue> {
    HeaderValue::try_from(text).map_err(|error| Error::because(ErrorType::InternalError, "an address", error))
}

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: &str = "x-forwarded-proto";
