//! Answers of servers on their way to clients: what has no one reading goes no further, what belongs to the
//! connection to the server ends there, and an old client gets what it knows.

use crate::upgrade;
use gateway_core::strict::answer::{self, Answer};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue, StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

/// Refuses an answer without one reading, and takes away what is not for the client.
pub(crate) fn check(session: &Session, response: &mut ResponseHeader, interim: &mut u32) -> Result<()> {
    *interim += u32::from(response.status.is_informational());
    let answer = Answer {
        status: response.status.as_u16(),
        http10: response.version == Version::HTTP_10,
        upgrade_asked: upgrade::is_asked(session.req_header(), response.headers.get(UPGRADE)),
        interim: *interim,
    };
    let fields = response.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    let mend = answer::check(answer, fields)
        .map_err(|reason| Error::explain(ErrorType::InvalidHTTPHeader, reason).into_up())?;
    if mend.one_length
        && let Some(length) = response.headers.get(CONTENT_LENGTH).cloned()
    {
        response.insert_header(CONTENT_LENGTH, length)?;
    }
    if mend.no_framing {
        response.remove_header(&CONTENT_LENGTH);
        response.remove_header(&TRANSFER_ENCODING);
    }
    for name in ends_here(response) {
        response.remove_header(&name);
    }
    Ok(())
}

/// Fields that belong to the connection to the server. Almost always there are none.
fn ends_here(response: &ResponseHeader) -> Vec<HeaderName> {
    let lines = response.headers.get_all(CONNECTION);
    let named = || {
        let lines = lines.iter().map(HeaderValue::as_bytes);
        lines.flat_map(|line| line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii))
    };
    let names = response.headers.keys().filter(|name| answer::is_hop_by_hop(name.as_str(), named()));
    names.cloned().collect()
}

/// A client of HTTP/1.0 knows no chunks: its answer ends with the connection.
pub(crate) fn fit(session: &mut Session, response: &mut ResponseHeader) {
    if session.req_header().version == Version::HTTP_10
        && response.status != StatusCode::SWITCHING_PROTOCOLS
        && response.remove_header(&TRANSFER_ENCODING).is_some()
    {
        session.set_keepalive(None);
    }
}
