//! Promises, what was measured, and whether they held.

use crate::screen::Screen;
use std::time::Duration;

/// One promise, held to a figure.
#[derive(Clone, Debug)]
pub(crate) struct Promise {
    pub(crate) what: String,
    pub(crate) figure: String,
    pub(crate) bound: String,
    pub(crate) held: bool,
}

impl Promise {
    /// A time that must not be exceeded.
    pub(crate) fn time(what: impl Into<String>, took: Duration, bound: Duration) -> Self {
        let held = took <= bound;
        Self {
            what: what.into(),
            figure: milliseconds(took),
            bound: format!("≤ {}", milliseconds(bound)),
            held,
        }
    }

    /// Something that must not happen.
    pub(crate) fn none(what: impl Into<String>, failed: usize, of: usize) -> Self {
        let held = failed == 0 && of > 0;
        Self { what: what.into(), figure: format!("{failed} of {of}"), bound: "0".to_owned(), held }
    }

    /// A number that must be met exactly.
    pub(crate) fn exactly(what: impl Into<String>, number: usize, wanted: usize) -> Self {
        let held = number == wanted;
        Self { what: what.into(), figure: number.to_string(), bound: format!("= {wanted}"), held }
    }
}

/// Prints all promises.
pub(crate) fn print(screen: &Screen, promises: &[Promise]) {
    screen.headline("Summary");
    let width = promises.iter().map(|promise| promise.what.chars().count()).max().unwrap_or_default();
    for Promise { what, figure, bound, held } in promises {
        screen.line(&format!("  {} {what:<width$}  {figure:>12}  ({bound})", screen.mark(*held)));
    }
    let broken = promises.iter().filter(|promise| !promise.held).count();
    screen.line("");
    screen.line(&match broken {
        0 => format!("All {} promises held.", promises.len()),
        _ => format!("{broken} of {} promises did not hold.", promises.len()),
    });
}

/// `5.94 ms`, `312 ms`.
pub(crate) fn milliseconds(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1000.0;
    if milliseconds < 20.0 { format!("{milliseconds:.2} ms") } else { format!("{milliseconds:.0} ms") }
}
