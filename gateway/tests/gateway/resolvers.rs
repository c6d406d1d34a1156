//! Servers whose addresses a real name server says: they come, move and go while requests go on.

use crate::daemons::{Running, program};
use crate::harness::{Gateway, Server, free_address, read_answer, wait_until, write};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::Command;

/// A name server on loopback.
pub(crate) struct Names {
    program: PathBuf,
    folder: tempfile::TempDir,
    address: SocketAddr,
    process: Option<Running>,
}

impl Names {
    /// `None`, which has been said, if there is no such program here.
    pub(crate) fn start(hosts: &str, more: &[String]) -> Option<Self> {
        let program = program("dnsmasq")?;
        let folder = tempfile::tempdir().expect("a folder");
        let mut names = Self { program, folder, address: free_address(), process: None };
        names.say(hosts);
        names.run(more);
        Some(names)
    }

    /// Has it say this from now on: lines of an address and a name.
    pub(crate) fn say(&self, hosts: &str) {
        write(self.folder.path(), "hosts", hosts);
        if let Some(process) = &self.process {
            kill(Pid::from_raw(process.0.id() as i32), Signal::SIGHUP).expect("it is ours");
        }
    }

    fn run(&mut self, more: &[String]) {
        let mut command = Command::new(&self.program);
        command
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"])
            .args([
                "--listen-address=127.0.0.1",
                "--bind-interfaces",
                "--local=/test/",
                "--user=",
                "--pid-file=",
            ])
            .arg(format!("--port={}", self.address.port()))
            .arg(format!("--addn-hosts={}", self.folder.path().join("hosts").display()))
            .args(more);
        self.process = Some(Running::start(&mut command));
        let ask = UdpSocket::bind("127.0.0.1:0").expect("a port");
        ask.set_read_timeout(Some(std::time::Duration::from_millis(50))).expect("a deadline");
        // For the addresses of `a.test`, whatever they are.
        let question = b"\x12\x34\x01\x00\x00\x01\0\0\0\0\0\0\x01a\x04test\0\x00\x01\x00\x01";
        wait_until("the name server answers", || {
            let _ = ask.send_to(question, self.address);
            ask.recv(&mut [0; 512]).is_ok()
        });
    }

    fn stop(&mut self) {
        self.process = None;
    }
}

/// Servers with one port on several addresses of loopback, each of which says which it is.
fn servers<const COUNT: usize>() -> (u16, [Server; COUNT]) {
    let (port, listeners) = listeners::<COUNT>();
    let mut names = (1..).map(|place| format!("s{place}"));
    let server = |listener: TcpListener| {
        let answer = crate::harness::ok(&names.next().expect("as many as there are"));
        Server::on(listener, move |_, _| Some(answer.clone()))
    };
    (port, listeners.map(server))
}

/// Listeners on one port of 127.0.7.1, 127.0.7.2 and so on.
pub(crate) fn listeners<const COUNT: usize>() -> (u16, [TcpListener; COUNT]) {
    loop {
        let first = TcpListener::bind("127.0.7.1:0").expect("a port");
        let port = first.local_addr().expect("it is bound").port();
        let more = (2..=COUNT).map(|last| TcpListener::bind(format!("127.0.7.{last}:{port}")));
        let Ok(more) = more.collect::<Result<Vec<_>, _>>() else { continue };
        let mut listeners = std::iter::once(first).chain(more);
        return (port, std::array::from_fn(|_| listeners.next().expect("as many")));
    }
}

/// A backend whose name server is asked often.
pub(crate) fn gateway(names: &Names, resolvers: &str, backend: &str) -> Gateway {
    Gateway::start(&format!(
        "workers = 2\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n[log]\nto = \"FOLDER/access.log\"\n\
         [[stick_table]]\nname = \"clients\"\n\
         [[resolvers]]\nname = \"dns\"\nnameserver = [\"{}\"]\nresolve_retries = 1\ntimeout_retry = \"100ms\"\n\
         timeout_resolve = \"50ms\"\n{resolvers}\n\
         [[frontend]]\nname = \"fe\"\nbind = [\"FRONT\"]\ndefault_backend = \"be\"\n\
         [[backend]]\nname = \"be\"\ndefault_server = {{ resolvers = \"dns\" }}\n{backend}\n",
        names.address
    ))
}

/// Which servers answer, of as many requests as are enough to meet each.
fn answering(gateway: &Gateway) -> Vec<String> {
    let body = |answer: String| answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    let mut all: Vec<_> = (0..12).filter_map(|_| body(gateway.get("/"))).collect();
    all.sort();
    all.dedup();
    all
}

pub(crate) fn address(gateway: &Gateway, server: &str) -> String {
    let status = gateway.ctl(&["status"]);
    let line = status.lines().find(|line| line.split_whitespace().nth(1) == Some(server));
    line.unwrap_or_else(|| panic!("{server} is in {status}")).to_owned()
}

fn count(gateway: &Gateway, name: &str, result: &str) -> f64 {
    gateway.metric(&format!(
        "headgate_resolver_answers_total{{backend=\"be\",name=\"{name}\",result=\"{result}\"}}"
    ))
}

pub(crate) const OFTEN: &str = "hold = { valid = \"50ms\", nx = \"0s\" }";

#[test]
fn servers_of_a_template_come_and_go_with_the_answers_and_who_stays_keeps_its_server() {
    let Some(names) = Names::start("127.0.7.1 web.test\n127.0.7.2 web.test\n", &[]) else { return };
    let (port, _servers) = servers::<3>();
    let template =
        format!("server_template = [{{ prefix = \"web\", count = 2, address = \"web.test:{port}\" }}]");
    let gateway = gateway(&names, OFTEN, &template);
    assert_eq!(answering(&gateway), ["s1", "s2"]);
    assert!(address(&gateway, "web1").contains("127.0.7.1"));
    names.say("127.0.7.3 web.test\n127.0.7.2 web.test\n127.0.7.4 web.test\n");
    wait_until("the new one serves", || answering(&gateway) == ["s2", "s3"]);
    assert!(address(&gateway, "web1").contains("127.0.7.3"), "{}", address(&gateway, "web1"));
    assert!(address(&gateway, "web2").contains("127.0.7.2"), "it stays where it is");
    let name = format!("web.test:{port}");
    let left = format!("headgate_resolver_left_over{{backend=\"be\",name=\"{name}\"}}");
    assert_eq!(gateway.metric(&left), 1.0);
    names.say("127.0.7.3 web.test\n");
    wait_until("one is left", || answering(&gateway) == ["s3"]);
    assert!(address(&gateway, "web2").contains("MAINT (resolution)"), "{}", address(&gateway, "web2"));
    assert_eq!(gateway.metric("headgate_server_up{backend=\"be\",server=\"web2\"}"), 0.0);
    names.say("\n");
    wait_until("none is left", || gateway.get("/").starts_with("HTTP/1.1 503"));
    assert!(count(&gateway, &name, "nx") > 0.0);
    names.say("127.0.7.1 web.test\n");
    wait_until("one is back", || answering(&gateway) == ["s1"]);
}

#[test]
fn the_last_good_answer_is_kept_while_the_name_server_is_gone() {
    let Some(mut names) = Names::start("127.0.7.1 web.test\n", &[]) else { return };
    let (port, _servers) = servers::<2>();
    let gateway =
        gateway(&names, OFTEN, &format!("server = [{{ name = \"web\", address = \"web.test:{port}\" }}]"));
    assert_eq!(answering(&gateway), ["s1"]);
    names.stop();
    let name = format!("web.test:{port}");
    wait_until("it has been asked in vain", || count(&gateway, &name, "timeout") >= 3.0);
    assert_eq!(answering(&gateway), ["s1"]);
    let age = format!("headgate_resolver_age_seconds{{backend=\"be\",name=\"{name}\"}}");
    assert!(gateway.metric(&age) > 0.1);
    names.say("127.0.7.2 web.test\n");
    names.run(&[]);
    wait_until("it is asked again", || answering(&gateway) == ["s2"]);
}

#[test]
fn an_answer_is_given_up_after_the_time_that_the_operator_says() {
    let Some(mut names) = Names::start("127.0.7.1 web.test\n", &[]) else { return };
    let (port, _servers) = servers::<1>();
    let gateway = gateway(
        &names,
        "hold = { valid = \"50ms\", timeout = \"1s\", refused = \"1s\", other = \"1s\" }",
        &format!("server = [{{ name = \"web\", address = \"web.test:{port}\" }}]"),
    );
    assert_eq!(answering(&gateway), ["s1"]);
    names.stop();
    wait_until("it is let go", || gateway.get("/").starts_with("HTTP/1.1 503"));
}

#[test]
fn a_service_says_ports_and_weights() {
    let record = |last: u8, port: u16, weight: u16| {
        format!("--srv-host=_http._tcp.web.test,s{last}.test,{port},0,{weight}")
    };
    let (one, two) = (Server::named("s1"), Server::named("s2"));
    let records = [record(1, one.address.port(), 30), record(2, two.address.port(), 10)];
    let hosts = "127.0.0.1 s1.test\n127.0.0.1 s2.test\n";
    let Some(mut names) = Names::start(hosts, &records) else { return };
    let gateway = gateway(
        &names,
        OFTEN,
        "server_template = [{ prefix = \"web\", count = 3, address = \"_http._tcp.web.test\" }]",
    );
    let share = || (0..8).filter(|_| gateway.get("/").ends_with("s1")).count();
    assert_eq!(share(), 6);
    names.stop();
    names.run(&records[1..]);
    wait_until("one is left", || answering(&gateway) == ["s2"]);
}

#[test]
fn a_slot_is_checked_while_it_has_an_address() {
    let Some(names) = Names::start("127.0.7.1 web.test\n", &[]) else { return };
    let (port, servers) = servers::<2>();
    let gateway = gateway(
        &names,
        OFTEN,
        &format!(
            "check = {{ type = \"http\", inter = \"100ms\", fastinter = \"50ms\", rise = 1, fall = 1 }}\n\
             server_template = [{{ prefix = \"web\", count = 2, address = \"web.test:{port}\" }}]"
        ),
    );
    wait_until("it is probed", || !servers[0].heads().is_empty());
    assert!(address(&gateway, "web1").contains("UP"));
    assert!(address(&gateway, "web2").contains("MAINT (resolution)"));
    // Nobody listens at the second.
    names.say("127.0.7.1 web.test\n127.0.7.9 web.test\n");
    wait_until("the other one is down", || address(&gateway, "web2").contains("DOWN"));
    names.say("127.0.7.2 web.test\n127.0.7.1 web.test\n");
    wait_until("it is somewhere else, and up", || answering(&gateway) == ["s1", "s2"]);
    names.say("127.0.7.1 web.test\n");
    wait_until("it has no address", || address(&gateway, "web2").contains("MAINT (resolution)"));
    let probes = servers[1].heads().len();
    wait_until("the other one is probed", || servers[0].heads().len() > probes + 40);
    assert_eq!(servers[1].heads().len(), probes, "nobody probes what is nowhere");
}

#[test]
fn connections_to_where_a_server_was_are_not_used_again() {
    let Some(names) = Names::start("127.0.7.1 web.test\n", &[]) else { return };
    let (port, servers) = servers::<2>();
    let gateway =
        gateway(&names, OFTEN, &format!("server = [{{ name = \"web\", address = \"web.test:{port}\" }}]"));
    let mut client = gateway.connect();
    let mut answers = BufReader::new(client.try_clone().expect("a second handle"));
    let mut ask = || {
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("it is open");
        read_answer(&mut answers).expect("an answer")
    };
    assert!(ask().ends_with("s1") && ask().ends_with("s1"));
    let connections = |place: usize| servers[place].connections.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(connections(0), 1, "it is kept");
    names.say("127.0.7.2 web.test\n");
    wait_until("it has moved", || ask().ends_with("s2"));
    names.say("127.0.7.1 web.test\n");
    wait_until("it has moved back", || ask().ends_with("s1"));
    assert_eq!(connections(0), 2, "what was kept before is not used");
}

#[test]
fn clients_stick_to_a_server_whatever_its_address() {
    let Some(names) = Names::start("127.0.7.1 web.test\n127.0.7.2 web.test\n", &[]) else { return };
    let (port, _servers) = servers::<3>();
    let gateway = gateway(
        &names,
        OFTEN,
        &format!(
            "stick = \"clients\"\nserver_template = [{{ prefix = \"web\", count = 2, address = \"web.test:{port}\" }}]"
        ),
    );
    assert_eq!(answering(&gateway), ["s1"]);
    assert!(gateway.ctl(&["show", "table", "clients"]).contains("server_key=web1"));
    names.say("127.0.7.1 web.test\n127.0.7.3 web.test\n");
    wait_until("the other one has moved", || address(&gateway, "web2").contains("127.0.7.3"));
    assert_eq!(answering(&gateway), ["s1"]);
    names.say("127.0.7.3 web.test\n");
    wait_until("it goes where a server is", || answering(&gateway) == ["s3"]);
    assert!(gateway.ctl(&["show", "table", "clients"]).contains("server_key=web2"));
}

#[test]
fn connections_of_mode_tcp_follow_the_name() {
    let Some(names) = Names::start("127.0.7.1 web.test\n", &[]) else { return };
    let (port, _servers) = servers::<2>();
    let gateway = Gateway::start(&format!(
        "[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n[log]\nto = \"none\"\n\
         [[resolvers]]\nname = \"default\"\nnameserver = [\"{}\"]\n{OFTEN}\n\
         [[frontend]]\nname = \"fe\"\nbind = [\"FRONT\"]\nmode = \"tcp\"\ndefault_backend = \"be\"\n\
         [[backend]]\nname = \"be\"\nserver = [{{ name = \"web\", address = \"web.test:{port}\" }}]\n",
        names.address
    ));
    let ask = || {
        let mut client = gateway.connect();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("it is open");
        read_answer(&mut BufReader::new(client)).unwrap_or_default()
    };
    assert!(ask().ends_with("s1"));
    names.say("127.0.7.2 web.test\n");
    wait_until("it has moved", || ask().ends_with("s2"));
}

#[test]
fn a_gateway_starts_without_an_answer_or_with_the_address_that_it_was_told() {
    let Some(mut names) = Names::start("127.0.7.2 web.test\n", &[]) else { return };
    names.stop();
    let (port, _servers) = servers::<2>();
    let gateway = gateway(
        &names,
        OFTEN,
        &format!(
            "server = [\n{{ name = \"web\", address = \"web.test:{port}\", init_addr = [\"libc\", \"127.0.7.1\"] }},\n\
             {{ name = \"other\", address = \"other.test:{port}\" }}]"
        ),
    );
    assert_eq!(answering(&gateway), ["s1"]);
    assert!(address(&gateway, "other").contains("MAINT (resolution)"));
    names.run(&[]);
    wait_until("DNS says something else", || answering(&gateway) == ["s2"]);
}
