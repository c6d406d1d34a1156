//! One speaker under test, with what stands around it.

use crate::gateway::Gateway;
use crate::router::Router;
use base::Clock;
use base_core::Time;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::cell::Cell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;
use tempfile::TempDir;

/// Longest wait for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) struct Rig {
    pub(crate) gateway: Gateway,
    pub(crate) router: Router,
    folder: TempDir,
    metrics: SocketAddr,
    clock: Clock,
    speaker: Child,
    /// The process that is the speaker now.
    pid: Cell<u32>,
    /// What systemd would be told.
    notified: UnixDatagram,
}

impl Rig {
    /// A speaker with one VIP, `203.0.113.1` with the metric 100, and one neighbor, the router.
    pub(crate) fn start() -> Self {
        Self::with_more("", "")
    }

    /// The same, with a minute from worse to withdrawn.
    pub(crate) fn slowly() -> Self {
        Self::prepared(Router::listen(), None, "", "", |text| text.replace("\"300ms\"", "\"1m\""))
    }

    /// The same, with another neighbor in the router's place.
    pub(crate) fn with(router: Router, neighbor: &str) -> Self {
        Self::configured(router, neighbor, "", "")
    }

    /// The usual router, and more configuration: `top` before the first table, `bottom` behind the last.
    pub(crate) fn with_more(top: &str, bottom: &str) -> Self {
        Self::prepared(Router::listen(), None, top, bottom, |text| text)
    }

    fn configured(router: Router, neighbor: &str, top: &str, bottom: &str) -> Self {
        Self::prepared(router, Some(neighbor), top, bottom, |text| text)
    }

    /// The same, with the configuration changed.
    pub(crate) fn prepared(
        router: Router,
        neighbor: Option<&str>,
        top: &str,
        bottom: &str,
        change: impl Fn(String) -> String,
    ) -> Self {
        let address = router.address();
        let usual = format!("address = \"{}\"\nport = {}\nasn = 65000", address.ip(), address.port());
        let neighbor = neighbor.unwrap_or(&usual);
        let folder = tempfile::tempdir().expect("a folder");
        let gateway = Gateway::listen();
        let [a, b, c] = network();
        let metrics = SocketAddr::from(([a, b, c, 1], 9179));
        let config = format!(
            r#"
            node = "gw1"
            {top}
            [bgp]
            asn = 4200000010
            router_id = "10.0.0.2"
            socket = "{}"
            metrics = "{metrics}"
            [health]
            watch = "http://{}/health/watch"
            [drain]
            worsen_for = "300ms"
            [[neighbor]]
            name = "r1"
            {neighbor}
            [[vip]]
            address = "203.0.113.1"
            med = 100
            communities = ["65010:7"]
            large_communities = ["4200000010:1:2"]
            {bottom}
            "#,
            folder.path().join("bgp.sock").display(),
            gateway.address(),
        );
        let file = folder.path().join("bgp.toml");
        std::fs::write(&file, change(config)).expect("the configuration");
        let notified = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
        notified.set_read_timeout(Some(DEADLINE)).expect("a socket");
        let mut command = speaker();
        command.env("NOTIFY_SOCKET", folder.path().join("notify")).arg("run").arg(&file);
        let speaker = command.spawn().expect("the speaker");
        let pid = Cell::new(speaker.id());
        Self { gateway, router, folder, metrics, clock: Clock::start(), speaker, pid, notified }
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Orders a reload or an upgrade; another process is the speaker then. Returns what was said.
    pub(crate) fn renew(&self, arguments: &[&str]) -> String {
        let said = self.ask(arguments);
        let words: Vec<&str> = said.split_whitespace().collect();
        let id = words.windows(2).find(|pair| pair[0] == "process").expect(&said)[1];
        self.pid.set(id.parse().expect("a process id"));
        said
    }

    /// The next word to systemd.
    pub(crate) fn notification(&self) -> String {
        let mut word = [0; 256];
        let length = self.notified.recv(&mut word).expect("a word to systemd");
        String::from_utf8_lossy(&word[..length]).into_owned()
    }

    /// Another process is the speaker now.
    pub(crate) fn is_now(&self, pid: u32) {
        self.pid.set(pid);
    }

    /// Changes the configuration on the disk.
    pub(crate) fn rewrite(&self, change: impl Fn(String) -> String) {
        let file = self.folder.path().join("bgp.toml");
        let text = std::fs::read_to_string(&file).expect("the configuration");
        std::fs::write(&file, change(text)).expect("the configuration");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid.get()).expect("a pid"));
        kill(pid, signal).expect("the speaker lives");
    }

    pub(crate) fn wait_exit(&mut self) -> ExitStatus {
        let until = self.now() + DEADLINE;
        loop {
            if let Some(status) = self.speaker.try_wait().expect("a child") {
                return status;
            }
            assert!(self.now() < until, "the speaker does not end");
            pause(Duration::from_millis(5));
        }
    }

    /// Bytes of memory that the speaker holds.
    pub(crate) fn resident(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.pid.get())).expect("/proc");
        statm.split(' ').nth(1).expect("resident pages").parse::<u64>().expect("a number") * 4096
    }

    /// On how many TCP ports it listens.
    pub(crate) fn listens(&self) -> usize {
        let folder = format!("/proc/{}", self.speaker.id());
        let sockets = std::fs::read_dir(format!("{folder}/fd")).expect("/proc");
        let sockets: Vec<_> =
            sockets.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok()).collect();
        let tables = ["tcp", "tcp6"].map(|name| std::fs::read_to_string(format!("{folder}/net/{name}")));
        let lines = tables.iter().flatten().flat_map(|table| table.lines());
        // The fourth word is the state, 0A is LISTEN; the tenth is the socket's number (proc(5)).
        let words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
        let listens = words.filter(|words| words.get(3) == Some(&"0A"));
        let ours = |words: &Vec<&str>| {
            let socket = format!("socket:[{}]", words.get(9).unwrap_or(&""));
            sockets.iter().any(|open| open.as_os_str() == socket.as_str())
        };
        listens.filter(ours).count()
    }

    pub(crate) fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.metrics).expect("the metrics listener");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("the page");
        page
    }

    /// What `headgate-bgp` answers when it asks the speaker.
    pub(crate) fn ask(&self, arguments: &[&str]) -> String {
        let output = self.client(arguments).output().expect("an answer");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// The same, for scripts.
    pub(crate) fn ask_json(&self, arguments: &[&str]) -> serde_json::Value {
        let answer = self.ask(&[arguments, &["--json"]].concat());
        serde_json::from_str(&answer).expect("JSON")
    }

    /// What it says to a question that is refused.
    pub(crate) fn ask_in_vain(&self, arguments: &[&str]) -> String {
        let output = self.client(arguments).output().expect("an answer");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).expect("text")
    }

    fn client(&self, arguments: &[&str]) -> Command {
        let mut command = speaker();
        command.arg("--socket").arg(self.folder.path().join("bgp.sock")).args(arguments);
        command
    }

    /// Waits for an event that `events --follow` shows from now on, or showed before.
    pub(crate) fn follow(&self, what: &str, good: impl Fn(&serde_json::Value) -> bool) {
        let mut child =
            self.client(&["events", "--follow", "--json"]).stdout(Stdio::piped()).spawn().expect("a client");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let (sender, events) = sync_channel(1);
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let until = self.now() + DEADLINE;
        loop {
            let line =
                events.recv_timeout(until.since(self.now())).unwrap_or_else(|_| panic!("no event: {what}"));
            if good(&serde_json::from_str(&line).expect("JSON")) {
                break;
            }
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if self.pid.get() != self.speaker.id() {
            let _ = kill(Pid::from_raw(i32::try_from(self.pid.get()).expect("a pid")), Signal::SIGKILL);
        }
        let _ = self.speaker.kill();
        let _ = self.speaker.wait();
    }
}

/// What `headgate-bgp` says to these arguments, on both streams.
pub(crate) fn run(arguments: &[&str]) -> (ExitStatus, String, String) {
    let Output { status, stdout, stderr } = speaker().args(arguments).output().expect("headgate-bgp");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status, text(stdout), text(stderr))
}

/// What `headgate-bgp VERB FILE` says to a file that it refuses.
pub(crate) fn refuse(verb: &str, text: &str) -> (ExitStatus, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file: PathBuf = folder.path().join("bgp.toml");
    let text = text.replace("SOCKET", &folder.path().join("bgp.sock").display().to_string());
    std::fs::write(&file, text).expect("the configuration");
    let Output { status, stderr, .. } = speaker().arg(verb).arg(&file).output().expect("headgate-bgp");
    (status, String::from_utf8(stderr).expect("text"))
}

/// A web server at this address that answers every second request with 503.
pub(crate) fn flapping_server(address: SocketAddr) {
    let listener = std::net::TcpListener::bind(address).expect("a free port");
    std::thread::spawn(move || {
        for (turn, stream) in (0_usize..).zip(listener.incoming()) {
            let Ok(mut stream) = stream else { return };
            let status = if turn % 2 == 0 { "200 OK" } else { "503 Service Unavailable" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).and_then(|_| stream.write_all(answer.as_bytes()));
        }
    });
}

/// Waits without anything to wait for; only between two looks at something that cannot be waited on.
pub(crate) fn pause(time: Duration) {
    let (_sender, never) = sync_channel::<()>(0);
    assert_eq!(never.recv_timeout(time), Err(RecvTimeoutError::Timeout));
}

fn speaker() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headgate-bgp"));
    command.stdin(Stdio::null());
    command
}

/// A loopback network of its own for each caller, so that fixed ports never meet.
pub(crate) fn network() -> [u8; 3] {
    static CALLERS: AtomicU8 = AtomicU8::new(0);
    let [.., process] = (std::process::id() % 200).to_be_bytes();
    [127, process + 10, CALLERS.fetch_add(1, Ordering::Relaxed)]
}
