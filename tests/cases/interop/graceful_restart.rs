//! Routers that keep the routes of a speaker while it restarts (RFC 4724), where that is wanted.

use super::{COMES_UP, SOON, interop, matrix, rest};
use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use std::time::Duration;
use tests::interop::{Interop, Peering, Router, Side};

fn table() -> Vec<Peering> {
    let kept = |peering: Peering| Peering { speaker_more: "graceful_restart = \"30s\"\n", ..peering };
    matrix().into_iter().map(kept).collect()
}

/// Every router holds every VIP of these sessions, in its table and in its kernel.
fn all_held(lab: &Interop) -> Result<()> {
    for peering in lab.peerings() {
        for vip in peering.side.vips() {
            ensure!(lab.seen(peering, vip)?.is_some(), "{}: no {vip:?} in the table", peering.name);
            ensure!(
                !lab.kernel(peering.router, vip)?.is_empty(),
                "{}: no {vip:?} in the kernel",
                peering.name
            );
        }
    }
    Ok(())
}

#[test]
fn routers_keep_the_routes_of_a_speaker_that_is_killed_and_comes_back_in_time() {
    interop(table(), |lab| {
        for router in [Router::Bird, Router::Frr] {
            let vip = Side::Outside.vips()[0];
            tests::wait_until("the kernel's route", SOON, || {
                Ok((!lab.kernel(router, vip)?.is_empty()).then_some(()))
            })?;
        }
        rest(lab)?;
        let began = lab.clock().now();
        for side in [Side::Outside, Side::Inside] {
            lab.speaker(side).daemon().kill()?;
        }
        tests::pause(Duration::from_secs(2));
        all_held(lab)?;
        for side in [Side::Outside, Side::Inside] {
            lab.speaker(side).daemon().start()?;
        }
        for peering in lab.peerings() {
            let stands = || Ok(lab.is_established(peering)?.then_some(()));
            tests::wait_until(&format!("{}: the session again", peering.name), COMES_UP, stands)?;
            lab.wait_announced(peering, SOON)?;
        }
        all_held(lab)?;
        for router in [Router::Bird, Router::Frr] {
            let gone = lab
                .routes(router)
                .wait("no gap", began, Duration::from_secs(1), |change| change.via.is_none());
            ensure!(gone.is_err(), "{}: {:?}", router.name(), gone.ok());
        }
        Ok(())
    });
}

#[test]
fn a_planned_end_takes_the_vips_away_although_routers_would_keep_them() {
    interop(table(), |lab| {
        for side in [Side::Outside, Side::Inside] {
            lab.speaker(side).daemon().signal(Signal::SIGTERM)?;
        }
        for side in [Side::Outside, Side::Inside] {
            lab.speaker(side).daemon().wait(Duration::from_secs(10))?;
            let log = lab.speaker(side).daemon().log();
            for peering in lab.peerings().iter().filter(|peering| peering.side == side) {
                // FRR agrees on the N bit of RFC 8538, BIRD 2.0 does not.
                let code = if peering.router == Router::Frr { "6/9" } else { "6/2" };
                let (name, sent) = (format!("neighbor={}", peering.name), format!("sent {code} "));
                let goodbye = log.lines().any(|line| line.contains(&name) && line.contains(&sent));
                ensure!(goodbye, "{} {code}: {log}", peering.name);
            }
        }
        lab.peerings().iter().try_for_each(|peering| lab.wait_withdrawn(peering, SOON))
    });
}
