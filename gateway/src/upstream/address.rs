//! Where a server is: always there, or where DNS has said last.

use arc_swap::ArcSwap;
use gateway_core::config::{Address, Server, Sni};
use pingora::protocols::l4::socket::SocketAddr as AnyAddress;
use pingora::upstreams::peer::{HttpPeer, Peer};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    address: SocketAddr,
    /// What connections made by `peer` are kept by.
    key: u64,
}

impl Way {
    fn new(peer: HttpPeer, address: SocketAddr) -> Self {
        Self { key: peer.reuse_hash(), peer, address }
    }
}

/// A server that moves.
pub(super) struct Moving {
    now: ArcSwap<Way>,
    /// Whether it is anywhere; if not, `now` is where it last was.
    is_known: AtomicBool,
    /// Whether TLS goes by its address, where there is no name to ask for.
    is_asked_for_address: bool,
    /// Makes what is kept for one place of no use for the next.
    salt: RandomState,
}

impl Reach {
    pub(super) fn new(server: &Server, peer: HttpPeer) -> Self {
        match server.address {
            Address::At(address) => Self::Fixed(Box::new(Way::new(peer, address))),
            Address::Named => Self::Named(Moving {
                now: ArcSwap::from_pointee(Way::new(peer, NOWHERE)),
                is_known: AtomicBool::new(false),
                is_asked_for_address: server.tls.as_ref().is_some_and(|tls| !matches!(tls.sni, Sni::Name(_))),
                salt: RandomState::new(),
            }),
        }
    }

    /// What connections to it are made by. One that was nowhere by now would fail to connect.
    pub(super) fn peer(&self) -> HttpPeer {
        match self {
            Self::Fixed(way) => way.peer.clone(),
            Self::Named(moving) => moving.now.load().peer.clone(),
        }
    }

    /// Where it is, as far as that is known.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Fixed(way) => Some(way.address),
            Self::Named(moving) => moving.is_known.load(Ordering::Relaxed).then(|| moving.now.load().address),
        }
    }

    /// What connections to where it is now are kept by.
    pub(super) fn key(&self) -> u64 {
        match self {
            Self::Fixed(way) => way.key,
            Self::Named(moving) => moving.now.load().key,
        }
    }

    /// It is there from now on, or nowhere: connections that are kept to where it was are not used any more.
    pub(super) fn moved(&self, address: Option<SocketAddr>) {
        let Self::Named(moving) = self else { return };
        let was_known = moving.is_known.swap(address.is_some(), Ordering::Relaxed);
        let Some(address) = address else { return };
        let before = moving.now.load();
        if was_known && before.address == address {
            return;
        }
        let mut peer = before.peer.clone();
        peer._address = AnyAddress::Inet(address);
        peer.group_key = moving.salt.hash_one((peer.group_key, address));
        if moving.is_asked_for_address {
            peer.sni = address.ip().to_string();
        }
        moving.now.store(Arc::new(Way::new(peer, address)));
    }
}

/// Where nothing is.
pub(super) const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
