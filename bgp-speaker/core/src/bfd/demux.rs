//! Whose packet is it? (RFC 5880 section 6.3, RFC 5881 sections 3 and 5, RFC 5883 sections 3 and 5.)
//!
//! Once the other side knows our number of the session, only the number counts; before that, the
//! address. A packet that came to the port for several hops never reaches a session of one hop: the
//! check of the TTL could be walked around otherwise.

use super::packet::{Discard, Packet};
use std::net::IpAddr;
use std::num::NonZeroU32;

/// How far away the other side is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hops {
    /// On the same link: a packet that crossed a router is a forgery (RFC 5881 section 5).
    Single,
    /// Behind routers.
    Multiple {
        /// The least TTL that a packet may arrive with; it starts at 255.
        min_ttl: u8,
    },
}

/// How packets find their session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Our number of it.
    pub discriminator: NonZeroU32,
    /// The other side's address.
    pub address: IpAddr,
    /// How far away that is.
    pub hops: Hops,
}

/// What is known of a datagram besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Who says that they sent it.
    pub source: IpAddr,
    /// Its TTL or hop limit; `None` if the system did not say.
    pub ttl: Option<u8>,
    /// It came to the port for several hops.
    pub multihop: bool,
}

/// Decodes a datagram, finds its session among `sessions`, and says which, or why it is discarded.
pub fn accept(
    payload: &[u8],
    arrival: Arrival,
    sessions: impl Iterator<Item = Identity>,
) -> Result<(usize, Packet), Discard> {
    let ttl = arrival.ttl.unwrap_or(0);
    if !arrival.multihop && ttl != FARTHEST {
        return Err(Discard::Ttl);
    }
    let packet = Packet::decode(payload)?;
    let source = arrival.source.to_canonical();
    let (index, identity) = sessions
        .enumerate()
        .filter(|(_, identity)| arrival.multihop == (identity.hops != Hops::Single))
        .find(|(_, identity)| match packet.yours {
            0 => identity.address == source,
            yours => identity.discriminator.get() == yours,
        })
        .ok_or(Discard::NoSession)?;
    match identity.hops {
        Hops::Multiple { min_ttl } if ttl < min_ttl => Err(Discard::Ttl),
        Hops::Multiple { .. } | Hops::Single => Ok((index, packet)),
    }
}

/// Where a TTL starts, and what it still is on the same link.
pub const FARTHEST: u8 = 255;
/// The UDP port of one hop (RFC 5881 section 4).
pub const SINGLE_HOP_PORT: u16 = 3784;
/// The UDP port of several hops (RFC 5883 section 5).
pub const MULTIHOP_PORT: u16 = 4784;
/// Our own ports start here (RFC 5881 section 4) and go up to 65535.
pub const FIRST_SOURCE_PORT: u16 = 49152;

#[cfg(test)]
#[path = "demux_tests.rs"]
mod tests;
