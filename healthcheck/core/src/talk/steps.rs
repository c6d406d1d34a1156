//! A talk that the operator wrote: send this, expect that, in order. HAProxy's `tcp-check send` and `expect`.
//!
//! Each expectation looks at what came since the last one was met. One that must not be met fails as soon as it is,
//! and otherwise holds once a line has come, or the end.

use super::inbox::MAX_TALK;
use super::{Finding, Talk};
use crate::spec::{Search, Step};
use std::collections::VecDeque;

#[derive(Debug)]
pub(super) struct Steps {
    left: VecDeque<Step>,
    waits: Option<Wait>,
    seen: usize,
}

#[derive(Debug)]
struct Wait {
    search: Search,
    not: bool,
}

impl Steps {
    pub(super) fn new(steps: &[Step]) -> Self {
        Self { left: steps.iter().cloned().collect(), waits: None, seen: 0 }
    }

    /// Goes on to the next expectation; `true` if there is none left.
    fn go_on(&mut self, out: &mut Vec<u8>) -> bool {
        while let Some(step) = self.left.pop_front() {
            match step {
                Step::Send(bytes) => out.extend_from_slice(&bytes),
                Step::Expect { pattern, not } => {
                    self.waits = Some(Wait { search: pattern.search(), not });
                    return false;
                }
            }
        }
        true
    }
}

impl Talk for Steps {
    fn begin(&mut self, out: &mut Vec<u8>) {
        // Steps without an expectation are refused when they are read.
        self.go_on(out);
    }

    fn on(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Option<Finding> {
        for byte in bytes {
            self.seen += 1;
            if self.seen > MAX_TALK {
                return Some(Finding::garbage("too_long"));
            }
            let Some(wait) = &mut self.waits else { return Some(Finding::OK) };
            wait.search.push(&[*byte]);
            let met = match (wait.search.found_by_now(), wait.not) {
                (true, true) => return Some(Finding::garbage("unwanted_text")),
                (found, false) => found,
                (false, true) => *byte == b'\n',
            };
            if met {
                self.waits = None;
                if self.go_on(out) {
                    return Some(Finding::OK);
                }
            }
        }
        None
    }

    fn end(&mut self) -> Finding {
        match &self.waits {
            Some(wait) if wait.not && self.left.iter().all(|step| matches!(step, Step::Send(_))) => {
                Finding::OK
            }
            Some(_) => Finding::garbage("text_not_found"),
            None => Finding::OK,
        }
    }
}
