//! Servers that fail, limits that hold, clients that keep their server.

use crate::harness::{Gateway, Server, free_address, ok, read_answer, wait_until};
use std::io::{BufReader, Read, Write};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

#[test]
fn a_dead_server_costs_no_request() {
    let server = Server::named("alive");
    let gateway = Gateway::before(&[free_address(), server.address], "");
    for _ in 0..20 {
        let answer = gateway.get("/");
        assert!(answer.ends_with("alive"), "{answer}");
    }
    assert!(gateway.metric("headgate_retries_total{backend=\"be\",reason=\"conn-failure\"}") >= 1.0);
    assert!(
        gateway.log_lines(20).iter().any(|line| line.contains("/+1 0/0 ")),
        "the log says it was tried again"
    );
}

#[test]
fn with_no_server_left_it_says_503() {
    let gateway = Gateway::before(&[free_address()], "");
    assert!(gateway.get("/").starts_with("HTTP/1.1 503"));
    assert!(gateway.log_lines(1)[0].contains("/0/-1/-1/"), "{:?}", gateway.log_lines(1));
    assert!(gateway.log_lines(1)[0].contains(" 503 ") && gateway.log_lines(1)[0].contains(" SC-- "));
    assert!(gateway.get_admin("/health").starts_with("HTTP/1.1 200"), "that is no fault of the gateway");
}

#[test]
fn a_server_that_answers_garbage_or_nothing_or_too_late_gives_a_clean_error() {
    for (kind, status, flags) in
        [("garbage", "502", " SH-- "), ("close", "502", " SH-- "), ("silence", "504", " sH-- ")]
    {
        let server = Server::start(move |_, stream| match kind {
            "garbage" => Some(b"nonsense\r\n\r\n".to_vec()),
            "close" => None,
            _ => {
                // Holds the connection open until the gateway gives up.
                let _ = stream.read(&mut [0]);
                None
            }
        });
        let gateway = Gateway::before(&[server.address], "");
        let answer = gateway.get("/");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{kind}: {answer}");
        let line = &gateway.log_lines(1)[0];
        assert!(line.contains(flags) && line.contains(&format!(" {status} ")), "{kind}: {line}");
        assert_eq!(server.heads().len(), 1, "{kind}: what a server has seen is not sent again");
    }
}

#[test]
fn an_answer_that_breaks_off_is_cut_off() {
    let server = Server::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        None
    });
    let gateway = Gateway::before(&[server.address], "");
    let answer = gateway.get("/");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("half"), "{answer}");
    assert!(gateway.log_lines(1)[0].contains(" SD-- "), "{:?}", gateway.log_lines(1));
}

#[test]
fn requests_at_once_are_limited_and_given_back() {
    let (release, released) = sync_channel::<()>(16);
    let released = Arc::new(Mutex::new(released));
    let server = Server::start(move |_, _| {
        // One message lets one request go on.
        let _ = released.lock().expect("no test panicked here").recv();
        Some(ok("done"))
    });
    let limit = "limit = [{ table = \"clients\", conn_cur = 3 }]";
    let gateway = Gateway::before(&[server.address], limit);
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut running: Vec<_> = (0..3).map(|_| gateway.connect()).collect();
    running.iter_mut().for_each(|stream| stream.write_all(request).expect("sent"));
    wait_until("three run", || server.heads().len() == 3);
    for _ in 0..3 {
        let refused = gateway.raw(request);
        assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("Retry-After: 1\r\n"), "{refused}");
    }
    // A client that goes away gives its place back, too.
    drop(running.pop());
    (0..3).for_each(|_| release.send(()).expect("the server waits"));
    for mut stream in running {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.ends_with("done"), "{answer}");
    }
    wait_until("nothing runs", || gateway.ctl(&["status"]).contains("0 requests running"));
    release.send(()).expect("the server waits");
    assert!(gateway.get("/").ends_with("done"), "all places are free again");
    assert_eq!(gateway.metric("headgate_refused_total{frontend=\"fe\",reason=\"conn_cur\"}"), 3.0);
}

#[test]
fn a_rate_limit_lets_through_what_it_says_over_all_workers() {
    let server = Server::named("s1");
    let limit = "limit = [{ table = \"clients\", http_req_rate = 25, period = \"60s\" }]";
    let gateway = Gateway::before(&[server.address], limit);
    let answers: Vec<String> = (0..60).map(|_| gateway.get("/")).collect();
    assert_eq!(answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 200")).count(), 25);
    let refused: Vec<_> = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 429")).collect();
    assert_eq!(refused.len(), 35);
    assert!(refused.iter().all(|answer| answer.contains("\r\nRetry-After: ")));
    assert_eq!(server.heads().len(), 25);
    let lines = gateway.log_lines(60);
    assert_eq!(
        lines.iter().filter(|line| line.contains("/-1/-1/-1/") && line.contains(" PR-- ")).count(),
        35
    );
}

#[test]
fn a_client_keeps_its_server() {
    let servers = [Server::named("one"), Server::named("two"), Server::named("three")];
    let addresses = servers.each_ref().map(|server| server.address);
    let gateway = Gateway::start(
        &"node = \"gw\"\nworkers = 4\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n\
         [log]\nto = \"none\"\n[[stick_table]]\nname = \"be\"\n\
         [[frontend]]\nname = \"fe\"\nbind = [\"FRONT\"]\ndefault_backend = \"be\"\n\
         [[backend]]\nname = \"be\"\nstick = \"be\"\n\
         server = [{ name = \"s1\", address = \"S0\" }, { name = \"s2\", address = \"S1\" }, { name = \"s3\", address = \"S2\" }]\n"
            .replace("S0", &addresses[0].to_string())
            .replace("S1", &addresses[1].to_string())
            .replace("S2", &addresses[2].to_string()),
    );
    let answers: std::collections::HashSet<String> =
        (0..20).map(|_| gateway.get("/").rsplit("\r\n").next().unwrap_or_default().to_owned()).collect();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[test]
fn turns_are_even_over_all_workers() {
    let servers = [Server::named("one"), Server::named("two"), Server::named("three")];
    let gateway = Gateway::before(&servers.each_ref().map(|server| server.address), "");
    (0..30).for_each(|_| drop(gateway.get("/")));
    assert_eq!(servers.each_ref().map(|server| server.heads().len()), [10, 10, 10]);
}

#[test]
fn a_connection_serves_many_requests_and_so_does_the_one_behind_it() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], "");
    let mut stream = gateway.connect();
    let mut read = BufReader::new(stream.try_clone().expect("a second handle"));
    for _ in 0..10 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        let answer = read_answer(&mut read).expect("an answer");
        assert!(answer.ends_with("s1"), "{answer}");
    }
    assert_eq!(server.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}
