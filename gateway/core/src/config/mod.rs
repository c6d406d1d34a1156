//! The gateway's configuration: [`schema`] is what is written in the file, [`validate`] turns it
//! into the [`Config`] that everything else sees, in which every name has been resolved and every
//! value is in range.

mod bind;
mod checks;
mod resolvers;
mod rule;
mod schema;
mod server;
mod validate;

#[cfg(test)]
mod tests;

pub use bind::{Bind, Listen, Place, SocketOptions, UnixBind};
pub use checks::{Agent, Check, Watch};
pub use resolvers::{Initial, Named, Question, Resolvers, ResolversId};

use crate::client::Chain;
use crate::table::{self, DataType, KeyType, Layout, Stored};
use crate::{balance, dispatch, eject, identity, limits, lists, normalize, route, rules, scanners, syslog};
pub use server::{Address, Server, ServerTls, Sni};

use base_core::diagnose::{Diagnostic, Source};
use ipnet::IpNet;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Which stick table: its place in [`Config::tables`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TableId(pub usize);

/// Which backend: its place in [`Config::backends`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BackendId(pub usize);

/// A whole, valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node's name; `None` is the host's.
    pub node: Option<String>,
    /// Worker threads; `None` is one for each core.
    pub workers: Option<usize>,
    /// Where operators and the speaker look in.
    pub admin: Admin,
    /// Where the access log goes.
    pub log: LogTarget,
    /// What becomes of traces; `None`: they are passed on as they are.
    pub tracing: Option<crate::trace::Tracing>,
    /// Syslog servers that it goes to besides.
    pub syslog: Vec<syslog::Target>,
    /// How a line of it looks.
    pub log_format: LogFormat,
    /// Longest wait for what is in flight after SIGTERM.
    pub drain_timeout: Duration,
    /// Stick tables.
    pub tables: Vec<Table>,
    /// Whom they are shared with.
    pub peers: Option<Peers>,
    /// Who is asked for the addresses of servers.
    pub resolvers: Vec<Resolvers>,
    /// Lists and maps in files.
    pub lists: Vec<lists::ListFile>,
    /// What is observed of clients.
    pub observe: Option<crate::observe::Policy>,
    /// Whom requests may be of.
    pub identities: Vec<identity::Identity>,
    /// Listeners and their rules.
    pub frontends: Vec<Frontend>,
    /// Sets of servers.
    pub backends: Vec<Backend>,
}

/// The admin listener and the control socket.
#[derive(Clone, Debug)]
pub struct Admin {
    /// `/health`, `/health/watch` and `/metrics`; `None`: not offered.
    pub bind: Option<Bind>,
    /// The control socket for `headgatectl`.
    pub socket: PathBuf,
    /// Where the next process of this node learns what this one knows.
    pub handover: Option<PathBuf>,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
    /// Nowhere.
    None,
}

/// How a line of the access log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// As HAProxy's.
    #[default]
    HttpLog,
    /// One JSON object.
    Json,
}

/// A stick table (HAProxy manual, "stick-table").
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// What its keys are.
    pub key: KeyType,
    /// What it stores.
    pub stored: Vec<Stored>,
    /// Most entries it holds; past that the oldest goes.
    pub size: usize,
    /// An entry goes this long after its last use.
    pub expire: Duration,
    /// A full table takes nobody new, instead of dropping the oldest.
    pub nopurge: bool,
    /// The name by which peers know it, if they do.
    pub peers_name: Option<String>,
    /// Where it is kept over a restart, if it is.
    pub persist: Option<Persist>,
    /// Peers tell what each has counted, to be summed, instead of writing over each other's entries.
    pub sums: bool,
    /// Numbers of this node's own in each entry, beside what is stored.
    pub cells: u16,
    /// HAProxy nodes get the sums of it, as a table of its own.
    pub agg: bool,
    /// The next process of this node is taught it.
    pub handed_over: bool,
}

/// A table that survives a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persist {
    /// Its file.
    pub file: PathBuf,
    /// How often it is saved, besides at the end.
    pub interval: Duration,
}

/// This node and the others of its cluster (HAProxy manual, "peers").
#[derive(Clone, Debug)]
pub struct Peers {
    /// The section's name.
    pub name: String,
    /// This node's name among its peers.
    pub local: String,
    /// Where the others reach it.
    pub bind: Bind,
    /// At most this often an entry is sent to a peer.
    pub update_interval: Duration,
    /// TLS, with a certificate on both sides.
    pub tls: Option<PeersTls>,
    /// The others.
    pub peers: Vec<Peer>,
}

/// TLS among peers.
#[derive(Clone, Debug)]
pub struct PeersTls {
    /// PEM file with this node's certificate chain.
    pub cert: PathBuf,
    /// PEM file with its private key.
    pub key: PathBuf,
    /// PEM file with who must have signed the others' certificates.
    pub ca: PathBuf,
    /// What to tell when they do not load.
    pub origin: Diagnostic,
}

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// The name that its certificate must be for, whoever dials; else who is dialled shows one for its name, and
    /// who dials any of the authority's.
    pub verifyhost: Option<String>,
    /// Where it listens for peers.
    pub address: SocketAddr,
}

/// TLS of a frontend, with places in the file for errors that come up later.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Where its certificates are.
    pub files: CertificateFiles,
    /// What to tell when they do not load.
    pub origin: Diagnostic,
    /// What to tell when the key does not load.
    pub key_origin: Diagnostic,
    /// The oldest version that is spoken.
    pub min_version: SslMinVer,
    /// Whether clients are asked for certificates, and whose are good.
    pub client_auth: Option<ClientAuth>,
    /// The file with the keys of session tickets, and what to tell when it does not load; `None`: keys of
    /// the process' own.
    pub ticket_keys: Option<(PathBuf, Diagnostic)>,
    /// How long a client may go on with a session.
    pub lifetime: Duration,
}

/// Certificates of clients (HAProxy manual, "verify", "ca-file", "crl-file").
#[derive(Clone, Debug)]
pub struct ClientAuth {
    /// Whether a client may have none.
    pub is_optional: bool,
    /// PEM file with those who sign for clients.
    pub ca_file: PathBuf,
    /// Whether clients are told who these are.
    pub tells_names: bool,
    /// PEM file with lists of revoked ones.
    pub crl_file: Option<PathBuf>,
    /// What to tell when they do not load.
    pub origin: Diagnostic,
}

/// Where certificates are.
#[derive(Clone, Debug)]
pub enum CertificateFiles {
    /// One, in two files.
    Pair {
        /// PEM file with the certificate chain.
        cert: PathBuf,
        /// PEM file with the private key.
        key: PathBuf,
    },
    /// In each `*.pem` of a directory one with its key.
    Directory(PathBuf),
}

/// The oldest version of TLS.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub enum SslMinVer {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "TLSv1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "TLSv1.3")]
    Tls13,
}

/// A protocol that client and gateway may agree on in the TLS handshake (RFC 7301).
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum Alpn {
    /// HTTP/2.
    #[serde(rename = "h2")]
    H2,
    /// HTTP/1.1.
    #[serde(rename = "http/1.1")]
    Http11,
}

impl Alpn {
    /// Its name in the handshake.
    pub fn name(self) -> &'static str {
        match self {
            Self::H2 => "h2",
            Self::Http11 => "http/1.1",
        }
    }
}

/// What comes through a frontend (HAProxy manual, "mode").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Requests.
    #[default]
    Http,
    /// Bytes, both ways.
    Tcp,
}

/// Listeners and the rules for what comes in through them.
#[derive(Clone, Debug)]
pub struct Frontend {
    /// Its name.
    pub name: String,
    /// What comes through it.
    pub mode: Mode,
    /// Addresses to listen on.
    pub binds: Vec<Listen>,
    /// Who may connect to those that are UNIX sockets.
    pub unix_bind: UnixBind,
    /// TLS, if its listeners speak it.
    pub tls: Option<Tls>,
    /// Path that the gateway answers itself, for probes through the listener (HAProxy: monitor-uri).
    pub monitor_uri: Option<String>,
    /// The field that holds a request's id (HAProxy: unique-id-header).
    pub unique_id_header: Option<String>,
    /// What of requests and answers the log has, too.
    pub capture: crate::capture::Capture,
    /// Who may say in `X-Forwarded-For` whom it speaks for.
    pub trusted_proxies: Vec<IpNet>,
    /// The field in which they say whose.
    pub trusted_header: Chain,
    /// Who must say in a PROXY header whose connection it passes on.
    pub accept_proxy: Vec<IpNet>,
    /// Whose connections are reset before anything is read from them.
    pub reject: Option<rules::Condition>,
    /// Requests after which a connection ends.
    pub max_keepalive_requests: u32,
    /// How long after its beginning a connection ends with its next answer.
    pub max_connection_age: Duration,
    /// How its listening sockets are made.
    pub sockets: SocketOptions,
    /// What counts its clients, and limits on that, all of which apply.
    pub limits: Vec<limits::Tracker>,
    /// The same once it is known where a request goes: those that are not for all, or not by address.
    pub routed_limits: Vec<limits::Tracker>,
    /// The same for connections on which requests come, asked before anything is read from them.
    pub connection_limits: Vec<limits::Tracker>,
    /// Whether any of its limits only marks.
    pub marks: bool,
    /// What is done with other spellings of a path.
    pub normalize_path: normalize::Mode,
    /// What is done with requests that only scanners make.
    pub block_scanners: scanners::Mode,
    /// What shall become of its requests, in order.
    pub rules: rules::Rules,
    /// What shall become of its connections, before anything is read from them.
    pub connection_rules: rules::Rules,
    /// The same, when they have shown their TLS handshake, if they have TLS.
    pub session_rules: rules::Rules,
    /// What is done when there is an answer.
    pub response_rules: rules::Rules,
    /// Requests in a tarpit at once; beyond, they get its answer at once.
    pub tarpit_max: u32,
    /// Pages in the place of the gateway's own errors.
    pub error_files: Vec<ErrorFile>,
    /// Which backend serves what.
    pub routes: route::Routes,
    /// How long an idle client connection is kept.
    pub keep_alive_timeout: Duration,
    /// Longest TLS handshake.
    pub handshake_timeout: Duration,
    /// Longest that the head of a request may take, from its first byte to its end.
    pub http_request_timeout: Duration,
    /// Longest silence of a client in the middle of a body, and longest that it may take nothing of an
    /// answer.
    pub client_timeout: Duration,
    /// Mode tcp: the same once the server has ended its side; `None`: as before.
    pub client_fin_timeout: Option<Duration>,
    /// Longest wait for the name that a TLS client asks for, where TLS is passed on unopened and routes go by
    /// that name.
    pub inspect_delay: Option<Duration>,
    /// What its listeners offer over TLS, the best first.
    pub alpn: Vec<Alpn>,
    /// Whether listeners without TLS speak HTTP/2 with clients that begin with it.
    pub h2c: bool,
    /// Requests that may run at once on a connection of HTTP/2.
    pub h2_max_concurrent_streams: u32,
    /// Frames that a client of HTTP/2 may send without getting anything.
    pub h2_glitches: crate::h2::glitches::Policy,
    /// How large the head of a request may be.
    pub bounds: crate::strict::Bounds,
}

/// A page for errors (HAProxy manual, "errorfile"), with its place in the configuration.
#[derive(Clone, Debug)]
pub struct ErrorFile {
    /// The statuses that it is for.
    pub statuses: Vec<u16>,
    /// Where it is.
    pub file: PathBuf,
    /// What it is.
    pub content_type: String,
    /// What to tell when it does not load.
    pub origin: Diagnostic,
}

/// A set of servers.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Its name.
    pub name: String,
    /// How a server is chosen.
    pub balance: balance::Algorithm,
    /// How a hash becomes a server, where requests are hashed.
    pub hash_type: balance::HashType,
    /// Which backup servers serve when no other can.
    pub backups: dispatch::Backups,
    /// When a request is tried again on another server.
    pub retry: crate::retry::Policy,
    /// Retries of a hundred requests, of those that a server has seen.
    pub retry_budget: u32,
    /// The table that remembers which server a client has.
    pub stick: Option<TableId>,
    /// The cookie that says which server a client has.
    pub cookie: Option<crate::cookie::Policy>,
    /// The field that tells a server its own name.
    pub http_send_name_header: Option<String>,
    /// How servers are probed; `None`: they count as up.
    pub check: Option<Check>,
    /// When a server that fails gets nothing for a while; `None`: never.
    pub breaker: Option<crate::breaker::Policy>,
    /// When a server is left alone since it does not answer; `None`: never.
    pub eject: Option<eject::Silence>,
    /// Requests at once on all its servers; `None`: any number.
    pub maxconn: Option<u32>,
    /// Running and waiting requests from which on the whole `maxconn` of servers holds that have a `minconn`.
    pub fullconn: Option<u32>,
    /// Requests that may wait for a place on a server.
    pub max_queue: u32,
    /// Longest wait for a place on a server.
    pub queue_timeout: Duration,
    /// Longest wait for a connection to a server.
    pub connect_timeout: Duration,
    /// Longest silence of a server.
    pub server_timeout: Duration,
    /// Longest silence of both sides once a connection is a tunnel; `None`: what holds before.
    pub tunnel_timeout: Option<Duration>,
    /// Mode tcp: longest silence of a server once its client has ended its side; `None`: as before.
    pub server_fin_timeout: Option<Duration>,
    /// Mode tcp: whether a client that has ended its side while it waits in line has gone.
    pub abortonclose: bool,
    /// How long a connection to a server is kept that nobody uses.
    pub pool_purge_delay: Duration,
    /// Whether connections to servers are used again.
    pub reuses: bool,
    /// The servers.
    pub servers: Vec<Server>,
    /// The names that say where some of them are.
    pub named: Vec<Named>,
}

impl Frontend {
    /// All that counts its clients.
    pub fn trackers(&self) -> impl Iterator<Item = &limits::Tracker> {
        self.limits.iter().chain(&self.routed_limits).chain(&self.connection_limits)
    }

    /// Every backend that requests can reach, each once, in the order of rules and routes.
    pub fn backends(&self) -> impl Iterator<Item = BackendId> {
        let mut backends = Vec::new();
        for backend in self.rules.backends().chain(self.routes.backends()) {
            if !backends.contains(&backend) {
                backends.push(backend);
            }
        }
        backends.into_iter()
    }
}

impl Table {
    /// Whether it stores this.
    pub fn stores(&self, data: DataType) -> bool {
        self.stored.iter().any(|stored| stored.data == data)
    }

    /// What it is made of.
    pub fn options(&self) -> table::Options {
        table::Options {
            key: self.key,
            layout: Layout::new(self.stored.iter().copied()).with_cells(self.cells),
            size: self.size,
            expire: self.expire,
            nopurge: self.nopurge,
            shared: self.peers_name.is_some() || self.handed_over,
        }
    }
}

impl Config {
    /// Reads a configuration from the text of its file.
    pub fn parse(source: &Source) -> Result<Self, Diagnostic> {
        validate::validate(source, source.parse()?)
    }
}
