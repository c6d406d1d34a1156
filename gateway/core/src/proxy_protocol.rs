//! The PROXY protocol, versions 1 and 2 (HAProxy, doc/proxy-protocol.txt): what a proxy in front says
//! about the connection that it passes on, before the first byte of it.
//!
//! It is decoded only from sources that the configuration names; from those it is a must, so that nobody
//! can leave it out to pass for the proxy itself. What is no header, is too long or contradicts itself
//! is refused, and so is its connection.

mod encode;

pub use encode::{Passed, PassedTls, Version, encode, own};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A header that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The client that it speaks for; `None`: for nobody but itself (LOCAL, UNKNOWN and families that
    /// are not TCP).
    pub source: Option<SocketAddr>,
    /// Its length: what follows is the client's.
    pub length: usize,
}

/// Decodes the header at the start of `bytes`. `None`: so far, so good, but there is more to come. The
/// error is a reason word.
pub fn decode(bytes: &[u8]) -> Result<Option<Header>, &'static str> {
    if begins(bytes, SIGNATURE) {
        decode_v2(bytes)
    } else if begins(bytes, PREFIX) {
        decode_v1(bytes)
    } else {
        Err("no_proxy_header")
    }
}

/// Whether `bytes` begin with `expected`, as far as they go.
fn begins(bytes: &[u8], expected: &[u8]) -> bool {
    bytes.iter().zip(expected).all(|(byte, expected)| byte == expected)
}

/// Section 2.1: one line of text.
fn decode_v1(bytes: &[u8]) -> Result<Option<Header>, &'static str> {
    let Some(newline) = bytes.iter().take(MAX_V1).position(|byte| *byte == b'\n') else {
        return if bytes.len() < MAX_V1 { Ok(None) } else { Err("bad_proxy_header") };
    };
    let line = bytes.get(PREFIX.len()..newline).and_then(|line| line.strip_suffix(b"\r"));
    let line = line.and_then(|line| std::str::from_utf8(line).ok()).ok_or("bad_proxy_header")?;
    let header = |source| Some(Header { source, length: newline + 1 });
    // What follows UNKNOWN is to be ignored.
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Ok(header(None));
    }
    let mut words = line.split(' ');
    let (Some(family), Some(source), Some(destination), Some(source_port), Some(destination_port), None) =
        (words.next(), words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return Err("bad_proxy_header");
    };
    let address = |text: &str| match family {
        "TCP4" => text.parse().ok().map(IpAddr::V4),
        "TCP6" => text.parse().ok().map(IpAddr::V6),
        _ => None,
    };
    match (address(source), address(destination), port(source_port), port(destination_port)) {
        (Some(source), Some(_), Some(port), Some(_)) => Ok(header(Some(SocketAddr::new(source, port)))),
        _ => Err("bad_proxy_header"),
    }
}

/// Digits and nothing else, unlike what `parse` takes.
fn port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Section 2.2: signature, version and command, family, length, addresses, TLVs.
fn decode_v2(bytes: &[u8]) -> Result<Option<Header>, &'static str> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED_V2>() else { return Ok(None) };
    let [.., version_and_command, family, length_1, length_0] = *fixed;
    let length = usize::from(u16::from_be_bytes([length_1, length_0]));
    if length > MAX_V2 {
        return Err("proxy_header_too_large");
    }
    let Some(body) = rest.get(..length) else { return Ok(None) };
    let (source, extras) = match family {
        TCP_OVER_IPV4 => {
            let (addresses, extras) = body.split_first_chunk::<12>().ok_or("bad_proxy_header")?;
            let [a, b, c, d, _, _, _, _, port_1, port_0, _, _] = *addresses;
            let port = u16::from_be_bytes([port_1, port_0]);
            (Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), port)), extras)
        }
        TCP_OVER_IPV6 => {
            let (address, more) = body.split_first_chunk::<16>().ok_or("bad_proxy_header")?;
            let (ports, extras) =
                more.get(16..).and_then(|ports| ports.split_first_chunk()).ok_or("bad_proxy_header")?;
            let [port_1, port_0, _, _] = *ports;
            let port = u16::from_be_bytes([port_1, port_0]);
            (Some(SocketAddr::new(Ipv6Addr::from(*address).into(), port)), extras)
        }
        _ => (None, [].as_slice()),
    };
    let length = FIXED_V2 + length;
    let source = match version_and_command {
        PROXY => source,
        LOCAL => None,
        _ => return Err("bad_proxy_header"),
    };
    if let Some(place) = checksum(extras)? {
        // It is calculated with zeros in its own place.
        let place = length - extras.len() + place;
        let whole = bytes.iter().take(length).enumerate();
        let whole = whole.map(|(at, byte)| if (place..place + 4).contains(&at) { 0 } else { *byte });
        let stated = bytes.get(place..place + 4).ok_or("bad_proxy_header")?;
        if crc32c(whole).to_be_bytes() != *stated {
            return Err("bad_proxy_checksum");
        }
    }
    Ok(Some(Header { source, length }))
}

/// Walks the TLVs; returns where in them the value of the checksum is, if there is one.
fn checksum(mut extras: &[u8]) -> Result<Option<usize>, &'static str> {
    let (mut found, mut at) = (None, 0);
    while let Some(([kind, length_1, length_0], rest)) = extras.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([*length_1, *length_0]));
        extras = rest.get(length..).ok_or("bad_proxy_header")?;
        if *kind == TLV_CRC32C {
            if length != 4 {
                return Err("bad_proxy_header");
            }
            found = Some(at + 3);
        }
        at += 3 + length;
    }
    if extras.is_empty() { Ok(found) } else { Err("bad_proxy_header") }
}

/// RFC 4960, appendix B. Such headers are rare and short: no table.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    !bytes.fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (if crc & 1 == 1 { CASTAGNOLI } else { 0 }))
    })
}

const PREFIX: &[u8] = b"PROXY ";
/// Section 2.1: the longest line of version 1, with its line end.
const MAX_V1: usize = 107;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const FIXED_V2: usize = 16;
/// Most bytes of addresses and TLVs: 64 KiB could be stated, but nobody needs more than some names.
const MAX_V2: usize = 4096;
/// Version 2, a connection of the proxy's own.
const LOCAL: u8 = 0x20;
/// Version 2, a connection that is passed on.
const PROXY: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
const TLV_CRC32C: u8 = 0x03;
/// The polynomial, reversed.
const CASTAGNOLI: u32 = 0x82f6_3b78;

#[cfg(test)]
mod tests;
