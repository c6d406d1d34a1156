//! A planned drain: announced worse, then withdrawn, and no request is refused at any point.

use crate::case;
use anyhow::{Context, ensure};
use std::net::SocketAddr;
use std::time::Duration;
use tests::LabOptions;
use tests::bird::GRACEFUL_SHUTDOWN;
use tests::http::{Request, fetch};
use tests::load::{Kind, Mix};
use tests::topology::{PORT, VIPS};

#[test]
fn a_drain_worsens_then_withdraws_and_fails_no_new_connection() {
    case(&LabOptions::default(), |lab| {
        let load = lab.load(Mix { keep_alive: 6, ..Mix::new_connections(150) })?;
        let (node, vip) = (lab.gateway(1), VIPS[0]);
        tests::pause(Duration::from_millis(500));
        let began = lab.clock().now();
        node.drain()?;
        let worsened = tests::wait_until("a worse announcement", Duration::from_secs(2), || {
            let route = lab.bird().route_from(vip, "gw1")?;
            Ok(route.filter(|route| route.communities.contains(&GRACEFUL_SHUTDOWN)))
        })?;
        ensure!(worsened.med.is_some_and(|med| med >= u32::MAX - 1) && !worsened.best, "{worsened:?}");
        let health = node.admin("/health")?;
        ensure!(health.status == 503 && health.json()["state"] == "draining", "{health:?}");
        ensure!(node.metrics()?.sum("headgate_ready", &[]) < 0.5, "still ready, by its metric");
        let withdrawn = tests::wait_until("the withdraw", Duration::from_secs(5), || {
            Ok(lab.bird().route_from(vip, "gw1")?.is_none().then(|| lab.clock().now()))
        })?;
        ensure!(withdrawn - began >= Duration::from_millis(900), "too soon: {:?}", withdrawn - began);
        ensure!(lab.serving(vip) == Some(2), "{:?}", lab.serving(vip));
        // Whoever still comes is served.
        let direct = Request::get(SocketAddr::from((node.address(), PORT)), "compute.example", "/whoami");
        let answer = lab.fetch(direct)?;
        ensure!(answer.as_ref().is_ok_and(|answer| answer.status == 200), "{answer:?}");

        node.undrain()?;
        lab.wait_steady(Duration::from_secs(5))?;
        tests::pause(Duration::from_millis(300));
        load.settle()?;
        // A connection that is open when its VIP moves is cut, however new: at this pace one in ten moves.
        let (cut, new) =
            load.ended(began, lab.clock().now()).kind(Kind::New).cut_by(&lab.routes().since(began));
        ensure!(new.failed() == 0 && new.total() > 100, "{}", new.summary());
        ensure!(cut.total() <= 2, "more than a moment's: {}", cut.summary());
        Ok(())
    });
}

#[test]
fn a_gateway_that_is_told_to_end_finishes_what_it_has_and_exits() {
    case(&LabOptions::default(), |lab| {
        let node = lab.gateway(1);
        let (done, outcome) = std::sync::mpsc::sync_channel(1);
        let slow = Request::get(SocketAddr::from((node.address(), PORT)), "compute.example", "/slow?ms=2500");
        lab.client().spawn(async move {
            let _ = done.send(fetch(slow.within(Duration::from_secs(5))).await);
        });
        tests::pause(Duration::from_millis(500));
        let began = lab.clock().now();
        node.gateway().signal(nix::sys::signal::Signal::SIGTERM)?;
        lab.routes().wait_left(VIPS[0], node.address(), began, Duration::from_secs(2))?;
        let answer = outcome.recv_timeout(Duration::from_secs(5)).context("no outcome")?;
        ensure!(answer.as_ref().is_ok_and(|answer| answer.status == 200), "{answer:?}");
        let status = node.gateway().wait(Duration::from_secs(8))?;
        ensure!(status.success(), "{status}");
        let took = lab.clock().now() - began;
        ensure!(took <= Duration::from_secs(5), "idle after two seconds, ended after {took:?}");
        Ok(())
    });
}
