//! Two nodes never drain one VIP together.

use crate::case;
use anyhow::{Result, ensure};
use std::time::Duration;
use tests::topology::VIPS;
use tests::{Lab, LabOptions};

/// Every speaker has heard of every other's VIPs: a drain that is taken back at once is granted.
fn wait_heard(lab: &Lab) -> Result<()> {
    for node in lab.nodes() {
        tests::wait_until("the nodes to hear each other", Duration::from_secs(10), || {
            let granted = node.bgp(&["drain", &VIPS[2].to_string(), "--for", "1s"]);
            let all = granted.is_ok_and(|said| said.contains("agreed"));
            node.bgp(&["undrain"])?;
            Ok(all.then_some(()))
        })?;
    }
    lab.wait_steady(Duration::from_secs(10))
}

#[test]
fn a_drain_asks_the_other_nodes_and_is_refused_while_one_of_them_drains_the_same() {
    case(&LabOptions { peers: true, ..LabOptions::default() }, |lab| {
        wait_heard(lab)?;
        let [vip, other] = [VIPS[0].to_string(), VIPS[1].to_string()];
        let said = lab.gateway(2).bgp(&["drain", &vip, "--for", "1m"])?;
        ensure!(said.contains("gw1, gw3 agreed"), "{said}");
        for node in [1, 3] {
            let refused = lab.gateway(node).bgp(&["drain", &vip]).expect_err("refused").to_string();
            ensure!(refused.contains("gw2") && refused.contains("203.0.113.1"), "{refused}");
        }
        // Another VIP is another matter; of two that want it at once one gets it.
        let order = |node: usize| lab.gateway(node).bgp(&["drain", &other, "--for", "1m"]);
        let outcomes = std::thread::scope(|scope| {
            let (one, three) = (scope.spawn(|| order(1)), scope.spawn(|| order(3)));
            [one.join().expect("no panic"), three.join().expect("no panic")]
        });
        let granted = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        ensure!(granted == 1, "{outcomes:?}");
        lab.nodes().iter().try_for_each(|node| node.bgp(&["undrain"]).map(drop))?;
        lab.wait_steady(Duration::from_secs(10))
    });
}

#[test]
fn a_node_that_cannot_be_heard_has_a_drain_refused_unless_it_is_forced() {
    case(&LabOptions { peers: true, ..LabOptions::default() }, |lab| {
        wait_heard(lab)?;
        let vip = VIPS[0].to_string();
        lab.gateway(3).kill_gateway()?;
        tests::wait_until("gw3 to be missed", Duration::from_secs(5), || {
            let Err(refused) = lab.gateway(1).bgp(&["drain", &vip]) else {
                lab.gateway(1).bgp(&["undrain"])?;
                return Ok(None);
            };
            Ok(refused.to_string().contains("gw3 cannot be heard").then_some(()))
        })?;
        lab.gateway(1).bgp(&["drain", &vip, "--force", "--for", "1m"])?;
        tests::wait_until("the withdraw", Duration::from_secs(5), || {
            Ok(lab.bird().route_from(VIPS[0], "gw1")?.is_none().then_some(()))
        })?;
        ensure!(lab.serving(VIPS[0]) == Some(2), "{:?}", lab.serving(VIPS[0]));
        Ok(())
    });
}
