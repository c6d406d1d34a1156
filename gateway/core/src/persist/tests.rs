use super::*;
use crate::runtime_api::table::show;
use crate::table::{KeyType, Layout, Options, Stored};
use proptest::prelude::*;
use std::hash::RandomState;

const PERIOD: Duration = Duration::from_secs(10);

fn table(key: KeyType) -> StickTable {
    let layout = Layout::new([
        Stored::one(DataType::ServerKey),
        Stored::one(DataType::ConnCur),
        Stored::one(DataType::BytesOutCnt),
        Stored::rate(DataType::HttpReqRate, PERIOD),
        Stored { elements: 3, ..Stored::one(DataType::Gpt) },
    ]);
    let expire = Duration::from_secs(60);
    StickTable::new(
        Options { key, layout, size: 100, expire, nopurge: false, shared: false },
        &RandomState::new(),
    )
}

fn fill(table: &StickTable, keys: &[String], now: Time) {
    for (number, key) in (1..).zip(keys) {
        table.update(key, now, |entry| {
            entry.set(DataType::ServerKey, table.intern(format!("s{number}").as_bytes()).into());
            entry.set(DataType::ConnCur, 4);
            entry.set(DataType::BytesOutCnt, number << 33);
            entry.add_rate(DataType::HttpReqRate, 100, now);
            entry.set_element(DataType::Gpt, 2, number);
        });
    }
}

fn saved(name: &str, table: &StickTable, now: Time, date: u64) -> Vec<u8> {
    let (mut whole, mut out) = (Vec::new(), Vec::new());
    let mut writer = Writer::begin(name, table, date, &mut out);
    table.for_each(now, |row| {
        writer.entry(table, &row, now, &mut out);
        writer.taken(&out);
        whole.append(&mut out);
    });
    writer.end(&mut out);
    whole.append(&mut out);
    whole
}

fn shown(table: &StickTable, now: Time) -> Vec<String> {
    let text = show("t", table, 100, &[], usize::MAX, now);
    let mut rows: Vec<String> =
        text.lines().filter_map(|line| line.split_once("key=").map(|(_, row)| row.to_owned())).collect();
    rows.sort();
    rows
}

fn keys() -> Vec<String> {
    ["one", "two", ""].map(str::to_owned).to_vec()
}

#[test]
fn what_was_saved_has_aged_and_what_ran_runs_no_more() {
    let (before, at) = (table(KeyType::String(8)), Time::from_millis);
    fill(&before, &keys(), at(1_000));
    before.update("two", at(31_000), |_| {});
    let file = saved("t", &before, at(31_000), 1_000_000);
    // Another process, whose clock has just begun.
    let after = table(KeyType::String(8));
    assert_eq!(load("t", &after, &file, 1_015_000, at(500)), Ok(3));
    let rows = shown(&after, at(500));
    assert!(rows[1].starts_with("one use=0 exp=15000 conn_cur=0 "), "{rows:?}");
    assert!(rows[2].starts_with("two use=0 exp=45000 conn_cur=0 "), "{rows:?}");
    assert!(
        rows[1]
            .contains(" http_req_rate(10000)=0 bytes_out_cnt=8589934592 server_key=s1 gpt0=0 gpt1=0 gpt2=1"),
        "{rows:?}"
    );
    let late = table(KeyType::String(8));
    assert_eq!(load("t", &late, &file, 1_045_000, at(500)), Ok(1), "the others' time has passed");
    assert_eq!(load("t", &table(KeyType::String(8)), &file, 2_000_000_000, at(500)), Ok(0));
    assert_eq!(
        load("t", &table(KeyType::String(8)), &file, 0, at(500)),
        Ok(3),
        "a clock that was set back ages nothing"
    );
}

#[test]
fn who_has_stayed_for_longer_than_an_entry_lives_is_saved() {
    let (before, after) = (table(KeyType::String(8)), table(KeyType::String(8)));
    let held = before.track("one", Time::ZERO, |entry| (entry.set_element(DataType::Gpt, 1, 7), true));
    let now = Time::from_millis(600_000);
    assert!(held.is_some());
    assert_eq!(load("t", &after, &saved("t", &before, now, 0), 15_000, Time::ZERO), Ok(1));
    let rows = shown(&after, Time::ZERO);
    assert!(rows[0].starts_with("one use=0 exp=45000 ") && rows[0].ends_with(" gpt1=7 gpt2=0"), "{rows:?}");
}

#[test]
fn a_rate_has_faded() {
    let (before, now) = (table(KeyType::String(8)), Time::from_millis(77_000));
    fill(&before, &["one".to_owned()], now);
    let file = saved("t", &before, now, 0);
    for (age, rate) in [(0, 100), (9_000, 100), (15_000, 50), (20_000, 0)] {
        let after = table(KeyType::String(8));
        assert_eq!(load("t", &after, &file, age, Time::from_millis(3)), Ok(1));
        let found = after.peek("one", Time::from_millis(3), |entry| {
            entry.rate(DataType::HttpReqRate, Time::from_millis(3))
        });
        assert_eq!(found, Some(rate), "after {age} ms");
    }
}

#[test]
fn of_another_file_nothing_is_taken() {
    let before = table(KeyType::String(8));
    fill(&before, &keys(), Time::ZERO);
    let file = saved("t", &before, Time::ZERO, 0);
    let refused = |name: &str, key, bytes: &[u8]| {
        let table = table(key);
        let error = load(name, &table, bytes, 0, Time::ZERO).expect_err("it is refused");
        assert!(table.is_empty());
        error
    };
    assert!(refused("u", KeyType::String(8), &file).contains("another table's"));
    assert!(refused("t", KeyType::String(9), &file).contains("another table's"));
    assert!(refused("t", KeyType::String(8), b"").contains("not as it was written"));
    assert!(refused("t", KeyType::String(8), &[7; 200]).contains("no table's"));
    assert!((file.len() as u64) < most_bytes(&before, 100));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_saved_is_loaded_as_it_was(keys in proptest::collection::hash_set("[a-z =]{0,8}", 0..30)) {
        let (before, after) = (table(KeyType::String(8)), table(KeyType::String(8)));
        let keys: Vec<_> = keys.into_iter().collect();
        fill(&before, &keys, Time::ZERO);
        prop_assert_eq!(load("t", &after, &saved("t", &before, Time::ZERO, 5), 5, Time::ZERO), Ok(keys.len()));
        let idle: Vec<_> = shown(&before, Time::ZERO).iter().map(|row| row.replace("conn_cur=4", "conn_cur=0")).collect();
        prop_assert_eq!(shown(&after, Time::ZERO), idle);
    }

    #[test]
    fn a_damaged_file_is_refused_whole(place in any::<proptest::sample::Index>(), bit in 0u8..8, cut in any::<bool>()) {
        let before = table(KeyType::String(8));
        fill(&before, &keys(), Time::ZERO);
        let mut file = saved("t", &before, Time::ZERO, 0);
        let place = place.index(file.len());
        if cut {
            file.truncate(place);
        } else {
            file[place] ^= 1 << bit;
        }
        let after = table(KeyType::String(8));
        prop_assert!(load("t", &after, &file, 0, Time::ZERO).is_err());
        prop_assert!(after.is_empty());
    }

    #[test]
    fn any_bytes_behind_a_right_start_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let table = table(KeyType::Binary(3));
        let mut out = Vec::new();
        let _ = Writer::begin("t", &table, 0, &mut out);
        out.extend_from_slice(&bytes);
        out.extend_from_slice(&Sha256::digest(out.clone()));
        let _ = load("t", &table, &out, 0, Time::ZERO);
    }
}
