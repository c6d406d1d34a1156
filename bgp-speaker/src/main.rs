//! `headgate-bgp`: the speaker, the check of its configuration, and the question how it is.

use base_core::diagnose::{Diagnostic, Source};
use bgp_core::config::{self, Config};
use clap::{Parser, Subcommand};
use std::io::Write;
use std::net::IpAddr;
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
        /// Takes over from the process at the other end of the standard input.
        #[arg(long, hide = true)]
        take_over: bool,
    },
    /// Reads the configuration again; no session is touched that need not be.
    Reload(Renew),
    /// Puts the program that is on the disk now in the place of the running one; no session notices.
    Upgrade(Renew),
    /// Says whether a configuration is right, without starting.
    Check {
        /// The files of all nodes: do they fit together?
        #[arg(long)]
        plan: bool,
        /// The configuration.
        #[arg(default_value = "/etc/headgate/bgp.toml")]
        files: Vec<PathBuf>,
    },
    /// Asks the running speaker how its neighbors and VIPs are.
    Status,
    /// How each VIP stands, why, and what was ordered.
    Vips,
    /// How each neighbor is.
    Neighbors,
    /// The routes that each neighbor holds.
    Rib,
    /// What happened lately, one line for each transition.
    Events {
        /// Go on with what happens from now on.
        #[arg(long)]
        follow: bool,
    },
    /// Worsens VIPs, then withdraws them, if all other nodes agree that none of them drains the same.
    Drain(Drain),
    /// Keeps VIPs as they stand, whatever is said about them; a gateway that is dead is withdrawn all the same.
    Pin(Order),
    /// Announces VIPs whatever is said about them; a gateway that is dead is withdrawn all the same.
    Force(Order),
    /// Takes back what was ordered: drain, pin and force.
    Undrain {
        /// Which VIPs; all if none is named.
        vips: Vec<IpAddr>,
    },
}

/// How far to go.
#[derive(Debug, clap::Args)]
struct Renew {
    /// Only say what would happen.
    #[arg(long)]
    plan: bool,
    /// Let sessions begin anew whose connection or OPEN has to change.
    #[arg(long)]
    reset: bool,
}

/// For which VIPs, how long, why, and whether the other nodes are asked.
#[derive(Debug, clap::Args)]
struct Drain {
    #[command(flatten)]
    order: Order,
    /// Asks nobody, and withdraws also what no other node announces.
    #[arg(long)]
    force: bool,
}

/// For which VIPs, how long, and why.
#[derive(Debug, clap::Args)]
struct Order {
    /// Which VIPs; all if none is named.
    vips: Vec<IpAddr>,
    /// When it ends by itself: from 1s to 7d.
    #[arg(long = "for", value_name = "TIME", default_value = "1h")]
    time: String,
    /// Why; shown in the status.
    #[arg(long, default_value = "")]
    reason: String,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.command {
        Command::Check { plan: false, files } => files.iter().map(|file| check(file)).collect(),
        Command::Check { plan: true, files } => check_plan(files),
        Command::Run { file, take_over } => run(file, *take_over),
        Command::Reload(how) => renew("reload", how, &arguments),
        Command::Upgrade(how) => renew("upgrade", how, &arguments),
        Command::Status => question("status", &arguments),
        Command::Vips => question("vips", &arguments),
        Command::Neighbors => question("neighbors", &arguments),
        Command::Rib => question("rib", &arguments),
        Command::Events { follow } => events(*follow, &arguments),
        Command::Drain(Drain { order, force: false }) => give("drain", order, &arguments),
        Command::Drain(Drain { order, force: true }) => give("drain force", order, &arguments),
        Command::Pin(order) => give("pin", order, &arguments),
        Command::Force(order) => give("force", order, &arguments),
        Command::Undrain { vips } => ask(&format!("undrain {}", list(vips)), &arguments),
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

/// Checks each file, then all together, and shows who is to have what.
fn check_plan(files: &[PathBuf]) -> Result<String, String> {
    let load = |file: &PathBuf| load(file).map(|(_, config)| (file.display().to_string(), config));
    let files = files.iter().map(load).collect::<Result<Vec<_>, _>>()?;
    let wrong = config::plan::compare(&files);
    if !wrong.is_empty() {
        return Err(wrong.iter().map(|line| format!("error: {line}")).collect::<Vec<_>>().join("\n"));
    }
    let line = |(vip, nodes): (IpAddr, Vec<(u32, String)>)| {
        let nodes: Vec<_> = nodes.iter().map(|(med, node)| format!("{node} ({med})")).collect();
        format!("{vip:<40} {}\n", nodes.join(", "))
    };
    Ok(config::plan::order(&files).into_iter().map(line).collect())
}

fn renew(verb: &str, how: &Renew, arguments: &Arguments) -> Result<String, String> {
    let word = |set, word| if set { word } else { "" };
    ask(&format!("{verb}{}{}", word(how.plan, " plan"), word(how.reset, " reset")), arguments)
}

fn run(file: &std::path::Path, take_over: bool) -> Result<String, String> {
    base::logging::start("info,netlink_proto=warn");
    abort_on_panic();
    let runtime = runtime()?;
    runtime.block_on(bgp_speaker::run::run(file, take_over)).map_err(|error| error.to_string())?;
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

fn question(verb: &str, arguments: &Arguments) -> Result<String, String> {
    ask(&if arguments.json { format!("{verb} json") } else { verb.to_owned() }, arguments)
}

fn give(verb: &str, order: &Order, arguments: &Arguments) -> Result<String, String> {
    let Order { vips, time, reason } = order;
    ask(&format!("{verb} {time} {} {}", list(vips), reason.replace(['\n', '\r'], " ")), arguments)
}

fn list(vips: &[IpAddr]) -> String {
    match vips {
        [] => "all".to_owned(),
        vips => vips.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    }
}

/// Prints what there is; with `follow`, goes on until it is interrupted or the speaker ends.
fn events(follow: bool, arguments: &Arguments) -> Result<String, String> {
    if !follow {
        return question("events", arguments);
    }
    let (mut number, mut wait) = (0, "");
    loop {
        let lines = ask(&format!("events json {number}{wait}"), arguments)?;
        wait = " follow";
        for line in lines.lines().filter(|line| !line.is_empty()) {
            let event: serde_json::Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
            number = event["number"].as_u64().unwrap_or(number);
            let shown = if arguments.json { line.to_owned() } else { bgp_speaker::event_text(&event) };
            if writeln!(std::io::stdout().lock(), "{shown}").is_err() {
                return Ok(String::new());
            }
        }
    }
}

/// Asks the running speaker. An answer that starts with `error: ` is one.
fn ask(command: &str, arguments: &Arguments) -> Result<String, String> {
    let answer = runtime()?
        .block_on(base::control::ask(&arguments.socket, command))
        .map_err(|error| error.to_string())?;
    if answer.starts_with("error: ") { Err(answer) } else { Ok(answer + "\n") }
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
