//! What a table can know of a key: HAProxy's data types (manual, "stick-table", `store`), and the layout
//! that an entry gets from those that its table stores.
//!
//! The numbers are those of the peers protocol. An entry costs the words of what it stores and nothing else.

use std::fmt;
use std::time::Duration;

/// A data type, by its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "HAProxy's names say what they are, and its manual more")]
pub enum DataType {
    ServerId,
    Gpt0,
    Gpc0,
    Gpc0Rate,
    ConnCnt,
    ConnRate,
    ConnCur,
    SessCnt,
    SessRate,
    HttpReqCnt,
    HttpReqRate,
    HttpErrCnt,
    HttpErrRate,
    BytesInCnt,
    BytesInRate,
    BytesOutCnt,
    BytesOutRate,
    Gpc1,
    Gpc1Rate,
    ServerKey,
    HttpFailCnt,
    HttpFailRate,
    Gpt,
    Gpc,
    GpcRate,
    GlitchCnt,
    GlitchRate,
}

/// How a value is kept and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number of 32 bits.
    Number,
    /// A number of 64 bits.
    Long,
    /// A rate over the type's period.
    Rate,
    /// A text, by its number in the table's dictionary.
    Text,
}

/// A data type that a table stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Which.
    pub data: DataType,
    /// The window of a rate; zero for others.
    pub period: Duration,
    /// Elements of an array; 1 for others.
    pub elements: u16,
}

/// Where an entry keeps what: its data types in the order of their numbers, each at its word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    stored: Vec<(Stored, u32)>,
    places: [Option<u8>; DataType::ALL.len()],
    words: usize,
    cells: u16,
}

impl DataType {
    /// All, by number.
    pub const ALL: [Self; 27] = [
        Self::ServerId,
        Self::Gpt0,
        Self::Gpc0,
        Self::Gpc0Rate,
        Self::ConnCnt,
        Self::ConnRate,
        Self::ConnCur,
        Self::SessCnt,
        Self::SessRate,
        Self::HttpReqCnt,
        Self::HttpReqRate,
        Self::HttpErrCnt,
        Self::HttpErrRate,
        Self::BytesInCnt,
        Self::BytesInRate,
        Self::BytesOutCnt,
        Self::BytesOutRate,
        Self::Gpc1,
        Self::Gpc1Rate,
        Self::ServerKey,
        Self::HttpFailCnt,
        Self::HttpFailRate,
        Self::Gpt,
        Self::Gpc,
        Self::GpcRate,
        Self::GlitchCnt,
        Self::GlitchRate,
    ];

    /// The one of this number; those that came after are not known.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// Its number on the wire.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// HAProxy's name.
    pub fn name(self) -> &'static str {
        NAMES[usize::from(self.number())]
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().position(|other| *other == name).map(|place| Self::ALL[place])
    }

    /// How its values are kept.
    #[inline]
    pub fn kind(self) -> Kind {
        match self {
            Self::BytesInCnt | Self::BytesOutCnt => Kind::Long,
            Self::ServerKey => Kind::Text,
            Self::Gpc0Rate
            | Self::ConnRate
            | Self::SessRate
            | Self::HttpReqRate
            | Self::HttpErrRate
            | Self::BytesInRate
            | Self::BytesOutRate
            | Self::Gpc1Rate
            | Self::HttpFailRate
            | Self::GpcRate
            | Self::GlitchRate => Kind::Rate,
            _ => Kind::Number,
        }
    }

    /// Whether what several nodes have counted adds up: a tag, or a server, is what it is.
    pub fn adds_up(self) -> bool {
        !matches!(self, Self::Gpt | Self::Gpt0 | Self::ServerId | Self::ServerKey)
    }

    /// Whether there are several of it in an entry.
    pub fn is_array(self) -> bool {
        matches!(self, Self::Gpt | Self::Gpc | Self::GpcRate)
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Kind {
    /// Words of 32 bits that a value takes.
    pub fn words(self) -> usize {
        match self {
            Self::Number | Self::Text => 1,
            Self::Long => 2,
            Self::Rate => 3,
        }
    }
}

impl Stored {
    /// A plain value.
    pub fn one(data: DataType) -> Self {
        Self { data, period: Duration::ZERO, elements: 1 }
    }

    /// A rate over `period`.
    pub fn rate(data: DataType, period: Duration) -> Self {
        Self { data, period, elements: 1 }
    }

    fn words(&self) -> usize {
        usize::from(self.elements) * self.data.kind().words()
    }
}

impl Layout {
    /// Of these, in any order; what comes twice counts once, as it came first.
    pub fn new(stored: impl IntoIterator<Item = Stored>) -> Self {
        let mut all: Vec<Stored> = stored.into_iter().collect();
        all.sort_by_key(|stored| stored.data);
        all.dedup_by_key(|stored| stored.data);
        let mut layout = Self::default();
        for stored in all {
            // Fewer than 256 types, so both fit.
            layout.places[usize::from(stored.data.number())] = u8::try_from(layout.stored.len()).ok();
            layout.stored.push((stored, u32::try_from(layout.words).unwrap_or(u32::MAX)));
            layout.words += stored.words();
        }
        layout
    }

    /// With so many cells besides, which are this node's own: no peer hears of them.
    pub fn with_cells(mut self, cells: u16) -> Self {
        self.words += usize::from(cells) * CELL;
        self.cells += cells;
        self
    }

    /// At which word a cell begins, if there is one of this number.
    #[inline]
    pub(super) fn cell(&self, number: u16) -> Option<usize> {
        (number < self.cells).then(|| self.words - usize::from(self.cells - number) * CELL)
    }

    /// What is stored, by number.
    pub fn stored(&self) -> impl ExactSizeIterator<Item = &Stored> {
        self.stored.iter().map(|(stored, _)| stored)
    }

    /// How this type is stored, if it is.
    pub fn get(&self, data: DataType) -> Option<&Stored> {
        self.place(data).map(|(stored, _)| stored)
    }

    /// Words of an entry's data.
    pub fn words(&self) -> usize {
        self.words
    }

    /// How this type is stored, and at which word it begins.
    #[inline]
    pub(super) fn place(&self, data: DataType) -> Option<(&Stored, usize)> {
        let place = self.places[usize::from(data.number())]?;
        self.stored.get(usize::from(place)).map(|(stored, word)| (stored, *word as usize))
    }
}

/// Words of a cell.
const CELL: usize = 2;
/// By number.
const NAMES: [&str; 27] = [
    "server_id",
    "gpt0",
    "gpc0",
    "gpc0_rate",
    "conn_cnt",
    "conn_rate",
    "conn_cur",
    "sess_cnt",
    "sess_rate",
    "http_req_cnt",
    "http_req_rate",
    "http_err_cnt",
    "http_err_rate",
    "bytes_in_cnt",
    "bytes_in_rate",
    "bytes_out_cnt",
    "bytes_out_rate",
    "gpc1",
    "gpc1_rate",
    "server_key",
    "http_fail_cnt",
    "http_fail_rate",
    "gpt",
    "gpc",
    "gpc_rate",
    "glitch_cnt",
    "glitch_rate",
];
