//! A sticky client stays on the server that it had first.

use crate::case;
use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use tests::http::Request;
use tests::topology::{PORT, VIPS, client_address};
use tests::{Lab, LabOptions};

#[test]
fn a_sticky_client_lands_on_the_same_server_and_others_are_spread() {
    case(&LabOptions { sticky: vec!["compute"], ..LabOptions::default() }, |lab| {
        for client in 1..=5 {
            let servers = servers(lab, client_address(client), "compute", 12)?;
            ensure!(servers.len() == 1, "client {client}: {servers:?}");
        }
        let all = (10..40).map(|client| servers(lab, client_address(client), "compute", 1));
        let all: BTreeSet<_> = all.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        ensure!(all.len() == 3, "{all:?}");
        let not_sticky = servers(lab, client_address(1), "network", 12)?;
        ensure!(not_sticky.len() == 3, "{not_sticky:?}");
        Ok(())
    });
}

#[test]
fn a_sticky_client_moves_once_when_its_server_dies() {
    case(&LabOptions { sticky: vec!["compute"], ..LabOptions::default() }, |lab| {
        let client = client_address(7);
        let first = servers(lab, client, "compute", 3)?.pop_first().unwrap_or_default();
        let number = first.trim_start_matches("api").parse::<usize>()?;
        lab.api(number).kill("compute")?;
        let second = servers(lab, client, "compute", 12)?;
        ensure!(second.len() == 1 && !second.contains(&first), "had {first}, then {second:?}");
        Ok(())
    });
}

/// The servers that answered a client, through the first node.
fn servers(lab: &Lab, client: Ipv4Addr, service: &str, requests: usize) -> Result<BTreeSet<String>> {
    let mut servers = BTreeSet::new();
    for _ in 0..requests {
        let to = SocketAddr::from((VIPS[0], PORT));
        let outcome = lab.fetch(Request::get(to, &format!("{service}.example"), "/whoami").from(client))?;
        match outcome {
            Ok(answer) if answer.status == 200 => servers.insert(answer.server().to_owned()),
            other => anyhow::bail!("{other:?}"),
        };
    }
    Ok(servers)
}
