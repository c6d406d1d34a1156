//! What a session is told of tables: definitions, updates, lessons.
//!
//! Sending follows each table's line of changes; a peer that was away goes on after the last change that it
//! has acknowledged. Only updates with their own numbers are sent, since some versions of HAProxy acknowledge
//! others wrongly. Numbers that are to be summed are named at the start of a session, even if there are none
//! yet: so the other side knows at once which runs live.

use super::cluster::{Cluster, Role, Shared, With};
use super::definition::{Definition, Texts, encode_values};
use super::mirror::{Mirror, Speaker};
use super::{frame, varint};
use crate::table::{Cursor, KeyType, Row, StickTable, Walk};
use base_core::Time;
use std::sync::Arc;

/// How far a peer is known to have come with each table, over all sessions with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    acknowledged: Vec<Cursor>,
}

impl Progress {
    /// How far the peer has come with a table.
    pub(super) fn of(&self, place: usize) -> &Cursor {
        static START: Cursor = Cursor::START;
        self.acknowledged.get(place).unwrap_or(&START)
    }
}

/// The sending half of a session.
#[derive(Debug)]
pub struct Outgoing {
    audience: Audience,
    /// The own ones, in the order of the cluster's.
    tables: Vec<OutTable>,
    /// Runs of other processes that are passed on.
    runs: Vec<OutRun>,
    /// The lists that these were chosen from.
    chosen: Vec<Arc<Vec<Arc<Mirror>>>>,
    /// Tables that are to be ended, with the places of what they are of.
    ended: Vec<OutRun>,
    next_id: u64,
    /// Numbers of tables that have ended: they are used again.
    free: Vec<u64>,
    texts: Texts,
    /// The table that was defined last.
    current: Option<u64>,
    timed: bool,
    lesson: Option<Lesson>,
}

/// Who listens: nobody is told of what it has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    Peer,
    /// Another node that is no Headgate.
    Stock,
    Previous,
    /// The next process, and whether it has taken over.
    Next {
        succeeded: bool,
    },
}

#[derive(Debug)]
struct OutTable {
    id: u64,
    announced: bool,
    cursor: Cursor,
    pushed: u32,
    /// The highest number that the peer has acknowledged.
    acknowledged: u32,
    /// A moment that waits for its acknowledgement: the number sent last, and where the reader stood.
    mark: Option<(u32, Cursor)>,
}

#[derive(Debug)]
struct OutRun {
    /// The table that it is of.
    place: usize,
    mirror: Arc<Mirror>,
    table: OutTable,
}

#[derive(Debug, Default)]
struct Lesson {
    /// Runs come first, then tables; for the next process the other way round, as its time is short.
    part: usize,
    walk: Walk,
}

impl Outgoing {
    /// To who is there, and has come as far as `progress` says; `timed` if it understands timed messages.
    pub fn new(cluster: &Cluster, with: With<'_>, progress: &Progress, timed: bool) -> Self {
        let cursor = |place| progress.acknowledged.get(place).cloned().unwrap_or_default();
        let table = |place| OutTable::new(place as u64 + 1, cursor(place));
        let tables: Vec<_> = (0..cluster.tables().len()).map(table).collect();
        let audience = match with {
            With::Peer(_) => Audience::Peer,
            With::Previous => Audience::Previous,
            With::Next => Audience::Next { succeeded: false },
        };
        Self {
            audience,
            next_id: tables.len() as u64 + 1,
            tables,
            runs: Vec::new(),
            chosen: Vec::new(),
            ended: Vec::new(),
            free: Vec::new(),
            texts: Texts::default(),
            current: None,
            timed,
            lesson: None,
        }
    }

    /// Begins a lesson: everything, from the start.
    pub fn teach(&mut self) {
        self.lesson = Some(Lesson::default());
    }

    /// Whether a lesson goes on.
    pub fn is_teaching(&self) -> bool {
        self.lesson.is_some()
    }

    /// The peer is no Headgate: it can't add up what the runs of the others have counted.
    pub fn is_stock(&mut self) {
        self.audience = Audience::Stock;
        self.chosen.clear();
    }

    /// It is one after all: it was only slow to say so.
    pub fn is_headgate(&mut self) {
        self.audience = Audience::Peer;
        self.chosen.clear();
    }

    /// The next process has taken over: from now on it hears what this node's processes count, and nothing else.
    pub fn is_succeeded(&mut self) {
        self.audience = Audience::Next { succeeded: true };
        self.chosen.clear();
    }

    /// Appends a part of the lesson; false when it is over.
    pub fn go_on_teaching(&mut self, cluster: &Cluster, now: Time, out: &mut Vec<u8>) -> bool {
        let Some(mut lesson) = self.lesson.take() else { return false };
        if lesson.part == 0 && lesson.walk.is_at_start() {
            self.choose_runs(cluster);
        }
        let (texts, current) = (&mut self.texts, &mut self.current);
        let mut writer = Writer { out, texts, current, timed: self.timed, now };
        let part = lesson.part;
        let (run, table) = match self.audience {
            Audience::Next { .. } => (part.checked_sub(self.tables.len()), Some(part)),
            _ => (Some(part), part.checked_sub(self.runs.len())),
        };
        let goes_on = if let Some(OutRun { place, mirror, table }) =
            run.and_then(|run| self.runs.get_mut(run))
        {
            let name = || run_name(cluster, *place, mirror);
            let source = Source { table: &mirror.table, name: &name, announced: true };
            let goes_on = table.teach(&source, &mut lesson.walk, &mut writer);
            if !goes_on && !mirror.is_live() {
                writer.end(table.id, &source);
            }
            goes_on
        } else {
            let state = table.and_then(|place| self.tables.get_mut(place).zip(cluster.tables().get(place)));
            let Some((state, shared)) = state else { return false };
            let name = || cluster.wire_name(shared);
            let announced = shared.role == Role::Sums;
            let source = Source { table: &shared.table, name: &name, announced };
            match self.audience.hears(shared.role) {
                Hears::All => state.teach(&source, &mut lesson.walk, &mut writer),
                Hears::Name => state.announce(&source, &mut writer),
                Hears::Nothing => false,
            }
        };
        if !goes_on {
            lesson = Lesson { part: part + 1, walk: Walk::default() };
        }
        self.lesson = Some(lesson);
        true
    }

    /// Appends what has changed, up to about `most` entries of each table; true if there may be more.
    pub fn push(&mut self, cluster: &Cluster, now: Time, most: usize, out: &mut Vec<u8>) -> bool {
        self.choose_runs(cluster);
        let mut more = false;
        let (texts, current) = (&mut self.texts, &mut self.current);
        let mut writer = Writer { out, texts, current, timed: self.timed, now };
        for OutRun { mirror, table, .. } in self.ended.drain(..) {
            writer.end(table.id, &Source { table: &mirror.table, name: &String::new, announced: true });
            self.free.push(table.id);
        }
        // What ran before this process first, so that who listens does not take it for ended meanwhile.
        self.runs.retain_mut(|OutRun { place, mirror, table }| {
            let name = || run_name(cluster, *place, mirror);
            let source = Source { table: &mirror.table, name: &name, announced: true };
            let live = mirror.is_live();
            if live {
                more |= table.push(&source, most, &mut writer);
            } else {
                writer.end(table.id, &source);
                self.free.push(table.id);
            }
            live
        });
        for (state, shared) in self.tables.iter_mut().zip(cluster.tables()) {
            let name = || cluster.wire_name(shared);
            let announced = shared.role == Role::Sums;
            let source = Source { table: &shared.table, name: &name, announced };
            more |= match self.audience.hears(shared.role) {
                Hears::All => state.push(&source, most, &mut writer),
                Hears::Name => state.announce(&source, &mut writer),
                Hears::Nothing => false,
            };
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
        // In a lesson the reader stands where the table will be when it is over.
        let is_all = number == state.pushed && self.lesson.is_none();
        if let Some(cursor) = state.acknowledged(number, is_all) {
            progress.acknowledged.resize(progress.acknowledged.len().max(place + 1), Cursor::default());
            progress.acknowledged[place] = cursor;
        }
    }

    /// Which runs of other processes this session is told of: none come and go but by a new list.
    fn choose_runs(&mut self, cluster: &Cluster) {
        let lists = || cluster.tables().iter().map(Shared::mirrors);
        if self.chosen.len() == cluster.tables().len()
            && lists().zip(&self.chosen).all(|(now, then)| Arc::ptr_eq(&now, then))
        {
            return;
        }
        self.chosen = lists().collect();
        let hears = |mirror: &Mirror| self.audience.hears_of(mirror, cluster.local());
        let wanted = self.chosen.iter().enumerate().flat_map(|(place, list)| {
            list.iter().filter(|mirror| hears(mirror)).map(move |mirror| (place, Arc::clone(mirror)))
        });
        let mut before = std::mem::take(&mut self.runs);
        for (place, mirror) in wanted {
            let known = before.iter().position(|run| Arc::ptr_eq(&run.mirror, &mirror));
            self.runs.push(known.map(|known| before.swap_remove(known)).unwrap_or_else(|| {
                let id = self.free.pop().unwrap_or_else(|| {
                    self.next_id += 1;
                    self.next_id - 1
                });
                OutRun { place, mirror, table: OutTable::new(id, Cursor::default()) }
            }));
        }
        if self.audience == (Audience::Next { succeeded: true }) {
            // Of the other nodes' runs it lets go itself, once these have had their time to speak to it.
            before.retain(|run| run.mirror.node == cluster.local());
        }
        self.ended.append(&mut before);
    }
}

impl Audience {
    fn hears(self, role: Role) -> Hears {
        match (self, role) {
            // It is how a Headgate knows another, which may be slow to say what it is.
            (Self::Stock, Role::Sums) => Hears::Name,
            (Self::Stock, Role::Aggregate) => Hears::All,
            (_, Role::Sums) => Hears::All,
            (Self::Peer | Self::Stock, Role::Common) => Hears::All,
            (Self::Next { succeeded: false }, Role::Common | Role::Private) => Hears::All,
            _ => Hears::Nothing,
        }
    }

    fn hears_of(self, mirror: &Mirror, local: &str) -> bool {
        match self {
            Self::Stock => false,
            Self::Peer => mirror.node == local && mirror.is_live(),
            Self::Previous => !mirror.is_heard_from(Speaker::Previous) && mirror.is_live(),
            Self::Next { succeeded: true } => {
                mirror.node == local && mirror.is_live() && !mirror.is_told_by(Speaker::Next)
            }
            Self::Next { succeeded: false } => !mirror.is_told_by(Speaker::Next),
        }
    }
}

/// How much of a table somebody is told.
enum Hears {
    All,
    /// That there is one.
    Name,
    Nothing,
}

/// Where the entries of a table are, and how it is called there.
struct Source<'a> {
    table: &'a StickTable,
    name: &'a dyn Fn() -> String,
    /// Whether it is named even if there is nothing in it.
    announced: bool,
}

/// Where a session writes.
struct Writer<'a> {
    out: &'a mut Vec<u8>,
    texts: &'a mut Texts,
    current: &'a mut Option<u64>,
    timed: bool,
    now: Time,
}

impl OutTable {
    fn new(id: u64, cursor: Cursor) -> Self {
        Self { id, announced: false, cursor, pushed: 0, acknowledged: 0, mark: None }
    }

    /// How far the peer has come at least, if that is news; it has all if `is_all`.
    fn acknowledged(&mut self, number: u32, is_all: bool) -> Option<Cursor> {
        if number > self.pushed {
            return None;
        }
        self.acknowledged = self.acknowledged.max(number);
        let marked = self.mark.take_if(|(marked, _)| *marked <= number);
        if is_all { Some(self.cursor.clone()) } else { marked.map(|(_, cursor)| cursor) }
    }

    /// A part of a lesson; false at the table's end.
    fn teach(&mut self, source: &Source<'_>, walk: &mut Walk, writer: &mut Writer<'_>) -> bool {
        if walk.is_at_start() {
            // Where this table stands now; what changes from here on is pushed after the lesson.
            self.cursor = source.table.end();
        }
        self.announced = true;
        writer.define(self.id, source);
        let pushed = &mut self.pushed;
        source.table.walk(walk, LESSON, writer.now, |row| writer.put(&row, source, pushed, true))
    }

    /// Names the table; that is all.
    fn announce(&mut self, source: &Source<'_>, writer: &mut Writer<'_>) -> bool {
        if source.announced && !self.announced {
            writer.define(self.id, source);
        }
        self.announced = true;
        false
    }

    fn push(&mut self, source: &Source<'_>, most: usize, writer: &mut Writer<'_>) -> bool {
        self.announce(source, writer);
        let (id, pushed, now) = (self.id, &mut self.pushed, writer.now);
        let more = source.table.read_changes(&mut self.cursor, most, now, |row| {
            writer.define(id, source);
            writer.put(&row, source, pushed, false);
        });
        if self.mark.is_none() && self.pushed > self.acknowledged {
            self.mark = Some((self.pushed, self.cursor.clone()));
        }
        more
    }
}

impl Writer<'_> {
    /// Says which table the next updates are of, unless that was said last.
    fn define(&mut self, id: u64, source: &Source<'_>) {
        if self.current.replace(id) == Some(id) {
            return;
        }
        let (table, name) = (source.table, (source.name)());
        frame::put(self.out, DEFINE, |out| {
            Definition::encode(out, id, &name, table.key_type(), table.layout(), table.expire());
        });
    }

    /// Says that a run is over: its number belongs to no table any more.
    fn end(&mut self, id: u64, source: &Source<'_>) {
        *self.current = None;
        self.define(id, &Source { name: &|| NO_TABLE.to_owned(), ..*source });
        // Whoever gets the number next says so, even if nothing was named in between.
        *self.current = None;
    }

    fn put(&mut self, row: &Row<'_>, source: &Source<'_>, pushed: &mut u32, lesson: bool) {
        let Self { out, texts, timed, now, .. } = self;
        let timed = *timed && lesson;
        let number = *pushed + 1;
        let written = frame::put(out, if timed { UPDATE_TIMED } else { UPDATE }, |out| {
            out.extend_from_slice(&number.to_be_bytes());
            if timed {
                let left = u32::try_from(row.expires_in.as_millis()).unwrap_or(u32::MAX);
                out.extend_from_slice(&left.to_be_bytes());
            }
            if let KeyType::String(_) = source.table.key_type() {
                varint::put(out, row.key.len() as u64);
            }
            out.extend_from_slice(row.key);
            encode_values(out, source.table, &row.entry, texts, *now);
        });
        if written {
            *pushed = number;
        }
    }
}

fn run_name(cluster: &Cluster, place: usize, mirror: &Mirror) -> String {
    cluster.tables().get(place).map_or_else(String::new, |shared| shared.wire_name(&mirror.node, &mirror.run))
}

const UPDATE: u8 = 0x80;
const DEFINE: u8 = 0x82;
const UPDATE_TIMED: u8 = 0x85;
/// No table is called so.
const NO_TABLE: &str = "-";
/// Slots of a table that one part of a lesson goes through.
const LESSON: u32 = 256;
