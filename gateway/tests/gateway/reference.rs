//! `docs/reference.md` knows every key, and its examples load. What keys there are, the parser itself
//! says: an unknown one is answered with those that it knows.

use crate::documents::{Example, check, document, examples};
use base_core::diagnose::Source;
use gateway_core::Config;
use serde_json::Value;
use std::collections::BTreeSet;

/// Where keys are described: those of checks have a document of their own.
const DOCUMENTS: [&str; 2] = ["reference.md", "healthcheck.md"];

#[test]
fn every_example_of_the_reference_loads() {
    for name in DOCUMENTS {
        check(&examples(name));
    }
}

#[test]
fn every_key_has_its_row_with_type_and_default() {
    let rows: Vec<_> = DOCUMENTS.iter().flat_map(|name| tables(&document(name))).collect();
    let mut lacking = Vec::new();
    for table in Schema::discovered().tables {
        let missing = |listed: &BTreeSet<String>| -> Vec<_> {
            table.keys.iter().filter(|key| !listed.contains(*key)).cloned().collect()
        };
        let best = rows.iter().map(missing).min_by_key(Vec::len).unwrap_or_default();
        if !best.is_empty() {
            lacking.push(format!("{}: {}", shown(&table.path), best.join(", ")));
        }
    }
    assert!(
        lacking.is_empty(),
        "keys without a row in any one table of docs/{{reference,healthcheck}}.md:\n{}",
        lacking.join("\n")
    );
}

#[test]
fn every_key_stands_in_an_example() {
    let schema = Schema::discovered();
    let mut used = BTreeSet::new();
    for example in DOCUMENTS.iter().flat_map(|name| examples(name)) {
        schema.walk(&value(&example), 0, &mut used);
    }
    let mut lacking = Vec::new();
    for (place, table) in schema.tables.iter().enumerate() {
        let unused = table.keys.iter().filter(|key| !used.contains(&(place, (*key).clone())));
        lacking.extend(unused.map(|key| format!("{}{key}", shown(&table.path))));
    }
    assert!(
        lacking.is_empty(),
        "keys in no example (```toml) of docs/{{reference,healthcheck}}.md:\n{}",
        lacking.join("\n")
    );
}

#[test]
fn the_parser_tells_its_keys() {
    let schema = Schema::discovered();
    let has = |key: &str| schema.tables.iter().any(|table| table.keys.iter().any(|known| known == key));
    for key in ["node", "bind", "http_req_rate", "unless", "ignore_case", "gt", "queue_timeout", "inter"] {
        assert!(has(key), "{key}");
    }
}

/// One way from a key down to a table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Key,
    /// Each of a list.
    List,
    /// Whatever name the operator gives it.
    Name,
}

/// Ways from a key to the table or tables below it.
const WAYS: [&[Step]; 4] = [&[], &[Step::List], &[Step::Name], &[Step::Name, Step::List]];

/// Tables of the configuration; those with the same keys are one, so a condition within a condition ends.
struct Schema {
    tables: Vec<Table>,
}

struct Table {
    path: Vec<(Step, String)>,
    keys: Vec<String>,
    /// By key, and then by a way, to another table.
    below: Vec<(String, &'static [Step], usize)>,
}

impl Schema {
    fn discovered() -> Self {
        let root = keys_at(&[]).expect("an unknown key at the top is refused");
        let mut schema = Self { tables: vec![Table { path: vec![], keys: root, below: vec![] }] };
        let mut place = 0;
        while place < schema.tables.len() {
            for key in schema.tables[place].keys.clone() {
                for way in WAYS {
                    let mut path = schema.tables[place].path.clone();
                    path.push((Step::Key, key.clone()));
                    path.extend(way.iter().map(|step| (*step, UNKNOWN.to_owned())));
                    let Some(keys) = keys_at(&path) else { continue };
                    let below = schema.place_of(path, keys);
                    schema.tables[place].below.push((key.clone(), way, below));
                }
            }
            place += 1;
        }
        schema
    }

    fn place_of(&mut self, path: Vec<(Step, String)>, keys: Vec<String>) -> usize {
        self.tables.iter().position(|table| table.keys == keys).unwrap_or_else(|| {
            self.tables.push(Table { path, keys, below: vec![] });
            self.tables.len() - 1
        })
    }

    /// Notes each key that `value`, the table at `place`, has.
    fn walk(&self, value: &Value, place: usize, used: &mut BTreeSet<(usize, String)>) {
        let Some(table) = value.as_object() else { return };
        for (key, value) in table {
            used.insert((place, key.clone()));
            let ways = self.tables[place].below.iter().filter(|(below, ..)| below == key);
            for (_, way, below) in ways {
                self.descend(value, way, *below, used);
            }
        }
    }

    fn descend(&self, value: &Value, way: &[Step], place: usize, used: &mut BTreeSet<(usize, String)>) {
        match (way, value) {
            ([], value) => self.walk(value, place, used),
            ([Step::List, rest @ ..], Value::Array(values)) => {
                values.iter().for_each(|value| self.descend(value, rest, place, used));
            }
            ([Step::Name, rest @ ..], Value::Object(values)) => {
                values.values().for_each(|value| self.descend(value, rest, place, used));
            }
            _ => {}
        }
    }
}

/// The keys that the parser knows in the table at `path`; `None` if there is none.
fn keys_at(path: &[(Step, String)]) -> Option<Vec<String>> {
    let mut text = format!("{{ {UNKNOWN} = 1 }}");
    for (step, name) in path.iter().rev() {
        text = if *step == Step::List { format!("[{text}]") } else { format!("{{ {name} = {text} }}") };
    }
    let error = Config::parse(&Source::new("probe", text.strip_prefix("{ ")?.strip_suffix(" }")?)).err()?;
    let expected = error.message.strip_prefix(&format!("unknown field `{UNKNOWN}`, expected "))?;
    Some(expected.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}

/// No key that there is.
const UNKNOWN: &str = "no_such_key";

/// The keys in each table of a document: what stands in backticks in the first cell of a row of which no
/// cell is empty.
fn tables(document: &str) -> Vec<BTreeSet<String>> {
    let mut tables = vec![BTreeSet::new()];
    for line in document.lines() {
        let Some(row) = line.strip_prefix("| ").and_then(|row| row.strip_suffix(" |")) else {
            tables.push(BTreeSet::new());
            continue;
        };
        let cells: Vec<_> = row.split(" | ").collect();
        if let (Some(table), true) = (tables.last_mut(), cells.iter().all(|cell| !cell.trim().is_empty())) {
            table.extend(cells[0].split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    tables
}

fn value(example: &Example) -> Value {
    let text = example.completed("/etc/headgate".as_ref());
    Source::new(&example.place, text).parse().unwrap_or_else(|error| panic!("{error}"))
}

/// `frontend.limit.`
fn shown(path: &[(Step, String)]) -> String {
    path.iter().filter(|(step, _)| *step == Step::Key).map(|(_, name)| format!("{name}.")).collect()
}
