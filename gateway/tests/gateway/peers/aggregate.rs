//! A real HAProxy enforces a limit on what Headgate nodes have counted together.

use super::{Node, addresses};
use crate::daemons::{Running, program};
use crate::harness::{Gateway, Server, connect, exchange, ok, pause, wait_until, write};
use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const NAMES: [&str; 3] = ["gw1", "gw2", "hap"];

fn start(place: usize, binds: &[SocketAddr; 3], servers: &[SocketAddr]) -> Gateway {
    let peers = [0, 1, 2].map(|place| (NAMES[place], binds[place]));
    let node = Node {
        local: NAMES[place],
        bind: binds[place],
        peers: &peers,
        admin: "",
        section: "",
        frontend: "limit = [{ table = \"clients\", http_req_rate = 1000, conn_cur = 1000, period = \"60s\", scope = \"cluster\" }]",
        tables: "[[stick_table]]\nname = \"clients\"\npeers = \"lab\"\nagg = true\n",
        stick: "",
    };
    node.start(servers)
}

fn haproxy(
    folder: &std::path::Path,
    front: SocketAddr,
    binds: &[SocketAddr; 3],
    server: SocketAddr,
) -> Option<Running> {
    let program = program("haproxy")?;
    let [one, two, own] = binds;
    let config = format!(
        "global\n localpeer hap\n log stdout format raw local0\n\
         defaults\n mode http\n log global\n timeout client 5s\n timeout server 5s\n timeout connect 2s\n\
         peers lab\n peer hap {own}\n peer gw1 {one}\n peer gw2 {two}\n\
         backend clients.agg\n stick-table type ipv6 size 1k expire 5m store conn_cur,http_req_rate(60s),gpt0 peers lab\n\
         frontend fe\n bind {front}\n http-request deny deny_status 403 if {{ src,table_gpt0(clients.agg) ge 2 }}\n\
         http-request deny deny_status 429 if {{ src,table_http_req_rate(clients.agg) ge 10 }}\n\
         default_backend be\n\
         backend be\n server s1 {server}\n"
    );
    let file = write(folder, "haproxy.cfg", &config);
    let log = std::fs::File::create(folder.join("haproxy.log")).expect("a file");
    let errors = log.try_clone().expect("a second handle");
    Some(Running::start(Command::new(program).args(["-db", "-f"]).arg(file).stdout(log).stderr(errors)))
}

#[test]
fn a_haproxy_denies_by_the_sum_of_what_two_nodes_have_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let release = Arc::new(AtomicBool::new(false));
    let released = Arc::clone(&release);
    let s1 = Server::start(move |head, _| {
        while head.starts_with("GET /held") && !released.load(Ordering::SeqCst) {
            pause(Duration::from_millis(10));
        }
        Some(ok("s1"))
    });
    let binds = addresses();
    let [front] = addresses();
    let Some(haproxy) = haproxy(folder.path(), front, &binds, s1.address) else { return };
    let nodes = [0, 1].map(|place| start(place, &binds, &[s1.address]));
    wait_until("all hear each other", || {
        nodes.iter().all(|node| node.metric("headgate_cluster_nodes_heard") == 3.0)
    });
    let asks = || exchange(front, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    wait_until("haproxy serves", || asks().contains("200 OK"));
    // One runs on each.
    let held = nodes.each_ref().map(|node| {
        let mut stream = connect(node.front);
        stream.write_all(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n").expect("it is open");
        stream
    });
    wait_until("what runs on both has reached the limit", || asks().contains(" 403 "));
    release.store(true, Ordering::SeqCst);
    wait_until("nothing runs any more", || asks().contains("200 OK"));
    drop(held);
    for node in &nodes {
        (0..3).for_each(|_| assert!(node.get("/").contains("200 OK")));
    }
    // Eight in all: a node that starts again must not be taken for more.
    assert!(asks().contains("200 OK"), "the sum is below the limit");
    assert!(nodes[0].get("/").contains("200 OK") && nodes[1].get("/").contains("200 OK"));
    wait_until("the sum of both has reached the limit", || asks().contains(" 429 "));
    drop(haproxy);
    let said =
        std::fs::read_to_string(folder.path().join("haproxy.log")).unwrap_or_default().to_ascii_lowercase();
    assert!(!said.contains("protocol") && !said.contains("error"), "{said}");
}
