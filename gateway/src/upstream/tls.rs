//! What TLS towards servers needs from files: whom to trust, and what to show.

use super::secure::{Authorities, Secure, Tls};
use base_core::diagnose::Diagnostic;
use gateway_core::config::{BackendId, Config, Mode, Server, ServerTls};
use pingora::protocols::tls::CaType;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whom a server is trusted by, and what it is shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    pub(crate) ca: Option<Arc<CaType>>,
    pub(crate) cert_key: Option<Arc<CertKey>>,
    /// For the connections that pingora does not make.
    pub(crate) tls: Tls,
}

/// What all servers need.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identities {
    /// Whom all servers are trusted by, where that is one file: with it sessions can be resumed, as it is the
    /// same for every connection.
    pub(crate) ca_file: Option<PathBuf>,
    /// For each server of each backend.
    pub(crate) servers: Vec<Vec<Option<Identity>>>,
}

pub(crate) fn load(config: &Config) -> Result<Identities, Diagnostic> {
    let servers = || config.backends.iter().flat_map(|backend| &backend.servers);
    let mut files = servers().filter_map(|server| server.tls.as_ref()).filter(|tls| tls.verify);
    let first = files.next().and_then(|tls| tls.ca_file.clone());
    let ca_file = first.filter(|first| files.all(|tls| tls.ca_file.as_ref() == Some(first)));
    let mut known = Authorities::new();
    let servers = config.backends.iter().enumerate().map(|(place, backend)| {
        let is_reached = |mode| {
            let mut frontends = config.frontends.iter().filter(|frontend| frontend.mode == mode);
            frontends.any(|frontend| frontend.backends().any(|BackendId(used)| used == place))
        };
        let (tunnels, requests) = (is_reached(Mode::Tcp), is_reached(Mode::Http));
        let identity = |server: &Server| {
            let Some(tls) = &server.tls else { return Ok(None) };
            let mut identity = identity(tls, ca_file.is_some())?;
            let mut secure = |alpn: &[String]| {
                Secure::load(tls, alpn, &mut known).map_err(|error| told(tls, error.to_string()))
            };
            if tunnels {
                identity.tls.tunnels = Some(secure(&tls.alpn)?);
            }
            if requests && server.http.1 == 1 {
                identity.tls.requests = Some(secure(&[HTTP_1_1.to_owned()])?);
            }
            Ok(Some(identity))
        };
        backend.servers.iter().map(identity).collect()
    });
    Ok(Identities { servers: servers.collect::<Result<_, _>>()?, ca_file })
}

fn identity(tls: &ServerTls, ca_is_shared: bool) -> Result<Identity, Diagnostic> {
    let told = |error| told(tls, error);
    let ca = match &tls.ca_file {
        None => None,
        Some(path) => {
            let trusted = chain(path).map_err(told)?;
            (!ca_is_shared)
                .then(|| trusted.iter().map(|cert| WrappedX509::new(cert.to_vec(), parse_x509)).collect())
        }
    };
    let cert_key = tls.crt.as_deref().map(cert_key).transpose().map_err(told)?;
    Ok(Identity { ca, cert_key: cert_key.map(Arc::new), tls: Tls::default() })
}

fn told(tls: &ServerTls, error: String) -> Diagnostic {
    let mut told = tls.origin.clone();
    told.message = error;
    told
}

/// The certificates of a file, each of which can be read.
fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let certs = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certs = certs.map_err(|error| told(&error))?;
    if certs.is_empty() {
        return Err(told(&"expected a PEM file with at least one certificate"));
    }
    for cert in &certs {
        x509_parser::parse_x509_certificate(cert).map_err(|error| told(&error))?;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(cert.clone()).map_err(|error| told(&error))?;
    }
    Ok(certs)
}

/// A chain and its key, which fit.
fn cert_key(path: &Path) -> Result<CertKey, String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let certs = chain(path)?;
    let key = PrivateKeyDer::from_pem_file(path).map_err(|error| told(&error))?;
    let raw = key.secret_der().to_vec();
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(certs.clone(), key, &provider).map_err(|error| told(&error))?;
    Ok(CertKey::new(certs.iter().map(|cert| cert.to_vec()).collect(), raw))
}

/// What is said in a handshake of what is spoken then (RFC 7301).
const HTTP_1_1: &str = "http/1.1";
