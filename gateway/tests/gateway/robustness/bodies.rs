//! Bodies of requests whose chunks are wrong: the connection is closed, and no server takes them for
//! whole.

use super::{Tap, say};
use crate::harness::{DEADLINE, Gateway};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

const BODIES: &[&[u8]] = &[
    b"\r\nhello\r\n0\r\n\r\n",
    b"\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n",
    b" 5\r\nhello\r\n0\r\n\r\n",
    b"\t5\r\nhello\r\n0\r\n\r\n",
    b"+5\r\nhello\r\n0\r\n\r\n",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"5x\r\nhello\r\n0\r\n\r\n",
    b"g\r\nhello\r\n0\r\n\r\n",
    b"5\nhello\r\n0\r\n\r\n",
    b"5\rhello\r\n0\r\n\r\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhelloX\r\n0\r\n\r\n",
    b"5\r\nhello0\r\n\r\n",
    b"5\r\nhell\r\n0\r\n\r\n",
    b"5\r\nhello\r\r\n0\r\n\r\n",
    b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    b"5;\nhello\r\n0\r\n\r\n",
    b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    b"5;a\x00\r\nhello\r\n0\r\n\r\n",
    b"5\x00\r\nhello\r\n0\r\n\r\n",
    b"5,5\r\nhello\r\n0\r\n\r\n",
    b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    b"8000000000000000\r\nhello\r\n0\r\n\r\n",
    b"00000000000000000000000000000005\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\r\n0\n\r\n",
    b"5\r\nhello\r\n0\r\n\n",
    b"5\r\nhello\r\n0\n\n",
    b"5\r\nhello\r\n0 \r\n\r\n",
    b"5\r\nhello\r\n\r\n\r\n",
    b"5\r\nhello\r\n0\r\nX\x00: a\r\n\r\n",
    b"5\r\nhello\r\n0\r\nX: a\nb\r\n\r\n",
    b"5\r\nhello\r\n0\r\nX : a\r\n\r\n",
    b"5\r\nhello\r\n0\r\n X: a\r\n\r\n",
    b"5\r\nhello\r\n0\r\nno field\r\n\r\n",
    b"5\r\nhello\r\n0\r\nX: a\r\rb\r\n\r\n",
];

#[test]
fn a_body_of_bad_chunks_is_never_whole() {
    let tap = Tap::start(b"", true);
    let gateway = Gateway::before(&[tap.address], "");
    let mut wrong = Vec::new();
    let long = [b"5;".as_slice(), &b"x".repeat(20_000), b"\r\nhello\r\n0\r\n\r\n"].concat();
    let trailers = [b"5\r\nhello\r\n0\r\n".as_slice(), &b"X: y\r\n".repeat(10_000), b"\r\n"].concat();
    for body in BODIES.iter().copied().chain([long.as_slice(), &trailers]) {
        for split in [false, true] {
            let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            let (answer, closed) = if split {
                super::say_in_two(gateway.front, head, body, DEADLINE)
            } else {
                say(gateway.front, &[head, body].concat(), DEADLINE)
            };
            let whole = tap.seen().contains("\r\n0\r\n\r\n");
            let clean = answer.is_empty() || answer.starts_with("HTTP/1.1 400 ");
            if !closed || !clean || whole {
                let body = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
                wrong.push(format!("{body:?} split {split}: {answer:?} closed {closed} whole {whole}"));
            }
            tap.forget();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_body_of_good_chunks_is_passed_on_whole() {
    let tap = Tap::start(OK, true);
    let gateway = Gateway::before(&[tap.address], "");
    for body in [
        "5\r\nhello\r\n0\r\n\r\n",
        "05\r\nhello\r\n00\r\n\r\n",
        "5;a=b;c=\"d e\"\r\nhello\r\n0;x\r\n\r\n",
        "2\r\nhe\r\n3\r\nllo\r\n0\r\nX-Sum: 1\r\n\r\n",
    ] {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{body}"
        );
        let (answer, _) = say(gateway.front, request.as_bytes(), DEADLINE);
        assert!(answer.contains("200 OK"), "{body:?}: {answer}");
        crate::harness::wait_until("the server has it all", || tap.seen().contains("0\r\n\r\n"));
        let seen = tap.seen();
        let data: String =
            seen.split("\r\n\r\n").nth(1).unwrap_or_default().split("\r\n").skip(1).step_by(2).collect();
        assert_eq!(data, "hello", "{seen:?}");
        tap.forget();
    }
}

#[test]
fn what_follows_a_body_is_no_part_of_it_and_no_request_unasked() {
    let tap = Tap::start(OK, true);
    let gateway = Gateway::before(&[tap.address], "");
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let request = format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi{smuggled}");
    let (answer, _) = say(gateway.front, request.as_bytes(), std::time::Duration::from_millis(500));
    let requests = tap.seen().matches("HTTP/1.1").count();
    // Two requests in a row are two requests: either both are answered, or the second is dropped with the connection.
    assert_eq!(requests, answer.matches("HTTP/1.1 200").count(), "{answer}");
    assert!(tap.seen().contains("hi") && requests >= 1);
}
