//! Places on servers are limited, over all workers, and who waits for one is served in turn.

use crate::harness::{Gateway, Server, ok, wait_until};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

const QUEUE: &str = "headgate_queue{backend=\"be\"}";

/// Four workers before a backend with `keys` and these servers, one request at once on each.
fn gateway(servers: &[SocketAddr], keys: &str) -> Gateway {
    let server =
        |(place, address)| format!("{{ name = \"s{place}\", address = \"{address}\", maxconn = 1 }}");
    let servers: Vec<String> = servers.iter().enumerate().map(server).collect();
    Gateway::start(&format!(
        "node = \"gw\"\nworkers = 4\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n\
         [log]\nto = \"FOLDER/access.log\"\n[[stick_table]]\nname = \"clients\"\n\
         [[frontend]]\nname = \"fe\"\nbind = [\"FRONT\"]\ndefault_backend = \"be\"\n\
         [[backend]]\nname = \"be\"\n{keys}\nserver = [{}]\n",
        servers.join(", ")
    ))
}

/// A server that answers one request for each message.
fn held() -> (Server, SyncSender<()>) {
    let (release, released) = sync_channel::<()>(64);
    let released = Mutex::new(released);
    let server = Server::start(move |_, _| {
        let _ = released.lock().expect("no test panicked here").recv();
        Some(ok("done"))
    });
    (server, release)
}

fn send(gateway: &Gateway, path: &str) -> TcpStream {
    let mut stream = gateway.connect();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    stream
}

fn answer(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn who_waits_is_served_in_turn_whichever_worker_it_is_on() {
    let (server, release) = held();
    let gateway = gateway(&[server.address], "queue_timeout = \"20s\"");
    let mut clients = vec![send(&gateway, "/0")];
    wait_until("the first runs", || server.heads().len() == 1);
    for waiting in 1..=12 {
        clients.push(send(&gateway, &format!("/{waiting}")));
        wait_until("it waits", || gateway.metric(QUEUE) == f64::from(waiting));
    }
    assert_eq!(server.heads().len(), 1, "one at once");
    for client in clients {
        release.send(()).expect("the server waits");
        assert!(answer(client).ends_with("done"));
    }
    for (turn, head) in server.heads().iter().enumerate() {
        assert!(head.starts_with(&format!("GET /{turn} ")), "number {turn}: {head}");
    }
    let lines = gateway.log_lines(13);
    // Each worker writes its lines by itself.
    for ended in [" 0/0 \"GET /0 HTTP/1.1\"", " 0/1 \"GET /1 HTTP/1.1\"", " 0/12 \"GET /12 HTTP/1.1\""] {
        assert!(lines.iter().any(|line| line.contains(" be/s0 ") && line.ends_with(ended)), "{lines:?}");
    }
    assert_eq!(gateway.metric("headgate_queued_total{backend=\"be\"}"), 12.0);
}

#[test]
fn a_wait_ends_with_503_when_it_is_too_long_or_the_line_is() {
    let (server, release) = held();
    let gateway = gateway(&[server.address], "queue_timeout = \"400ms\"\nmax_queue = 1");
    let running = send(&gateway, "/running");
    wait_until("it runs", || server.heads().len() == 1);
    let waiting = send(&gateway, "/waiting");
    wait_until("it waits", || gateway.metric(QUEUE) == 1.0);
    assert!(gateway.get("/full").starts_with("HTTP/1.1 503"));
    assert!(answer(waiting).starts_with("HTTP/1.1 503"));
    release.send(()).expect("the server waits");
    assert!(answer(running).ends_with("done"));
    assert_eq!(server.heads().len(), 1);

    let lines = gateway.log_lines(3);
    let line = |path: &str| lines.iter().find(|line| line.contains(path)).expect("it is logged");
    assert!(line("/full").contains(" be/<NOSRV> ") && line("/full").contains("/-1/-1/-1/"), "{lines:?}");
    assert!(line("/full").contains(" 503 ") && line("/full").contains(" SQ-- "), "{lines:?}");
    let waited = line("/waiting").split(" be/<NOSRV> ").nth(1).and_then(|rest| rest.split('/').nth(1));
    assert!(waited.is_some_and(|waited| waited.parse().is_ok_and(|waited: u64| waited >= 400)), "{lines:?}");
    assert!(line("/waiting").contains(" sQ-- "), "{lines:?}");
    assert!(line("/waiting").contains(" 0/1 \""), "{lines:?}");
    for reason in ["queue_full", "queue_timeout"] {
        let metric = format!("headgate_refused_total{{frontend=\"fe\",reason=\"{reason}\"}}");
        assert_eq!(gateway.metric(&metric), 1.0, "{reason}");
    }
}

#[test]
fn a_client_that_goes_away_leaves_the_line() {
    let (server, release) = held();
    let gateway = gateway(&[server.address], "queue_timeout = \"20s\"");
    let running = send(&gateway, "/running");
    wait_until("it runs", || server.heads().len() == 1);
    let leaves = send(&gateway, "/leaves");
    wait_until("it waits", || gateway.metric(QUEUE) == 1.0);
    let stays = send(&gateway, "/stays");
    wait_until("it waits", || gateway.metric(QUEUE) == 2.0);
    drop(leaves);
    wait_until("it has left", || gateway.metric(QUEUE) == 1.0);
    (0..2).for_each(|_| release.send(()).expect("the server waits"));
    assert!(answer(running).ends_with("done") && answer(stays).ends_with("done"));
    assert!(server.heads().iter().all(|head| !head.contains("/leaves")));
    let lines = gateway.log_lines(3);
    assert!(lines.iter().any(|line| line.contains(" CQ-- ") && line.contains("/leaves")), "{lines:?}");
}

#[test]
fn a_client_waits_for_the_server_that_it_sticks_to() {
    let (one, release_one) = held();
    let (two, release_two) = held();
    let gateway = gateway(&[one.address, two.address], "stick = \"clients\"\nqueue_timeout = \"20s\"");
    let first = send(&gateway, "/first");
    wait_until("it runs", || one.heads().len() + two.heads().len() == 1);
    let (server, release) = if one.heads().is_empty() { (&two, release_two) } else { (&one, release_one) };
    let second = send(&gateway, "/second");
    wait_until("it waits", || gateway.metric(QUEUE) == 1.0);
    (0..2).for_each(|_| release.send(()).expect("the server waits"));
    assert!(answer(first).ends_with("done") && answer(second).ends_with("done"));
    assert_eq!(server.heads().len(), 2);
    let lines = gateway.log_lines(2);
    assert!(lines.iter().any(|line| line.contains(" 1/0 \"GET /second ")), "{lines:?}");
}

#[test]
fn a_server_gets_more_at_once_when_more_is_asked_for() {
    let (server, release) = held();
    let gateway = Gateway::of_backend(&format!(
        "fullconn = 8\nqueue_timeout = \"20s\"\n\
         server = [{{ name = \"s1\", address = \"{}\", minconn = 1, maxconn = 4 }}]",
        server.address
    ));
    let mut clients = Vec::new();
    // Of eight that are full, the fourth that comes lets half of `maxconn` run, the sixth three, the eighth all.
    for (come, runs) in (1u32..).zip([1, 1, 1, 2, 2, 3, 3, 4, 4, 4]) {
        clients.push(send(&gateway, "/"));
        let is_so =
            || gateway.metric(QUEUE) == f64::from(come - runs) && server.heads().len() == runs as usize;
        wait_until("they run or wait", is_so);
    }
    clients.iter().for_each(|_| release.send(()).expect("the server waits"));
    assert!(clients.into_iter().all(|client| answer(client).ends_with("done")));
}

#[test]
fn nothing_is_lost_when_many_come_and_some_go() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (inside, seen) = (Arc::clone(&now), Arc::clone(&most));
    let server = Server::start(move |head, _| {
        // A server does not see at once that a client has gone, and so that its place is free.
        if head.starts_with("GET /stays ") {
            seen.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // Others come in between.
            std::thread::yield_now();
            inside.fetch_sub(1, Ordering::SeqCst);
        }
        Some(ok("done"))
    });
    let gateway = gateway(&[server.address, server.address], "maxconn = 1\nqueue_timeout = \"20s\"");
    std::thread::scope(|scope| {
        for client in 0..8 {
            let gateway = &gateway;
            scope.spawn(move || {
                for turn in 0..40 {
                    if (client + turn) % 5 == 0 {
                        drop(send(gateway, "/leaves"));
                        continue;
                    }
                    let answer = answer(send(gateway, "/stays"));
                    assert!(answer.ends_with("done"), "{answer}");
                }
            });
        }
    });
    wait_until("nothing runs", || gateway.ctl(&["status"]).contains(" 0 requests running"));
    assert_eq!(gateway.metric(QUEUE), 0.0);
    assert_eq!(most.load(Ordering::SeqCst), 1, "the backend's maxconn holds over all workers");
    assert!(gateway.get("/").ends_with("done"), "its place is free again");
}
