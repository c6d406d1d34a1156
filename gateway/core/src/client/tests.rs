use super::*;

fn found(chain: Chain, peer: &str, lines: &[&str], trusted: &[&str]) -> String {
    let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().expect("a network")).collect();
    let peer = peer.parse().expect("an address");
    identify(peer, chain, lines.iter().copied(), &trusted).address.to_string()
}

fn address(peer: &str, lines: &[&str], trusted: &[&str]) -> String {
    found(Chain::XForwardedFor, peer, lines, trusted)
}

fn forwarded(lines: &[&str]) -> String {
    found(Chain::Forwarded, "10.0.0.1", lines, &["10.0.0.0/8"])
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

#[test]
fn forwarded_is_read_as_rfc_7239_writes_it() {
    assert_eq!(forwarded(&["for=198.51.100.9"]), "198.51.100.9");
    assert_eq!(forwarded(&["proto=https; For=\"198.51.100.9:4711\";by=10.0.0.9"]), "198.51.100.9");
    assert_eq!(forwarded(&["for=\"[2001:db8:cafe::17]:4711\""]), "2001:db8:cafe::17");
    assert_eq!(
        forwarded(&["for=6.6.6.6, for=198.51.100.9;host=\"a,b;for=7.7.7.7\", for=10.0.0.2"]),
        "198.51.100.9"
    );
    assert_eq!(forwarded(&["for=6.6.6.6", "for=198.51.100.9"]), "198.51.100.9");
}

#[test]
fn what_names_nobody_ends_the_chain_at_the_last_good_hop() {
    for hop in ["for=unknown", "for=_hidden", "proto=https", "", "for=1.2.3.4;for=5.6.7.8", "1.2.3.4"] {
        assert_eq!(forwarded(&[&format!("for=6.6.6.6, {hop}, for=10.0.0.2")]), "10.0.0.2", "{hop}");
    }
    assert_eq!(
        forwarded(&["for=6.6.6.6, for=\"1.2.3.4, for=10.0.0.2"]),
        "10.0.0.2",
        "a quote without an end"
    );
    assert_eq!(forwarded(&[]), "10.0.0.1");
    assert_eq!(found(Chain::Forwarded, "192.0.2.7", &["for=1.2.3.4"], &["10.0.0.0/8"]), "192.0.2.7");
}

#[test]
fn an_open_quote_of_a_client_hides_nothing_that_a_proxy_adds() {
    let opened = [
        "for=\"",
        "for=6.6.6.6;x=\"",
        "for=6.6.6.6;x=\"\\",
        "for=\"6.6.6.6\\\"",
        "x=\"a\", for=\"b",
        "\"",
        "\\",
    ];
    for opened in opened {
        for added in
            ["for=198.51.100.7;proto=https", "for=\"198.51.100.7:80\";host=\"a, for=9.9.9.9; \\\"b\""]
        {
            assert_eq!(forwarded(&[&format!("{opened}, {added}")]), "198.51.100.7", "{opened} {added}");
            assert_eq!(
                forwarded(&[&format!("{opened}, {added}, for=10.0.0.2")]),
                "198.51.100.7",
                "{opened} {added}"
            );
            assert_eq!(forwarded(&[opened, added]), "198.51.100.7", "{opened} {added}");
        }
    }
}

#[test]
fn what_is_written_is_read_back() {
    for client in ["192.0.2.7", "2001:db8::1"] {
        let written = element(client.parse().expect("an address"), "https");
        assert_eq!(forwarded(&[&written]), client, "{written}");
    }
    assert_eq!(element("::ffff:192.0.2.7".parse().expect("an address"), "http"), "for=192.0.2.7;proto=http");
}
