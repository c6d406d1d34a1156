//! What limits for the cluster cost a node, by the number of nodes: the figures of `docs/scale.md`.
//!
//! One node and all its sessions are simulated in virtual time: what it sends to each peer, and what each of them sends
//! to it, with the real line of changes, encoder and decoder. The other nodes' sessions among themselves are the same.

use base_core::Time;
use base_core::random::Random;
use gateway_core::peers::{Cluster, Frame, Incoming, Outgoing, Progress, Role, Shared, With, frame};
use gateway_core::table::{DataType, KeyType, Layout, Options, StickTable, Stored};
use std::collections::VecDeque;
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;

/// Prints a row for each number of nodes.
pub(crate) fn table() {
    println!(
        "| nodes | requests a second | updates a second, out | in | frames out | bytes a second, out | in |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for nodes in [3, 10, 50, 200] {
        let counts = World::new(nodes).run();
        let second = |count: u64| count / SECONDS;
        println!(
            "| {nodes} | {} | {} | {} | {} | {} | {} |",
            second(counts.requests),
            second(counts.updates_out),
            second(counts.updates_in),
            second(counts.frames_out),
            second(counts.bytes_out),
            second(counts.bytes_in),
        );
    }
}

/// What one node did.
#[derive(Default)]
struct Counts {
    requests: u64,
    updates_out: u64,
    updates_in: u64,
    frames_out: u64,
    bytes_out: u64,
    bytes_in: u64,
}

struct World {
    now: Time,
    random: Random,
    /// The first is the one that is looked at.
    nodes: Vec<Cluster>,
    /// From the first node to each other, and from each other to it.
    sessions: Vec<(Outgoing, Outgoing, Incoming)>,
    /// Requests that run: when they end, where, and whose they are.
    running: VecDeque<(Time, usize, u32)>,
    counts: Counts,
}

impl World {
    fn new(count: usize) -> Self {
        let names: Vec<_> = (0..count).map(|place| format!("gw{place:03}")).collect();
        let nodes: Vec<_> = names.iter().map(|name| node(name, &names)).collect();
        let progress = Progress::default();
        let sessions = (1..count).map(|place| {
            let to = Outgoing::new(&nodes[0], With::Peer(&names[place]), &progress, true);
            let from = Outgoing::new(&nodes[place], With::Peer(&names[0]), &progress, true);
            (to, from, Incoming::default())
        });
        let sessions = sessions.collect();
        let (now, random) = (Time::from_millis(1_000_000), Random::new(count as u64));
        Self { now, random, nodes, sessions, running: VecDeque::new(), counts: Counts::default() }
    }

    fn run(mut self) -> Counts {
        // The first second brings the requests that run to their usual number, and is not counted.
        for step in 0..(SECONDS + 1) * 1000 / INTERVAL {
            if step == 1000 / INTERVAL {
                self.counts = Counts::default();
            }
            self.requests();
            self.exchange();
            self.now += Duration::from_millis(INTERVAL);
        }
        self.counts
    }

    /// What begins and ends within an interval.
    fn requests(&mut self) {
        while let Some((_, place, client)) = self.running.pop_front_if(|(ends, ..)| *ends <= self.now) {
            self.nodes[place].tables()[0].table.update(key(client), self.now, |entry| {
                entry.sub(DataType::ConnCur, 1);
            });
        }
        for _ in 0..REQUESTS * INTERVAL / 1000 {
            let place = self.random.below(self.nodes.len() as u64) as usize;
            let client = self.random.below(CLIENTS) as u32;
            self.nodes[place].tables()[0].table.update(key(client), self.now, |entry| {
                entry.add(DataType::ConnCur, 1);
                entry.add_rate(DataType::HttpReqRate, 1, self.now);
            });
            self.running.push_back((self.now + LASTS, place, client));
            self.counts.requests += u64::from(place == 0);
        }
    }

    fn exchange(&mut self) {
        let (now, counts) = (self.now, &mut self.counts);
        for (place, (to, from, incoming)) in self.sessions.iter_mut().enumerate() {
            let mut out = Vec::new();
            while to.push(&self.nodes[0], now, 1024, &mut out) {}
            let mut rest = out.as_slice();
            while let Ok(Some((frame, length))) = frame::take(rest) {
                counts.updates_out += u64::from(matches!(frame, Frame::Update(..)));
                counts.frames_out += 1;
                rest = &rest[length..];
            }
            let mut back = Vec::new();
            let node = &self.nodes[place + 1];
            while from.push(node, now, 1024, &mut back) {}
            counts.bytes_in += back.len() as u64;
            let with = With::Peer(node.local());
            let mut rest = back.as_slice();
            let before = incoming.updates;
            while let Ok(Some((frame, length))) = frame::take(rest) {
                let taken = match frame {
                    Frame::Define(body) => incoming.define(body, &self.nodes[0], with, now).map(drop),
                    Frame::Update(update, body) => {
                        incoming.update(update, body, &self.nodes[0], with, &Progress::default(), now)
                    }
                    _ => Ok(()),
                };
                taken.expect("nobody sends garbage");
                rest = &rest[length..];
            }
            counts.updates_in += incoming.updates - before;
            incoming.acknowledge(&mut out);
            counts.bytes_out += out.len() as u64;
        }
    }
}

fn node(name: &str, names: &[String]) -> Cluster {
    let options = Options {
        key: KeyType::Ipv6,
        layout: Layout::new([
            Stored::one(DataType::ConnCur),
            Stored::rate(DataType::HttpReqRate, Duration::from_secs(10)),
        ]),
        size: 1_000_000,
        expire: Duration::from_secs(300),
        nopurge: false,
        shared: true,
    };
    let table = Arc::new(StickTable::new(options.clone(), &RandomState::new()));
    let shared = Shared::new("clients".into(), table, options, Role::Sums, false);
    let others = names.iter().filter(|other| *other != name).cloned().collect();
    Cluster::new(name.to_owned(), format!("hg{name:0>12}"), others, vec![shared])
}

/// An address of documentation.
fn key(client: u32) -> [u8; 16] {
    let mut key = [0; 16];
    key[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    key[12..].copy_from_slice(&client.to_be_bytes());
    key
}

const CLIENTS: u64 = 1_000_000;
/// A second, over all nodes.
const REQUESTS: u64 = 100_000;
const LASTS: Duration = Duration::from_millis(100);
/// Milliseconds between updates of an entry: the default.
const INTERVAL: u64 = 5;
/// Virtual seconds that are counted.
const SECONDS: u64 = 2;
