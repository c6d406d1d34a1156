//! A server that dies costs no request: what was not sent yet goes to another.

use crate::case;
use anyhow::ensure;
use std::time::Duration;
use tests::LabOptions;
use tests::load::{Kind, Mix};

#[test]
fn a_killed_server_fails_no_new_connection_and_is_used_again_when_it_is_back() {
    case(&LabOptions::default(), |lab| {
        let load = lab.load(Mix::new_connections(150))?;
        tests::pause(Duration::from_millis(500));
        let began = lab.clock().now();
        lab.api(2).kill("network")?;
        tests::pause(Duration::from_millis(1500));
        load.settle()?;
        let report = load.ended(began, lab.clock().now());
        let new = report.kind(Kind::New);
        ensure!(new.failed() == 0 && new.total() > 100, "{}", new.summary());
        let later = load.report(began + Duration::from_secs(1), lab.clock().now()).service("network");
        ensure!(later.servers().keys().eq(["api1", "api3"].iter()), "{:?}", later.servers());

        let up = || -> anyhow::Result<f64> {
            let labels = ["backend=\"network\"", "server=\"api2\""];
            Ok(lab.gateway(1).metrics()?.sum("headgate_server_up", &labels))
        };
        ensure!(up()? < 0.5, "it is up, by its metric");

        let back = lab.clock().now();
        lab.api(2).start("network")?;
        tests::wait_until("api2 to be used again", Duration::from_secs(3), || {
            let report = load.report(back, lab.clock().now()).service("network");
            Ok((report.servers().contains_key("api2") && up()? > 0.5).then_some(()))
        })
    });
}
