//! Formatting, clippy, the purity of the cores, and what cargo-deny watches.

use crate::run::{self, cargo, say};
use anyhow::{Context, Result, bail};
use std::process::Command;

/// The pure cores.
const CORES: [&str; 4] = ["base-core", "healthcheck-core", "gateway-core", "bgp-core"];

/// What no core may depend on, however indirectly: runtimes, sockets, the system, loggers. A name
/// that ends in `*` stands for all names that begin so.
const IMPURE: [&str; 19] = [
    "async-io",
    "async-std",
    "env_logger",
    "getrandom",
    "h2",
    "hyper*",
    "libc",
    "log",
    "mio",
    "nix",
    "pingora*",
    "polling",
    "reqwest",
    "rustix",
    "slog*",
    "smol",
    "socket2",
    "tokio*",
    "tracing*",
];

/// Runs all checks, also after one failed; says at the end which.
pub(crate) fn run() -> Result<bool> {
    let mut failed = Vec::new();
    let mut check = |name: &'static str, outcome: Result<()>| {
        if let Err(error) = outcome {
            say(&format!("{name}: {error:#}"));
            failed.push(name);
        }
    };
    check("formatting", run::checked(cargo().args(["fmt", "--all", "--check"])));
    check(
        "clippy",
        run::checked(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])),
    );
    check("purity of the cores", purity());
    check("cargo-deny", deny());
    if failed.is_empty() {
        say("lint: all good");
    } else {
        say(&format!("lint: failed: {}", failed.join(", ")));
    }
    Ok(failed.is_empty())
}

/// Hard rule 1: a core's dependency tree holds nothing that can do IO or tell the time.
fn purity() -> Result<()> {
    let mut offenders = Vec::new();
    for core in CORES {
        let mut tree = cargo();
        tree.args(["tree", "--edges", "normal", "--prefix", "none", "--format", "{p}", "--package", core]);
        let output = tree.output().with_context(|| run::shown(&tree))?;
        if !output.status.success() {
            bail!("{} failed:\n{}", run::shown(&tree), String::from_utf8_lossy(&output.stderr));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        for line in text.lines() {
            let name = line.split(' ').next().unwrap_or_default();
            if is_impure(name) && !offenders.contains(&format!("{core} depends on {name}")) {
                offenders.push(format!("{core} depends on {name}"));
            }
        }
    }
    if offenders.is_empty() {
        return Ok(());
    }
    bail!(
        "{}\n(see who brings it with: cargo tree --package CORE --edges normal --invert NAME)",
        offenders.join("\n")
    )
}

fn is_impure(name: &str) -> bool {
    IMPURE.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == *pattern,
    })
}

fn deny() -> Result<()> {
    let installed = Command::new("cargo").args(["deny", "--version"]).output();
    if !installed.is_ok_and(|output| output.status.success()) {
        say("cargo-deny: skipped, it is not installed (cargo install --locked cargo-deny)");
        return Ok(());
    }
    run::checked(cargo().args(["deny", "check"]))
}

#[cfg(test)]
mod tests {
    use super::is_impure;

    #[test]
    fn a_runtime_a_socket_and_a_logger_are_impure_and_a_codec_is_not() {
        for impure in ["tokio", "tokio-util", "socket2", "pingora-core", "log", "tracing-subscriber", "mio"] {
            assert!(is_impure(impure), "{impure}");
        }
        for pure in ["serde", "logos", "bytes", "toml", "smallvec"] {
            assert!(!is_impure(pure), "{pure}");
        }
    }
}
