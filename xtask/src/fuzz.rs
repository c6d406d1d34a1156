//! `cargo xtask fuzz`: libFuzzer on the decoders and machines, with the stable toolchain.
//!
//! The targets are a workspace of their own (`fuzz/`): its builds carry the coverage instrumentation that libFuzzer
//! steers by. What it finds to grow the corpus goes into the target folder; `fuzz/corpus` holds the few seeds.

use crate::run::{self, cargo, say};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds all targets, then runs one, or each in turn, for so many seconds; one that fails keeps no other from running.
pub(crate) fn run(target: Option<&str>, seconds: u64) -> Result<()> {
    let folder = run::root().join("fuzz");
    let targets = names(&folder)?;
    if let Some(name) = target.filter(|name| !targets.iter().any(|target| target == name)) {
        bail!("there is no fuzz target {name}; there are: {}", targets.join(", "));
    }
    let build = run::target_dir().join("fuzz");
    let programs = programs(&folder, &build)?;
    let mut failed = Vec::new();
    for name in targets.iter().filter(|name| target.is_none_or(|target| target == *name)) {
        say(&format!("{name}: {seconds} s"));
        if let Err(error) = one(name, seconds, &programs.join(name), &folder, &build) {
            say(&format!("{error:#}"));
            failed.push(name.as_str());
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// Builds all targets; the folder that they are in.
fn programs(folder: &Path, build: &Path) -> Result<PathBuf> {
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut command = cargo();
    // With a target named, build scripts and macros are built without the instrumentation, which they could not link.
    command.current_dir(folder).args(["build", "--release", "--target", &triple, "--target-dir"]).arg(build);
    run::checked(command.env("RUSTFLAGS", INSTRUMENTATION))?;
    Ok(build.join(triple).join("release"))
}

fn one(name: &str, seconds: u64, program: &Path, folder: &Path, build: &Path) -> Result<()> {
    let (grown, found) = (build.join("corpus").join(name), build.join("found").join(name));
    fs::create_dir_all(&grown)?;
    fs::create_dir_all(&found)?;
    let mut command = Command::new(program);
    command.arg(&grown).arg(folder.join("corpus").join(name));
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-artifact_prefix={}/", found.display()));
    command.args([
        "-max_len=4096",
        "-timeout=5",
        "-rss_limit_mb=512",
        "-print_final_stats=1",
        "-verbosity=0",
    ]);
    run::checked(&mut command)
        .with_context(|| format!("{name}: the input that did it is in {}", found.display()))
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let targets = folder.join("src/bin");
    let entries = fs::read_dir(&targets).with_context(|| targets.display().to_string())?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let stem = |file: PathBuf| Some(file.file_stem()?.to_str()?.to_owned());
    let mut names: Vec<_> = files.filter_map(stem).collect();
    names.sort();
    Ok(names)
}

/// What `-Zsanitizer` would ask LLVM for, by the flags that the stable compiler takes, too; and comparisons are traced,
/// which is how libFuzzer finds out what a length or a marker should be.
const INSTRUMENTATION: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";
