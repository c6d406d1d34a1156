//! Answers of servers that are wrong: the client gets a clean error or a cut connection, and never what
//! could be read in two ways.

use super::wire::{END_STREAM, block, connected, head as head_of, told};
use super::{Tap, say};
use crate::harness::{DEADLINE, Gateway, Server, pause};
use std::io::Write;
use std::time::Duration;

/// What a server says, to which the client shall get 502.
const BAD: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nokk",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nX Y: a\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/3 200\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    b"hello\r\n\r\n",
    b"\x00\x01\x02\x03\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nraw",
    b"",
];

#[test]
fn an_answer_without_one_reading_is_502() {
    let mut wrong = Vec::new();
    for bad in BAD {
        let tap = Tap::start(bad, false);
        let gateway = Gateway::before(&[tap.address], "");
        let (answer, _) =
            say(gateway.front, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", DEADLINE);
        if !answer.starts_with("HTTP/1.1 502 ") || answer.matches("HTTP/1.").count() != 1 {
            wrong.push(format!("{:?}: {answer:?}", String::from_utf8_lossy(bad)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Answers that break off or go wrong on their way: the client's connection ends, and what it got is no
/// whole answer.
const BROKEN: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokX\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ng\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nok\r\n0\r\n\r\n",
];

#[test]
fn an_answer_that_breaks_off_is_not_whole_for_the_client() {
    for bad in BROKEN {
        let tap = Tap::start(bad, false);
        let gateway = Gateway::before(&[tap.address], "");
        let (answer, closed) = say(gateway.front, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", DEADLINE);
        let told = String::from_utf8_lossy(bad);
        assert!(closed && !answer.contains("\r\n0\r\n\r\n"), "{told:?}: {answer:?}");
        assert!(answer.starts_with("HTTP/1.1 502 ") || answer.contains("200 OK"), "{told:?}: {answer:?}");
    }
}

#[test]
fn fields_of_one_connection_are_not_passed_on_to_the_client() {
    let tap = Tap::start(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Inner, close\r\nX-Inner: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nX-Kept: 2\r\n\r\nok",
        false,
    );
    let gateway = Gateway::before(&[tap.address], "");
    let (answer, _) = say(gateway.front, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", DEADLINE);
    let answer = answer.to_ascii_lowercase();
    for gone in ["x-inner", "keep-alive: timeout", "proxy-connection"] {
        assert!(!answer.contains(gone), "{gone} is in {answer}");
    }
    assert!(answer.contains("x-kept: 2\r\n"), "{answer}");
}

#[test]
fn an_old_client_gets_no_chunks() {
    let tap = Tap::start(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true);
    let gateway = Gateway::before(&[tap.address], "");
    let (answer, closed) = say(gateway.front, b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", DEADLINE);
    assert!(closed && answer.ends_with("\r\n\r\nok"), "{answer:?}");
    assert!(!answer.to_ascii_lowercase().contains("transfer-encoding"), "{answer:?}");
}

#[test]
fn equal_lengths_are_one_and_interim_answers_come_first() {
    for (said, ends) in [
        (&b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"[..], "ok"),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "ok",
        ),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "\r\n\r\n"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", "\r\n\r\n"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil it closes", "until it closes\r\n0\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", "ok"),
    ] {
        let tap = Tap::start(said, false);
        let gateway = Gateway::before(&[tap.address], "");
        let (answer, closed) =
            say(gateway.front, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", DEADLINE);
        let told = String::from_utf8_lossy(said);
        assert!(closed && answer.ends_with(ends), "{told:?}: {answer:?}");
    }
}

#[test]
fn bytes_that_a_server_says_unasked_reach_no_other_client() {
    let tap = Tap::start(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
        true,
    );
    let gateway = Gateway::before(&[tap.address], "");
    for _ in 0..10 {
        let (answer, _) =
            say(gateway.front, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", DEADLINE);
        assert!(!answer.contains("forged"), "{answer}");
    }
}

#[test]
fn a_body_of_chunks_arrives_whole_however_it_is_cut() {
    let said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n \r\n5\r\nworld\r\n0\r\n\r\n";
    let head = said.windows(4).position(|end| end == b"\r\n\r\n").expect("it ends") + 4;
    let server = Server::start(move |request, stream| {
        let cut: usize = request.split(['/', ' ']).nth(2)?.parse().ok()?;
        let (first, rest) = said.split_at(head + cut);
        stream.set_nodelay(true).ok()?;
        stream.write_all(first).ok()?;
        pause(Duration::from_millis(20));
        Some(rest.to_vec())
    });
    let gateway = Gateway::before(&[server.address], "h2c = true");
    for cut in 0..said.len() - head {
        let answer = gateway.get(&format!("/{cut}"));
        let data: Vec<&str> = answer.split("\r\n\r\n").nth(1).unwrap_or_default().split("\r\n").collect();
        let body: String = data.iter().skip(1).step_by(2).copied().collect();
        assert!(body == "hello world" && answer.ends_with("\r\n0\r\n\r\n"), "cut at {cut}: {answer:?}");
        let mut stream = connected(&gateway, &[]);
        let path = format!("/{cut}");
        let fields: [(&[u8], &[u8]); 4] =
            [(b":method", b"GET"), (b":scheme", b"http"), (b":path", path.as_bytes()), (b":authority", b"a")];
        stream.write_all(&head_of(1, END_STREAM, &block(&fields))).expect("sent");
        let told = told(&mut stream, 1);
        assert_eq!(
            (told.body.as_slice(), told.is_whole),
            (&b"hello world"[..], true),
            "cut at {cut} over HTTP/2"
        );
    }
}
