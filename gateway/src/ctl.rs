//! `headgatectl`: asks a gateway over its control socket.

use clap::{Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Shows and changes the state of the gateway on this node.
#[derive(Parser)]
#[command(name = "headgatectl", version)]
struct Cli {
    /// The gateway's control socket.
    #[arg(long, global = true, default_value = "/run/headgate/gateway.sock")]
    socket: PathBuf,
    /// Answer in JSON, for scripts.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// How this node, its servers and its tables are.
    Status,
    /// Take this node out of service: its routes move away, nothing is refused, answers end their connection.
    Drain {
        /// Return only when no request runs any more, or with an error after so many seconds.
        #[arg(long, value_name = "SECONDS")]
        wait: Option<u64>,
    },
    /// Put this node back into service.
    Undrain,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match ask(&cli).await {
        Ok(answer) => {
            // Whoever reads may have gone, as `head` does.
            let _ = writeln!(std::io::stdout(), "{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("headgatectl: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn ask(cli: &Cli) -> Result<String, String> {
    let line = match (&cli.command, cli.json) {
        (Command::Status, false) => "status",
        (Command::Status, true) => "status json",
        (Command::Drain { .. }, _) => "drain",
        (Command::Undrain, _) => "undrain",
    };
    let answer = command(cli, line).await?;
    if let Command::Drain { wait: Some(seconds) } = cli.command {
        let idle = tokio::time::timeout(Duration::from_secs(seconds), until_idle(cli)).await;
        idle.map_err(|_| format!("draining, but requests still run after {seconds} s"))??;
    }
    match (&cli.command, cli.json) {
        (Command::Status, _) | (_, false) => Ok(answer),
        (_, true) => Ok(serde_json::json!({ "lifecycle": answer }).to_string()),
    }
}

async fn command(cli: &Cli, line: &str) -> Result<String, String> {
    let answer = base::control::ask(&cli.socket, line).await.map_err(|error| error.to_string())?;
    match answer.strip_prefix("error: ") {
        Some(error) => Err(error.to_owned()),
        None => Ok(answer),
    }
}

/// Waits until no request has run for a moment.
async fn until_idle(cli: &Cli) -> Result<(), String> {
    let mut look = tokio::time::interval(Duration::from_millis(100));
    let mut seen = None;
    loop {
        look.tick().await;
        let status = command(cli, "status json").await?;
        let status: serde_json::Value = serde_json::from_str(&status).map_err(|error| error.to_string())?;
        let now = (status["in_flight"].as_u64(), status["requests"].as_u64());
        if now.0 == Some(0) && seen == Some(now) {
            return Ok(());
        }
        seen = Some(now);
    }
}
