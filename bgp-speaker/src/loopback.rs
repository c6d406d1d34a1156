//! Puts VIPs on the loopback interface, keeps them there, and takes those away again that this process put there.
//!
//! An address stays while the speaker runs, withdrawn or not: connections that still arrive are served. One that
//! somebody else removes is put back; one that cannot be there is told to the gate, which withdraws it.

use bgp_core::gate::Event;
use nix::libc::EEXIST;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, CacheInfo};
use rtnetlink::{AddressAddRequest, Error, Handle};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// The VIPs that shall be on the loopback interface.
pub(crate) struct Loopback {
    handle: Handle,
    vips: BTreeMap<IpAddr, bool>,
    /// What this speaker added, to take it away again; what is no VIP any more, too, as it may still be used.
    added: watch::Sender<BTreeSet<IpAddr>>,
}

impl Loopback {
    /// Adds `vips`; `added` are what a process before this one put there, to be taken away at the end as well. One that cannot be added is logged, and tried again by [`Loopback::keep`].
    pub(crate) async fn add(vips: impl Iterator<Item = IpAddr>, added: Vec<IpAddr>) -> std::io::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        let mut loopback = Self {
            handle,
            vips: vips.map(|vip| (vip, false)).collect(),
            added: watch::Sender::new(added.into_iter().collect()),
        };
        loopback.look(true).await;
        Ok(loopback)
    }

    /// The VIPs that are there now, whoever put them there.
    pub(crate) fn present(&self) -> Vec<IpAddr> {
        self.vips.iter().filter(|(_, present)| **present).map(|(vip, _)| *vip).collect()
    }

    /// What this speaker has put there, as it changes.
    pub(crate) fn added(&self) -> watch::Receiver<BTreeSet<IpAddr>> {
        self.added.subscribe()
    }

    /// Keeps them there and tells the gate what changes, until `end`; then takes away what was added.
    pub(crate) async fn keep(mut self, gate: mpsc::Sender<Event>, mut end: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                biased;
                _ = &mut end => break,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            for vip in self.look(false).await {
                let present = self.vips.get(&vip).copied().unwrap_or_default();
                let _ = gate.send(Event::Address { vip, present }).await;
            }
        }
        let added = self.added.borrow().clone();
        for vip in added {
            let message = request(&self.handle, vip).message_mut().clone();
            if let Err(error) = self.handle.address().del(message).execute().await {
                tracing::warn!(%error, "a VIP stays on lo");
            }
        }
    }

    /// Adds what is missing; returns what changed. The system says in one call whether it was there.
    async fn look(&mut self, first: bool) -> Vec<IpAddr> {
        let mut changed = Vec::new();
        for (vip, place) in &mut self.vips {
            let outcome = add_one(&self.handle, *vip).await;
            let present = outcome.is_ok();
            if present != *place || (first && !present) {
                changed.push(*vip);
                if let Err(error) = &outcome {
                    tracing::error!(%vip, %error, "the VIP cannot be put on lo; it is withdrawn");
                }
            }
            *place = present;
            if let Ok(true) = outcome {
                tracing::info!(%vip, again = !first, "put on lo");
                self.added.send_if_modified(|added| added.insert(*vip));
            }
        }
        changed
    }
}

/// Was it added? If not, it was there.
async fn add_one(handle: &Handle, vip: IpAddr) -> Result<bool, Error> {
    match request(handle, vip).execute().await {
        Ok(()) => Ok(true),
        Err(Error::NetlinkError(error)) if error.raw_code() == -EEXIST => Ok(false),
        Err(error) => Err(error),
    }
}

fn request(handle: &Handle, vip: IpAddr) -> AddressAddRequest {
    let mut request = handle.address().add(LOOPBACK, vip, if vip.is_ipv4() { 32 } else { 128 });
    if vip.is_ipv6() {
        // No duplicate detection, because every node has it; deprecated, so that it is never chosen as source.
        let mut lifetimes = CacheInfo::default();
        lifetimes.ifa_valid = u32::MAX;
        let attributes = &mut request.message_mut().attributes;
        attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        attributes.push(AddressAttribute::CacheInfo(lifetimes));
    }
    request
}

/// The index of `lo`, in every network namespace (Linux, include/net/net_namespace.h).
const LOOPBACK: u32 = 1;
/// How often it is looked whether they are still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);
