//! With which attributes a VIP goes to a neighbor, given what the gate says about it and which place this node has in
//! the plan: MED for everybody, a lower local preference inside the own AS, a longer path where it is asked for, because
//! MED says nothing between upstreams of different ASes.

use crate::config::{Neighbor, Vip};
use crate::gate::Standing;
use crate::text_api::Route as Injected;
use crate::wire::attribute::PathAttributes;
use ipnet::IpNet;
use std::net::IpAddr;

/// Where the session's own address stands as next hop, unless the configuration names another. `extended`: an IPv4 VIP
/// may have an IPv6 next hop, and gets one when there is no other.
pub fn next_hop(vip: IpAddr, neighbor: &Neighbor, session: IpAddr, extended: bool) -> Option<IpAddr> {
    let configured = match vip {
        IpAddr::V4(_) => neighbor.next_hop4.map(IpAddr::V4),
        IpAddr::V6(_) => neighbor.next_hop6.map(IpAddr::V6),
    };
    let fits = session.is_ipv4() == vip.is_ipv4();
    configured.or_else(|| match (fits, extended && vip.is_ipv4()) {
        (true, _) => Some(session),
        (false, true) => Some(neighbor.next_hop6.map_or(session, IpAddr::V6)),
        (false, false) => None,
    })
}

/// What a session settles about routes in it.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Our AS.
    pub asn: u32,
    /// Our address in the session.
    pub local: IpAddr,
    /// IPv4 routes may have an IPv6 next hop (RFC 8950).
    pub extended_next_hop: bool,
}

/// The route for `vip`, or `None` if the neighbor shall not hold one.
pub fn route(vip: &Vip, standing: Standing, neighbor: &Neighbor, terms: Terms) -> Option<PathAttributes> {
    let Terms { asn, local, extended_next_hop } = terms;
    let (med, last_choice) = match standing {
        Standing::Announced => (vip.med, false),
        Standing::Backup => (vip.backup_med, true),
        Standing::Worsened => (WORST_MED, true),
        Standing::Withdrawn => return None,
    };
    let inside = neighbor.asn == asn;
    // The first place is one copy of our AS; the last choice is behind every place.
    let place = if last_choice { vip.place.nodes } else { vip.place.position };
    let copies = if neighbor.prepend { usize::try_from(place).unwrap_or_default() + 1 } else { 1 };
    let local_pref = if last_choice { 0 } else { LOCAL_PREF.saturating_sub(place) };
    let mut communities = vip.communities.clone();
    if standing == Standing::Worsened && !communities.contains(&GRACEFUL_SHUTDOWN) {
        communities.push(GRACEFUL_SHUTDOWN);
    }
    Some(PathAttributes {
        as_path: if inside { Vec::new() } else { vec![asn; copies] },
        next_hop: next_hop(vip.address, neighbor, local, extended_next_hop)?,
        med: Some(med),
        local_pref: inside.then_some(local_pref),
        communities,
        large_communities: vip.large_communities.clone(),
        extended_communities: vip.extended_communities.clone(),
    })
}

/// A route of the text API, or `None` if it has no next hop towards this neighbor.
pub fn injected(
    prefix: IpNet,
    route: &Injected,
    neighbor: &Neighbor,
    terms: Terms,
) -> Option<PathAttributes> {
    let Terms { asn, local, extended_next_hop } = terms;
    let inside = neighbor.asn == asn;
    let own_path = || if inside { Vec::new() } else { vec![asn] };
    Some(PathAttributes {
        as_path: route.as_path.clone().unwrap_or_else(own_path),
        next_hop: match route.next_hop {
            Some(address) => address,
            None => next_hop(prefix.addr(), neighbor, local, extended_next_hop)?,
        },
        med: route.med,
        local_pref: inside.then(|| route.local_pref.unwrap_or(LOCAL_PREF)),
        communities: route.communities.clone(),
        large_communities: route.large_communities.clone(),
        extended_communities: route.extended_communities.clone(),
    })
}

/// RFC 8326: prefer any other way, this one goes away soon.
pub const GRACEFUL_SHUTDOWN: u32 = 0xffff_0000;
/// The worst metric. One less than the largest, which some take for "none given".
pub const WORST_MED: u32 = 4_294_967_294;
/// The customary local preference (RFC 4271 section 5.1.5 leaves it open).
pub const LOCAL_PREF: u32 = 100;
