//! Who the client is: the address of the connection, or, where a trusted proxy speaks for others, the
//! one that it names, in `X-Forwarded-For` or in `Forwarded` (RFC 7239).

mod forwarded;

#[cfg(test)]
mod tests;

pub use forwarded::element;

use ipnet::IpNet;
use serde::Deserialize;
use std::net::{IpAddr, Ipv6Addr};

/// The client behind a connection from `peer`, and what the server is told about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The address that limits, stickiness and logs go by.
    pub address: IpAddr,
    /// Whether the peer is trusted: what it says of others is believed, and so is passed on with `peer` behind
    /// it. If not, it is replaced.
    pub chain_is_trusted: bool,
}

/// The field in which trusted proxies say for whom they speak. Only one is believed: a proxy that writes the
/// one may pass on what its client wrote in the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Chain {
    /// `X-Forwarded-For`: addresses.
    #[default]
    XForwardedFor,
    /// `Forwarded`: of each element the `for` parameter.
    Forwarded,
}

/// Walks the chain from its end, as long as each hop is one of `trusted`. `lines` are the values of all
/// header lines of its name, in order. What a client writes there itself is never reached: its own address is
/// the first one that is not trusted.
pub fn identify<'a, H>(peer: IpAddr, chain: Chain, lines: H, trusted: &[IpNet]) -> Client
where
    H: DoubleEndedIterator<Item = &'a str>,
{
    let peer = peer.to_canonical();
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(&peer) {
        return Client { address: peer, chain_is_trusted: false };
    }
    let first = |hops: &mut dyn Iterator<Item = Option<IpAddr>>| {
        let mut address = peer;
        for hop in hops.map_while(|hop| hop) {
            address = hop;
            if !is_trusted(&hop) {
                break;
            }
        }
        address
    };
    let lines = lines.rev();
    let address = match chain {
        Chain::XForwardedFor => first(&mut lines.flat_map(|line| line.rsplit(',')).map(parse_hop)),
        Chain::Forwarded => first(&mut lines.flat_map(forwarded::hops)),
    };
    Client { address, chain_is_trusted: true }
}

/// Whom limits take for one client: an address of IPv4, or the /64 of IPv6, of which whoever has one address
/// has all.
#[inline]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        address => address,
    }
}

/// An address, perhaps with a port, as proxies write it.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare =
        text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(text, |(inside, _)| inside);
    let address =
        bare.parse().ok().or_else(|| text.parse().ok().map(|socket: std::net::SocketAddr| socket.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}
