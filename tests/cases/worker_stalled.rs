//! One stuck worker of several is found, although the others go on serving.

use crate::case;
use anyhow::ensure;
use std::time::Duration;
use tests::LabOptions;
use tests::load::Mix;
use tests::topology::VIPS;

#[test]
fn one_stalled_worker_of_two_is_withdrawn_within_700_ms() {
    case(&LabOptions { workers: 2, ..LabOptions::default() }, |lab| {
        let load = lab.load(Mix::new_connections(150))?;
        for (worker, number) in [(0, 1), (1, 2)] {
            let (node, vip) = (lab.gateway(number), VIPS[number - 1]);
            let began = lab.clock().now();
            let stalled = node.stall_worker(worker)?;
            let left = lab.routes().wait_left(vip, node.address(), began, Duration::from_secs(5))?;
            ensure!(left.at - began <= Duration::from_millis(700), "worker {worker}: {:?}", left.at - began);
            tests::pause(Duration::from_millis(300));
            drop(stalled);
            lab.wait_steady(Duration::from_secs(10))?;
            load.settle_all()?;
            let others = load.ended(began, lab.clock().now()).other_vips(vip);
            ensure!(others.failed() == 0 && others.total() > 50, "other VIPs: {}", others.summary());
        }
        Ok(())
    });
}
