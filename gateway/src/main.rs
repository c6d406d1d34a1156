//! `headgate`: the gateway.

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// The gateway: an HTTP reverse proxy with stick tables, limits and drains.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run in the foreground until SIGTERM, which drains first.
    Run {
        /// The configuration.
        #[arg(default_value = "/etc/headgate/gateway.toml")]
        config: PathBuf,
    },
    /// Say whether a configuration is right, certificates included, without starting.
    Check {
        /// The configuration.
        #[arg(default_value = "/etc/headgate/gateway.toml")]
        config: PathBuf,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Check { config } => gateway::load::load(&config).map(|loaded| {
            let config_name = config.display();
            let (frontends, backends) = (loaded.config.frontends.len(), loaded.config.backends.len());
            eprintln!("{config_name}: ok: {frontends} frontends, {backends} backends");
        }),
        Command::Run { config } => {
            // What clients and servers do wrong is in the access log, not here.
            base::logging::start("info,pingora_core=off,pingora_proxy=off,h2=error");
            gateway::load::load(&config).and_then(gateway::run::run)
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
