//! Lists and maps in files: what an address, a host or a path is looked up in, be it a hundred thousand
//! lines long (HAProxy manual, "acl -f", "map").
//!
//! A list is one sorted table over one piece of memory. Of all lines that cover what is looked up, the most
//! specific is found: the longest text, the smallest network. Each line knows the line that covers it next,
//! so a search is one bisection and a step for each line that the found one lies in. Regular expressions have
//! no such order: of those that match, the first line counts. Reading is all or
//! nothing; a list never changes once it is read, and goes with two deallocations.

mod expressions;
mod read;

#[cfg(test)]
mod tests;

pub use read::{MAX_BYTES, MAX_LINES};

use crate::rules::Case;
use expressions::Expressions;
use std::cmp::Ordering;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Range;
use std::path::PathBuf;

/// Which list or map: its place in [`crate::Config::lists`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListId(pub usize);

/// A list as it is configured.
#[derive(Clone, Debug)]
pub struct ListFile {
    /// Its name.
    pub name: String,
    /// Where its lines are.
    pub file: PathBuf,
    /// What it holds.
    pub kind: Kind,
    /// What to tell when it does not load.
    pub origin: base_core::diagnose::Diagnostic,
}

/// What the lines of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Whether each has a value behind its key.
    pub values: bool,
    /// How a text fits a line.
    pub matching: Matching,
    /// Whether upper and lower case differ in it.
    pub case: Case,
}

/// How what is looked up fits a line, in HAProxy's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Matching {
    /// It is the same text.
    #[default]
    Str,
    /// It begins with it.
    Beg,
    /// It ends with it.
    End,
    /// It is that domain, or one below it.
    Dom,
    /// It is an address in that network.
    Ip,
    /// The regular expression is found in it.
    Reg,
}

/// What is looked up.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// A text; in a list of networks, the address that it spells.
    Text(&'a [u8]),
    /// An address; in a list of texts, nothing.
    Address(IpAddr),
}

/// The lines of a file, ready to be looked up in.
#[derive(Debug)]
pub struct List {
    kind: Kind,
    /// All keys and values, one after another.
    text: Box<[u8]>,
    lines: Lines,
}

#[derive(Debug)]
enum Lines {
    Texts(Box<[Line<Piece>]>),
    Networks(Box<[Line<Network>]>),
    /// With the value of each.
    Expressions(Expressions, Box<[Piece]>),
}

/// One line. `within` is the place of the smallest line that covers it.
#[derive(Debug)]
struct Line<K> {
    key: K,
    value: Piece,
    within: u32,
}

/// A part of [`List::text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    start: u32,
    length: u32,
}

/// A network: IPv4 as its IPv4-mapped IPv6 form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Network {
    first: u128,
    bits: u8,
}

impl List {
    /// Reads the text of a file. The error says what is wrong, and on which line.
    pub fn read(kind: Kind, file: &str) -> Result<Self, String> {
        read::read(kind, file)
    }

    /// How many lines it has, each key counted once.
    pub fn len(&self) -> usize {
        match &self.lines {
            Lines::Texts(lines) => lines.len(),
            Lines::Networks(lines) => lines.len(),
            Lines::Expressions(all, _) => all.len(),
        }
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of the most specific line, or of the first expression, that covers `wanted`; of a list it is empty.
    pub fn find(&self, wanted: Wanted<'_>) -> Option<&[u8]> {
        match (&self.lines, wanted) {
            (Lines::Texts(lines), Wanted::Text(text)) => self.find_text(lines, text),
            (Lines::Texts(_) | Lines::Expressions(..), Wanted::Address(_)) => None,
            (Lines::Expressions(all, _), Wanted::Text(text)) if !self.kind.values => {
                all.any_in(text).then_some(&[])
            }
            (Lines::Expressions(all, values), Wanted::Text(text)) => {
                all.first_in(text).and_then(|place| values.get(place)).map(|value| self.piece(*value))
            }
            (Lines::Networks(lines), Wanted::Address(address)) => self.find_address(lines, address),
            (Lines::Networks(lines), Wanted::Text(text)) => {
                let address = std::str::from_utf8(text).ok()?.parse().ok()?;
                self.find_address(lines, address)
            }
        }
    }

    fn find_text(&self, lines: &[Line<Piece>], text: &[u8]) -> Option<&[u8]> {
        let not_after = |key: Piece| self.kind.compare(self.piece(key), text) != Ordering::Greater;
        let value = most_specific(lines, not_after, |key| self.kind.covers(self.piece(key), text))?;
        Some(self.piece(value))
    }

    fn find_address(&self, lines: &[Line<Network>], address: IpAddr) -> Option<&[u8]> {
        let address = bits(address);
        let value =
            most_specific(lines, |network| network.first <= address, |network| network.covers(address))?;
        Some(self.piece(value))
    }

    fn piece(&self, piece: Piece) -> &[u8] {
        self.text.get(piece.range()).unwrap_or_default()
    }
}

/// The value of the last line that is not after what is looked up, or of the first around that which covers
/// it: lines that cover one thing lie within each other.
fn most_specific<K: Copy>(
    lines: &[Line<K>],
    not_after: impl Fn(K) -> bool,
    covers: impl Fn(K) -> bool,
) -> Option<Piece> {
    let mut place = lines.partition_point(|line| not_after(line.key)).checked_sub(1)?;
    loop {
        let line = lines.get(place)?;
        if covers(line.key) {
            return Some(line.value);
        }
        place = line.within as usize;
    }
}

/// For lines in order, finds out which lies within which.
fn nest<K: Copy>(lines: &mut [Line<K>], covers: impl Fn(K, K) -> bool) {
    let mut around: Vec<u32> = Vec::new();
    for place in 0..lines.len() {
        let key = lines[place].key;
        while around.last().is_some_and(|last| !covers(lines[*last as usize].key, key)) {
            around.pop();
        }
        lines[place].within = around.last().copied().unwrap_or(NONE);
        around.push(place as u32);
    }
}

impl Kind {
    /// The order of lines: texts that end alike lie together where the end decides.
    fn compare(self, key: &[u8], text: &[u8]) -> Ordering {
        let spell = |byte: &u8| self.spell(*byte);
        match (self.decides_at_the_end(), self.case) {
            (true, _) => key.iter().rev().map(spell).cmp(text.iter().rev().map(spell)),
            (false, Case::Matters) => key.cmp(text),
            (false, Case::Ignored) => key.iter().map(spell).cmp(text.iter().map(spell)),
        }
    }

    /// Whether a text fits the line with this key.
    fn covers(self, key: &[u8], text: &[u8]) -> bool {
        let same = |part: Option<&[u8]>| {
            part.is_some_and(|part| match self.case {
                Case::Matters => part == key,
                Case::Ignored => part.eq_ignore_ascii_case(key),
            })
        };
        let end = text.len().checked_sub(key.len());
        match self.matching {
            Matching::Str => same(Some(text)),
            Matching::Beg => same(text.get(..key.len())),
            Matching::End => same(end.and_then(|end| text.get(end..))),
            Matching::Dom => {
                let whole_label = end.is_some_and(|end| {
                    end == 0 || end.checked_sub(1).and_then(|dot| text.get(dot)) == Some(&b'.')
                });
                whole_label && same(end.and_then(|end| text.get(end..)))
            }
            Matching::Ip | Matching::Reg => false,
        }
    }

    fn decides_at_the_end(self) -> bool {
        matches!(self.matching, Matching::End | Matching::Dom)
    }

    fn spell(self, byte: u8) -> u8 {
        if self.case == Case::Ignored { byte.to_ascii_lowercase() } else { byte }
    }
}

impl Piece {
    fn range(self) -> Range<usize> {
        self.start as usize..self.start as usize + self.length as usize
    }
}

impl Network {
    fn covers(self, address: u128) -> bool {
        let free = u32::from(128 - self.bits.min(128));
        // A network of all addresses has no bit in common to ask for.
        (self.first ^ address).checked_shr(free).unwrap_or(0) == 0
    }
}

fn bits(address: IpAddr) -> u128 {
    let v6: Ipv6Addr = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    v6.to_bits()
}

/// No line: past any that can be.
const NONE: u32 = u32::MAX;
