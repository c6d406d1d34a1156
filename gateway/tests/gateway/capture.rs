//! What is captured stands in the log as HAProxy has it.

use crate::daemons::program;
use crate::harness::{Gateway, Server, exchange, wait_until};

/// `len` is short, so that something is cut.
const OURS: &str = "capture = { request_header = [{ name = \"Host\", len = 12 }, { name = \"X-Odd\", len = 24 }], \
     response_header = [{ name = \"Server\", len = 8 }, { name = \"Location\", len = 30 }], cookie = { name = \"SID\", len = 9 } }";
const THEIRS: &str = " capture request header Host len 12\n capture request header X-Odd len 24\n \
     capture response header Server len 8\n capture response header Location len 30\n capture cookie SID len 9\n";

const HEADS: [&str; 7] = [
    "GET / HTTP/1.1\r\nHost: api.example.org\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX-Odd: one\r\nX-Odd: two, three\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX-Odd: {a|b} \"q\" #7 \\ ~\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX-Odd: caf\u{e9}\r\n",
    "GET /sets HTTP/1.1\r\nHost: a\r\nCookie: x=1; SID=abcdefgh; y=2\r\n",
    "GET /sets HTTP/1.1\r\nHost: a\r\nCookie: SIDECAR=7\r\nCookie: SID=8\r\n",
    "GET /no HTTP/1.1\r\nHost: a\r\nX-Odd: refused\r\n",
];

fn server() -> Server {
    Server::start(|head, _| {
        let sets = if head.contains(" /sets ") {
            "Set-Cookie: o=1\r\nSet-Cookie: SID=new; Path=/\r\nLocation: /a\r\nLocation: /b|c\r\n"
        } else {
            ""
        };
        Some(format!("HTTP/1.1 200 OK\r\nServer: nginx/1.22\r\n{sets}Content-Length: 0\r\n\r\n").into_bytes())
    })
}

/// The two cookies, and all from the blocks on.
fn captured(line: &str) -> String {
    let cookies = line.split(' ').skip(7).take(2).collect::<Vec<_>>().join(" ");
    let rest = line.find(" {").map(|place| &line[place..]).unwrap_or_default();
    format!("{cookies}{rest}")
}

#[test]
fn fields_and_cookies_stand_in_the_line_as_haproxy_writes_them() {
    let Some(program) = program("haproxy") else { return };
    let server = server();
    let deny = "[[frontend.rule]]\nif = { path = \"/no\" }\ndeny = 403";
    let gateway = Gateway::before(&[server.address], &format!("{OURS}\n{deny}"));
    let folder = tempfile::tempdir().expect("a folder");
    let front = format!("{THEIRS} http-request deny if {{ path /no }}\n");
    let (_running, there, log) =
        crate::cookie::haproxy(&program, folder.path(), std::slice::from_ref(&server), &front, "", true);
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    let theirs =
        || read().lines().filter(|line| line.contains(" fe ")).map(str::to_owned).collect::<Vec<_>>();
    for (number, head) in HEADS.iter().enumerate() {
        let request = format!("{head}Connection: close\r\n\r\n");
        for address in [gateway.front, there] {
            exchange(address, request.as_bytes());
        }
        wait_until("haproxy has logged", || theirs().len() == number + 1);
        let (ours, theirs) = (gateway.log_lines(number + 1), theirs());
        // Each of our workers writes its lines by itself, so the last is the one that was not there before.
        let (ours, theirs) = (ours.last().expect("a line"), theirs.last().expect("a line"));
        assert_eq!(captured(ours), captured(theirs), "{head}\nours:   {ours}\ntheirs: {theirs}");
    }
}

#[test]
fn a_line_of_json_has_each_by_its_name() {
    let server = server();
    let gateway = Gateway::before(&[server.address], OURS);
    let config = std::fs::read_to_string(gateway.folder.path().join("gateway.toml")).expect("the file");
    let config = config.replace("[log]\n", "[log]\nformat = \"json\"\n");
    let config =
        config.replace(&gateway.front.to_string(), "FRONT").replace(&gateway.admin.to_string(), "ADMIN");
    let gateway = Gateway::start(&config.replace(&gateway.folder.path().display().to_string(), "FOLDER"));
    exchange(gateway.front, format!("{}Connection: close\r\n\r\n", HEADS[4]).as_bytes());
    let line = gateway.log_lines(1).remove(0);
    let line: serde_json::Value =
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!(line["captured_request"], serde_json::json!({ "Host": "a", "X-Odd": null }));
    assert_eq!(line["captured_response"], serde_json::json!({ "Server": "nginx/1.", "Location": "/b|c" }));
    assert_eq!((&line["cookie_request"], &line["cookie_response"]), (&"SID=abcde".into(), &"SID=new".into()));
}
