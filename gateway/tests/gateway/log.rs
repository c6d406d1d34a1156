//! A log that is stuck costs lines, never a request.

use crate::harness::{Gateway, Server, wait_until};

#[test]
fn a_line_of_json_tells_why() {
    let server = Server::named("s1");
    let gateway = Gateway::start(
        &"node = \"gw\"\nworkers = 1\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n\
          [log]\nto = \"FOLDER/access.log\"\nformat = \"json\"\n\
          [[frontend]]\nname = \"fe\"\nbind = [\"FRONT\"]\ndefault_backend = \"be\"\n\
          [[frontend.rule]]\nif = { path = \"/x\\\"y\" }\ndeny = { status = 404, reason = \"hidden\" }\n\
          [[backend]]\nname = \"be\"\nserver = [{ name = \"s\", address = \"SERVER\" }]\n"
            .replace("SERVER", &server.address.to_string()),
    );
    gateway.get("/a");
    gateway.get("/x\"y");
    let lines = gateway.log_lines(2);
    let lines: Vec<serde_json::Value> =
        lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let part = |line: usize, name: &str| lines[line][name].to_string();
    assert_eq!(
        (part(0, "status"), part(0, "server"), part(0, "reason")),
        ("200".into(), "\"s\"".into(), "null".into())
    );
    assert_eq!(
        (part(1, "status"), part(1, "server"), part(1, "reason")),
        ("404".into(), "null".into(), "\"hidden\"".into())
    );
    assert_eq!(lines[1]["target"], "/x\"y");
}

#[test]
fn a_log_that_nobody_reads_delays_nothing_and_its_lines_are_counted() {
    let server = Server::named("s1");
    let folder = tempfile::tempdir().expect("a folder");
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("a pipe");
    // Open, so that the gateway can open it too, but never read: it takes 64 KiB and then blocks.
    let _reader = std::fs::OpenOptions::new().read(true).write(true).open(&fifo).expect("the pipe opens");
    let gateway = Gateway::start(
        &"node = \"gw\"\nworkers = 1\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n[log]\nto = \"FIFO\"\n\
          [[frontend]]\nname = \"fe\"\nbind = [\"FRONT\"]\ndefault_backend = \"be\"\n\
          [[backend]]\nname = \"be\"\nserver = [{ name = \"s\", address = \"SERVER\" }]\n"
            .replace("FIFO", &fifo.display().to_string())
            .replace("SERVER", &server.address.to_string()),
    );
    // Each line holds its request's target: long ones fill the pipe and the queue soon.
    let path = format!("/{}", "x".repeat(20_000));
    let mut sent = 0;
    wait_until("lines are dropped", || {
        for _ in 0..50 {
            assert!(gateway.get(&path).contains("200 OK"));
        }
        sent += 50;
        gateway.metric("headgate_log_dropped_total") > 0.0
    });
    assert!(sent >= 256, "the queue took its share");
}
