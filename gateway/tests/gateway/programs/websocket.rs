//! A WebSocket client and server (RFC 6455), Python's `websockets`.

use super::python::Script;
use crate::harness::{Gateway, pair};

fn script() -> Option<Script> {
    Script::new(include_str!("websocket.py"), "/usr/lib/python3/dist-packages/websockets/__init__.py")
}

#[test]
fn websocket_messages_of_all_kinds_pass_both_ways() {
    let Some(mut script) = script() else { return };
    let gateway = Gateway::before(&[script.serve(&[])], "");
    assert_eq!(script.ask(&[&format!("ws://{}/chat", gateway.front)]), "ok\n");
    let line = &gateway.log_lines(1)[0];
    assert!(line.contains(" 101 ") && line.contains("\"GET /chat HTTP/1.1\""), "{line}");
}

#[test]
fn websockets_pass_over_tls() {
    let Some(mut script) = script() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = pair(folder.path(), "localhost");
    let tls = format!("tls = {{ cert = \"{}\", key = \"{}\" }}", cert.display(), key.display());
    let gateway = Gateway::before(&[script.serve(&[])], &tls);
    let url = format!("wss://localhost:{}/chat", gateway.front.port());
    assert_eq!(script.ask(&[&url, &cert.display().to_string()]), "ok\n");
}
