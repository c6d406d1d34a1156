//! What a session tells of tables: definitions and updates are taken, and acknowledged.

use super::cluster::{Cluster, Target, With};
use super::definition::{Definition, Texts, apply};
use super::frame::{self, Fault, Update};
use super::outgoing::Progress;
use super::varint;
use crate::table::{DataType, Entry, KeyType};
use base_core::Time;
use std::sync::Arc;
use std::time::Duration;

/// The receiving half of a session.
#[derive(Debug, Default)]
pub struct Incoming {
    tables: Vec<InTable>,
    current: Option<usize>,
    texts: Texts,
    /// The other side is a Headgate, too.
    is_headgate: bool,
    /// Updates taken.
    pub updates: u64,
    /// Updates of tables that are not known here, or look otherwise.
    pub ignored: u64,
    /// Definitions of more tables than there can be.
    pub refused: u64,
}

#[derive(Debug)]
struct InTable {
    definition: Definition,
    target: Option<Target>,
    last: u32,
    unacknowledged: bool,
}

impl Incoming {
    /// The other side is a Headgate, too.
    pub fn is_headgate(&mut self) {
        self.is_headgate = true;
    }

    /// A peer says which table its next updates are of, and how they look. True if it is one that only
    /// Headgate has: a run's own numbers.
    pub fn define(
        &mut self,
        body: &[u8],
        cluster: &Cluster,
        with: With<'_>,
        now: Time,
    ) -> Result<bool, Fault> {
        let definition = Definition::decode(body).ok_or(Fault::Protocol)?;
        let of = |place: usize, target: &Option<Target>| matches!(target, Some(Target::Mirror(of, _)) if *of == place);
        let is_first = |place| !self.tables.iter().any(|table| of(place, &table.target));
        let target = cluster.target(with, &definition.name, is_first, now).filter(|target| {
            let (Target::Own(place) | Target::Mirror(place, _)) = target;
            definition.has_keys_of(cluster.tables()[*place].table.key_type())
        });
        let is_run = matches!(target, Some(Target::Mirror(..)));
        self.is_headgate |= is_run;
        let place = self.tables.iter().position(|table| table.definition.id == definition.id);
        self.current = match place {
            Some(place) => {
                let table = &mut self.tables[place];
                if let Some(Target::Mirror(place, before)) = &table.target
                    && !matches!(&target, Some(Target::Mirror(_, now)) if Arc::ptr_eq(before, now))
                {
                    // Its number is another's now: that run is over, unless somebody else speaks for it.
                    cluster.end_run(*place, before, with);
                }
                (table.definition, table.target) = (definition, target);
                Some(place)
            }
            None if self.tables.len() >= cluster.most_tables(with) => {
                self.refused += 1;
                None
            }
            None => {
                self.tables.push(InTable { definition, target, last: 0, unacknowledged: false });
                Some(self.tables.len() - 1)
            }
        };
        Ok(is_run)
    }

    /// A peer goes back to a table that it has defined.
    pub fn switch(&mut self, mut body: &[u8]) {
        let id = varint::take(&mut body);
        self.current = self.tables.iter().position(|table| Some(table.definition.id) == id);
    }

    /// A peer sends an entry.
    pub fn update(
        &mut self,
        update: Update,
        mut body: &[u8],
        cluster: &Cluster,
        with: With<'_>,
        seen: &Progress,
        now: Time,
    ) -> Result<(), Fault> {
        let by_process = !matches!(with, With::Peer(_));
        let conflict = Conflict { wins: self.wins_against(cluster, with) };
        let Some(table) = self.current.and_then(|place| self.tables.get_mut(place)) else {
            self.ignored += 1;
            return Ok(());
        };
        table.last = match update.numbered {
            true => take_u32(&mut body).ok_or(Fault::Protocol)?,
            false => table.last.wrapping_add(1),
        };
        // What a process hears that another has taken over from, that one never hears of: so it is sent again.
        table.unacknowledged |= !cluster.has_successor();
        let left = match update.timed {
            true => Some(Duration::from_millis(take_u32(&mut body).ok_or(Fault::Protocol)?.into())),
            false => None,
        };
        let mut seen_here = None;
        let (own, mirror) = match &table.target {
            Some(Target::Own(place)) => {
                let own = &*cluster.tables()[*place].table;
                // Only what remembers servers can be in conflict.
                let layout = own.layout();
                let sticks = layout.get(DataType::ServerKey).or_else(|| layout.get(DataType::ServerId));
                seen_here = sticks.map(|_| seen.of(*place));
                (own, false)
            }
            Some(Target::Mirror(_, mirror)) if mirror.is_heard_from(with.speaker()) => {
                mirror.hear(now);
                (&mirror.table, true)
            }
            Some(Target::Mirror(..)) | None => {
                self.ignored += 1;
                return Ok(());
            }
        };
        let received = table.definition.split(body).ok_or(Fault::Protocol)?;
        let mut key = received.key;
        if let KeyType::String(length) = own.key_type() {
            // HAProxy's texts end at a NUL.
            key = key.split(|byte| *byte == 0).next().unwrap_or(&[]);
            key = key.get(..usize::from(length)).unwrap_or(key);
        }
        let mut whole = true;
        // The other nodes have heard of a lesson's entries, but not of what the process before this one did last.
        let pass_on = mirror || (by_process && !update.timed);
        own.learn(key, now, left, seen_here, |entry, unseen| {
            let before = Server::of(entry);
            let texts = &mut self.texts;
            whole = apply(&table.definition, received.values, own, entry, texts, mirror, now);
            pass_on | conflict.settle(entry, before, unseen)
        });
        self.updates += 1;
        if whole { Ok(()) } else { Err(Fault::Protocol) }
    }

    /// Whether this node's word counts where both have chosen a server for a client and neither has heard of the
    /// other's choice: the one whose name comes first has its way. A HAProxy takes whatever comes last, which is
    /// this node's choice.
    fn wins_against(&self, cluster: &Cluster, with: With<'_>) -> bool {
        match with {
            With::Peer(peer) => !self.is_headgate || cluster.local() < peer,
            With::Previous | With::Next => true,
        }
    }

    /// Appends acknowledgements of what has come, one for each table.
    pub fn acknowledge(&mut self, out: &mut Vec<u8>) {
        for table in self.tables.iter_mut().filter(|table| table.unacknowledged) {
            table.unacknowledged = false;
            frame::put(out, ACK, |out| {
                varint::put(out, table.definition.id);
                out.extend_from_slice(&table.last.to_be_bytes());
            });
        }
    }
}

/// The server that an entry remembers.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Server {
    name: u64,
    number: u64,
}

impl Server {
    fn of(entry: &Entry<'_>) -> Self {
        Self { name: entry.get(DataType::ServerKey), number: entry.get(DataType::ServerId) }
    }

    fn is_same(self, other: Self) -> bool {
        match (self.name, other.name) {
            (0, _) | (_, 0) => self.number == other.number,
            (one, other) => one == other,
        }
    }

    fn is_none(self) -> bool {
        (self.name, self.number) == (0, 0)
    }
}

/// Two nodes that have chosen a server for one client at the same time.
struct Conflict {
    wins: bool,
}

impl Conflict {
    /// Settles it, if this node has chosen one and, `unseen` says, the peer can't have known. True if the other
    /// nodes are to be told what came of it, as they may have heard of both choices in any order.
    fn settle(&self, entry: &mut Entry<'_>, before: Server, unseen: Option<bool>) -> bool {
        let now = Server::of(entry);
        let (Some(unseen), false) = (unseen, before.is_none() || now.is_none() || before.is_same(now)) else {
            return false;
        };
        if unseen && self.wins {
            entry.set(DataType::ServerKey, before.name);
            entry.set(DataType::ServerId, before.number);
        }
        true
    }
}

fn take_u32(body: &mut &[u8]) -> Option<u32> {
    let (bytes, rest) = body.split_first_chunk::<4>()?;
    *body = rest;
    Some(u32::from_be_bytes(*bytes))
}

const ACK: u8 = 0x84;
