//! Where a server is: always there, or where DNS has said last.

use arc_swap::ArcSwap;
use gateway_core::config::{Address, Server, Sni};
use pingora::protocols::l4::socket::SocketAddr as AnyAddress;
use pingora::upstreams::peer::{HttpPeer, Peer};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a server is reached.
pub(super) enum Reach {
    /// It stays where it is.
    Fixed(Box<Way>),
    /// It moves.
    Named(Moving),
}

/// How a server is reached where it is now.
pub(super) struct Way {
    peer: HttpPeer,
    /// `None`: it is nowhere, and `peer` reaches nobody.
    address: Option<SocketAddr>,
    /// Its UNIX socket, for which `address` only stands where one is told.
    path: Option<PathBuf>,
    /// What connections made by `peer` are kept by.
    key: u64,
}

impl Way {
    fn new(peer: HttpPeer, address: Option<SocketAddr>) -> Self {
        Self { key: peer.reuse_hash(), peer, address, path: None }
    }
}

/// A server that moves.
pub(super) struct Moving {
    now: ArcSwap<Way>,
    /// Whether TLS goes by its address, where there is no name to ask for.
    is_asked_for_address: bool,
    /// Makes what is kept for one place of no use for the next.
    salt: RandomState,
}

impl Reach {
    pub(super) fn new(server: &Server, peer: HttpPeer) -> Self {
        match &server.address {
            Address::At(address) => Self::Fixed(Box::new(Way::new(peer, Some(*address)))),
            Address::Unix(path) => {
                let way = Way::new(peer, Some(LOCAL));
                Self::Fixed(Box::new(Way { path: Some(path.clone()), ..way }))
            }
            Address::Named => Self::Named(Moving {
                now: ArcSwap::from_pointee(Way::new(peer, None)),
                is_asked_for_address: server.tls.as_ref().is_some_and(|tls| !matches!(tls.sni, Sni::Name(_))),
                salt: RandomState::new(),
            }),
        }
    }

    /// What connections to it are made by. To one that is nowhere there is none, so the request is tried elsewhere.
    pub(super) fn peer(&self) -> HttpPeer {
        match self {
            Self::Fixed(way) => way.peer.clone(),
            Self::Named(moving) => moving.now.load().peer.clone(),
        }
    }

    /// Where it is, as far as that is known.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Fixed(way) => way.address,
            Self::Named(moving) => moving.now.load().address,
        }
    }

    /// Its UNIX socket, if it is there.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Fixed(way) => way.path.as_deref(),
            Self::Named(_) => None,
        }
    }

    /// What connections to where it is now are kept by.
    pub(super) fn key(&self) -> u64 {
        match self {
            Self::Fixed(way) => way.key,
            Self::Named(moving) => moving.now.load().key,
        }
    }

    /// It is there from now on, or nowhere: connections that are kept to where it was are not used any more. Whether
    /// that is somewhere else than before.
    pub(super) fn moved(&self, address: Option<SocketAddr>) -> bool {
        let Self::Named(moving) = self else { return false };
        let before = moving.now.load();
        if before.address == address {
            return false;
        }
        let mut peer = before.peer.clone();
        let at = address.unwrap_or(NOWHERE);
        peer._address = AnyAddress::Inet(at);
        peer.group_key = moving.salt.hash_one((peer.group_key, address));
        if moving.is_asked_for_address {
            peer.sni = at.ip().to_string();
        }
        moving.now.store(Arc::new(Way::new(peer, address)));
        true
    }
}

/// Where nothing is: connecting to it is refused.
pub(super) const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
/// What stands for a UNIX socket where an address is told: by checks, to agents, in headers.
pub(super) const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 80);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_reached_where_it_is_and_nowhere_else_once_it_is_nowhere() {
        let there = SocketAddr::from(([192, 0, 2, 1], 80));
        let peer = HttpPeer::new(NOWHERE, true, String::new());
        let reach = Reach::Named(Moving {
            now: ArcSwap::from_pointee(Way::new(peer, None)),
            is_asked_for_address: true,
            salt: RandomState::new(),
        });
        let mut keys = vec![reach.key()];
        for address in [Some(there), None, Some(there)] {
            assert!(reach.moved(address) && !reach.moved(address));
            let at = address.unwrap_or(NOWHERE);
            let peer = reach.peer();
            assert_eq!((reach.address(), peer._address.as_inet()), (address, Some(&at)));
            assert_eq!(peer.sni, at.ip().to_string());
            assert!(!keys.contains(&reach.key()), "nothing that was kept is used");
            keys.push(reach.key());
        }
    }
}
