//! From a file to all that a start needs: a valid configuration and the certificates that it names.

use base_core::diagnose::{Diagnostic, Source};
use gateway_core::Config;
use gateway_core::config::{Alpn, Tls};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// A configuration and what it refers to.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// For each frontend its TLS side, if it has one.
    pub tls: Vec<Option<Arc<ServerConfig>>>,
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
    let tls = config
        .frontends
        .iter()
        .map(|frontend| frontend.tls.as_ref().map(|tls| server_config(tls, &frontend.alpn)).transpose());
    let tls = tls.collect::<Result<_, _>>().map_err(Box::new)?;
    Ok(Loaded { config, tls })
}

/// TLS 1.2 and 1.3 with rustls' own choice of ciphers.
fn server_config(tls: &Tls, alpn: &[Alpn]) -> Result<Arc<ServerConfig>, Diagnostic> {
    let read = |error: &dyn std::fmt::Display, path: &Path| format!("{}: {error}", path.display());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&tls.cert)
        .and_then(Iterator::collect)
        .map_err(|error| tls.cert_origin.clone().help(read(&error, &tls.cert)))?;
    if chain.is_empty() {
        return Err(tls.cert_origin.clone().help("expected a PEM file with at least one certificate"));
    }
    let key = PrivateKeyDer::from_pem_file(&tls.key)
        .map_err(|error| tls.key_origin.clone().help(read(&error, &tls.key)))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| tls.cert_origin.clone().help(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| tls.cert_origin.clone().help(format!("certificate and key: {error}")))?;
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.name().into()).collect();
    Ok(Arc::new(config))
}
