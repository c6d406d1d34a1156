//! Peers: who this node is among them, and who the others are.

use super::Result;
use super::values::{duration, name, unique};
use crate::config::{Peer, Peers, PeersTls, schema};
use base_core::diagnose::Source;
use toml::Spanned;

pub(super) fn peers(source: &Source, written: schema::Peers, node: Option<&String>) -> Result<Peers> {
    name(source, &written.name)?;
    let local = match (&written.local, node) {
        (Some(local), _) => {
            name(source, local)?;
            local.get_ref().clone()
        }
        (None, Some(node)) => node.clone(),
        (None, None) => {
            let error = source.at(written.name.span(), "which of the peers is this node?");
            return Err(error.help("add local here, or node at the top"));
        }
    };
    let mut peers = Vec::<Peer>::new();
    for peer in &written.peer {
        name(source, &peer.name)?;
        unique(source, &peer.name, "peer", peers.iter().map(|peer| &peer.name))?;
        if let Some(host) = &peer.verifyhost
            && written.tls.is_none()
        {
            return Err(source.at(host.span(), "there is no certificate").help("add tls to [peers]"));
        }
        let verifyhost = peer.verifyhost.as_ref().map(|host| host.get_ref().clone());
        peers.push(Peer { name: peer.name.get_ref().clone(), address: peer.address, verifyhost });
    }
    // So that the list can be the same on all nodes.
    peers.retain(|peer| peer.name != local);
    if peers.len() > MAX_PEERS {
        let error = source.at(written.name.span(), "too many peers");
        return Err(error.help(format!("each node talks to each: at most {MAX_PEERS}")));
    }
    Ok(Peers {
        local,
        bind: super::bind::bind(source, written.bind),
        update_interval: duration(source, &written.update_interval, "update_interval")?,
        tls: written.tls.map(|tls| {
            let origin = source.at(tls.span(), "TLS of the peers can't be had");
            let tls = tls.into_inner();
            PeersTls {
                cert: tls.cert.into_inner(),
                key: tls.key.into_inner(),
                ca: tls.ca.into_inner(),
                origin,
            }
        }),
        name: Spanned::into_inner(written.name),
        peers,
    })
}

/// Sessions of a node.
const MAX_PEERS: usize = 255;
