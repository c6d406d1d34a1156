//! Where a frontend can listen: UNIX sockets, sockets that it was started with, addresses that are not there yet.

use crate::daemons::{Running, output, program};
use crate::harness::{DEADLINE, Gateway, Server, free_address, wait_until, write};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

fn config(binds: &str, more: &str, server: SocketAddr) -> String {
    format!(
        "workers = 2\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n[log]\nto = \"FOLDER/access.log\"\n\
         [[frontend]]\nname = \"fe\"\nbind = [{binds}]\ndefault_backend = \"be\"\n{more}\n\
         [[backend]]\nname = \"be\"\nserver = [{{ name = \"s\", address = \"{server}\" }}]\n"
    )
}

fn over(path: &Path, before: &str) -> String {
    let Ok(mut stream) = UnixStream::connect(path) else { return String::new() };
    stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    // A refusal may come, and the connection close, before all is written.
    let _ = write!(stream, "{before}GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn clients_come_over_a_unix_socket_that_is_only_for_those_who_may() {
    let server = Server::named("s");
    let more = "unix_bind = { mode = \"640\" }\n\
                [[frontend.rule]]\nif = { src = [\"198.51.100.0/24\"] }\ndeny = 403";
    let gateway = Gateway::start(&config("\"FRONT\", \"unix@FOLDER/a.sock\"", more, server.address));
    let path = gateway.folder.path().join("a.sock");
    for _ in 0..20 {
        assert!(over(&path, "").ends_with("\r\n\r\ns"), "every worker accepts");
    }
    assert!(gateway.get("/").ends_with("\r\n\r\ns"));
    let found = std::fs::metadata(&path).expect("it is there");
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o640);
    assert!(gateway.log_lines(21)[0].starts_with("127.0.0.1:0 ["));
}

#[test]
fn who_passes_connections_on_over_a_unix_socket_says_whose_they_are() {
    let server = Server::named("s");
    let more = "accept_proxy = [\"127.0.0.1/32\"]\nmode = \"http\"";
    let gateway = Gateway::start(&config("\"unix@FOLDER/a.sock\"", more, server.address));
    let path = gateway.folder.path().join("a.sock");
    assert!(over(&path, "PROXY TCP4 198.51.100.7 192.0.2.1 4000 80\r\n").ends_with("\r\n\r\ns"));
    let head = server.heads()[0].to_ascii_lowercase();
    assert!(head.contains("x-forwarded-for: 198.51.100.7"), "{head}");
    assert!(!over(&path, "").contains("200 OK"), "one that does not say is no request");
}

#[test]
fn a_socket_that_nobody_listens_on_is_replaced_and_any_other_is_not() {
    let server = Server::named("s");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.sock");
    drop(UnixListener::bind(&path).expect("a socket"));
    let bind = format!("\"unix@{}\"", path.display());
    let gateway = Gateway::start(&config(&bind, "", server.address));
    assert!(over(&path, "").ends_with("\r\n\r\ns"), "it is replaced");
    let refused = |text: &str| {
        let text = text.replace("ADMIN", &free_address().to_string());
        let text = text.replace("FOLDER", &folder.path().display().to_string());
        let file = write(folder.path(), "gateway.toml", &text);
        output(Command::new(env!("CARGO_BIN_EXE_headgate")).arg("run").arg(file))
    };
    let told = refused(&config(&bind, "", server.address));
    assert!(told.contains("another process listens there"), "{told}");
    assert!(over(&path, "").ends_with("\r\n\r\ns"), "who listens there goes on");
    drop(gateway);
    std::fs::remove_file(&path).expect("it is left behind");
    write(folder.path(), "a.sock", "a file");
    let told = refused(&config(&bind, "", server.address));
    assert!(told.contains("what is there is no socket"), "{told}");
    assert_eq!(std::fs::read_to_string(&path).expect("a file"), "a file");
    std::fs::remove_file(&path).expect("it is a file");
    let gateway = Gateway::start(&config(&bind, "", server.address));
    assert!(over(&path, "").ends_with("\r\n\r\ns"), "a process that was killed leaves nothing in the way");
    drop(gateway);
    let gateway = Gateway::start(&config(&bind, "", server.address));
    assert!(over(&path, "").ends_with("\r\n\r\ns"));
    drop(gateway);
}

#[test]
fn a_socket_that_the_process_was_started_with_is_used() {
    let Some(python) = program("python3") else { return };
    let server = Server::named("s");
    let folder = tempfile::tempdir().expect("a folder");
    let (front, admin) = (free_address(), free_address());
    let text = config("\"fd@3\"", "", server.address)
        .replace("ADMIN", &admin.to_string())
        .replace("FOLDER", &folder.path().display().to_string());
    let file = write(folder.path(), "gateway.toml", &text);
    // As a service manager does it: the socket listens before there is anyone to accept.
    let script = "import os, socket, sys\n\
                  s = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n\
                  os.dup2(s.fileno(), 3)\nos.set_inheritable(3, True)\n\
                  os.execv(sys.argv[2], sys.argv[2:])\n";
    let port = front.port().to_string();
    let mut command = Command::new(python);
    command.args(["-c", script, &port, env!("CARGO_BIN_EXE_headgate"), "run"]).arg(&file);
    let _gateway = Running::start(&mut command);
    wait_until("it listens", || std::net::TcpStream::connect(front).is_ok());
    for _ in 0..20 {
        let answer =
            crate::harness::exchange(front, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(answer.ends_with("\r\n\r\ns"), "{answer}");
    }
    let text = text.replace("fd@3", "fd@250");
    let file =
        write(folder.path(), "none.toml", &text.replace(&admin.to_string(), &free_address().to_string()));
    let told = output(Command::new(env!("CARGO_BIN_EXE_headgate")).arg("run").arg(file));
    assert!(told.contains("can't listen on fd@250"), "{told}");
}

/// Requests to an address that no interface has, before and after one gets it, in a network of their own.
const APPEARS: &str = r#"
ip link set lo up
python3 -m http.server --bind 127.0.0.1 8001 >/dev/null 2>&1 &
server=$!
"$1" run "$2" >/dev/null 2>&1 &
gateway=$!
ask() { curl -s -o /dev/null -w '%{http_code}' --max-time 2 "$@"; }
for try in $(seq 200); do
    [ "$(ask http://127.0.0.1:8404/health)" = 200 ] && [ "$(ask http://127.0.0.1:8001/)" = 200 ] && break
    sleep 0.05
done
echo before: $(ask http://198.51.100.77:8080/) $(ask 'http://[2001:db8::77]:8080/')
ip address add 198.51.100.77/32 dev lo
ip address add 2001:db8::77/128 dev lo nodad
echo after: $(ask http://198.51.100.77:8080/) $(ask 'http://[2001:db8::77]:8080/')
kill $gateway $server
wait
"#;

#[test]
fn an_address_that_is_not_there_yet_is_served_as_soon_as_it_is() {
    for name in ["unshare", "ip", "curl", "python3"] {
        if program(name).is_none() {
            return;
        }
    }
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net"]);
        command
    };
    if !unshare().arg("true").status().is_ok_and(|status| status.success()) {
        return eprintln!("skipped: no network of one's own can be had here");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let text = config(
        "\"198.51.100.77:8080\", \"[2001:db8::77]:8080\"",
        "",
        "127.0.0.1:8001".parse().expect("an address"),
    );
    let text =
        text.replace("ADMIN", "127.0.0.1:8404").replace("FOLDER", &folder.path().display().to_string());
    let file = write(folder.path(), "gateway.toml", &text);
    let mut command = unshare();
    command.args(["sh", "-c", APPEARS, "sh", env!("CARGO_BIN_EXE_headgate")]).arg(file);
    let said = output(&mut command);
    assert_eq!(said, "before: 000 000\nafter: 200 200\n");
}
