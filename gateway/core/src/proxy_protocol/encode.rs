//! The PROXY header that servers get (HAProxy manual, "send-proxy"): whose connection it is, and what its TLS
//! handshake has shown.

use super::{FIXED_V2, LOCAL, PROXY, SIGNATURE, TCP_OVER_IPV4, TCP_OVER_IPV6};
use std::net::{IpAddr, SocketAddr};

/// Which of the two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One line of text, with the addresses only.
    V1,
    /// Binary, with all there is.
    V2,
}

/// A client's connection.
#[derive(Clone, Copy, Debug)]
pub struct Passed<'a> {
    /// The client.
    pub source: SocketAddr,
    /// Where it has connected to.
    pub destination: SocketAddr,
    /// What client and gateway have agreed to speak.
    pub alpn: Option<&'a [u8]>,
    /// The name that the client has asked for.
    pub authority: Option<&'a str>,
    /// TLS between client and gateway.
    pub tls: Option<PassedTls<'a>>,
}

/// TLS of a client's connection.
#[derive(Clone, Copy, Debug)]
pub struct PassedTls<'a> {
    /// Such as `TLSv1.3`.
    pub version: &'a str,
    /// The cipher suite.
    pub cipher: &'a str,
    /// The common name in the client's certificate, if it has shown one that was verified.
    pub common_name: Option<&'a str>,
}

/// The header for a connection.
pub fn encode(version: Version, passed: &Passed<'_>) -> Vec<u8> {
    let (source, destination) = same_family(passed.source, passed.destination);
    match version {
        Version::V1 => {
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let (from, to) = (source.ip(), destination.ip());
            format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
        }
        Version::V2 => encode_v2(source, destination, passed),
    }
}

/// The header for a connection of the gateway's own, such as a check's: in version 2 it says just that.
pub fn own(version: Version, source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    match version {
        Version::V1 => {
            let passed = Passed { source, destination, alpn: None, authority: None, tls: None };
            encode(version, &passed)
        }
        // No family, and nothing behind it.
        Version::V2 => [SIGNATURE.as_slice(), &[LOCAL, 0, 0, 0]].concat(),
    }
}

fn encode_v2(source: SocketAddr, destination: SocketAddr, passed: &Passed<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    for address in [source.ip(), destination.ip()] {
        match address {
            IpAddr::V4(address) => body.extend(address.octets()),
            IpAddr::V6(address) => body.extend(address.octets()),
        }
    }
    body.extend([source.port().to_be_bytes(), destination.port().to_be_bytes()].concat());
    if let Some(alpn) = passed.alpn {
        tlv(&mut body, ALPN, alpn);
    }
    if let Some(name) = passed.authority {
        tlv(&mut body, AUTHORITY, name.as_bytes());
    }
    if let Some(tls) = &passed.tls {
        tlv(&mut body, SSL, &ssl(tls));
    }
    let family = if source.is_ipv4() { TCP_OVER_IPV4 } else { TCP_OVER_IPV6 };
    let mut header = Vec::with_capacity(FIXED_V2 + body.len());
    header.extend(SIGNATURE);
    header.extend([PROXY, family]);
    header.extend(length(&body));
    header.extend(body);
    header
}

/// Section 2.2.6.
fn ssl(tls: &PassedTls<'_>) -> Vec<u8> {
    let has_certificate = tls.common_name.is_some();
    let client = if has_certificate { CLIENT_SSL | CLIENT_CERT_CONN | CLIENT_CERT_SESS } else { CLIENT_SSL };
    // Whom the gateway has let in is verified: 0.
    let mut value = vec![client, 0, 0, 0, 0];
    tlv(&mut value, SSL_VERSION, tls.version.as_bytes());
    if let Some(name) = tls.common_name {
        tlv(&mut value, SSL_CN, name.as_bytes());
    }
    tlv(&mut value, SSL_CIPHER, tls.cipher.as_bytes());
    value
}

/// Nothing that goes in here comes near the most that a length can say: names have some hundred bytes. What
/// did would be left out.
fn tlv(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    if value.len() <= MAX_VALUE {
        out.push(kind);
        out.extend(length(value));
        out.extend(value);
    }
}

fn length(value: &[u8]) -> [u8; 2] {
    u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes()
}

/// Both as IPv4 if they are, or else both as IPv6.
fn same_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (source, destination) = (canonical(source), canonical(destination));
    if source.is_ipv4() == destination.is_ipv4() {
        return (source, destination);
    }
    let wide = |address: SocketAddr| match address.ip() {
        IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    (wide(source), wide(destination))
}

const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const SSL: u8 = 0x20;
const SSL_VERSION: u8 = 0x21;
const SSL_CN: u8 = 0x22;
const SSL_CIPHER: u8 = 0x23;
const CLIENT_SSL: u8 = 0x01;
const CLIENT_CERT_CONN: u8 = 0x02;
const CLIENT_CERT_SESS: u8 = 0x04;
/// Bytes of a value: four of them fit what this gateway itself would take.
const MAX_VALUE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy_protocol::{Header, decode};
    use proptest::prelude::*;

    fn passed<'a>(source: &str, destination: &str) -> Passed<'a> {
        let address = |text: &str| text.parse().expect("an address");
        let (source, destination) = (address(source), address(destination));
        Passed { source, destination, alpn: None, authority: None, tls: None }
    }

    #[test]
    fn a_line_is_as_the_protocol_has_it() {
        let line = |source, destination| String::from_utf8(encode(Version::V1, &passed(source, destination)));
        assert_eq!(
            line("192.0.2.7:1234", "198.51.100.1:443").as_deref(),
            Ok("PROXY TCP4 192.0.2.7 198.51.100.1 1234 443\r\n")
        );
        assert_eq!(
            line("[::ffff:192.0.2.7]:1", "[2001:db8::1]:443").as_deref(),
            Ok("PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 1 443\r\n")
        );
    }

    #[test]
    fn what_the_handshake_has_shown_is_in_the_binary_form() {
        let tls = PassedTls { version: "TLSv1.3", cipher: "C", common_name: Some("anna") };
        let more = Passed {
            alpn: Some(b"h2"),
            authority: Some("db"),
            tls: Some(tls),
            ..passed("192.0.2.7:1", "192.0.2.1:2")
        };
        let header = encode(Version::V2, &more);
        let tlvs =
            b"\x01\0\x02h2\x02\0\x02db\x20\0\x1a\x07\0\0\0\0\x21\0\x07TLSv1.3\x22\0\x04anna\x23\0\x01C";
        assert_eq!(header[28..], tlvs[..]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read_again(
            source in any::<SocketAddr>(),
            destination in any::<SocketAddr>(),
            name in proptest::option::of("[a-z.]{1,2000}"),
            second in any::<bool>(),
        ) {
            let authority = name.as_deref();
            let tls = authority.map(|name| PassedTls { version: "TLSv1.2", cipher: "x", common_name: Some(name) });
            let version = if second { Version::V2 } else { Version::V1 };
            let header = encode(version, &Passed { source, destination, alpn: None, authority, tls });
            let read = decode(&header).expect("a header").expect("a whole one");
            prop_assert_eq!(read.length, header.len());
            let Header { source: Some(read), .. } = read else { return Err(TestCaseError::fail("no source")) };
            prop_assert_eq!(read.ip().to_canonical(), source.ip().to_canonical());
            prop_assert_eq!(read.port(), source.port());
        }
    }
}
