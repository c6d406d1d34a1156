//! The file of a list: a key on each line, and behind it, in a map, its value. Empty lines and lines that
//! begin with `#` are none. Of two lines with the same key the first counts, as in HAProxy.

use super::expressions::{Expressions, MAX_EXPRESSIONS};
use super::{Kind, Line, Lines, List, Matching, NONE, Network, Piece, bits, nest};
use ipnet::IpNet;
use std::net::IpAddr;

type Result<T> = std::result::Result<T, String>;

pub(super) fn read(kind: Kind, file: &str) -> Result<List> {
    if file.len() > MAX_BYTES {
        return Err(format!("the file is larger than {} MiB", MAX_BYTES >> 20));
    }
    let mut text = Vec::new();
    let mut texts = Vec::new();
    let mut networks = Vec::new();
    let (mut expressions, mut values) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(file.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = split(kind, line).map_err(|error| format!("line {number}: {error}"))?;
        if texts.len().max(networks.len()) == MAX_LINES {
            return Err(format!("line {number}: there are more than {MAX_LINES} lines"));
        }
        if kind.matching == Matching::Reg {
            if expressions.len() == MAX_EXPRESSIONS {
                return Err(format!("line {number}: there are more than {MAX_EXPRESSIONS} expressions"));
            }
            expressions.push((number, key));
            values.push(put(&mut text, value));
        } else if kind.matching == Matching::Ip {
            let key = network(key)
                .ok_or_else(|| format!("line {number}: `{key}` is neither an address nor a network"))?;
            networks.push(Line { key, value: put(&mut text, value), within: NONE });
        } else {
            let key = if kind.matching == Matching::Dom { key.trim_start_matches('.') } else { key };
            let key = put(&mut text, key);
            texts.push(Line { key, value: put(&mut text, value), within: NONE });
        }
    }
    let mut list = List { kind, text: text.into(), lines: Lines::Texts(Box::default()) };
    list.lines = match kind.matching {
        Matching::Ip => Lines::Networks(sorted_networks(networks)),
        Matching::Reg => Lines::Expressions(Expressions::new(&expressions, kind.case)?, values.into()),
        _ => Lines::Texts(sorted_texts(&list, texts)),
    };
    Ok(list)
}

fn split(kind: Kind, line: &str) -> Result<(&str, &str)> {
    if line.chars().any(|character| character.is_control() && character != '\t') {
        return Err("there are control characters in it".to_owned());
    }
    if !kind.values {
        return Ok((line, ""));
    }
    match line.split_once([' ', '\t']) {
        Some((key, value)) => Ok((key, value.trim_start())),
        None => Err(format!("`{line}` has no value")),
    }
}

fn network(text: &str) -> Option<Network> {
    let network = match text.parse::<IpNet>() {
        Ok(network) => network,
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    let outside = if network.addr().is_ipv4() { 96 } else { 0 };
    Some(Network { first: bits(network.network()), bits: network.prefix_len() + outside })
}

fn put(text: &mut Vec<u8>, piece: &str) -> Piece {
    // The file's bound keeps both in range.
    let place = Piece { start: text.len() as u32, length: piece.len() as u32 };
    text.extend_from_slice(piece.as_bytes());
    place
}

fn sorted_texts(list: &List, mut lines: Vec<Line<Piece>>) -> Box<[Line<Piece>]> {
    let kind = list.kind;
    // Stable, so that the first of those with one key stays the first.
    lines.sort_by(|one, other| kind.compare(list.piece(one.key), list.piece(other.key)));
    lines.dedup_by(|later, first| kind.compare(list.piece(later.key), list.piece(first.key)).is_eq());
    if kind.matching != Matching::Str {
        // Of `dom`, any common end: whether it is a whole label is asked of what is looked up.
        let nesting = if kind.matching == Matching::Dom { Matching::End } else { kind.matching };
        let nesting = Kind { matching: nesting, ..kind };
        nest(&mut lines, |around, key| nesting.covers(list.piece(around), list.piece(key)));
    }
    lines.into()
}

fn sorted_networks(mut lines: Vec<Line<Network>>) -> Box<[Line<Network>]> {
    lines.sort_by_key(|line| line.key);
    lines.dedup_by_key(|line| line.key);
    nest(&mut lines, |around, key| around.bits <= key.bits && around.covers(key.first));
    lines.into()
}

/// Bytes of a file: a million long lines.
pub const MAX_BYTES: usize = 64 << 20;
/// Lines of a file.
pub const MAX_LINES: usize = 1_000_000;
