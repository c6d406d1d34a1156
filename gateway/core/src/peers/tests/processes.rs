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

    new.process_is_gone(With::Previous);
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

#[test]
fn the_end_of_a_node_for_the_old_process_is_not_its_end_for_the_new_one_that_hears_it() {
    let options = options(KeyType::Ip, &[DataType::ConnCur, DataType::HttpReqCnt]);
    let (old, new) = (node("a", "old", true, &options), node("a", "new", true, &options));
    let other = node("b", "run", true, &options);
    let (mut old_new, mut new_old) = (End::new(&old, With::Next), End::new(&new, With::Previous));
    let (mut other_old, mut old_other) = (End::new(&other, With::Peer("a")), End::new(&old, With::Peer("b")));
    let (mut other_new, mut new_other) = (End::new(&other, With::Peer("a")), End::new(&new, With::Peer("b")));
    runs(&other, 4);
    old.peer_is_live("b", true);
    push((&other, &mut other_old), (&old, &mut old_other), With::Peer("b"));
    push((&old, &mut old_new), (&new, &mut new_old), With::Previous);
    new.peer_is_live("b", true);
    push((&other, &mut other_new), (&new, &mut new_other), With::Peer("b"));
    old.peer_is_live("b", false);
    push((&old, &mut old_new), (&new, &mut new_old), With::Previous);
    assert_eq!(others(&new), (4, 10));
}

#[test]
fn what_other_nodes_run_counts_on_for_the_next_process_until_it_hears_them_itself() {
    let options = options(KeyType::Ip, &[DataType::ConnCur, DataType::HttpReqCnt]);
    let (old, new) = (node("a", "old", true, &options), node("a", "new", true, &options));
    let other = node("b", "run", true, &options);
    let (mut old_new, mut new_old) = (End::new(&old, With::Next), End::new(&new, With::Previous));
    let (mut other_old, mut old_other) = (End::new(&other, With::Peer("a")), End::new(&old, With::Peer("b")));
    let (mut other_new, mut new_other) = (End::new(&other, With::Peer("a")), End::new(&new, With::Peer("b")));
    runs(&other, 4);
    old.peer_is_live("b", true);
    push((&other, &mut other_old), (&old, &mut old_other), With::Peer("b"));
    old_new.outgoing.teach();
    let mut lesson = Vec::new();
    while old_new.outgoing.go_on_teaching(&old, NOW, &mut lesson) {}
    read(&lesson, (&new, &mut new_old), With::Previous);
    new.has_learnt();
    old.is_succeeded();
    old_new.outgoing.is_succeeded();
    push((&old, &mut old_new), (&new, &mut new_old), With::Previous);
    assert_eq!((others(&new), new.nodes()), ((4, 10), (2, 2)));

    new.peer_is_live("b", true);
    push((&other, &mut other_new), (&new, &mut new_other), With::Peer("b"));
    old.peer_is_live("b", false);
    push((&new, &mut new_old), (&old, &mut old_new), With::Next);
    runs(&other, 5);
    push((&other, &mut other_new), (&new, &mut new_other), With::Peer("b"));
    push((&new, &mut new_old), (&old, &mut old_new), With::Next);
    assert_eq!(
        [&old, &new].map(|process| others(process).0),
        [5, 5],
        "the old process goes by what the new one hears"
    );
    new.hears_only_nodes();
    assert_eq!(others(&new).0, 5);
    new.peer_is_live("b", false);
    assert_eq!(others(&new).0, 0, "nobody speaks for it any more");
}

#[test]
fn a_node_that_does_not_speak_to_the_next_process_runs_nothing_once_it_had_its_time() {
    let options = options(KeyType::Ip, &[DataType::ConnCur, DataType::HttpReqCnt]);
    let (old, new) = (node("a", "old", true, &options), node("a", "new", true, &options));
    let other = node("b", "run", true, &options);
    let (mut old_new, mut new_old) = (End::new(&old, With::Next), End::new(&new, With::Previous));
    let (mut other_old, mut old_other) = (End::new(&other, With::Peer("a")), End::new(&old, With::Peer("b")));
    runs(&other, 4);
    push((&other, &mut other_old), (&old, &mut old_other), With::Peer("b"));
    push((&old, &mut old_new), (&new, &mut new_old), With::Previous);
    old_new.outgoing.is_succeeded();
    push((&old, &mut old_new), (&new, &mut new_old), With::Previous);
    assert_eq!(others(&new), (4, 10));
    new.hears_only_nodes();
    assert_eq!(others(&new), (0, 10));
}

#[test]
fn nodes_without_runs_still_count_as_heard_for_a_process_that_another_has_taken_over_from() {
    let options = options(KeyType::Ip, &[DataType::ConnCur, DataType::HttpReqCnt]);
    let table = Arc::new(StickTable::new(options.clone(), &RandomState::new()));
    let shared = Shared::new("t".into(), table, options.clone(), Role::Sums, true);
    let nodes = ["b", "haproxy"].map(str::to_owned).to_vec();
    let (old, new) =
        (Cluster::new("a".into(), "old".into(), nodes, vec![shared]), node("a", "new", true, &options));
    let other = node("b", "run", true, &options);
    let (mut other_old, mut old_other) = (End::new(&other, With::Peer("a")), End::new(&old, With::Peer("b")));
    let (mut other_new, mut new_other) = (End::new(&other, With::Peer("a")), End::new(&new, With::Peer("b")));
    let (mut old_new, mut new_old) = (End::new(&old, With::Next), End::new(&new, With::Previous));
    push((&other, &mut other_old), (&old, &mut old_other), With::Peer("b"));
    ["b", "haproxy"].iter().for_each(|peer| old.peer_is_live(peer, true));
    old.is_succeeded();
    push((&other, &mut other_new), (&new, &mut new_other), With::Peer("b"));
    push((&new, &mut new_old), (&old, &mut old_new), With::Next);
    ["b", "haproxy"].iter().for_each(|peer| old.peer_is_live(peer, false));
    old.forget(NOW);
    assert_eq!(old.nodes(), (3, 3));
    new.peer_is_live("b", true);
    new.peer_is_live("b", false);
    push((&new, &mut new_old), (&old, &mut old_new), With::Next);
    old.forget(NOW);
    assert_eq!(old.nodes(), (2, 3), "of those with runs it hears through the next process");
    old.process_is_gone(With::Next);
    old.forget(NOW);
    assert_eq!(old.nodes(), (1, 3), "it is on its own");
}

#[test]
fn the_next_process_learns_of_every_run_of_a_large_cluster() {
    let options = options(KeyType::Ip, &[DataType::ConnCur, DataType::HttpReqCnt]);
    let nodes: Vec<_> = (0..60).map(|number| format!("n{number}")).collect();
    let process = |run: &str| {
        let table = Arc::new(StickTable::new(options.clone(), &RandomState::new()));
        let shared = Shared::new("t".into(), table, options.clone(), Role::Sums, true);
        Cluster::new("a".into(), run.into(), nodes.clone(), vec![shared])
    };
    let (old, new) = (process("old"), process("new"));
    for name in &nodes {
        for run in 0..5 {
            let other = node(name, &format!("run{run}"), true, &options);
            runs(&other, 1);
            let (mut from, mut to) = (End::new(&other, With::Peer("a")), End::new(&old, With::Peer(name)));
            push((&other, &mut from), (&old, &mut to), With::Peer(name));
        }
    }
    let (mut old_new, mut new_old) = (End::new(&old, With::Next), End::new(&new, With::Previous));
    old_new.outgoing.teach();
    let mut lesson = Vec::new();
    while old_new.outgoing.go_on_teaching(&old, NOW, &mut lesson) {}
    read(&lesson, (&new, &mut new_old), With::Previous);
    assert_eq!((old.tables()[0].runs().len(), new.tables()[0].runs().len()), (300, 301), "and its own");
    assert_eq!(new_old.incoming.ignored, 0);
}

#[test]
fn runs_that_come_and_go_take_up_no_more_room_than_those_there_are() {
    let options = options(KeyType::Ip, &[DataType::ConnCur, DataType::HttpReqCnt]);
    let (old, new) = (node("a", "old", true, &options), node("a", "new", true, &options));
    let (mut old_new, mut new_old) = (End::new(&old, With::Next), End::new(&new, With::Previous));
    for number in 0..600 {
        let other = node("b", &format!("run{number}"), true, &options);
        runs(&other, 1);
        let (mut other_old, mut old_other) =
            (End::new(&other, With::Peer("a")), End::new(&old, With::Peer("b")));
        push((&other, &mut other_old), (&old, &mut old_other), With::Peer("b"));
        push((&old, &mut old_new), (&new, &mut new_old), With::Previous);
    }
    assert_eq!(new_old.incoming.ignored, 0);
    assert_eq!(others(&new).0, 1, "the last of them runs one");
}

#[test]
fn the_next_run_of_a_node_is_heard_of_right_behind_the_end_of_the_one_before() {
    let options = options(KeyType::Ip, &[DataType::ConnCur, DataType::HttpReqCnt]);
    let (old, new) = (node("a", "old", true, &options), node("a", "new", true, &options));
    let (mut old_new, mut new_old) = (End::new(&old, With::Next), End::new(&new, With::Previous));
    for (run, count) in [("one", 3), ("two", 5), ("three", 7)] {
        let other = node("b", run, true, &options);
        let (mut new_other, mut other_new) =
            (End::new(&new, With::Peer("b")), End::new(&other, With::Peer("a")));
        new.peer_is_live("b", true);
        runs(&other, count);
        push((&other, &mut other_new), (&new, &mut new_other), With::Peer("b"));
        push((&new, &mut new_old), (&old, &mut old_new), With::Next);
        assert_eq!(others(&old).0, count, "{run}");
        new.peer_is_live("b", false);
        push((&new, &mut new_old), (&old, &mut old_new), With::Next);
        assert_eq!(others(&old).0, 0, "{run} has ended");
    }
}

#[test]
fn of_three_processes_the_end_of_the_last_is_not_that_of_the_first() {
    let options = options(KeyType::Ip, &[DataType::ConnCur, DataType::HttpReqCnt]);
    let [first, second, third] = ["first", "second", "third"].map(|run| node("a", run, true, &options));
    let (mut first_second, mut second_first) =
        (End::new(&first, With::Next), End::new(&second, With::Previous));
    let (mut second_third, mut third_second) =
        (End::new(&second, With::Next), End::new(&third, With::Previous));
    for (process, count) in [(&first, 1), (&second, 2), (&third, 4)] {
        runs(process, count);
    }
    first_second.outgoing.is_succeeded();
    second_third.outgoing.is_succeeded();
    for _ in 0..3 {
        push((&first, &mut first_second), (&second, &mut second_first), With::Previous);
        push((&second, &mut second_first), (&first, &mut first_second), With::Next);
        push((&second, &mut second_third), (&third, &mut third_second), With::Previous);
        push((&third, &mut third_second), (&second, &mut second_third), With::Next);
    }
    assert_eq!([&first, &second, &third].map(|process| others(process).0), [6, 5, 3]);
    second.process_is_gone(With::Next);
    push((&second, &mut second_first), (&first, &mut first_second), With::Next);
    assert_eq!([&first, &second].map(|process| others(process).0), [2, 1], "the first one lives");
}
