//! Whatever a server does with the connection that it shares with other requests, nobody gets somebody else's bytes.

use crate::harness::{DEADLINE, Gateway, Server, ok, read_answer};
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;

/// A server that misbehaves for `/bad` and answers everything else with its path.
fn hostile(bad: impl Fn(&mut TcpStream) -> Option<Vec<u8>> + Send + Sync + 'static) -> Server {
    Server::start(move |head, stream| {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        if path == "/bad" { bad(stream) } else { Some(ok(&path)) }
    })
}

/// What `/bad` gives, then what two requests after it on the same connection, and so on the same worker, give.
fn exchange(server: &Server, keys: &str, bad: &[u8]) -> (String, [String; 2]) {
    let gateway = Gateway::of_backend(&format!(
        "{keys}\nserver = [{{ name = \"s1\", address = \"{}\" }}]",
        server.address
    ));
    let mut client = gateway.connect();
    let mut read = BufReader::new(client.try_clone().expect("a second handle"));
    client.write_all(bad).expect("sent");
    let first = read_answer(&mut read).unwrap_or_default();
    let rest = ["/one", "/two"].map(|path| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let kept = client.write_all(request.as_bytes()).ok().and_then(|()| read_answer(&mut read));
        // A connection that was closed after the first costs nobody an answer: the client asks again.
        kept.unwrap_or_else(|| gateway.get(path))
    });
    (first, rest)
}

const BAD: &[u8] = b"GET /bad HTTP/1.1\r\nHost: a\r\n\r\n";

fn own(rest: &[String; 2]) {
    assert!(rest[0].ends_with("\r\n\r\n/one") && rest[1].ends_with("\r\n\r\n/two"), "{rest:?}");
}

#[test]
fn an_answer_that_nobody_asked_for_reaches_nobody() {
    let server = hostile(|_| Some([ok("first"), ok("second")].concat()));
    let (first, rest) = exchange(&server, "", BAD);
    assert!(first.ends_with("first"), "{first}");
    own(&rest);
}

#[test]
fn what_comes_after_the_end_of_an_answer_reaches_nobody() {
    let server =
        hostile(|_| Some(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\n".to_vec()));
    let (first, rest) = exchange(&server, "", BAD);
    assert!(first.ends_with("\r\n\r\nabc"), "{first}");
    own(&rest);
}

#[test]
fn an_answer_before_the_body_is_sent_is_passed_on_and_the_connection_is_not_used_again() {
    let server = hostile(|_| Some(ok("early")));
    let gateway =
        Gateway::of_backend(&format!("server = [{{ name = \"s1\", address = \"{}\" }}]", server.address));
    // The rest of their bodies never comes; enough of them for every worker.
    let mut clients: Vec<_> = (0..8).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        let mut request = b"POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n".to_vec();
        request.extend_from_slice(&[b'b'; 1000]);
        client.write_all(&request).expect("sent");
        let answer = read_answer(&mut BufReader::new(client)).expect("an answer");
        assert!(answer.ends_with("early"), "{answer}");
    }
    for _ in 0..16 {
        let answer = gateway.get("/one");
        assert!(answer.ends_with("\r\n\r\n/one"), "{answer}");
    }
}

#[test]
fn an_answer_that_is_late_reaches_nobody() {
    let server = hostile(|stream| {
        stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        // The gateway has given up when it closes the connection.
        let _ = stream.read(&mut [0]);
        let _ = stream.write_all(&ok("late"));
        None
    });
    let (first, rest) = exchange(&server, "server_timeout = \"300ms\"", BAD);
    assert!(first.starts_with("HTTP/1.1 504"), "{first}");
    own(&rest);
}

#[test]
fn half_an_answer_is_cut_off_and_nothing_follows_it() {
    let server = hostile(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        None
    });
    let (first, rest) = exchange(&server, "", BAD);
    assert_eq!(first, "", "it is not whole");
    own(&rest);
}

#[test]
fn half_a_head_is_an_error() {
    let server = hostile(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Le");
        None
    });
    let (first, rest) = exchange(&server, "", BAD);
    assert!(first.starts_with("HTTP/1.1 502"), "{first}");
    own(&rest);
}
