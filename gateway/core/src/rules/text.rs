//! What a text must be like: the same words for paths, header fields, query parameters and cookies.

use super::condition::Facts;
use crate::lists::{ListId, Wanted};
use regex_automata::dfa::{Automaton, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};
use std::sync::Arc;

/// What a text must be like.
#[derive(Clone, Debug)]
pub enum Text {
    /// There must be none.
    Missing,
    /// There must be one that passes all of these; of none that is true of any text.
    Passes(Vec<Test>),
}

/// One thing that a text must be; each list is of alternatives.
#[derive(Clone, Debug)]
pub enum Test {
    /// One of these.
    Is(Vec<String>, Case),
    /// It begins with one of these.
    Beg(Vec<String>, Case),
    /// It ends with one of these.
    End(Vec<String>, Case),
    /// It contains one of these.
    Sub(Vec<String>, Case),
    /// The expression is found in it.
    Reg(Regex),
    /// It is found in a list.
    Listed(ListId),
}

/// Whether upper and lower case differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// They do.
    Matters,
    /// They do not (HAProxy: `-i`); ASCII only.
    Ignored,
}

/// A regular expression, compiled into a table when the configuration is read: a search takes one step
/// for each byte, whatever the expression, and allocates nothing.
#[derive(Clone, Debug)]
pub struct Regex(Arc<dense::DFA<Vec<u32>>>);

impl Text {
    /// Whether one of these texts, or their absence, is as it must be.
    pub fn fits<'a>(&self, facts: &impl Facts, mut texts: impl Iterator<Item = &'a [u8]>) -> bool {
        match self {
            Self::Missing => texts.next().is_none(),
            Self::Passes(tests) => texts.any(|text| tests.iter().all(|test| test.holds(facts, text))),
        }
    }
}

impl Test {
    fn holds(&self, facts: &impl Facts, text: &[u8]) -> bool {
        match self {
            Self::Is(all, case) => all.iter().any(|one| case.same(text, one)),
            Self::Beg(all, case) => {
                all.iter().any(|one| text.get(..one.len()).is_some_and(|start| case.same(start, one)))
            }
            Self::End(all, case) => all.iter().any(|one| {
                let start = text.len().checked_sub(one.len());
                start.and_then(|start| text.get(start..)).is_some_and(|end| case.same(end, one))
            }),
            Self::Sub(all, case) => all
                .iter()
                .any(|one| one.is_empty() || text.windows(one.len()).any(|part| case.same(part, one))),
            Self::Reg(regex) => regex.is_found_in(text),
            Self::Listed(list) => facts.lookup(*list, Wanted::Text(text), |_| ()).is_some(),
        }
    }
}

impl Case {
    fn same(self, one: &[u8], other: &str) -> bool {
        match self {
            Self::Matters => one == other.as_bytes(),
            Self::Ignored => one.eq_ignore_ascii_case(other.as_bytes()),
        }
    }
}

impl Regex {
    /// Compiles an expression over bytes; the error says what is wrong with it.
    pub fn new(expression: &str, case: Case) -> Result<Self, String> {
        automaton(&[expression], case).map(|dfa| Self(Arc::new(dfa)))
    }

    /// Whether it is found anywhere in the text.
    pub fn is_found_in(&self, text: &[u8]) -> bool {
        let input = Input::new(text).anchored(Anchored::No).earliest(true);
        // A search can fail only on bytes at which the table was told to stop, and it was told of none.
        matches!(self.0.try_search_fwd(&input), Ok(Some(_)))
    }
}

/// Compiles expressions over bytes into one automaton, which finds each of them.
pub(crate) fn automaton(expressions: &[&str], case: Case) -> Result<dense::DFA<Vec<u32>>, String> {
    let nfa = thompson::Config::new().utf8(false).nfa_size_limit(Some(MAX_REGEX));
    let dfa = dense::Config::new()
        .match_kind(MatchKind::All)
        .start_kind(regex_automata::dfa::StartKind::Unanchored)
        .dfa_size_limit(Some(MAX_REGEX))
        .determinize_size_limit(Some(MAX_REGEX));
    let built =
        dense::Builder::new().syntax(syntax(case)).thompson(nfa).configure(dfa).build_many(expressions);
    built.map_err(|error| deepest(&error))
}

/// Whether it is an expression at all; what is wrong with it if not.
pub(crate) fn check_expression(expression: &str, case: Case) -> Result<(), String> {
    syntax::parse_with(expression, &syntax(case)).map(drop).map_err(|error| deepest(&error))
}

fn syntax(case: Case) -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false).case_insensitive(case == Case::Ignored)
}

fn deepest(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// Most bytes of one compiled expression: a few hundred ordinary ones fit in the memory of one browser
/// tab, and none can eat the machine.
const MAX_REGEX: usize = 1 << 20;
