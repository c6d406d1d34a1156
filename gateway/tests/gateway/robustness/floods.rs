//! Floods that HTTP/2 invites, frame by frame: each costs its sender the connection and its neighbour
//! nothing.

use crate::harness::{DEADLINE, Gateway, Server, ok, wait_until};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const END_BOTH: u8 = 5;
/// How long a flood goes on that need not be cut off.
const PERSISTENCE: Duration = Duration::from_secs(3);
const GET: &[u8] = b"\x82\x84\x86\x41\x01a";
const POST: &[u8] = b"\x83\x84\x86\x41\x01a";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn connected(gateway: &Gateway, settings: &[u8]) -> TcpStream {
    let mut stream = gateway.connect();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("sent");
    stream.write_all(&frame(SETTINGS, 0, 0, settings)).expect("sent");
    stream
}

/// Repeats what `burst` makes until the gateway cuts the connection; false if it has not by `most`.
/// What the gateway says is read, unless the flood is of one who does not read.
fn flood(stream: &mut TcpStream, reads: bool, most: Duration, burst: impl Fn(u32) -> Vec<u8>) -> bool {
    stream.set_write_timeout(Some(most)).expect("a deadline");
    let reader = reads.then(|| {
        let mut stream = stream.try_clone().expect("a second handle");
        std::thread::spawn(move || {
            let mut bytes = [0; 16384];
            while stream.read(&mut bytes).is_ok_and(|read| read > 0) {}
        })
    });
    let begun = SystemTime::now();
    let in_time = || begun.elapsed().is_ok_and(|took| took < most);
    let failed = (0..).take_while(|_| in_time()).find_map(|number| stream.write_all(&burst(number)).err());
    let cut =
        failed.is_some_and(|error| !matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock));
    let _ = stream.shutdown(std::net::Shutdown::Both);
    if let Some(reader) = reader {
        reader.join().expect("it only reads");
    }
    cut
}

/// Runs `attack` while a neighbour makes requests; all of those are answered, none slowly.
fn beside_a_neighbour(gateway: &Gateway, attack: impl FnOnce()) {
    struct Done<'a>(&'a AtomicBool);
    // An attack that fails ends the neighbour, too.
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let neighbour = scope.spawn(|| {
            let mut slowest = Duration::ZERO;
            let mut answered = 0;
            while !done.load(Ordering::Relaxed) || answered == 0 {
                let begun = SystemTime::now();
                assert!(gateway.get("/neighbour").contains("200 OK"));
                slowest = slowest.max(begun.elapsed().unwrap_or_default());
                answered += 1;
            }
            slowest
        });
        {
            let _done = Done(&done);
            attack();
        }
        let slowest = neighbour.join().expect("every request of the neighbour was answered");
        // A flood is much work for one worker, but the machine may have others to do as well.
        assert!(slowest < Duration::from_secs(2), "the neighbour waited for {slowest:?}");
    });
    wait_until("the sender's connection is gone", || {
        gateway.metric("headgate_connections{frontend=\"fe\"}") == 0.0
    });
}

fn gateway(server: &Server) -> Gateway {
    Gateway::before(
        &[server.address],
        "h2c = true\nclient_timeout = \"2s\"\nhttp_request_timeout = \"2s\"\nkeep_alive_timeout = \"2s\"",
    )
}

#[test]
fn rapid_resets_are_cut_off() {
    let server = Server::named("s1");
    let gateway = gateway(&server);
    beside_a_neighbour(&gateway, || {
        let mut stream = connected(&gateway, &[]);
        let cut = flood(&mut stream, true, DEADLINE, |number| {
            let id = 2 * number + 1;
            [frame(HEADERS, END_BOTH, id, GET), frame(RST_STREAM, 0, id, &[0, 0, 0, 8])].concat()
        });
        assert!(cut, "requests that were taken back at once");
    });
}

#[test]
fn made_you_reset_is_cut_off() {
    let server = Server::named("s1");
    let gateway = gateway(&server);
    beside_a_neighbour(&gateway, || {
        let mut stream = connected(&gateway, &[]);
        // A window that grows by nothing has the gateway reset the stream.
        let cut = flood(&mut stream, true, DEADLINE, |number| {
            let id = 2 * number + 1;
            [frame(HEADERS, END_BOTH, id, GET), frame(WINDOW_UPDATE, 0, id, &[0, 0, 0, 0])].concat()
        });
        assert!(cut, "requests that the gateway was made to reset");
    });
}

#[test]
fn a_head_in_endless_continuations_is_cut_off() {
    let server = Server::named("s1");
    let gateway = gateway(&server);
    for (what, payload) in
        [("empty", Vec::new()), ("full", [b"\x00\x01a\x7f\x00".as_slice(), &[b'x'; 127]].concat())]
    {
        beside_a_neighbour(&gateway, || {
            let mut stream = connected(&gateway, &[]);
            stream.write_all(&frame(HEADERS, 0, 1, GET)).expect("sent");
            assert!(
                flood(&mut stream, true, DEADLINE, |_| frame(CONTINUATION, 0, 1, &payload).repeat(10)),
                "{what}"
            );
        });
    }
    assert!(server.heads().iter().all(|head| head.contains("/neighbour")));
}

#[test]
fn control_frames_without_end_are_cut_off_when_their_answers_are_not_read() {
    let server = Server::named("s1");
    let gateway = gateway(&server);
    for (kind, payload) in [(PING, vec![0; 8]), (SETTINGS, vec![])] {
        beside_a_neighbour(&gateway, || {
            let mut stream = connected(&gateway, &[]);
            let cut = flood(&mut stream, false, DEADLINE, |_| frame(kind, 0, 0, &payload).repeat(50));
            assert!(cut, "frames of kind {kind}");
        });
    }
}

/// Repeats a frame on an open stream, for at most so long; whether that was cut off.
fn repeats(gateway: &Gateway, kind: u8, stream_id: u32, payload: &[u8], most: Duration) -> bool {
    let mut stream = connected(gateway, &[]);
    stream.write_all(&frame(HEADERS, END_HEADERS, 1, POST)).expect("sent");
    flood(&mut stream, true, most, |_| frame(kind, 0, stream_id, payload).repeat(20))
}

#[test]
fn data_without_bytes_without_end_is_cut_off() {
    let server = Server::named("s1");
    let gateway = gateway(&server);
    beside_a_neighbour(&gateway, || assert!(repeats(&gateway, DATA, 1, &[], DEADLINE)));
}

/// Nothing counts these: they go on, at their sender's cost.
#[test]
fn priorities_and_windows_without_end_cost_nobody_else_anything() {
    let server = Server::named("s1");
    let gateway = gateway(&server);
    for (kind, id, payload) in
        [(PRIORITY, 3, [0, 0, 0, 0, 16].as_slice()), (WINDOW_UPDATE, 1, [0, 0, 0, 1].as_slice())]
    {
        beside_a_neighbour(&gateway, || {
            repeats(&gateway, kind, id, payload, PERSISTENCE);
        });
    }
}

#[test]
fn a_client_that_takes_nothing_is_cut_off_and_costs_little() {
    let body = "x".repeat(1 << 20);
    let server = Server::start(move |_, _| Some(ok(&body)));
    let gateway = gateway(&server);
    let resident = || {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", gateway.process.id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number")
    };
    assert!(gateway.get("/neighbour").contains("200 OK"));
    let before = resident();
    // A window of nothing for each stream: SETTINGS_INITIAL_WINDOW_SIZE is 0.
    let mut stream = connected(&gateway, &[0, 4, 0, 0, 0, 0]);
    let requests: Vec<u8> =
        (0..100).flat_map(|number| frame(HEADERS, END_BOTH, 2 * number + 1, GET)).collect();
    stream.write_all(&requests).expect("sent");
    wait_until("the server has them all", || server.heads().len() >= 101);
    let begun = SystemTime::now();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(begun.elapsed().is_ok_and(|took| took < Duration::from_secs(15)), "{begun:?}");
    let grown = resident().saturating_sub(before) / 1024;
    eprintln!("100 answers of 1 MiB that nobody takes: {grown} MiB more");
    assert!(grown < 48, "{grown} MiB");
    wait_until("its connection is gone", || gateway.metric("headgate_connections{frontend=\"fe\"}") == 0.0);
}

#[test]
fn more_streams_than_allowed_are_refused_and_fields_without_end_too() {
    let server = Server::named("s1");
    let gateway = gateway(&server);
    beside_a_neighbour(&gateway, || {
        let mut stream = connected(&gateway, &[]);
        // One field of 4 KiB that the table keeps, and then a byte for each time that it is meant again.
        let field = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'y'; 4000]].concat();
        let head = [GET, &field].concat();
        stream.write_all(&frame(HEADERS, END_BOTH, 1, &head)).expect("sent");
        let many = [GET, &[0xbe; 4000][..]].concat();
        for number in 1..20u32 {
            let _ = stream.write_all(&frame(HEADERS, END_BOTH, 2 * number + 1, &many));
        }
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    assert!(server.heads().iter().all(|head| head.len() < 40_000));
}
