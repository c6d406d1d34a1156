//! What each node's speaker says of its VIPs, as a table of the cluster: each run of a node publishes its own, as it
//! does with what it counts, and reads those of the others. HAProxy nodes know no such table and skip it.
//!
//! An entry is good for [`EXPIRE`]; what is not said again is forgotten, and with it the claim of a node that is gone.
//! One that is sent again, after a session was lost, is good for that long from then.

use super::cluster::{Cluster, Role, Shared};
use crate::table::{DataType, Entry, KeyType, Layout, Options, StickTable, Stored};
use base_core::Time;
use healthcheck_core::fleet::{Claim, Fleet, Has, MAX_ATTEMPT, MAX_VIPS, Node, Row};
use std::hash::RandomState;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

/// The name of the table on the wire, before node and run.
pub const TABLE: &str = "headgate-vips";

/// The table, for [`Cluster::new`]; with `passes_on` another process of the node hears of it, too.
pub fn shared(passes_on: bool) -> Shared {
    let options = Options {
        key: KeyType::Ipv6,
        layout: Layout::new([Stored::one(DataType::Gpt0), Stored::one(DataType::Gpc0)]),
        size: MAX_VIPS,
        expire: EXPIRE,
        nopurge: true,
        shared: true,
    };
    let table = Arc::new(StickTable::new(options.clone(), &RandomState::new()));
    Shared::new(TABLE.to_owned(), table, options, Role::Sums, passes_on)
}

/// Publishes what this node's speaker says.
pub fn publish(cluster: &Cluster, rows: &[Row], now: Time) {
    let Some(shared) = find(cluster) else { return };
    for row in rows.iter().take(MAX_VIPS) {
        shared.table.update(key(row.vip), now, |entry| {
            entry.set(DataType::Gpt0, word(row.has, row.claim, row.attempt).into());
            entry.set(DataType::Gpc0, row.agrees.into());
        });
    }
}

/// The speaker is gone: it announces nothing any more. What it claims stands until it expires, as the next process of
/// it may go on with that.
pub fn speaker_gone(cluster: &Cluster, now: Time) {
    let Some(shared) = find(cluster) else { return };
    let mut keys = Vec::new();
    shared.table.for_each(now, |row| keys.push(row.key.to_vec()));
    for key in keys {
        shared.table.update(key, now, |entry| {
            let (_, claim, attempt) = read_word(entry);
            entry.set(DataType::Gpt0, word(Has::Withdrawn, claim, attempt).into());
        });
    }
}

/// What the other nodes say; `names` are the peers, each with whether it can be heard.
pub fn others<'a>(cluster: &Cluster, names: impl Iterator<Item = (&'a str, bool)>, now: Time) -> Fleet {
    let mut fleet = Fleet { node: cluster.local().to_owned(), peers: Vec::new() };
    let nodes = names.map(|(name, heard)| Node { name: name.to_owned(), heard, vips: Vec::new() });
    fleet.peers.extend(nodes);
    let Some(shared) = find(cluster) else { return fleet };
    shared.live_runs(|peer, table| {
        let Some(node) = fleet.peers.iter_mut().find(|node| node.name == peer) else { return };
        table.for_each(now, |row| node.vips.extend(read(row.key, &row.entry)));
    });
    for node in &mut fleet.peers {
        // Stable: of two runs, the later one's row is the later.
        node.vips.sort_by_key(|row| row.vip);
        node.vips.dedup_by(|later, earlier| {
            let same = later.vip == earlier.vip;
            if same {
                *earlier = together(earlier, later);
            }
            same
        });
    }
    fleet
}

/// What two processes of a node say of a VIP, as in an upgrade: the later one knows how the node has it, what either
/// claims is claimed, and the node agrees only to what both agree to.
fn together(earlier: &Row, later: &Row) -> Row {
    let by_claim = |row: &&Row| (claim_number(row.claim), row.attempt);
    let claims = [earlier, later].into_iter().max_by_key(by_claim).unwrap_or(later);
    let agrees = if earlier.agrees == later.agrees { later.agrees } else { 0 };
    Row { vip: later.vip, has: later.has, claim: claims.claim, attempt: claims.attempt, agrees }
}

fn find(cluster: &Cluster) -> Option<&Shared> {
    cluster.tables().iter().find(|shared| shared.role == Role::Sums && shared.name == TABLE)
}

fn key(vip: IpAddr) -> [u8; 16] {
    match vip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn read(key: &[u8], entry: &Entry<'_>) -> Option<Row> {
    let vip = IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(key).ok()?)).to_canonical();
    let (has, claim, attempt) = read_word(entry);
    let agrees = u32::try_from(entry.get(DataType::Gpc0)).unwrap_or_default();
    Some(Row { vip, has, claim, attempt, agrees })
}

/// All in one number: how it has the VIP in the lowest four bits, what it claims in the next four, then the claim's number.
fn word(has: Has, claim: Claim, attempt: u32) -> u32 {
    let has = match has {
        Has::Withdrawn => 0,
        Has::Last => 1,
        Has::Announced => 2,
    };
    let claim = claim_number(claim);
    has | claim << 4 | (attempt & MAX_ATTEMPT) << 8
}

fn claim_number(claim: Claim) -> u32 {
    match claim {
        Claim::Nothing => 0,
        Claim::Wants => 1,
        Claim::Holds => 2,
    }
}

/// What is not known is what hinders most: not announced, and claimed.
fn read_word(entry: &Entry<'_>) -> (Has, Claim, u32) {
    let word = u32::try_from(entry.get(DataType::Gpt0)).unwrap_or(u32::MAX);
    let has = match word & 15 {
        1 => Has::Last,
        2 => Has::Announced,
        _ => Has::Withdrawn,
    };
    let claim = match word >> 4 & 15 {
        0 => Claim::Nothing,
        1 => Claim::Wants,
        _ => Claim::Holds,
    };
    (has, claim, word >> 8)
}

/// How long a word counts that is not said again; speakers say everything again each second.
const EXPIRE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::{Frame, Incoming, Outgoing, Progress, With, frame};

    const NOW: Time = Time::from_millis(5_000);

    fn row(vip: &str, has: Has, claim: Claim, attempt: u32, agrees: u32) -> Row {
        Row { vip: vip.parse().expect("an address"), has, claim, attempt, agrees }
    }

    fn node(name: &str) -> Cluster {
        run(name, &format!("hg-{name}"))
    }

    fn run(name: &str, run: &str) -> Cluster {
        Cluster::new(name.to_owned(), run.to_owned(), vec!["gw1".into(), "gw2".into()], vec![shared(true)])
    }

    /// What `from` has published since it last did reaches `to`.
    fn send(from: &Cluster, to: &Cluster, now: Time) {
        let mut out = Vec::new();
        Outgoing::new(from, With::Peer(to.local()), &Progress::default(), true)
            .push(from, now, 100, &mut out);
        read_all(&out, to, With::Peer(from.local()), now);
        to.peer_is_live(from.local(), true);
    }

    fn read_all(out: &[u8], to: &Cluster, with: With<'_>, now: Time) {
        let (mut rest, mut incoming) = (out, Incoming::default());
        while let Some((frame, length)) = frame::take(rest).expect("whole frames") {
            match frame {
                Frame::Define(body) => {
                    assert!(incoming.define(body, to, with, now).expect("a definition"));
                }
                Frame::Update(update, body) => {
                    incoming.update(update, body, to, with, &Progress::default(), now).expect("an update");
                }
                _ => {}
            }
            rest = &rest[length..];
        }
    }

    #[test]
    fn what_a_speaker_says_is_read_by_the_others_as_it_was_said_until_it_expires() {
        let (one, two) = (node("gw1"), node("gw2"));
        let said = vec![
            row("203.0.113.1", Has::Announced, Claim::Wants, MAX_ATTEMPT, 0),
            row("203.0.113.2", Has::Withdrawn, Claim::Nothing, 0, u32::MAX),
            row("2001:db8::1", Has::Last, Claim::Holds, 7, 1),
        ];
        publish(&one, &said, NOW);
        send(&one, &two, NOW);
        let peers = || [("gw1", true), ("gw3", false)].into_iter();
        let fleet = others(&two, peers(), NOW);
        assert_eq!((fleet.node.as_str(), fleet.peers.len()), ("gw2", 2));
        assert_eq!(fleet.peers[0], Node { name: "gw1".to_owned(), heard: true, vips: said });
        assert_eq!((fleet.peers[1].heard, fleet.peers[1].vips.len()), (false, 0));
        assert_eq!(others(&two, peers(), NOW + EXPIRE).peers[0].vips, vec![], "not said again");
    }

    #[test]
    fn a_speaker_that_is_gone_announces_nothing_and_its_claims_stand() {
        let (one, two) = (node("gw1"), node("gw2"));
        publish(&one, &[row("203.0.113.1", Has::Announced, Claim::Holds, 9, 0)], NOW);
        speaker_gone(&one, NOW);
        send(&one, &two, NOW);
        let fleet = others(&two, [("gw1", true)].into_iter(), NOW);
        assert_eq!(fleet.peers[0].vips, vec![row("203.0.113.1", Has::Withdrawn, Claim::Holds, 9, 0)]);
    }

    #[test]
    fn of_a_run_that_has_ended_nothing_counts() {
        let (one, two) = (node("gw1"), node("gw2"));
        publish(&one, &[row("203.0.113.1", Has::Announced, Claim::Nothing, 0, 0)], NOW);
        send(&one, &two, NOW);
        two.peer_is_live("gw1", false);
        assert_eq!(others(&two, [("gw1", false)].into_iter(), NOW).peers[0].vips, vec![]);
    }

    #[test]
    fn two_processes_of_a_node_say_one_thing_of_each_vip() {
        let (old, new, other) = (node("gw1"), run("gw1", "hg-next"), node("gw2"));
        publish(&old, &[row("203.0.113.1", Has::Announced, Claim::Holds, 9, 1)], NOW);
        publish(&new, &[row("203.0.113.1", Has::Withdrawn, Claim::Wants, 12, 2)], NOW);
        let mut out = Vec::new();
        Outgoing::new(&old, With::Next, &Progress::default(), true).push(&old, NOW, 100, &mut out);
        read_all(&out, &new, With::Previous, NOW);
        out.clear();
        Outgoing::new(&new, With::Peer("gw2"), &Progress::default(), true).push(&new, NOW, 100, &mut out);
        read_all(&out, &other, With::Peer("gw1"), NOW);
        let fleet = others(&other, [("gw1", true)].into_iter(), NOW);
        assert_eq!(fleet.peers[0].vips, vec![row("203.0.113.1", Has::Withdrawn, Claim::Holds, 9, 0)]);
    }
}
