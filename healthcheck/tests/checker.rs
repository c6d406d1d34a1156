//! A running check: it hears of a server's death and return, and leaves nothing behind.

mod common;

use base::Clock;
use common::{nobody, read_request, server, soon};
use healthcheck::checker::Setup;
use healthcheck::probe::Names;
use healthcheck::{Checker, Prober, Slots};
use healthcheck_core::{CheckSpec, CheckStatus, HttpCheck, Kind, Reason, State, Timing};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

const FAST: Timing = Timing {
    inter: Duration::from_millis(40),
    fastinter: Duration::from_millis(10),
    downinter: Duration::from_millis(20),
    timeout: Duration::from_millis(500),
    rise: 2,
    fall: 2,
};

fn check(kind: Kind, timing: Timing, server: SocketAddr) -> (Checker, mpsc::Receiver<(State, Reason)>) {
    let (sender, changes) = mpsc::channel(16);
    let spec = CheckSpec { timing, ..CheckSpec::new(kind) };
    let prober = Prober::new(spec.kind.clone(), None, Names::default()).expect("no TLS");
    let (slots, state, seed, clock) = (Slots::new(8), State::Up, 1, Clock::start());
    let checker = Checker::spawn(
        Setup { spec: &spec, prober, slots, state, seed, clock },
        Some(server),
        move |state, reason| {
            sender.try_send((state, reason)).expect("the test takes them");
        },
    );
    (checker, changes)
}

#[tokio::test]
async fn a_server_that_fails_and_recovers_is_reported_once_each() {
    let healthy = Arc::new(AtomicBool::new(false));
    let answer = Arc::clone(&healthy);
    let address = server(move |mut stream| {
        let answer = Arc::clone(&answer);
        async move {
            read_request(&mut stream).await?;
            let status = if answer.load(Ordering::SeqCst) { "200 OK" } else { "503 x" };
            stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await?;
            stream.shutdown().await
        }
    })
    .await;
    let (checker, mut changes) = check(Kind::Http(HttpCheck::default()), FAST, address);
    assert_eq!(checker.snapshot().status.state, State::Up);
    let (state, reason) = soon(changes.recv()).await.expect("the check runs");
    assert_eq!((state, reason.to_string().as_str()), (State::Down, "L7STS 503"));
    assert_eq!(checker.snapshot().status.state, State::Down);
    healthy.store(true, Ordering::SeqCst);
    let (state, reason) = soon(changes.recv()).await.expect("the check runs");
    assert_eq!((state, reason.to_string().as_str()), (State::Up, "L7OK 200"));
    let last = checker.snapshot().last.expect("it was probed");
    assert_eq!((last.status, last.code), (CheckStatus::L7Ok, Some(200)));
}

#[tokio::test]
async fn what_traffic_saw_does_not_wait_for_the_interval() {
    let hour = Duration::from_secs(3600);
    let timing = Timing { inter: hour, fastinter: Duration::from_millis(10), fall: 1, ..FAST };
    let (checker, mut changes) = check(Kind::Tcp, timing, nobody().await);
    for _ in 0..1000 {
        checker.observe_failure();
    }
    let (state, reason) = soon(changes.recv()).await.expect("the check runs");
    assert_eq!((state, reason.to_string().as_str()), (State::Down, "L4CON"));
}

#[tokio::test]
async fn maint_and_ready_are_heard() {
    let timing = Timing { inter: Duration::from_secs(3600), fall: 9, ..FAST };
    let (checker, mut changes) = check(Kind::Tcp, timing, nobody().await);
    checker.maint().await;
    assert_eq!(soon(changes.recv()).await, Some((State::Maint, Reason::Operator)));
    checker.ready().await;
    assert_eq!(soon(changes.recv()).await, Some((State::Up, Reason::Operator)));
    let (state, _) = soon(changes.recv()).await.expect("it is probed at once");
    assert_eq!(state, State::Down, "one failure is enough after ready");
}

#[tokio::test]
async fn who_drops_the_checker_ends_the_probe_that_runs() {
    let (opened, mut probes) = mpsc::channel(16);
    let address = server(move |mut stream| {
        let opened = opened.clone();
        async move {
            read_request(&mut stream).await?;
            opened.try_send("open").expect("the test takes them");
            assert_eq!(stream.read(&mut [0; 16]).await?, 0, "nothing more is asked");
            opened.try_send("closed").expect("the test takes them");
            Ok(())
        }
    })
    .await;
    let timing = Timing { timeout: Duration::from_secs(3600), ..FAST };
    let (checker, mut changes) = check(Kind::Http(HttpCheck::default()), timing, address);
    assert_eq!(soon(probes.recv()).await, Some("open"));
    drop(checker);
    assert_eq!(soon(probes.recv()).await, Some("closed"));
    assert_eq!(soon(changes.recv()).await, None, "the callback is gone with its task");
}
