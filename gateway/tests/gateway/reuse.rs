//! How many connections to a server are kept, and how often one is used.

use crate::daemons::program;
use crate::harness::{Gateway, Server, ok, read_answer, wait_until};
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A server that counts who has asked, and begins to answer only when so many have.
fn waits_for(all: usize) -> (Server, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let have_asked = Arc::clone(&asked);
    let server = Server::start(move |_, _| {
        have_asked.fetch_add(1, Ordering::SeqCst);
        wait_until("all have asked", || have_asked.load(Ordering::SeqCst) >= all);
        Some(ok("well"))
    });
    (server, asked)
}

fn gateway(server: &Server, keys: &str) -> Gateway {
    Gateway::of_backend(&format!("server = [{{ name = \"s1\", address = \"{}\", {keys} }}]", server.address))
}

fn made(server: &Server) -> usize {
    server.connections.load(Ordering::SeqCst)
}

/// So many requests, one after another, with `body`.
fn ask(gateway: &Gateway, times: usize, body: &str) {
    for _ in 0..times {
        let length = body.len();
        let head =
            format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        let head = if body.is_empty() {
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".into()
        } else {
            head
        };
        assert!(gateway.raw(format!("{head}{body}").as_bytes()).starts_with("HTTP/1.1 200"));
    }
}

#[test]
fn a_connection_is_used_again_only_as_often_as_it_may() {
    for (keys, least) in [("max_reuse = 0", 24), ("max_reuse = 2", 8), ("pool_max_conn = 0", 24)] {
        let server = Server::start(|_, _| Some(ok("well")));
        let gateway = gateway(&server, keys);
        ask(&gateway, 24, "");
        // Each of four workers has its own.
        assert!((least..=least + 3).contains(&made(&server)), "{keys}: {}", made(&server));
        let before = made(&server);
        ask(&gateway, 4, "body");
        assert!(made(&server) >= before + 4, "those of requests with bodies are not kept: {keys}");
    }
}

#[test]
fn no_more_connections_rest_than_may_over_all_workers() {
    const ALL: usize = 8;
    let Some(ss) = program("ss") else { return };
    let (server, asked) = waits_for(ALL);
    let gateway = gateway(&server, "pool_max_conn = 2");
    let clients: Vec<TcpStream> = (0..ALL)
        .map(|_| {
            let mut client = gateway.connect();
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
            client
        })
        .collect();
    wait_until("all run", || asked.load(Ordering::SeqCst) >= ALL);
    let mut clients: Vec<_> = clients.into_iter().map(BufReader::new).collect();
    clients.iter_mut().for_each(|client| assert!(read_answer(client).expect("an answer").ends_with("well")));
    let open = || {
        let ours = format!("dst {}", server.address);
        let said = Command::new(&ss).args(["-Htn", "state", "established", &ours]).output();
        String::from_utf8_lossy(&said.expect("ss runs").stdout).lines().count()
    };
    assert_eq!(made(&server), ALL);
    wait_until("all but two are closed", || open() == 2);
}

#[test]
fn what_becomes_a_tunnel_may_do_so_where_connections_are_not_kept() {
    for (backend, keys) in [("http_reuse = \"never\"", "weight = 1"), ("", "max_reuse = 0")] {
        let server = Server::start(|_, _| {
            Some(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
                    .to_vec(),
            )
        });
        let gateway = Gateway::of_backend(&format!(
            "{backend}\nserver = [{{ name = \"s1\", address = \"{}\", {keys} }}]",
            server.address
        ));
        let mut client = gateway.connect();
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            .expect("sent");
        let answer = read_answer(&mut BufReader::new(client)).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        let head = server.heads()[0].to_lowercase();
        assert!(
            head.contains("connection: upgrade\r\n") && head.contains("upgrade: websocket\r\n"),
            "{head}"
        );
    }
}

#[test]
fn what_a_server_refuses_to_make_a_tunnel_is_kept_no_longer_than_other_connections() {
    for (backend, keys) in
        [("http_reuse = \"never\"", "weight = 1"), ("", "max_reuse = 0"), ("", "pool_max_conn = 0")]
    {
        let server = Server::start(|_, _| Some(ok("no")));
        let gateway = Gateway::of_backend(&format!(
            "{backend}\nserver = [{{ name = \"s1\", address = \"{}\", {keys} }}]",
            server.address
        ));
        let mut client = BufReader::new(gateway.connect());
        for request in [
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        ] {
            client.get_mut().write_all(request.as_bytes()).expect("sent");
            let answer = read_answer(&mut client).expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        assert_eq!(made(&server), 3, "{backend} {keys}");
    }
}
