//! The three proxies, set up alike: one worker, checks, a table of clients, limits, stickiness, a log, metrics.

use crate::load::{self, Target};
use crate::{origin, process};
use anyhow::{Context, Result, bail};
use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tokio_rustls::TlsConnector;

/// Which proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Haproxy,
    Headgate,
    Nginx,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Haproxy, Self::Headgate, Self::Nginx];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Haproxy => "HAProxy",
            Self::Headgate => "Headgate",
            Self::Nginx => "nginx",
        }
    }
}

/// Where a proxy listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) http: u16,
    pub(crate) https: u16,
    /// Where it knows TCP mode.
    pub(crate) tcp: Option<u16>,
    admin: u16,
}

/// What all proxies share.
pub(crate) struct Setup {
    pub(crate) folder: tempfile::TempDir,
    /// How clients speak TLS.
    pub(crate) tls: TlsConnector,
    servers: [u16; 2],
    headgate: PathBuf,
}

impl Setup {
    pub(crate) async fn new(headgate: PathBuf) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let (cert, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
        std::fs::write(folder.path().join("both.pem"), format!("{cert}{key}"))?;
        std::fs::write(folder.path().join("cert.pem"), cert)?;
        std::fs::write(folder.path().join("key.pem"), key)?;
        let mut roots = RootCertStore::empty();
        roots.add(pair.cert.der().clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let servers = [origin::start().await?, origin::start().await?];
        Ok(Self { folder, tls: TlsConnector::from(Arc::new(config)), servers, headgate })
    }

    /// Whether it is installed.
    pub(crate) fn is_there(&self, kind: Kind) -> bool {
        let found = self.program(kind).is_file();
        if !found {
            crate::report::say(&format!("{} is left out: it is not installed", kind.name()));
        }
        found
    }

    fn program(&self, kind: Kind) -> PathBuf {
        match kind {
            Kind::Haproxy => "/usr/sbin/haproxy".into(),
            Kind::Headgate => self.headgate.clone(),
            Kind::Nginx => "/usr/sbin/nginx".into(),
        }
    }

    /// The command that starts one, with its configuration written.
    pub(crate) fn command(&self, kind: Kind) -> Result<(Vec<PathBuf>, Ports)> {
        let mut ports =
            Ports { http: free_port()?, https: free_port()?, tcp: Some(free_port()?), admin: free_port()? };
        let file = self.folder.path().join(kind.name());
        let mut words = vec![self.program(kind)];
        match kind {
            Kind::Haproxy => {
                std::fs::write(&file, self.filled(include_str!("templates/haproxy.cfg"), ports))?;
                words.extend(["-db".into(), "-f".into(), file]);
            }
            Kind::Headgate => {
                std::fs::write(&file, self.filled(include_str!("templates/headgate.toml"), ports))?;
                words.extend(["run".into(), file]);
            }
            Kind::Nginx => {
                // Debian's light nginx has no module for TCP.
                ports.tcp = None;
                std::fs::write(&file, self.filled(include_str!("templates/nginx.conf"), ports))?;
                words.extend(["-p".into(), self.folder.path().to_owned(), "-c".into(), file]);
            }
        }
        Ok((words, ports))
    }

    fn filled(&self, template: &str, ports: Ports) -> String {
        let tcp = ports.tcp.unwrap_or(0);
        let [server1, server2] = self.servers;
        let numbers = [
            ("http", ports.http),
            ("https", ports.https),
            ("tcp", tcp),
            ("admin", ports.admin),
            ("server1", server1),
            ("server2", server2),
        ];
        let folder = self.folder.path().display().to_string();
        numbers.iter().fold(template.replace("{folder}", &folder), |text, (name, port)| {
            text.replace(&format!("{{{name}}}"), &port.to_string())
        })
    }
}

/// A running proxy; killed when it goes out of scope.
pub(crate) struct Proxy {
    pub(crate) ports: Ports,
    child: Child,
}

impl Proxy {
    /// Starts one on the proxies' core, and waits until it serves.
    pub(crate) async fn start(setup: &Setup, kind: Kind) -> Result<Self> {
        let (words, ports) = setup.command(kind)?;
        Self::run(setup, &words, ports).await
    }

    /// Starts what `words` say.
    pub(crate) async fn run(setup: &Setup, words: &[PathBuf], ports: Ports) -> Result<Self> {
        let (program, arguments) = words.split_first().context("no program")?;
        let output = |name: &str| File::create(setup.folder.path().join(name));
        let child = process::pinned(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output("stdout")?)
            .stderr(output("stderr")?)
            .spawn()?;
        let mut proxy = Self { ports, child };
        let mut tries = 0;
        while load::keep_alive(Target { port: ports.http, path: "/health" }, 1, 1).await.is_err() {
            tries += 1;
            if tries > TRIES || proxy.child.try_wait()?.is_some() {
                bail!("it does not serve: {}", stderr(setup.folder.path()));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(proxy)
    }

    pub(crate) fn cpu(&self) -> Duration {
        process::cpu(self.child.id())
    }

    pub(crate) fn resident(&self) -> u64 {
        process::resident(self.child.id())
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn end(mut self) -> Result<()> {
        let process = nix::unistd::Pid::from_raw(i32::try_from(self.child.id())?);
        nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGTERM)?;
        for _ in 0..TRIES {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("it does not end")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn stderr(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("stderr")).unwrap_or_default()
}

/// A port that was free a moment ago, and is given to nobody else: two that listen with SO_REUSEPORT would share it.
fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(PORTS.start);
    let mut candidates = PORTS.map(|_| NEXT.fetch_add(1, Ordering::Relaxed));
    let free = candidates.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    free.context("no port is free")
}

/// Below those that connections go out from.
const PORTS: Range<u16> = 12_000..32_000;

/// How often a proxy is asked whether it serves yet, or has ended: for a minute.
const TRIES: u32 = 3000;
const PAUSE: Duration = Duration::from_millis(20);
