//! Headgate, HAProxy and nginx side by side in one run: what a request costs each of them in CPU time, what an
//! idle connection costs in memory, and what a request costs in instructions, with the same features on.
//!
//! Figures of different runs say nothing about each other: the machine differs. Within a run the proxies take
//! turns, each pinned to the same core while the load and the servers have another, and the median of the
//! rounds counts. The other core never sleeps: to wake it would be paid for by whoever sends, by the more the
//! steadier it sends, and a peer behind a network costs nobody that. Only instructions hardly vary, so they alone are
//! a guard (`guard.toml`).

mod cases;
mod instructions;
mod load;
mod origin;
mod process;
mod proxies;
mod report;

use anyhow::{Context, Result};
use cases::Case;
use clap::Parser;
use proxies::{Kind, Proxy, Setup};
use report::Report;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
struct Cli {
    /// The gateway, a release build
    #[arg(long)]
    headgate: PathBuf,
    /// How often each case is measured on each proxy
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Requests of a round are divided by this
    #[arg(long, default_value_t = 1)]
    hasty: u32,
    /// Only cases whose name has this in it
    #[arg(long)]
    only: Option<String>,
    /// Leave callgrind, and with it the guard, out
    #[arg(long)]
    no_instructions: bool,
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    process::many_descriptors();
    process::pin_self();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
    runtime.block_on(compare(&cli))
}

async fn compare(cli: &Cli) -> Result<ExitCode> {
    let setup = Setup::new(cli.headgate.clone()).await.context("the set-up")?;
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| setup.is_there(*kind)).collect();
    let mut report = Report::new(&kinds);
    let wanted = |name: &str| {
        cli.only.as_deref().is_none_or(|only| name.to_lowercase().contains(&only.to_lowercase()))
    };
    let cases: Vec<Case> = Case::ALL.into_iter().filter(|case| wanted(case.name())).collect();
    for round in 1..=cli.rounds {
        report::say(&format!("round {round} of {}", cli.rounds));
        // Whoever comes first in one round comes last in the next.
        for place in 0..kinds.len() {
            let kind = kinds[(place + round) % kinds.len()];
            let proxy = Proxy::start(&setup, kind).await.with_context(|| kind.name())?;
            for case in &cases {
                if let Some(figure) = case.measure(&setup, &proxy, cli.hasty).await? {
                    report.add(*case, kind, figure);
                }
            }
        }
    }
    report.print();
    if cli.no_instructions || !wanted("instructions") {
        return Ok(ExitCode::SUCCESS);
    }
    let passed = instructions::measure(&setup, &kinds).await?;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
