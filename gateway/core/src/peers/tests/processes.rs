//! Two processes of one node, and another node that hears of the old one through the new one.

use super::*;
use crate::limits::Limit;

/// One end of a session, fed by hand.
struct End {
    outgoing: Outgoing,
    incoming: Incoming,
}

impl End {
    fn new(cluster: &Cluster, with: With<'_>) -> Self {
        let outgoing = Outgoing::new(cluster, with, &Progress::default(), true);
        Self { outgoing, incoming: Incoming::default() }
    }
}

/// Sends what has changed at `from` to `to`; the names say whom each takes the other for.
fn push(from: (&Cluster, &mut End), to: (&Cluster, &mut End), with: With<'_>) {
    let mut bytes = Vec::new();
    while from.1.outgoing.push(from.0, NOW, 10, &mut bytes) {}
    read(&bytes, to, with);
}

fn read(bytes: &[u8], (cluster, end): (&Cluster, &mut End), with: With<'_>) {
    let mut rest = bytes;
    while let Some((frame, length)) = frame::take(rest).expect("it is understood") {
        match frame {
            Frame::Define(body) => drop(end.incoming.define(body, cluster, with, NOW).expect("whole")),
            Frame::Update(update, body) => {
                end.incoming.update(update, body, cluster, with, &Progress::default(), NOW).expect("whole");
            }
            _ => {}
        }
        rest = &rest[length..];
    }
}

fn runs(cluster: &Cluster, count: u64) {
    cluster.tables()[0].table.update([0, 0, 0, 1], NOW, |entry| {
        entry.set(DataType::ConnCur, count);
        entry.set(DataType::HttpReqCnt, 10);
    });
}

/// What others run, and what they have counted.
fn others(cluster: &Cluster) -> (u64, u64) {
    let limits = [DataType::ConnCur, DataType::HttpReqCnt].map(|data| Limit::new(data, 9));
    let sums = cluster.tables()[0].others(&[0, 0, 0, 1], &limits, NOW);
    (sums[0], sums[1])
}

#[test]
fn what_runs_in_the_old_process_is_heard_through_the_new_one_until_it_is_gone() {
    let options = options(KeyType::Ip, &[DataType::ConnCur, DataType::HttpReqCnt]);
    let (old, new) = (node("a", "old", true, &options), node("a", "new", true, &options));
    let other = node("b", "run", true, &options);
    other.peer_is_live("a", true);
    let (mut old_new, mut new_old) = (End::new(&old, With::Next), End::new(&new, With::Previous));
    let (mut new_other, mut other_new) = (End::new(&new, With::Peer("b")), End::new(&other, With::Peer("a")));
    runs(&old, 2);
    old_new.outgoing.teach();
    let mut lesson = Vec::new();
    while old_new.outgoing.go_on_teaching(&old, NOW, &mut lesson) {}
    read(&lesson, (&new, &mut new_old), With::Previous);
    assert_eq!(others(&new), (2, 10));
    old_new.outgoing.is_succeeded();

    runs(&new, 1);
    push((&new, &mut new_other), (&other, &mut other_new), With::Peer("a"));
    assert_eq!(others(&other), (3, 20), "both lives of the node count");
    runs(&old, 5);
    push((&old, &mut old_new), (&new, &mut new_old), With::Previous);
    push((&new, &mut new_other), (&other, &mut other_new), With::Peer("a"));
    assert_eq!((others(&new), others(&other)), ((5, 10), (6, 20)));

    new.process_is_gone();
    push((&new, &mut new_other), (&other, &mut other_new), With::Peer("a"));
    assert_eq!((others(&new), others(&other)), ((0, 10), (1, 20)), "it runs nothing, its count stays");
    let later = NOW + Duration::from_secs(31);
    new.forget(later);
    other.forget(later);
    assert_eq!([&new, &other].map(|cluster| cluster.tables()[0].runs().len()), [0, 1]);
}

#[test]
fn the_old_process_hears_of_other_nodes_through_the_new_one_and_nobody_hears_itself() {
    let options = options(KeyType::Ip, &[DataType::ConnCur, DataType::HttpReqCnt]);
    let (old, new) = (node("a", "old", true, &options), node("a", "new", true, &options));
    let other = node("b", "run", true, &options);
    let (mut old_new, mut new_old) = (End::new(&old, With::Next), End::new(&new, With::Previous));
    let (mut new_other, mut other_new) = (End::new(&new, With::Peer("b")), End::new(&other, With::Peer("a")));
    old_new.outgoing.is_succeeded();
    runs(&old, 1);
    runs(&new, 2);
    runs(&other, 4);
    for _ in 0..3 {
        push((&old, &mut old_new), (&new, &mut new_old), With::Previous);
        push((&other, &mut other_new), (&new, &mut new_other), With::Peer("b"));
        push((&new, &mut new_old), (&old, &mut old_new), With::Next);
        push((&new, &mut new_other), (&other, &mut other_new), With::Peer("a"));
    }
    assert_eq!([&old, &new, &other].map(others), [(6, 20), (5, 20), (3, 20)]);
    new.peer_is_live("b", true);
    new.peer_is_live("b", false);
    push((&new, &mut new_old), (&old, &mut old_new), With::Next);
    assert_eq!([&old, &new].map(others), [(2, 20), (1, 20)], "who is gone for the one is gone for both");
}
