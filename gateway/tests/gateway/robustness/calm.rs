//! What clients of HTTP/2 send in good faith is no flood, however much it is.

use super::wire::{
    ACK, DATA, END_BOTH, END_STREAM, GET, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use super::wire::{connected, frame, next as next_frame};
use crate::harness::{DEADLINE, Gateway, Server, ok, pair, wait_until};
use crate::programs::{installed, output};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

/// Reads until a frame of this kind, and returns its payload.
fn next(stream: &mut TcpStream, kind: u8, flags: u8) -> Vec<u8> {
    loop {
        let (of, with, _, payload) = next_frame(stream).expect("the connection goes on");
        if (of, with) == (kind, flags) {
            return payload;
        }
    }
}

#[test]
fn a_browser_that_orders_and_gives_up_many_requests_is_served_on() {
    // Nothing is answered before the user has gone on to the next page.
    let (pages, requests) = (5_u32, 60_u32);
    let server = Server::start(move |_, stream| {
        let _ = stream.set_read_timeout(Some(DEADLINE));
        let _ = stream.read(&mut [0]);
        None
    });
    let last = Server::named("s1");
    let routes = "[[frontend.route]]\npath = \"/last\"\nbackend = \"last\"";
    let more = format!(
        "[[backend]]\nname = \"last\"\nserver = [{{ name = \"s1\", address = \"{}\" }}]",
        last.address
    );
    let gateway = Gateway::of_backend_before(
        &format!("h2c = true\n{routes}"),
        &format!("server = [{{ name = \"s1\", address = \"{}\" }}]\n{more}", server.address),
    );
    let mut stream = connected(&gateway, &[]);
    let id = |page: u32, number: u32| 2 * (page * requests + number) + 1;
    for page in 0..pages {
        let ids = || (0..requests).map(|number| id(page, number));
        let order = ids().flat_map(|id| {
            let priorities = frame(PRIORITY, 0, id, &[0, 0, 0, 0, 16]).repeat(3);
            [frame(HEADERS, END_BOTH, id, GET), priorities].concat()
        });
        stream.write_all(&order.collect::<Vec<u8>>()).expect("sent");
        wait_until("the server has them", || server.heads().len() >= ((page + 1) * requests) as usize);
        let give_up = ids().flat_map(|id| frame(RST_STREAM, 0, id, &[0, 0, 0, 8]));
        stream.write_all(&give_up.collect::<Vec<u8>>()).expect("sent");
        stream.write_all(&frame(PING, 0, 0, b"measured")).expect("sent");
        assert_eq!(next(&mut stream, PING, ACK), b"measured");
    }
    let block = [b"\x82\x86\x41\x01a\x04\x05".as_slice(), b"/last"].concat();
    stream.write_all(&frame(HEADERS, END_BOTH, id(pages, 0), &block)).expect("sent");
    assert_eq!(next(&mut stream, DATA, END_STREAM), b"s1");
}

#[test]
fn a_client_that_pings_and_opens_windows_with_each_piece_that_it_gets_is_served_on() {
    let body = "x".repeat(4 << 20);
    let server = Server::start(move |_, _| Some(ok(&body)));
    let gateway = Gateway::before(&[server.address], "h2c = true");
    let mut stream = connected(&gateway, &[]);
    stream.write_all(&frame(HEADERS, END_BOTH, 1, GET)).expect("sent");
    let mut got = 0;
    while got < 4 << 20 {
        let (kind, _, _, payload) = next_frame(&mut stream).expect("the connection goes on");
        if kind != DATA || payload.is_empty() {
            continue;
        }
        got += payload.len();
        // Byte by byte would be a flood; halves are not.
        let (one, other) = (payload.len().div_ceil(2) as u32, payload.len() as u32 / 2);
        for room in [one, other].into_iter().filter(|room| *room > 0) {
            for id in [0, 1] {
                stream.write_all(&frame(WINDOW_UPDATE, 0, id, &room.to_be_bytes())).expect("sent");
            }
        }
        stream.write_all(&frame(PING, 0, 0, &[0; 8])).expect("sent");
    }
    assert_eq!(got, 4 << 20);
}

#[test]
fn a_client_that_is_idle_and_pings_stays_connected() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], "h2c = true");
    let mut stream = connected(&gateway, &[]);
    stream.write_all(&frame(HEADERS, END_BOTH, 1, GET)).expect("sent");
    assert_eq!(next(&mut stream, DATA, END_STREAM), b"s1");
    stream.write_all(&frame(SETTINGS, ACK, 0, &[])).expect("sent");
    for _ in 0..80 {
        stream.write_all(&frame(PING, 0, 0, b"are you?")).expect("sent");
        assert_eq!(next(&mut stream, PING, ACK), b"are you?");
    }
    stream.write_all(&frame(HEADERS, END_BOTH, 3, GET)).expect("sent");
    assert_eq!(next(&mut stream, DATA, END_STREAM), b"s1");
}

#[test]
fn nghttp_and_h2load_with_many_streams_lose_nothing() {
    if !installed("nghttp") || !installed("h2load") {
        return;
    }
    let body = "y".repeat(100_000);
    let server = Server::start(move |_, _| Some(ok(&body)));
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = pair(folder.path(), "localhost");
    let tls = format!("tls = {{ cert = \"{}\", key = \"{}\" }}", cert.display(), key.display());
    let gateway = Gateway::before(&[server.address], &tls);
    let url = format!("https://{}/", gateway.front);
    // A small window, so that it is opened again and again.
    let load = ["-n", "2000", "-c", "2", "-m", "100", "-w", "14", "-W", "16", &url];
    let said = output(Command::new("h2load").args(load));
    assert!(said.contains("2000 succeeded, 0 failed, 0 errored"), "{said}");
    let said = output(Command::new("nghttp").args(["-n", "-s", "-m", "200", "-w", "14", &url]));
    assert_eq!(said.matches(" 200 ").count(), 200, "{said}");
    wait_until("they have gone", || gateway.metric("headgate_connections{frontend=\"fe\"}") == 0.0);
    assert!(!gateway.get_admin("/metrics").contains("reason=\"h2_"));
}
