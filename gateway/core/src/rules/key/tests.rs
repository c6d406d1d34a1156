use super::super::tests::Asked;
use super::*;
use proptest::prelude::*;

fn key(kind: KeyType, parts: &[&str]) -> Key {
    let parts = parts.iter().map(|part| Format::sample(part, &|_| None).expect("a sample"));
    Key::new(kind, parts.collect()).expect("a key")
}

fn shown(kind: KeyType, parts: &[&str], asked: &Asked) -> Option<String> {
    key(kind, parts).of(asked).map(|made| {
        assert!(kind.fits(made.as_ref()), "{kind:?} {parts:?}");
        kind.show(made.as_ref())
    })
}

#[test]
fn each_type_of_table_gets_its_kind_of_key() {
    let asked = Asked { source: "2001:db8::7:8:9:a", query: "n=258&ip=10.1.2.3", ..Asked::default() };
    for (kind, part, expected) in [
        (KeyType::Ipv6, "src", Some("2001:db8::")),
        (KeyType::Ipv6, "src,ipmask(32,128)", Some("2001:db8::7:8:9:a")),
        (KeyType::Ipv6, "src,ipmask(32,32)", Some("2001:db8::")),
        (KeyType::Ip, "src", None),
        (KeyType::Ip, "url_param(ip)", Some("10.1.2.3")),
        (KeyType::Ip, "url_param(ip),ipmask(24)", Some("10.1.2.0")),
        (KeyType::Integer, "url_param(n)", Some("258")),
        (KeyType::Integer, "path", None),
        (KeyType::String(4), "path", Some("/v2/")),
        (KeyType::String(40), "req.cook(SID)", Some("abc")),
        (KeyType::String(40), "req.hdr(nobody)", None),
        (KeyType::Binary(4), "method", Some("47455400")),
    ] {
        assert_eq!(shown(kind, &[part], &asked).as_deref(), expected, "{kind:?} {part}");
    }
}

#[test]
fn parts_say_how_long_they_are_or_stand_as_their_hash() {
    let asked = Asked::default();
    let text = |length| shown(KeyType::String(length), &["src", "path"], &asked).expect("a key");
    assert_eq!(text(40), "9:192.0.2.7,11:/v2/servers,");
    let long = shown(KeyType::String(33), &["src", "path", "req.hdr(host)"], &asked).expect("a key");
    assert!(long.starts_with('#') && long.len() == 33, "{long}");
    let hash = |length| shown(KeyType::Binary(length), &["src", "path"], &asked).expect("a key");
    assert!(hash(40).starts_with(&hash(16)) && hash(40).ends_with("0000000000000000"), "{}", hash(40));
    assert_eq!(shown(KeyType::Binary(16), &["req.hdr(x)", "req.hdr(y)"], &asked), None);
}

#[test]
fn what_is_known_when() {
    let known = |parts: &[&str]| key(KeyType::Binary(16), parts).known();
    assert_eq!(known(&["src", "ssl_fc"]), Moment::Connection);
    assert_eq!(known(&["src", "ssl_fc_sni"]), Moment::Session);
    assert_eq!(known(&["ssl_fc_sni", "req.hdr(host),lower"]), Moment::Request);
    assert_eq!(known(&["path", "res.hdr(x)"]), Moment::Response);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_with_other_parts_have_other_keys(
        one in ("/[/0-9:,]{0,12}", "/[/0-9:,]{0,12}"),
        other in ("/[/0-9:,]{0,12}", "/[/0-9:,]{0,12}"),
        kind in prop_oneof![Just(KeyType::String(33)), Just(KeyType::String(80)), Just(KeyType::Binary(16))],
    ) {
        let key = key(kind, &["path", "req.hdr(x)"]);
        let made = |(path, field): &(String, String)| {
            let field: &'static str = Box::leak(field.clone().into_boxed_str());
            let asked = Asked { path: path.clone(), fields: vec![("x", field)], ..Asked::default() };
            key.of(&asked).expect("a key").as_ref().to_vec()
        };
        prop_assert_eq!(made(&one) == made(&other), one == other);
    }
}
