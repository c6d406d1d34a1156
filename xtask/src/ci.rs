//! What CI runs: the lint, units and programs, each fuzz target for a moment, the lab's cases, then as much of the
//! second tier as there is time for.

use crate::fuzz;
use crate::lint;
use crate::run::say;
use crate::testing::{self, LabAccess, Outcome};
use anyhow::Result;
use std::io::Write;
use std::time::{Duration, Instant};

/// No case of the second tier is begun after this long since the start.
const TIME_FOR_ALL: Duration = Duration::from_secs(75 * 60);

/// Seconds for each fuzz target: enough for what was broken on the way to show, and no search.
const FUZZ_SECONDS: u64 = 3;

/// Runs it all. The last line on stdout is `N passed, N failed`.
#[expect(clippy::disallowed_methods, reason = "how long CI takes is no decision of a core")]
pub(crate) fn run() -> Result<bool> {
    let started = Instant::now();
    let lab = testing::prepare()?;
    let linted = lint::run()?;
    let mut outcome = testing::units(&["--skip", testing::LONG])?;
    let fuzzed = fuzz::run(None, FUZZ_SECONDS);
    if let Err(error) = &fuzzed {
        say(&format!("fuzz targets: {error:#}"));
    }
    match &lab {
        LabAccess::As(privilege) => {
            outcome.add(testing::cases(privilege, &["--skip", testing::LONG])?);
            say(&format!("first tier: {outcome}, {} s since the start", started.elapsed().as_secs()));
            second_tier(started, &mut outcome, |name| testing::cases(privilege, &["--exact", name]))?;
        }
        LabAccess::No(why) => say(&format!("The lab's cases (tests/cases) were not run: {why}.")),
    }
    let word = |passed| if passed { "passed" } else { "FAILED" };
    say(&format!(
        "lint {}, fuzz targets {}, {} s in all",
        word(linted),
        word(fuzzed.is_ok()),
        started.elapsed().as_secs()
    ));
    let _ = writeln!(std::io::stdout().lock(), "{outcome}");
    Ok(linted && fuzzed.is_ok() && outcome.is_success())
}

fn second_tier(
    started: Instant,
    outcome: &mut Outcome,
    run_one: impl Fn(&str) -> Result<Outcome>,
) -> Result<()> {
    // One after the other, as the lab's: they keep a pace, or move much.
    outcome.add(testing::programs(&["--test-threads=1", testing::LONG])?);
    let names = testing::long_cases()?;
    let mut left_out = Vec::new();
    for name in &names {
        if started.elapsed() < TIME_FOR_ALL {
            outcome.add(run_one(name)?);
        } else {
            left_out.push(name.as_str());
        }
    }
    say(&format!("second tier: {} of {} cases run", names.len() - left_out.len(), names.len()));
    for name in left_out {
        say(&format!("left out, no time: {name}"));
    }
    Ok(())
}
