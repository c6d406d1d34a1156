//! One node's updates to two others over TCP on loopback, each on a thread: how late they are applied, whether they
//! fall behind, and what a million entries take.
//!
//! The machines and bytes are those of the gateway; its tasks and TLS are not here.

use base_core::Time;
use gateway_core::peers::{Cluster, Frame, Incoming, Outgoing, Progress, Role, Shared, With, frame};
use gateway_core::table::{DataType, KeyType, Layout, Options, StickTable, Stored};
use std::hash::RandomState;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Prints how updates of ten seconds go.
pub(crate) fn updates() {
    let start = SystemTime::now();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let receivers = ["b", "c"].map(|name| {
        let stream = TcpStream::connect(address).expect("it listens");
        std::thread::spawn(move || receive(name, stream, start))
    });
    let mut streams: Vec<_> = (0..2).map(|_| listener.accept().expect("a peer").0).collect();
    let node = node("a");
    let mut sessions: Vec<_> = ["b", "c"]
        .iter()
        .map(|name| Outgoing::new(&node, With::Peer(name), &Progress::default(), true))
        .collect();
    let table = &node.tables()[0].table;
    let (mut client, mut probe) = (0u32, 0u32);
    let steps = SECONDS * 1000;
    for step in 0..steps {
        pause_until(start, Duration::from_millis(u64::from(step)));
        for _ in 0..UPDATES / 1000 - 1 {
            client = client.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            change(table, client % CLIENTS, start);
        }
        // Each is changed once, and says when.
        change(table, PROBES + probe, start);
        probe += 1;
        if step.is_multiple_of(INTERVAL) {
            push(&node, &mut sessions, &mut streams, start);
        }
    }
    push(&node, &mut sessions, &mut streams, start);
    let sent = start.elapsed().unwrap_or_default();
    drop(streams);
    for receiver in receivers {
        let (name, updates, mut ages) = receiver.join().expect("no panic");
        let behind = start.elapsed().unwrap_or_default().saturating_sub(sent);
        ages.sort_unstable();
        let at = |part: usize| ages.get(ages.len() * part / 1000).copied().unwrap_or_default();
        println!(
            "{name}: {} updates a second, applied after {:.1?} (median), {:.1?} (99%), {:.1?} (99.9%); {} of {probe} \
             probes; {behind:.1?} behind at the end",
            updates / u64::from(SECONDS),
            at(500),
            at(990),
            at(999),
            ages.len(),
        );
    }
}

/// Prints what a million addresses with three rates take.
pub(crate) fn memory() {
    let layout = Layout::new(
        [DataType::HttpReqRate, DataType::ConnRate, DataType::BytesOutRate]
            .map(|data| Stored::rate(data, Duration::from_secs(10))),
    );
    let options = Options { layout, size: 1_000_000, ..options() };
    // Kept to the end: what one of them gave back would be taken for room that the next one needs not.
    let mut tables = Vec::new();
    for (shared, what) in [(false, "alone"), (true, "shared with peers")] {
        let before = resident();
        let table = StickTable::new(Options { shared, ..options.clone() }, &RandomState::new());
        for client in 0..1_000_000 {
            table.update(key(client), Time::from_millis(1), |entry| {
                entry.add_rate(DataType::HttpReqRate, 1, Time::from_millis(1));
            });
        }
        let kib = resident() - before;
        println!("{} ipv6 entries with three rates, {what}: {} MiB", table.len(), kib / 1024);
        tables.push(table);
    }
}

fn receive(
    name: &'static str,
    mut stream: TcpStream,
    start: SystemTime,
) -> (&'static str, u64, Vec<Duration>) {
    let node = node(name);
    let (mut incoming, mut input, mut buffer) = (Incoming::default(), Vec::new(), vec![0; 64 * 1024]);
    let (mut ages, mut probe) = (Vec::new(), 0);
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        input.extend_from_slice(&buffer[..read]);
        let mut used = 0;
        let now = now(start);
        while let Ok(Some((frame, length))) = frame::take(&input[used..]) {
            let with = With::Peer("a");
            match frame {
                Frame::Define(body) => {
                    incoming.define(body, &node, with, now).expect("it is whole");
                }
                Frame::Update(update, body) => {
                    let taken = incoming.update(update, body, &node, with, &Progress::default(), now);
                    taken.expect("it is whole");
                }
                _ => {}
            }
            used += length;
        }
        input.drain(..used);
        let at = start.elapsed().unwrap_or_default();
        let table = &node.tables()[0].table;
        while let Some(micros) = table.peek(key(PROBES + probe), now, |entry| entry.get(DataType::Gpc0)) {
            ages.push(at.saturating_sub(Duration::from_micros(micros)));
            probe += 1;
        }
    }
    (name, incoming.updates, ages)
}

fn push(node: &Cluster, sessions: &mut [Outgoing], streams: &mut [TcpStream], start: SystemTime) {
    for (session, stream) in sessions.iter_mut().zip(streams) {
        let mut out = Vec::new();
        while session.push(node, now(start), 1024, &mut out) {}
        stream.write_all(&out).expect("it reads");
    }
}

fn change(table: &StickTable, client: u32, start: SystemTime) {
    let micros = start.elapsed().unwrap_or_default().as_micros() as u64;
    let now = now(start);
    table.update(key(client), now, |entry| {
        entry.set(DataType::Gpc0, micros);
        entry.add_rate(DataType::HttpReqRate, 1, now);
    });
}

fn now(start: SystemTime) -> Time {
    Time::from_nanos(start.elapsed().unwrap_or_default().as_nanos() as u64)
}

#[expect(clippy::disallowed_methods, reason = "a load that keeps a pace")]
fn pause_until(start: SystemTime, at: Duration) {
    std::thread::sleep(at.saturating_sub(start.elapsed().unwrap_or_default()));
}

/// KiB of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// All write the same entries, as with sticky sessions and HAProxy's counters.
fn node(name: &str) -> Cluster {
    let options = options();
    let table = Arc::new(StickTable::new(options.clone(), &RandomState::new()));
    let shared = Shared::new("clients".into(), table, options, Role::Common, false);
    let others = ["a", "b", "c"].into_iter().filter(|other| *other != name).map(str::to_owned).collect();
    Cluster::new(name.to_owned(), "hg0".to_owned(), others, vec![shared])
}

fn options() -> Options {
    Options {
        key: KeyType::Ipv6,
        layout: Layout::new([
            Stored::one(DataType::Gpc0),
            Stored::rate(DataType::HttpReqRate, Duration::from_secs(10)),
        ]),
        size: 2_000_000,
        expire: Duration::from_secs(300),
        nopurge: false,
        shared: true,
    }
}

fn key(client: u32) -> [u8; 16] {
    let mut key = [0; 16];
    key[12..].copy_from_slice(&client.to_be_bytes());
    key
}

/// A second.
const UPDATES: u32 = 100_000;
const CLIENTS: u32 = 1_000_000;
/// Keys from here on are probes.
const PROBES: u32 = 10_000_000;
/// Milliseconds between pushes: the default.
const INTERVAL: u32 = 5;
const SECONDS: u32 = 10;
