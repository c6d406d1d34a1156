//! Clients that ask for much and take nothing: what is held for them is bounded, and they are cut off.

use super::wire::{DATA, END_BOTH, END_HEADERS, END_STREAM, GET, HEADERS, POST, connected, frame};
use crate::harness::{Gateway, Server, ok, wait_until};
use std::io::{Read, Write};
use std::time::{Duration, SystemTime};

/// Answers at once that nobody takes.
const ANSWERS: u32 = 100;

/// More than the system holds for a connection.
const LARGE: usize = 16 << 20;

/// A server of large answers, and a gateway before it whose clients have 2 s to take something.
fn before_large_answers(more: &str) -> (Server, Gateway) {
    let answer = ok(&"x".repeat(LARGE));
    let server = Server::start(move |_, stream| {
        stream.write_all(&answer).ok()?;
        Some(Vec::new())
    });
    let keys = "client_timeout = \"2s\"\nhttp_request_timeout = \"2s\"\nkeep_alive_timeout = \"2s\"";
    let gateway = Gateway::before(&[server.address], &format!("{keys}\n{more}"));
    assert!(gateway.get("/").len() > LARGE);
    (server, gateway)
}

/// Resident KiB of the gateway, more than `before`, at their most until no connection is left.
fn grown(gateway: &Gateway, before: u64) -> u64 {
    let mut most = 0;
    wait_until("their connections are gone", || {
        most = most.max(resident(gateway));
        gateway.metric("headgate_connections{frontend=\"fe\"}") == 0.0
    });
    most.saturating_sub(before)
}

fn resident(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.process.id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number")
}

/// What streams that take nothing cost, in MiB.
fn of_streams(request: impl Fn(u32) -> Vec<u8>) -> u64 {
    let (server, gateway) = before_large_answers("h2c = true");
    let before = resident(&gateway);
    // A window of nothing for each stream: SETTINGS_INITIAL_WINDOW_SIZE is 0.
    let mut stream = connected(&gateway, &[0, 4, 0, 0, 0, 0]);
    let requests: Vec<u8> = (0..ANSWERS).flat_map(|number| request(2 * number + 1)).collect();
    stream.write_all(&requests).expect("sent");
    wait_until("the server has them all", || server.heads().len() > ANSWERS as usize);
    let begun = SystemTime::now();
    let grown = grown(&gateway, before) / 1024;
    assert!(
        begun.elapsed().is_ok_and(|took| took < Duration::from_secs(15)),
        "it took {:?}",
        begun.elapsed()
    );
    let _ = stream.read_to_end(&mut Vec::new());
    grown
}

#[test]
fn streams_that_take_nothing_are_cut_off_and_cost_little() {
    let grown = of_streams(|id| frame(HEADERS, END_BOTH, id, GET));
    eprintln!("{ANSWERS} large answers on streams that nobody reads: {grown} MiB more");
    assert!(grown < 16, "{grown} MiB");
}

/// pingora's proxy reads four pieces of 64 KiB ahead.
#[test]
fn streams_with_bodies_that_take_nothing_are_cut_off_and_bounded() {
    let grown = of_streams(|id| {
        let head = frame(HEADERS, END_HEADERS, id, POST);
        [head, frame(DATA, END_STREAM, id, b"ab")].concat()
    });
    eprintln!("{ANSWERS} large answers to requests with bodies: {grown} MiB more");
    assert!(grown < 64, "{grown} MiB");
}

#[test]
fn connections_that_take_nothing_are_cut_off_and_cost_little() {
    let (server, gateway) = before_large_answers("");
    let before = resident(&gateway);
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut clients: Vec<_> = (0..ANSWERS)
        .map(|_| {
            let mut client = gateway.connect();
            client.write_all(request).expect("sent");
            client
        })
        .collect();
    wait_until("the server has them all", || server.heads().len() > ANSWERS as usize);
    let grown = grown(&gateway, before) / 1024;
    eprintln!("{ANSWERS} large answers on connections that nobody reads: {grown} MiB more");
    assert!(grown < 16, "{grown} MiB");
    for client in &mut clients {
        let mut got = Vec::new();
        let _ = client.read_to_end(&mut got);
        assert!(got.len() < LARGE, "none has it all: {}", got.len());
    }
}
