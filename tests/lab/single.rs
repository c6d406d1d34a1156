//! One gateway on loopback in front of three API servers: no root, no namespaces.

use crate::daemon::{Daemon, Recipe};
use crate::http::{Answer, Failure, Request, fetch};
use crate::inside::Inside;
use crate::options::LabOptions;
use crate::signals;
use crate::templates::{self, GatewayPlace};
use anyhow::{Context, Result, bail};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A gateway and three servers. Dropping it takes them away.
#[derive(Debug)]
pub struct Single {
    inside: Inside,
    gateway: Daemon,
    servers: Vec<Daemon>,
    address: SocketAddr,
    admin: SocketAddr,
    folder: Folder,
}

impl Single {
    /// Starts everything and waits until the gateway is ready.
    pub fn start(options: &LabOptions) -> Result<Self> {
        signals::handle();
        let folder = Folder::new()?;
        let address = free_address(8080)?;
        let admin = free_address(8404)?;
        let backends: Vec<_> =
            (1..=3_u16).map(|n| Ok((format!("api{n}"), free_address(8000 + n)?))).collect::<Result<_>>()?;
        let place = GatewayPlace {
            node: "single",
            bind: &address.to_string(),
            admin: &admin.to_string(),
            folder: &folder.0,
            servers: &|_| backends.clone(),
        };
        std::fs::write(folder.0.join("gateway.toml"), templates::gateway(&place, options))?;
        let daemon = |name: &str, program: &str, arguments: &[&str]| -> Result<Daemon> {
            let daemon = Daemon::new(Recipe {
                name: name.to_owned(),
                namespace: None,
                program: crate::program(program)?,
                arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
                folder: folder.0.clone(),
            });
            daemon.start()?;
            Ok(daemon)
        };
        let servers = backends.iter().map(|(name, address)| {
            daemon(name, "lab-api", &["--bind", &address.to_string(), "--name", name, "--service", "compute"])
        });
        let servers = servers.collect::<Result<Vec<_>>>()?;
        let config = folder.0.join("gateway.toml").display().to_string();
        let gateway = daemon("headgate", "headgate", &["run", &config])?;
        let single = Self { inside: Inside::start(None)?, gateway, servers, address, admin, folder };
        single.wait_ready()?;
        Ok(single)
    }

    /// Where the gateway serves.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its admin listener is.
    pub const fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Where its configuration, control socket and logs are.
    pub fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// Server `n`, from 1.
    pub fn server(&self, n: usize) -> &Daemon {
        &self.servers[n - 1]
    }

    /// Makes a request as the `k`-th client: every address of 127.0.0.0/8 is this machine's own.
    pub fn fetch(&self, client: u16, path: &str) -> Result<Result<Answer, Failure>> {
        let [high, low] = client.to_be_bytes();
        let from = Ipv4Addr::new(127, 1, high, low);
        self.inside.run(fetch(Request::get(self.address, "compute.example", path).from(from)))
    }

    /// Asks the admin listener.
    pub fn ask_admin(&self, path: &str) -> Result<Answer> {
        match self.inside.run(fetch(Request::get(self.admin, "admin", path)))? {
            Ok(answer) => Ok(answer),
            Err(failure) => bail!("http://{}{path}: {failure}", self.admin),
        }
    }

    /// Runs `headgatectl`.
    pub fn ctl(&self, command: &str) -> Result<String> {
        let socket = self.folder.0.join("gateway.sock");
        let mut ctl = Command::new(crate::program("headgatectl")?);
        let output = ctl.arg("--socket").arg(socket).arg(command).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!("headgatectl {command}: {text}{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(text)
    }

    fn wait_ready(&self) -> Result<()> {
        crate::wait_until(
            "the gateway to be ready and to have found its servers",
            Duration::from_secs(10),
            || {
                if !self.gateway.is_running() {
                    bail!("it has ended:\n{}", self.gateway.log());
                }
                let served = self.fetch(0, "/whoami")?.is_ok_and(|answer| answer.status.is_success());
                Ok((served && self.ask_admin("/health")?.status.is_success()).then_some(()))
            },
        )
    }
}

/// A folder that goes away.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("headgate-demo-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        signals::remove_on_interrupt(&path);
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The wanted port on loopback, or another if it is taken.
fn free_address(wanted: u16) -> Result<SocketAddr> {
    let loopback = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    Ok(loopback(wanted).or_else(|_| loopback(0))?.local_addr()?)
}
