//! What is printed, for people or for programs.

use healthcheck_core::Outcome;
use healthcheck_core::tally::Tally;
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

/// For whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Output {
    Text,
    Json,
    Quiet,
}

/// Prints each probe as it ends, then the summary.
#[derive(Debug)]
pub(crate) struct Report {
    output: Output,
    probes: u32,
    /// Of the probes that passed.
    fastest: Option<Duration>,
    slowest: Duration,
    total: Duration,
}

#[derive(Serialize)]
struct ProbeLine<'a> {
    probe: u32,
    passed: bool,
    status: &'a str,
    code: Option<u16>,
    ms: f64,
    address: SocketAddr,
    note: Option<&'a str>,
}

#[derive(Serialize)]
struct SummaryLine {
    ok: bool,
    passed: u32,
    failed: u32,
    min_ms: Option<f64>,
    mean_ms: Option<f64>,
    max_ms: Option<f64>,
}

impl Report {
    pub(crate) const fn new(output: Output) -> Self {
        Self { output, probes: 0, fastest: None, slowest: Duration::ZERO, total: Duration::ZERO }
    }

    pub(crate) fn probe(&mut self, address: SocketAddr, outcome: &Outcome) {
        self.probes += 1;
        if outcome.passed() {
            let fastest = self.fastest.unwrap_or(outcome.duration);
            self.fastest = Some(fastest.min(outcome.duration));
            self.slowest = self.slowest.max(outcome.duration);
            self.total += outcome.duration;
        }
        let Outcome { status, code, note, duration } = *outcome;
        let (probe, ms) = (self.probes, millis(duration));
        match self.output {
            Output::Quiet => {}
            Output::Json => {
                let (passed, status) = (outcome.passed(), status.as_str());
                let note = (!note.is_empty()).then_some(note);
                json(&ProbeLine { probe, passed, status, code, ms, address, note });
            }
            Output::Text => {
                let code = code.map_or_else(|| "-".to_owned(), |code| code.to_string());
                let gap = if note.is_empty() { "" } else { "  " };
                line(format_args!("{probe:>3}  {status:<8} {code:>3} {ms:>9.3} ms  {address}{gap}{note}"));
            }
        }
    }

    pub(crate) fn summary(&self, ok: bool, tally: &Tally) {
        let (passed, failed) = (tally.passed(), tally.failed());
        let min_ms = self.fastest.map(millis);
        let mean_ms = self.total.checked_div(passed).map(millis);
        let max_ms = min_ms.map(|_| millis(self.slowest));
        match self.output {
            Output::Quiet => {}
            Output::Json => json(&SummaryLine { ok, passed, failed, min_ms, mean_ms, max_ms }),
            Output::Text => {
                let word = if ok { "ok" } else { "failed" };
                let times = match (min_ms, mean_ms, max_ms) {
                    (Some(min), Some(mean), Some(max)) => {
                        format!("; min {min:.3}, mean {mean:.3}, max {max:.3} ms")
                    }
                    _ => String::new(),
                };
                line(format_args!("{word}: {passed} of {} passed{times}", passed + failed));
            }
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

fn json(value: &impl Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        line(text);
    }
}

fn line(text: impl Display) {
    // The reader may be gone; the exit code still says how it went.
    let _ = writeln!(io::stdout().lock(), "{text}");
}
