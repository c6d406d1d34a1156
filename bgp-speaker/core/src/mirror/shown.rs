//! Reads what an UPDATE says of the own VIPs. Everything else in it is passed over.

use crate::config::Config;
use crate::wire::attribute::{self, Value};
use crate::wire::prefix::{Family, Prefixes};
use crate::wire::validate::Sender;
use crate::wire::{self, Message};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

/// A path that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Its next hop.
    pub next_hop: IpAddr,
    /// It is this node's.
    pub own: bool,
}

/// By what this node's own paths are recognised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// Next hops that only this node announces with.
    pub next_hops: BTreeSet<IpAddr>,
    /// Its address in the session, as long as one stands.
    pub local: Option<IpAddr>,
    /// Its BGP identifier, which route reflectors note (RFC 4456 section 8).
    pub identifier: Option<Ipv4Addr>,
}

impl Own {
    /// As `config` says; addresses that the system chooses are not among them.
    pub fn of(config: &Config) -> Self {
        let of_neighbor = |neighbor: &crate::config::Neighbor| {
            let hops = [neighbor.next_hop4.map(IpAddr::V4), neighbor.next_hop6.map(IpAddr::V6)];
            hops.into_iter().chain([neighbor.source]).flatten().collect::<Vec<_>>()
        };
        let next_hops = config.neighbors.iter().flat_map(of_neighbor).collect();
        Self { next_hops, local: None, identifier: Some(config.bgp.router_id) }
    }
}

/// Tells `each` VIP that `wanted` knows and that a framed message shows a path to, or no path any more. What is wrong with the message
/// is the session's affair: a path without a next hop is none.
pub fn read(
    message: &[u8],
    sender: Sender,
    own: &Own,
    wanted: impl Fn(IpAddr) -> bool,
    mut each: impl FnMut(IpAddr, Option<Path>),
) {
    let Ok(Message::Update(update)) = wire::decode(message) else { return };
    let mut tell = |prefixes: Prefixes<'_>, path: Option<Path>| {
        let hosts = prefixes.filter_map(Result::ok).filter(|net| net.prefix_len() == net.max_prefix_len());
        hosts.map(|net| net.addr()).filter(|vip| wanted(*vip)).for_each(|vip| each(vip, path));
    };
    let originator =
        update.attributes().flatten().find(|attribute| attribute.code == attribute::ORIGINATOR_ID);
    let originator =
        originator.and_then(|attribute| <[u8; 4]>::try_from(attribute.value).ok()).map(Ipv4Addr::from);
    let path = |next_hop: IpAddr| {
        let reflected = originator.is_some() && originator == own.identifier;
        let by_hop = own.local == Some(next_hop) || own.next_hops.contains(&next_hop);
        Path { next_hop, own: reflected || by_hop }
    };
    tell(update.withdrawn(), None);
    let mut next_hop = None;
    for attribute in update.attributes().flatten() {
        match attribute.value(sender.four_octet) {
            Some(Value::NextHop(address)) => next_hop = Some(address.into()),
            Some(Value::MpReach(reach)) => {
                if let (Some(prefixes), Some(address)) =
                    (reach.prefixes(), first(reach.family, reach.next_hop))
                {
                    tell(prefixes, Some(path(address)));
                }
            }
            Some(Value::MpUnreach(unreach)) => {
                if let Some(prefixes) = unreach.prefixes() {
                    tell(prefixes, None);
                }
            }
            _ => {}
        }
    }
    if let Some(next_hop) = next_hop {
        tell(update.nlri(), Some(path(next_hop)));
    }
}

/// The first address of a next hop; behind an IPv6 one there may be a link-local one (RFC 2545).
fn first(family: Option<Family>, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        Some(Family::Ipv4) if bytes.len() == 4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => bytes.first_chunk::<16>().map(|bytes| IpAddr::from(*bytes)),
    }
}
