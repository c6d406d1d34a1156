//! How many of a row of probes must pass, for a script that waits for the answer.

/// What is asked of a row of probes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Goal {
    /// Probes at most.
    pub count: u32,
    /// Passes that are enough at the end, where `rise` does not decide.
    pub require: u32,
    /// Success as soon as this many passed in a row; no success without it.
    pub rise: Option<u32>,
    /// Failure as soon as this many failed in a row.
    pub fall: Option<u32>,
}

/// Counts probes until the goal is reached or missed.
#[derive(Clone, Copy, Debug)]
pub struct Tally {
    goal: Goal,
    passed: u32,
    failed: u32,
    /// How many of the last probes ended the same way.
    row: u32,
    last: Option<bool>,
}

impl Tally {
    /// Nothing counted yet.
    pub const fn new(goal: Goal) -> Self {
        Self { goal, passed: 0, failed: 0, row: 0, last: None }
    }

    /// Probes that passed.
    pub const fn passed(&self) -> u32 {
        self.passed
    }

    /// Probes that failed.
    pub const fn failed(&self) -> u32 {
        self.failed
    }

    /// Counts one probe; the answer as soon as there is one.
    pub fn add(&mut self, passed: bool) -> Option<bool> {
        let counter = if passed { &mut self.passed } else { &mut self.failed };
        *counter += 1;
        self.row = if self.last == Some(passed) { self.row + 1 } else { 1 };
        self.last = Some(passed);
        let Goal { count, require, rise, fall } = self.goal;
        match if passed { rise } else { fall } {
            Some(enough) if self.row >= enough => Some(passed),
            _ if self.passed + self.failed < count => None,
            _ => Some(rise.is_none() && self.passed >= require),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(goal: Goal, probes: &str) -> (Option<bool>, usize) {
        let mut tally = Tally::new(goal);
        for (at, probe) in probes.chars().enumerate() {
            if let Some(answer) = tally.add(probe == '+') {
                return (Some(answer), at + 1);
            }
        }
        (None, probes.len())
    }

    #[test]
    fn a_goal_is_decided_as_early_as_it_can_be() {
        let all = Goal { count: 3, require: 3, rise: None, fall: None };
        assert_eq!(run(all, "+++"), (Some(true), 3));
        assert_eq!(run(all, "-++"), (Some(false), 3));
        assert_eq!(run(Goal { require: 2, ..all }, "-++"), (Some(true), 3));
        let rise = Goal { count: 5, require: 5, rise: Some(2), fall: None };
        assert_eq!(run(rise, "+-++"), (Some(true), 4));
        assert_eq!(run(rise, "+-+-+"), (Some(false), 5));
        let fall = Goal { count: 9, require: 9, rise: None, fall: Some(2) };
        assert_eq!(run(fall, "-+--"), (Some(false), 4));
        assert_eq!(run(Goal { rise: Some(3), ..fall }, "-++-+++"), (Some(true), 7));
    }
}
