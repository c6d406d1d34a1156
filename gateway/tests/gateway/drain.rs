//! A drain refuses nothing, can be taken back, and ends in an exit only if the process was told to.

use crate::harness::{Gateway, Server, exchange, ok, read_answer, wait_until};
use std::io::{BufRead, BufReader, Write};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

#[test]
fn a_drain_is_said_at_once_refuses_nothing_and_can_be_taken_back() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], "");
    let mut watch = crate::harness::connect(gateway.admin);
    watch.write_all(b"GET /health/watch HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let mut lines = BufReader::new(watch).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == r#"{"state":"ready","reasons":[]}"#));

    let mut kept = gateway.connect();
    let mut kept_read = BufReader::new(kept.try_clone().expect("a second handle"));
    let mut request = || kept.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    request();
    assert!(!read_answer(&mut kept_read).expect("an answer").contains("Connection: close"));

    assert_eq!(gateway.ctl(&["drain"]), "draining\n");
    assert!(lines.any(|line| line == r#"{"state":"draining","reasons":["draining"]}"#));
    assert!(gateway.get_admin("/health").starts_with("HTTP/1.1 503"));
    assert!(gateway.get("/").contains("200 OK"), "a new connection is served");
    request();
    let answer = read_answer(&mut kept_read).expect("an answer");
    assert!(answer.contains("200 OK") && answer.contains("Connection: close"), "{answer}");

    assert_eq!(gateway.ctl(&["undrain"]), "serving\n");
    assert!(lines.any(|line| line == r#"{"state":"ready","reasons":[]}"#));
    assert!(gateway.get_admin("/health").starts_with("HTTP/1.1 200"));
}

#[test]
fn sigterm_finishes_what_runs_and_then_exits() {
    let (release, released) = sync_channel::<()>(4);
    let released = Arc::new(Mutex::new(released));
    let server = Server::start(move |_, _| {
        let _ = released.lock().expect("no test panicked here").recv();
        Some(ok("finished"))
    });
    let mut gateway = Gateway::before(&[server.address], "");
    let mut stream = gateway.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    wait_until("it runs", || server.heads().len() == 1);
    (0..20).for_each(|_| gateway.terminate());
    wait_until("it says so", || gateway.get_admin("/health").starts_with("HTTP/1.1 503"));
    let front = gateway.front;
    let late = std::thread::spawn(move || {
        exchange(front, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    });
    wait_until("a late request is served too", || server.heads().len() == 2);
    (0..2).for_each(|_| release.send(()).expect("the server waits"));
    assert!(read_answer(&mut BufReader::new(stream)).expect("an answer").ends_with("finished"));
    assert!(late.join().expect("no panic").ends_with("finished"));
    let mut status = None;
    wait_until("it exits", || {
        status = gateway.process.try_wait().expect("it is ours");
        status.is_some()
    });
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
    assert_eq!(gateway.log_lines(2).len(), 2, "the log is whole");
    assert!(!gateway.folder.path().join("gw.sock").exists());
}

#[test]
fn drain_can_wait_until_nothing_runs() {
    let server = Server::named("s1");
    let gateway = Gateway::before(&[server.address], "");
    gateway.get("/");
    assert_eq!(gateway.ctl(&["drain", "--wait", "10"]), "draining\n");
    let status: serde_json::Value = serde_json::from_str(&gateway.ctl(&["--json", "status"])).expect("JSON");
    assert_eq!((&status["lifecycle"], &status["health"]), (&"draining".into(), &"draining".into()));
}
