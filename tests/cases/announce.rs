//! Every node announces every VIP, with a metric that makes node i the first choice for VIP i.

use crate::case;
use anyhow::{Result, ensure};
use std::net::SocketAddr;
use std::time::Duration;
use tests::LabOptions;
use tests::http::{Failure, Request};
use tests::topology::{NODE_AS, PORT, VIPS, planned_med};

#[test]
fn every_node_announces_every_vip_with_its_planned_metric() {
    case(&LabOptions::default(), |lab| {
        for (vip, number) in VIPS.into_iter().zip(1..) {
            let routes = lab.bird().routes(vip)?;
            ensure!(routes.len() == 3, "{routes:?}");
            for node in lab.nodes() {
                let route = lab.bird().route_from(vip, &node.name())?.unwrap_or_default();
                ensure!(route.med == Some(planned_med(node.number(), number)), "{route:?}");
                ensure!(route.via == Some(node.address()) && route.as_path == [NODE_AS], "{route:?}");
                ensure!(route.communities.is_empty(), "{route:?}");
                ensure!(route.best == (node.number() == number), "{route:?}");
            }
        }
        for node in lab.nodes() {
            let addresses = node.namespace().run(&["ip", "-4", "addr", "show", "dev", "lo"])?;
            ensure!(VIPS.iter().all(|vip| addresses.contains(&format!("{vip}/32"))), "{addresses}");
            let status = node.speaker_status()?.to_string();
            ensure!(status.to_lowercase().contains("established"), "{status}");
        }
        Ok(())
    });
}

#[test]
fn requests_to_a_vip_are_served_by_its_own_node() {
    case(&LabOptions::default(), |lab| {
        for (vip, node) in VIPS.iter().zip(lab.nodes()) {
            let answer = lab.get(*vip, "network.example", &format!("/whoami?through={}", node.name()))?;
            ensure!(answer.status == 200 && answer.json()["service"] == "network", "{answer:?}");
            // The server sees the node that passed it on, and from the node the client.
            let peer: SocketAddr = answer.json()["peer"].as_str().unwrap_or_default().parse()?;
            ensure!(peer.ip() == node.address(), "{peer}");
            node.wait_logged(&format!("through={}", node.name()))?;
        }
        Ok(())
    });
}

#[test]
fn what_no_node_announces_is_reached_by_nobody() {
    case(&LabOptions::default(), |lab| {
        lab.nodes().iter().try_for_each(|node| node.speaker().kill())?;
        tests::wait_until("the router to forget the VIPs", Duration::from_secs(5), || {
            Ok(VIPS.iter().all(|vip| lab.routes().via(*vip).is_none()).then_some(()))
        })?;
        unreachable(lab)
    });
}

fn unreachable(lab: &tests::Lab) -> Result<()> {
    for vip in VIPS {
        ensure!(lab.bird().routes(vip)?.is_empty(), "{:?}", lab.bird().routes(vip)?);
        let outcome = lab.fetch(Request::get(SocketAddr::from((vip, PORT)), "compute.example", "/"))?;
        // Told at once that there is no route, or not at all: the router says so once a second.
        ensure!(matches!(outcome, Err(Failure::Connect | Failure::Timeout)), "{outcome:?}");
    }
    Ok(())
}
