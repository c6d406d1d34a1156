//! With a real HAProxy: sticky entries and counters are the same on both sides, whoever starts first and
//! whoever starts again.

use super::{Node, addresses, servers, value};
use crate::daemons::{Running, program};
use crate::harness::{Gateway, exchange, wait_until, write};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

/// Where everything is, and what TLS it takes.
struct Lab {
    folder: tempfile::TempDir,
    haproxy: PathBuf,
    /// HAProxy's frontend, its peers' port, and ours.
    front: SocketAddr,
    theirs: SocketAddr,
    ours: SocketAddr,
    servers: [SocketAddr; 2],
    tls: bool,
}

impl Lab {
    fn new(servers: [SocketAddr; 2], tls: bool) -> Option<Self> {
        let haproxy = program("haproxy")?;
        let [front, theirs, ours] = addresses();
        let folder = tempfile::tempdir().expect("a folder");
        let lab = Self { folder, haproxy, front, theirs, ours, servers, tls };
        if tls {
            lab.certificates();
        }
        Some(lab)
    }

    /// One authority, and a certificate of it for each side.
    fn certificates(&self) {
        let path = self.folder.path();
        let mut authority = rcgen::CertificateParams::new(vec![]).expect("no names");
        authority.distinguished_name.push(rcgen::DnType::CommonName, "the cluster");
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().expect("a key");
        let root = authority.self_signed(&key).expect("a certificate");
        write(path, "ca.pem", &root.pem());
        let issuer = rcgen::Issuer::new(authority, key);
        for name in ["gw", "hap"] {
            let key = rcgen::KeyPair::generate().expect("a key");
            let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("a name");
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            let pem = params.signed_by(&key, &issuer).expect("a certificate").pem();
            write(path, &format!("{name}.crt"), &pem);
            write(path, &format!("{name}.key"), &key.serialize_pem());
            write(path, &format!("{name}.pem"), &(pem + &key.serialize_pem()));
        }
    }

    fn start_haproxy(&self) -> Running {
        let Self { front, theirs, ours, servers: [one, two], .. } = self;
        let path = self.folder.path().display();
        let (bind, server) = match self.tls {
            true => (
                format!("ssl crt {path}/hap.pem ca-file {path}/ca.pem verify required"),
                format!("ssl crt {path}/hap.pem ca-file {path}/ca.pem verify required"),
            ),
            false => (String::new(), String::new()),
        };
        let config = format!(
            "global\n stats socket {path}/h.sock level admin\n localpeer hap\n log stdout format raw local0\n\
             defaults\n mode http\n log global\n timeout client 5s\n timeout server 5s\n timeout connect 2s\n\
             peers lab\n bind {theirs} {bind}\n default-server {server}\n server hap\n server gw {ours}\n\
             frontend fe\n bind {front}\n default_backend be\n http-request track-sc0 src\n\
             stick-table type ip size 1k expire 60s store gpc0,http_req_cnt,http_req_rate(10s),bytes_out_cnt peers lab\n\
             backend be\n stick-table type ip size 1k expire 60s peers lab\n stick on src\n\
             server s1 {one}\n server s2 {two}\n"
        );
        let file = write(self.folder.path(), "haproxy.cfg", &config);
        let log = self.folder.path().join("haproxy.log");
        let log = std::fs::File::options().create(true).append(true).open(log).expect("a file");
        let errors = log.try_clone().expect("a second handle");
        let mut command = Command::new(&self.haproxy);
        let running = Running::start(command.args(["-db", "-f"]).arg(file).stdout(log).stderr(errors));
        wait_until("haproxy answers on its socket", || !self.ask("show info").is_empty());
        running
    }

    fn start_gateway(&self) -> Gateway {
        let path = self.folder.path().display();
        let tls =
            format!("tls = {{ cert = \"{path}/gw.crt\", key = \"{path}/gw.key\", ca = \"{path}/ca.pem\" }}");
        let node = Node {
            local: "gw",
            bind: self.ours,
            peers: &[("hap", self.theirs)],
            admin: "",
            section: if self.tls { &tls } else { "" },
            frontend: "limit = [{ table = \"fe\", http_req_cnt = 1000000 }]",
            tables: "[[stick_table]]\nname = \"fe\"\ntype = \"ip\"\nexpire = \"60s\"\npeers = \"lab\"\n\
                     store = [\"gpc0\", \"http_req_cnt\", \"http_req_rate(10s)\", \"bytes_out_cnt\"]\n\
                     [[stick_table]]\nname = \"be\"\ntype = \"ip\"\nexpire = \"60s\"\npeers = \"lab\"\n",
            stick: "stick = \"be\"",
        };
        node.start(&self.servers)
    }

    /// Asks HAProxy's socket.
    fn ask(&self, command: &str) -> String {
        let Ok(mut socket) = UnixStream::connect(self.folder.path().join("h.sock")) else {
            return String::new();
        };
        let mut answer = String::new();
        let _ = socket.write_all(format!("{command}\n").as_bytes());
        let _ = socket.read_to_string(&mut answer);
        answer
    }

    /// A request through HAProxy, from 127.0.0.1.
    fn through_haproxy(&self) -> String {
        exchange(self.front, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    }

    /// Waits until both sides show the same of 127.0.0.1, and returns what they show.
    fn settled(&self, gateway: &Gateway) -> [String; 2] {
        let look = |table: &str, fields: &[&str]| {
            let ours = gateway.ctl(&["show", "table", table]);
            let theirs = self.ask(&format!("show table {table}"));
            let pick = |text: &str| -> Option<Vec<String>> {
                fields.iter().map(|field| value(text, field).map(str::to_owned)).collect()
            };
            let (ours, theirs) = (pick(&ours), pick(&theirs));
            if ours == theirs { ours.map(|values| values.join(" ")) } else { None }
        };
        let mut found = [String::new(), String::new()];
        let fields = [&["gpc0", "http_req_cnt", "bytes_out_cnt"][..], &["server_id", "server_key"]];
        wait_until("both sides show the same", || {
            let both = [look("fe", fields[0]), look("be", fields[1])];
            let [Some(counters), Some(server)] = both else { return false };
            found = [counters, server];
            true
        });
        found
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("haproxy.log")).unwrap_or_default()
    }
}

/// The server that answered.
fn server(answer: &str) -> &str {
    answer.rsplit("\r\n").next().unwrap_or("")
}

fn both_sides_agree(tls: bool, haproxy_first: bool) {
    let [one, two] = servers();
    let Some(lab) = Lab::new([one.address, two.address], tls) else { return };
    let (mut haproxy, mut gateway);
    if haproxy_first {
        haproxy = lab.start_haproxy();
        gateway = lab.start_gateway();
    } else {
        gateway = lab.start_gateway();
        haproxy = lab.start_haproxy();
    }
    wait_until("they hear each other", || gateway.metric("headgate_peer_up{peer=\"hap\"}") == 1.0);
    let first = lab.through_haproxy();
    let [counters, sticks] = lab.settled(&gateway);
    assert!(counters.starts_with("0 1 "), "{counters}");
    assert_eq!(sticks.split(' ').nth(1), Some(server(&first)));
    for _ in 0..3 {
        assert_eq!(server(&gateway.get("/")), server(&first), "the same server through the other node");
    }
    let [counters, _] = lab.settled(&gateway);
    assert!(counters.starts_with("0 4 "), "{counters}");

    // HAProxy starts again: it learns from us.
    drop(haproxy);
    wait_until("it is gone", || gateway.metric("headgate_peer_up{peer=\"hap\"}") == 0.0);
    haproxy = lab.start_haproxy();
    let learnt = lab.settled(&gateway);
    assert_eq!(learnt, [counters, sticks.clone()]);
    assert_eq!(server(&lab.through_haproxy()), server(&first));

    // The gateway starts again: it learns from HAProxy.
    let [counters, _] = lab.settled(&gateway);
    assert!(counters.starts_with("0 5 "), "{counters}");
    drop(gateway);
    gateway = lab.start_gateway();
    assert_eq!(lab.settled(&gateway), [counters, sticks]);
    assert_eq!(server(&gateway.get("/")), server(&first));
    assert_eq!(gateway.metric("headgate_peer_faults_total{peer=\"hap\"}"), 0.0);
    drop(haproxy);
    let said = lab.said().to_ascii_lowercase();
    assert!(!said.contains("protocol") && !said.contains("error"), "{said}");
}

#[test]
fn haproxy_is_there_first_and_both_sides_agree() {
    both_sides_agree(false, true);
}

#[test]
fn the_gateway_is_there_first_and_both_sides_agree() {
    both_sides_agree(false, false);
}

#[test]
fn both_sides_agree_over_tls_with_certificates_on_both() {
    both_sides_agree(true, true);
}

#[test]
fn both_sides_agree_over_tls_when_the_gateway_is_there_first() {
    both_sides_agree(true, false);
}

#[test]
fn a_haproxy_that_stalls_is_done_without_and_both_sides_agree_when_it_goes_on() {
    let [one, two] = servers();
    let Some(lab) = Lab::new([one.address, two.address], false) else { return };
    let (haproxy, gateway) = (lab.start_haproxy(), lab.start_gateway());
    wait_until("they hear each other", || gateway.metric("headgate_peer_up{peer=\"hap\"}") == 1.0);
    lab.through_haproxy();
    lab.settled(&gateway);
    let signal = |signal| {
        let pid = nix::unistd::Pid::from_raw(haproxy.0.id() as i32);
        nix::sys::signal::kill(pid, signal).expect("it is ours");
    };
    signal(nix::sys::signal::Signal::SIGSTOP);
    wait_until("its silence is noticed", || gateway.metric("headgate_peer_up{peer=\"hap\"}") == 0.0);
    for _ in 0..5 {
        assert!(gateway.get("/").contains("200 OK"));
    }
    signal(nix::sys::signal::Signal::SIGCONT);
    wait_until("they hear each other again", || gateway.metric("headgate_peer_up{peer=\"hap\"}") == 1.0);
    let [counters, _] = lab.settled(&gateway);
    assert!(counters.starts_with("0 6 "), "{counters}");
    drop(haproxy);
    let said = lab.said().to_ascii_lowercase();
    assert!(!said.contains("protocol") && !said.contains("error"), "{said}");
}

#[test]
fn a_certificate_of_the_cluster_is_good_for_its_own_name_only() {
    let [one, two] = servers();
    let Some(lab) = Lab::new([one.address, two.address], true) else { return };
    let path = lab.folder.path().display().to_string();
    let start = |verifyhost: &str| {
        let section =
            format!("tls = {{ cert = \"{path}/gw.crt\", key = \"{path}/gw.key\", ca = \"{path}/ca.pem\" }}");
        let peer = format!("hap\", verifyhost = \"{verifyhost}");
        let node = Node {
            local: "gw",
            bind: lab.ours,
            peers: &[(&peer, lab.theirs)],
            admin: "",
            section: &section,
            frontend: "",
            tables: "",
            stick: "",
        };
        node.start(&lab.servers)
    };
    let dial = |name: &str| {
        let arguments = format!(
            "s_client -quiet -connect {} -cert {path}/{name}.crt -key {path}/{name}.key -CAfile {path}/ca.pem",
            lab.ours
        );
        let arguments: Vec<_> = arguments.split(' ').collect();
        crate::daemons::openssl(&arguments, b"HAProxyS 2.1\ngw\nhap 1 1\n")
    };
    let gateway = start("hap");
    assert!(dial("gw").contains("504"), "another member says that it is hap");
    assert!(!dial("hap").contains("504"), "it is hap");
    drop(gateway);
    let gateway = start("other.example");
    assert!(dial("hap").contains("504"), "hap is to show another name");
    drop(gateway);
}
