//! What a session sends and takes of tables: definitions, updates, acks, lessons.
//!
//! Sending follows each table's line of changes; a peer that was away goes on after the last change that it
//! has acknowledged. Only updates with their own numbers are sent, since some versions of HAProxy acknowledge
//! others wrongly.

use super::cluster::{Cluster, Target};
use super::definition::{Definition, Texts, apply, encode_values};
use super::frame::{self, Fault, Update};
use super::varint;
use crate::table::{Cursor, KeyType, Row, StickTable, Walk};
use base_core::Time;
use std::time::Duration;

/// How far a peer is known to have come with each table, over all sessions with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    acknowledged: Vec<Cursor>,
}

/// The sending half of a session.
#[derive(Debug)]
pub struct Outgoing {
    tables: Vec<OutTable>,
    /// The table that was defined last.
    current: Option<usize>,
    texts: Texts,
    timed: bool,
    lesson: Option<Lesson>,
}

#[derive(Debug)]
struct OutTable {
    cursor: Cursor,
    pushed: u32,
    /// A moment that waits for its acknowledgement: the number sent last, and where the reader stood.
    mark: Option<(u32, Cursor)>,
}

#[derive(Debug, Default)]
struct Lesson {
    table: usize,
    walk: Walk,
}

/// The receiving half of a session.
#[derive(Debug, Default)]
pub struct Incoming {
    tables: Vec<InTable>,
    current: Option<usize>,
    texts: Texts,
    /// Updates taken.
    pub updates: u64,
    /// Updates of tables that are not known here, or look otherwise.
    pub ignored: u64,
}

#[derive(Debug)]
struct InTable {
    definition: Definition,
    target: Option<Target>,
    last: u32,
    unacknowledged: bool,
}

impl Outgoing {
    /// To a peer that has come as far as `progress` says; `timed` if it understands timed messages.
    pub fn new(cluster: &Cluster, progress: &Progress, timed: bool) -> Self {
        let cursor = |place| progress.acknowledged.get(place).cloned().unwrap_or_default();
        let table = |place| OutTable { cursor: cursor(place), pushed: 0, mark: None };
        let tables = (0..cluster.tables().len()).map(table).collect();
        Self { tables, current: None, texts: Texts::default(), timed, lesson: None }
    }

    /// Begins a lesson: everything, from the start.
    pub fn teach(&mut self) {
        self.lesson = Some(Lesson::default());
    }

    /// Whether a lesson goes on.
    pub fn is_teaching(&self) -> bool {
        self.lesson.is_some()
    }

    /// Appends a part of the lesson; false when it is over.
    pub fn go_on_teaching(&mut self, cluster: &Cluster, now: Time, out: &mut Vec<u8>) -> bool {
        let Some(mut lesson) = self.lesson.take() else { return false };
        let Some(shared) = cluster.tables().get(lesson.table) else { return false };
        if lesson.walk.is_at_start() {
            // Where this table stands now; what changes from here on is pushed after the lesson.
            self.tables[lesson.table].cursor = shared.table.end();
        }
        let mut rows = Rows { out, texts: &mut self.texts, table: &shared.table, timed: self.timed, now };
        let state = &mut self.tables[lesson.table];
        define(&mut self.current, lesson.table, cluster, &mut rows);
        if !shared.table.walk(&mut lesson.walk, LESSON, now, |row| rows.put(&row, &mut state.pushed, true)) {
            lesson = Lesson { table: lesson.table + 1, walk: Walk::default() };
        }
        self.lesson = Some(lesson);
        true
    }

    /// Appends what has changed, up to about `most` entries; true if there may be more.
    pub fn push(&mut self, cluster: &Cluster, now: Time, most: usize, out: &mut Vec<u8>) -> bool {
        let mut more = false;
        for (place, shared) in cluster.tables().iter().enumerate() {
            let state = &mut self.tables[place];
            let mut rows = Rows { out, texts: &mut self.texts, table: &shared.table, timed: self.timed, now };
            let (current, pushed) = (&mut self.current, &mut state.pushed);
            more |= shared.table.read_changes(&mut state.cursor, most, now, |row| {
                define(current, place, cluster, &mut rows);
                rows.put(&row, pushed, false);
            });
            if state.mark.is_none() && state.pushed > 0 {
                state.mark = Some((state.pushed, state.cursor.clone()));
            }
        }
        more
    }

    /// The peer acknowledges updates; numbers that were never sent mean nothing.
    pub fn acknowledged(&mut self, mut body: &[u8], progress: &mut Progress) {
        let place = varint::take(&mut body).and_then(|id| usize::try_from(id).ok()?.checked_sub(1));
        let number = body.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        let Some(((place, state), number)) =
            place.and_then(|place| Some((place, self.tables.get_mut(place)?))).zip(number)
        else {
            return;
        };
        if number > state.pushed {
            return;
        }
        if let Some((_, cursor)) = state.mark.take_if(|(marked, _)| *marked <= number) {
            progress.acknowledged.resize(progress.acknowledged.len().max(place + 1), Cursor::default());
            progress.acknowledged[place] = cursor;
        }
    }
}

/// Writes entries of one table.
struct Rows<'a> {
    out: &'a mut Vec<u8>,
    texts: &'a mut Texts,
    table: &'a StickTable,
    timed: bool,
    now: Time,
}

impl Rows<'_> {
    fn put(&mut self, row: &Row<'_>, pushed: &mut u32, lesson: bool) {
        let Self { out, texts, table, timed, now } = self;
        let timed = *timed && lesson;
        let number = *pushed + 1;
        let written = frame::put(out, if timed { UPDATE_TIMED } else { UPDATE }, |out| {
            out.extend_from_slice(&number.to_be_bytes());
            if timed {
                let left = u32::try_from(row.expires_in.as_millis()).unwrap_or(u32::MAX);
                out.extend_from_slice(&left.to_be_bytes());
            }
            if let KeyType::String(_) = table.key_type() {
                varint::put(out, row.key.len() as u64);
            }
            out.extend_from_slice(row.key);
            encode_values(out, table, &row.entry, texts, *now);
        });
        if written {
            *pushed = number;
        }
    }
}

/// Says which table the next updates are of, unless that was said last.
fn define(current: &mut Option<usize>, place: usize, cluster: &Cluster, rows: &mut Rows<'_>) {
    if current.replace(place) == Some(place) {
        return;
    }
    let Some(shared) = cluster.tables().get(place) else { return };
    let (table, name) = (&shared.table, cluster.wire_name(shared));
    frame::put(rows.out, DEFINE, |out| {
        let id = place as u64 + 1;
        Definition::encode(out, id, &name, table.key_type(), table.layout(), table.expire());
    });
}

impl Incoming {
    /// A peer says which table its next updates are of, and how they look. True if it is one that only
    /// Headgate has: a run's own numbers.
    pub fn define(&mut self, body: &[u8], cluster: &Cluster, peer: &str) -> Result<bool, Fault> {
        let definition = Definition::decode(body).ok_or(Fault::Protocol)?;
        let target = cluster.target(peer, &definition.name).filter(|target| {
            let (Target::Own(place) | Target::Mirror(place, _)) = target;
            definition.has_keys_of(cluster.tables()[*place].table.key_type())
        });
        let is_run = matches!(target, Some(Target::Mirror(..)));
        let place = self.tables.iter().position(|table| table.definition.id == definition.id);
        self.current = match place {
            Some(place) => {
                let table = &mut self.tables[place];
                (table.definition, table.target) = (definition, target);
                Some(place)
            }
            None if self.tables.len() >= MAX_TABLES => None,
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
        now: Time,
    ) -> Result<(), Fault> {
        let Some(table) = self.current.and_then(|place| self.tables.get_mut(place)) else {
            self.ignored += 1;
            return Ok(());
        };
        table.last = match update.numbered {
            true => take_u32(&mut body).ok_or(Fault::Protocol)?,
            false => table.last.wrapping_add(1),
        };
        table.unacknowledged = true;
        let left = match update.timed {
            true => Some(Duration::from_millis(take_u32(&mut body).ok_or(Fault::Protocol)?.into())),
            false => None,
        };
        let (own, mirror) = match &table.target {
            Some(Target::Own(place)) => (&*cluster.tables()[*place].table, false),
            Some(Target::Mirror(_, mirror)) => (&mirror.table, true),
            None => {
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
        own.learn(key, now, left, |entry| {
            let texts = &mut self.texts;
            whole = apply(&table.definition, received.values, own, entry, texts, mirror, now);
        });
        self.updates += 1;
        if whole { Ok(()) } else { Err(Fault::Protocol) }
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

fn take_u32(body: &mut &[u8]) -> Option<u32> {
    let (bytes, rest) = body.split_first_chunk::<4>()?;
    *body = rest;
    Some(u32::from_be_bytes(*bytes))
}

const UPDATE: u8 = 0x80;
const DEFINE: u8 = 0x82;
const ACK: u8 = 0x84;
const UPDATE_TIMED: u8 = 0x85;
/// Tables that a peer may define in a session.
const MAX_TABLES: usize = 256;
/// Slots of a table that one part of a lesson goes through.
const LESSON: u32 = 256;
