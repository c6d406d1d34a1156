//! Connections that are still made to a VIP that was withdrawn: routers that go on sending, whatever they show.
//!
//! What was open at the first look after the withdraw may be old, and counts not; what comes later is new.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What was seen of each VIP that is withdrawn.
#[derive(Debug, Default)]
pub struct Traffic {
    vips: BTreeMap<IpAddr, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    open: BTreeSet<SocketAddr>,
    made: usize,
}

impl Traffic {
    /// What is open now towards a withdrawn VIP; says how many connections have been made since the first look.
    pub fn look(&mut self, vip: IpAddr, open: BTreeSet<SocketAddr>) -> usize {
        let Some(seen) = self.vips.get_mut(&vip) else {
            self.vips.insert(vip, Seen { open, made: 0 });
            return 0;
        };
        seen.made += open.difference(&seen.open).count();
        seen.open = open;
        seen.made
    }

    /// The VIP is announced again, or about to be. True if it was looked at.
    pub fn forget(&mut self, vip: IpAddr) -> bool {
        self.vips.remove(&vip).is_some()
    }
}

/// The remote ends of connections to `vips` in `/proc/net/tcp` or `/proc/net/tcp6` (proc(5)), those of this node to itself left out.
pub fn connections(table: &str, vips: &BTreeSet<IpAddr>) -> BTreeMap<IpAddr, BTreeSet<SocketAddr>> {
    let mut found: BTreeMap<IpAddr, BTreeSet<SocketAddr>> = BTreeMap::new();
    for line in table.lines().skip(1) {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (Some(local), Some(remote), Some(state)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let (Some(local), Some(remote)) = (address(local), address(remote)) else { continue };
        let open = matches!(state, ESTABLISHED | SYN_RECEIVED);
        if open && vips.contains(&local.ip()) && local.ip() != remote.ip() {
            let remotes = found.entry(local.ip()).or_default();
            if remotes.len() < MAX_CONNECTIONS {
                remotes.insert(remote);
            }
        }
    }
    found
}

/// `0100007F:1F90`: words of 32 bits as the machine has them, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (words, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |place: usize| {
        let word = u32::from_str_radix(words.get(place * 8..place * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let ip: IpAddr = match words.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let mut bytes = [0; 16];
            for place in 0..4 {
                bytes.get_mut(place * 4..place * 4 + 4)?.copy_from_slice(&word(place)?);
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip.to_canonical(), port))
}

const ESTABLISHED: &str = "01";
const SYN_RECEIVED: &str = "03";
/// Connections to one VIP that are told apart; more are not news.
const MAX_CONNECTIONS: usize = 65536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read_for_connections_to_the_vips_alone() {
        let word = |bytes: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(bytes));
        let (vip, other, client) = (word([203, 0, 113, 1]), word([203, 0, 113, 2]), word([192, 0, 2, 7]));
        let table = format!(
            "  sl  local_address rem_address   st\n\
             \x20  0: {vip}:0050 {client}:C350 01 00000000:00000000\n\
             \x20  1: {vip}:0050 {client}:C351 03 0\n\
             \x20  2: {vip}:0050 {client}:C352 06 0\n\
             \x20  3: {other}:0050 {client}:C353 01 0\n\
             \x20  4: {vip}:0050 {vip}:C354 01 0\n\
             \x20  5: {vip}:0050 00000000:0000 0A 0\n  6: nonsense\n  7: é:1 x:2 01\n"
        );
        let vips = [IpAddr::from([203, 0, 113, 1])].into();
        let found = connections(&table, &vips);
        let ports: Vec<u16> = found[&IpAddr::from([203, 0, 113, 1])].iter().map(SocketAddr::port).collect();
        assert_eq!((found.len(), ports), (1, vec![0xc350, 0xc351]));
        let six = format!("0000000000000000{}{}", word([0, 0, 255, 255]), word([203, 0, 113, 1]));
        let table =
            format!("head\n 0: {six}:0050 {six}:0051 01\n 1: {six}:0050 {}:0051 01\n", "0".repeat(32));
        assert_eq!(connections(&table, &vips).len(), 1, "IPv4 in the shape of IPv6");
    }

    #[test]
    fn only_what_is_made_after_the_first_look_counts() {
        let vip = IpAddr::from([203, 0, 113, 1]);
        let open =
            |ports: &[u16]| ports.iter().map(|port| SocketAddr::from(([192, 0, 2, 7], *port))).collect();
        let mut traffic = Traffic::default();
        assert_eq!(traffic.look(vip, open(&[1, 2])), 0);
        assert_eq!(traffic.look(vip, open(&[2])), 0);
        assert_eq!(traffic.look(vip, open(&[2, 3, 4])), 2);
        assert_eq!(traffic.look(vip, open(&[1])), 3);
        assert!(traffic.forget(vip) && !traffic.forget(vip));
    }
}
