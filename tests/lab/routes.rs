//! Sees each change of the router's kernel routes the moment it happens: what decides where packets go.
//!
//! A netlink socket in the router's namespace (rtnetlink(7), group `RTMGRP_IPV4_ROUTE`), read by a thread
//! that does nothing else. The time is taken when the message is read: some tens of microseconds after
//! the change on an idle machine.

use crate::netns::Namespace;
use anyhow::{Context, Result, bail};
use base::Clock;
use base_core::Time;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeVal;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A host route that has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// When it was seen.
    pub at: Time,
    /// The route.
    pub vip: Ipv4Addr,
    /// Its next hop from now on; `None`: the route is gone.
    pub via: Option<Ipv4Addr>,
}

/// The thread that watches. Dropping it ends it.
#[derive(Debug)]
pub struct Watcher {
    clock: Clock,
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Seen {
    changes: Vec<Change>,
    now: HashMap<Ipv4Addr, Ipv4Addr>,
}

impl Watcher {
    /// Starts watching in a namespace. What was there before is not seen: start it before the routes come.
    pub(crate) fn start(namespace: &Namespace, clock: Clock) -> Result<Self> {
        let (seen, stop) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let (ready, started) = sync_channel(1);
        let (namespace, its_seen, its_stop) = (namespace.clone(), Arc::clone(&seen), Arc::clone(&stop));
        let work = move || match open(&namespace) {
            Ok(socket) => {
                let _ = ready.send(Ok(()));
                watch(&socket, clock, &its_seen, &its_stop);
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        };
        let thread = std::thread::Builder::new().name("lab-routes".to_owned()).spawn(work)?;
        started.recv().context("the thread that watches routes has ended")??;
        Ok(Self { clock, seen, stop, thread: Some(thread) })
    }

    /// Where the router sends packets for a VIP now.
    pub fn via(&self, vip: Ipv4Addr) -> Option<Ipv4Addr> {
        lock(&self.seen).now.get(&vip).copied()
    }

    /// All changes since a moment, oldest first.
    pub fn since(&self, moment: Time) -> Vec<Change> {
        lock(&self.seen).changes.iter().filter(|change| change.at >= moment).copied().collect()
    }

    /// Waits for the first change since `moment` that `is_it`; an error names what was waited for.
    pub fn wait(
        &self,
        what: &str,
        moment: Time,
        within: Duration,
        is_it: impl Fn(&Change) -> bool,
    ) -> Result<Change> {
        crate::wait_until(what, within, || Ok(self.since(moment).into_iter().find(|change| is_it(change))))
    }

    /// Waits until nothing has changed for so long: what was chosen before has arrived in the kernel.
    pub fn rests(&self, quiet: Duration, within: Duration) -> Result<()> {
        let asked = self.clock.now();
        crate::wait_until("the router's kernel to rest", within, || {
            let last = lock(&self.seen).changes.last().map_or(asked, |change| change.at.max(asked));
            Ok((self.clock.now().since(last) >= quiet).then_some(()))
        })
    }

    /// Waits until the router sends a VIP's packets elsewhere than `node`, and returns when that was.
    pub fn wait_left(&self, vip: Ipv4Addr, node: Ipv4Addr, moment: Time, within: Duration) -> Result<Change> {
        let what = format!("the router to take {vip} away from {node}");
        self.wait(&what, moment, within, |change| change.vip == vip && change.via != Some(node))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open(namespace: &Namespace) -> Result<OwnedFd> {
    namespace.enter()?;
    let socket =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, 100_000))?;
    let ours = NetlinkAddr::new(0, RTMGRP_IPV4_ROUTE);
    if let Err(errno) = bind(socket.as_raw_fd(), &ours) {
        bail!("cannot watch routes: {errno}");
    }
    Ok(socket)
}

fn watch(socket: &OwnedFd, clock: Clock, seen: &Mutex<Seen>, stop: &AtomicBool) {
    let mut buffer = vec![0; 64 * 1024];
    while !stop.load(Ordering::Relaxed) {
        let length = match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(length) => length,
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            // Overrun or worse: what is missed shows as a change that a test waits for in vain.
            Err(_) => return,
        };
        let at = clock.now();
        let mut seen = lock(seen);
        for (vip, via) in buffer.get(..length).map(messages).unwrap_or_default() {
            match via {
                Some(via) => seen.now.insert(vip, via),
                None => seen.now.remove(&vip),
            };
            if seen.changes.len() < MAX_CHANGES {
                seen.changes.push(Change { at, vip, via });
            }
        }
    }
}

/// Takes the host routes out of netlink messages (`struct nlmsghdr`, `struct rtmsg`, attributes).
fn messages(mut bytes: &[u8]) -> Vec<(Ipv4Addr, Option<Ipv4Addr>)> {
    let mut found = Vec::new();
    while let Some(length) = u32_at(bytes, 0).and_then(|length| usize::try_from(length).ok()) {
        if length < HEADER || length > bytes.len() {
            break;
        }
        let (message, rest) = bytes.split_at(length);
        found.extend(host_route(message));
        bytes = rest.get(align(length) - length..).unwrap_or_default();
    }
    found
}

fn host_route(message: &[u8]) -> Option<(Ipv4Addr, Option<Ipv4Addr>)> {
    let kind = u16_at(message, 4)?;
    let route = message.get(HEADER..)?;
    let (prefix_length, table) = (*route.get(1)?, *route.get(4)?);
    if prefix_length != 32 || table != RT_TABLE_MAIN {
        return None;
    }
    let all = route.get(RTMSG..)?;
    let vip = attribute(all, RTA_DST).and_then(address)?;
    match kind {
        // By another kind of next hop it is not told where it leads, but it is not gone.
        RTM_NEWROUTE => Some((vip, Some(next_hop(all)?))),
        RTM_DELROUTE => Some((vip, None)),
        _ => None,
    }
}

/// The next hop, or the first of several.
fn next_hop(attributes: &[u8]) -> Option<Ipv4Addr> {
    let first = |several: &[u8]| attribute(several.get(RTNEXTHOP..)?, RTA_GATEWAY).and_then(address);
    let gateway = attribute(attributes, RTA_GATEWAY).and_then(address);
    gateway.or_else(|| attribute(attributes, RTA_MULTIPATH).and_then(first))
}

fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    while let Some(length) = u16_at(attributes, 0).map(usize::from).filter(|length| *length >= 4) {
        if u16_at(attributes, 2)? == wanted {
            return attributes.get(4..length);
        }
        attributes = attributes.get(align(length)..).unwrap_or_default();
    }
    None
}

fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

const fn align(length: usize) -> usize {
    (length + 3) & !3
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

// linux/netlink.h, linux/rtnetlink.h
const RTMGRP_IPV4_ROUTE: u32 = 0x40;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RT_TABLE_MAIN: u8 = 254;
const RTA_DST: u16 = 1;
const RTA_GATEWAY: u16 = 5;
const RTA_MULTIPATH: u16 = 9;
const HEADER: usize = 16;
const RTMSG: usize = 12;
const RTNEXTHOP: usize = 8;
/// Changes that are kept; far more than any test makes.
const MAX_CHANGES: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    const VIP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
    const HOP: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 2);

    fn with(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).expect("short");
        [&length.to_ne_bytes(), &kind.to_ne_bytes(), value].concat()
    }

    fn message(kind: u16, attributes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + RTMSG + attributes.len()).expect("short");
        let mut header = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; HEADER - 6]].concat();
        header.extend([2, 32, 0, 0, RT_TABLE_MAIN, 0, 0, 0, 0, 0, 0, 0]);
        [&header, attributes].concat()
    }

    #[test]
    fn a_route_is_gone_when_the_kernel_says_so_and_not_when_it_has_several_next_hops() {
        let (vip, hop) = (with(RTA_DST, &VIP.octets()), with(RTA_GATEWAY, &HOP.octets()));
        let several = with(RTA_MULTIPATH, &[&[16, 0, 0, 0, 2, 0, 0, 0], &hop[..], &[8; 16]].concat());
        let new = |more: &[u8]| messages(&message(RTM_NEWROUTE, &[&vip, more].concat()));
        assert_eq!(new(&hop), [(VIP, Some(HOP))]);
        assert_eq!(new(&several), [(VIP, Some(HOP))]);
        assert_eq!(new(&[]), [], "by a next hop that is no address of IPv4");
        assert_eq!(messages(&message(RTM_DELROUTE, &[vip, hop].concat())), [(VIP, None)]);
    }
}
