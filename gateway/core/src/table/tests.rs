use super::*;
use proptest::prelude::*;
use std::collections::HashMap;
use std::hash::RandomState;

fn key(number: u32) -> AddressKey {
    KeyType::Ipv6.address(IpAddr::from(number.to_be_bytes())).expect("any address fits")
}

fn options(size: usize) -> Options {
    Options {
        key: KeyType::Ipv6,
        layout: Layout::new([Stored::one(DataType::ServerId), Stored::one(DataType::ConnCur)]),
        size,
        expire: Duration::from_secs(10),
        nopurge: false,
        shared: true,
    }
}

fn table(size: usize) -> StickTable {
    StickTable::new(options(size), &RandomState::new())
}

fn server(entry: &Entry<'_>) -> u64 {
    entry.get(DataType::ServerId)
}

fn set(table: &StickTable, number: u32, now: Time) {
    table.update(key(number), now, |entry| entry.set(DataType::ServerId, number.into()));
}

/// What a reader gets to see, by key and server.
fn changes(table: &StickTable, cursor: &mut Cursor, most: usize) -> Vec<(String, u64)> {
    let mut seen = Vec::new();
    table.read_changes(cursor, most, Time::ZERO, |row| {
        seen.push((KeyType::Ipv6.show(row.key), server(&row.entry)));
    });
    seen
}

#[test]
fn an_entry_lives_as_long_as_it_is_used() {
    let table = table(10);
    let at = Time::from_millis;
    set(&table, 1, at(0));
    table.update(key(1), at(9_000), |_| {});
    assert_eq!(table.peek(key(1), at(18_999), server), Some(1));
    assert_eq!(table.peek(key(1), at(19_000), server), None, "a look is not a use");
    assert_eq!(table.update(key(1), at(19_000), |entry| server(entry)), Some(0), "it starts anew");
}

#[test]
fn a_held_entry_is_read_with_its_key_whatever_was_in_the_place_of_that() {
    let table = table(10);
    set(&table, 7, Time::ZERO);
    let held = table.track(key(7), Time::ZERO, |_| ((), true)).and_then(|((), held)| held);
    let (held, mut read) = (held.expect("there is room"), vec![1; 99]);
    assert_eq!(table.read_with_key(&held, &mut read, server), Some(7));
    assert_eq!(read, key(7).as_ref());
    table.release(held, Time::ZERO, |_| {});
}

#[test]
fn what_is_called_a_rate_is_kept_as_one() {
    for data in DataType::ALL {
        assert_eq!(data.kind() == Kind::Rate, data.name().ends_with("_rate"), "{data}");
    }
}

#[test]
fn a_full_table_drops_the_oldest_and_counts_it() {
    let table = table(3);
    (1..=3).for_each(|number| set(&table, number, Time::ZERO));
    table.update(key(1), Time::ZERO, |_| {});
    set(&table, 4, Time::ZERO);
    let known = |number| table.peek(key(number), Time::ZERO, |_| {}).is_some();
    assert_eq!([known(1), known(2), known(3), known(4)], [true, false, true, true]);
    assert_eq!((table.len(), table.evicted()), (3, 1));
}

#[test]
fn with_nopurge_a_full_table_takes_nobody_new() {
    let table = StickTable::new(Options { nopurge: true, ..options(2) }, &RandomState::new());
    (1..=3).for_each(|number| set(&table, number, Time::ZERO));
    let known = |number| table.peek(key(number), Time::ZERO, |_| {}).is_some();
    assert_eq!([known(1), known(2), known(3)], [true, true, false]);
    assert_eq!((table.evicted(), table.refused()), (0, 1));
}

#[test]
fn who_holds_an_entry_keeps_it() {
    let table = table(1);
    let (_, held) = table.track(key(1), Time::ZERO, |_| ((), true)).expect("there is room");
    let later = Time::from_millis(20_000);
    assert_eq!(table.update(key(2), later, |_| {}), None);
    assert_eq!(table.refused(), 1);
    assert!(!table.remove(key(1), later));
    table.release(held.expect("it is held"), later, |entry| entry.set(DataType::ServerId, 7));
    assert_eq!(table.peek(key(1), Time::from_millis(29_999), server), Some(7), "its time runs from then on");
    assert_eq!(table.peek(key(1), Time::from_millis(30_000), server), None);
    assert_eq!(table.update(key(2), later, |_| {}), Some(()), "and it may go");
}

#[test]
fn the_time_of_an_entry_that_is_held_has_not_begun() {
    let table = table(10);
    let (_, held) = table.track(key(1), Time::ZERO, |_| ((), true)).expect("there is room");
    let left = |now| {
        let mut left = Vec::new();
        table.for_each(now, |row| left.push(row.expires_in.as_millis()));
        left
    };
    let late = Time::from_millis(3_600_000);
    assert_eq!([left(Time::from_millis(4_000)), left(late)], [[10_000], [10_000]]);
    table.release(held.expect("it is held"), late, |_| {});
    assert_eq!(left(late + Duration::from_secs(4)), [6_000]);
}

#[test]
fn ipv4_and_its_mapped_form_are_one_client() {
    let mapped: IpAddr = "::ffff:1.2.3.4".parse().expect("an address");
    let plain: IpAddr = "1.2.3.4".parse().expect("an address");
    assert_eq!(KeyType::Ipv6.address(mapped), KeyType::Ipv6.address(plain));
    assert_eq!(KeyType::Ip.address(mapped), KeyType::Ip.address(plain));
    assert_eq!(KeyType::Ip.address(plain).map(|key| key.as_ref().to_vec()), Some(vec![1, 2, 3, 4]));
    assert_eq!(KeyType::Ip.address("2001:db8::1".parse().expect("an address")), None);
}

#[test]
fn keys_of_all_types_are_kept_apart() {
    let types = [KeyType::Integer, KeyType::Ip, KeyType::String(7), KeyType::Binary(5)];
    for key_type in types {
        let table = StickTable::new(Options { key: key_type, ..options(100) }, &RandomState::new());
        let text = |number: u32| match key_type {
            KeyType::Ip => format!("10.0.0.{number}"),
            KeyType::Binary(_) => format!("{number:010X}"),
            _ => number.to_string(),
        };
        for number in 0..50u32 {
            let key = key_type.parse(&text(number)).expect("a key");
            assert_eq!(key_type.show(&key), text(number));
            table.update(&key, Time::ZERO, |entry| entry.set(DataType::ServerId, number.into()));
        }
        for number in 0..50u32 {
            let key = key_type.parse(&text(number)).expect("a key");
            assert_eq!(table.peek(&key, Time::ZERO, server), Some(number.into()), "{key_type:?}");
        }
        assert_eq!(table.update([0; 30], Time::ZERO, |_| {}), None, "too long a key is no key");
    }
}

#[test]
fn what_is_not_stored_reads_as_zero_and_costs_nothing() {
    let layout = Layout::new([
        Stored { data: DataType::GpcRate, period: Duration::from_secs(1), elements: 3 },
        Stored::one(DataType::BytesInCnt),
    ]);
    assert_eq!(layout.words(), 9 + 2);
    let table = StickTable::new(Options { layout, ..options(10) }, &RandomState::new());
    let read = table.update(key(1), Time::ZERO, |entry| {
        entry.add(DataType::BytesInCnt, 1 << 40);
        entry.add(DataType::Gpc0, 5);
        entry.add_rate(DataType::HttpReqRate, 5, Time::ZERO);
        entry.set_frequency(DataType::GpcRate, 2, FreqCtr::from_parts([0, 7, 0], Time::ZERO));
        let element =
            |index| entry.frequency(DataType::GpcRate, index).read(Time::ZERO, Duration::from_secs(1));
        [entry.get(DataType::BytesInCnt), entry.get(DataType::Gpc0), element(2).into(), element(3).into()]
    });
    assert_eq!(read, Some([1 << 40, 0, 7, 0]));
}

#[test]
fn what_changes_often_before_it_is_read_is_read_once() {
    let table = table(100);
    let (mut one, mut other) = (Cursor::default(), Cursor::default());
    (0..10).for_each(|_| set(&table, 1, Time::ZERO));
    set(&table, 2, Time::ZERO);
    let both = vec![("::ffff:0.0.0.1".to_owned(), 1), ("::ffff:0.0.0.2".to_owned(), 2)];
    assert_eq!(changes(&table, &mut one, 100), both);
    assert_eq!(changes(&table, &mut one, 100), []);
    set(&table, 1, Time::ZERO);
    assert_eq!(changes(&table, &mut one, 100), both[..1]);
    assert_eq!(changes(&table, &mut other, 1), both[1..], "the older change was overtaken");
    assert_eq!(changes(&table, &mut other, 100), both[..1]);
}

#[test]
fn what_stands_in_line_anew_is_told_to_those_only_who_had_fallen_behind() {
    let table = table(100);
    let told = |cursor: &mut Cursor| {
        let told = changes(&table, cursor, 1_000);
        told.iter().filter(|(key, _)| key == "::ffff:0.0.0.1").count()
    };
    let (mut reads_all, mut was_away) = (Cursor::default(), Cursor::default());
    set(&table, 0, Time::ZERO);
    assert_eq!((told(&mut reads_all), told(&mut was_away)), (0, 0));
    set(&table, 1, Time::ZERO);
    assert_eq!(told(&mut reads_all), 1);
    for turn in 0..1_000 {
        set(&table, 2 + turn % 3, Time::ZERO);
        assert_eq!(told(&mut reads_all), 0, "it has heard of it, and there was no change since");
    }
    assert_eq!((told(&mut was_away), told(&mut Cursor::default())), (1, 1));
    set(&table, 1, Time::ZERO);
    assert_eq!((told(&mut reads_all), told(&mut was_away)), (1, 1));
}

#[test]
fn what_a_peer_taught_is_no_change_and_lives_no_longer_than_it_said() {
    let table = table(10);
    let mut cursor = Cursor::default();
    let second = Some(Duration::from_secs(1));
    assert!(table.learn(key(1).as_ref(), Time::ZERO, second, None, |entry, _| {
        entry.set(DataType::ServerId, 4);
        false
    }));
    assert!(table.learn(key(2).as_ref(), Time::ZERO, Some(Duration::MAX), None, |_, _| false));
    assert_eq!(changes(&table, &mut cursor, 10), []);
    assert_eq!(table.peek(key(1), Time::from_millis(999), server), Some(4));
    assert_eq!(table.peek(key(1), Time::from_millis(1_000), server), None);
    assert_eq!(table.peek(key(2), Time::from_millis(10_000), server), None, "never longer than here");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Against a plain list: what the table knows is always a part of it, and all of it as long as it fits;
    /// and a reader who reads now and then ends with what the table ends with.
    #[test]
    fn the_table_agrees_with_a_list_and_so_do_its_readers(
        operations in proptest::collection::vec((0u32..20, 0u64..4_000, 0u64..100, 0u8..8), 1..300),
        size in 1usize..30,
    ) {
        let table = table(size);
        let mut held = Vec::new();
        let mut list = HashMap::<u32, (Time, u64)>::new();
        let (mut cursor, mut read) = (Cursor::default(), HashMap::new());
        let mut now = Time::ZERO;
        for (number, gap, value, kind) in operations {
            now += Duration::from_millis(gap);
            let tracked = table.track(key(number), now, |entry| {
                entry.set(DataType::ServerId, value);
                ((), kind == 0)
            });
            if let Some((_, hold)) = tracked {
                held.extend(hold.map(|hold| (number, hold)));
                table.update(key(number), now, |_| {});
                list.insert(number, (now + Duration::from_secs(10), value));
            } else {
                prop_assert!(held.len() >= size);
            }
            if kind == 1 && let Some((number, hold)) = held.pop() {
                table.release(hold, now, |_| {});
                list.entry(number).and_modify(|entry| entry.0 = now + Duration::from_secs(10));
            }
            if kind < 4 {
                table.read_changes(&mut cursor, 3, now, |row| {
                    read.insert(row.key.to_vec(), server(&row.entry));
                });
            }
            for shard in &table.shards {
                lock(shard).check_invariants(&table.shape, |key| table.hasher.hash(key) as u32);
            }
            for number in 0..20 {
                let is_held = held.iter().any(|(holder, _)| *holder == number);
                if let Some(value) = table.peek(key(number), now, server) {
                    prop_assert_eq!(value, list[&number].1);
                } else if let Some((expires, _)) = list.get(&number) {
                    prop_assert!(!is_held && (table.evicted() > 0 || *expires <= now));
                    list.remove(&number);
                }
            }
        }
        while table.read_changes(&mut cursor, 1, now, |row| {
            read.insert(row.key.to_vec(), server(&row.entry));
        }) {}
        table.for_each(now, |row| assert_eq!(read.get(row.key), Some(&server(&row.entry))));
        held.into_iter().for_each(|(_, hold)| table.release(hold, now, |_| {}));
    }
}
