//! The file of a table, with any entries and a good sum: all of it is taken or nothing, and what is saved again is the
//! same; any other bytes are refused.
#![no_main]

use base_core::Time;
use fuzz::Input;
use gateway_core::persist::{Writer, load};
use gateway_core::table::{DataType, KeyType, Layout, Options, StickTable, Stored};
use sha2::{Digest, Sha256};
use std::hash::RandomState;
use std::time::Duration;

const DATE: u64 = 1_000_000;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let key = [KeyType::Ip, KeyType::String(9), KeyType::Integer][usize::from(input.byte() % 3)];
    let (now, age) = (Time::from_millis(1 << 40), u64::from(input.word()));
    let read = table(key);
    assert!(load("t", &read, input.0, DATE, now).is_err() && rows(&read, now).is_empty());

    let mut file = Vec::new();
    Writer::begin("t", &read, DATE, &mut file);
    file.extend_from_slice(input.0);
    let sum = Sha256::digest(&file);
    file.extend_from_slice(&sum);
    let taken = load("t", &read, &file, DATE + age, now);
    let found = rows(&read, now);
    // Of an entry that is there twice the last is taken.
    assert!(found.len() <= taken.unwrap_or(0), "refused, and taken in part");

    let (again, file) = (table(key), saved(&read, now));
    assert_eq!(load("t", &again, &file, DATE, now), Ok(found.len()));
    assert_eq!(rows(&again, now), found);
});

fn table(key: KeyType) -> StickTable {
    let layout = Layout::new([
        Stored::one(DataType::ServerKey),
        Stored::one(DataType::ConnCur),
        Stored::one(DataType::BytesOutCnt),
        Stored::rate(DataType::HttpReqRate, Duration::from_secs(10)),
        Stored { elements: 3, ..Stored::one(DataType::Gpt) },
    ]);
    let expire = Duration::from_secs(60);
    let options = Options { key, layout, size: 1000, expire, nopurge: false, shared: false };
    StickTable::new(options, &RandomState::new())
}

fn saved(table: &StickTable, now: Time) -> Vec<u8> {
    let (mut file, mut out) = (Vec::new(), Vec::new());
    let mut writer = Writer::begin("t", table, DATE, &mut out);
    table.for_each(now, |row| {
        writer.entry(table, &row, now, &mut out);
        writer.taken(&out);
        file.append(&mut out);
    });
    writer.end(&mut out);
    file.append(&mut out);
    file
}

/// All that is in a table, each entry as its key, what it has left to live, and its values.
fn rows(table: &StickTable, now: Time) -> Vec<(Vec<u8>, Duration, Vec<u64>)> {
    let mut rows = Vec::new();
    table.for_each(now, |row| {
        let mut values = Vec::new();
        for stored in table.layout().stored() {
            let elements = (0..stored.elements).map(|index| row.entry.element(stored.data, index));
            match stored.data {
                DataType::HttpReqRate => {
                    values.extend(row.entry.frequency(stored.data, 0).parts(now).map(u64::from));
                }
                // A text stands in another place of each table.
                DataType::ServerKey => {
                    let text = row.entry.element(stored.data, 0) as u32;
                    values.extend(table.text(text).unwrap_or_default().iter().map(|byte| u64::from(*byte)));
                }
                _ => values.extend(elements),
            }
        }
        rows.push((row.key.to_vec(), row.expires_in, values));
    });
    rows.sort();
    rows
}
