use super::*;
use crate::table::{KeyType, Layout, Options, Stored};
use std::hash::RandomState;
use std::time::Duration;

#[test]
fn an_entry_stands_as_haproxy_shows_it() {
    let period = Duration::from_secs(10);
    let stored = [
        Stored::one(DataType::ServerId),
        Stored::one(DataType::ServerKey),
        Stored::rate(DataType::HttpReqRate, period),
        Stored { data: DataType::Gpt, period: Duration::ZERO, elements: 2 },
        Stored { data: DataType::GpcRate, period, elements: 1 },
    ];
    let (layout, expire) = (Layout::new(stored), Duration::from_secs(30));
    let options = Options { key: KeyType::Ip, layout, size: 10, expire, nopurge: false, shared: false };
    let table = StickTable::new(options, &RandomState::new());
    table.update([127, 0, 0, 1], Time::ZERO, |entry| {
        entry.set(DataType::ServerId, 1);
        entry.set(DataType::ServerKey, table.intern(b"s1").into());
        entry.add_rate(DataType::HttpReqRate, 3, Time::ZERO);
        entry.set_element(DataType::Gpt, 1, 7);
    });
    let mut text = String::new();
    table.for_each(Time::ZERO, |entry| row(&mut text, &table, 1, &entry, Time::ZERO));
    let expected = "0x1: key=127.0.0.1 use=0 exp=30000 server_id=1 http_req_rate(10000)=3 server_key=s1 \
                    gpt0=0 gpt1=7 gpc0_rate(10000)=0\n";
    assert_eq!(text, expected);
    assert_eq!(head("t", &table, 10), "# table: t, type: ip, size:10, used:1\n");
}

/// A table of four entries: `k1` to `k4` with as much in `gpc0`, and twice that in the rate.
fn filled() -> StickTable {
    let stored = [
        Stored::one(DataType::Gpc0),
        Stored::one(DataType::Gpt0),
        Stored::one(DataType::ServerKey),
        Stored::rate(DataType::HttpReqRate, Duration::from_secs(10)),
    ];
    let (layout, expire) = (Layout::new(stored), Duration::from_secs(30));
    let options =
        Options { key: KeyType::String(8), layout, size: 10, expire, nopurge: false, shared: false };
    let table = StickTable::new(options, &RandomState::new());
    for number in 1..=4 {
        table.update(format!("k{number}"), Time::ZERO, |entry| {
            entry.set(DataType::Gpc0, number);
            entry.add_rate(DataType::HttpReqRate, 2 * number as u32, Time::ZERO);
        });
    }
    table
}

fn words(words: &str) -> Vec<String> {
    words.split_whitespace().map(str::to_owned).collect()
}

/// The keys in an answer, in their order, or what it says.
fn shown(table: &StickTable, filter: &str) -> Result<Vec<String>, String> {
    let text = show("t", table, 10, &words(filter), usize::MAX, Time::ZERO);
    if !text.is_empty() && !text.starts_with("# table: t, type: string, size:10, used:") {
        return Err(text);
    }
    let key = |row: &str| row.split_once("key=")?.1.split(' ').next().map(str::to_owned);
    let mut keys: Vec<String> = text.lines().filter_map(key).collect();
    keys.sort();
    Ok(keys)
}

#[test]
fn entries_are_chosen_by_key_and_by_what_they_have() {
    let table = filled();
    for (filter, keys) in [
        ("", "k1 k2 k3 k4"),
        ("key k2", "k2"),
        ("key k9", ""),
        ("data.gpc0 gt 2", "k3 k4"),
        ("data.gpc0 ge 2 data.http_req_rate le 6", "k2 k3"),
        ("data.gpc0 ne 1 data.gpc0 ne 2 data.gpc0 ne 3 data.gpt0 lt 1", "k4"),
        ("data.gpc0 eq 1", "k1"),
    ] {
        assert_eq!(shown(&table, filter).map(|keys| keys.join(" ")), Ok(keys.to_owned()), "{filter}");
    }
}

#[test]
fn what_is_wrong_is_said_as_haproxy_says_it() {
    let table = filled();
    for (filter, said) in [
        ("k2", SHOW_TAKES),
        ("key", "Key value expected"),
        (
            "data.gpc0",
            "Filter entry #1: Require and operator among \"eq\", \"ne\", \"le\", \"ge\", \"lt\", \"gt\"",
        ),
        (
            "data.gpc0 xx 3",
            "Filter entry #1: Require and operator among \"eq\", \"ne\", \"le\", \"ge\", \"lt\", \"gt\"",
        ),
        ("data.gpc0 gt 1 data.gpt0 gt", "Filter entry #2: Require a valid integer value to compare against"),
        ("data.gpc0 gt x", "Filter entry #1: Require a valid integer value to compare against"),
        ("data.foo gt 1", "Filter entry #1: Unknown data type"),
        ("data.gpc1 gt 1", "Filter entry #1: Data type not stored in this table"),
        (
            "data.gpc0 gt 1 data.gpc0 gt 1 data.gpc0 gt 1 data.gpc0 gt 1 data.gpc0 gt 1",
            "Detected extra data in filter, 16th word of input, after '1'",
        ),
    ] {
        assert_eq!(shown(&table, filter), Err(said.to_owned()), "{filter}");
    }
    for (line, said) in [
        ("", SET_NEEDS),
        ("key", SET_NEEDS),
        ("key k1 data.foo 1", "Unknown data type"),
        ("key k1 data.gpc1 1", "Data type not stored in this table"),
        ("key k1 data.gpc0", "Require a valid integer value to store"),
        ("key k1 data.gpc0 -1", "Require a valid integer value to store"),
        ("key k1 data.server_key s1", "Require a valid integer value to store"),
        ("key k1 gpc0 1", "\"data.<type>\" followed by a value expected"),
    ] {
        assert_eq!(set(&table, &words(line), Time::ZERO), said, "{line}");
    }
    assert_eq!(clear(&table, &words("k1"), Time::ZERO), CLEAR_NEEDS);
    assert_eq!(shown(&table, "data.gpc0 eq 1"), Ok(vec!["k1".to_owned()]), "and nothing was done");
}

#[test]
fn entries_are_written_and_taken_out() {
    let table = filled();
    let line = words("key k5 data.gpc0 5 data.http_req_rate 9 data.gpt0 99999999999");
    assert_eq!(set(&table, &line, Time::ZERO), "");
    let row = show("t", &table, 10, &words("key k5"), usize::MAX, Time::ZERO);
    assert!(row.contains(" gpt0=4294967295 gpc0=5 http_req_rate(10000)=9 "), "{row}");
    assert_eq!(set(&table, &words("key k6"), Time::ZERO), "", "an entry of nothing");
    assert_eq!(clear(&table, &words("data.gpc0 lt 3"), Time::ZERO), "");
    assert_eq!(shown(&table, "").map(|keys| keys.join(" ")), Ok("k3 k4 k5".to_owned()));
    let (_, held) = table.track("k4", Time::ZERO, |_| ((), true)).expect("it is there");
    assert_eq!(clear(&table, &words("key k4"), Time::ZERO), IN_USE);
    assert_eq!(clear(&table, &[], Time::ZERO), "");
    assert_eq!(shown(&table, ""), Ok(vec!["k4".to_owned()]), "what is in use stays");
    table.release(held.expect("it is held"), Time::ZERO, |_| {});
    assert_eq!(clear(&table, &words("key k4"), Time::ZERO), "");
    assert!(table.is_empty());
}
