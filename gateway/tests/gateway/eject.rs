//! A server that hangs is noticed by its requests.

use crate::harness::{Gateway, Server, ok, wait_until};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// A server that answers, until it is told to hang: then it takes connections and requests, and says nothing.
fn that_may_hang(hangs: &Arc<AtomicBool>) -> Server {
    let hangs = Arc::clone(hangs);
    Server::start(move |_, _| {
        wait_until("it goes on", || !hangs.load(Ordering::SeqCst));
        Some(ok("done"))
    })
}

/// Waits; nothing is ever sent.
fn pause(duration: Duration) {
    let (_keep, nothing) = sync_channel::<()>(1);
    let _ = nothing.recv_timeout(duration);
}

#[test]
fn of_300_requests_a_second_over_three_servers_a_hung_one_costs_no_more_than_20() {
    let hangs = Arc::new(AtomicBool::new(false));
    let servers = [Server::named("one"), that_may_hang(&hangs), Server::named("three")];
    let gateway = Gateway::before(&servers.each_ref().map(|server| server.address), "");
    let failed = AtomicUsize::new(0);
    let request = || {
        let mut stream = gateway.connect();
        stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a deadline");
        let mut answer = String::new();
        let sent = stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let read = sent.and_then(|()| stream.read_to_string(&mut answer));
        if read.is_err() || !answer.starts_with("HTTP/1.1 200") {
            failed.fetch_add(1, Ordering::SeqCst);
        }
    };
    std::thread::scope(|scope| {
        for turn in 0..1200 {
            if turn == 300 {
                hangs.store(true, Ordering::SeqCst);
            }
            scope.spawn(request);
            pause(Duration::from_micros(3333));
        }
    });
    let failed = failed.load(Ordering::SeqCst);
    assert!((1..=20).contains(&failed), "{failed} failed");
    assert_eq!(gateway.metric("headgate_server_silent{backend=\"be\",server=\"s2\"}"), 1.0);

    hangs.store(false, Ordering::SeqCst);
    wait_until("it is used again", || {
        gateway.get("/");
        gateway.metric("headgate_server_silent{backend=\"be\",server=\"s2\"}") == 0.0
    });
    let before = servers[1].heads().len();
    (0..9).for_each(|_| drop(gateway.get("/")));
    assert_eq!(servers[1].heads().len() - before, 3, "it has its share again");
}
