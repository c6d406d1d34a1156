//! Which entries of a table a command is about.

use crate::table::{DataType, Kind, Row, StickTable};
use crate::track;
use base_core::Time;

/// Which entries.
pub(super) enum Which {
    All,
    Key(Vec<u8>),
    /// Those that pass all.
    Filters(Vec<Filter>),
}

/// What an entry must have.
pub(super) struct Filter {
    data: DataType,
    operator: Operator,
    value: u64,
}

#[derive(Clone, Copy)]
enum Operator {
    Eq,
    Ne,
    Le,
    Ge,
    Lt,
    Gt,
}

/// Why it is not known which.
pub(super) enum Fault {
    /// The first word is none that can stand there.
    Word,
    /// This is said.
    Said(String),
}

impl Which {
    /// From the words behind the table's name; `most` filters.
    pub(super) fn parse(words: &[String], table: &StickTable, most: usize) -> Result<Self, Fault> {
        match words {
            [] => Ok(Self::All),
            [word] if word == "key" => Err(Fault::Said("Key value expected".to_owned())),
            [word, key, ..] if word == "key" => {
                let key = table.key_type().parse(key);
                key.map(Self::Key).ok_or_else(|| Fault::Said(super::BAD_KEY.to_owned()))
            }
            [word, ..] if word.starts_with("data.") => {
                filters(words, table, most).map(Self::Filters).map_err(Fault::Said)
            }
            _ => Err(Fault::Word),
        }
    }

    pub(super) fn has(&self, row: &Row<'_>, now: Time) -> bool {
        match self {
            Self::All => true,
            Self::Key(key) => key == row.key,
            Self::Filters(filters) => filters.iter().all(|filter| {
                filter.operator.holds(track::value(&row.entry, filter.data, 0, now), filter.value)
            }),
        }
    }
}

fn filters(words: &[String], table: &StickTable, most: usize) -> Result<Vec<Filter>, String> {
    let mut filters = Vec::new();
    for (place, words_of_one) in words.chunks(3).enumerate() {
        let number = place + 1;
        if number > most {
            let before = words.get(place * 3 - 1).map_or("", String::as_str);
            // Behind the two words of the command and the table's name.
            let word = 4 + place * 3;
            return Err(format!("Detected extra data in filter, {word}th word of input, after '{before}'"));
        }
        let filter =
            filter(words_of_one, table).map_err(|error| format!("Filter entry #{number}: {error}"))?;
        filters.push(filter);
    }
    Ok(filters)
}

fn filter(words: &[String], table: &StickTable) -> Result<Filter, &'static str> {
    let name = words.first().and_then(|word| word.strip_prefix("data."));
    let data = name.and_then(DataType::named).ok_or("Unknown data type")?;
    if table.layout().get(data).is_none() {
        return Err("Data type not stored in this table");
    }
    let operator = words.get(1).and_then(|word| Operator::parse(word));
    let operator =
        operator.ok_or("Require and operator among \"eq\", \"ne\", \"le\", \"ge\", \"lt\", \"gt\"")?;
    let value = words.get(2).and_then(|word| word.parse().ok()).filter(|_| data.kind() != Kind::Text);
    Ok(Filter { data, operator, value: value.ok_or("Require a valid integer value to compare against")? })
}

impl Operator {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "eq" => Self::Eq,
            "ne" => Self::Ne,
            "le" => Self::Le,
            "ge" => Self::Ge,
            "lt" => Self::Lt,
            "gt" => Self::Gt,
            _ => return None,
        })
    }

    fn holds(self, found: u64, value: u64) -> bool {
        match self {
            Self::Eq => found == value,
            Self::Ne => found != value,
            Self::Le => found <= value,
            Self::Ge => found >= value,
            Self::Lt => found < value,
            Self::Gt => found > value,
        }
    }
}
