//! The single demo: one gateway on loopback, to try by hand, or to check in a few seconds.

use crate::screen::Screen;
use crate::summary::{self, Promise};
use anyhow::Result;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;
use tests::single::Single;
use tests::{LabOptions, wait_until};

/// Runs until Ctrl-C with a live table, or, given a time or no terminal, checks itself and ends.
pub(crate) fn run(time: Option<Duration>) -> Result<bool> {
    let screen = Screen::new();
    let options = LabOptions { conn_cur: 10, http_req_rate: LIMIT, ..LabOptions::default() };
    let single = Single::start(&options)?;
    explain(&screen, &single);
    match time.or_else(|| (!screen.is_terminal()).then_some(CHECK_TIME)) {
        Some(time) => {
            let promises = check(&single, time)?;
            summary::print(&screen, &promises);
            Ok(promises.iter().all(|promise| promise.held))
        }
        None => follow(&screen, &single),
    }
}

fn explain(screen: &Screen, single: &Single) {
    let (address, admin, folder) = (single.address(), single.admin(), single.folder().display());
    let socket = single.folder().join("gateway.sock");
    let ctl = tests::program("headgatectl").unwrap_or_default();
    screen.line(&format!(
        "One gateway on http://{address} in front of three API servers. A client may make {LIMIT} requests in\n\
         10 s, 10 at once; it stays on the server that it had first. Everything is in {folder}. Try:"
    ));
    for command in [
        format!("curl -s http://{address}/whoami"),
        format!(
            "curl -s --interface 127.0.0.2 http://{address}/whoami      # another client, perhaps another server"
        ),
        format!(
            "seq 150 | xargs -I_ curl -s -o /dev/null -w '%{{http_code}}\\n' http://{address}/ | sort | uniq -c"
        ),
        format!("curl -s http://{admin}/health; curl -s http://{admin}/metrics"),
        format!("ctl='{} --socket {}'", ctl.display(), socket.display()),
        "$ctl status; $ctl drain; $ctl undrain".to_owned(),
        format!("tail -f {folder}/access.log"),
    ] {
        screen.line(&format!("  {command}"));
    }
}

/// A little load of many clients, and which server answered.
fn follow(screen: &Screen, single: &Single) -> Result<bool> {
    screen.line("\nIt goes on until Ctrl-C.");
    let (mut servers, mut failed) = (BTreeMap::<String, u64>::new(), 0_u64);
    for client in (FIRST_CLIENT..u16::MAX).cycle() {
        match single.fetch(client, "/whoami")? {
            Ok(answer) if answer.status.is_success() => {
                *servers.entry(answer.server().to_owned()).or_default() += 1;
            }
            _ => failed += 1,
        }
        if client % 10 == 0 {
            let health = single.ask_admin("/health")?.text();
            let mut table = format!("\n  gateway: {}\n", health.trim());
            for (server, answers) in &servers {
                let _ = writeln!(table, "  {server}: {answers} answers");
            }
            let _ = writeln!(table, "  failed: {failed}");
            screen.draw(&table);
        }
        tests::pause(Duration::from_millis(20));
    }
    Ok(true)
}

fn check(single: &Single, time: Duration) -> Result<Vec<Promise>> {
    let clock = base::Clock::start();
    let began = clock.now();
    let mut promises = vec![spread(single)?, sticky(single)?];
    promises.extend(limit(single)?);
    promises.extend(drain(single)?);
    let (mut failed, mut total) = (0, 0);
    single.server(1).kill()?;
    // For the rest of the time, and at least fifty requests.
    while total < 50 || clock.now() - began < time {
        let answer = single.fetch(20_000 + total, "/whoami")?;
        failed += usize::from(!answer.is_ok_and(|answer| answer.status.is_success()));
        total += 1;
        tests::pause(Duration::from_millis(5));
    }
    promises.push(Promise::none("one of three servers killed: failed requests", failed, total.into()));
    Ok(promises)
}

fn spread(single: &Single) -> Result<Promise> {
    let mut servers = BTreeMap::<String, usize>::new();
    for client in 0..30 {
        if let Ok(answer) = single.fetch(1000 + client, "/whoami")? {
            *servers.entry(answer.server().to_owned()).or_default() += 1;
        }
    }
    Ok(Promise::exactly("thirty clients: servers that answered", servers.len(), 3))
}

fn sticky(single: &Single) -> Result<Promise> {
    let mut servers = std::collections::BTreeSet::new();
    for _ in 0..10 {
        if let Ok(answer) = single.fetch(2000, "/whoami")? {
            servers.insert(answer.server().to_owned());
        }
    }
    Ok(Promise::exactly("one client, ten requests: servers that answered", servers.len(), 1))
}

fn limit(single: &Single) -> Result<Vec<Promise>> {
    let (mut through, mut refused) = (0, 0);
    for _ in 0..LIMIT + LIMIT / 2 {
        if let Ok(answer) = single.fetch(3000, "/whoami")? {
            through += usize::from(answer.status.is_success());
            let retry = answer.header("retry-after").parse::<u32>().is_ok();
            refused += usize::from(answer.status.as_u16() == 429 && retry);
        }
    }
    let limit = usize::try_from(LIMIT)?;
    Ok(vec![
        Promise::exactly("client over its limit: requests let through", through, limit),
        Promise::exactly("client over its limit: 429 with Retry-After", refused, limit / 2),
    ])
}

fn drain(single: &Single) -> Result<Vec<Promise>> {
    single.ctl("drain")?;
    let status = |wanted: u16| {
        wait_until(&format!("/health to answer {wanted}"), Duration::from_secs(2), || {
            let answer = single.ask_admin("/health")?;
            Ok((answer.status.as_u16() == wanted).then(|| answer.text()))
        })
    };
    let draining = status(503)?.contains("draining");
    let mut failed = 0;
    for client in 0..20 {
        failed += usize::from(
            !single.fetch(4000 + client, "/whoami")?.is_ok_and(|answer| answer.status.is_success()),
        );
    }
    single.ctl("undrain")?;
    status(200)?;
    Ok(vec![
        Promise::exactly("drained: /health says 503 draining", usize::from(draining), 1),
        Promise::none("drained: refused requests", failed, 20),
    ])
}

/// Requests of one client in ten seconds.
const LIMIT: u32 = 100;
const CHECK_TIME: Duration = Duration::from_secs(5);
/// The first client of the table's load: far from those that one tries by hand.
const FIRST_CLIENT: u16 = 30_000;
