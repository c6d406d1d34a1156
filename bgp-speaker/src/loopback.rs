//! Puts VIPs on the loopback interface, and takes those away again that this process put there.
//!
//! An address stays while the speaker runs, withdrawn or not: connections that still arrive are served.

use nix::libc::EEXIST;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, CacheInfo};
use rtnetlink::{Error, Handle};
use std::net::IpAddr;

/// The addresses that this process added.
pub(crate) struct Loopback {
    handle: Handle,
    added: Vec<AddressMessage>,
    /// Every VIP that is there now, whoever put it there.
    pub(crate) present: Vec<IpAddr>,
}

impl Loopback {
    /// Adds `vips`. One that cannot be added is logged and left out.
    pub(crate) async fn add(vips: Vec<IpAddr>) -> std::io::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        let mut loopback = Self { handle, added: Vec::new(), present: Vec::new() };
        for vip in vips {
            match loopback.add_one(vip).await {
                Ok(()) => loopback.present.push(vip),
                Err(error) => {
                    tracing::error!(%vip, %error, "the VIP cannot be put on lo; it stays withdrawn");
                }
            }
        }
        Ok(loopback)
    }

    async fn add_one(&mut self, vip: IpAddr) -> Result<(), Error> {
        let mut request = self.handle.address().add(LOOPBACK, vip, if vip.is_ipv4() { 32 } else { 128 });
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
            Ok(()) => {
                tracing::info!(%vip, "put on lo");
                self.added.push(message);
                Ok(())
            }
            Err(Error::NetlinkError(error)) if error.raw_code() == -EEXIST => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes away what this process added.
    pub(crate) async fn remove(self) {
        for message in self.added {
            if let Err(error) = self.handle.address().del(message).execute().await {
                tracing::warn!(%error, "a VIP stays on lo");
            }
        }
    }
}

/// The index of `lo`, in every network namespace (Linux, include/net/net_namespace.h).
const LOOPBACK: u32 = 1;
