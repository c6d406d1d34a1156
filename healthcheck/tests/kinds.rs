//! Each kind of check against servers that hang, talk nonsense, or take their time.

mod common;

use base::Clock;
use common::{PATIENCE, answers, hangs, server, soon};
use healthcheck::Prober;
use healthcheck::probe::Names;
use healthcheck_core::{CheckSpec, CheckStatus, Outcome};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SHORT: Duration = Duration::from_millis(150);
const KINDS: [&str; 12] = [
    r#"type = "http""#,
    r#"type = "http", expect = { string = "ok" }"#,
    r#"type = "tcp", steps = [{ send = "x" }, { expect = "y" }]"#,
    r#"type = "grpc""#,
    r#"type = "mysql""#,
    r#"type = "mysql", user = "u", password = "p", wsrep_ready = true"#,
    r#"type = "postgres""#,
    r#"type = "redis""#,
    r#"type = "redis", password = "p""#,
    r#"type = "amqp""#,
    r#"type = "smtp""#,
    r#"type = "ldap""#,
];

fn spec(check: &str) -> CheckSpec {
    let table: toml::Table = toml::from_str(&format!("check = {{ {check} }}")).expect(check);
    table.get("check").cloned().expect("it is there").try_into().expect(check)
}

async fn run(check: &str, target: SocketAddr, timeout: Duration) -> Outcome {
    let spec = spec(check);
    let names = Names { backend: "be".to_owned(), server: "s1".to_owned(), id: 1 };
    let prober = Prober::new(spec.kind, spec.tls.as_ref(), names).expect("it needs no file");
    let clock = Clock::start();
    let outcome = soon(prober.probe(target, clock, clock.now() + timeout)).await;
    assert!(outcome.duration < timeout + PATIENCE / 2, "{check}: {outcome:?}");
    outcome
}

#[tokio::test]
async fn a_server_that_hangs_runs_out_of_time() {
    let address = hangs().await;
    for check in KINDS {
        assert_eq!(run(check, address, SHORT).await.status, CheckStatus::L7Timeout, "{check}");
    }
    let tls = r#"type = "tls", tls = { verify = "none" }"#;
    assert_eq!(run(tls, address, SHORT).await.status, CheckStatus::L6Timeout);
}

#[tokio::test]
async fn a_server_that_talks_nonsense_fails_at_once() {
    let nonsense: Vec<u8> =
        (0..40_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80).collect();
    let nonsense: &'static [u8] = nonsense.leak();
    let address = server(move |mut stream| async move {
        stream.write_all(nonsense).await?;
        stream.shutdown().await
    })
    .await;
    for check in KINDS {
        let outcome = run(check, address, PATIENCE).await;
        assert_eq!(outcome.status, CheckStatus::L7Response, "{check}: {outcome}");
        assert!(outcome.duration < PATIENCE / 2, "{check}");
    }
    let tls = r#"type = "tls", tls = { verify = "none" }"#;
    assert_eq!(run(tls, address, PATIENCE).await.status, CheckStatus::L6Response);
}

#[tokio::test]
async fn an_answer_that_comes_byte_by_byte_is_understood() {
    let answers: [(&str, &'static [u8]); 6] = [
        (r#"type = "http", expect = { string = "ok" }"#, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
        (r#"type = "tcp", steps = [{ expect = "ready" }]"#, b"not yet, now ready"),
        (r#"type = "postgres""#, b"R\0\0\0\x08\0\0\0\0"),
        (r#"type = "redis", password = "p""#, b"+OK\r\n+PONG\r\n"),
        (r#"type = "amqp""#, b"\x01\x00\x00\x00\x00\x00\x06\x00\x0a\x00\x0a\x00\x09"),
        (r#"type = "smtp""#, b"220 x\r\n250 y\r\n"),
    ];
    for (check, answer) in answers {
        let address = server(move |mut stream| async move {
            stream.set_nodelay(true)?;
            for byte in answer {
                stream.write_all(&[*byte]).await?;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            stream.read_to_end(&mut Vec::new()).await.map(drop)
        })
        .await;
        let outcome = run(check, address, PATIENCE).await;
        assert!(outcome.passed(), "{check}: {outcome}");
    }
}

#[tokio::test]
async fn a_server_that_never_stops_talking_is_cut_off() {
    let address = common::never_ends(b"", &[b'x'; 4096], Duration::ZERO).await;
    let check = r#"type = "tcp", steps = [{ send = "\r\n\r\n" }, { expect = "y" }]"#;
    let outcome = run(check, address, PATIENCE).await;
    assert_eq!((outcome.status, outcome.note), (CheckStatus::L7Response, "too_long"));
}

#[tokio::test]
async fn a_command_says_by_its_exit_status_how_the_server_is() {
    let target: SocketAddr = "192.0.2.7:81".parse().expect("an address");
    let shell = |script: &str| format!(r#"type = "command", command = ["/bin/sh", "-c", '{script}']"#);
    let words = r#"test "$HAPROXY_PROXY_NAME $HAPROXY_SERVER_NAME $HAPROXY_SERVER_ID" = "be s1 1" &&
                   test "$HAPROXY_SERVER_ADDR $HAPROXY_SERVER_PORT" = "192.0.2.7 81" && test -z "$HOME""#;
    let outcome = run(&shell(&words.replace('\n', " ")), target, PATIENCE).await;
    assert_eq!((outcome.status, outcome.code), (CheckStatus::ProcOk, Some(0)));
    assert_eq!(run(&shell("exit 3"), target, PATIENCE).await.to_string(), "PROCERR 3");
    assert_eq!(run(&shell("kill -9 $$"), target, PATIENCE).await.note, "killed");
    let missing = run(r#"type = "command", command = "/no/such""#, target, PATIENCE).await;
    assert_eq!((missing.status, missing.note), (CheckStatus::ProcError, "no_program"));
    assert_eq!(spec(r#"type = "command", command = "/bin/true""#).overdue(), CheckStatus::ProcTimeout);
}

#[tokio::test]
async fn a_command_in_haproxys_form_gets_its_arguments() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("check");
    let text = "#!/bin/sh\ntest \"$*\" = \"NOT_USED NOT_USED 192.0.2.7 81\"\n";
    std::fs::write(&script, text).expect("a file");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, executable).expect("it is ours");
    let check = format!(r#"type = "command", command = "{}""#, script.display());
    let target = "192.0.2.7:81".parse().expect("an address");
    assert_eq!(run(&check, target, PATIENCE).await.status, CheckStatus::ProcOk);
}

#[tokio::test]
async fn a_command_that_does_not_end_is_killed_with_all_that_it_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let pids = folder.path().join("pids");
    let script = format!("sleep 1000 & echo $! $$ > {}; wait", pids.display());
    let check = format!(r#"type = "command", command = ["/bin/sh", "-c", "{script}"]"#);
    let target = "192.0.2.7:81".parse().expect("an address");
    let outcome = run(&check, target, Duration::from_secs(1)).await;
    assert_eq!(outcome.status, CheckStatus::ProcTimeout);
    let pids = std::fs::read_to_string(pids).expect("it has begun");
    let is_alive = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
    };
    soon(async {
        while pids.split_whitespace().any(is_alive) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_file_says_how_things_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ok");
    let target = "192.0.2.7:81".parse().expect("an address");
    let check = |more: &str| format!(r#"type = "file", path = "{}"{more}"#, path.display());
    assert_eq!(run(&check(""), target, PATIENCE).await.to_string(), "L7STS file_missing");
    assert!(run(&check(", absent = true"), target, PATIENCE).await.passed());
    std::fs::write(&path, "").expect("a file");
    assert!(run(&check(""), target, PATIENCE).await.passed());
    assert_eq!(run(&check(", absent = true"), target, PATIENCE).await.note, "file_there");
}

#[tokio::test]
async fn an_agent_is_heard_and_nonsense_is_not() {
    use healthcheck_core::agent::{Admin, Report};
    let clock = Clock::start();
    let ask = |address| async move {
        soon(healthcheck::agent::ask(address, b"hello\r\n\r\n", clock, clock.now() + SHORT)).await
    };
    let drain = Report { admin: Some(Admin::Drain), weight: Some(50), ..Report::default() };
    assert_eq!(ask(answers(b"drain 50%\n").await).await, Ok(drain));
    assert_eq!(ask(answers(b"drain 50%").await).await, Ok(drain), "the end ends a line, too");
    assert!(ask(answers(b"HTTP/1.1 200 OK\r\n").await).await.is_err());
    assert!(ask(answers(&[b'u'; 5000]).await).await.is_err());
    assert!(ask(answers(b"").await).await.is_err());
    assert!(ask(hangs().await).await.is_err());
    assert!(ask(common::nobody().await).await.is_err());
}
