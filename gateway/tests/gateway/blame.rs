//! What a client or this node brings about is not held against servers, and is tried on another only where that helps.

use crate::daemons::program;
use crate::harness::{Gateway, Server, connect_from, exchange, ok, read_answer};
use crate::servers::{Nginx, body};
use crate::tcp;
use nix::sched::{CloneFlags, unshare};
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::mpsc;

const ERRORS: &str = "headgate_server_errors_total{backend=\"be\",server=\"s1\"}";
const OPEN: &str = "headgate_server_breaker_open{backend=\"be\",server=\"s1\"}";
/// A breaker that one failure would open for good.
const BREAKER: &str = "breaker = { error_limit = 1, open = \"60s\" }\nretries = 3";

fn ask(gateway: &Gateway, host: &str) -> String {
    gateway.raw(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
}

#[test]
fn a_name_that_a_client_chose_and_no_server_has_is_not_the_servers_failure() {
    let Some(nginx) = Nginx::start(false) else { return };
    let gateway = Gateway::of_backend(&format!(
        "{BREAKER}\nserver = [{{ name = \"s1\", address = \"{}\", ssl = true, ca_file = \"{}\", sni = \"req.hdr(host)\" }}]",
        nginx.tls,
        nginx.file("ca.pem")
    ));
    for _ in 0..3 {
        let answer = ask(&gateway, "other.example");
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        let answer = ask(&gateway, "api.example");
        assert!(body(&answer).starts_with("HTTP/1.1 api.example"), "{answer}");
    }
    assert_eq!((gateway.metric(ERRORS), gateway.metric(OPEN)), (0.0, 0.0));
    let line = gateway.log_lines(6).into_iter().find(|line| line.contains(" 503 ")).expect("it is logged");
    assert!(line.contains(" SC-- ") && line.contains("/0 0/0 "), "not again: {line}");
}

#[test]
fn a_name_by_which_nothing_can_be_verified_is_refused_before_a_server_is_asked() {
    let Some(nginx) = Nginx::start(false) else { return };
    // Whom this believes has not signed for the server.
    let gateway = Gateway::of_backend(&format!(
        "{BREAKER}\nserver = [{{ name = \"s1\", address = \"{}\", ssl = true, ca_file = \"{}\", sni = \"req.hdr(host)\" }}]",
        nginx.tls,
        nginx.file("other.pem")
    ));
    let none = exchange(gateway.front, b"GET / HTTP/1.0\r\n\r\n");
    let no_name = ask(&gateway, "api..example");
    for answer in [none, no_name] {
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    assert_eq!((gateway.metric(ERRORS), gateway.metric(OPEN)), (0.0, 0.0));
    assert_eq!(gateway.metric("headgate_refused_total{frontend=\"fe\",reason=\"bad_server_name\"}"), 2.0);
    assert!(gateway.log_lines(2).iter().all(|line| line.contains(" PR-- ")), "{:?}", gateway.log_lines(2));
}

#[test]
fn a_node_without_files_left_says_so_and_blames_no_server() {
    let Some(prlimit) = program("prlimit") else { return };
    let server = Server::named("well");
    let gateway = Gateway::of_backend(&format!(
        "{BREAKER}\nhttp_reuse = \"never\"\nserver = [{{ name = \"s1\", address = \"{}\" }}]",
        server.address
    ));
    let limit = |files: &str| {
        let pid = gateway.process.id().to_string();
        let set = Command::new(&prlimit).args(["--pid", &pid, &format!("--nofile={files}:")]).status();
        assert!(set.is_ok_and(|status| status.success()), "the limit is set");
    };
    let mut client = gateway.connect();
    let mut read = BufReader::new(client.try_clone().expect("a second handle"));
    let mut get = || {
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        read_answer(&mut read).unwrap_or_default()
    };
    assert!(get().ends_with("well"));
    limit("3");
    let answer = get();
    limit("1024");
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(gateway.get("/").ends_with("well"));
    assert_eq!((gateway.metric(ERRORS), gateway.metric(OPEN)), (0.0, 0.0));
    let line = gateway.log_lines(3).into_iter().find(|line| line.contains(" 503 ")).expect("it is logged");
    assert!(line.contains(" RC-- ") && line.contains("/0 0/0 "), "not again: {line}");
}

/// Runs `test` in a network of its own, if this may be done here.
fn in_a_network_of_its_own(test: impl FnOnce() + Send + 'static) {
    let Some(ip) = program("ip") else { return };
    let thread = std::thread::spawn(move || {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
            eprintln!("skipped: no network of its own without root ({error})");
            return;
        }
        let up = Command::new(ip).args(["link", "set", "lo", "up"]).status();
        assert!(up.is_ok_and(|status| status.success()), "its loopback is up");
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// From which ports connections go out in this network.
fn ports(first: u16, last: u16) {
    let range = "/proc/sys/net/ipv4/ip_local_port_range";
    std::fs::write(range, format!("{first} {last}")).expect("root may write it");
}

#[test]
fn where_no_port_is_left_to_one_server_another_is_tried() {
    in_a_network_of_its_own(|| {
        let (begin, begun) = mpsc::sync_channel(2);
        let (release, released) = mpsc::sync_channel::<()>(1);
        let released = std::sync::Mutex::new(released);
        let one = Server::start(move |_, _| {
            begin.send(()).expect("the test runs");
            let _ = released.lock().map(|released| released.recv());
            Some(ok("one"))
        });
        let other = Server::named("other");
        let gateway = Gateway::of_backend(&format!(
            "{BREAKER}\nhttp_reuse = \"never\"\nbalance = \"first\"\nserver_timeout = \"60s\"\n\
             server = [{{ name = \"s1\", address = \"{}\" }}, {{ name = \"s2\", address = \"{}\" }}]",
            one.address, other.address
        ));
        let mut clients = [(); 2].map(|()| BufReader::new(gateway.connect()));
        ports(40_000, 40_000);
        let ask = |client: &mut BufReader<TcpStream>| {
            client.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        };
        ask(&mut clients[0]);
        begun.recv().expect("it runs on the first");
        ask(&mut clients[1]);
        let answer = read_answer(&mut clients[1]).expect("an answer");
        assert!(answer.ends_with("other"), "{answer}");
        drop(release);
        assert!(read_answer(&mut clients[0]).is_some_and(|answer| answer.ends_with("one")));
        ports(40_000, 60_000);
        assert_eq!((gateway.metric(ERRORS), gateway.metric(OPEN)), (0.0, 0.0));
    });
}

#[test]
fn where_no_port_is_left_to_a_server_in_mode_tcp_another_is_tried_and_the_log_says_when_there_is_none() {
    in_a_network_of_its_own(|| {
        let gateway = tcp::gateway(
            &[tcp::echo("1"), tcp::echo("2")],
            "",
            &format!("{BREAKER}\nbalance = \"first\"\nconnect_timeout = \"60s\""),
        );
        ports(40_000, 40_000);
        let said = |client: &mut TcpStream| {
            let mut name = [0];
            client.read_exact(&mut name).map(|()| name[0])
        };
        let client = |port: u16| connect_from(&format!("127.0.0.1:{port}"), gateway.front);
        let mut clients = [50_001, 50_002].map(client);
        let mut names = clients.each_mut().map(|client| said(client).expect("a server"));
        names.sort_unstable();
        assert_eq!(names, *b"12", "each has one port");
        let mut third = client(50_003);
        assert!(said(&mut third).is_err(), "no port is left to any");
        ports(40_000, 60_000);
        let line = gateway.log_lines(1).remove(0);
        assert!(line.contains(" RC "), "{line}");
        assert_eq!(gateway.metric("headgate_server_errors_total{backend=\"be\",server=\"s0\"}"), 0.0);
    });
}
