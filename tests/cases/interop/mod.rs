//! The speaker with real routers: BIRD and FRR, as eBGP and as iBGP, over IPv4 and over IPv6. What a router holds is
//! read from its own tables and from its kernel.

mod basics;
mod bfd;
mod graceful_restart;
mod limits;
mod link_local;
mod looking_glass;
mod renewal;

use crate::turn;
use anyhow::Result;
use std::io::Write;
use std::time::Duration;
use tests::interop::{Interop, Peering, Router, Side};

/// Runs a case with these sessions, once all of them stand with their VIPs at the routers.
fn interop(peerings: Vec<Peering>, test: impl FnOnce(&Interop) -> Result<()>) {
    apart(peerings, |lab| {
        lab.peerings().iter().try_for_each(|peering| lab.wait_announced(peering, COMES_UP))?;
        test(lab)
    });
}

/// The same, without waiting for anything.
fn apart(peerings: Vec<Peering>, test: impl FnOnce(&Interop) -> Result<()>) {
    if let Some(reason) = tests::interop::unavailable() {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        let _ = writeln!(std::io::stderr().lock(), "{name}: NOT RUN: {reason}");
        return;
    }
    let _turn = turn();
    let lab = Interop::start(peerings).unwrap_or_else(|error| panic!("{error:#}"));
    test(&lab).unwrap_or_else(|error| panic!("{error:#}\n{}", lab.last_words()));
}

/// Until the kernels of both routers have what their tables have: FRR takes some 100 ms for several paths to one VIP.
fn rest(lab: &Interop) -> Result<()> {
    [Router::Bird, Router::Frr].iter().try_for_each(|router| lab.routes(*router).rests(QUIET, SOON))
}

/// Figures, for who looks.
fn told(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// One session with each router, between ASes, over IPv4.
fn one_each() -> Vec<Peering> {
    vec![
        Peering::new("bird", Router::Bird, Side::Outside, false, 1),
        Peering::new("frr", Router::Frr, Side::Outside, false, 1),
    ]
}

/// Every kind of session, once: both routers, between ASes and inside one, over IPv4 and IPv6.
fn matrix() -> Vec<Peering> {
    use Router::{Bird, Frr};
    use Side::{Inside, Outside};
    vec![
        Peering::new("bird_ebgp4", Bird, Outside, false, 1),
        Peering::new("bird_ebgp6", Bird, Outside, true, 2),
        Peering::new("bird_ibgp4", Bird, Inside, false, 3),
        Peering::new("bird_ibgp6", Bird, Inside, true, 4),
        Peering::new("frr_ebgp4", Frr, Outside, false, 1),
        Peering::new("frr_ebgp6", Frr, Outside, true, 2),
        Peering::new("frr_ibgp4", Frr, Inside, false, 3),
        Peering::new("frr_ibgp6", Frr, Inside, true, 4),
    ]
}

/// How long sessions may take to come up with machines that do other things.
const COMES_UP: Duration = Duration::from_secs(20);
/// How long a change may take to be seen in a router's table, as each look starts a program.
const SOON: Duration = Duration::from_secs(5);
/// A kernel in which nothing has changed for so long has all that the tables had: ten times what FRR's queue holds back.
const QUIET: Duration = Duration::from_millis(500);
