//! Stick tables: what their keys are and what they store, as written and as limits and backends need it.

use super::Result;
use super::values::{duration, in_range, name, unique};
use crate::config::{Peers, Persist, Table, schema};
use crate::limits::Tracker;
use crate::table::{DataType, KeyType, Kind, Stored};
use base_core::diagnose::Source;
use base_core::units::Span;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};
use std::time::Duration;
use toml::Spanned;

pub(super) fn all(source: &Source, written: &[schema::Table], peers: Option<&Peers>) -> Result<Vec<Table>> {
    let mut tables = Vec::<Table>::new();
    for table in written {
        name(source, &table.name)?;
        unique(source, &table.name, "stick table", tables.iter().map(|table| &table.name))?;
        in_range(source, &table.size, 1..=MAX_SIZE, "size")?;
        let mut made = Table {
            name: table.name.get_ref().clone(),
            key: key(source, table.key.as_ref())?,
            stored: Vec::new(),
            size: *table.size.get_ref(),
            expire: match &table.expire {
                Some(expire) => duration(source, expire, "expire")?,
                None => DEFAULT_EXPIRE,
            },
            nopurge: table.nopurge,
            peers_name: peers_name(source, table, peers)?,
            persist: persist(source, table, &tables)?,
            sums: false,
            cells: 0,
            agg: table.agg.as_ref().is_some_and(|agg| *agg.get_ref()),
            handed_over: false,
        };
        for data in &table.store {
            made.stored.push(stored(source, data, &made)?);
        }
        tables.push(made);
    }
    Ok(tables)
}

/// Only what is summed has sums, which is known once all limits are.
pub(super) fn agg_has_sums(source: &Source, written: &[schema::Table], tables: &[Table]) -> Result<()> {
    let bad = written.iter().zip(tables).find(|(_, table)| table.agg && !table.sums);
    if let Some((written, table)) = bad {
        let place = written.agg.as_ref().map_or_else(|| written.name.span(), Spanned::span);
        let error = source.at(place, format!("table `{}` has no sums", table.name));
        return Err(error.help("a limit with scope = \"cluster\" makes them"));
    }
    Ok(())
}

/// Nobody may be forgotten while a limit still counts what it did: a client that pauses would begin anew.
pub(super) fn limits_remember(
    source: &Source,
    written: &[schema::Table],
    trackers: &[&Tracker],
    tables: &mut [Table],
) -> Result<()> {
    for (place, (written, table)) in written.iter().zip(tables).enumerate() {
        let on_it = trackers.iter().filter(|tracker| tracker.table.0 == place);
        let lasts = on_it.flat_map(|tracker| tracker.limits.iter().map(|limit| limit.lasts(&table.stored)));
        let lasts = lasts.max().unwrap_or(Duration::ZERO);
        let seconds = lasts.as_millis().div_ceil(1000);
        if lasts > MAX_EXPIRE {
            let message = format!("a limit on table `{}` goes by the last {seconds} s", table.name);
            let error = source.at(written.name.span(), message);
            return Err(error.help("nothing is kept for more than 7d: a shorter period, or a smaller burst"));
        }
        match &written.expire {
            None => table.expire = table.expire.max((lasts * 2).min(MAX_EXPIRE)),
            Some(_) if lasts <= table.expire => {}
            Some(expire) => {
                let error = source.at(expire.span(), "who pauses for as long would begin anew");
                let help = format!(
                    "a limit on it goes by the last {seconds} s: expire = \"{seconds}s\" or more, or none"
                );
                return Err(error.help(help));
            }
        }
    }
    Ok(())
}

/// Where a table is kept, if it is.
fn persist(source: &Source, table: &schema::Table, others: &[Table]) -> Result<Option<Persist>> {
    let Some(file) = &table.persist else {
        return match &table.persist_interval {
            Some(written) => Err(source.at(written.span(), "it is kept nowhere").help("add persist")),
            None => Ok(None),
        };
    };
    let path = file.get_ref();
    let is_taken = |other: &Table| other.persist.as_ref().is_some_and(|persist| persist.file == *path);
    if path.file_name().is_none() || others.iter().any(is_taken) {
        let error = source.at(file.span(), "it can't be kept there");
        return Err(error.help("expected the path of a file, another one for each table"));
    }
    let interval = table.persist_interval.as_ref();
    let interval = interval.map(|written| duration(source, written, "persist_interval")).transpose()?;
    Ok(Some(Persist { file: path.clone(), interval: interval.unwrap_or(DEFAULT_PERSIST_INTERVAL) }))
}

/// The name by which peers know a table, if it is theirs too.
fn peers_name(source: &Source, table: &schema::Table, peers: Option<&Peers>) -> Result<Option<String>> {
    let Some(section) = &table.peers else {
        return match &table.peers_name {
            Some(written) => Err(source.at(written.span(), "no peer sees this table").help("add peers")),
            None => Ok(None),
        };
    };
    match peers {
        Some(peers) if peers.name == *section.get_ref() => {}
        Some(peers) => {
            let error = source.at(section.span(), format!("there are no peers `{}`", section.get_ref()));
            return Err(error.help(format!("expected `{}`", peers.name)));
        }
        None => return Err(source.at(section.span(), "there are no peers").help("add a [peers] section")),
    }
    Ok(Some(match &table.peers_name {
        None => table.name.get_ref().clone(),
        Some(written) => {
            let text = written.get_ref();
            let plain = text.strip_prefix('/').unwrap_or(text);
            name(source, &Spanned::new(written.span(), plain.to_owned()))?;
            text.clone()
        }
    }))
}

fn key(source: &Source, written: Option<&Spanned<String>>) -> Result<KeyType> {
    let Some(written) = written else { return Ok(KeyType::Ipv6) };
    let (word, arguments) = call(written.get_ref());
    let length = match arguments.as_slice() {
        [] => Some(DEFAULT_KEY),
        [length] => length.parse::<u16>().ok().filter(|length| (1..=MAX_KEY).contains(length)),
        _ => None,
    };
    match (word, length, arguments.is_empty()) {
        ("ip", _, true) => Ok(KeyType::Ip),
        ("ipv6", _, true) => Ok(KeyType::Ipv6),
        ("integer", _, true) => Ok(KeyType::Integer),
        ("string", Some(length), _) => Ok(KeyType::String(length)),
        ("binary", Some(length), _) => Ok(KeyType::Binary(length)),
        _ => Err(source
            .at(written.span(), format!("`{}` is no type of keys", written.get_ref()))
            .help(format!("expected ip, ipv6, integer, string(length) or binary(length), up to {MAX_KEY}"))),
    }
}

/// `http_req_rate(10s)`, `gpc(3)`, `gpc_rate(3,10s)` or `gpc0`, as HAProxy writes them.
fn stored(source: &Source, written: &Spanned<String>, table: &Table) -> Result<Stored> {
    let (word, arguments) = call(written.get_ref());
    let Some(data) = DataType::named(word) else {
        let all: Vec<_> = DataType::ALL.iter().map(|data| data.name()).collect();
        let error = source.at(written.span(), format!("`{word}` is no data type"));
        return Err(error.help(format!("expected one of {}", all.join(", "))));
    };
    if table.stored.iter().any(|stored| stored.data == data) {
        return Err(source.at(written.span(), format!("{word} is stored twice")));
    }
    let span = |text: &str| {
        let text: StrDeserializer<'_, Error> = text.into_deserializer();
        let span = Span::deserialize(text).ok()?.0;
        (Duration::from_millis(1)..=MAX_PERIOD).contains(&span).then_some(span)
    };
    let count = |text: &str| text.parse::<u16>().ok().filter(|count| (1..=MAX_ELEMENTS).contains(count));
    let is_rate = data.kind() == Kind::Rate;
    let stored = match (is_rate, data.is_array(), arguments.as_slice()) {
        (true, false, [period]) => span(period).map(|period| Stored::rate(data, period)),
        (true, true, [elements, period]) => {
            count(elements).zip(span(period)).map(|(elements, period)| Stored { data, period, elements })
        }
        (false, true, [elements]) => count(elements).map(|elements| Stored { elements, ..Stored::one(data) }),
        (false, false, []) => Some(Stored::one(data)),
        _ => None,
    };
    stored.ok_or_else(|| {
        let help = match (is_rate, data.is_array()) {
            (true, false) => format!("expected {word}(period), such as {word}(10s)"),
            (true, true) => format!("expected {word}(elements,period), such as {word}(2,10s)"),
            (false, true) => format!("expected {word}(elements), at most {MAX_ELEMENTS}"),
            (false, false) => format!("expected {word} alone"),
        };
        source.at(written.span(), format!("`{}` can't be stored", written.get_ref())).help(help)
    })
}

/// `word(a,b)` as its parts.
fn call(text: &str) -> (&str, Vec<&str>) {
    match text.split_once('(').and_then(|(word, rest)| Some((word, rest.strip_suffix(')')?))) {
        Some((word, arguments)) => (word.trim(), arguments.split(',').map(str::trim).collect()),
        None => (text.trim(), Vec::new()),
    }
}

/// Longer than any usual rate period, short enough to forget who left.
const DEFAULT_EXPIRE: Duration = Duration::from_secs(300);
/// The longest that a table keeps.
const MAX_EXPIRE: Duration = Duration::from_secs(7 * 86_400);
/// What is lost in a crash; a million entries take a second to write.
const DEFAULT_PERSIST_INTERVAL: Duration = Duration::from_secs(60);
/// Entries of a stick table: about 2 GiB.
pub(super) const MAX_SIZE: usize = 16_000_000;
/// Bytes of a key: HAProxy's default.
const DEFAULT_KEY: u16 = 32;
/// Bytes of a key: each entry has room for as many.
const MAX_KEY: u16 = 256;
/// Elements of an array: HAProxy's bound.
const MAX_ELEMENTS: u16 = 100;
/// Rates are kept in milliseconds of 32 bits, which wrap after 49 days.
const MAX_PERIOD: Duration = Duration::from_secs(7 * 86_400);
