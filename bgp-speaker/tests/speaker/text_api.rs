//! ExaBGP's text API: lines on the socket, lines of processes, and Debian's own health check, unmodified.

use super::rig::{DEADLINE, Rig, pause};
use super::router::{Heard, Session};
use super::{VIP, announced};
use base::Clock;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

fn heard(med: u32) -> Heard {
    Heard::Announced { vip: OTHER, med, graceful_shutdown: false }
}

fn gone() -> Heard {
    Heard::Withdrawn { vip: OTHER }
}

/// A speaker with this configuration below, and its session, in which the VIP is announced.
fn rig(bottom: &str) -> (Rig, Session) {
    let rig = Rig::with_more("", bottom);
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.skip_to(&announced(100));
    (rig, session)
}

fn process(name: &str, run: &[&str], more: &str) -> String {
    format!("[[process]]\nname = {name:?}\nrun = {run:?}\n{more}\n")
}

/// A shell script as a process.
fn script(text: &str, more: &str) -> String {
    process("script", &["/bin/sh", "-c", text], more)
}

#[test]
fn a_line_on_the_socket_is_done_and_answered() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("exabgp.sock");
    let (rig, mut session) = rig(&format!("[text_api]\nsocket = {:?}\nmax_routes = 2", path.display()));
    let mut stream = UnixStream::connect(&path).expect("the socket");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    let mut answers = BufReader::new(stream.try_clone().expect("a socket")).lines();
    let mut tell = |line: &str| {
        writeln!(stream, "{line}").expect("the speaker reads");
        answers.next().expect("an answer").expect("text")
    };
    assert_eq!(tell("announce route 198.51.100.1/32 next-hop self med 7"), "done");
    session.expect(heard(7));
    assert_eq!(tell("neighbor 127.0.0.1 announce route 198.51.100.1/32 next-hop self med 8"), "done");
    session.expect(heard(8));
    assert!(rig.ask(&["rib"]).contains("198.51.100.1 "));
    for refused in [
        "neighbor 192.0.2.1 announce route 198.51.100.2/32 next-hop self",
        "announce route 203.0.113.1/32 next-hop self",
        "announce attributes next-hop self nlri 198.51.100.2 198.51.100.3",
        "announce flow route { }",
    ] {
        assert_eq!(tell(refused), "error", "{refused}");
    }
    assert_eq!(tell("withdraw route 198.51.100.1/32 next-hop self"), "done");
    session.expect(gone());
    assert!(rig.metrics().contains("headgate_bgp_text_api_lines_total{answer=\"error\"} 4"));
}

#[test]
fn a_process_that_dies_takes_its_routes_along_and_is_started_again() {
    let text = "echo announce route 198.51.100.1/32 next-hop self med 5; read answer; sleep 0.3; exit 1";
    let (_rig, mut session) = rig(&script(text, ""));
    for _ in 0..2 {
        session.skip_to(&heard(5));
        session.skip_to(&gone());
    }
}

#[test]
fn a_process_may_leave_its_routes_and_has_its_answers() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("answers");
    let text = format!(
        "echo announce route 198.51.100.1/32 next-hop self; read a; echo nonsense; read b; echo $a $b > {}; exit 0",
        file.display()
    );
    let (_rig, mut session) = rig(&script(&text, "on_exit = \"keep\""));
    session.expect_none_of(&gone(), Duration::from_millis(700));
    assert_eq!(wait_text(&file), "done error\n");
}

#[test]
fn debians_exabgp_health_check_announces_moves_and_withdraws() {
    let python = "/usr/bin/python3";
    let module = "import exabgp.application.healthcheck";
    let found = std::process::Command::new(python).args(["-c", module]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no exabgp on this machine (Debian's package exabgp)");
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let disabled = folder.path().join("disabled").display().to_string();
    // The service is healthy while somebody listens.
    let service = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = service.local_addr().expect("its address").port();
    let check = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
    let check = format!("/bin/bash -c '{check}'");
    let run = [
        python,
        "-m",
        "exabgp",
        "healthcheck",
        "--cmd",
        &check,
        "--ip",
        "198.51.100.1/32",
        "--no-ip-setup",
        "--interval",
        "0.2",
        "--fast-interval",
        "0.1",
        "--rise",
        "2",
        "--fall",
        "2",
        "--up-metric",
        "10",
        "--down-metric",
        "1000",
        "--disabled-metric",
        "500",
        "--disable",
        &disabled,
        "--no-syslog",
    ];
    let (mut rig, mut session) = rig(&process("watch", &run, ""));
    session.skip_to(&heard(10));
    std::fs::write(&disabled, "").expect("a file");
    session.skip_to(&heard(500));
    std::fs::remove_file(&disabled).expect("a file");
    session.skip_to(&heard(10));
    drop(service);
    session.skip_to(&heard(1000));
    rig.signal(nix::sys::signal::Signal::SIGTERM);
    session.skip_to(&Heard::Withdrawn { vip: VIP });
    assert!(rig.wait_exit().success());
}

#[test]
fn a_process_without_a_program_and_two_of_one_name_are_refused() {
    let base = "[bgp]\nasn = 65010\nrouter_id = \"10.0.0.2\"\nsocket = \"SOCKET\"\n";
    let cases = [
        (process("a", &["python3"], ""), "absolute path"),
        (process("a", &[], ""), "no program to run"),
        (process("a", &["/bin/true"], "") + &process("a", &["/bin/true"], ""), "two processes are named a"),
        ("[text_api]\nmax_routes = 0".to_owned(), "1 to 10000"),
        ("[text_api]\nsocket = \"exabgp.sock\"".to_owned(), "an absolute path"),
    ];
    for (text, says) in cases {
        let (status, error) = super::rig::refuse("check", &format!("{base}{text}"));
        assert!(!status.success() && error.contains(says), "{text}: {error}");
    }
}

fn wait_text(file: &Path) -> String {
    let clock = Clock::start();
    let began = clock.now();
    loop {
        match std::fs::read_to_string(file) {
            Ok(text) if text.ends_with('\n') => return text,
            _ => assert!(clock.now() - began < DEADLINE, "{} does not come", file.display()),
        }
        pause(Duration::from_millis(10));
    }
}
