//! One server of a backend, and how it is spoken with.

use super::{Agent, Watch};
use crate::on_error;
use crate::pool;
use crate::proxy_protocol::Version;
use base_core::diagnose::Diagnostic;
use healthcheck_core::{CheckSpec, TlsCheck};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// One server of a backend.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub address: Address,
    /// Its share of the load, 0 to 256; 0 gets only those who stick to it.
    pub weight: u32,
    /// Requests at once on it; `None`: any number.
    pub maxconn: Option<u32>,
    /// Requests at once on it while its backend has little to do; `None`: `maxconn`.
    pub minconn: Option<u32>,
    /// Which connections to it are kept.
    pub pool: pool::Policy,
    /// What stands for it in the backend's cookie.
    pub cookie: Option<String>,
    /// Whether it only serves when no other can.
    pub backup: bool,
    /// How long its share grows after it has come back; zero: not at all.
    pub slowstart: Duration,
    /// The address that connections to it come from, also if this node does not have it.
    pub source: Option<IpAddr>,
    /// The form of the PROXY header that each connection to it begins with.
    pub send_proxy: Option<Version>,
    /// Whether checks of it begin with one, too; `None`: if they go where requests go.
    pub check_send_proxy: Option<bool>,
    /// Whether what runs on it ends when it is marked down.
    pub shutdown_sessions: bool,
    /// The oldest and the newest version of HTTP that it may be spoken with: 1 or 2.
    pub http: (u8, u8),
    /// TLS, if it speaks it.
    pub tls: Option<ServerTls>,
    /// Who says whether it is up.
    pub watch: Watch,
    /// What its check learns from requests that fail in a row; `None`: that it be probed sooner.
    pub on_error: Option<on_error::Policy>,
    /// Who says what it is to get.
    pub agent: Option<Agent>,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Here.
    At(SocketAddr),
    /// On this UNIX socket.
    Unix(PathBuf),
    /// Where a name of its backend says.
    Named,
}

impl Server {
    /// What it is asked, by the check of its backend: over its own TLS if nothing else was said, as requests are.
    pub fn check(&self, check: &CheckSpec) -> CheckSpec {
        let own = self.tls.as_ref().filter(|_| check.inherits_tls && self.is_checked_where_it_serves(check));
        let Some(own) = own else { return check.clone() };
        let sni = match &own.sni {
            Sni::Name(name) => Some(name.clone()),
            Sni::None | Sni::Host | Sni::Client => None,
        };
        let tls = TlsCheck {
            verify_none: !own.verify,
            ca_file: own.ca_file.clone(),
            any_name: sni.is_none(),
            sni,
            crt: own.crt.clone(),
        };
        CheckSpec { tls: Some(tls), ..check.clone() }
    }

    /// The PROXY header that its checks begin with (HAProxy manual, `check-send-proxy`).
    pub fn check_header(&self, check: &CheckSpec) -> Option<Version> {
        let sends = self.check_send_proxy.unwrap_or_else(|| self.is_checked_where_it_serves(check));
        self.send_proxy.filter(|_| sends)
    }

    /// Another port, or another address, need not speak as this one does.
    pub fn is_checked_where_it_serves(&self, check: &CheckSpec) -> bool {
        let elsewhere = matches!(self.watch, Watch::Check { addr, port } if addr.is_some() || port.is_some());
        !elsewhere && check.addr.is_none() && check.port.is_none()
    }
}

/// TLS towards a server.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// Whether its certificate is verified.
    pub verify: bool,
    /// Who may have signed it; `None`: whom the system trusts.
    pub ca_file: Option<PathBuf>,
    /// The name that it is asked for, and that its certificate must be for.
    pub sni: Sni,
    /// What the gateway shows of itself: a chain and its key.
    pub crt: Option<PathBuf>,
    /// What it may choose from, as written; in mode tcp it is offered nothing else.
    pub alpn: Vec<String>,
    /// What to tell when a file does not load.
    pub origin: Diagnostic,
}

/// The name that a server is asked for in the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sni {
    /// None: its certificate may be for any name.
    None,
    /// The one that the request is for.
    Host,
    /// The one that the client has asked for in its own handshake, if it has.
    Client,
    /// This one.
    Name(String),
}
