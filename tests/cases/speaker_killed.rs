//! A speaker that dies takes its node out of the VIPs, and nobody's new connection fails: its gateway
//! serves what still arrives.

use crate::case;
use anyhow::ensure;
use std::time::Duration;
use tests::LabOptions;
use tests::load::{Kind, Mix};
use tests::topology::VIPS;

#[test]
fn a_killed_speaker_moves_its_vip_and_fails_no_new_connection() {
    case(&LabOptions::default(), |lab| {
        let load = lab.load(Mix::new_connections(150))?;
        tests::pause(Duration::from_millis(500));
        let (node, vip) = (lab.gateway(2), VIPS[1]);
        let began = lab.clock().now();
        node.speaker().kill()?;
        let left = lab.routes().wait_left(vip, node.address(), began, Duration::from_secs(5))?;
        ensure!(left.at - began <= Duration::from_millis(200), "{:?}", left.at - began);
        ensure!(!lab.bird().is_established("gw2")?);
        ensure!(lab.serving(vip) == Some(3), "{:?}", lab.serving(vip));
        tests::pause(Duration::from_millis(500));
        node.speaker().start()?;
        lab.wait_steady(Duration::from_secs(15))?;
        load.settle()?;
        let new = load.ended(began, lab.clock().now()).kind(Kind::New);
        ensure!(new.failed() == 0 && new.total() > 50, "{}", new.summary());
        Ok(())
    });
}
