//! `cargo xtask test`: every test of the workspace, in the order fast to slow.
//!
//! Tiers: a test in a module named `long` needs minutes and belongs to the second tier. The lab's
//! cases need root; without it they are left out, by name of the reason, and the rest runs.

use crate::run::{self, cargo, say};
use crate::setup::{self, Privilege};
use anyhow::{Context, Result};
use std::fmt;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::process::{Command, Stdio};

/// The part of a test's name that puts it into the second tier.
pub(crate) const LONG: &str = "long::";

/// What a run of tests came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    passed: u64,
    failed: u64,
    /// A command that failed without saying how many tests did: it did not build.
    broken: u64,
}

impl Outcome {
    /// Nothing failed, and something ran.
    pub(crate) fn is_success(self) -> bool {
        self.failed + self.broken == 0
    }

    /// Adds what another run came to.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.broken += other.broken;
    }

    /// Reads cargo test's own line, `test result: ok. 3 passed; 0 failed; …`.
    fn take_line(&mut self, line: &str) {
        let Some((_, counts)) = line.split_once("test result: ") else { return };
        for part in counts.split([';', '.']) {
            let mut words = part.trim().split(' ');
            match (words.next().and_then(|number| number.parse::<u64>().ok()), words.next()) {
                (Some(number), Some("passed")) => self.passed += number,
                (Some(number), Some("failed")) => self.failed += number,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed + self.broken)
    }
}

/// Whether the lab can run, and as whom.
pub(crate) enum LabAccess {
    /// It can.
    As(Privilege),
    /// It cannot; why.
    No(String),
}

/// Builds everything, then runs the first tier, or with `all` both.
pub(crate) fn run(all: bool, filter: Option<&str>) -> Result<Outcome> {
    let lab = prepare()?;
    let skip_long = !all && !filter.is_some_and(|filter| filter.contains(LONG));
    let arguments: Vec<_> =
        skip_long.then_some(["--skip", LONG]).into_iter().flatten().chain(filter).collect();
    let mut outcome = units(&arguments)?;
    match &lab {
        LabAccess::As(privilege) => outcome.add(cases(privilege, &arguments)?),
        LabAccess::No(why) => say(&format!("The lab's cases (tests/cases) were not run: {why}.")),
    }
    Ok(outcome)
}

/// The set-up, and one build that serves all that follows. The daemons are built too: the lab runs
/// them as they are.
pub(crate) fn prepare() -> Result<LabAccess> {
    let privilege = Privilege::find();
    let lab = match (&privilege, setup::missing_for_the_lab().as_slice()) {
        (Privilege::None(why), []) => LabAccess::No((*why).to_owned()),
        (Privilege::None(why), missing) => {
            LabAccess::No(format!("{why}; and these programs are missing:{}", setup::list(missing)))
        }
        _ => {
            setup::for_the_tests(&privilege)?;
            LabAccess::As(privilege)
        }
    };
    setup::build_tools()?;
    run::checked(cargo().args(["build", "--workspace", "--bins", "--tests"]))?;
    Ok(lab)
}

/// Unit and property tests, each daemon tested whole, documentation tests.
pub(crate) fn units(arguments: &[&str]) -> Result<Outcome> {
    let mut outcome = counted(test("--lib").arg("--bins").arg("--").args(arguments))?;
    outcome.add(programs(arguments)?);
    outcome.add(counted(test("--doc").arg("--").args(arguments))?);
    Ok(outcome)
}

/// The test programs of every package but the lab's.
pub(crate) fn programs(arguments: &[&str]) -> Result<Outcome> {
    counted(test("--test").args(["*", "--exclude", "tests", "--"]).args(arguments))
}

/// The lab's cases, one after the other: each measures times, and two would disturb each other.
pub(crate) fn cases(privilege: &Privilege, arguments: &[&str]) -> Result<Outcome> {
    let mut command = test("--test");
    command.args(["cases", "--", "--test-threads=1"]).args(arguments);
    as_root(&mut command, privilege);
    counted(&mut command)
}

/// The names of the second tier's cases, in the order in which they run.
pub(crate) fn long_cases() -> Result<Vec<String>> {
    let mut command = test("--test");
    command.args(["cases", "--", "--list", "--format", "terse", LONG]).stderr(Stdio::inherit());
    let output = command.output().with_context(|| run::shown(&command))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut names: Vec<_> =
        text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect();
    names.sort();
    Ok(names)
}

/// Always the whole workspace: another choice of packages would choose other features, and build
/// everything once more.
fn test(targets: &str) -> Command {
    let mut command = cargo();
    command.args(["test", "--workspace", "--no-fail-fast", targets]);
    command
}

/// Cargo runs a test through the runner of its target, if there is one.
fn as_root(command: &mut Command, privilege: &Privilege) {
    if *privilege == Privilege::Sudo {
        let target = format!("{}_unknown_linux_gnu", std::env::consts::ARCH).to_uppercase();
        command.env(format!("CARGO_TARGET_{target}_RUNNER"), "sudo --preserve-env");
    }
}

/// Runs cargo test, shows what it writes, and counts.
fn counted(command: &mut Command) -> Result<Outcome> {
    if std::io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| run::shown(command))?;
    let mut outcome = Outcome::default();
    if let Some(output) = child.stdout.take() {
        let mut out = std::io::stdout().lock();
        for line in BufReader::new(output).split(b'\n') {
            let line = line?;
            outcome.take_line(&String::from_utf8_lossy(&line));
            let _ = out.write_all(&line).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
        }
    }
    if !child.wait()?.success() && outcome.failed == 0 {
        say(&format!("{} failed", run::shown(command)));
        outcome.broken += 1;
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::Outcome;

    #[test]
    fn cargo_tests_result_lines_are_counted() {
        let mut outcome = Outcome::default();
        outcome.take_line(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s",
        );
        outcome.take_line("test result: \u{1b}[31mFAILED\u{1b}[0m. 2 passed; 3 failed; 0 ignored");
        outcome.take_line("test it::passed ... ok");
        assert_eq!(outcome, Outcome { passed: 14, failed: 3, broken: 0 });
        assert!(!outcome.is_success());
    }
}
