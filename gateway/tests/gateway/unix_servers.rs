//! Servers on UNIX sockets: requests, connections and checks go there.

use crate::daemons::output;
use crate::harness::{Gateway, ok, wait_until, write};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

/// A server on a UNIX socket that answers each request with 200, and what each connection began with.
fn serve(path: &Path) -> Arc<Mutex<Vec<String>>> {
    let listener = UnixListener::bind(path).expect("a socket");
    let first = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&first);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let told = Arc::clone(&told);
            std::thread::spawn(move || {
                let mut write = stream.try_clone().expect("a second handle");
                let mut read = BufReader::new(stream);
                let (mut head, mut is_first) = (String::new(), true);
                while read.read_line(&mut head).is_ok_and(|bytes| bytes > 0) {
                    if std::mem::take(&mut is_first) {
                        told.lock().expect("no test panicked here").push(head.clone());
                    }
                    if !head.ends_with("\r\n\r\n") {
                        continue;
                    }
                    let body = if head.contains("POST ") { 4 } else { 0 };
                    if read.read_exact(&mut vec![0; body]).is_err() || write.write_all(&ok("local")).is_err()
                    {
                        return;
                    }
                    head.clear();
                }
            });
        }
    });
    first
}

/// A folder for a socket, since the gateway's own is not there before it starts.
fn socket() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s.sock");
    (folder, path)
}

const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody";

#[test]
fn requests_with_and_without_a_body_are_served_and_checks_find_who_is_gone() {
    let (_folder, path) = socket();
    let first = serve(&path);
    let gateway = Gateway::of_backend(&format!(
        "check = {{ type = \"http\", uri = \"/health\", inter = \"50ms\", rise = 1, fall = 1 }}\n\
         server = [{{ name = \"s1\", address = \"unix@{}\" }}]",
        path.display()
    ));
    for _ in 0..8 {
        assert!(gateway.get("/").ends_with("local"));
        let answer = gateway.raw(POST);
        assert!(answer.ends_with("local"), "{answer}");
    }
    let count = |what: &str| {
        let first = first.lock().expect("no test panicked here");
        first.iter().filter(|line| line.starts_with(what)).count()
    };
    wait_until("it is checked", || count("GET /health ") > 2);
    assert!((1..=4).contains(&count("GET / ")), "connections are used again: {}", count("GET / "));
    assert!(gateway.ctl(&["status"]).contains(&format!("unix@{}", path.display())));
    std::fs::remove_file(&path).expect("it is there");
    wait_until("it is down", || gateway.get("/").starts_with("HTTP/1.1 503"));
    let _again = serve(&path);
    wait_until("it is back", || gateway.get("/").ends_with("local"));
}

#[test]
fn headers_say_whose_a_connection_is() {
    let (_folder, path) = socket();
    let first = serve(&path);
    for mode in ["http", "tcp"] {
        let gateway = Gateway::of_backend_before(
            &format!("mode = \"{mode}\""),
            &format!(
                "server = [{{ name = \"s1\", address = \"unix@{}\", send_proxy = \"v1\" }}]",
                path.display()
            ),
        );
        let mut client = gateway.connect();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("sent");
        let told =
            format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} ", client.local_addr().expect("it is open").port());
        wait_until("it is told", || {
            first.lock().expect("no test panicked here").iter().any(|line| line.starts_with(&told))
        });
    }
}

#[test]
fn bytes_of_mode_tcp_go_both_ways() {
    let (_folder, path) = socket();
    let _first = serve(&path);
    let gateway = Gateway::of_backend_before(
        "mode = \"tcp\"",
        &format!(
            "check = {{ type = \"tcp\", inter = \"50ms\", rise = 1, fall = 1 }}\n\
             server = [{{ name = \"s1\", address = \"unix@{}\" }}]",
            path.display()
        ),
    );
    let mut client = gateway.connect();
    client.write_all(POST).expect("sent");
    client.shutdown(Shutdown::Write).expect("ended");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    assert!(answer.ends_with("local"), "{answer}");
    let passed = "headgate_server_checks_total{backend=\"be\",result=\"passed\",server=\"s1\"}";
    wait_until("it is checked", || gateway.metric(passed) > 1.0);
}

#[test]
fn what_does_not_go_with_a_unix_socket_is_refused() {
    let check = |address: &str, keys: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!(
            "[admin]\nsocket = \"/run/x.sock\"\n[[frontend]]\nname = \"fe\"\nbind = [\"127.0.0.1:0\"]\n\
             default_backend = \"be\"\n[[backend]]\nname = \"be\"\n\
             server = [{{ name = \"s\", address = \"{address}\"{keys} }}]\n"
        );
        let file = write(folder.path(), "gateway.toml", &text);
        output(Command::new(env!("CARGO_BIN_EXE_headgate")).arg("check").arg(file))
    };
    assert!(!check("unix@/run/s.sock", "").contains("error"));
    assert!(check("unix@run/s.sock", "").contains("a path from / on"));
    assert!(check("unix@/run/s.sock", ", ssl = true").contains("TLS on a UNIX socket"));
    assert!(check("unix@/run/s.sock", ", source = \"10.0.0.1\"").contains("a source on a UNIX socket"));
}
