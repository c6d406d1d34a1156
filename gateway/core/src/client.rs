//! Who the client is: the address of the connection, or, where a trusted proxy speaks for others, the
//! one that it names.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr};

/// The client behind a connection from `peer`, and what the server is told about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The address that limits, stickiness and logs go by.
    pub address: IpAddr,
    /// Whether what came in `X-Forwarded-For` is believed, and so is passed on with `peer` behind it.
    /// If not, it is replaced.
    pub chain_is_trusted: bool,
}

/// Walks `X-Forwarded-For` from its end, as long as each hop is one of `trusted`. `forwarded_for` are
/// the values of all header lines of that name, in order. What a client writes there itself is never
/// reached: its own address is the first one that is not trusted.
pub fn identify<'a, H>(peer: IpAddr, forwarded_for: H, trusted: &[IpNet]) -> Client
where
    H: DoubleEndedIterator<Item = &'a str>,
{
    let peer = peer.to_canonical();
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(&peer) {
        return Client { address: peer, chain_is_trusted: false };
    }
    let mut address = peer;
    for hop in forwarded_for.rev().flat_map(|line| line.rsplit(',')) {
        let Some(hop) = parse_hop(hop) else { break };
        address = hop;
        if !is_trusted(&hop) {
            break;
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn address(peer: &str, lines: &[&str], trusted: &[&str]) -> String {
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().expect("a network")).collect();
        identify(peer.parse().expect("an address"), lines.iter().copied(), &trusted).address.to_string()
    }

    #[test]
    fn a_client_can_not_forge_its_address() {
        assert_eq!(address("192.0.2.7", &["10.0.0.1"], &[]), "192.0.2.7");
        assert_eq!(address("192.0.2.7", &["10.0.0.1"], &["10.0.0.0/8"]), "192.0.2.7");
    }

    #[test]
    fn a_trusted_proxy_speaks_for_the_first_address_that_is_not_trusted() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(address("10.0.0.1", &["198.51.100.9"], &trusted), "198.51.100.9");
        assert_eq!(address("10.0.0.1", &["6.6.6.6, 198.51.100.9, 10.0.0.2"], &trusted), "198.51.100.9");
        assert_eq!(address("10.0.0.1", &["6.6.6.6", "198.51.100.9"], &trusted), "198.51.100.9");
        assert_eq!(address("10.0.0.1", &["[2001:db8::1]:443"], &trusted), "2001:db8::1");
        assert_eq!(address("10.0.0.1", &["198.51.100.9:1234"], &trusted), "198.51.100.9");
        assert_eq!(address("::ffff:10.0.0.1", &["198.51.100.9"], &trusted), "198.51.100.9");
    }

    #[test]
    fn garbage_ends_the_chain_at_the_last_good_hop() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(address("10.0.0.1", &["198.51.100.9, unknown, 10.0.0.2"], &trusted), "10.0.0.2");
        assert_eq!(address("10.0.0.1", &[], &trusted), "10.0.0.1");
    }
}
