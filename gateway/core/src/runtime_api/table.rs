//! Commands about stick tables, with HAProxy 2.6's words in question and answer (management guide, "show
//! table", "set table", "clear table"). It differs in what is wrong there: a text that is no key of the table,
//! or no number that fits, is refused and not taken for another.

mod filter;

#[cfg(test)]
mod tests;

use crate::table::{DataType, FreqCtr, Kind, Row, StickTable, Walk};
use base_core::Time;
use filter::{Fault, Which};
use std::fmt::Write;

/// The entries of a table, or the one of `key <key>`, or those that pass `data.<type> <op> <value>`, of which
/// there may be four. An answer of more than `longest` bytes breaks off.
pub fn show(
    name: &str,
    table: &StickTable,
    size: usize,
    words: &[String],
    longest: usize,
    now: Time,
) -> String {
    let which = match Which::parse(words, table, 4) {
        Ok(which) => which,
        Err(Fault::Word) => return SHOW_TAKES.to_owned(),
        Err(Fault::Said(error)) => return error,
    };
    let mut text = head(name, table, size);
    let mut number = 0;
    table.for_each(now, |entry| {
        if text.len() < longest && which.has(&entry, now) {
            number += 1;
            row(&mut text, table, number, &entry, now);
        }
    });
    match (&which, number) {
        // So says HAProxy of a key that there is not.
        (Which::Key(_), 0) => String::new(),
        _ => text,
    }
}

/// Takes entries out, chosen as for [`show`]; those in use stay.
pub fn clear(table: &StickTable, words: &[String], now: Time) -> String {
    let which = match Which::parse(words, table, 4) {
        Ok(which) => which,
        Err(Fault::Word) => return CLEAR_NEEDS.to_owned(),
        Err(Fault::Said(error)) => return error,
    };
    if let Which::Key(key) = &which {
        return if table.remove(key, now) { String::new() } else { IN_USE.to_owned() };
    }
    let mut walk = Walk::default();
    let mut keys: Vec<Vec<u8>> = Vec::new();
    // A few at a time: neither the locks nor the memory are for a whole table.
    while table.walk(&mut walk, AT_ONCE, now, |entry| {
        if which.has(&entry, now) {
            keys.push(entry.key.to_vec());
        }
    }) {
        for key in keys.drain(..) {
            table.remove(key, now);
        }
    }
    String::new()
}

/// Writes `key <key>` with any number of `data.<type> <value>`: all or nothing. A rate is as if all of it had come now.
pub fn set(table: &StickTable, words: &[String], now: Time) -> String {
    let [key_word, key, rest @ ..] = words else { return SET_NEEDS.to_owned() };
    if key_word != "key" {
        return SET_NEEDS.to_owned();
    }
    let Some(key) = table.key_type().parse(key) else { return BAD_KEY.to_owned() };
    let mut values = Vec::new();
    for pair in rest.chunks(2) {
        let Some(data) = pair.first().and_then(|word| word.strip_prefix("data.")) else {
            return "\"data.<type>\" followed by a value expected".to_owned();
        };
        let Some(data) = DataType::named(data) else { return "Unknown data type".to_owned() };
        if table.layout().get(data).is_none() {
            return "Data type not stored in this table".to_owned();
        }
        let value = pair.get(1).and_then(|value| value.parse::<u64>().ok());
        let Some(value) = value.filter(|_| data.kind() != Kind::Text) else {
            return "Require a valid integer value to store".to_owned();
        };
        values.push((data, value));
    }
    let written = table.update(key, now, |entry| {
        for (data, value) in &values {
            match data.kind() {
                Kind::Rate => {
                    let events = u32::try_from(*value).unwrap_or(u32::MAX);
                    entry.set_frequency(*data, 0, FreqCtr::from_parts([0, events, 0], now));
                }
                _ => entry.set(*data, *value),
            }
        }
    });
    if written.is_some() { String::new() } else { "Unable to allocate a new entry".to_owned() }
}

/// The line of a table.
pub fn head(name: &str, table: &StickTable, size: usize) -> String {
    let key = table.key_type().name();
    format!("# table: {name}, type: {key}, size:{size}, used:{}\n", table.len())
}

/// The line of an entry, `place` being what stands for its address.
pub fn row(out: &mut String, table: &StickTable, place: usize, row: &Row<'_>, now: Time) {
    let key = table.key_type().show(row.key);
    let (holds, expires) = (row.holds, row.expires_in.as_millis());
    // Writing to a text never fails.
    let _ = write!(out, "{place:#x}: key={key} use={holds} exp={expires}");
    for stored in table.layout().stored() {
        let data = stored.data;
        for index in 0..stored.elements {
            let name = if data.is_array() { format!("{data}{index}") } else { data.to_string() };
            let _ = match data.kind() {
                Kind::Rate => {
                    let period = stored.period.as_millis();
                    let rate = row.entry.frequency(data, index).read(now, stored.period);
                    write!(out, " {}={rate}", rate_name(data, index, period))
                }
                Kind::Text => {
                    let number = u32::try_from(row.entry.get(data)).unwrap_or(0);
                    let text = table.text(number);
                    let text = text.as_deref().map_or_else(|| "-".into(), String::from_utf8_lossy);
                    write!(out, " {name}={text}")
                }
                Kind::Number | Kind::Long => write!(out, " {name}={}", row.entry.element(data, index)),
            };
        }
    }
    out.push('\n');
}

/// `gpc_rate` of an array counts its elements as `gpc0_rate`, `gpc1_rate`.
fn rate_name(data: DataType, index: u16, period: u128) -> String {
    match data {
        DataType::GpcRate => format!("gpc{index}_rate({period})"),
        data => format!("{data}({period})"),
    }
}

/// What stands in the answer where there is no table of that name.
pub const NO_TABLE: &str = "No such table";
/// What the commands need, as HAProxy says it.
pub const SET_NEEDS: &str = "Required arguments: <table> key <key> [data.<store_data_type> <value>]*";
/// Likewise.
pub const CLEAR_NEEDS: &str =
    "Required arguments: <table> \"data.<store_data_type>\" <operator> <value> or <table> key <key>";
const SHOW_TAKES: &str =
    "Optional argument only supports \"data.<store_data_type>\" <operator> <value> and key <key>";
const IN_USE: &str = "Entry currently in use, cannot remove";
const BAD_KEY: &str = "this is no key of that table";
/// Entries that are looked at before some of them are taken out.
const AT_ONCE: u32 = 256;
