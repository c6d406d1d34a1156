//! `headgate-probe` as a script sees it: exit codes and lines.

mod common;

use base::Clock;
use common::{answers, hangs, nobody, read_request, server, soon};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::sync::Notify;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\n\r\nok";

/// Sends a signal and, if it stops, waits until it has.
async fn signal(name: &str, process: &Child) {
    let pid = process.id().expect("it runs");
    let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status();
    assert!(soon(sent).await.expect("there is a shell").success());
    let is_stopped = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is not reaped");
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    };
    let look = async {
        while name == "STOP" && !is_stopped() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon(look).await;
}

/// Exit code, stdout, stderr.
async fn run(arguments: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headgate-probe"));
    let output = command.args(arguments.split_whitespace()).kill_on_drop(true).output();
    let output = soon(output).await.expect("it starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints text");
    (output.status.code().expect("it exits"), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn a_healthy_server_is_0_and_a_line() {
    let address = answers(OK).await;
    let (code, out, err) = run(&format!("http://{address}/health")).await;
    assert_eq!((code, err.as_str()), (0, ""));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 2, "{out}");
    assert!(lines[0].contains("L7OK") && lines[0].contains(" 200 ") && lines[0].contains(" ms "), "{out}");
    assert!(lines[1].starts_with("ok: 1 of 1 passed; min "), "{out}");
    let (code, out, _) = run(&format!("--count 2 --interval 10ms {address}")).await;
    assert_eq!((code, out.matches("L4OK").count()), (0, 2));
}

#[tokio::test]
async fn a_server_that_is_not_well_is_1() {
    let (code, out, _) = run(&nobody().await.to_string()).await;
    assert!(code == 1 && out.contains("L4CON") && out.ends_with("failed: 0 of 1 passed\n"), "{out}");
    let (code, out, _) = run(&format!("--timeout 100ms http://{}", hangs().await)).await;
    assert!(code == 1 && out.contains("L7TOUT"), "{out}");
    let (code, out, _) = run(&format!("--expect 204 http://{}", answers(OK).await)).await;
    assert!(code == 1 && out.contains("L7STS") && out.contains(" 200 "), "{out}");
    let (code, out, err) = run("http://no-such-host.invalid/").await;
    assert!(code == 1 && out.is_empty() && err.contains("no-such-host.invalid"), "{err}");
}

#[tokio::test]
async fn a_wrong_command_line_is_2_and_says_what_is_right() {
    let cases = [
        ("", "URL|HOST:PORT"),
        ("--type tcp http://127.0.0.1/", "`uri` has no meaning"),
        ("--type redis --string x 127.0.0.1:1", "`expect` has no meaning"),
        ("--header x http://127.0.0.1/", "`NAME: VALUE`"),
        ("--check type 127.0.0.1:1", "--check:"),
        ("--check type=\"icmp\" 127.0.0.1:1", "unknown variant"),
        ("127.0.0.1", "there is no port"),
        ("--count 0 127.0.0.1:1", "--count"),
        ("--interval 5 127.0.0.1:1", "a duration with its unit"),
        ("--timeout 0s 127.0.0.1:1", "more than nothing"),
        ("--expect 2xx http://127.0.0.1:1", "no HTTP status"),
        ("--method g=t http://127.0.0.1:1", "`method` of a check"),
        ("--require 2 127.0.0.1:1", "--require asks for more probes than --count (1)"),
        ("--rise 2 127.0.0.1:1", "--rise asks for more"),
        ("--rise 2 --require 2 --count 2 127.0.0.1:1", "cannot be used with"),
    ];
    for (arguments, expected) in cases {
        let (code, out, err) = run(arguments).await;
        assert!(code == 2 && out.is_empty() && err.contains(expected), "{arguments}: {code} {err}");
    }
}

#[tokio::test]
async fn a_deployment_waits_until_enough_passed_in_a_row() {
    let requests = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&requests);
    let address = server(move |mut stream| {
        let number = counter.fetch_add(1, Ordering::SeqCst);
        async move {
            read_request(&mut stream).await?;
            let status = if number < 3 { "503 x" } else { "200 OK" };
            stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await?;
            stream.shutdown().await
        }
    })
    .await;
    let (code, out, _) = run(&format!("--rise 2 --count 100 --interval 10ms http://{address}")).await;
    assert_eq!((code, requests.load(Ordering::SeqCst)), (0, 5), "{out}");
    let (code, out, _) = run(&format!("--fall 2 --count 100 --interval 10ms {}", nobody().await)).await;
    assert_eq!((code, out.matches("L4CON").count()), (1, 2));
    let require = format!("--count 3 --require 2 --interval 10ms http://{address}");
    assert_eq!(run(&require).await.0, 0);
}

#[tokio::test]
async fn probes_in_a_row_keep_their_interval() {
    let clock = Clock::start();
    let started = clock.now();
    let (code, ..) = run(&format!("--count 4 --interval 100ms {}", answers(OK).await)).await;
    let took = clock.now() - started;
    assert!(code == 0 && took >= Duration::from_millis(300), "three intervals: {took:?}");
}

#[tokio::test]
async fn programs_get_json_and_quiet_says_nothing() {
    let address = answers(OK).await;
    let (_, out, _) = run(&format!("--json http://{address}/")).await;
    let lines: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    assert_eq!(lines[0]["status"], "L7OK");
    assert_eq!((&lines[0]["code"], &lines[0]["passed"]), (&200.into(), &true.into()));
    assert_eq!(
        (&lines[1]["ok"], &lines[1]["passed"], &lines[1]["failed"]),
        (&true.into(), &1.into(), &0.into())
    );
    assert_eq!(run(&format!("--quiet http://{address}/")).await, (0, String::new(), String::new()));
    assert_eq!(run(&format!("--quiet {}", nobody().await)).await, (1, String::new(), String::new()));
}

#[tokio::test]
async fn a_name_with_two_addresses_is_tried_as_a_client_would() {
    let port = answers(OK).await.port();
    let (code, out, _) = run(&format!("http://localhost:{port}/")).await;
    assert_eq!(code, 0, "it listens on 127.0.0.1 only: {out}");
}

#[tokio::test]
async fn an_answer_that_came_while_the_process_was_stopped_counts() {
    let (asked, stopped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (heard, go) = (Arc::clone(&asked), Arc::clone(&stopped));
    let address = server(move |mut stream| {
        let (asked, stopped) = (Arc::clone(&asked), Arc::clone(&stopped));
        async move {
            read_request(&mut stream).await?;
            asked.notify_one();
            stopped.notified().await;
            stream.write_all(OK).await
        }
    })
    .await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_headgate-probe"));
    let timeout = Duration::from_secs(1);
    let arguments = ["--timeout", "1s", &format!("http://{address}/")].map(str::to_owned);
    let mut probe =
        command.args(arguments).stdout(Stdio::null()).kill_on_drop(true).spawn().expect("it starts");
    soon(heard.notified()).await;
    signal("STOP", &probe).await;
    go.notify_one();
    tokio::time::sleep(timeout * 3 / 2).await;
    signal("CONT", &probe).await;
    assert!(soon(probe.wait()).await.expect("it ends").success());
}

#[tokio::test]
async fn help_has_examples_and_exit_codes() {
    let (code, out, _) = run("--help").await;
    assert!(code == 0 && out.contains("Exit codes: 0") && out.contains("headgate-probe --rise 3"), "{out}");
}
