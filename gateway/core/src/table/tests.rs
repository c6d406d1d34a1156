use super::*;
use proptest::prelude::*;

fn key(number: u32) -> Key {
    IpAddr::from(number.to_be_bytes()).into()
}

fn table(size: usize) -> StickTable {
    StickTable::new(size, Duration::from_secs(10), RandomState::new())
}

#[test]
fn an_entry_lives_as_long_as_it_is_used() {
    let table = table(10);
    let at = Time::from_millis;
    table.update(key(1), at(0), |entry| entry.server_id = 3);
    table.update(key(1), at(9_000), |_| {});
    assert_eq!(table.peek(key(1), at(18_999), |entry| entry.server_id), Some(3));
    assert_eq!(table.peek(key(1), at(19_000), |entry| entry.server_id), None, "a look is not a use");
    assert_eq!(table.update(key(1), at(19_000), |entry| entry.server_id), Some(0), "it starts anew");
}

#[test]
fn a_full_table_drops_the_oldest_and_counts_it() {
    let table = table(3);
    for number in 1..=3 {
        table.update(key(number), Time::ZERO, |entry| entry.server_id = number);
    }
    table.update(key(1), Time::ZERO, |_| {});
    table.update(key(4), Time::ZERO, |_| {});
    let known = |number| table.peek(key(number), Time::ZERO, |_| {}).is_some();
    assert_eq!([known(1), known(2), known(3), known(4)], [true, false, true, true]);
    assert_eq!((table.len(), table.evicted()), (3, 1));
}

#[test]
fn running_requests_hold_their_entry() {
    let table = table(1);
    table.update(key(1), Time::ZERO, |entry| entry.conn_cur = 1);
    assert_eq!(table.update(key(2), Time::from_millis(20_000), |_| {}), None);
    assert_eq!(table.refused(), 1);
    assert_eq!(table.peek(key(1), Time::from_millis(20_000), |entry| entry.conn_cur), Some(1));
}

#[test]
fn ipv4_and_its_mapped_form_are_one_client() {
    let mapped: IpAddr = "::ffff:1.2.3.4".parse().expect("an address");
    let plain: IpAddr = "1.2.3.4".parse().expect("an address");
    assert_eq!(Key::from(mapped), Key::from(plain));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Against a plain list of (key, last use): what the table knows is always a part of it, and all
    /// of it as long as it fits.
    #[test]
    fn the_table_agrees_with_a_list(
        operations in proptest::collection::vec((0u32..20, 0u64..4_000, 0u32..3), 1..300),
        size in 1usize..30,
    ) {
        let mut shard = Shard::new(size);
        let mut list = std::collections::HashMap::<u32, (Time, u32)>::new();
        let mut now = Time::ZERO;
        for (number, gap, busy) in operations {
            now += Duration::from_millis(gap);
            let expires = now + Duration::from_secs(10);
            if let Some(slot) = shard.touch_or_insert(key(number), now, expires) {
                shard.entry(slot).conn_cur = busy;
                list.insert(number, (expires, busy));
            } else {
                prop_assert!(list.values().filter(|(_, busy)| *busy > 0).count() >= size.min(32));
            }
            shard.check_invariants();
            for number in 0..20 {
                if let Some(slot) = shard.find(key(number), now) {
                    prop_assert_eq!(shard.entry(slot).conn_cur, list[&number].1);
                } else if let Some((expires, busy)) = list.get(&number) {
                    prop_assert!(shard.evicted > 0 || (*busy == 0 && *expires <= now));
                    list.remove(&number);
                }
            }
        }
    }
}
