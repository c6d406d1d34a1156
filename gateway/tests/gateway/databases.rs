//! Mode tcp before real databases, with their own clients.

use crate::daemons::{Running, command_as, output, program};
use crate::harness::{free_address, wait_until};
use crate::tcp::gateway;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

fn is_open(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

#[test]
fn mariadb_works_through_it() {
    let (Some(server), Some(client), Some(install)) =
        (program("mariadbd"), program("mariadb"), program("mariadb-install-db"))
    else {
        return;
    };
    let (folder, address) = (tempfile::tempdir().expect("a folder"), free_address());
    let data = folder.path().join("data");
    let said = output(
        command_as("mysql", folder.path(), &install)
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(format!("--datadir={}", data.display())),
    );
    assert!(data.join("mysql").exists(), "{said}");
    let mut command = command_as("mysql", folder.path(), &server);
    command
        .args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve"])
        .arg(format!("--datadir={}", data.display()))
        .arg(format!("--socket={}", folder.path().join("sock").display()))
        .arg(format!("--port={}", address.port()));
    let _server = Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    wait_until("mariadbd listens", || is_open(address));
    let gateway = gateway(&[address], "", "balance = \"leastconn\"");
    let port = gateway.front.port().to_string();
    let said = output(Command::new(client).args([
        "--no-defaults",
        "-h",
        "127.0.0.1",
        "-P",
        &port,
        "-u",
        "root",
        "-N",
        "-e",
        "create database x; use x; create table t (a longtext); \
         insert into t values (repeat('y', 900000)); select length(a), md5(a) from t; select 6 * 7",
    ]));
    assert!(said.contains("900000\t") && said.contains("\n42\n"), "{said}");
    let line = gateway.log_lines(1).remove(0);
    assert!(line.contains(" fe be/s0 ") && line.contains(" -- "), "{line}");
}

#[test]
fn postgresql_works_through_it() {
    let (Some(server), Some(client), Some(install)) =
        (program("postgres"), program("psql"), program("initdb"))
    else {
        return;
    };
    let (folder, address) = (tempfile::tempdir().expect("a folder"), free_address());
    let data = folder.path().join("data");
    let said = output(
        command_as("postgres", folder.path(), &install)
            .args(["-A", "trust", "-U", "root", "-N", "-D"])
            .arg(&data),
    );
    assert!(data.join("PG_VERSION").exists(), "{said}");
    let mut command = command_as("postgres", folder.path(), &server);
    command
        .args(["-c", "fsync=off", "-h", "127.0.0.1", "-p", &address.port().to_string(), "-k"])
        .arg(folder.path())
        .arg("-D")
        .arg(&data);
    let _server = Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    wait_until("postgres listens", || is_open(address));
    let gateway = gateway(&[address], "", "");
    let port = gateway.front.port().to_string();
    let query = |sql: &str| {
        output(Command::new(&client).args([
            "-X",
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "root",
            "-Atc",
            sql,
            "postgres",
        ]))
    };
    wait_until("postgres answers", || query("select 6 * 7") == "42\n");
    assert_eq!(
        query("select length(string_agg(n::text, ',')) from generate_series(1, 300000) n"),
        "1988894\n"
    );
    assert!(gateway.log_lines(2).iter().any(|line| line.contains(" fe be/s0 ")));
}
