//! WebSocket over HTTP/1.1 (RFC 6455), with the handshake of its section 1.3.

use crate::harness::{DEADLINE, Gateway, Server};
use std::io::{Read, Write};
use std::time::Duration;

#[test]
fn a_websocket_passes_both_ways_until_it_is_closed() {
    let server = Server::start(|head, stream| {
        assert!(head.contains("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), "{head}");
        stream
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x05hello",
            )
            .ok()?;
        // Every masked frame comes back as it is.
        let mut frame = [0; 11];
        while stream.read_exact(&mut frame).is_ok() {
            stream.write_all(&frame).ok()?;
        }
        None
    });
    let gateway = Gateway::before(&[server.address], "client_timeout = \"300ms\"");
    let mut stream = gateway.connect();
    stream
        .write_all(
            b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        )
        .expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\x81\x05hello") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error} after {head:?}"));
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    assert!(text.starts_with("http/1.1 101 ") && text.contains("upgrade: websocket\r\n"), "{text}");
    assert!(text.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{text}");
    let frame = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    for _ in 0..3 {
        stream.write_all(frame).expect("sent");
        let mut echo = [0; 11];
        stream.read_exact(&mut echo).expect("the frame comes back");
        assert_eq!(&echo, frame);
    }
    drop(stream);
    assert!(gateway.log_lines(1)[0].contains(" 101 "), "{:?}", gateway.log_lines(1));
}

#[test]
fn a_silent_tunnel_lives_as_long_as_its_own_timeout() {
    let server = Server::start(|head, stream| {
        if head.contains("/late") {
            let _ = stream.read(&mut [0]);
            return None;
        }
        stream
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            )
            .ok()?;
        let mut byte = [0];
        while stream.read_exact(&mut byte).is_ok() {
            stream.write_all(&byte).ok()?;
        }
        None
    });
    let gateway = Gateway::of_backend_before(
        "client_timeout = \"200ms\"\n[[frontend.rule]]\nif = { path = \"/brief\" }\nset_timeout = { tunnel = \"400ms\" }",
        &format!(
            "server_timeout = \"300ms\"\ntunnel_timeout = \"2s\"\nserver = [{{ name = \"s1\", address = \"{}\" }}]",
            server.address
        ),
    );
    let handshake = |path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
    };
    let mut stream = gateway.connect();
    stream.write_all(handshake("/").as_bytes()).expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the server switches");
        head.push(byte[0]);
    }
    // Twice as long as either side could be silent in a request.
    stream.set_read_timeout(Some(Duration::from_millis(600))).expect("a timeout");
    let silence = stream.read(&mut [0]).expect_err("nothing comes, and it stays open");
    assert_eq!(silence.kind(), std::io::ErrorKind::WouldBlock);
    stream.write_all(b"x").expect("sent");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let mut byte = [0];
    stream.read_exact(&mut byte).expect("it comes back");
    assert_eq!(byte, *b"x");
    assert_eq!(stream.read(&mut byte).ok(), Some(0), "in the end it is closed");
    let begun = std::time::SystemTime::now();
    let brief = gateway.raw(handshake("/brief").as_bytes());
    assert!(brief.starts_with("HTTP/1.1 101"), "{brief}");
    let took = begun.elapsed().expect("clocks go on");
    assert!(took < Duration::from_millis(1900), "a rule gives a tunnel another time: {took:?}");
    let late = gateway.raw(handshake("/late").as_bytes());
    assert!(late.starts_with("HTTP/1.1 504"), "who does not switch in time is late: {late}");
}
