//! What the two OPENs add up to (RFC 4271 sections 4.2 and 6.2, RFC 4724, 5492, 6286, 6793, 7607, 8538, 8950).

use crate::wire::notification::{self, Notification};
use crate::wire::prefix::Family;
use crate::wire::{Capability, GracefulRestart, Open};
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
    /// What we offer beyond what every neighbor is offered.
    pub offer: Offer,
}

/// Capabilities that not every neighbor is offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// RFC 8950: IPv4 routes with an IPv6 next hop.
    pub extended_next_hop: bool,
    /// RFC 4724: so many seconds may the neighbor keep our routes while we restart.
    pub graceful_restart: Option<u16>,
}

/// What both sides can do.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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
    /// IPv4 routes may have an IPv6 next hop (RFC 8950).
    pub extended_next_hop: bool,
    /// Both sides do graceful restarts (RFC 4724).
    pub graceful_restart: bool,
    /// And a NOTIFICATION is one, unless it is a Hard Reset (RFC 8538).
    pub graceful_notification: bool,
}

impl Local {
    /// Our OPEN. `plain`: without any capability, for a neighbor that knows no optional parameters (RFC 5492 section 3).
    /// `restarting`: this process has had no session yet.
    pub fn open(&self, plain: bool, restarting: bool) -> Open {
        let mut open = Open::ours(self.asn, self.hold_time, self.identifier);
        if plain {
            open.capabilities.clear();
            return open;
        }
        if self.offer.extended_next_hop {
            open.capabilities.push(Capability::ExtendedNextHop);
        }
        if let Some(seconds) = self.offer.graceful_restart {
            // VIPs stay on the loopback interface over a restart: forwarding goes on.
            let families = [Some(true); 2];
            let restart = GracefulRestart { restarting, notification: true, seconds, families };
            open.capabilities.push(Capability::GracefulRestart(restart));
        }
        open
    }
}

/// Checks the neighbor's OPEN and settles what holds for the session; `Err` is the answer that ends it.
/// `plain`: our own OPEN had no capabilities.
pub fn negotiate(local: &Local, open: &Open, plain: bool) -> Result<Negotiated, Notification> {
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
    let offered = |offer: bool| offer && !plain;
    let [ipv4, ipv6] = families(open);
    let families = [ipv4, offered(ipv6)];
    let restart = open.capabilities.iter().find_map(|capability| match capability {
        Capability::GracefulRestart(restart) => Some(restart),
        _ => None,
    });
    let restart = restart.filter(|_| offered(local.offer.graceful_restart.is_some()));
    let next_hop = open.capabilities.contains(&Capability::ExtendedNextHop);
    if families == [false; 2] {
        let mut missing = Vec::new();
        Capability::Multiprotocol(Family::Ipv4).encode(&mut missing);
        return Err(Notification::new(notification::UNSUPPORTED_CAPABILITY).data(&missing));
    }
    Ok(Negotiated {
        hold: Duration::from_secs(local.hold_time.min(open.hold_time).into()),
        four_octet: offered(open.four_octet_as().is_some()),
        families,
        route_refresh: offered(open.capabilities.contains(&Capability::RouteRefresh)),
        identifier: open.identifier,
        extended_next_hop: next_hop && offered(local.offer.extended_next_hop),
        graceful_restart: restart.is_some(),
        graceful_notification: restart.is_some_and(|restart| restart.notification),
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
