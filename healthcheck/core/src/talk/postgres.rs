//! PostgreSQL, as far as its first word: a startup message, and whether the server asks who it is (R), or refuses (E),
//! as it does while it starts up, recovers or shuts down. HAProxy's `option pgsql-check`; PostgreSQL manual, 55.7.

use super::inbox::Inbox;
use super::{Finding, Talk};

#[derive(Debug)]
pub(super) struct Postgres {
    inbox: Inbox,
    startup: Vec<u8>,
}

impl Postgres {
    pub(super) fn new(user: &str, database: Option<&str>) -> Self {
        let mut words = vec!["user", user];
        words.extend(database.into_iter().flat_map(|name| ["database", name]));
        let mut body = PROTOCOL.to_be_bytes().to_vec();
        for word in words {
            body.extend_from_slice(word.as_bytes());
            body.push(0);
        }
        body.push(0);
        let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
        let startup = [length.to_be_bytes().as_slice(), &body].concat();
        Self { inbox: Inbox::default(), startup }
    }
}

impl Talk for Postgres {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.startup);
    }

    fn on(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Option<Finding> {
        if !self.inbox.push(bytes) {
            return Some(Finding::garbage("too_long"));
        }
        let rest = self.inbox.rest();
        let kind = *rest.first()?;
        if !b"RE".contains(&kind) {
            return Some(Finding::garbage("not_postgres"));
        }
        let length = rest.get(1..5)?;
        let length = length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
        if !LENGTHS.contains(&length) {
            return Some(Finding::garbage("not_postgres"));
        }
        let body = rest.get(5..length + 1)?;
        if kind == b'R' {
            out.extend_from_slice(TERMINATE);
            return Some(Finding::OK);
        }
        Some(Finding::refused(match field(body, b'C') {
            Some(b"57P03") => "not_ready",
            Some(b"57P01" | b"57P02") => "shutting_down",
            Some(b"53300") => "too_many_connections",
            Some(b"28000" | b"28P01") => "not_allowed",
            Some(b"3D000") => "no_such_database",
            _ => "error",
        }))
    }
}

/// A field of an error: its letter, its text, a NUL.
fn field(body: &[u8], letter: u8) -> Option<&[u8]> {
    body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(&[letter]))
}

/// Version 3.0.
const PROTOCOL: u32 = 196_608;
/// The message that ends a session.
const TERMINATE: &[u8] = b"X\0\0\0\x04";
/// Lengths of a first answer: its own four bytes, and no more than any error has.
const LENGTHS: std::ops::RangeInclusive<usize> = 4..=8192;
