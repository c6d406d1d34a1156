//! A gateway that hangs, with its sockets open, is withdrawn within 400 ms.

use crate::{case, median};
use anyhow::ensure;
use std::time::Duration;
use tests::LabOptions;
use tests::load::Mix;
use tests::topology::VIPS;

#[test]
fn a_hung_gateway_is_withdrawn_within_400_ms_and_comes_back() {
    case(&LabOptions::default(), |lab| {
        let load = lab.load(Mix::new_connections(150))?;
        let mut times = Vec::new();
        for (vip, node) in VIPS.into_iter().zip(lab.nodes()) {
            let began = lab.clock().now();
            node.stop()?;
            let left = lab.routes().wait_left(vip, node.address(), began, Duration::from_secs(5))?;
            times.push(left.at - began);
            tests::pause(Duration::from_millis(300));
            ensure!(node.gateway().is_running(), "it was stopped, not ended");
            node.cont()?;
            lab.wait_steady(Duration::from_secs(10))?;
            load.settle_all()?;
            let others = load.ended(began, lab.clock().now()).other_vips(vip);
            ensure!(others.failed() == 0 && others.total() > 50, "other VIPs: {}", others.summary());
        }
        // The middle of three: one alone may meet a moment at which both cores do other things.
        ensure!(median(&times) <= Duration::from_millis(400), "{times:?}");
        Ok(())
    });
}
