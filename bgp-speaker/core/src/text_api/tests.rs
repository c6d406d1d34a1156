use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn known(address: &str, peer_as: u32) -> Known {
    let (address, local_ip) = (address.parse().unwrap(), "10.0.0.2".parse().ok());
    Known { address, local_ip, local_as: 65010, peer_as, router_id: [10, 0, 0, 2].into() }
}

fn table() -> Table {
    let reserved = BTreeSet::from([net("203.0.113.1/32")]);
    Table::new(vec![known("10.0.0.1", 65000), known("10.0.1.1", 65001)], reserved, 4)
}

fn tell(table: &mut Table, line: &str) -> Result<bool, &'static str> {
    table.apply(Owner::Process(0), parse(line)?)
}

fn held(table: &Table) -> [usize; 2] {
    let wanted = table.wanted();
    [wanted[0].len(), wanted[1].len()]
}

#[test]
fn what_exabgps_health_check_writes_is_read() {
    let line = "announce route 198.51.100.1/32 next-hop self med 100 local-preference 200 community [ 65000:1 no-export ] \
        extended-community [ target:65000:7 ] large-community [ 1:2:3 ] as-path [ 65010 65010 ]";
    let route = Route {
        next_hop: None,
        med: Some(100),
        local_pref: Some(200),
        as_path: Some(vec![65010, 65010]),
        communities: vec![0xfde8_0001, 0xffff_ff01],
        large_communities: vec![[1, 2, 3]],
        extended_communities: vec![[0, 2, 0xfd, 0xe8, 0, 0, 0, 7]],
    };
    let routes = vec![(net("198.51.100.1/32"), route)];
    assert_eq!(parse(line), Ok(Command::Announce { to: vec![], routes }));
    let prefixes = vec![net("2001:db8::/32")];
    assert_eq!(
        parse("withdraw route 2001:db8::1/32 next-hop self"),
        Ok(Command::Withdraw { to: vec![], prefixes })
    );
}

#[test]
fn a_line_is_for_all_neighbors_or_for_those_that_it_names() {
    let mut table = table();
    assert_eq!(tell(&mut table, "announce route 198.51.100.0/24 next-hop self"), Ok(true));
    assert_eq!(held(&table), [1, 1]);
    let one = "neighbor 10.0.0.1 local-as 65010 peer-as 65000 announce route 198.51.100.9 next-hop 10.0.0.2";
    assert_eq!(tell(&mut table, one), Ok(true));
    assert_eq!(tell(&mut table, one), Ok(false), "the same again changes nothing");
    assert_eq!(held(&table), [2, 1]);
    let both = "neighbor 10.0.0.1, neighbor 10.0.1.1 withdraw attributes next-hop self nlri 198.51.100.0/24 198.51.100.9/32";
    assert_eq!(tell(&mut table, both), Ok(true));
    assert_eq!(held(&table), [0, 0]);
    assert_eq!(
        tell(&mut table, "neighbor 10.0.0.9 announce route 198.51.100.1 next-hop self"),
        Err("no such neighbor")
    );
    assert_eq!(tell(&mut table, "withdraw route 198.51.100.77/32"), Ok(false), "done, as ExaBGP answers");
}

#[test]
fn a_line_is_done_whole_or_not_at_all() {
    let mut table = table();
    let three = "announce attributes med 1 next-hop self nlri 198.51.100.1 198.51.100.2 198.51.100.3";
    assert_eq!(tell(&mut table, three), Ok(true));
    let two_more = "announce attributes next-hop self nlri 198.51.100.4 198.51.100.5";
    assert_eq!(tell(&mut table, two_more), Err("too many routes"));
    let vip = "announce attributes next-hop self nlri 198.51.100.4 203.0.113.1/32";
    assert_eq!(tell(&mut table, vip), Err("a VIP of this node is announced by its gate"));
    assert_eq!(held(&table), [3, 3]);
}

#[test]
fn what_a_process_announced_can_be_taken_back_without_the_rest() {
    let mut table = table();
    tell(&mut table, "announce route 198.51.100.1 next-hop self").unwrap();
    let socket = parse("announce attributes next-hop self nlri 198.51.100.2 198.51.100.1").unwrap();
    table.apply(Owner::Socket, socket).unwrap();
    assert!(!table.forget(Owner::Process(0)), "the socket has taken it over");
    assert!(table.forget(Owner::Socket) && table.is_empty());
}

#[test]
fn what_cannot_be_done_is_refused() {
    for line in [
        "",
        "# a comment",
        "version",
        "announce",
        "announce route",
        "announce route 198.51.100.1",
        "announce route 198.51.100.1/33 next-hop self",
        "announce route 224.0.0.1/32 next-hop self",
        "announce route 198.51.100.1 next-hop 2001:db8::1",
        "announce route 198.51.100.1 next-hop 0.0.0.0",
        "announce route 198.51.100.1 next-hop self med -1",
        "announce route 198.51.100.1 next-hop self community [ 65000:1",
        "announce route 198.51.100.1 next-hop self path-information 1",
        "announce route 198.51.100.1 next-hop self split /32",
        "announce route 198.51.100.1 next-hop self origin egp",
        "announce attributes next-hop self nlri",
        "announce flow route { match { } }",
        "neighbor somewhere announce route 198.51.100.1 next-hop self",
        "neighbor 10.0.0.1",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
    let long = format!("announce attributes next-hop self nlri{}", " 198.51.100.1".repeat(2000));
    assert_eq!(parse(&long), Err("the line is too long"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_line_panics(line in ".{0,200}", words in vec(prop_oneof![
        Just("announce"), Just("withdraw"), Just("route"), Just("attributes"), Just("nlri"), Just("next-hop"),
        Just("self"), Just("med"), Just("["), Just("]"), Just("community"), Just("as-path"), Just("neighbor"), Just(","),
        Just("10.0.0.1"), Just("198.51.100.0/24"), Just("65000:1"), Just("7")], 0..20)) {
        let _ = parse(&line);
        let _ = parse(&words.join(" "));
    }

    #[test]
    fn the_table_is_what_was_said_last(steps in vec((0..3_usize, 0..6_u8, any::<bool>(), 0..3_u32), 0..60)) {
        let mut table = table();
        let mut model: BTreeMap<u8, (usize, u32)> = BTreeMap::new();
        for (owner, host, announce, med) in steps {
            let line = if announce {
                format!("announce route 198.51.100.{host} next-hop self med {med}")
            } else {
                format!("withdraw route 198.51.100.{host}")
            };
            let done = table.apply(Owner::Process(owner), parse(&line).unwrap());
            let fits = model.contains_key(&host) || model.len() < 4;
            prop_assert_eq!(done.is_ok(), !announce || fits);
            if announce && fits {
                model.insert(host, (owner, med));
            } else if !announce {
                model.remove(&host);
            }
            for wanted in table.wanted() {
                let meds: Vec<_> = wanted.values().map(|route| route.med.unwrap()).collect();
                prop_assert_eq!(&meds, &model.values().map(|(_, med)| *med).collect::<Vec<_>>());
            }
        }
        table.forget(Owner::Process(1));
        model.retain(|_, (owner, _)| *owner != 1);
        prop_assert_eq!(held(&table), [model.len(); 2]);
    }
}
