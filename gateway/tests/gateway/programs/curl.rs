//! curl: answers before the answer (RFC 9110 §15.2).

use super::{installed, output};
use crate::harness::{Gateway, Server, ok};
use std::io::Read;
use std::process::Command;

pub(super) const BODY: &str = "a body that waits until it is asked for";

fn curl(arguments: &[&str]) -> String {
    output(Command::new("curl").args(["-sSv", "--max-time", "20"]).args(arguments))
}

/// A server that answers each request with its body, and asks for that first, if told to wait for it.
pub(super) fn echo() -> Server {
    Server::start(|head, stream| {
        if head.to_ascii_lowercase().contains("\r\nexpect: 100-continue\r\n") {
            std::io::Write::write_all(stream, b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
        }
        let mut body = vec![0; BODY.len()];
        stream.read_exact(&mut body).ok()?;
        Some(ok(&String::from_utf8_lossy(&body)))
    })
}

#[test]
fn curl_waits_for_100_continue_and_gets_it() {
    if !installed("curl") {
        return;
    }
    let gateway = Gateway::before(&[echo().address], "");
    let url = format!("http://{}/", gateway.front);
    // Longer than the test waits: only an answer makes curl send the body.
    let expect = ["-H", "Expect: 100-continue", "--expect100-timeout", "60", "-d", BODY, &url];
    let said = curl(&[&["--http1.1"], &expect[..]].concat());
    assert!(said.contains("< HTTP/1.1 100 Continue") && said.contains("< HTTP/1.1 200 OK"), "{said}");
    assert!(said.starts_with(BODY), "{said}");
    assert!(gateway.log_lines(1)[0].contains(" 200 "), "the log has the answer, not what came before");
}

#[test]
fn curl_sees_early_hints() {
    if !installed("curl") {
        return;
    }
    let server = Server::start(|_, _| {
        let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";
        Some([hints.as_slice(), &ok("the page")].concat())
    });
    let gateway = Gateway::before(&[server.address], "h2c = true");
    let url = format!("http://{}/", gateway.front);
    let said = curl(&["--http1.1", &url]);
    assert!(said.contains("< HTTP/1.1 103") && said.contains("< HTTP/1.1 200"), "{said}");
    assert!(said.contains("< Link: </style.css>; rel=preload") && said.starts_with("the page"), "{said}");
    // The engine has none for HTTP/2, where they are left out.
    let said = curl(&["--http2-prior-knowledge", &url]);
    assert!(said.contains("< HTTP/2 200") && said.starts_with("the page"), "{said}");
}
