//! A VIP that no node announces any more stays with who has it, as the last choice, while its gateway serves.

use crate::case;
use anyhow::{Result, ensure};
use std::time::Duration;
use tests::topology::VIPS;
use tests::{Lab, LabOptions};

/// How the node's speaker says that the VIP stands, and why.
fn stands(lab: &Lab, node: usize, state: &str, reason: &str) -> Result<()> {
    let what = format!("{} of gw{node} to be {state}, {reason}", VIPS[0]);
    tests::wait_until(&what, Duration::from_secs(5), || {
        let status = lab.gateway(node).speaker_status()?;
        let vip = &status["vips"][0];
        Ok((vip["state"] == state && vip["reason"] == reason).then_some(()))
    })
}

#[test]
fn the_last_node_that_announces_a_vip_keeps_it_while_its_gateway_serves() {
    case(&LabOptions { peers: true, ..LabOptions::default() }, |lab| {
        let vip = VIPS[0];
        let served = || lab.get(vip, "compute.example", "/whoami").map(|answer| answer.status == 200);
        for node in [3, 2] {
            lab.gateway(node).fail_probes(vip)?;
            stands(lab, node, "withdrawn", "probe_failed")?;
        }
        lab.gateway(1).fail_probes(vip)?;
        stands(lab, 1, "worsened", "last")?;
        // The others have heard that nobody has it any more, and help.
        stands(lab, 2, "worsened", "last")?;
        stands(lab, 3, "worsened", "last")?;
        ensure!(lab.bird().routes(vip)?.len() == 3 && served()?, "{:?}", lab.bird().routes(vip)?);

        lab.gateway(2).mend_probes()?;
        stands(lab, 2, "announced", "ready")?;
        stands(lab, 1, "withdrawn", "probe_failed")?;
        stands(lab, 3, "withdrawn", "probe_failed")?;
        ensure!(lab.serving(vip) == Some(2) && served()?, "{:?}", lab.serving(vip));

        // No mercy for a gateway that is dead: the others take over what they hear is nowhere.
        lab.gateway(2).kill_gateway()?;
        stands(lab, 2, "withdrawn", "closed")?;
        stands(lab, 1, "worsened", "last")?;
        let others = lab.bird().routes(vip)?;
        ensure!(others.iter().all(|route| route.neighbor != "gw2"), "{others:?}");
        ensure!(served()?, "nobody serves");
        Ok(())
    });
}

#[test]
fn a_node_that_is_cut_off_from_its_peers_keeps_what_it_has() {
    case(&LabOptions { peers: true, ..LabOptions::default() }, |lab| {
        let vip = VIPS[0];
        for node in [2, 3] {
            lab.gateway(node).kill_gateway()?;
        }
        let alone =
            || Ok(lab.gateway(1).ctl(&["show", "peers"])?.contains("1 of 3 nodes heard").then_some(()));
        tests::wait_until("gw1 to hear nobody", Duration::from_secs(5), alone)?;
        lab.gateway(1).fail_probes(vip)?;
        stands(lab, 1, "worsened", "last")?;
        ensure!(lab.get(vip, "compute.example", "/whoami")?.status == 200, "nobody serves");
        Ok(())
    });
}

#[test]
fn a_node_that_no_router_hears_of_does_not_take_a_vip_from_who_is_heard() {
    case(&LabOptions { peers: true, ..LabOptions::default() }, |lab| {
        let vip = VIPS[0];
        lab.gateway(3).fail_probes(vip)?;
        stands(lab, 3, "withdrawn", "probe_failed")?;
        // The gate of gw2 goes on wishing its VIPs announced.
        lab.bird().ask("disable gw2")?;
        tests::wait_until("gw2 to be without a session", Duration::from_secs(5), || {
            Ok((!lab.bird().is_established("gw2")?).then_some(()))
        })?;
        stands(lab, 2, "announced", "ready")?;
        // Its row says so within an exchange; what gw3 hears of all is that gw1 has the VIP.
        lab.gateway(1).fail_probes(vip)?;
        stands(lab, 1, "worsened", "last")?;
        stands(lab, 3, "worsened", "last")?;
        ensure!(lab.get(vip, "compute.example", "/whoami")?.status == 200, "nobody serves");
        lab.bird().ask("enable gw2")?;
        stands(lab, 1, "withdrawn", "probe_failed")?;
        ensure!(lab.get(vip, "compute.example", "/whoami")?.status == 200, "gw2 serves");
        Ok(())
    });
}
