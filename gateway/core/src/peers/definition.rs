//! Table definitions and updates: an entry as its bytes, and back (HAProxy `doc/peers-v2.0.txt`, and
//! `src/peers.c` where they differ).
//!
//! An update is read by the sender's definition and kept as far as the own table stores the same. Each data
//! type takes its bytes whether it is kept or not, so that the stream never gets out of step; of a type that
//! came later than all known here only the end of the frame is known, so what follows it is left out.

use super::varint;
use crate::table::{DataType, Entry, FreqCtr, KeyType, Kind, Layout, StickTable, Stored};
use base_core::Time;
use std::time::Duration;

/// A table as a peer describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The sender's number for it.
    pub id: u64,
    /// Its name on all nodes.
    pub name: String,
    /// What its keys are, and how many bytes: as on the wire, where a text counts one more.
    pub key: WireKey,
    /// What the sender stores, by number, with the elements of arrays.
    pub stored: Vec<(u8, u16)>,
}

/// A type of keys as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireKey {
    kind: u64,
    length: u64,
}

/// Texts that a session has sent before, by number.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    slots: Vec<Option<Box<[u8]>>>,
    next: usize,
}

/// An update, as far as it is the same for all tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// What follows: to be read with [`apply`].
    pub values: &'a [u8],
}

impl From<KeyType> for WireKey {
    fn from(key: KeyType) -> Self {
        let (kind, length) = match key {
            KeyType::Integer => (2, 4),
            KeyType::Ip => (4, 4),
            KeyType::Ipv6 => (5, 16),
            KeyType::String(length) => (6, u64::from(length) + 1),
            KeyType::Binary(length) => (7, u64::from(length)),
        };
        Self { kind, length }
    }
}

impl Definition {
    /// Reads the body of a definition.
    pub fn decode(mut body: &[u8]) -> Option<Self> {
        let body = &mut body;
        let id = varint::take(body)?;
        let length = usize::try_from(varint::take(body)?).ok().filter(|length| *length <= MAX_NAME)?;
        let (name, rest) = body.split_at_checked(length)?;
        *body = rest;
        let name = std::str::from_utf8(name).ok()?.to_owned();
        let (kind, length) = (varint::take(body)?, varint::take(body)?);
        let bits = varint::take(body)?;
        // How long entries live there is of no use here.
        let _ = varint::take(body);
        let mut stored = Vec::new();
        for number in (0..64u8).filter(|number| bits >> number & 1 == 1) {
            let mut elements = 1;
            if let Some(data) = DataType::from_number(number.into()) {
                let is_rate = data.kind() == Kind::Rate;
                if is_rate || data.is_array() {
                    // Left out by some for rates, whose window is that of the own table anyhow.
                    let said = varint::take(body);
                    if said.is_some_and(|said| said != u64::from(number)) {
                        return None;
                    }
                }
                if data.is_array() {
                    elements = u16::try_from(varint::take(body)?).ok()?;
                    (elements <= MAX_ELEMENTS).then_some(())?;
                }
                if is_rate {
                    let _ = varint::take(body);
                }
            }
            stored.push((number, elements));
        }
        Some(Self { id, name, key: WireKey { kind, length }, stored })
    }

    /// Appends the body of the definition of a table of this shape.
    pub fn encode(out: &mut Vec<u8>, id: u64, name: &str, key: KeyType, layout: &Layout, expire: Duration) {
        let WireKey { kind, length } = key.into();
        varint::put(out, id);
        varint::put(out, name.len() as u64);
        out.extend_from_slice(name.as_bytes());
        varint::put(out, kind);
        varint::put(out, length);
        varint::put(out, layout.stored().fold(0, |bits, stored| bits | 1 << stored.data.number()));
        varint::put(out, millis(expire));
        for Stored { data, period, elements } in layout.stored() {
            let is_rate = data.kind() == Kind::Rate;
            if is_rate || data.is_array() {
                varint::put(out, data.number().into());
            }
            if data.is_array() {
                varint::put(out, (*elements).into());
            }
            if is_rate {
                varint::put(out, millis(*period));
            }
        }
    }

    /// Whether its keys are those of an own table.
    pub fn has_keys_of(&self, key: KeyType) -> bool {
        self.key == key.into()
    }

    /// Splits the rest of an update into its key and its values.
    pub fn split<'a>(&self, mut body: &'a [u8]) -> Option<Received<'a>> {
        let length = match self.key.kind {
            6 => varint::take(&mut body)?,
            2 | 4 | 5 | 7 => self.key.length,
            _ => return None,
        };
        let (key, values) = body.split_at_checked(usize::try_from(length).ok()?)?;
        Some(Received { key, values })
    }
}

/// Appends the values of an entry.
pub(super) fn encode_values(
    out: &mut Vec<u8>,
    table: &StickTable,
    entry: &Entry<'_>,
    texts: &mut Texts,
    now: Time,
) {
    for stored in table.layout().stored() {
        for index in 0..stored.elements {
            match stored.data.kind() {
                Kind::Number | Kind::Long => varint::put(out, entry.element(stored.data, index)),
                Kind::Rate => {
                    let parts = entry.frequency(stored.data, index).parts(now);
                    parts.into_iter().for_each(|part| varint::put(out, part.into()));
                }
                Kind::Text => {
                    let number = u32::try_from(entry.get(stored.data)).unwrap_or(0);
                    texts.encode(out, table.text(number).as_deref());
                }
            }
        }
    }
}

/// Reads the values of an update by the sender's definition, and writes into `entry` what it stores too.
/// What runs there is taken over only into a `mirror` of what that node has counted. False if they are not
/// whole, or refer to a text that was never sent; what was read until then stays.
pub(super) fn apply(
    definition: &Definition,
    mut values: &[u8],
    table: &StickTable,
    entry: &mut Entry<'_>,
    texts: &mut Texts,
    mirror: bool,
    now: Time,
) -> bool {
    for (number, elements) in &definition.stored {
        let Some(data) = DataType::from_number((*number).into()) else { return true };
        for index in 0..*elements {
            let read = match data.kind() {
                Kind::Number | Kind::Long => varint::take(&mut values).map(|value| {
                    // What runs there runs there: only its own node counts it.
                    if data != DataType::ConnCur || mirror {
                        entry.set_element(data, index, value);
                    }
                }),
                Kind::Rate => parts(&mut values).map(|parts| {
                    entry.set_frequency(data, index, FreqCtr::from_parts(parts, now));
                }),
                Kind::Text => texts.decode(&mut values).map(|text| {
                    let number = text.map_or(0, |text| table.intern(text));
                    entry.set(data, number.into());
                }),
            };
            if read.is_none() {
                return false;
            }
        }
    }
    true
}

impl Texts {
    /// Appends a text: by its number if it was sent before, else with a new one.
    fn encode(&mut self, out: &mut Vec<u8>, text: Option<&[u8]>) {
        let Some(text) = text else { return varint::put(out, 0) };
        let known = self.slots.iter().position(|slot| slot.as_deref() == Some(text));
        let mut body = Vec::with_capacity(text.len() + 4);
        match known {
            Some(place) => varint::put(&mut body, place as u64 + 1),
            None => {
                let place = self.next;
                self.next = (place + 1) % TEXTS;
                self.slots.resize(self.slots.len().max(place + 1), None);
                self.slots[place] = Some(text.into());
                varint::put(&mut body, place as u64 + 1);
                varint::put(&mut body, text.len() as u64);
                body.extend_from_slice(text);
            }
        }
        varint::put(out, body.len() as u64);
        out.extend_from_slice(&body);
    }

    /// Takes a text off the front; the outer `None`: it can't be read.
    fn decode<'a>(&'a mut self, bytes: &mut &[u8]) -> Option<Option<&'a [u8]>> {
        let length = usize::try_from(varint::take(bytes)?).ok()?;
        if length == 0 {
            return Some(None);
        }
        let (mut body, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        let place = usize::try_from(varint::take(&mut body)?).ok()?.checked_sub(1)?;
        if place >= TEXTS {
            return None;
        }
        if !body.is_empty() {
            let length = usize::try_from(varint::take(&mut body)?).ok()?;
            let text = body.get(..length).filter(|text| text.len() <= MAX_TEXT)?;
            self.slots.resize(self.slots.len().max(place + 1), None);
            self.slots[place] = Some(text.into());
        }
        Some(Some(self.slots.get(place)?.as_deref()?))
    }
}

fn parts(bytes: &mut &[u8]) -> Option<[u32; 3]> {
    // An age of what was never used wraps around 32 bits, as HAProxy sends it.
    let mut next = || varint::take(bytes).map(|value| value as u32);
    Some([next()?, next()?, next()?])
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Bytes of a table's name.
const MAX_NAME: usize = 256;
/// Elements of an array: HAProxy's bound.
const MAX_ELEMENTS: u16 = 100;
/// Texts that a session remembers in each direction: HAProxy's number.
const TEXTS: usize = 128;
/// Bytes of a text: names of servers.
const MAX_TEXT: usize = 1024;
