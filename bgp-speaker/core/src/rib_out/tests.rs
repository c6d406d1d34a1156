use super::*;
use crate::wire::attribute::Value;
use crate::wire::{Message, decode};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A neighbor that does what it is told.
#[derive(Default)]
struct Model {
    routes: BTreeMap<IpAddr, u32>,
    end_of_rib: BTreeSet<Family>,
    announced: usize,
    withdrawn: usize,
    /// An announcement came before a withdraw of the same flush.
    out_of_order: bool,
}

impl Model {
    fn take(&mut self, messages: Vec<Vec<u8>>) {
        let mut announcing = false;
        for bytes in messages {
            let Ok(Message::Update(update)) = decode(&bytes) else { panic!("no UPDATE") };
            let mut gone: Vec<IpNet> = update.withdrawn().map(Result::unwrap).collect();
            let mut come: Vec<IpNet> = update.nlri().map(Result::unwrap).collect();
            let (mut med, mut unreach) = (None, false);
            for attribute in update.attributes() {
                match attribute.unwrap().value(true).unwrap() {
                    Value::Med(value) => med = Some(value),
                    Value::MpReach(reach) => come.extend(reach.prefixes().unwrap().map(Result::unwrap)),
                    Value::MpUnreach(gone6) => {
                        unreach = true;
                        gone.extend(gone6.prefixes().unwrap().map(Result::unwrap));
                    }
                    _ => {}
                }
            }
            if gone.is_empty() && come.is_empty() {
                assert!(self.end_of_rib.insert(if unreach { Family::Ipv6 } else { Family::Ipv4 }), "twice");
            }
            self.out_of_order |= announcing && !gone.is_empty();
            announcing |= !come.is_empty();
            self.withdrawn += gone.len();
            self.announced += come.len();
            for net in &gone {
                self.routes.remove(&net.addr()).expect("only what it holds");
            }
            self.routes.extend(come.iter().map(|net| (net.addr(), med.expect("with its metric"))));
        }
    }
}

fn route(address: IpAddr, med: u32) -> PathAttributes {
    let next_hop = match address {
        IpAddr::V4(_) => Ipv4Addr::new(10, 0, 0, 2).into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    PathAttributes {
        as_path: vec![65010],
        next_hop,
        med: Some(med),
        local_pref: None,
        communities: vec![],
        large_communities: vec![],
        extended_communities: vec![],
    }
}

fn routes(meds: &BTreeMap<IpAddr, u32>) -> Routes {
    meds.iter().map(|(address, med)| ((*address).into(), route(*address, *med))).collect()
}

fn vip(number: u8) -> IpAddr {
    match number % 2 {
        0 => Ipv4Addr::new(203, 0, 113, number).into(),
        _ => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into()).into(),
    }
}

const BOTH: Agreed = Agreed { families: [true; 2], four_octet: true };

#[test]
fn end_of_rib_waits_for_the_first_wish_and_comes_once() {
    let (mut rib, mut model) = (RibOut::new(), Model::default());
    rib.up(BOTH);
    assert_eq!(rib.flush().len(), 0, "no verdict, no End-of-RIB");
    rib.want(Routes::new());
    model.take(rib.flush());
    assert_eq!(model.end_of_rib.len(), 2);
    assert_eq!(rib.flush().len(), 0);
    rib.down();
    rib.up(Agreed { families: [true, false], ..BOTH });
    assert_eq!(rib.flush(), [update::end_of_rib(Family::Ipv4)], "each session has its own");
}

#[test]
fn a_withdraw_goes_out_before_an_announce_and_nothing_goes_out_twice() {
    let (mut rib, mut model) = (RibOut::new(), Model::default());
    rib.up(BOTH);
    rib.want(routes(&[(vip(2), 1), (vip(3), 1)].into()));
    model.take(rib.flush());
    rib.want(routes(&[(vip(2), 2), (vip(5), 1)].into()));
    model.take(rib.flush());
    assert!(!model.out_of_order);
    assert_eq!((model.announced, model.withdrawn), (4, 1));
    rib.want(routes(&[(vip(2), 2), (vip(5), 1)].into()));
    assert_eq!(rib.flush().len(), 0);
}

#[test]
fn a_refresh_sends_one_family_again_and_still_knows_what_to_withdraw() {
    let (mut rib, mut model) = (RibOut::new(), Model::default());
    rib.up(BOTH);
    rib.want(routes(&[(vip(2), 1), (vip(3), 1), (vip(4), 1)].into()));
    model.take(rib.flush());
    rib.refresh(Family::Ipv4);
    rib.want(routes(&[(vip(2), 1), (vip(3), 1)].into()));
    model.take(rib.flush());
    assert_eq!((model.announced, model.withdrawn), (4, 1));
}

#[test]
fn a_family_that_was_not_agreed_on_is_not_spoken() {
    let (mut rib, mut model) = (RibOut::new(), Model::default());
    rib.up(Agreed { families: [true, false], four_octet: true });
    rib.want(routes(&[(vip(2), 1), (vip(3), 1)].into()));
    model.take(rib.flush());
    assert_eq!(model.routes.keys().collect::<Vec<_>>(), [&vip(2)]);
}

#[derive(Clone, Debug)]
enum Step {
    Want(BTreeMap<IpAddr, u32>),
    Flush,
    Refresh(Family),
    Reconnect,
    Down,
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => btree_map((0..12_u8).prop_map(vip), 0..4_u32, 0..12).prop_map(Step::Want),
        4 => Just(Step::Flush),
        1 => prop::sample::select(&Family::ALL[..]).prop_map(Step::Refresh),
        1 => Just(Step::Reconnect),
        1 => Just(Step::Down),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn the_neighbor_ends_up_with_exactly_what_is_wanted(steps in vec(steps(), 0..60)) {
        let (mut rib, mut model, mut wanted) = (RibOut::new(), Model::default(), BTreeMap::new());
        rib.up(BOTH);
        for step in steps {
            match step {
                Step::Want(meds) => { rib.want(routes(&meds)); wanted = meds; }
                Step::Flush => model.take(rib.flush()),
                Step::Refresh(family) => rib.refresh(family),
                Step::Reconnect => { rib.up(BOTH); model = Model::default(); }
                Step::Down => {
                    rib.down();
                    prop_assert!(rib.flush().is_empty());
                    rib.up(BOTH);
                    model = Model::default();
                }
            }
        }
        rib.want(routes(&wanted));
        model.take(rib.flush());
        prop_assert_eq!(&model.routes, &wanted);
        prop_assert!(!model.out_of_order);
        prop_assert_eq!(rib.len(), wanted.len());
    }
}
