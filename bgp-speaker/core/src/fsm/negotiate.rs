//! What the two OPENs add up to (RFC 4271 sections 4.2 and 6.2, RFC 5492, 6286, 6793, 7607).

use crate::wire::notification::{self, Notification};
use crate::wire::prefix::Family;
use crate::wire::{Capability, Open};
use std::net::Ipv4Addr;
use std::time::Duration;

/// Who we are and whom we expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// Our AS.
    pub asn: u32,
    /// Our BGP identifier.
    pub identifier: Ipv4Addr,
    /// Seconds that we ask for.
    pub hold_time: u16,
    /// The AS that the neighbor must have.
    pub neighbor_asn: u32,
}

/// What both sides can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The smaller of both hold times; zero does without.
    pub hold: Duration,
    /// AS numbers have four bytes in this session.
    pub four_octet: bool,
    /// By [`Family::index`].
    pub families: [bool; 2],
    /// The neighbor may ask for a refresh.
    pub route_refresh: bool,
    /// The neighbor's identifier.
    pub identifier: Ipv4Addr,
}

/// Checks the neighbor's OPEN and settles what holds for the session; `Err` is the answer that ends it.
pub fn negotiate(local: &Local, open: &Open) -> Result<Negotiated, Notification> {
    let refuse = |code| Err(Notification::new(code));
    let asn = open.asn();
    if asn == 0 || asn != local.neighbor_asn {
        return refuse(notification::BAD_PEER_AS);
    }
    let inside = asn == local.asn;
    if open.identifier.is_unspecified() || (inside && open.identifier == local.identifier) {
        return refuse(notification::BAD_IDENTIFIER);
    }
    if matches!(open.hold_time, 1 | 2) {
        return refuse(notification::UNACCEPTABLE_HOLD_TIME);
    }
    let families = families(open);
    if families == [false; 2] {
        let mut missing = Vec::new();
        Capability::Multiprotocol(Family::Ipv4).encode(&mut missing);
        return Err(Notification::new(notification::UNSUPPORTED_CAPABILITY).data(&missing));
    }
    Ok(Negotiated {
        hold: Duration::from_secs(local.hold_time.min(open.hold_time).into()),
        four_octet: open.four_octet_as().is_some(),
        families,
        route_refresh: open.capabilities.contains(&Capability::RouteRefresh),
        identifier: open.identifier,
    })
}

/// A neighbor that says nothing about families speaks IPv4 unicast (RFC 4760 section 8).
fn families(open: &Open) -> [bool; 2] {
    let says = |family| open.capabilities.contains(&Capability::Multiprotocol(family));
    let silent = !open.capabilities.iter().any(|capability| capability.code() == MULTIPROTOCOL);
    [says(Family::Ipv4) || silent, says(Family::Ipv6)]
}

/// The code of [`Capability::Multiprotocol`], whatever family it names.
const MULTIPROTOCOL: u8 = 1;
