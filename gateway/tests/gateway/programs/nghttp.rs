//! nghttp: answers before the answer, over HTTP/2 (RFC 9113 §8.1).

use super::curl::{BODY, echo};
use super::{installed, output};
use crate::harness::{Gateway, Server, write};
use std::process::Command;

/// Each head that comes, and the last body.
fn nghttp(arguments: &[&str]) -> String {
    output(Command::new("nghttp").args(["-v", "-t", "20"]).args(arguments))
}

#[test]
fn nghttp_waits_for_100_continue_and_gets_it() {
    if !installed("nghttp") {
        return;
    }
    let gateway = Gateway::before(&[echo().address], "h2c = true");
    let body = write(gateway.folder.path(), "body", BODY);
    let url = format!("http://{}/", gateway.front);
    // It sends its body when it is told to, and else never.
    let said = nghttp(&["--expect-continue", "-d", &body.display().to_string(), &url]);
    let (told, answered) = (said.find(":status: 100"), said.find(":status: 200"));
    assert!(told.is_some() && told < answered, "{said}");
    assert!(said.contains(BODY), "{said}");
    assert!(gateway.log_lines(1)[0].contains(" 200 "), "the log has the answer, not what came before");
}

#[test]
fn early_hints_reach_clients_of_http_2_as_they_come_and_without_what_concerns_one_connection() {
    if !installed("nghttp") {
        return;
    }
    let server = Server::start(|_, _| {
        let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: keep-alive\r\n\r\n";
        Some([hint, hint, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell"].concat().into_bytes())
    });
    let gateway = Gateway::before(&[server.address], "h2c = true");
    let url = format!("http://{}/", gateway.front);
    let body = write(gateway.folder.path(), "body", BODY);
    // A plain request, and one with a body.
    for more in [vec![], vec!["-d", body.to_str().expect("a path")]] {
        let said = nghttp(&[&more[..], &[&url]].concat());
        assert_eq!(said.matches(":status: 103").count(), 2, "{said}");
        assert_eq!(said.matches("link: </a.css>").count(), 2, "{said}");
        assert!(!said.contains("connection: "), "{said}");
        assert!(said.rfind(":status: 103") < said.find(":status: 200") && said.contains("well"), "{said}");
    }
}
