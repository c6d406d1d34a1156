//! Gives a request the id by which others will find it.

use gateway_core::request_id;
use http::HeaderValue;
use pingora::proxy::Session;
use ring::rand::{SecureRandom, SystemRandom};

/// The id in the field of this name: the one that came, if it is one and may stay, else a new one, which
/// takes its place. `None` where the system has no randomness: the request goes on without.
pub(crate) fn give(session: &mut Session, field: &str) -> Option<HeaderValue> {
    let mut said = session.req_header().headers.get_all(field).iter();
    if let (Some(one), None) = (said.next(), said.next())
        && request_id::may_stay(one.as_bytes())
    {
        return Some(one.clone());
    }
    let mut random = [0; 16];
    SystemRandom::new().fill(&mut random).ok()?;
    let id = HeaderValue::try_from(request_id::new(random)).ok()?;
    session.req_header_mut().insert_header(field.to_owned(), id.clone()).ok()?;
    Some(id)
}
