//! An API host: one small server process for each service.

use crate::daemon::{Daemon, Recipe};
use crate::netns::Namespace;
use crate::topology::{SERVICES, api_address, service_port};
use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

/// API host `n` of the lab.
#[derive(Debug)]
pub struct ApiHost {
    number: usize,
    namespace: Namespace,
    servers: Vec<(&'static str, Daemon)>,
}

impl ApiHost {
    /// A host whose servers do not run yet.
    pub(crate) fn new(number: usize, namespace: Namespace, folder: &Path) -> Result<Self> {
        let folder = folder.join(format!("api{number}"));
        std::fs::create_dir_all(&folder)?;
        let mut servers = Vec::new();
        for service in SERVICES {
            let bind = format!("{}:{}", api_address(number), service_port(service));
            let name = format!("api{number}");
            let arguments = ["--bind", &bind, "--name", &name, "--service", service];
            let recipe = Recipe {
                name: service.to_owned(),
                namespace: Some(namespace.clone()),
                program: crate::program("lab-api")?,
                arguments: arguments.map(str::to_owned).to_vec(),
                folder: folder.clone(),
            };
            servers.push((service, Daemon::new(recipe)));
        }
        Ok(Self { number, namespace, servers })
    }

    /// Its name, as configurations and answers have it: `api1`.
    pub fn name(&self) -> String {
        format!("api{}", self.number)
    }

    /// Starts all its servers.
    pub fn start_all(&self) -> Result<()> {
        SERVICES.iter().try_for_each(|service| self.start(service))
    }

    /// Starts the server of a service and waits until it takes connections.
    pub fn start(&self, service: &str) -> Result<()> {
        self.server(service)?.start()?;
        let address = (api_address(self.number), service_port(service));
        crate::wait_until(&format!("{service} on {}", self.name()), Duration::from_secs(5), || {
            self.namespace.within(|| TcpStream::connect(address)).map(Some)
        })
        .map(drop)
    }

    /// Kills the server of a service.
    pub fn kill(&self, service: &str) -> Result<()> {
        self.server(service)?.kill()
    }

    /// Kills all its servers.
    pub fn kill_all(&self) -> Result<()> {
        SERVICES.iter().try_for_each(|service| self.kill(service))
    }

    /// Stops the server of a service: it takes connections and answers nothing.
    pub fn hang(&self, service: &str) -> Result<()> {
        self.server(service)?.signal(Signal::SIGSTOP)
    }

    /// Ends [`ApiHost::hang`].
    pub fn cont(&self, service: &str) -> Result<()> {
        self.server(service)?.signal(Signal::SIGCONT)
    }

    /// The process of a service.
    pub fn server(&self, service: &str) -> Result<&Daemon> {
        let found = self.servers.iter().find(|(name, _)| *name == service);
        Ok(&found.with_context(|| format!("there is no service {service}"))?.1)
    }
}
