//! How many instructions a request takes in user space, by callgrind: two runs of different length, and their
//! difference. Timers tick by the clock and not by requests, but valgrind keeps each thread apart, and of ours
//! only the worker's counts.

use crate::load::{self, Target};
use crate::proxies::{Kind, Proxy, Setup};
use crate::report::{line, say};
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Guard {
    instructions_per_request: f64,
    tolerance: f64,
}

/// Measures each proxy and prints it; whether ours stays within its guard.
pub(crate) async fn measure(setup: &Setup, kinds: &[Kind]) -> Result<bool> {
    let valgrind = Path::new("/usr/bin/valgrind");
    if !valgrind.is_file() {
        say("instructions are left out: valgrind is not installed");
        return Ok(true);
    }
    let guard: Guard = toml::from_str(include_str!("guard.toml"))?;
    let mut passed = true;
    for kind in kinds {
        let short = run(setup, *kind, valgrind, SHORT).await.with_context(|| kind.name())?;
        let long = run(setup, *kind, valgrind, LONG).await.with_context(|| kind.name())?;
        let each = (long as f64 - short as f64) / f64::from(LONG - SHORT);
        line(&format!("instructions a request, keep-alive: {:10} {each:8.0}", kind.name()));
        if *kind == Kind::Headgate {
            let most = guard.instructions_per_request * (1.0 + guard.tolerance);
            passed = each <= most;
            let word = if passed { "within" } else { "BEYOND" };
            line(&format!(
                "{word} the guard of {:.0} + {:.0} %",
                guard.instructions_per_request,
                guard.tolerance * 100.0
            ));
        }
    }
    Ok(passed)
}

/// Instructions of the busiest thread of a proxy that serves so many requests.
async fn run(setup: &Setup, kind: Kind, valgrind: &Path, requests: u32) -> Result<u64> {
    let out = tempfile::tempdir_in(setup.folder.path())?;
    let (words, ports) = setup.command(kind)?;
    let file = format!("--callgrind-out-file={}", out.path().join("out").display());
    let options = ["--tool=callgrind", "--separate-threads=yes", &file];
    let whole: Vec<PathBuf> =
        std::iter::once(valgrind.into()).chain(options.map(PathBuf::from)).chain(words).collect();
    let proxy = Proxy::run(setup, &whole, ports).await?;
    load::keep_alive(Target { port: ports.http, path: "/small" }, 1, requests).await?;
    proxy.end().await?;
    let mut most = 0;
    for file in std::fs::read_dir(out.path())? {
        let text = std::fs::read_to_string(file?.path())?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
        most = most.max(total.map_or(Ok(0), |total| total.trim().parse())?);
    }
    ensure!(most > 0, "callgrind counted nothing");
    Ok(most)
}

/// Enough that what is done once is done in both runs.
const SHORT: u32 = 500;
/// Enough that ticks do not matter.
const LONG: u32 = 2500;
