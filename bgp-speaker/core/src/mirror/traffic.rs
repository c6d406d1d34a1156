//! Connections that are still made to a VIP that was withdrawn: routers that go on sending, whatever they show.
//!
//! What was open at the first look after the withdraw may be old, and counts not; what comes later is new. As much is kept as is
//! needed to tell the one from the other, and no more than a bound.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What was seen of each VIP that is withdrawn.
#[derive(Debug, Default)]
pub struct Traffic {
    vips: BTreeMap<IpAddr, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    open: Option<Open>,
    made: usize,
}

impl Traffic {
    /// What is open now towards a withdrawn VIP; says how many connections have been made since the first look. `None`: too many to be
    /// told apart, of which none counts as new, nor does what is there when they are fewer again.
    pub fn look(&mut self, vip: IpAddr, open: Option<Open>) -> usize {
        let seen = self.vips.entry(vip).or_default();
        if let (Some(before), Some(now)) = (&seen.open, &open) {
            seen.made += now.difference(before).count();
        }
        seen.open = open;
        seen.made
    }

    /// The VIP is announced again, or about to be. True if it was looked at.
    pub fn forget(&mut self, vip: IpAddr) -> bool {
        self.vips.remove(&vip).is_some()
    }
}

/// What the kernel's tables say of connections, line by line.
#[derive(Debug, Default)]
pub struct Connections(BTreeMap<IpAddr, Open>);

/// The remote ends of connections to one VIP.
pub type Open = BTreeSet<SocketAddr>;

impl Connections {
    /// To these VIPs alone.
    pub fn to(vips: impl IntoIterator<Item = IpAddr>) -> Self {
        Self(vips.into_iter().map(|vip| (vip, Open::new())).collect())
    }

    /// Reads one line of `/proc/net/tcp` or `/proc/net/tcp6` (proc(5)). Connections of this node to itself are left out.
    pub fn line(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (Some(local), Some(remote), Some(ESTABLISHED | SYN_RECEIVED)) =
            (words.next().and_then(address), words.next().and_then(address), words.next())
        else {
            return;
        };
        if let Some(open) = self.0.get_mut(&local.ip()).filter(|_| local.ip() != remote.ip())
            && open.len() <= MAX_CONNECTIONS
        {
            open.insert(remote);
        }
    }

    /// What is open to each VIP; `None`: more than can be told apart.
    pub fn open(self) -> impl Iterator<Item = (IpAddr, Option<Open>)> {
        self.0.into_iter().map(|(vip, open)| (vip, Some(open).filter(|open| open.len() <= MAX_CONNECTIONS)))
    }
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
/// Connections to one VIP that are told apart, at some 40 bytes each; with more nothing is counted for the VIP.
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
        let vip_address = IpAddr::from([203, 0, 113, 1]);
        let found = |table: &str| {
            let mut connections = Connections::to([vip_address]);
            table.lines().for_each(|line| connections.line(line));
            connections.open().next().and_then(|(_, open)| open).expect("few")
        };
        let ports: Vec<u16> = found(&table).iter().map(SocketAddr::port).collect();
        assert_eq!(ports, [0xc350, 0xc351]);
        let six = format!("0000000000000000{}{}", word([0, 0, 255, 255]), word([203, 0, 113, 1]));
        let table =
            format!("head\n 0: {six}:0050 {six}:0051 01\n 1: {six}:0050 {}:0051 01\n", "0".repeat(32));
        assert_eq!(found(&table).len(), 1, "IPv4 in the shape of IPv6");
    }

    #[test]
    fn only_what_is_made_after_the_first_look_counts() {
        let vip = IpAddr::from([203, 0, 113, 1]);
        let open = |ports: &[u16]| {
            Some(ports.iter().map(|port| SocketAddr::from(([192, 0, 2, 7], *port))).collect())
        };
        let mut traffic = Traffic::default();
        assert_eq!(traffic.look(vip, open(&[1, 2])), 0);
        assert_eq!(traffic.look(vip, open(&[2])), 0);
        assert_eq!(traffic.look(vip, open(&[2, 3, 4])), 2);
        assert_eq!(traffic.look(vip, open(&[1])), 3);
        assert!(traffic.forget(vip) && !traffic.forget(vip));
    }

    #[test]
    fn more_connections_than_can_be_told_apart_are_no_news() {
        let vip = IpAddr::from([203, 0, 113, 1]);
        let [word, client] =
            [[203, 0, 113, 1], [192, 0, 2, 7]].map(|bytes| format!("{:08X}", u32::from_ne_bytes(bytes)));
        let open = |count: usize, skip: usize| {
            let mut connections = Connections::to([vip]);
            for at in skip..skip + count {
                // From many clients: a port of one, then of the next.
                let client = format!(
                    "{:08X}",
                    u32::from_str_radix(&client, 16).unwrap() ^ u32::try_from(at >> 16).unwrap().to_be()
                );
                connections.line(&format!("0: {word}:0050 {client}:{:04X} 01", at & 0xffff));
            }
            connections.open().next().unwrap().1
        };
        assert_eq!(open(MAX_CONNECTIONS, 0).map(|open| open.len()), Some(MAX_CONNECTIONS));
        let mut traffic = Traffic::default();
        assert_eq!(traffic.look(vip, open(MAX_CONNECTIONS, 0)), 0);
        assert_eq!(traffic.look(vip, open(MAX_CONNECTIONS + 1, 0)), 0);
        assert_eq!(
            traffic.look(vip, open(MAX_CONNECTIONS, 10)),
            0,
            "those that were not told apart may be as old"
        );
        assert_eq!(traffic.look(vip, open(MAX_CONNECTIONS, 12)), 2);
    }
}
