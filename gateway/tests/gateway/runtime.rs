//! The runtime API, beside a real HAProxy: the same commands get the same answers.

use crate::daemons::{Running, program};
use crate::harness::{Gateway, Server, wait_until, write};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

/// One command line, and all that comes back.
fn ask(socket: &Path, line: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("somebody listens");
    stream.set_read_timeout(Some(crate::harness::DEADLINE)).expect("a deadline");
    writeln!(stream, "{line}").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// Without what no two processes have alike: where an entry lies in memory, how long it lives, and its place.
fn same(answer: &str) -> Vec<String> {
    let plain = |line: &str| match (line.split_once("key="), line.split_once(" exp=")) {
        (Some((_, row)), Some((_, behind))) if line.starts_with("0x") => {
            let key = row.split(" exp=").next().unwrap_or_default();
            format!("key={key} {}", behind.split_once(' ').map_or("", |(_, data)| data))
        }
        _ => line.to_owned(),
    };
    let mut lines: Vec<String> = answer.split('\n').map(plain).collect();
    // Rows have no order.
    lines.sort();
    lines
}

#[test]
fn tables_are_shown_written_and_cleared_as_haproxy_does_it() {
    let Some(haproxy) = program("haproxy") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let theirs = folder.path().join("h.sock");
    let store = ["gpc0", "gpt0", "conn_cnt", "conn_cur", "http_req_rate(10s)", "bytes_out_cnt", "server_id"];
    let config = format!(
        "global\n stats socket {} level admin\ndefaults\n timeout client 5s\n timeout server 5s\n timeout connect 5s\n\
         backend clients\n stick-table type ip size 1k expire 60s store {}\n\
         backend texts\n stick-table type string len 20 size 1k expire 60s store gpc(2),gpt(2),gpc_rate(2,10s)\n",
        theirs.display(),
        store.join(",")
    );
    let file = write(folder.path(), "haproxy.cfg", &config);
    let _haproxy = Running::start(Command::new(haproxy).arg("-db").arg("-f").arg(file));
    wait_until("haproxy answers", || UnixStream::connect(&theirs).is_ok());
    let stored = store.map(|data| format!("\"{data}\"")).join(", ");
    let gateway = Gateway::before(
        &[Server::named("s1").address],
        &format!(
            "[[stick_table]]\nname = \"texts\"\ntype = \"string(20)\"\nsize = 1024\nexpire = \"60s\"\n\
             store = [\"gpc(2)\", \"gpt(2)\", \"gpc_rate(2,10s)\"]\n\
             [[stick_table]]\nname = \"addresses\"\ntype = \"ip\"\nsize = 1024\nexpire = \"60s\"\nstore = [{stored}]"
        ),
    );
    let ours = gateway.folder.path().join("gw.sock");
    for line in COMMANDS {
        let here = ask(&ours, &line.replace("clients", "addresses")).replace("addresses", "clients");
        assert_eq!(same(&here), same(&ask(&theirs, line)), "{line}");
    }
}

#[test]
fn headgatectl_writes_chooses_and_clears() {
    let gateway = Gateway::before(
        &[Server::named("s1").address],
        "[[stick_table]]\nname = \"t\"\ntype = \"string\"\nstore = [\"gpc0\", \"gpt0\"]",
    );
    for (key, count) in [("a", "gpc0 5"), ("b c", "gpc0 7"), ("d", "gpc0 9")] {
        let said = gateway.ctl(&["set", "table", "t", "--key", key, "--data", count, "--data", "gpt0 1"]);
        assert_eq!(
            said.trim(),
            if key == "b c" { "headgatectl: \"data.<type>\" followed by a value expected" } else { "" }
        );
    }
    let shown = gateway.ctl(&["show", "table", "t", "--data", "gpc0 gt 5", "--data", "gpt0 eq 1"]);
    assert!(shown.contains("used:2") && shown.contains("key=d use=0") && !shown.contains("key=a"), "{shown}");
    assert_eq!(gateway.ctl(&["clear", "table", "t", "--data", "gpc0 ge 9"]).trim(), "");
    assert!(gateway.ctl(&["show", "table", "t"]).contains("used:1"));
    assert_eq!(gateway.ctl(&["show", "table", "none"]).trim(), "headgatectl: No such table");
    assert_eq!(gateway.ctl(&["clear", "table", "t"]).trim(), "");
    assert!(gateway.ctl(&["show", "table", "t"]).contains("used:0"));
}

/// In turn, as one leaves the tables for the next.
const COMMANDS: &[&str] = &[
    "show table clients",
    "set table clients key 127.0.0.1 data.gpc0 5",
    "set table clients key 127.0.0.1 data.gpt0 7 data.http_req_rate 9 data.conn_cnt 4 data.bytes_out_cnt 6000000000",
    "set table clients key 127.0.0.2 data.gpc0 6 data.server_id 3",
    "set table clients key 127.0.0.3",
    "show table clients",
    "show table clients key 127.0.0.1",
    "show table clients key 127.0.0.77",
    "show table clients data.gpc0 gt 5",
    "show table clients data.gpc0 ge 5 data.gpt0 eq 7",
    "show table clients data.gpc0 ge 5 data.gpt0 ne 7",
    "show table clients data.http_req_rate gt 3",
    "show table clients data.bytes_out_cnt lt 6000000000",
    "show table clients data.gpc0 le 5 data.gpc0 ne 0 data.gpc0 lt 6 data.conn_cur eq 0",
    "show table clients key",
    "show table clients foo",
    "show table clients data.gpc0 xx 3",
    "show table clients data.gpc0 gt",
    "show table clients data.gpc0",
    "show table clients data.foo gt 1",
    "show table clients data.gpc1 gt 1",
    "show table clients data.gpc0 gt abc",
    "show table clients data.gpc0 gt 1 data.gpc0 gt 1 data.gpc0 gt 1 data.gpc0 gt 1 data.gpc0 gt 1",
    "show table nope",
    "set table",
    "set table nope key 1 data.gpc0 1",
    "set table clients key 127.0.0.1 data.foo 5",
    "set table clients key 127.0.0.1 data.gpc1 1",
    "set table clients key 127.0.0.9 gpc0 1",
    "clear table",
    "clear table nope",
    "clear table clients foo",
    "clear table clients key 127.0.0.77",
    "clear table clients key 127.0.0.3",
    "clear table clients data.gpc0 gt 5",
    "show table clients key 127.0.0.2",
    "clear table clients",
    "set table texts key k1 data.gpt 5 data.gpc 3 data.gpc_rate 2",
    "show table texts",
    "show table texts data.gpt gt 4",
    "show table texts data.gpt0 gt 4",
    "show table texts data.gpc_rate eq 2",
    "show table texts key k1",
    "clear table texts",
    "show table texts",
];
