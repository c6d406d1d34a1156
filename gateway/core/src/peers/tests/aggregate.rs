//! What HAProxy nodes are told of sums.

use super::*;
use crate::peers::aggregate::{self, Aggregate};

const KEY: [u8; 4] = [0, 0, 0, 1];

/// A node that adds up what it and "b" have counted.
fn adding_node(options: &Options) -> Cluster {
    let table = Arc::new(StickTable::new(options.clone(), &RandomState::new()));
    let shared = Shared::new("t".into(), table, options.clone(), Role::Sums, true);
    let sums = aggregate::shared("t", options);
    Cluster::new("a".into(), "r".into(), vec!["b".into()], vec![shared, sums])
}

fn count(cluster: &Cluster, key: [u8; 4], running: u64, requests: u32) {
    cluster.tables()[0].table.update(key, NOW, |entry| {
        entry.set(DataType::ConnCur, running);
        entry.add_rate(DataType::HttpReqRate, requests, NOW);
        entry.add(DataType::HttpReqCnt, requests.into());
    });
}

/// What runs, as both fields say, and what was counted, as both say.
fn sums(cluster: &Cluster, key: [u8; 4]) -> Option<[u64; 4]> {
    cluster.tables()[1].table.peek(key, NOW, |entry| {
        [
            entry.get(DataType::ConnCur),
            entry.get(DataType::Gpt0),
            entry.rate(DataType::HttpReqRate, NOW).into(),
            entry.get(DataType::HttpReqCnt),
        ]
    })
}

fn fields() -> Options {
    options(KeyType::Ip, &[DataType::ConnCur, DataType::HttpReqRate, DataType::HttpReqCnt])
}

fn tell(from: &Cluster, to: &Cluster, name: &'static str) {
    let mut bytes = Vec::new();
    let mut outgoing = Outgoing::new(from, With::Peer("a"), &Progress::default(), true);
    while outgoing.push(from, NOW, 100, &mut bytes) {}
    take(&mut Incoming::default(), &bytes, to, name).expect("it is understood");
}

#[test]
fn sums_follow_what_all_count_and_fall_when_a_run_ends() {
    let options = fields();
    let (one, other) = (adding_node(&options), node("b", "r", true, &options));
    let mut aggregate = Aggregate::new(0, 1);
    count(&one, KEY, 2, 3);
    count(&other, KEY, 5, 7);
    one.peer_is_live("b", true);
    tell(&other, &one, "b");
    aggregate.go_on(&one, 10, NOW);
    assert_eq!(sums(&one, KEY), Some([7, 7, 10, 10]));
    count(&one, KEY, 1, 1);
    aggregate.go_on(&one, 10, NOW);
    assert_eq!(sums(&one, KEY), Some([6, 6, 11, 11]));
    one.peer_is_live("b", false);
    aggregate.go_on(&one, 10, NOW);
    assert_eq!(
        sums(&one, KEY),
        Some([1, 1, 11, 11]),
        "what ran there runs no more, what it counted counts on"
    );
}

#[test]
fn the_end_of_a_run_with_many_entries_is_added_up_in_turns() {
    let options = fields();
    let (one, other) = (adding_node(&options), node("b", "r", true, &options));
    let key = |number: u32| number.to_be_bytes();
    (0..900).for_each(|number| count(&other, key(number), 1, 1));
    one.peer_is_live("b", true);
    tell(&other, &one, "b");
    let mut aggregate = Aggregate::new(0, 1);
    let still =
        || (0..900).filter(|number| sums(&one, key(*number)).is_some_and(|sums| sums[0] == 1)).count();
    (0..20).for_each(|_| aggregate.go_on(&one, 100, NOW));
    assert_eq!(still(), 900);
    one.peer_is_live("b", false);
    aggregate.go_on(&one, 100, NOW);
    assert!(still() >= 700, "not all in one turn: {}", still());
    (0..20).for_each(|_| aggregate.go_on(&one, 100, NOW));
    assert_eq!(still(), 0);
}
