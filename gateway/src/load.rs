//! From a file to all that a start needs: a valid configuration and the certificates that it names.

use crate::error_pages::ErrorPages;
use crate::identity::LiveIdentity;
use crate::lists::LiveList;
use crate::peers::{self, PeersTls};
use crate::tls::TlsSide;
use crate::upstream::{self, Identities, Names};
use base_core::diagnose::{Diagnostic, Source};
use gateway_core::Config;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A configuration and what it refers to.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// For each frontend its TLS side, if it has one.
    pub tls: Vec<Option<TlsSide>>,
    /// What TLS towards servers needs.
    pub(crate) server_tls: Identities,
    /// Where servers with names are at first, and who is asked where they are then.
    pub(crate) names: Names,
    /// The pages of each frontend.
    pub error_pages: Vec<ErrorPages>,
    /// Its lists and maps, in their order.
    pub lists: Vec<LiveList>,
    /// Whom requests may be of, likewise.
    pub identities: Vec<LiveIdentity>,
    /// TLS among peers, if they speak it.
    pub peers_tls: Option<PeersTls>,
    /// What each server of each backend is asked by, if it is checked.
    pub probers: Vec<Vec<Option<healthcheck::Prober>>>,
}

/// Why the gateway does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The file can't be read.
    #[error("error: can't read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The configuration is wrong, or names something that can't be had.
    #[error(transparent)]
    Config(#[from] Box<Diagnostic>),
    /// The control socket can't be had.
    #[error("error: can't listen on the control socket {path}: {source}")]
    ControlSocket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The access log can't be opened.
    #[error("error: can't open the access log {path}: {source}")]
    AccessLog {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refuses something that every process needs.
    #[error("error: can't start {what}: {source}")]
    System {
        /// What it was to be.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads and validates the configuration at `path`, and loads its certificates.
pub fn load(path: &Path) -> Result<Loaded, StartError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| StartError::Read { path: path.to_owned(), source })?;
    let config = Config::parse(&Source::new(path.display().to_string(), text)).map_err(Box::new)?;
    let tls = config.frontends.iter().map(|frontend| {
        let tls = frontend.tls.as_ref();
        tls.map(|tls| TlsSide::load(&frontend.name, tls, &frontend.alpn)).transpose()
    });
    let tls = tls.collect::<Result<_, _>>().map_err(Box::new)?;
    let probers = crate::upstream::probers(&config)?;
    let lists = config.lists.iter().map(LiveList::load).collect::<Result<_, _>>().map_err(Box::new)?;
    let identities = config.identities.iter().map(LiveIdentity::load).collect::<Result<_, _>>()?;
    let error_pages = config.frontends.iter().map(|frontend| ErrorPages::load(&frontend.error_files));
    let error_pages = error_pages.collect::<Result<_, _>>().map_err(Box::new)?;
    let server_tls = upstream::load_tls(&config).map_err(Box::new)?;
    let names = upstream::load_names(&config).map_err(Box::new)?;
    let peers_tls = config.peers.as_ref().and_then(|peers| peers.tls.as_ref());
    let peers_tls = peers_tls.map(peers::load_tls).transpose().map_err(Box::new)?;
    Ok(Loaded { config, tls, server_tls, names, error_pages, lists, identities, peers_tls, probers })
}
