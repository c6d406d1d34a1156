use super::*;
use proptest::prelude::*;

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend([command, family]);
    header.extend((body.len() as u16).to_be_bytes());
    header.extend(body);
    header
}

fn v2_of(source: SocketAddr, tlvs: &[u8]) -> Vec<u8> {
    let (family, addresses) = match source.ip() {
        IpAddr::V4(ip) => (TCP_OVER_IPV4, [ip.octets(), [192, 0, 2, 1]].concat()),
        IpAddr::V6(ip) => (TCP_OVER_IPV6, [ip.octets(), Ipv6Addr::LOCALHOST.octets()].concat()),
    };
    let ports = [source.port().to_be_bytes(), 443u16.to_be_bytes()].concat();
    v2(PROXY, family, &[addresses.as_slice(), &ports, tlvs].concat())
}

fn v1_of(source: SocketAddr) -> Vec<u8> {
    let (family, own) = if source.is_ipv4() { ("TCP4", "192.0.2.1") } else { ("TCP6", "::1") };
    format!("PROXY {family} {} {own} {} 443\r\n", source.ip(), source.port()).into_bytes()
}

#[test]
fn what_is_said_of_connections_of_its_own_can_be_read_and_names_nobody_else() {
    let (source, destination) = ("192.0.2.1:4000".parse().unwrap(), "192.0.2.9:80".parse().unwrap());
    let one = decode(&own(Version::V1, source, destination)).expect("it is one").expect("it is whole");
    assert_eq!(one.source, Some(source));
    let two = decode(&own(Version::V2, source, destination)).expect("it is one").expect("it is whole");
    assert_eq!((two.source, two.length), (None, 16));
}

#[test]
fn both_versions_name_the_client() {
    for source in ["198.51.100.9:1234", "[2001:db8::9]:65535"] {
        let source: SocketAddr = source.parse().expect("an address");
        for header in [v1_of(source), v2_of(source, &[]), v2_of(source, &[0xe0, 0, 2, 1, 2, 0x04, 0, 0])] {
            let length = header.len();
            let wanted = Header { source: Some(source), length };
            assert_eq!(decode(&[header.as_slice(), b"GET /"].concat()), Ok(Some(wanted)));
        }
    }
}

#[test]
fn a_connection_of_the_proxys_own_is_its_own() {
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(),
        v2(LOCAL, 0, &[]),
        v2(LOCAL, TCP_OVER_IPV4, &[1; 12]),
        v2(PROXY, 0, &[]),
        v2(PROXY, 0x31, &[1; 216]),
        v2(PROXY, 0x12, &[1; 12]),
    ] {
        assert_eq!(decode(&header), Ok(Some(Header { source: None, length: header.len() })), "{header:?}");
    }
}

#[test]
fn what_is_no_header_is_refused() {
    let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200], b"\r\n"].concat();
    let cases: [(&[u8], &str); 14] = [
        (b"GET / HTTP/1.1\r\n", "no_proxy_header"),
        (b"PRI * HTTP/2.0\r\n", "no_proxy_header"),
        (b"\x16\x03\x01", "no_proxy_header"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "bad_proxy_header"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", "bad_proxy_header"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", "bad_proxy_header"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", "bad_proxy_header"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", "bad_proxy_header"),
        (b"PROXY TCP4 ::1 ::1 1 2\r\n", "bad_proxy_header"),
        (b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "bad_proxy_header"),
        (&long, "bad_proxy_header"),
        (&v2(0x11, TCP_OVER_IPV4, &[1; 12]), "bad_proxy_header"),
        (&v2(PROXY, TCP_OVER_IPV4, &[1; 11]), "bad_proxy_header"),
        (&v2(PROXY, TCP_OVER_IPV6, &[0; 5000]), "proxy_header_too_large"),
    ];
    for (header, reason) in cases {
        assert_eq!(decode(header), Err(reason), "{:?}", header.escape_ascii().to_string());
    }
    let source = "198.51.100.9:1234".parse().expect("an address");
    assert_eq!(decode(&v2_of(source, &[0x04, 0, 9, 0])), Err("bad_proxy_header"), "a TLV that is cut off");
}

#[test]
fn a_checksum_is_checked() {
    // "123456789", from the polynomial's definition.
    assert_eq!(crc32c(b"123456789".iter().copied()), 0xe306_9283);
    let source = "198.51.100.9:1234".parse().expect("an address");
    let mut header = v2_of(source, &[TLV_CRC32C, 0, 4, 0, 0, 0, 0]);
    let sum = crc32c(header.iter().copied()).to_be_bytes();
    let place = header.len() - 4;
    header[place..].copy_from_slice(&sum);
    assert!(matches!(decode(&header), Ok(Some(Header { source: Some(_), .. }))));
    header[17] ^= 1;
    assert_eq!(decode(&header), Err("bad_proxy_checksum"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(
        start in prop_oneof![Just(&b""[..]), Just(&SIGNATURE[..]), Just(PREFIX)],
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let _ = decode(&[start, &bytes].concat());
    }

    #[test]
    fn a_header_is_told_only_when_it_is_whole(
        ip in any::<IpAddr>(), port in any::<u16>(), old in any::<bool>(), cut in 0usize..100,
    ) {
        let source = SocketAddr::new(ip, port);
        let header = if old { v1_of(source) } else { v2_of(source, &[]) };
        let told = decode(header.get(..cut).unwrap_or(&header));
        let whole = Header { source: Some(source), length: header.len() };
        prop_assert_eq!(told, Ok((cut >= header.len()).then_some(whole)));
    }
}
