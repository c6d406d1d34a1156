//! `headgate-bgp`: the speaker, the check of its configuration, and the question how it is.

use base_core::diagnose::{Diagnostic, Source};
use bgp_core::config::{self, Config};
use clap::{Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Announces VIPs over BGP while the gateway of this node serves.
#[derive(Debug, Parser)]
#[command(name = "headgate-bgp", version)]
struct Arguments {
    /// The control socket of the running speaker.
    #[arg(long, global = true, default_value = config::DEFAULT_SOCKET)]
    socket: PathBuf,
    /// Answer in JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs in the foreground until SIGTERM.
    Run {
        /// The configuration.
        #[arg(default_value = "/etc/headgate/bgp.toml")]
        file: PathBuf,
    },
    /// Says whether a configuration is right, without starting.
    Check {
        /// The configuration.
        #[arg(default_value = "/etc/headgate/bgp.toml")]
        file: PathBuf,
    },
    /// Asks the running speaker how its neighbors and VIPs are.
    Status,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.command {
        Command::Check { file } => check(file),
        Command::Run { file } => run(file),
        Command::Status => status(&arguments),
    };
    match outcome {
        Ok(text) => {
            // Whoever reads it may have gone away.
            let _ = std::io::stdout().lock().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(text) => {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
            ExitCode::FAILURE
        }
    }
}

fn check(file: &std::path::Path) -> Result<String, String> {
    let (_, config) = load(file)?;
    Ok(format!(
        "{}: ok, AS {}, {} neighbors, {} VIPs\n",
        file.display(),
        config.bgp.asn,
        config.neighbors.len(),
        config.vips.len()
    ))
}

fn run(file: &std::path::Path) -> Result<String, String> {
    let (source, config) = load(file)?;
    base::logging::start("info,netlink_proto=warn");
    abort_on_panic();
    let runtime = runtime()?;
    runtime.block_on(bgp_speaker::run::run(config, &source)).map_err(|error| error.to_string())?;
    Ok(String::new())
}

/// A task that panicked would leave what it last announced standing for ever. A process that is gone has closed its
/// connections, and the neighbors withdraw.
fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}

fn status(arguments: &Arguments) -> Result<String, String> {
    let command = if arguments.json { "status json" } else { "status" };
    let answer = runtime()?
        .block_on(base::control::ask(&arguments.socket, command))
        .map_err(|error| error.to_string())?;
    Ok(answer + "\n")
}

fn load(file: &std::path::Path) -> Result<(Source, Config), String> {
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("error: {}: {error}", file.display()))?;
    let source = Source::new(file.display().to_string(), text);
    let config = config::parse(&source).map_err(|error: Diagnostic| error.to_string())?;
    Ok((source, config))
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("error: the runtime does not start: {error}"))
}
