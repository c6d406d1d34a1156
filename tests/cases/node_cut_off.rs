//! A node that is lost silently leaves the VIPs when BGP's hold time is over.

use crate::case;
use anyhow::ensure;
use std::time::Duration;
use tests::LabOptions;
use tests::load::Mix;
use tests::topology::VIPS;

#[test]
fn a_node_that_is_cut_off_is_gone_after_the_hold_time() {
    case(&LabOptions { hold_time: 3, ..LabOptions::default() }, |lab| {
        let load = lab.load(Mix { keep_alive: 9, ..Mix::new_connections(150) })?;
        let (node, vip) = (lab.gateway(3), VIPS[2]);
        let began = lab.clock().now();
        node.cut()?;
        let left = lab.routes().wait_left(vip, node.address(), began, Duration::from_secs(10))?;
        // The time runs from the last message that came through, up to a second before the cut; BIRD's
        // timers and the cut itself (nft starts and commits) add some tenths.
        let took = left.at - began;
        ensure!(took <= Duration::from_millis(3300), "{took:?}");
        ensure!(took >= Duration::from_millis(1500), "{took:?}: was something said that should not be?");
        tests::pause(Duration::from_millis(500));
        ensure!(!lab.bird().is_established(&node.name())?);
        node.mend()?;
        lab.wait_steady(Duration::from_secs(15))?;
        load.settle_all()?;
        let others = load.ended(began, lab.clock().now()).other_vips(vip);
        ensure!(others.failed() == 0 && others.total() > 200, "other VIPs: {}", others.summary());
        Ok(())
    });
}
