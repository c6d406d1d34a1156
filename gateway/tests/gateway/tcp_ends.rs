//! Mode tcp: who ends, and who waits for whom.

use crate::harness::{connect, connect_from, pause, wait_until};
use crate::tcp::{echo, gateway, rest, server};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, SystemTime};

const QUEUE: &str = "headgate_queue{backend=\"be\"}";

/// The end of it is a reset.
fn cut(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option");
}

#[test]
fn a_client_that_goes_while_it_waits_in_line_leaves_it_at_once() {
    let gateway = gateway(&[echo("s")], "", "maxconn = 1\nqueue_timeout = \"60s\"");
    let mut holds = gateway.connect();
    holds.read_exact(&mut [0]).expect("a server");
    let go: [fn(TcpStream); 3] = [drop, cut, |mut stream| {
        // What it has sent before is for its server, and nobody reads it.
        stream.write_all(b"question").expect("sent");
    }];
    for (turn, go) in (1..).zip(go) {
        let waits = gateway.connect();
        wait_until("it waits", || gateway.metric(QUEUE) == 1.0);
        go(waits);
        wait_until("it has left", || gateway.metric(QUEUE) == 0.0);
        let line = gateway.log_lines(turn).remove(turn - 1);
        assert!(line.contains(" be/<NOSRV> ") && line.contains(" 0 CQ ") && line.ends_with(" 0/1"), "{line}");
    }
    holds.write_all(b"x").expect("it is open");
    holds.read_exact(&mut [0]).expect("who has a place keeps it");
}

#[test]
fn a_client_that_has_ended_its_side_keeps_its_place_in_line_where_told_so_and_one_that_is_cut_off_does_not() {
    let keys = "maxconn = 1\nqueue_timeout = \"60s\"\nabortonclose = false";
    let gateway = gateway(&[echo("s")], "", keys);
    let mut holds = gateway.connect();
    holds.read_exact(&mut [0]).expect("a server");
    let mut ended = gateway.connect();
    ended.write_all(b"question").expect("sent");
    ended.shutdown(Shutdown::Write).expect("ended");
    wait_until("it waits", || gateway.metric(QUEUE) == 1.0);
    let cut_off = gateway.connect();
    wait_until("it waits", || gateway.metric(QUEUE) == 2.0);
    cut(cut_off);
    wait_until("it has left", || gateway.metric(QUEUE) == 1.0);
    drop(holds);
    assert_eq!(rest(&mut ended), b"squestion");
}

#[test]
fn a_client_that_goes_while_its_server_is_connected_to_gives_its_place_back_at_once() {
    // It takes connections, and never shakes hands.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("it is bound");
    let tls = "connect_timeout = \"60s\"\ndefault_server = { ssl = true, verify = \"none\" }";
    let before = "accept_proxy = [\"127.0.0.9/32\"]";
    let gateway = gateway(&[address], before, tls);
    let running = || gateway.metric("headgate_server_active{backend=\"be\",server=\"s0\"}");
    let go: [fn(TcpStream); 3] = [drop, cut, |mut stream| {
        stream.write_all(b"question").expect("sent");
        cut(stream);
    }];
    for (turn, go) in (1..).zip(go) {
        let client = gateway.connect();
        wait_until("a server is connected to", || running() == 1.0);
        go(client);
        wait_until("its place is free", || running() == 0.0);
        let line = gateway.log_lines(turn).remove(turn - 1);
        assert!(line.contains(" be/s0 ") && line.contains(" CC "), "{line}");
    }
    let mut asks = gateway.connect();
    asks.write_all(b"question").expect("sent");
    asks.shutdown(Shutdown::Write).expect("ended");
    wait_until("a server is connected to", || running() == 1.0);
    pause(Duration::from_millis(300));
    assert_eq!(running(), 1.0, "who has asked waits for the answer");
    let mut through_proxy = connect_from("127.0.0.9:0", gateway.front);
    through_proxy.write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nquestion").expect("sent");
    through_proxy.shutdown(Shutdown::Write).expect("ended");
    wait_until("a server is connected to", || running() == 2.0);
    pause(Duration::from_millis(300));
    assert_eq!(running(), 2.0, "also if that came with what a proxy says");
}

#[test]
fn who_has_not_ended_gets_the_time_of_its_side() {
    let ends = || {
        server(|mut stream| {
            let _ = stream.shutdown(Shutdown::Write);
            rest(&mut stream);
        })
    };
    let waits = |gateway: &crate::harness::Gateway, half: Shutdown| {
        let begun = SystemTime::now();
        let mut stream = connect(gateway.front);
        if half == Shutdown::Write {
            stream.shutdown(half).expect("ended");
        }
        rest(&mut stream);
        gateway.log_lines(1);
        begun.elapsed().unwrap_or_default()
    };
    let short = "client_fin_timeout = \"200ms\"";
    let waited = waits(&gateway(&[ends()], short, ""), Shutdown::Read);
    assert!((Duration::from_millis(200)..Duration::from_secs(15)).contains(&waited), "{waited:?}");
    let silent = server(|mut stream| {
        rest(&mut stream);
        crate::harness::pause(crate::harness::DEADLINE);
    });
    let gateway = gateway(&[silent], "client_timeout = \"100ms\"", "server_fin_timeout = \"400ms\"");
    let waited = waits(&gateway, Shutdown::Write);
    assert!((Duration::from_millis(400)..Duration::from_secs(15)).contains(&waited), "{waited:?}");
    assert!(gateway.log_lines(1)[0].contains(" sD "), "{:?}", gateway.log_lines(1));
}
