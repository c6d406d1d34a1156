//! What docs/bgp.md says is shown by a test is shown by one that exists.

use std::fs;
use std::path::{Path, PathBuf};

/// Cargo runs a test in its package's folder; a path built in could be that of an older checkout.
const WORKSPACE: &str = "..";

/// Every test that a table of the section names, as `module::name` or `name`.
fn named(text: &str, section: &str) -> Vec<String> {
    let (_, rest) = text.split_once(&format!("\n## {section}\n")).expect("the section");
    let section = rest.split("\n## ").next().unwrap_or_default();
    let cells = section.lines().filter_map(|line| line.strip_suffix(" |")?.rsplit_once(" | "));
    cells.flat_map(|(_, cell)| cell.split('`').skip(1).step_by(2)).map(ToOwned::to_owned).collect()
}

/// Every function in these folders that is a test or a property.
fn tests(folders: &[PathBuf]) -> String {
    let mut sources = String::new();
    for folder in folders {
        let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries.map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                sources += &tests(&[entry]);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                sources += &fs::read_to_string(&entry).expect("a source");
            }
        }
    }
    sources
}

#[test]
fn every_test_that_the_tables_name_exists() {
    let root = Path::new(WORKSPACE);
    let text = fs::read_to_string(root.join("docs/bgp.md")).expect("docs/bgp.md");
    let folders = ["bgp-speaker/core", "bgp-speaker/src", "bgp-speaker/tests", "tests/cases"];
    let sources = tests(&folders.map(|folder| root.join(folder)));
    for (section, least) in [("Conformance", 60), ("Where others went wrong", 20)] {
        let named = named(&text, section);
        assert!(named.len() >= least, "{section}: only {} tests are named", named.len());
        for name in named {
            let function = name.rsplit("::").next().unwrap_or_default();
            assert!(sources.contains(&format!("fn {function}(")), "{section}: there is no test {name}");
        }
    }
}

#[test]
fn every_row_of_the_tables_names_a_test() {
    let root = Path::new(WORKSPACE);
    let text = fs::read_to_string(root.join("docs/bgp.md")).expect("docs/bgp.md");
    for section in ["Conformance", "Where others went wrong"] {
        let (_, rest) = text.split_once(&format!("\n## {section}\n")).expect("the section");
        let rows = rest.split("\n## ").next().unwrap_or_default().lines();
        for row in rows.filter(|line| line.starts_with("| ")).skip(2) {
            assert!(row.trim_end_matches(" |").ends_with('`'), "no test: {row}");
        }
    }
}
