//! Stick tables that survive a restart: what a file of one has in it, and what becomes of that.
//!
//! A file is for one table, stored in one way: of another, of another version, or with a byte that is not as
//! it was written, nothing is taken. Time has gone on meanwhile: an entry has as much less to live, a rate has
//! faded. What was running runs no more: `conn_cur` begins at 0. Paces (`algorithm = "gcra"`) begin anew.
//!
//! ```text
//! "headgate-table\0" version=1 | saved at, u64 | length, u16, and description of the table
//! each entry: length, u16, and key | lives for, u32 | values: u32, u64, 3 × u32 for a rate, u16 and bytes for a text
//! 0xFFFF | entries, u64 | SHA-256 of all before
//! ```
//! Numbers are little endian, times in milliseconds, the date since 1970.

use crate::table::{DataType, FreqCtr, Kind, Row, StickTable};
use base_core::Time;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::time::Duration;

/// Writes a file, piece by piece, into memory that its user empties in between.
pub struct Writer {
    hash: Sha256,
    /// What is written and not hashed yet begins here.
    hashed: usize,
    entries: u64,
}

impl Writer {
    /// Begins the file of the table `name`, saved at this date.
    pub fn begin(name: &str, table: &StickTable, date: u64, out: &mut Vec<u8>) -> Self {
        out.clear();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&date.to_le_bytes());
        put(out, description(name, table).as_bytes());
        Self { hash: Sha256::new(), hashed: 0, entries: 0 }
    }

    /// One entry.
    pub fn entry(&mut self, table: &StickTable, row: &Row<'_>, now: Time, out: &mut Vec<u8>) {
        put(out, row.key);
        let lives = u32::try_from(row.expires_in.as_millis()).unwrap_or(u32::MAX);
        out.extend_from_slice(&lives.to_le_bytes());
        for stored in table.layout().stored() {
            for index in 0..stored.elements {
                let value = row.entry.element(stored.data, index);
                match stored.data.kind() {
                    Kind::Number => out.extend_from_slice(&(value as u32).to_le_bytes()),
                    Kind::Long => out.extend_from_slice(&value.to_le_bytes()),
                    Kind::Text => put(out, &table.text(value as u32).unwrap_or_default()),
                    Kind::Rate => {
                        let parts = row.entry.frequency(stored.data, index).parts(now);
                        parts.iter().for_each(|part| out.extend_from_slice(&part.to_le_bytes()));
                    }
                }
            }
        }
        self.entries += 1;
    }

    /// What is in memory is about to be taken out of it.
    pub fn taken(&mut self, out: &[u8]) {
        self.hash.update(out.get(self.hashed..).unwrap_or_default());
        self.hashed = 0;
    }

    /// Ends the file.
    pub fn end(mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&END.to_le_bytes());
        out.extend_from_slice(&self.entries.to_le_bytes());
        self.taken(out);
        out.extend_from_slice(&self.hash.finalize());
    }
}

/// Fills a table from the bytes of its file, read at this date; how many entries still live. The error says
/// why nothing was taken.
pub fn load(
    name: &str,
    table: &StickTable,
    bytes: &[u8],
    date: u64,
    now: Time,
) -> Result<usize, &'static str> {
    let (body, hash) = bytes.split_last_chunk::<HASH>().ok_or(CUT)?;
    let mut rest = body.strip_prefix(MAGIC).ok_or("it is no table's, or of another version")?;
    if Sha256::digest(body).as_slice() != hash {
        return Err(CUT);
    }
    let saved = number(&mut rest).ok_or(CUT)?;
    if text(&mut rest).ok_or(CUT)? != description(name, table).as_bytes() {
        return Err("it is another table's, or what is stored has changed");
    }
    let age = u32::try_from(date.saturating_sub(saved)).unwrap_or(u32::MAX);
    // Once to see that it is whole, and once to take it.
    let entries = each(table, rest, |_, _, _| {}).ok_or("an entry in it is broken")?;
    let mut living = 0;
    each(table, rest, |key, lives, values| {
        let Some(left) = lives.checked_sub(age).filter(|left| *left > 0) else { return };
        let expire = Some(Duration::from_millis(left.into()));
        let texts: Vec<u64> = values.iter().map(|value| value.stored(table)).collect();
        // What peers know by now is newer.
        let taken = table.learn(key, now, expire, None, |entry, _| {
            for (value, stored) in values.iter().zip(&texts) {
                match *value {
                    Value::Rate(data, index, [tick, current, previous]) => {
                        let parts = [tick.saturating_add(age), current, previous];
                        entry.set_frequency(data, index, FreqCtr::from_parts(parts, now));
                    }
                    Value::Number(data, index, _) | Value::Text(data, index, _) => {
                        entry.set_element(data, index, *stored);
                    }
                }
            }
            false
        });
        living += usize::from(taken);
    });
    debug_assert!(living <= entries);
    Ok(living)
}

/// Most bytes of the file of a table with room for so many entries. Shards round up.
pub fn most_bytes(table: &StickTable, size: usize) -> u64 {
    let values: usize = table
        .layout()
        .stored()
        .map(|stored| usize::from(stored.elements) * if stored.data.kind() == Kind::Text { 258 } else { 12 })
        .sum();
    let entry = 2 + table.key_type().bytes() + 4 + values;
    (64 * 1024 + 2 * size.max(1024) * entry) as u64
}

/// One value of an entry, as the file has it.
enum Value<'a> {
    Number(DataType, u16, u64),
    Text(DataType, u16, &'a [u8]),
    Rate(DataType, u16, [u32; 3]),
}

impl Value<'_> {
    /// The number that stands for it in an entry.
    fn stored(&self, table: &StickTable) -> u64 {
        match self {
            Self::Number(DataType::ConnCur, ..) | Self::Rate(..) => 0,
            Self::Number(_, _, value) => *value,
            Self::Text(_, _, text) => table.intern(text).into(),
        }
    }
}

/// Goes through the entries; how many there are, or none if anything is not as it must be.
fn each(
    table: &StickTable,
    mut rest: &[u8],
    mut then: impl FnMut(&[u8], u32, &[Value<'_>]),
) -> Option<usize> {
    let mut count = 0;
    let mut values = Vec::new();
    loop {
        if let Some(mut end) = rest.strip_prefix(&END.to_le_bytes()) {
            let counted = number(&mut end)?;
            return (end.is_empty() && counted == count as u64).then_some(count);
        }
        let key = text(&mut rest).filter(|key| table.key_type().fits(key))?;
        let lives = u32::from_le_bytes(take(&mut rest)?);
        values.clear();
        for stored in table.layout().stored() {
            let data = stored.data;
            for index in 0..stored.elements {
                let mut word = || take(&mut rest).map(u32::from_le_bytes);
                values.push(match data.kind() {
                    Kind::Number => Value::Number(data, index, word()?.into()),
                    Kind::Rate => Value::Rate(data, index, [word()?, word()?, word()?]),
                    Kind::Long => Value::Number(data, index, number(&mut rest)?),
                    Kind::Text => Value::Text(data, index, text(&mut rest)?),
                });
            }
        }
        then(key, lives, &values);
        count += 1;
    }
}

/// What tells one table from another: name, type, what is stored in which order.
fn description(name: &str, table: &StickTable) -> String {
    let kind = table.key_type();
    let mut text = format!("{name} {}({})", kind.name(), kind.bytes());
    for stored in table.layout().stored() {
        // Writing to a text can't fail.
        let _ = write!(text, " {}({},{})", stored.data, stored.elements, stored.period.as_millis());
    }
    text
}

/// Bytes behind their length. What is as long as the mark of the end is cut: no key and no text is.
fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = bytes.len().min(usize::from(END - 1));
    out.extend_from_slice(&(length as u16).to_le_bytes());
    out.extend_from_slice(bytes.get(..length).unwrap_or_default());
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*taken)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    take(rest).map(u64::from_le_bytes)
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u16::from_le_bytes(take(rest)?);
    let (text, behind) = rest.split_at_checked(length.into())?;
    *rest = behind;
    Some(text)
}

/// With the version.
const MAGIC: &[u8; 16] = b"headgate-table\0\x01";
/// In the place of a key's length: longer than any key is.
const END: u16 = u16::MAX;
/// Bytes of a SHA-256.
const HASH: usize = 32;
const CUT: &str = "it is not as it was written";

#[cfg(test)]
mod tests;
