//! A client over its limit gets exactly its limit, then 429 with the time to wait; others never notice.

use crate::case;
use anyhow::{Context, Result, ensure};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tests::http::{Answer, Request, fetch};
use tests::load::{Kind, Mix};
use tests::topology::{PORT, VIPS, client_address};
use tests::{Lab, LabOptions};

#[test]
fn a_client_gets_exactly_its_rate_then_429_with_retry_after() {
    case(&LabOptions { http_req_rate: 50, ..LabOptions::default() }, |lab| {
        let load = lab.load(Mix::new_connections(60))?;
        let began = lab.clock().now();
        let answers = (0..80).map(|_| ask(lab, client_address(50_000), "/whoami", None));
        let answers = answers.collect::<Result<Vec<_>>>()?;
        let (through, refused) = answers.split_at(50);
        ensure!(through.iter().all(|answer| answer.status == 200), "the first 50 were not all let through");
        for answer in refused {
            let wait: u64 = answer.header("retry-after").parse().context("no Retry-After")?;
            ensure!(answer.status == 429 && (1..=10).contains(&wait), "{answer:?}");
        }
        tests::pause(Duration::from_millis(500));
        load.settle()?;
        let others = load.ended(began, lab.clock().now()).kind(Kind::New);
        ensure!(others.failed() == 0 && others.total() > 5, "others: {}", others.summary());
        logged_as_refused(lab)
    });
}

/// As HAProxy logs a deny: no server, status 429, flags `PR--`.
fn logged_as_refused(lab: &Lab) -> Result<()> {
    let line = lab.gateway(1).wait_logged(" 429 ")?;
    ensure!(line.contains(" PR-- ") && line.contains("<NOSRV>"), "{line}");
    let metrics = lab.gateway(1).metrics()?;
    let refused = metrics.sum("headgate_refused_total", &["frontend=\"public\""]);
    ensure!((refused - 30.0).abs() < 0.5, "{refused} refused, by its metric");
    Ok(())
}

#[test]
fn after_the_period_the_client_is_let_through_again() {
    let period = Duration::from_secs(2);
    case(&LabOptions { http_req_rate: 10, period, ..LabOptions::default() }, |lab| {
        let client = client_address(50_001);
        let statuses = |count| (0..count).map(|_| Ok(ask(lab, client, "/whoami", None)?.status.as_u16()));
        let first: Vec<u16> = statuses(12).collect::<Result<_>>()?;
        ensure!(first.iter().filter(|status| **status == 200).count() == 10, "{first:?}");
        // Two periods: what went before counts no more, however the window slides.
        tests::pause(2 * period);
        let second: Vec<u16> = statuses(10).collect::<Result<_>>()?;
        ensure!(second.iter().all(|status| *status == 200), "{second:?}");
        Ok(())
    });
}

#[test]
fn a_client_has_at_most_its_number_of_requests_at_once() {
    case(&LabOptions { conn_cur: 5, ..LabOptions::default() }, |lab| {
        let client = client_address(50_002);
        let statuses = lab.client().run(at_once(client, 8))?;
        let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
        ensure!(count(200) == 5 && count(429) == 3, "{statuses:?}");
        // They have ended: there is room again.
        let again = lab.client().run(at_once(client, 5))?;
        ensure!(again.iter().all(|status| *status == 200), "{again:?}");
        Ok(())
    });
}

#[test]
fn a_forged_address_evades_no_limit() {
    case(&LabOptions { http_req_rate: 20, ..LabOptions::default() }, |lab| {
        let forged =
            (0..30).map(|n| ask(lab, client_address(50_003), "/whoami", Some(Ipv4Addr::new(9, 9, 9, n))));
        let answers = forged.collect::<Result<Vec<_>>>()?;
        let through = answers.iter().filter(|answer| answer.status == 200).count();
        ensure!(through == 20, "{through} let through");
        Ok(())
    });
}

async fn at_once(client: Ipv4Addr, count: usize) -> Vec<u16> {
    let one = || {
        let request = Request::get(SocketAddr::from((VIPS[0], PORT)), "network.example", "/slow?ms=600");
        tokio::spawn(fetch(request.from(client)))
    };
    let all: Vec<_> = std::iter::repeat_with(one).take(count).collect();
    let mut statuses = Vec::new();
    for one in all {
        statuses.push(one.await.ok().and_then(Result::ok).map_or(0, |answer| answer.status.as_u16()));
    }
    statuses
}

fn ask(lab: &Lab, client: Ipv4Addr, path: &str, forged: Option<Ipv4Addr>) -> Result<Answer> {
    let mut request = Request::get(SocketAddr::from((VIPS[0], PORT)), "compute.example", path).from(client);
    if let Some(forged) = forged {
        request = request.header("X-Forwarded-For", &forged.to_string());
    }
    lab.fetch(request)?.map_err(|failure| anyhow::anyhow!("{failure}"))
}
