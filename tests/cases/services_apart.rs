//! The nodes share their servers: a service that is down everywhere takes no VIP with it, and no other
//! service.

use crate::case;
use anyhow::ensure;
use std::time::Duration;
use tests::LabOptions;
use tests::http::Failure;
use tests::load::{Kind, Mix};
use tests::topology::VIPS;

#[test]
fn a_service_without_servers_takes_no_vip_and_no_other_service_with_it() {
    case(&LabOptions::default(), |lab| {
        let load = lab.load(Mix { keep_alive: 9, ..Mix::new_connections(150) })?;
        tests::pause(Duration::from_millis(500));
        let began = lab.clock().now();
        for n in 1..=3 {
            lab.api(n).kill("volume")?;
        }
        tests::wait_until("an answer of 503 for volume", Duration::from_secs(3), || {
            Ok((lab.get(VIPS[0], "volume.example", "/")?.status == 503).then_some(()))
        })?;
        tests::pause(Duration::from_secs(3));
        for n in 1..=3 {
            ensure!(lab.gateway(n).admin("/health")?.status == 200, "gw{n} is not healthy");
        }
        let now = lab.clock().now();
        ensure!(lab.routes().since(began).is_empty(), "routes changed: {:?}", lab.routes().since(began));
        lab.wait_steady(Duration::from_secs(1))?;
        load.settle_all()?;
        let report = load.ended(began, now);
        for service in ["compute", "network"] {
            let report = report.service(service);
            ensure!(report.failed() == 0 && report.total() > 100, "{service}: {}", report.summary());
        }
        // A second after its last server was killed there is one answer, quick and clear.
        let later = load.report(began + Duration::from_secs(1), now).service("volume").kind(Kind::New);
        ensure!(later.ok() == 0, "volume: {}", later.summary());
        ensure!(later.failures().keys().eq([&Failure::Status(503)]), "volume: {}", later.summary());

        for n in 1..=3 {
            lab.api(n).start("volume")?;
        }
        tests::wait_until("volume to be back", Duration::from_secs(3), || {
            Ok((lab.get(VIPS[2], "volume.example", "/")?.status == 200).then_some(()))
        })
    });
}
