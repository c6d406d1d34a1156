//! Lists of regular expressions: joined into as few automata as their size allows, so that a search reads a
//! text once for many lines. Of several that match, the first line counts.

use crate::rules::{Case, automaton};
use regex_automata::dfa::{Automaton, dense};
use regex_automata::{Anchored, Input, PatternSet};

/// Expressions, by the order of their lines.
#[derive(Debug, Default)]
pub(super) struct Expressions {
    groups: Vec<Group>,
    count: usize,
}

/// Some that follow one another, as one automaton.
#[derive(Debug)]
struct Group {
    first: usize,
    count: usize,
    automaton: dense::DFA<Vec<u32>>,
}

impl Expressions {
    /// Compiles the expressions of these lines; the error names the line.
    pub(super) fn new(lines: &[(usize, &str)], case: Case) -> Result<Self, String> {
        let mut all = Self { groups: Vec::new(), count: lines.len() };
        // One by one at first, so that a mistake is told with its line, and soon.
        for (number, line) in lines {
            crate::rules::check_expression(line, case).map_err(|error| format!("line {number}: {error}"))?;
        }
        all.join(lines, 0, case)?;
        Ok(all)
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Whether one is found anywhere in `text`.
    pub(super) fn any_in(&self, text: &[u8]) -> bool {
        let input = Input::new(text).anchored(Anchored::No).earliest(true);
        self.groups.iter().any(|group| matches!(group.automaton.try_search_fwd(&input), Ok(Some(_))))
    }

    /// The place of the first that is found anywhere in `text`.
    pub(super) fn first_in(&self, text: &[u8]) -> Option<usize> {
        let input = Input::new(text).anchored(Anchored::No);
        self.groups.iter().find_map(|group| {
            let mut found = PatternSet::new(group.count);
            // It can fail only on bytes at which the automaton was told to stop, and it was told of none.
            group.automaton.try_which_overlapping_matches(&input, &mut found).ok()?;
            found.iter().map(|pattern| group.first + pattern.as_usize()).min()
        })
    }

    /// All in one automaton if they fit, else half and half.
    fn join(&mut self, lines: &[(usize, &str)], first: usize, case: Case) -> Result<(), String> {
        if lines.is_empty() {
            return Ok(());
        }
        let expressions: Vec<&str> = lines.iter().map(|(_, line)| *line).collect();
        match automaton(&expressions, case) {
            Ok(automaton) => {
                self.groups.push(Group { first, count: lines.len(), automaton });
                let bytes: usize = self.groups.iter().map(|group| group.automaton.memory_usage()).sum();
                if bytes > MAX_COMPILED {
                    return Err(format!(
                        "all expressions together are larger than {} MiB",
                        MAX_COMPILED >> 20
                    ));
                }
                Ok(())
            }
            Err(_) if lines.len() > 1 => {
                let (one, other) = lines.split_at(lines.len() / 2);
                self.join(one, first, case)?;
                self.join(other, first + one.len(), case)
            }
            Err(error) => {
                let number = lines.first().map_or(0, |(number, _)| *number);
                Err(format!("line {number}: {error}"))
            }
        }
    }
}

/// Lines of a list of expressions: each may cost a step for each byte of what is looked up, if none can be joined.
pub(super) const MAX_EXPRESSIONS: usize = 1000;
/// Bytes of all automata of a list.
const MAX_COMPILED: usize = 16 << 20;
