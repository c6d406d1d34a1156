//! Puts VIPs on the loopback interface, keeps them there, and takes those away again that this process put there.
//!
//! An address stays while the speaker runs, withdrawn or not: connections that still arrive are served. One that
//! somebody else removes is put back; one that cannot be there is told to the gate, which withdraws it.

use bgp_core::gate::Event;
use nix::libc::EEXIST;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, CacheInfo};
use rtnetlink::{Error, Handle};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The VIPs that shall be on the loopback interface.
pub(crate) struct Loopback {
    handle: Handle,
    vips: BTreeMap<IpAddr, Place>,
}

/// How one VIP came to be there.
#[derive(Default)]
struct Place {
    present: bool,
    /// What this process added, to take it away again.
    added: Option<AddressMessage>,
}

impl Loopback {
    /// Adds `vips`. One that cannot be added is logged, and tried again by [`Loopback::keep`].
    pub(crate) async fn add(vips: impl Iterator<Item = IpAddr>) -> std::io::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        let mut loopback = Self { handle, vips: vips.map(|vip| (vip, Place::default())).collect() };
        loopback.look(true).await;
        Ok(loopback)
    }

    /// The VIPs that are there now, whoever put them there.
    pub(crate) fn present(&self) -> Vec<IpAddr> {
        self.vips.iter().filter(|(_, place)| place.present).map(|(vip, _)| *vip).collect()
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
                let present = self.vips.get(&vip).is_some_and(|place| place.present);
                let _ = gate.send(Event::Address { vip, present }).await;
            }
        }
        for message in self.vips.into_values().filter_map(|place| place.added) {
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
            if present != place.present || (first && !present) {
                changed.push(*vip);
                if let Err(error) = &outcome {
                    tracing::error!(%vip, %error, "the VIP cannot be put on lo; it is withdrawn");
                }
            }
            place.present = present;
            if let Ok(Some(message)) = outcome {
                tracing::info!(%vip, again = !first, "put on lo");
                place.added = Some(message);
            }
        }
        changed
    }
}

/// What was added; `None` if it was there.
async fn add_one(handle: &Handle, vip: IpAddr) -> Result<Option<AddressMessage>, Error> {
    let mut request = handle.address().add(LOOPBACK, vip, if vip.is_ipv4() { 32 } else { 128 });
    if vip.is_ipv6() {
        // No duplicate detection, because every node has it; deprecated, so that it is never chosen as source.
        let mut lifetimes = CacheInfo::default();
        lifetimes.ifa_valid = u32::MAX;
        let attributes = &mut request.message_mut().attributes;
        attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        attributes.push(AddressAttribute::CacheInfo(lifetimes));
    }
    let message = request.message_mut().clone();
    match request.execute().await {
        Ok(()) => Ok(Some(message)),
        Err(Error::NetlinkError(error)) if error.raw_code() == -EEXIST => Ok(None),
        Err(error) => Err(error),
    }
}

/// The index of `lo`, in every network namespace (Linux, include/net/net_namespace.h).
const LOOPBACK: u32 = 1;
/// How often it is looked whether they are still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);
