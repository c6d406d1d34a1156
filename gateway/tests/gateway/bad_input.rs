//! A configuration that can't work is refused before anything starts, and says where and why.

use crate::harness::{free_address, write};
use std::path::Path;
use std::process::{Command, Output};

const GOOD: &str = "
[[frontend]]
name = \"fe\"
bind = [\"FRONT\"]
default_backend = \"be\"
[[backend]]
name = \"be\"
server = [{ name = \"s\", address = \"127.0.0.1:1\" }]
";

fn headgate(command: &str, file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_headgate")).arg(command).arg(file).output().expect("headgate runs")
}

/// Both `run` and `check` must fail with exit 1 and say all of `said`.
fn refused(name: &str, config: &str, said: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config.replace("FOLDER", &folder.path().display().to_string());
    let file = write(folder.path(), name, &config);
    for command in ["check", "run"] {
        let output = headgate(command, &file);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command}: {text}");
        for said in said {
            assert!(text.contains(said), "{command}: {said:?} is in {text}");
        }
    }
}

#[test]
fn an_unknown_key_is_shown_with_the_known_ones() {
    refused("a.toml", "nodes = \"x\"\n", &["a.toml:1:1", "unknown field `nodes`", "expected one of `node`"]);
}

#[test]
fn a_wrong_type_is_shown_with_the_right_one() {
    let config = format!("workers = \"two\"\n{GOOD}").replace("FRONT", "127.0.0.1:8080");
    refused("a.toml", &config, &["a.toml:1:11", "invalid type: string \"two\"", "expected usize"]);
}

#[test]
fn what_is_no_toml_is_shown_where_it_ends_to_be() {
    refused("a.toml", "node = \n", &["a.toml:1:8"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = headgate("run", Path::new("/nowhere/gateway.toml"));
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("/nowhere/gateway.toml") && text.contains("No such file"), "{text}");
}

#[test]
fn an_address_that_is_taken_is_shown_in_the_file() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let socket = format!("[admin]\nsocket = \"{}/gw.sock\"\n", folder.path().display());
    let file = write(folder.path(), "a.toml", &(GOOD.replace("FRONT", &address) + &socket));
    let output = headgate("run", &file);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for said in ["a.toml:4:9", &format!("can't listen on {address}"), "another process listens there"] {
        assert!(text.contains(said), "{said:?} is in {text}");
    }
    assert!(headgate("check", &file).status.success(), "it is only taken now");
}

#[test]
fn a_second_gateway_on_the_same_address_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = |number: u8, address: &str| {
        let socket = format!("[admin]\nsocket = \"{}/{number}.sock\"\n", folder.path().display());
        write(folder.path(), &format!("{number}.toml"), &(GOOD.replace("FRONT", address) + &socket))
    };
    let address = free_address().to_string();
    let mut first = Command::new(env!("CARGO_BIN_EXE_headgate"))
        .arg("run")
        .arg(config(1, &address))
        .spawn()
        .expect("headgate runs");
    crate::harness::wait_until("the first listens", || std::net::TcpStream::connect(&address).is_ok());
    let output = headgate("run", &config(2, &address));
    let _ = first.kill();
    let _ = first.wait();
    assert_eq!(
        output.status.code(),
        Some(1),
        "sockets that share a port must not share it with another process"
    );
}

#[test]
fn a_certificate_that_does_not_load_is_shown_in_the_file() {
    let config = |tls: &str| {
        GOOD.replace("FRONT", "127.0.0.1:8443")
            .replace("name = \"fe\"\n", &format!("name = \"fe\"\ntls = {tls}\n"))
    };
    let missing = config("{ cert = \"FOLDER/none.pem\", key = \"FOLDER/none.key\" }");
    refused(
        "a.toml",
        &missing,
        &["a.toml:4:16", "the certificate does not load", "none.pem", "No such file"],
    );
    let garbage = config("{ cert = \"FOLDER/a.toml\", key = \"FOLDER/a.toml\" }");
    refused(
        "a.toml",
        &garbage,
        &["a.toml:4:16", "the certificate does not load", "at least one certificate"],
    );
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let pair = || rcgen::generate_simple_self_signed(["api.example".to_owned()]).expect("a certificate");
    let (one, other) = (pair(), pair());
    let cert = write(folder.path(), "cert.pem", &one.cert.pem());
    let key = write(folder.path(), "key.pem", &other.signing_key.serialize_pem());
    let config = GOOD.replace("FRONT", "127.0.0.1:8443").replace(
        "name = \"fe\"\n",
        &format!("name = \"fe\"\ntls = {{ cert = \"{}\", key = \"{}\" }}\n", cert.display(), key.display()),
    );
    refused("a.toml", &config, &["a.toml:4:16", "certificate and key"]);
}

#[test]
fn a_list_that_does_not_load_is_shown_with_its_line() {
    let list = |file: &str| {
        format!("[[acl]]\nname = \"nets\"\nfile = \"{file}\"\nmatch = \"ip\"\n{GOOD}")
            .replace("FRONT", "127.0.0.1:8080")
    };
    refused("a.toml", &list("FOLDER/none"), &["a.toml:3:8", "this file can't be used", "none: No such file"]);
    refused(
        "a.toml",
        &list("FOLDER/a.toml"),
        &["a.toml:3:8", "a.toml: line 1: `[[acl]]` is neither an address"],
    );
}
