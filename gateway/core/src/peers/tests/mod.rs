use super::*;
use crate::table::{DataType, KeyType, Layout, Options, StickTable, Stored};
use base_core::{Machine, Time};
use proptest::prelude::*;
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;

const PERIOD: Duration = Duration::from_secs(10);
const NOW: Time = Time::from_millis(5_000_000);

fn options(key: KeyType, stored: &[DataType]) -> Options {
    let stored = stored.iter().map(|data| Stored {
        data: *data,
        period: PERIOD,
        elements: if data.is_array() { 3 } else { 1 },
    });
    let (size, expire) = (1000, Duration::from_secs(30));
    Options { key, layout: Layout::new(stored), size, expire, nopurge: false, shared: true }
}

fn node(name: &str, run: &str, sums: bool, options: &Options) -> Cluster {
    let table = Arc::new(StickTable::new(options.clone(), &RandomState::new()));
    let role = if sums { Role::Sums } else { Role::Common };
    let shared = Shared::new("t".into(), table, options.clone(), role, true);
    let others = ["a", "b"].into_iter().filter(|other| *other != name).map(str::to_owned).collect();
    Cluster::new(name.into(), run.into(), others, vec![shared])
}

/// Takes what one node has sent; the answers go to `replies`.
fn take(incoming: &mut Incoming, bytes: &[u8], cluster: &Cluster, peer: &str) -> Result<Vec<u8>, Fault> {
    take_at(incoming, bytes, cluster, peer, NOW)
}

fn take_at(
    incoming: &mut Incoming,
    bytes: &[u8],
    cluster: &Cluster,
    peer: &str,
    now: Time,
) -> Result<Vec<u8>, Fault> {
    let mut rest = bytes;
    while let Some((frame, length)) = frame::take(rest)? {
        match frame {
            Frame::Define(body) => drop(incoming.define(body, cluster, With::Peer(peer), now)?),
            Frame::Switch(body) => incoming.switch(body),
            Frame::Update(update, body) => {
                incoming.update(update, body, cluster, With::Peer(peer), &Progress::default(), now)?;
            }
            Frame::Control(_) | Frame::Ack(_) | Frame::Unknown => {}
        }
        rest = &rest[length..];
    }
    let mut replies = Vec::new();
    incoming.acknowledge(&mut replies);
    Ok(replies)
}

fn dump(table: &StickTable) -> Vec<(Vec<u8>, Vec<u64>)> {
    let mut rows = Vec::new();
    table.for_each(NOW, |row| {
        let values = table.layout().stored().flat_map(|stored| {
            let entry = &row.entry;
            (0..stored.elements).map(move |index| match stored.data.kind() {
                crate::table::Kind::Rate => entry.frequency(stored.data, index).read(NOW, PERIOD).into(),
                _ => entry.element(stored.data, index),
            })
        });
        rows.push((row.key.to_vec(), values.collect()));
    });
    rows.sort();
    rows
}

fn fill(table: &StickTable, rows: &[(u32, u32)]) {
    for (number, value) in rows {
        let mut key = number.to_be_bytes().to_vec();
        key.resize(table.key_type().bytes(), 7);
        if let KeyType::String(_) = table.key_type() {
            key = number.to_string().into_bytes();
        }
        table.update(&key, NOW, |entry| {
            for stored in table.layout().stored().copied().collect::<Vec<_>>() {
                match stored.data {
                    DataType::ServerKey => {
                        entry.set(stored.data, table.intern(format!("s{}", value % 200).as_bytes()).into());
                    }
                    DataType::ConnCur => {}
                    data if data.kind() == crate::table::Kind::Rate => {
                        let rate = crate::table::FreqCtr::from_parts([*value % 10_000, *value, 3], NOW);
                        (0..stored.elements).for_each(|index| entry.set_frequency(data, index, rate));
                    }
                    data => (0..stored.elements).for_each(|index| {
                        entry.set_element(data, index, u64::from(*value) + u64::from(index));
                    }),
                }
            }
        });
    }
}

#[test]
fn a_definition_stands_as_haproxy_writes_it() {
    let layout = Layout::new([
        Stored::one(DataType::Gpc0),
        Stored::rate(DataType::Gpc0Rate, Duration::from_secs(10)),
        Stored::rate(DataType::ConnRate, Duration::from_secs(3)),
        Stored::one(DataType::ConnCur),
        Stored::one(DataType::HttpReqCnt),
        Stored::rate(DataType::HttpReqRate, Duration::from_secs(10)),
        Stored::one(DataType::BytesOutCnt),
    ]);
    let mut out = Vec::new();
    frame::put(&mut out, 0x82, |out| {
        Definition::encode(out, 2, "fe", KeyType::Ip, &layout, Duration::from_secs(30));
    });
    // As a real HAProxy 2.6 sent it.
    let real = "0a82180202666504 04fcd70ff0c40d03f0e20305f8ac000af0e203".replace(' ', "");
    let shown: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(shown, real);
    let decoded = Definition::decode(&out[3..]).expect("it is whole");
    assert_eq!((decoded.id, decoded.name.as_str(), decoded.stored.len()), (2, "fe", 7));
    assert!(decoded.has_keys_of(KeyType::Ip) && !decoded.has_keys_of(KeyType::Ipv6));
}

#[test]
fn a_peer_that_was_away_gets_what_it_has_not_acknowledged_and_no_more() {
    let options = options(KeyType::Ip, &[DataType::Gpc0]);
    let (one, other) = (node("a", "r", false, &options), node("b", "r", false, &options));
    let mut progress = Progress::default();
    let push = |outgoing: &mut Outgoing| {
        let mut bytes = Vec::new();
        while outgoing.push(&one, NOW, 10, &mut bytes) {}
        bytes
    };
    let table = &one.tables()[0].table;
    fill(table, &[(1, 1), (2, 2), (3, 3)]);
    let mut first = Outgoing::new(&one, With::Peer("b"), &progress, true);
    let mut incoming = Incoming::default();
    let replies = take(&mut incoming, &push(&mut first), &other, "a").expect("it is understood");
    let Ok(Some((Frame::Ack(body), _))) = frame::take(&replies) else { panic!("no ack: {replies:?}") };
    first.acknowledged(&[1, 0, 0, 0, 9], &mut progress);
    assert_eq!(progress, Progress::default(), "a number that was never sent means nothing");
    first.acknowledged(body, &mut progress);
    fill(table, &[(2, 20)]);
    let mut again = Outgoing::new(&one, With::Peer("b"), &progress, true);
    let mut incoming = Incoming::default();
    take(&mut incoming, &push(&mut again), &other, "a").expect("it is understood");
    assert_eq!(incoming.updates, 1);
    assert_eq!(dump(&other.tables()[0].table), dump(table));
}

#[test]
fn sums_are_kept_apart_by_node_and_run_and_what_runs_counts_for_the_living() {
    use crate::limits::Limit;
    let options = options(KeyType::Ip, &[DataType::ConnCur, DataType::HttpReqRate]);
    let other = node("b", "run1", true, &options);
    other.peer_is_live("a", true);
    let limit = |data| Limit::new(data, 9);
    let limits = [limit(DataType::ConnCur), limit(DataType::HttpReqRate)];
    let shared = &other.tables()[0];
    let sums = || {
        let all = shared.others(&[0, 0, 0, 1], &limits, NOW);
        (all[0], all[1])
    };
    let publish = |run: &str, events: u32| {
        let one = node("a", run, true, &options);
        one.tables()[0].table.update([0, 0, 0, 1], NOW, |entry| {
            entry.set(DataType::ConnCur, 2);
            entry.add_rate(DataType::HttpReqRate, events, NOW);
        });
        let mut bytes = Vec::new();
        Outgoing::new(&one, With::Peer("b"), &Progress::default(), true).push(&one, NOW, 10, &mut bytes);
        take(&mut Incoming::default(), &bytes, &other, "a").expect("it is understood");
    };
    publish("run1", 5);
    publish("run1", 6);
    assert_eq!(sums(), (2, 6), "a run's numbers replace its own");
    publish("run2", 1);
    assert_eq!(sums(), (2, 7), "a new run: what ran in the old one is gone, its rate is not");
    other.peer_is_live("a", false);
    assert_eq!((sums(), other.nodes()), ((0, 7), (1, 2)));
    let foreign = node("c", "run1", true, &options);
    foreign.tables()[0].table.update([0, 0, 0, 1], NOW, |entry| entry.set(DataType::ConnCur, 9));
    let mut bytes = Vec::new();
    Outgoing::new(&foreign, With::Peer("b"), &Progress::default(), true).push(&foreign, NOW, 10, &mut bytes);
    take(&mut Incoming::default(), &bytes, &other, "a").expect("it is understood");
    assert_eq!(sums(), (0, 7), "nobody speaks for others");
}

#[test]
fn what_is_not_known_is_skipped_and_the_stream_stays_in_step() {
    let options = options(KeyType::Ip, &[DataType::Gpc0]);
    let other = node("b", "r", false, &options);
    let mut bytes = Vec::new();
    frame::put(&mut bytes, 0x80, |out| out.extend([0, 0, 0, 1, 1, 2, 3, 4, 9]));
    for (name, key_kind) in [("unknown", 4), ("t", 250)] {
        frame::put(&mut bytes, 0x82, |out| {
            out.extend([&[9, name.len() as u8], name.as_bytes(), &[key_kind, 4, 4, 0]].concat());
        });
        frame::put(&mut bytes, 0x80, |out| out.extend([0, 0, 0, 1, 1, 2, 3, 4, 9]));
    }
    bytes.extend([77, 3, 88, 0x91, 2, 1, 1]);
    let one = node("a", "r", false, &options);
    fill(&one.tables()[0].table, &[(1, 5)]);
    Outgoing::new(&one, With::Peer("b"), &Progress::default(), true).push(&one, NOW, 10, &mut bytes);
    let mut incoming = Incoming::default();
    take(&mut incoming, &bytes, &other, "a").expect("nothing of it is a fault");
    assert_eq!((incoming.updates, incoming.ignored), (1, 3));
    assert_eq!(dump(&other.tables()[0].table), dump(&one.tables()[0].table));
}

#[test]
fn a_frame_that_no_haproxy_could_read_is_refused_before_it_is_there() {
    assert_eq!(frame::take(&[10, 0x80, 0xf0, 0xff, 0xff, 0xff, 0x7f]), Err(Fault::Size));
    assert_eq!(frame::take(&[10, 0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), Err(Fault::Size));
    assert_eq!(frame::take(&[255, 0]), Err(Fault::Protocol));
    let mut out = vec![1];
    assert!(!frame::put(&mut out, 0x80, |out| out.resize(out.len() + 16_381, 0)));
    assert_eq!(out, [1]);
    assert!(frame::put(&mut out, 0x80, |out| out.resize(out.len() + 16_379, 0)) && out.len() == 16_385);
}

#[test]
fn a_lesson_has_everything_and_changes_meanwhile_follow() {
    let options = options(KeyType::Ip, &[DataType::Gpc0]);
    let (one, other) = (node("a", "r", false, &options), node("b", "r", false, &options));
    let table = &one.tables()[0].table;
    fill(table, &(0..600).map(|number| (number, number)).collect::<Vec<_>>());
    // Taught by a third: not to be pushed, but to be taught.
    table.learn(&[9, 9, 9, 9], NOW, None, None, |entry, _| {
        entry.set(DataType::Gpc0, 1);
        false
    });
    let mut outgoing = Outgoing::new(&one, With::Peer("b"), &Progress::default(), true);
    outgoing.teach();
    let mut bytes = Vec::new();
    let mut parts = 0;
    while outgoing.go_on_teaching(&one, NOW, &mut bytes) {
        parts += 1;
        fill(table, &[(parts, 5_000 + parts)]);
    }
    while outgoing.push(&one, NOW, 10, &mut bytes) {}
    take(&mut Incoming::default(), &bytes, &other, "a").expect("it is understood");
    assert_eq!(dump(&other.tables()[0].table), dump(table));
}

/// Runs a link on events; returns what it does.
fn run(link: &mut Link, event: Event, now: Time) -> Vec<Action> {
    let mut actions = Vec::new();
    link.on(event, now, &mut actions);
    link.check_invariants();
    actions
}

#[test]
fn a_session_learns_once_beats_early_and_dies_of_silence() {
    let mut link = Link::new("a", "b", 1, Time::ZERO);
    let at = Time::from_millis;
    assert_eq!(run(&mut link, Event::Tick, at(50)), [Action::Dial]);
    let opened = run(&mut link, Event::Opened, at(60));
    assert_eq!(opened, [Action::Live(true), Action::Send(Control::ResyncRequest)]);
    assert_eq!(run(&mut link, Event::Tick, at(70)), [Action::Send(Control::Heartbeat)]);
    let finished = run(&mut link, Event::Control(Control::ResyncFinished), at(80));
    assert_eq!(finished, [Action::Send(Control::ResyncConfirm)]);
    let second = [Action::Send(Control::Heartbeat), Action::IsStock];
    assert_eq!(run(&mut link, Event::Tick, at(310)), second, "it has not said that it is a Headgate");
    assert_eq!(run(&mut link, Event::IsHeadgate, at(310)), [Action::IsHeadgate], "it was only slow");
    assert_eq!(run(&mut link, Event::IsHeadgate, at(310)), [], "it says so with each table");
    let silent = [Action::Close(Reason::Silent), Action::Live(false)];
    assert_eq!(run(&mut link, Event::Tick, at(1_580)), silent, "1.5 s after what was heard last");
    let deadline = link.next_deadline().expect("it dials again");
    assert_eq!(run(&mut link, Event::Tick, deadline), [Action::Dial]);
    assert_eq!(run(&mut link, Event::Opened, at(2_000)), [Action::Live(true)], "it has learnt");
}

#[test]
fn a_retired_link_wants_no_session() {
    let mut link = Link::new("a", "b", 1, Time::ZERO);
    run(&mut link, Event::Retire, Time::from_millis(1));
    assert!(link.is_retired());
    assert_eq!(run(&mut link, Event::Opened, Time::from_millis(2)), []);
    run(&mut link, Event::Resume, Time::from_millis(3));
    assert!(!link.is_retired());
}

#[test]
fn a_headgate_that_was_taken_for_none_hears_of_all_runs_again() {
    let options = options(KeyType::Ip, &[DataType::ConnCur]);
    let (one, other, old) =
        (node("a", "r", true, &options), node("b", "r", true, &options), node("a", "old", true, &options));
    let mut bytes = Vec::new();
    Outgoing::new(&old, With::Next, &Progress::default(), true).push(&old, NOW, 10, &mut bytes);
    let mut from_old = Incoming::default();
    let Ok(Some((Frame::Define(body), _))) = frame::take(&bytes) else { panic!("no definition") };
    from_old.define(body, &one, With::Previous, NOW).expect("it is whole");
    let mut outgoing = Outgoing::new(&one, With::Peer("b"), &Progress::default(), true);
    let mut incoming = Incoming::default();
    let mut tell = |outgoing: &mut Outgoing| {
        let mut bytes = Vec::new();
        outgoing.push(&one, NOW, 10, &mut bytes);
        take(&mut incoming, &bytes, &other, "a").expect("it is understood");
        let runs = other.tables()[0].runs();
        (
            runs.iter().filter(|(_, live, _)| *live).count(),
            runs.iter().map(|(.., entries)| entries).sum::<usize>(),
        )
    };
    outgoing.is_stock();
    fill(&one.tables()[0].table, &[(1, 1)]);
    assert_eq!(tell(&mut outgoing), (1, 0), "it is told that there are sums, and none of them");
    outgoing.is_headgate();
    assert_eq!(tell(&mut outgoing), (2, 1));
}

#[test]
fn who_does_not_want_to_talk_is_left_alone_for_a_while() {
    let mut link = Link::new("a", "b", 1, Time::ZERO);
    run(&mut link, Event::Tick, Time::from_millis(50));
    run(&mut link, Event::Refused(Status::RemoteIdMismatch), Time::from_millis(60));
    assert!(link.next_deadline().is_some_and(|at| at >= Time::from_millis(5_060)));
    assert_eq!(
        run(&mut link, Event::Opened, Time::from_millis(100))[0],
        Action::Live(true),
        "unless it calls"
    );
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Tick),
        Just(Event::Opened),
        Just(Event::Unreachable),
        Just(Event::Refused(Status::Other(300))),
        Just(Event::Heard),
        Just(Event::IsHeadgate),
        Just(Event::Taught),
        Just(Event::Closed),
        Just(Event::Control(Control::ResyncRequest)),
        Just(Event::Control(Control::ResyncPartial)),
        Just(Event::Control(Control::ProtocolError)),
    ]
}

mod aggregate;
mod choices;
mod held;
mod processes;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_link_says_live_and_dead_in_turn_and_always_has_a_next_step(
        events in proptest::collection::vec((any_event(), 0u64..3_000), 0..100),
    ) {
        let mut link = Link::new("b", "a", 7, Time::ZERO);
        let (mut now, mut live) = (Time::ZERO, false);
        for (event, gap) in events {
            now += Duration::from_millis(gap);
            for action in run(&mut link, event, now) {
                if let Action::Live(says) = action {
                    prop_assert_ne!(says, live);
                    live = says;
                }
            }
            prop_assert_eq!(live, link.is_open());
            prop_assert!(link.next_deadline().is_some());
        }
    }

    #[test]
    fn what_one_node_sends_the_other_has(
        rows in proptest::collection::vec((0u32..50, any::<u32>()), 0..100),
        bits in 1u32..(1 << 27),
        kind in 0usize..5,
    ) {
        let key = [KeyType::Integer, KeyType::Ip, KeyType::Ipv6, KeyType::String(9), KeyType::Binary(6)][kind];
        let stored: Vec<_> =
            DataType::ALL.into_iter().filter(|data| bits >> data.number() & 1 == 1).collect();
        let options = options(key, &stored);
        let (one, other) = (node("a", "r", false, &options), node("b", "r", false, &options));
        fill(&one.tables()[0].table, &rows);
        let mut bytes = Vec::new();
        let mut outgoing = Outgoing::new(&one, With::Peer("b"), &Progress::default(), true);
        while outgoing.push(&one, NOW, 7, &mut bytes) {}
        let taken = take(&mut Incoming::default(), &bytes, &other, "a");
        prop_assert!(taken.is_ok());
        let texts = stored.contains(&DataType::ServerKey);
        let rows = |cluster: &Cluster| {
            let table = &cluster.tables()[0].table;
            let mut rows = Vec::new();
            table.for_each(NOW, |row| {
                let text = table.text(row.entry.get(DataType::ServerKey) as u32);
                rows.push((row.key.to_vec(), text));
            });
            rows.sort();
            rows
        };
        prop_assert_eq!(rows(&one), rows(&other));
        if !texts {
            prop_assert_eq!(dump(&one.tables()[0].table), dump(&other.tables()[0].table));
        }
    }

    #[test]
    fn garbage_does_no_harm(
        start in proptest::collection::vec(any::<u8>(), 0..200),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
    ) {
        let all: Vec<_> = DataType::ALL.to_vec();
        let options = options(KeyType::String(9), &all);
        let (one, other) = (node("a", "r", false, &options), node("b", "r", false, &options));
        let _ = take(&mut Incoming::default(), &start, &other, "a");
        fill(&one.tables()[0].table, &[(1, 2), (3, 4)]);
        let mut bytes = Vec::new();
        Outgoing::new(&one, With::Peer("b"), &Progress::default(), true).push(&one, NOW, 10, &mut bytes);
        for (place, byte) in flips {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let _ = take(&mut Incoming::default(), &bytes, &other, "a");
        let mut outgoing = Outgoing::new(&one, With::Peer("b"), &Progress::default(), true);
        outgoing.acknowledged(&start, &mut Progress::default());
    }
}

#[test]
fn an_update_of_what_a_client_does_takes_at_most_32_bytes() {
    let options = options(KeyType::Ipv6, &[DataType::ConnCur, DataType::HttpReqRate]);
    let one = node("a", "r", true, &options);
    let push = |outgoing: &mut Outgoing| {
        one.tables()[0].table.update([7; 16], NOW, |entry| {
            entry.add(DataType::ConnCur, 1);
            entry.add_rate(DataType::HttpReqRate, 100, NOW);
        });
        let mut bytes = Vec::new();
        outgoing.push(&one, NOW, 10, &mut bytes);
        bytes.len()
    };
    let mut outgoing = Outgoing::new(&one, With::Peer("b"), &Progress::default(), true);
    // The first has the definition before it.
    push(&mut outgoing);
    assert!(push(&mut outgoing) <= 32);
}
