//! Servers learn the client's address from the gateway, and a client cannot make it say another.

use crate::case;
use anyhow::{Result, ensure};
use std::net::{Ipv4Addr, SocketAddr};
use tests::http::Request;
use tests::topology::{PORT, VIPS, client_address};
use tests::{Lab, LabOptions};

#[test]
fn a_client_cannot_forge_x_forwarded_for() {
    case(&LabOptions::default(), |lab| {
        let client = client_address(60);
        ensure!(seen(lab, client, &[])? == client.to_string());
        for forged in [&["1.2.3.4"][..], &["1.2.3.4, 5.6.7.8"], &["1.2.3.4", "5.6.7.8"], &["garbage"]] {
            ensure!(
                seen(lab, client, forged)? == client.to_string(),
                "{forged:?}: {}",
                seen(lab, client, forged)?
            );
        }
        Ok(())
    });
}

#[test]
fn a_trusted_proxy_is_believed_as_far_as_it_is_trusted() {
    let proxy = client_address(61);
    case(&LabOptions { trusted_proxies: vec!["10.1.0.0/16"], ..LabOptions::default() }, |lab| {
        let seen = seen(lab, proxy, &["198.51.100.7"])?;
        ensure!(seen == format!("198.51.100.7, {proxy}"), "{seen}");
        Ok(())
    });
}

/// What the server gets as X-Forwarded-For.
fn seen(lab: &Lab, client: Ipv4Addr, sent: &[&str]) -> Result<String> {
    let mut request =
        Request::get(SocketAddr::from((VIPS[0], PORT)), "compute.example", "/whoami").from(client);
    for value in sent {
        request = request.header("X-Forwarded-For", value);
    }
    let answer = lab.fetch(request)?.map_err(|failure| anyhow::anyhow!("{failure}"))?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(answer.json()["x_forwarded_for"].as_str().unwrap_or_default().to_owned())
}
