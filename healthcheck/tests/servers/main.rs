//! Checks against the programs that they are for: each passes while its server works, says what is wrong while it
//! hangs, and notices that it is gone.

#[path = "../common/mod.rs"]
mod common;
mod databases;
mod programs;

use healthcheck_core::CheckStatus;
use programs::{Program, find, listens, run, shell};
use std::process::Command;

#[tokio::test]
async fn redis_is_checked_with_and_without_a_password() {
    let Some(program) = find("redis-server") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let address = common::nobody().await;
    let mut command = Command::new(program);
    let port = address.port().to_string();
    command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--requirepass", "secret"]);
    let server = Program::start(command.current_dir(folder.path()));
    server.until_passes(r#"type = "redis", password = "secret""#, address).await;
    let found = run(r#"type = "redis""#, address).await;
    assert_eq!((found.status, found.note), (CheckStatus::L7Status, "auth_needed"));
    let found = run(r#"type = "redis", password = "wrong""#, address).await;
    assert_eq!((found.status, found.note), (CheckStatus::L7Status, "auth_failed"));
    let steps = r#"type = "tcp", steps = [{ send = "AUTH secret\r\nINFO replication\r\n" }, { expect = "role:master" }]"#;
    assert_eq!(run(steps, address).await.status, CheckStatus::L7Ok);
    server.hangs_and_dies(r#"type = "redis", password = "secret""#, address, CheckStatus::L7Timeout).await;
}

#[tokio::test]
async fn rabbitmq_is_checked_by_its_greeting() {
    // Not the one in /usr/sbin, which goes on as another user, and without this environment.
    let (Some(program), Some(epmd)) = (find("/usr/lib/rabbitmq/bin/rabbitmq-server"), find("epmd")) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (address, cluster, names) = (common::nobody().await, common::nobody().await, common::nobody().await);
    // It would start one itself, and leave it behind.
    let _epmd = Program::start(Command::new(epmd).args([
        "-address",
        "127.0.0.1",
        "-port",
        &names.port().to_string(),
    ]));
    listens(names).await;
    let mut command = Command::new(program);
    // One scheduler, no management, nothing of the machine's own broker.
    command
        .env("HOME", folder.path())
        .env("RABBITMQ_MNESIA_BASE", folder.path())
        .env("RABBITMQ_LOG_BASE", folder.path())
        .env("RABBITMQ_PID_FILE", folder.path().join("pid"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.path().join("plugins"))
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
        .env("RABBITMQ_CONFIG_FILE", folder.path().join("none"))
        .env("RABBITMQ_NODENAME", format!("check{}@localhost", address.port()))
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", address.port().to_string())
        .env("RABBITMQ_DIST_PORT", cluster.port().to_string())
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 1:1 -setcookie check")
        .env("ERL_EPMD_PORT", names.port().to_string());
    let server = Program::start(&mut command);
    if !server.passes_within(r#"type = "amqp""#, address, programs::ERLANG).await {
        let mut log =
            shell(&format!("tail -n 20 {0}/*.log {0}/startup_* 2>/dev/null", folder.path().display()));
        log.truncate(2000);
        panic!("the broker does not start: {log}");
    }
    let found = run(r#"type = "http""#, address).await;
    assert_eq!((found.status, found.note), (CheckStatus::L7Response, "not_http"));
    server.hangs_and_dies(r#"type = "amqp""#, address, CheckStatus::L7Timeout).await;
}

#[tokio::test]
async fn a_grpc_server_is_checked_by_service() {
    let Some(python) = find("/usr/bin/python3") else { return };
    if find("/usr/lib/python3/dist-packages/grpc/__init__.py").is_none() {
        return;
    }
    let address = common::nobody().await;
    let mut command = Command::new(python);
    let server = Program::start(command.args(["-c", GRPC, &address.to_string()]));
    server.until_passes(r#"type = "grpc""#, address).await;
    assert!(run(r#"type = "grpc", service = "well""#, address).await.passed());
    let found = run(r#"type = "grpc", service = "ill""#, address).await;
    assert_eq!((found.status, found.note), (CheckStatus::L7Status, "not_serving"));
    let found = run(r#"type = "grpc", service = "other""#, address).await;
    assert_eq!((found.code, found.note), (Some(5), "unknown_service"));
    server.hangs_and_dies(r#"type = "grpc""#, address, CheckStatus::L7Timeout).await;
}

#[tokio::test]
async fn nginx_is_checked_over_tls_and_its_certificate_verified() {
    let Some(program) = find("nginx") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let address = common::nobody().await;
    let own = rcgen::generate_simple_self_signed(["api.example".to_owned()]).expect("a certificate");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
    write("crt", &own.cert.pem());
    write("key", &own.signing_key.serialize_pem());
    write(
        "conf",
        &format!(
            "daemon off; master_process off; pid pid; error_log stderr; events {{}}\n\
             http {{ access_log off; server {{ listen {address} ssl; ssl_certificate crt; ssl_certificate_key key;\n\
             location /health {{ return 200 'status: green\\n'; }} location / {{ return 503; }} }} }}\n"
        ),
    );
    let mut command = Command::new(program);
    let config = folder.path().join("conf");
    let server =
        Program::start(command.arg("-p").arg(folder.path()).arg("-c").arg(config).arg("-e").arg("stderr"));
    let ca = folder.path().join("crt");
    let tls = format!(r#"tls = {{ sni = "api.example", ca_file = "{}" }}"#, ca.display());
    let health = r#"type = "http", uri = "/health", expect = { regex = "^status: (green|yellow)" }"#;
    server.until_passes(&format!("{health}, {tls}"), address).await;
    assert_eq!(run(&format!(r#"type = "tls", {tls}"#), address).await.status, CheckStatus::L6Ok);
    assert!(run(r#"type = "tls", tls = { verify = "none" }"#, address).await.passed());
    let found = run(r#"type = "tls", tls = { sni = "api.example" }"#, address).await;
    assert_eq!((found.status, found.note), (CheckStatus::L6Response, "certificate_unknown"));
    let other = format!(r#"type = "tls", tls = {{ sni = "b.example", ca_file = "{}" }}"#, ca.display());
    assert_eq!(run(&other, address).await.note, "certificate_name");
    let green =
        r#"type = "http", uri = "/health", expect = { not_string = "green" }, tls = { verify = "none" }"#;
    assert_eq!(run(green, address).await.note, "unwanted_text");
    assert_eq!(run(&format!(r#"type = "http", {tls}"#), address).await.to_string(), "L7STS 503");
    let found = run(r#"type = "grpc", tls = { verify = "none" }"#, address).await;
    assert_eq!((found.status, found.note), (CheckStatus::L6Response, "alert"), "it has no HTTP/2");
    server.hangs_and_dies(&format!("{health}, {tls}"), address, CheckStatus::L6Timeout).await;
}

#[tokio::test]
async fn a_check_over_tls_of_a_server_without_it_is_l6rsp() {
    let address = common::answers(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    listens(address).await;
    let server = common::server(|mut stream| async move {
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 mail\r\n").await
    })
    .await;
    let found = run(r#"type = "tls", tls = { verify = "none" }"#, server).await;
    assert_eq!((found.status, found.note), (CheckStatus::L6Response, "not_tls"));
}

/// `grpc.health.v1` by hand: one service is well, one is not, and others are not known.
const GRPC: &str = r#"
import concurrent.futures, sys, threading, grpc
def check(request, context):
    service = request[2:].decode()
    if service not in ("", "well", "ill"):
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown")
    return bytes([8, 2 if service == "ill" else 1])
server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
handler = grpc.unary_unary_rpc_method_handler(check)
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler}),))
server.add_insecure_port(sys.argv[1])
server.start()
threading.Event().wait()
"#;
