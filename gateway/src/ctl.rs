//! `headgatectl`: asks a gateway over its control socket.

use clap::{Parser, Subcommand};
use gateway_core::observe::{self, Record, Tried};
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
    /// Show stick tables and peers, as HAProxy's runtime API does.
    #[command(subcommand)]
    Show(Show),
    /// Take entries out.
    #[command(subcommand)]
    Clear(Clear),
    /// Write entries.
    #[command(subcommand)]
    Set(Set),
    /// Set limits from what is observed.
    #[command(subcommand)]
    Limits(Limits),
}

#[derive(Subcommand)]
enum Show {
    /// The stick tables, or the entries of one.
    Table {
        /// Its name.
        table: Option<String>,
        #[command(flatten)]
        which: Which,
    },
    /// The other nodes, and what they have counted.
    Peers,
}

#[derive(Subcommand)]
enum Limits {
    /// Print for each route the peaks, what 99.9 % of clients stay under, and a limit, as configuration to paste.
    Suggest {
        /// How many times the peak of a day (the middle one of all days) a limit is.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        factor: u32,
        /// Files of what nodes have observed, instead of what this one has.
        #[arg(long, value_name = "FILE", num_args = 1..)]
        from: Vec<PathBuf>,
    },
    /// Name those of the hundred highest of each hour that a limit would have hit, and count the rest.
    Replay {
        /// Requests in a period.
        #[arg(long)]
        http_req_rate: Option<u32>,
        /// Requests at once.
        #[arg(long, required_unless_present = "http_req_rate")]
        conn_cur: Option<u32>,
        /// Files of what nodes have observed, instead of what this one has.
        #[arg(long, value_name = "FILE", num_args = 1..)]
        from: Vec<PathBuf>,
    },
}

#[derive(Subcommand)]
enum Clear {
    /// Entries of a stick table: without key and data all that are not in use.
    Table {
        /// The table's name.
        table: String,
        #[command(flatten)]
        which: Which,
    },
}

#[derive(Subcommand)]
enum Set {
    /// An entry of a stick table, made if there is none.
    Table {
        /// The table's name.
        table: String,
        /// Its key.
        #[arg(long)]
        key: String,
        /// What is written, such as "gpc0 5".
        #[arg(long, value_name = "TYPE VALUE")]
        data: Vec<String>,
    },
}

/// Some entries of a table.
#[derive(clap::Args)]
struct Which {
    /// Only the entry of this key.
    #[arg(long, conflicts_with = "data")]
    key: Option<String>,
    /// Only entries with this, such as "gpc0 gt 5"; up to four times.
    #[arg(long, value_name = "TYPE OP VALUE")]
    data: Vec<String>,
}

impl Which {
    fn words(&self) -> String {
        let key = self.key.iter().map(|key| format!(" key {key}"));
        key.chain(data(&self.data)).collect()
    }
}

fn data(all: &[String]) -> impl Iterator<Item = String> {
    all.iter().map(|data| format!(" data.{data}"))
}

impl Command {
    /// The line that asks for it.
    fn line(&self, json: bool) -> String {
        match self {
            Self::Status if json => "status json".to_owned(),
            Self::Status => "status".to_owned(),
            Self::Drain { .. } => "drain".to_owned(),
            Self::Undrain => "undrain".to_owned(),
            Self::Show(Show::Table { table: None, .. }) => "show table".to_owned(),
            Self::Show(Show::Table { table: Some(table), which }) => {
                format!("show table {table}{}", which.words())
            }
            Self::Show(Show::Peers) => "show peers".to_owned(),
            Self::Limits(_) => "observed".to_owned(),
            Self::Clear(Clear::Table { table, which }) => format!("clear table {table}{}", which.words()),
            Self::Set(Set::Table { table, key, data: written }) => {
                format!("set table {table} key {key}{}", data(written).collect::<String>())
            }
        }
    }

    /// Whether this answer says that it was not done. HAProxy's do not say so by themselves.
    fn is_refused(&self, answer: &str) -> bool {
        match self {
            Self::Show(Show::Table { .. }) => !answer.is_empty() && !answer.starts_with("# table: "),
            Self::Clear(_) | Self::Set(_) => !answer.is_empty(),
            _ => false,
        }
    }
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
    if let Command::Limits(limits) = &cli.command {
        return by_what_is_observed(cli, limits).await;
    }
    let line = cli.command.line(cli.json);
    let answer = command(cli, &line).await?;
    if cli.command.is_refused(&answer) {
        return Err(answer);
    }
    if let Command::Drain { wait: Some(seconds) } = cli.command {
        let idle = tokio::time::timeout(Duration::from_secs(seconds), until_idle(cli)).await;
        idle.map_err(|_| format!("draining, but requests still run after {seconds} s"))??;
    }
    match (&cli.command, cli.json) {
        (Command::Drain { .. } | Command::Undrain, true) => {
            Ok(serde_json::json!({ "lifecycle": answer }).to_string())
        }
        _ => Ok(answer),
    }
}

async fn by_what_is_observed(cli: &Cli, limits: &Limits) -> Result<String, String> {
    let (Limits::Suggest { from, .. } | Limits::Replay { from, .. }) = limits;
    let mut files = from.clone();
    if files.is_empty() {
        files.push(command(cli, "observed").await?.into());
    }
    let mut all: Option<Record> = None;
    for file in files {
        let failed = |error: String| format!("{}: {error}", file.display());
        let text = std::fs::read_to_string(&file).map_err(|error| failed(error.to_string()))?;
        let record = Record::read(&text, None).map_err(failed)?;
        match &mut all {
            None => all = Some(record),
            Some(all) => all.merge(record).map_err(failed)?,
        }
    }
    let all = all.unwrap_or_default();
    Ok(match *limits {
        Limits::Suggest { factor, .. } => observe::suggest(&all, factor),
        Limits::Replay { http_req_rate, conn_cur, .. } => {
            observe::replay(&all, Tried { http_req_rate, conn_cur })
        }
    })
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
