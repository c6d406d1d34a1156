//! What a peer may say without harm to this side.

use super::{Node, addresses, servers};
use crate::harness::{Gateway, connect, wait_until};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

fn gateway(bind: SocketAddr, peer: SocketAddr, servers: &[SocketAddr]) -> Gateway {
    let node = Node {
        local: "gw",
        bind,
        peers: &[("evil", peer)],
        admin: "",
        section: "",
        frontend: "limit = [{ table = \"t\", http_req_rate = 1000, period = \"10s\" }]",
        tables: "[[stick_table]]\nname = \"t\"\npeers = \"lab\"\n",
        stick: "",
    };
    node.start(servers)
}

/// What comes back, until the connection is closed.
fn answer(bind: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(bind);
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// A session that stands.
fn session(bind: SocketAddr) -> TcpStream {
    let mut stream = connect(bind);
    stream.write_all(b"HAProxyS 2.1\ngw\nevil 1 1\n").expect("it listens");
    let mut status = [0; 4];
    stream.read_exact(&mut status).expect("a status");
    assert_eq!(&status, b"200\n");
    stream
}

#[test]
fn who_is_no_peer_is_told_so_as_haproxy_tells_it() {
    let [one, _] = servers();
    let [bind, peer] = addresses();
    let _gateway = gateway(bind, peer, &[one.address]);
    assert_eq!(answer(bind, b"HAProxyX 2.1\ngw\nevil 1 1\n"), b"501\n");
    assert_eq!(answer(bind, b"HAProxyS 3.0\ngw\nevil 1 1\n"), b"502\n");
    assert_eq!(answer(bind, b"HAProxyS 2.1\nother\nevil 1 1\n"), b"503\n");
    assert_eq!(answer(bind, b"HAProxyS 2.1\ngw\nnobody 1 1\n"), b"504\n");
    assert_eq!(answer(bind, b"HAProxyS 2.1\ngw\nevil\n"), b"501\n");
    assert_eq!(answer(bind, &[b'x'; 4096]), b"501\n");
}

#[test]
fn garbage_ends_a_session_and_nothing_else() {
    let [one, _] = servers();
    let [bind, peer] = addresses();
    let gateway = gateway(bind, peer, &[one.address]);
    let broken: [&[u8]; 5] = [
        &[255; 64],
        &[10, 0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[10, 0x82, 3, 1, 0xef, 1],
        // A definition of the table, and an update that is not whole.
        &[10, 0x82, 9, 1, 1, b't', 5, 16, 0xf4, 0x40, 0, 0, 10, 0x80, 3, 0, 0, 0],
        &[0x16, 3, 1, 2, 0, 1, 0, 255, 255, 255],
    ];
    for (number, bytes) in broken.into_iter().enumerate() {
        let mut stream = session(bind);
        stream.write_all(bytes).expect("it listens");
        // It may also wait for more, and then take the silence for death.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(gateway.get("/").contains("200 OK"), "{number}");
    }
    let mut unknown = session(bind);
    unknown.write_all(&[77, 3, 88, 0x91, 2, 1, 1, 10, 0x80, 5, 0, 0, 0, 1, 9]).expect("it listens");
    wait_until("it lives on", || gateway.metric("headgate_peer_up{peer=\"evil\"}") == 1.0);
    assert!(gateway.get("/").contains("200 OK"));
}

#[test]
fn a_peer_that_takes_nothing_costs_a_bounded_amount_and_no_request_waits() {
    let [one, _] = servers();
    let [bind, peer] = addresses();
    let gateway = gateway(bind, peer, &[one.address]);
    let mut stalls = session(bind);
    stalls.write_all(&[0, 0]).expect("it listens");
    for _ in 0..50 {
        assert!(gateway.get("/").contains("200 OK"));
    }
    wait_until("its silence is noticed", || gateway.metric("headgate_peer_up{peer=\"evil\"}") == 0.0);
    assert!(gateway.metric("headgate_peer_faults_total{peer=\"evil\"}") >= 1.0);
}
