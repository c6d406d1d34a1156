//! MariaDB, with Galera and without, and PostgreSQL.

use super::common;
use super::programs::{Program, START, find, run, shell};
use healthcheck_core::CheckStatus;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// Runs `sql` as root.
fn sql(folder: &Path, sql: &str) -> String {
    let socket = folder.join("socket");
    shell(&format!("mariadb --no-defaults -u root -S {} -e \"{sql}\"", socket.display()))
}

/// A server with its own data, in which `check` may log in with a password and `open` without.
async fn mariadb(folder: &Path, address: SocketAddr, more: &[String]) -> Option<Program> {
    let (program, install) = (find("mariadbd")?, find("mariadb-install-db")?);
    find("mariadb")?;
    let data = folder.join("data");
    let said = shell(&format!(
        "{} --no-defaults --user=root --auth-root-authentication-method=normal --skip-test-db --datadir={}",
        install.display(),
        data.display()
    ));
    assert!(data.join("mysql").exists(), "{said}");
    let mut command = Command::new(program);
    command
        .args(["--no-defaults", "--user=root", "--bind-address=127.0.0.1", "--skip-name-resolve"])
        .arg("--innodb-flush-log-at-trx-commit=0")
        .arg(format!("--datadir={}", data.display()))
        .arg(format!("--socket={}", folder.join("socket").display()))
        .arg(format!("--port={}", address.port()))
        .args(more);
    let server = Program::start(&mut command);
    server.until_passes(r#"type = "mysql""#, address).await;
    Some(server)
}

const USERS: &str = "create user 'check'@'%' identified by 'secret'; create user 'open'@'%' identified by ''";

#[tokio::test]
async fn mariadb_is_checked_by_its_greeting_and_by_a_login() {
    let folder = tempfile::tempdir().expect("a folder");
    let address = common::nobody().await;
    let Some(server) = mariadb(folder.path(), address, &[]).await else { return };
    assert_eq!(sql(folder.path(), USERS), "");
    assert!(run(r#"type = "mysql", user = "open""#, address).await.passed());
    assert!(run(r#"type = "mysql", user = "check", password = "secret""#, address).await.passed());
    let found = run(r#"type = "mysql", user = "check", password = "wrong""#, address).await;
    assert_eq!(found.to_string(), "L7STS 1045 not_allowed");
    let found = run(r#"type = "mysql", user = "open", wsrep_ready = true"#, address).await;
    assert_eq!((found.status, found.note), (CheckStatus::L7Status, "wsrep_not_ready"), "there is no Galera");
    let aborted = "show global status like 'aborted_clients'";
    assert!(
        sql(folder.path(), aborted).contains("\t0"),
        "each login said goodbye: {}",
        sql(folder.path(), aborted)
    );
    server.hangs_and_dies(r#"type = "mysql""#, address, CheckStatus::L7Timeout).await;
}

#[tokio::test]
async fn a_galera_node_is_checked_by_whether_it_works() {
    let library = Path::new("/usr/lib/galera/libgalera_smm.so");
    if !library.exists() {
        eprintln!("skipped: Galera is not installed");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (address, cluster) = (common::nobody().await, common::nobody().await);
    let galera = [
        "--wsrep-on=ON".to_owned(),
        format!("--wsrep-provider={}", library.display()),
        "--wsrep-cluster-address=gcomm://".to_owned(),
        format!("--wsrep-node-address=127.0.0.1:{}", cluster.port()),
        format!("--wsrep-provider-options=gmcast.listen_addr=tcp://{cluster}; gcache.size=1M"),
        "--binlog-format=ROW".to_owned(),
        "--innodb-autoinc-lock-mode=2".to_owned(),
    ];
    let Some(server) = mariadb(folder.path(), address, &galera).await else { return };
    let is_ready = r#"type = "mysql", user = "open", wsrep_ready = true"#;
    assert_eq!(sql(folder.path(), USERS), "");
    assert!(server.passes_within(is_ready, address, START).await);
    // As a node does that has lost the others: it greets and lets in, and works no more.
    sql(folder.path(), "set global wsrep_provider_options = 'pc.weight=0'");
    sql(folder.path(), "set global wsrep_cluster_address = 'gcomm://127.0.0.1:1'");
    assert!(run(r#"type = "mysql""#, address).await.passed());
    let found = run(is_ready, address).await;
    assert_eq!((found.status, found.note), (CheckStatus::L7Status, "wsrep_not_ready"));
}

#[tokio::test]
async fn postgresql_is_checked_by_its_first_word() {
    let (Some(program), Some(install)) = (find("postgres"), find("initdb")) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let address = common::nobody().await;
    let path = folder.path().display();
    // It refuses to run as root.
    let user = if nix::unistd::Uid::effective().is_root() {
        "setpriv --reuid postgres --clear-groups"
    } else {
        "env"
    };
    let said = shell(&format!(
        "chmod 777 {path}; cd {path}; {user} {} -A trust -U root -N -D {path}/data",
        install.display()
    ));
    assert!(folder.path().join("data/PG_VERSION").exists(), "{said}");
    let mut command = Command::new("sh");
    let port = address.port();
    command.arg("-c").arg(format!(
        "cd {path}; exec {user} {} -c fsync=off -h 127.0.0.1 -p {port} -k {path} -D {path}/data",
        program.display()
    ));
    let server = Program::start(&mut command);
    server.until_passes(r#"type = "postgres""#, address).await;
    assert!(run(r#"type = "postgres", user = "root", database = "postgres""#, address).await.passed());
    server.hangs_and_dies(r#"type = "postgres""#, address, CheckStatus::L7Timeout).await;
}
