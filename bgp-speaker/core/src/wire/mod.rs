//! The wire format of BGP-4 (RFC 4271 section 4), both ways.
//!
//! Three steps that never mix: *frame* finds where a message ends, *decode* gives its bytes a shape,
//! [`validate`] says whether an UPDATE's content is acceptable. A refusal is a [`Notification`]: the
//! exact answer that RFC 4271 section 6 asks for. Decoding borrows from the message; it allocates
//! only for an OPEN's capabilities and a NOTIFICATION's data, both smaller than the message itself.

pub mod attribute;
pub mod notification;
pub mod open;
pub mod prefix;
pub mod reader;
pub mod update;
pub mod validate;

pub use notification::Notification;
pub use open::{Capability, GracefulRestart, Open};
pub use update::Update;

use prefix::Family;
use reader::Reader;

/// A decoded message, as it stands in its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// The neighbor introduces itself.
    Open(Open),
    /// Routes come and go.
    Update(Update<'a>),
    /// The neighbor gives up, and says why.
    Notification(Notification),
    /// The neighbor lives.
    Keepalive,
    /// The neighbor wants everything again.
    RouteRefresh(RouteRefresh),
}

/// ROUTE-REFRESH (RFC 2918), with the subtype that RFC 7313 gave to its reserved byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRefresh {
    /// The family asked for; `None` if it is none of ours.
    pub family: Option<Family>,
    /// 0 asks for a refresh; others mark the borders of one and ask for nothing.
    pub subtype: u8,
}

/// Finds the first message in `buffer`: its whole length, or `None` while bytes are missing.
/// The header is checked as soon as it is there (RFC 4271 section 6.1).
pub fn frame(buffer: &[u8]) -> Result<Option<usize>, Notification> {
    let Some((marker, rest)) = buffer.split_first_chunk::<16>() else { return Ok(None) };
    let [high, low, kind, ..] = *rest else { return Ok(None) };
    if marker != &[0xff; 16] {
        return Err(Notification::new(notification::NOT_SYNCHRONIZED));
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    let bad_length = || Notification::new(notification::BAD_MESSAGE_LENGTH).data(&[high, low]);
    if !(HEADER..=MAX_MESSAGE).contains(&length) {
        return Err(bad_length());
    }
    let fits = match kind {
        OPEN => length >= HEADER + 10,
        UPDATE => length >= HEADER + 4,
        NOTIFICATION => length >= HEADER + 2,
        KEEPALIVE => length == HEADER,
        // Its length is the business of RFC 7313 section 5, which has an answer of its own.
        ROUTE_REFRESH => true,
        _ => return Err(Notification::new(notification::BAD_MESSAGE_TYPE).data(&[kind])),
    };
    if !fits {
        return Err(bad_length());
    }
    Ok((buffer.len() >= length).then_some(length))
}

/// Decodes one whole message, as [`frame`] cut it.
pub fn decode(message: &[u8]) -> Result<Message<'_>, Notification> {
    let mut reader = Reader::new(message);
    let kind = reader.take(18).and_then(|_| reader.u8());
    let body = reader.rest();
    match kind {
        Some(OPEN) => Open::decode(body).map(Message::Open),
        Some(UPDATE) => Update::decode(body).map(Message::Update),
        Some(NOTIFICATION) => Notification::decode(body).map(Message::Notification),
        Some(KEEPALIVE) => Ok(Message::Keepalive),
        Some(ROUTE_REFRESH) => RouteRefresh::decode(message, body).map(Message::RouteRefresh),
        Some(other) => Err(Notification::new(notification::BAD_MESSAGE_TYPE).data(&[other])),
        None => Err(Notification::new(notification::NOT_SYNCHRONIZED)),
    }
}

/// A whole KEEPALIVE.
pub fn keepalive() -> Vec<u8> {
    message(KEEPALIVE, |_| {})
}

impl RouteRefresh {
    fn decode(message: &[u8], body: &[u8]) -> Result<Self, Notification> {
        let [afi_high, afi_low, subtype, safi] = *body else {
            return Err(Notification::new(notification::BAD_REFRESH_LENGTH).data(message));
        };
        let afi = u16::from_be_bytes([afi_high, afi_low]);
        Ok(Self { family: Family::from_wire(afi, safi), subtype })
    }

    /// A whole ROUTE-REFRESH that asks for `family`.
    pub fn encode(family: Family) -> Vec<u8> {
        message(ROUTE_REFRESH, |out| {
            out.extend(family.afi().to_be_bytes());
            out.extend([0, prefix::SAFI_UNICAST]);
        })
    }
}

/// Wraps what `body` writes into a message of type `kind`. Our own messages are built to fit.
pub(crate) fn message(kind: u8, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![0xff; 16];
    out.extend([0, 0, kind]);
    body(&mut out);
    debug_assert!(out.len() <= MAX_MESSAGE, "a message of {} bytes", out.len());
    let length = u16::try_from(out.len()).unwrap_or(u16::MAX).to_be_bytes();
    out[16..18].copy_from_slice(&length);
    out
}

/// Bytes of a message header: marker 16, length 2, type 1.
pub const HEADER: usize = 19;
/// Longest message in bytes (RFC 4271 section 4.1). RFC 8654 is not offered, so longer is an error.
pub const MAX_MESSAGE: usize = 4096;
/// Message type of OPEN.
pub const OPEN: u8 = 1;
/// Message type of UPDATE.
pub const UPDATE: u8 = 2;
/// Message type of NOTIFICATION.
pub const NOTIFICATION: u8 = 3;
/// Message type of KEEPALIVE.
pub const KEEPALIVE: u8 = 4;
/// Message type of ROUTE-REFRESH (RFC 2918).
pub const ROUTE_REFRESH: u8 = 5;

#[cfg(test)]
mod tests;
