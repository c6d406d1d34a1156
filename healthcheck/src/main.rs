//! `headgate-probe`: asks a server how it is, once or in a row, and says so with its exit code, for scripts.

mod args;
mod report;
mod target;

use args::{Args, Plan};
use base::Clock;
use base_core::Time;
use clap::{CommandFactory, Parser, error::ErrorKind};
use healthcheck::Prober;
use healthcheck::probe::Names;
use healthcheck_core::tally::Tally;
use healthcheck_core::{CheckSpec, CheckStatus, Outcome};
use report::Report;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

fn main() -> ExitCode {
    let plan = match Args::parse().plan() {
        Ok(plan) => plan,
        Err(problem) => Args::command().error(ErrorKind::ValueValidation, problem).exit(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answer = match runtime {
        Ok(runtime) => runtime.block_on(run(&plan)),
        Err(problem) => Err(problem.to_string()),
    };
    match answer {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            // Nobody reads stderr any more: the exit code still says it.
            let _ = writeln!(io::stderr(), "headgate-probe: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run(plan: &Plan) -> Result<bool, String> {
    let clock = Clock::start();
    let CheckSpec { kind, tls, .. } = &plan.check;
    let prober =
        Prober::new(kind.clone(), tls.as_ref(), Names::default()).map_err(|error| error.to_string())?;
    let addresses = plan.target.resolve(clock, clock.now() + plan.timeout).await?;
    let mut report = Report::new(plan.output);
    let mut tally = Tally::new(plan.goal);
    let mut slot = clock.now();
    loop {
        clock.sleep_until(slot).await;
        let (address, outcome) = probe_any(&prober, &addresses, clock, clock.now() + plan.timeout).await;
        report.probe(address, &outcome);
        if let Some(ok) = tally.add(outcome.passed()) {
            report.summary(ok, &tally);
            return Ok(ok);
        }
        slot = (slot + plan.interval).max(clock.now());
    }
}

/// Probes a name's addresses in their order until one can be connected to, as a client would; all of them
/// together have until `deadline`.
async fn probe_any(
    prober: &Prober,
    addresses: &target::Addresses,
    clock: Clock,
    deadline: Time,
) -> (SocketAddr, Outcome) {
    let started = clock.now();
    let mut found = (addresses.first, prober.probe(addresses.first, clock, deadline).await);
    for address in &addresses.others {
        if found.1.status != CheckStatus::L4Connection {
            break;
        }
        found = (*address, prober.probe(*address, clock, deadline).await);
    }
    found.1.duration = clock.now().since(started);
    found
}
