//! Tells a server whose connection it gets, before the first byte of it: the PROXY header that `send_proxy`
//! asks for.

use crate::request::Connection;
use crate::tls::identity::Handshake;
use gateway_core::proxy_protocol::{Passed, PassedTls, Version, encode};
use nix::sys::socket::{SockaddrStorage, getsockname};
use std::net::SocketAddr;

/// The header for the client's connection; `name` is what it has asked for in a TLS hello that stays closed.
pub(crate) fn header(
    version: Version,
    connection: Connection,
    handshake: Option<&Handshake>,
    name: Option<&str>,
) -> Vec<u8> {
    let tls = handshake.map(|handshake| PassedTls {
        version: handshake.protocol,
        cipher: handshake.cipher,
        common_name: handshake.client.as_ref().map(|client| client.common_name.as_str()),
    });
    let authority = handshake.and_then(|handshake| handshake.name.as_deref()).or(name);
    let alpn = handshake.and_then(|handshake| handshake.alpn.as_deref());
    let source = connection.peer;
    // It is open, or nobody would ask; if it can't be told, where it ends says at least its family.
    let destination = local_address(connection).unwrap_or_else(|| SocketAddr::new(source.ip(), 0));
    encode(version, &Passed { source, destination, alpn, authority, tls })
}

fn local_address(connection: Connection) -> Option<SocketAddr> {
    let address = getsockname::<SockaddrStorage>(connection.socket).ok()?;
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::from((v4.ip(), v4.port())));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::from((v6.ip(), v6.port()))))
}
