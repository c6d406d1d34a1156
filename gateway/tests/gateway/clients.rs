//! Clients that are slow, silent or gone cost themselves their connection, and nobody else anything.

use crate::harness::{DEADLINE, Gateway, Server, ok, pause, read_answer, wait_until};
use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, SystemTime};

/// Sends a byte of an endless head whenever nothing has come for `pause`, and returns what came in the
/// end and after how long.
fn dribble(stream: &mut TcpStream, pause: Duration) -> (String, Duration) {
    let began = SystemTime::now();
    stream.set_read_timeout(Some(pause)).expect("a deadline");
    let mut answer = Vec::new();
    for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX: ".iter().chain(std::iter::repeat(&b'x')) {
        assert!(began.elapsed().is_ok_and(|since| since < DEADLINE), "it never ends");
        // It may have been closed meanwhile.
        let _ = stream.write_all(&[*byte]);
        match stream.read_to_end(&mut answer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            _ => break,
        }
    }
    (String::from_utf8_lossy(&answer).into_owned(), began.elapsed().unwrap_or_default())
}

#[test]
fn a_head_has_a_deadline_whatever_its_client_dribbles() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], "http_request_timeout = \"500ms\"");
    let mut stream = gateway.connect();
    let (answer, took) = dribble(&mut stream, Duration::from_millis(50));
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
    assert!((400..5000).contains(&took.as_millis()), "{took:?}");
    let line = &gateway.log_lines(1)[0];
    assert!(line.contains(" fe fe/<NOSRV> -1/-1/-1/-1/") && line.contains(" 408 "), "{line}");
    assert!(line.contains(" cR-- ") && line.ends_with("\"<BADREQ>\""), "{line}");

    // So has one on a connection that has served a request.
    let mut stream = gateway.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let mut read = BufReader::new(stream.try_clone().expect("a second handle"));
    assert!(read_answer(&mut read).expect("an answer").contains("200 OK"));
    let (answer, _) = dribble(&mut stream, Duration::from_millis(50));
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let refused = "headgate_refused_total{frontend=\"fe\",reason=\"http_request_timeout\"}";
    assert_eq!(gateway.metric(refused), 2.0);
    assert_eq!(server.heads().len(), 1, "no server saw any of it");
}

#[test]
fn a_connection_on_which_nothing_comes_is_closed_without_a_word() {
    let server = Server::named("s1");
    let timeouts = "http_request_timeout = \"300ms\"\nkeep_alive_timeout = \"300ms\"";
    let gateway = Gateway::before(&[server.address], timeouts);
    assert_eq!(gateway.raw(b""), "");
    let mut stream = gateway.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, and then the end");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("s1"), "{answer}");
    drop(gateway.connect());
    assert!(gateway.get("/last").contains("200 OK"));
    assert!(gateway.log_lines(2)[1].contains("/last"), "the two requests are all that is logged");
}

#[test]
fn a_client_that_goes_in_the_middle_of_a_head_is_logged() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], "");
    gateway.connect().write_all(b"GET / HT").expect("sent");
    let line = &gateway.log_lines(1)[0];
    assert!(line.contains(" 400 0 - - CR-- ") && line.ends_with("\"<BADREQ>\""), "{line}");
}

#[test]
fn a_client_that_goes_while_its_server_is_connected_to_gives_its_place_back_at_once() {
    // It takes connections, and never shakes hands.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("it is bound");
    let gateway = Gateway::of_backend(&format!(
        "connect_timeout = \"60s\"\nbreaker = {{ error_limit = 1, open = \"60s\" }}\n\
             server = [{{ name = \"s1\", address = \"{address}\", ssl = true, verify = \"none\" }}]"
    ));
    let running = || gateway.metric("headgate_server_active{backend=\"be\",server=\"s1\"}");
    for turn in 1..=2 {
        let mut client = gateway.connect();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        wait_until("a server is connected to", || running() == 1.0);
        if turn == 2 {
            socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("an option");
        }
        drop(client);
        wait_until("its place is free", || running() == 0.0);
        let line = gateway.log_lines(turn).remove(turn - 1);
        assert!(line.contains(" be/s1 ") && line.contains(" CC-- "), "{line}");
    }
    let mut stays = gateway.connect();
    stays.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    wait_until("a server is connected to", || running() == 1.0);
    pause(Duration::from_millis(300));
    assert_eq!(running(), 1.0, "who waits has its place");
    let failed = "headgate_server_errors_total{backend=\"be\",server=\"s1\"}";
    assert_eq!(gateway.metric(failed), 0.0, "nobody blames the server");
}

#[test]
fn what_is_no_request_is_logged_as_such() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], "");
    assert!(gateway.raw(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n").starts_with("HTTP/1.1 400 Bad Request\r\n"));
    assert!(gateway.raw(&[b'x'; 40_000]).starts_with("HTTP/1.1 400 "), "it is told though it sends on");
    for line in gateway.log_lines(2) {
        assert!(line.contains(" fe/<NOSRV> -1/-1/-1/-1/") && line.contains(" PR-- "), "{line}");
    }
}

/// Bytes that the other side of a connection within this machine has not read yet, as the system says.
fn unread(stream: &TcpStream) -> Option<u64> {
    let (own, other) = (stream.local_addr().ok()?.port(), stream.peer_addr().ok()?.port());
    let ends = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next()?.ends_with(&format!(":{other:04X}"));
        let is_it = local && fields.next()?.ends_with(&format!(":{own:04X}"));
        let queues = fields.nth(1).filter(|_| is_it)?;
        u64::from_str_radix(queues.split(':').nth(1)?, 16).ok()
    };
    std::fs::read_to_string("/proc/net/tcp").ok()?.lines().find_map(ends)
}

#[test]
fn the_log_says_how_long_a_head_took() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], "");
    let mut stream = gateway.connect();
    stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a deadline");
    let whole = SystemTime::now();
    stream.write_all(b"GET / HTTP/1.1\r\n").expect("sent");
    wait_until("the gateway has begun to read it", || unread(&stream) == Some(0));
    let pause = SystemTime::now();
    assert!(stream.read(&mut [0]).is_err(), "no answer yet");
    let paused = pause.elapsed().unwrap_or_default().as_millis() as u64;
    stream.write_all(b"Host: a\r\nConnection: close\r\n\r\n").expect("sent");
    let line = gateway.log_lines(1).concat();
    let whole = whole.elapsed().unwrap_or_default().as_millis() as u64;
    let timers = line.split(" be/s1 ").nth(1).and_then(|rest| rest.split(' ').next()).expect("timers");
    let timers: Vec<u64> = timers.split('/').map(|timer| timer.parse().expect("a number")).collect();
    assert!((paused..=whole).contains(&timers[0]), "{paused} to {whole}: {line}");
    assert!((timers[0]..=whole).contains(&timers[4]), "{line}");
}

#[test]
fn a_body_that_stops_coming_ends_its_request() {
    let server = Server::start(|_, stream| {
        let _ = stream.read(&mut [0]);
        None
    });
    let gateway = Gateway::before(&[server.address], "client_timeout = \"300ms\"");
    let answer = gateway.raw(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let line = &gateway.log_lines(1)[0];
    assert!(line.contains(" 408 ") && line.contains(" cH-- "), "{line}");
}

#[test]
fn a_client_that_takes_nothing_loses_its_connection() {
    let body = "x".repeat(1 << 20);
    let server = Server::start(move |_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n");
        while stream.write_all(body.as_bytes()).is_ok() {}
        None
    });
    let gateway = Gateway::before(&[server.address], "client_timeout = \"500ms\"");
    let mut stream = gateway.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let line = gateway.log_lines(1).concat();
    assert!(line.contains(" be/s1 ") && line.contains(" cD-- "), "{line}");
    wait_until("it is closed", || gateway.metric("headgate_connections{frontend=\"fe\"}") == 0.0);
}

#[test]
fn a_slow_answer_is_no_silence_of_its_client() {
    let server = Server::start(|_, stream| {
        stream.set_read_timeout(Some(Duration::from_millis(900))).expect("a deadline");
        let _ = stream.read(&mut [0]);
        Some(ok("late"))
    });
    let gateway = Gateway::before(&[server.address], "client_timeout = \"300ms\"");
    assert!(gateway.get("/").ends_with("late"));
}
