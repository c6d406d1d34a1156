//! A text or an expression to look for in what a server says, compiled into a table when it is read: a search takes
//! one step for each byte, remembers one state, and so does not care in which pieces an answer comes.

use regex_automata::Anchored;
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::{start, syntax};
use std::fmt;
use std::sync::Arc;

/// What is looked for.
#[derive(Clone)]
pub struct Pattern {
    expression: String,
    dfa: Arc<dense::DFA<Vec<u32>>>,
    start: StateID,
}

impl Pattern {
    /// An expression over bytes; the error says what is wrong with it.
    pub fn regex(expression: &str) -> Result<Self, String> {
        let dfa = dense::Builder::new()
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .thompson(thompson::Config::new().utf8(false).nfa_size_limit(Some(MAX_SIZE)))
            .configure(
                dense::Config::new()
                    .start_kind(StartKind::Unanchored)
                    .dfa_size_limit(Some(MAX_SIZE))
                    .determinize_size_limit(Some(MAX_SIZE)),
            )
            .build(expression)
            .map_err(|error| reason(&error))?;
        let start = dfa.start_state(&start::Config::new().anchored(Anchored::No));
        let start = start.map_err(|error| error.to_string())?;
        Ok(Self { expression: expression.to_owned(), dfa: Arc::new(dfa), start })
    }

    /// Exactly these bytes, wherever they stand.
    pub fn bytes(bytes: &[u8]) -> Result<Self, String> {
        let escaped = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
        if bytes.is_empty() { Err("there is nothing to look for".to_owned()) } else { Self::regex(&escaped) }
    }

    /// A search that has seen nothing yet.
    pub fn search(&self) -> Search {
        Search { state: self.start, found: false, dfa: Arc::clone(&self.dfa) }
    }
}

/// A pattern is what it was compiled from.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.expression == other.expression
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.expression).finish()
    }
}

/// A search under way.
#[derive(Clone)]
pub struct Search {
    dfa: Arc<dense::DFA<Vec<u32>>>,
    state: StateID,
    found: bool,
}

impl Search {
    /// Takes the next bytes: whether it has been found by now. It may take one more byte, or the end, until that
    /// is known.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            if self.found {
                break;
            }
            self.state = self.dfa.next_state(self.state, *byte);
            self.found = self.dfa.is_match_state(self.state);
        }
        self.found
    }

    /// Nothing more will come: whether it has been found.
    pub fn end(&mut self) -> bool {
        if !self.found {
            self.state = self.dfa.next_eoi_state(self.state);
            self.found = self.dfa.is_match_state(self.state);
        }
        self.found
    }

    /// Whether it has been found in what came so far, were that all.
    pub fn found_by_now(&self) -> bool {
        self.found || self.dfa.is_match_state(self.dfa.next_eoi_state(self.state))
    }
}

impl fmt::Debug for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Search").field("found", &self.found).finish_non_exhaustive()
    }
}

fn reason(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// Most bytes of a compiled pattern: a few hundred ordinary ones fit in the memory of one browser tab.
const MAX_SIZE: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_is_found_in_whatever_pieces_it_comes() {
        let pattern = Pattern::regex("role:(master|primary)").expect("valid");
        let mut search = pattern.search();
        assert!("x role:mas".bytes().all(|byte| !search.push(&[byte])));
        assert!(
            !search.push(b"ter") && search.found_by_now(),
            "the last byte is not followed by another yet"
        );
        assert!(search.push(b"\r"), "and now it is");
        assert!(Pattern::regex("(").expect_err("not closed").contains("unclosed"));
        assert!(Pattern::bytes(b"").is_err());
        assert!(!Pattern::bytes(b"a.c").expect("valid").search().push(b"abc abc"), "bytes mean themselves");
    }

    #[test]
    fn ends_count_where_an_expression_asks_for_them() {
        let mut search = Pattern::regex("ok$").expect("valid").search();
        assert!(!search.push(b"ok ok"));
        assert!(search.end());
        assert!(!Pattern::regex("^b").expect("valid").search().push(b"abb"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn bytes_are_found_where_they_are(
            text in prop::collection::vec(any::<u8>(), 0..64),
            wanted in prop::collection::vec(any::<u8>(), 1..4),
        ) {
            let mut search = Pattern::bytes(&wanted).expect("short").search();
            search.push(&text);
            prop_assert_eq!(search.end(), text.windows(wanted.len()).any(|part| part == wanted));
        }
    }
}
