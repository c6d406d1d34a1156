mod errors;

use super::attribute::{PathAttributes, Value};
use super::notification::{self, Code};
use super::validate::{Fault, Response, Sender, validate};
use super::*;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

/// An UPDATE from its three fields.
fn update(withdrawn: &[u8], attributes: &[u8], nlri: &[u8]) -> Vec<u8> {
    let sized = |field: &[u8]| [&u16::try_from(field.len()).unwrap().to_be_bytes()[..], field].concat();
    message(UPDATE, |out| out.extend([sized(withdrawn), sized(attributes), nlri.to_vec()].concat()))
}

fn check(bytes: &[u8]) -> Result<validate::Summary, Notification> {
    match decode(bytes).unwrap() {
        Message::Update(update) => validate(&update, OUTSIDE),
        other => panic!("{other:?}"),
    }
}

const OUTSIDE: Sender = Sender { four_octet: true, inside: false };
const ORIGIN_IGP: [u8; 4] = [0x40, 1, 1, 0];
const PATH: [u8; 9] = [0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe8];
const HOP: [u8; 7] = [0x40, 3, 4, 10, 0, 0, 1];
const NET: [u8; 4] = [24, 198, 51, 100];

fn good() -> Vec<u8> {
    [&ORIGIN_IGP[..], &PATH, &HOP].concat()
}

#[test]
fn a_header_that_is_none_gets_the_exact_answer() {
    let answer = |bytes: &[u8]| frame(bytes).unwrap_err();
    let mut bytes = keepalive();
    bytes[3] = 0;
    assert_eq!(answer(&bytes), Notification::new(Code(1, 1)));
    for length in [0_u16, 18, 20, 4097, 65535] {
        let mut bytes = keepalive();
        bytes[16..18].copy_from_slice(&length.to_be_bytes());
        assert_eq!(answer(&bytes), Notification::new(Code(1, 2)).data(&length.to_be_bytes()), "{length}");
    }
    let mut bytes = keepalive();
    bytes[18] = 9;
    assert_eq!(answer(&bytes), Notification::new(Code(1, 3)).data(&[9]));
    assert_eq!(answer(&message(OPEN, |out| out.extend([0; 9]))).code, Code(1, 2));
    assert_eq!(answer(&message(UPDATE, |out| out.extend([0; 3]))).code, Code(1, 2));
    assert_eq!(frame(&keepalive()[..18]), Ok(None), "a part of a message is waited for");
}

#[test]
fn an_open_that_cannot_be_gets_the_exact_answer() {
    let answer = |body: &[u8]| decode(&message(OPEN, |out| out.extend(body))).unwrap_err();
    let head = [4, 0xfd, 0xe8, 0, 9, 10, 0, 0, 1];
    let with = |rest: &[u8]| [&head[..], rest].concat();
    let mut old = with(&[0]);
    old[0] = 3;
    assert_eq!(answer(&old), Notification::new(Code(2, 1)).data(&[0, 4]));
    assert_eq!(answer(&with(&[3, 1, 1, 0])).code, Code(2, 4), "authentication is long gone");
    assert_eq!(answer(&with(&[4, 2, 9, 2, 0])).code, Code(2, 0));
    assert_eq!(answer(&with(&[0, 0])).code, Code(2, 0), "bytes behind the end");
    assert_eq!(answer(&with(&[5, 2, 3, 65, 4, 0])).code, Code(2, 0), "a capability that is cut off");
}

#[test]
fn long_parameters_of_rfc_9072_are_read() {
    let value = vec![7; 200];
    let capabilities =
        (0..10).map(|code| Capability::Unknown { code: 100 + code, value: value.clone() }).collect();
    let open = Open { my_as: 23456, hold_time: 90, identifier: [10, 0, 0, 1].into(), capabilities };
    let bytes = open.encode();
    assert_eq!(bytes[28..30], [255, 255]);
    assert_eq!(decode(&bytes), Ok(Message::Open(open)));
}

#[test]
fn our_open_says_both_families_refresh_and_its_as_in_four_bytes() {
    let open = Open::ours(4_200_000_001, 9, [10, 0, 0, 1].into());
    assert_eq!((open.my_as, open.asn()), (23456, 4_200_000_001));
    let Ok(Message::Open(read)) = decode(&open.encode()) else { panic!("no OPEN") };
    assert_eq!(read, open);
    assert_eq!(read.capabilities.iter().map(Capability::code).collect::<Vec<_>>(), [1, 1, 2, 65]);
}

#[test]
fn a_shutdown_text_is_carried_whole_or_cut_at_a_character() {
    let notification = Notification::cease(notification::ADMINISTRATIVE_SHUTDOWN, "bis später");
    let Ok(Message::Notification(read)) = decode(&notification.encode()) else { panic!("no NOTIFICATION") };
    assert_eq!(read.text(), Some("bis später"));
    let long = Notification::cease(notification::ADMINISTRATIVE_SHUTDOWN, &"ü".repeat(200));
    assert_eq!(long.text().map(str::len), Some(254));
    let hostile = Notification { code: Code(6, 2), data: vec![3, b'a', 0x1b, b'b'] };
    assert!(!hostile.to_string().contains('\x1b'), "{hostile}");
}

#[test]
fn an_update_is_counted_and_nothing_of_it_kept() {
    let bytes = update(&[8, 10], &good(), &[&NET[..], &NET].concat());
    assert_eq!(check(&bytes), Ok(validate::Summary { announced: 2, withdrawn: 1, fault: None }));
}

#[test]
fn prefixes_that_cannot_be_found_end_the_session() {
    let answer = |bytes: &[u8]| check(bytes).unwrap_err().code;
    assert_eq!(answer(&update(&[], &good(), &[33, 1, 2, 3, 4, 5])), Code(3, 10));
    assert_eq!(answer(&update(&[], &good(), &[24, 1, 2])), Code(3, 10));
    assert_eq!(answer(&update(&[24, 1], &[], &[])), Code(3, 10));
    let unreach = [0x80, 15, 5, 0, 2, 1, 129, 0];
    assert_eq!(answer(&update(&[], &unreach, &[])), Code(3, 9));
    let hop_of_three = [0x80, 14, 8, 0, 2, 1, 3, 1, 2, 3, 0];
    assert_eq!(answer(&update(&[], &hop_of_three, &[])), Code(3, 9));
    let empty = [0x80, 15, 3, 0, 2, 1];
    assert_eq!(answer(&update(&[], &[empty, empty].concat(), &[])), Code(3, 1), "twice");
    let lying = message(UPDATE, |out| out.extend([0, 0, 0, 9]));
    assert_eq!(decode(&lying).unwrap_err().code, Code(3, 1));
}

#[test]
fn end_of_rib_is_an_update_without_routes() {
    for family in Family::ALL {
        assert_eq!(check(&update::end_of_rib(family)), Ok(validate::Summary::default()), "{family}");
    }
}

#[test]
fn a_refresh_of_a_wrong_length_gets_its_own_answer() {
    let bytes = message(ROUTE_REFRESH, |out| out.extend([0, 1, 0]));
    assert_eq!(decode(&bytes).unwrap_err(), Notification::new(Code(7, 1)).data(&bytes));
    let Ok(Message::RouteRefresh(refresh)) = decode(&RouteRefresh::encode(Family::Ipv6)) else { panic!() };
    assert_eq!(refresh, RouteRefresh { family: Some(Family::Ipv6), subtype: 0 });
}

#[test]
fn a_two_byte_neighbor_gets_as_trans_and_the_true_path_beside_it() {
    let attributes = PathAttributes {
        as_path: vec![4_200_000_001, 65000],
        next_hop: [10, 0, 0, 1].into(),
        med: None,
        local_pref: None,
        communities: vec![],
        large_communities: vec![],
        extended_communities: vec![],
    };
    let messages = update::announce(&attributes, &["203.0.113.1/32".parse().unwrap()], false);
    let Ok(Message::Update(update)) = decode(&messages[0]) else { panic!("no UPDATE") };
    let path = |attribute: Option<attribute::RawAttribute<'_>>| match attribute?.value(false)? {
        Value::AsPath(path) | Value::As4Path(path) => Some(path.numbers()),
        _ => None,
    };
    let paths: Vec<_> = update.attributes().filter_map(path).collect();
    assert_eq!(paths, [vec![23456, 65000], vec![4_200_000_001, 65000]]);
}

fn prefixes(ipv4: bool) -> BoxedStrategy<Vec<IpNet>> {
    if ipv4 {
        let net = (any::<u32>(), 0..=32_u8)
            .prop_map(|(bits, length)| Ipv4Net::new(bits.into(), length).unwrap().trunc().into());
        vec(net, 1..2000).boxed()
    } else {
        let net = (any::<u128>(), 0..=128_u8)
            .prop_map(|(bits, length)| Ipv6Net::new(bits.into(), length).unwrap().trunc().into());
        vec(net, 1..600).boxed()
    }
}

fn routes() -> impl Strategy<Value = (PathAttributes, Vec<IpNet>)> {
    any::<bool>().prop_flat_map(|ipv4| {
        let next_hop = any::<u128>().prop_map(move |bits| match ipv4 {
            true => IpAddr::V4(Ipv4Addr::from_bits(bits as u32)),
            false => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        });
        let attributes = (
            vec(any::<u32>(), 0..300),
            next_hop,
            any::<Option<u32>>(),
            any::<Option<u32>>(),
            vec(any::<u32>(), 0..64),
            vec(any::<[u32; 3]>(), 0..64),
        );
        let attributes =
            attributes.prop_map(|(as_path, next_hop, med, local_pref, communities, large)| PathAttributes {
                as_path,
                next_hop,
                med,
                local_pref,
                communities,
                large_communities: large,
                extended_communities: vec![],
            });
        (attributes, prefixes(ipv4))
    })
}

/// What a neighbor reads out of one announcement.
fn read(bytes: &[u8], four_octet: bool) -> (PathAttributes, Vec<IpNet>) {
    let Ok(Message::Update(update)) = decode(bytes) else { panic!("no UPDATE") };
    let mut nlri: Vec<_> = update.nlri().map(Result::unwrap).collect();
    let mut read = PathAttributes {
        as_path: vec![],
        next_hop: Ipv4Addr::UNSPECIFIED.into(),
        med: None,
        local_pref: None,
        communities: vec![],
        large_communities: vec![],
        extended_communities: vec![],
    };
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
    for attribute in update.attributes() {
        match attribute.unwrap().value(four_octet).unwrap() {
            Value::Origin(origin) => assert_eq!(origin, 0),
            Value::AsPath(path) => read.as_path = path.numbers(),
            Value::As4Path(path) => read.as_path = path.numbers(),
            Value::NextHop(hop) => read.next_hop = hop.into(),
            Value::Med(med) => read.med = Some(med),
            Value::LocalPref(local_pref) => read.local_pref = Some(local_pref),
            Value::Communities(bytes) => read.communities = bytes.chunks(4).map(number).collect(),
            Value::LargeCommunities(bytes) => {
                let parts: Vec<u32> = bytes.chunks(4).map(number).collect();
                read.large_communities = parts.chunks(3).map(|parts| parts.try_into().unwrap()).collect();
            }
            Value::MpReach(reach) => {
                read.next_hop = Ipv6Addr::from(<[u8; 16]>::try_from(reach.next_hop).unwrap()).into();
                nlri.extend(reach.prefixes().unwrap().map(Result::unwrap));
            }
            Value::MpUnreach(_) | Value::Other => panic!("not announced"),
        }
    }
    (read, nlri)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_announced_is_read_back((attributes, prefixes) in routes(), four_octet: bool) {
        let mut all = Vec::new();
        for bytes in update::announce(&attributes, &prefixes, four_octet) {
            prop_assert_eq!(frame(&bytes), Ok(Some(bytes.len())));
            let fault = check_as(&bytes, four_octet).unwrap().fault;
            // Our own LOCAL_PREF goes only to neighbors inside.
            prop_assert!(fault.is_none_or(|fault| fault.reason == "attribute_from_outside"));
            let (read, nlri) = read(&bytes, four_octet);
            prop_assert_eq!(&read, &attributes);
            all.extend(nlri);
        }
        prop_assert_eq!(all, prefixes);
    }

    #[test]
    fn what_is_withdrawn_is_read_back(prefixes in any::<bool>().prop_flat_map(prefixes)) {
        let family = Family::of(prefixes[0].addr());
        let mut all = Vec::new();
        for bytes in update::withdraw(family, &prefixes) {
            prop_assert_eq!(frame(&bytes), Ok(Some(bytes.len())));
            let Ok(Message::Update(update)) = decode(&bytes) else { panic!("no UPDATE") };
            all.extend(update.withdrawn().map(Result::unwrap));
            for attribute in update.attributes() {
                let Some(Value::MpUnreach(unreach)) = attribute.unwrap().value(true) else { panic!("no MP_UNREACH") };
                all.extend(unreach.prefixes().unwrap().map(Result::unwrap));
            }
        }
        prop_assert_eq!(all, prefixes);
    }

    #[test]
    fn opens_are_read_back(
        my_as: u16,
        hold_time: u16,
        identifier: u32,
        asn: u32,
        unknown in vec((70..255_u8, vec(any::<u8>(), 0..40)), 0..20),
    ) {
        let mut capabilities = vec![Capability::Multiprotocol(Family::Ipv6), Capability::FourOctetAs(asn)];
        capabilities.extend(unknown.into_iter().map(|(code, value)| Capability::Unknown { code, value }));
        let open = Open { my_as, hold_time, identifier: identifier.into(), capabilities };
        let bytes = open.encode();
        prop_assert_eq!(decode(&bytes), Ok(Message::Open(open)));
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..300), kind in 0..7_u8) {
        let _ = frame(&bytes);
        try_everything(&bytes);
        try_everything(&message(kind, |out| out.extend(&bytes)));
    }

    #[test]
    fn no_damage_to_good_messages_panics(
        (attributes, prefixes) in routes(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let open = Open::ours(4_200_000_001, 9, [10, 0, 0, 1].into()).encode();
        let mut messages = update::announce(&attributes, &prefixes[..1], true);
        messages.extend(update::withdraw(Family::of(prefixes[0].addr()), &prefixes[..1]));
        messages.push(open);
        for mut bytes in messages {
            for (place, byte) in &damage {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            let _ = frame(&bytes);
            try_everything(&bytes);
        }
    }
}

fn check_as(bytes: &[u8], four_octet: bool) -> Result<validate::Summary, Notification> {
    match decode(bytes)? {
        Message::Update(update) => validate(&update, Sender { four_octet, ..OUTSIDE }),
        _ => Ok(validate::Summary::default()),
    }
}

fn try_everything(bytes: &[u8]) {
    for four_octet in [false, true] {
        if let Err(notification) = check_as(bytes, four_octet) {
            let _ = notification.to_string();
            assert!(frame(&notification.encode()).is_ok(), "an answer that can be sent");
        }
    }
}

#[test]
fn ipv4_goes_out_with_an_ipv6_next_hop_and_extended_communities_go_along() {
    let attributes = PathAttributes {
        as_path: vec![65010],
        next_hop: "fe80::1".parse().unwrap(),
        med: Some(1),
        local_pref: None,
        communities: vec![],
        large_communities: vec![],
        extended_communities: vec![[0, 2, 0xfd, 0xf2, 0, 0, 0, 100]],
    };
    let vip: IpNet = "203.0.113.1/32".parse().unwrap();
    let message = update::announce(&attributes, &[vip], true).remove(0);
    let Ok(Message::Update(update)) = decode(&message) else { panic!("no UPDATE") };
    assert_eq!(update.nlri, [0_u8; 0], "RFC 8950: not in the old field");
    let mut seen = (false, false);
    for attribute in update.attributes().flatten() {
        match attribute.value(true).unwrap() {
            Value::MpReach(reach) => {
                assert_eq!((reach.family, reach.next_hop.len()), (Some(Family::Ipv4), 16));
                assert_eq!(reach.prefixes().unwrap().next(), Some(Ok(vip)));
                seen.0 = true;
            }
            _ if attribute.code == attribute::EXTENDED_COMMUNITIES => {
                assert_eq!(attribute.value, [0, 2, 0xfd, 0xf2, 0, 0, 0, 100]);
                seen.1 = true;
            }
            _ => assert_ne!(attribute.code, attribute::NEXT_HOP),
        }
    }
    assert_eq!(seen, (true, true));
}

#[test]
fn graceful_restart_and_extended_next_hop_are_written_and_read() {
    let restart = GracefulRestart {
        restarting: true,
        notification: true,
        seconds: 4095,
        families: [Some(true), Some(false)],
    };
    let mut open = Open::ours(65010, 9, [10, 0, 0, 1].into());
    open.capabilities.extend([Capability::ExtendedNextHop, Capability::GracefulRestart(restart)]);
    let bytes = open.encode();
    assert!(bytes.windows(6).any(|bytes| bytes == [0xcf, 0xff, 0, 1, 1, 0x80]), "{bytes:02x?}");
    assert_eq!(decode(&bytes), Ok(Message::Open(open)));
}
