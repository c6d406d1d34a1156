//! The speaker's own figures, on loopback: how fast it reads a full table that it does not want, how soon all neighbors
//! know that everything is withdrawn, and what it holds in memory at rest.
//!
//! Exit 1 if a bound is not kept. The bounds are those of a release build; with another they are shown and not held.

mod router;
mod speaker;

use anyhow::{Context, Result, ensure};
use base::Clock;
use base_core::Time;
use clap::Parser;
use router::{Router, Session};
use speaker::{Speaker, health};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Parser)]
struct Cli {
    /// The speaker, a release build
    #[arg(long)]
    headgate_bgp: PathBuf,
    /// How often each figure is taken; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Show the figures, and hold no bound
    #[arg(long)]
    no_bounds: bool,
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(&cli))
}

async fn run(cli: &Cli) -> Result<ExitCode> {
    let mut good = true;
    let mut bound = |what: &str, value: f64, unit: &str, least: Option<f64>, most: Option<f64>| {
        let kept = least.is_none_or(|least| value >= least) && most.is_none_or(|most| value <= most);
        let wanted = least.or(most).unwrap_or_default();
        let side = if least.is_some() { "at least" } else { "at most" };
        let mark = if kept { "" } else { "   MISSED" };
        let line = format!("{what:<70} {value:>12.1} {unit:<9} ({side} {wanted}){mark}");
        let _ = writeln!(std::io::stdout().lock(), "{line}");
        good &= kept;
    };
    let at_rest = rest(cli).await.context("at rest")?;
    bound("resident memory at rest", at_rest, "MiB", None, Some(12.0));
    let mut rates = Vec::new();
    let mut grown: f64 = 0.0;
    let mut gap = Duration::ZERO;
    for _ in 0..cli.rounds {
        let table = table(cli).await.context("a million routes")?;
        rates.push(table.rate);
        grown = grown.max(table.grown);
        gap = gap.max(table.longest_silence);
    }
    bound("routes read in a second, of a million", median(&mut rates), "routes/s", Some(500_000.0), None);
    bound("memory that the million costs, at most", grown, "MiB", None, Some(16.0));
    // A hold time of 3 s: one KEEPALIVE a second.
    bound("longest time between two KEEPALIVEs meanwhile", gap.as_secs_f64() * 1e3, "ms", None, Some(1500.0));
    let mut times = withdraws(cli).await.context("withdraws")?;
    let what = format!("{VIPS} VIPs withdrawn at {NEIGHBORS} neighbors, until the last has all");
    bound(&what, median(&mut times), "ms", None, Some(100.0));
    Ok(if good || cli.no_bounds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A node as it usually is: three VIPs, two routers.
async fn rest(cli: &Cli) -> Result<f64> {
    let (health, _says) = health().await?;
    let routers = Router::listen(2).await?;
    let speaker = Speaker::start(&cli.headgate_bgp, health, &routers, 3, 0)?;
    let mut sessions = Vec::new();
    for router in &routers {
        sessions.push(router.session(0).await?);
    }
    for session in &mut sessions {
        session.announced(3).await?;
    }
    speaker.resident()
}

struct Table {
    /// Routes in a second.
    rate: f64,
    /// MiB.
    grown: f64,
    longest_silence: Duration,
}

/// One router sends a million routes, then asks for a refresh: its answer shows that all were read. Again and again for
/// some seconds, so that no buffer flatters the figure, and KEEPALIVEs are due while routes come.
async fn table(cli: &Cli) -> Result<Table> {
    let clock = Clock::start();
    let (health, _says) = health().await?;
    let routers = Router::listen(1).await?;
    let speaker = Speaker::start(&cli.headgate_bgp, health, &routers, 1, 3)?;
    let mut session = routers[0].session(3).await?;
    session.announced(1).await?;
    let messages = router::full_table(ROUTES);
    let before = speaker.resident()?;
    let began = clock.now();
    let (mut longest, mut tables) = (Duration::ZERO, 0);
    while clock.now() - began < FLOOD {
        session.feed(&messages).await?;
        tables += 1;
        longest = longest.max(session.longest_silence());
    }
    let rate = f64::from(tables * ROUTES) / (clock.now() - began).as_secs_f64();
    let grown = speaker.resident()? - before;
    Ok(Table { rate, grown, longest_silence: longest })
}

/// The gateway dies; how long until each neighbor has been told of every VIP.
async fn withdraws(cli: &Cli) -> Result<Vec<f64>> {
    let clock = Clock::start();
    let (health, says) = health().await?;
    let routers = Router::listen(NEIGHBORS).await?;
    let speaker = Speaker::start(&cli.headgate_bgp, health, &routers, VIPS, 0)?;
    let mut sessions = Vec::new();
    for router in &routers {
        sessions.push(router.session(0).await?);
    }
    let mut times = Vec::new();
    for _ in 0..cli.rounds {
        for session in &mut sessions {
            session.announced(VIPS).await?;
        }
        let mut tasks = tokio::task::JoinSet::new();
        for session in sessions.drain(..) {
            tasks.spawn(withdrawn(session, clock));
        }
        // The tasks are all waiting before it dies.
        tokio::task::yield_now().await;
        let began = clock.now();
        says.send_modify(|life| *life += 1);
        let mut last = began;
        while let Some(done) = tasks.join_next().await {
            let (session, at) = done??;
            last = last.max(at);
            sessions.push(session);
        }
        times.push((last - began).as_secs_f64() * 1e3);
    }
    ensure!(speaker.resident()? < 256.0, "{} MiB", speaker.resident()?);
    Ok(times)
}

async fn withdrawn(mut session: Session, clock: Clock) -> Result<(Session, Time)> {
    session.withdrawn(VIPS).await?;
    Ok((session, clock.now()))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

const ROUTES: u32 = 1_000_000;
/// Three KEEPALIVEs are due.
const FLOOD: Duration = Duration::from_secs(3);
const NEIGHBORS: usize = 200;
const VIPS: usize = 1000;
