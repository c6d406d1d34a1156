//! A gateway process with its own folder and ports, and servers for it that do as a test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// Longer than anything here takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// What is free to be listened on in tests.
const PORTS: Range<u16> = 12_000..32_000;

/// A running gateway; killed when it goes out of scope.
pub(crate) struct Gateway {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) front: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) process: Child,
}

impl Gateway {
    /// Starts a gateway on `config`, in which FRONT, ADMIN and FOLDER stand for what it gets.
    pub(crate) fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (front, admin) = (free_address(), free_address());
        let config = config
            .replace("FRONT", &front.to_string())
            .replace("ADMIN", &admin.to_string())
            .replace("FOLDER", &folder.path().display().to_string());
        let file = write(folder.path(), "gateway.toml", &config);
        let process = run(&file);
        let gateway = Self { folder, front, admin, process };
        gateway.is_ready();
        gateway
    }

    /// Starts it again, as it was, at the same addresses; it is not ready yet.
    pub(crate) fn restart(&mut self) {
        self.process = run(&self.folder.path().join("gateway.toml"));
    }

    pub(crate) fn is_ready(&self) {
        wait_until("the gateway is ready", || self.get_admin("/health").starts_with("HTTP/1.1 200"));
    }

    /// A whole configuration around `servers`, with `more` in the frontend.
    pub(crate) fn before(servers: &[SocketAddr], more: &str) -> Self {
        let servers: Vec<String> = servers
            .iter()
            .enumerate()
            .map(|(place, address)| format!("{{ name = \"s{}\", address = \"{address}\" }}", place + 1))
            .collect();
        Self::start(&format!(
            "node = \"gw\"\nworkers = 4\n\
             [admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n\
             [log]\nto = \"FOLDER/access.log\"\n\
             [[stick_table]]\nname = \"clients\"\n\
             [[frontend]]\nname = \"fe\"\nbind = [\"FRONT\"]\nmonitor_uri = \"/alive\"\ndefault_backend = \"be\"\n{more}\n\
             [[backend]]\nname = \"be\"\nserver_timeout = \"2s\"\nserver = [{}]\n",
            servers.join(", ")
        ))
    }

    /// Four workers before one backend of these keys, `server` among them.
    pub(crate) fn of_backend(keys: &str) -> Self {
        Self::of_backend_before("", keys)
    }

    /// The same behind a frontend with keys of its own.
    pub(crate) fn of_backend_before(frontend: &str, keys: &str) -> Self {
        Self::start(&format!(
            "node = \"gw\"\nworkers = 4\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n\
             [log]\nto = \"FOLDER/access.log\"\n\
             [[frontend]]\nname = \"fe\"\nbind = [\"FRONT\"]\ndefault_backend = \"be\"\n{frontend}\n\
             [[backend]]\nname = \"be\"\n{keys}\n"
        ))
    }

    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.front)
    }

    /// Sends raw bytes on a new connection and returns all that comes back until it is closed.
    pub(crate) fn raw(&self, request: &[u8]) -> String {
        exchange(self.front, request)
    }

    /// One GET on a new connection, closed afterwards.
    pub(crate) fn get(&self, path: &str) -> String {
        self.raw(format!("GET {path} HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n\r\n").as_bytes())
    }

    /// One GET at the admin listener; empty if nobody listens.
    pub(crate) fn get_admin(&self, path: &str) -> String {
        if TcpStream::connect(self.admin).is_err() {
            return String::new();
        }
        exchange(
            self.admin,
            format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes(),
        )
    }

    pub(crate) fn ctl(&self, words: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_headgatectl"))
            .arg("--socket")
            .arg(self.folder.path().join("gw.sock"))
            .args(words)
            .output()
            .expect("headgatectl runs");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    /// The value of a metric, by its whole name with labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get_admin("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is in {text}")).trim().parse().expect("a number")
    }

    /// The access log once it has `lines` lines.
    pub(crate) fn log_lines(&self, lines: usize) -> Vec<String> {
        let path = self.folder.path().join("access.log");
        let read = || std::fs::read_to_string(&path).unwrap_or_default();
        wait_until("the log has its lines", || read().lines().count() >= lines);
        read().lines().map(str::to_owned).collect()
    }

    pub(crate) fn terminate(&self) {
        let pid = nix::unistd::Pid::from_raw(self.process.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("it is ours");
    }
}

fn run(file: &Path) -> Child {
    let mut headgate = Command::new(env!("CARGO_BIN_EXE_headgate"));
    headgate.arg("run").arg(file).stderr(Stdio::inherit()).spawn().expect("the gateway starts")
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A server on loopback that answers each connection with `serve`, on a thread of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Every head that it was sent.
    pub(crate) heads: Arc<Mutex<Vec<String>>>,
    pub(crate) connections: Arc<AtomicUsize>,
}

impl Server {
    /// Reads heads and hands each to `answer`, whose bytes it sends back. `None` closes the connection.
    pub(crate) fn start(
        answer: impl Fn(&str, &mut TcpStream) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").expect("a port"), answer)
    }

    /// The same on a listener that there is already.
    pub(crate) fn on(
        listener: TcpListener,
        answer: impl Fn(&str, &mut TcpStream) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let server = Self {
            address: listener.local_addr().expect("it is bound"),
            heads: Arc::default(),
            connections: Arc::default(),
        };
        let (heads, connections, answer) =
            (Arc::clone(&server.heads), Arc::clone(&server.connections), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                connections.fetch_add(1, Ordering::SeqCst);
                let (heads, answer) = (Arc::clone(&heads), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let mut write = stream.try_clone().expect("a second handle");
                    let mut read = BufReader::new(stream);
                    while let Some(head) = read_head(&mut read) {
                        heads.lock().expect("no test panicked here").push(head.clone());
                        let Some(bytes) = answer(&head, &mut write) else { return };
                        if write.write_all(&bytes).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        server
    }

    /// Answers everything with 200 and its own name.
    pub(crate) fn named(name: &'static str) -> Self {
        Self::start(move |_, _| Some(ok(name)))
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no test panicked here").clone()
    }
}

pub(crate) fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn read_head(read: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if read.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

/// An address that was free a moment ago, and that no other test of this process gets. Its port is below those that
/// the kernel takes for connections.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Other processes of tests may run beside this one.
    let first = std::process::id().wrapping_mul(97) as u16;
    let mut candidates = PORTS.map(|_| {
        let place =
            first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS.end.abs_diff(PORTS.start);
        SocketAddr::from((Ipv4Addr::LOCALHOST, PORTS.start + place))
    });
    candidates.find(|address| TcpListener::bind(address).is_ok()).expect("a free port")
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    stream
}

/// A connection from an address of loopback, and a port, or 0.
pub(crate) fn connect_from(from: &str, to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let from: SocketAddr = from.parse().expect("an address");
    socket.bind(&from.into()).expect("it is loopback");
    socket.connect(&to.into()).expect("connected");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    stream
}

pub(crate) fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = connect(address);
    // A refusal may come, and the connection close, before all is written.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads one answer with a Content-Length from a connection that stays open.
pub(crate) fn read_answer(read: &mut impl BufRead) -> Option<String> {
    let head = read_head(read)?;
    let length = head.to_ascii_lowercase().lines().find_map(|line| {
        line.strip_prefix("content-length:").and_then(|length| length.trim().parse::<usize>().ok())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    read.read_exact(&mut body).ok()?;
    Some(head + &String::from_utf8_lossy(&body))
}

/// Files of a certificate of its own for `name` and of its key.
pub(crate) fn pair(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let pair = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let key = write(folder, &format!("{name}.key"), &pair.signing_key.serialize_pem());
    (write(folder, &format!("{name}.crt"), &pair.cert.pem()), key)
}

pub(crate) fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a file");
    path
}

/// Looks every 10 ms until `is_so`, or fails after the deadline.
#[expect(clippy::disallowed_methods, reason = "polls what has no event, with a deadline")]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = SystemTime::now();
    while !is_so() {
        assert!(start.elapsed().is_ok_and(|waited| waited < DEADLINE), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Lets time pass, as something slow does that a test plays.
#[expect(clippy::disallowed_methods, reason = "it is the slowness that is tested")]
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
