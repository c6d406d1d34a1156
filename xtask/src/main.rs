//! The only entry points that a person or CI needs.
//!
//! Each command does all of its own set-up: what is missing is found, named, and installed (see
//! [`setup`]); a command that cannot go on says why, and the exact line that helps.

mod ci;
mod fuzz;
mod lint;
mod run;
mod setup;
mod testing;

use anyhow::Result;
use clap::{Parser, Subcommand};
use run::{cargo, say};
use setup::Privilege;
use std::process::{Command, ExitCode};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Headgate's entry points", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run the main job: three nodes, three VIPs, a real router, faults, and what was measured
    Demo {
        /// Leave everything running at the end, until Ctrl-C
        #[arg(long)]
        keep: bool,
        /// One gateway on loopback in front of three API servers: no root, no namespaces
        #[arg(long)]
        single: bool,
        /// More arguments for the demo (see `lab-demo --help`)
        #[arg(last = true)]
        rest: Vec<String>,
    },
    /// Run the tests: unit and property tests, then the lab's cases
    Test {
        /// Also the second tier: cases that need minutes
        #[arg(long)]
        all: bool,
        /// Only tests whose name contains this
        filter: Option<String>,
    },
    /// Formatting, clippy without warnings, purity of the cores, cargo-deny
    Lint,
    /// Run the benchmarks: each stage by itself, then the gateway beside HAProxy and nginx
    Bench {
        /// Only these
        #[arg(value_enum)]
        part: Option<Part>,
        /// Arguments for the benchmarks
        #[arg(last = true)]
        rest: Vec<String>,
    },
    /// Feed the decoders and machines with made-up input, and look for a panic or a broken promise
    Fuzz {
        /// One target instead of all, one after the other
        target: Option<String>,
        /// How long each runs, in seconds: 30s
        #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = seconds)]
        time: u64,
    },
    /// All that CI runs
    Ci,
}

/// A part of the benchmarks.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// What each stage of the data path takes
    Stages,
    /// The gateway beside HAProxy and nginx, and the guard on its instructions
    Compare,
    /// The speaker: a full table, withdraws at many neighbors, memory
    Speaker,
    /// Peers: updates to other nodes, memory, and what a cluster costs by its number of nodes
    Peers,
}

fn main() -> ExitCode {
    match try_main() {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn try_main() -> Result<ExitCode> {
    // `cargo xtask` works from any folder of the tree.
    std::env::set_current_dir(run::root())?;
    match Cli::parse().task {
        Task::Demo { keep, single: false, rest } => demo(keep, &rest),
        Task::Demo { single: true, keep: _, rest } => demo_single(&rest),
        Task::Test { all, filter } => {
            let outcome = testing::run(all, filter.as_deref())?;
            say(&outcome.to_string());
            Ok(exit_code(outcome.is_success()))
        }
        Task::Lint => {
            setup::build_tools()?;
            Ok(exit_code(lint::run()?))
        }
        Task::Bench { part, rest } => {
            match part {
                Some(Part::Speaker) => return speaker(&rest),
                Some(Part::Peers) => return peers(&rest),
                Some(Part::Stages | Part::Compare) | None => {}
            }
            if part != Some(Part::Compare) {
                setup::build_tools()?;
                run::checked(cargo().args(["bench", "--package", "bench", "--"]).args(&rest))?;
            }
            if part == Some(Part::Stages) { Ok(ExitCode::SUCCESS) } else { compare(&rest) }
        }
        Task::Fuzz { target, time } => {
            setup::build_tools()?;
            fuzz::run(target.as_deref(), time)?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Ci => ci::run().map(exit_code),
    }
}

/// `30s`, or minutes, `5m`.
fn seconds(text: &str) -> Result<u64, String> {
    let (number, factor) = match (text.strip_suffix('s'), text.strip_suffix('m')) {
        (Some(number), _) => (number, 1),
        (None, Some(number)) => (number, 60),
        (None, None) => (text, 1),
    };
    let seconds = number.parse().ok().and_then(|number: u64| number.checked_mul(factor));
    seconds.filter(|seconds| *seconds > 0).ok_or_else(|| format!("{text:?} is no time such as 30s or 5m"))
}

fn demo(keep: bool, rest: &[String]) -> Result<ExitCode> {
    let privilege = Privilege::find();
    if let Privilege::None(why) = &privilege {
        anyhow::bail!(
            "the demo makes network namespaces and runs a router in one of them; that needs root ({why}).\n\
             Run it as root, or with sudo; `cargo xtask demo --single` needs neither."
        );
    }
    setup::for_the_lab(&privilege)?;
    build()?;
    let mut demo = privilege.command(&run::target_dir().join("debug/lab-demo"));
    demo.args(keep.then_some("--keep")).args(rest);
    run::pass_on(demo)
}

fn demo_single(rest: &[String]) -> Result<ExitCode> {
    setup::build_tools()?;
    build()?;
    let mut demo = Command::new(run::target_dir().join("debug/lab-demo"));
    demo.arg("--single").args(rest);
    run::pass_on(demo)
}

/// The gateway as it is released, beside the others; fails only where a guard does.
fn compare(rest: &[String]) -> Result<ExitCode> {
    setup::for_the_tests(&Privilege::find())?;
    run::checked(cargo().args([
        "build",
        "--release",
        "--package",
        "gateway",
        "--package",
        "bench",
        "--bins",
    ]))?;
    let folder = run::target_dir().join("release");
    let mut compare = Command::new(folder.join("compare"));
    compare.arg("--headgate").arg(folder.join("headgate")).args(rest);
    run::pass_on(compare)
}

/// The speaker as it is released.
fn speaker(rest: &[String]) -> Result<ExitCode> {
    setup::build_tools()?;
    let packages = ["build", "--release", "--package", "bgp-speaker", "--package", "bench", "--bins"];
    run::checked(cargo().args(packages))?;
    let folder = run::target_dir().join("release");
    let mut bench = Command::new(folder.join("bench-speaker"));
    bench.arg("--headgate-bgp").arg(folder.join("headgate-bgp")).args(rest);
    run::pass_on(bench)
}

/// One process: what it measures is the core's.
fn peers(rest: &[String]) -> Result<ExitCode> {
    setup::build_tools()?;
    run::checked(cargo().args(["build", "--release", "--package", "bench", "--bin", "bench-peers"]))?;
    let mut bench = Command::new(run::target_dir().join("release/bench-peers"));
    bench.args(rest);
    run::pass_on(bench)
}

/// Builds all programs. `--examples`, of which there are none, makes cargo choose the features that it
/// also chooses for the tests: without it, the tests after a demo would build much of it once more.
fn build() -> Result<()> {
    run::checked(cargo().args(["build", "--workspace", "--bins", "--examples"]))
}

fn exit_code(success: bool) -> ExitCode {
    if success { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
