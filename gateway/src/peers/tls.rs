//! TLS among peers: both sides show a certificate that the cluster's own authority has signed. Who is dialled
//! must show one for its name.

use base_core::diagnose::Diagnostic;
use gateway_core::config::{Peer, PeersTls as Files};
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, Error, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// Both sides of it.
#[derive(Clone)]
pub struct PeersTls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl std::fmt::Debug for PeersTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PeersTls")
    }
}

/// Reads the files that the configuration names.
pub fn load(files: &Files) -> Result<PeersTls, Diagnostic> {
    make(files).map_err(|error| files.origin.clone().help(error))
}

fn make(files: &Files) -> Result<PeersTls, String> {
    let said = |error: Error| error.to_string();
    let read = |path: &std::path::Path| -> Result<Vec<CertificateDer<'static>>, String> {
        let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        all.map_err(|error| format!("{}: {error}", path.display()))
    };
    let chain = read(&files.cert)?;
    let key = || {
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| format!("{}: {error}", files.key.display()))
    };
    let mut roots = RootCertStore::empty();
    for root in read(&files.ca)? {
        roots.add(root).map_err(said)?;
    }
    let (roots, provider) = (Arc::new(roots), Arc::new(ring::default_provider()));
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
    let clients = clients.build().map_err(|error| error.to_string())?;
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(said)?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain.clone(), key()?)
        .map_err(said)?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(said)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key()?)
        .map_err(said)?;
    Ok(PeersTls { acceptor: Arc::new(server).into(), connector: Arc::new(client).into() })
}

/// Whether who has dialled in may be this peer, by the certificate that it has shown.
pub(super) fn may_be(peer: &Peer, certificate: Option<&CertificateDer<'_>>) -> bool {
    let Some(name) = &peer.verifyhost else { return true };
    let parsed = certificate.and_then(|certificate| ParsedCertificate::try_from(certificate).ok());
    let name = ServerName::try_from(name.as_str()).ok();
    parsed.zip(name).is_some_and(|(parsed, name)| verify_server_name(&parsed, &name).is_ok())
}

impl PeersTls {
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<server::TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await
    }

    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        peer: &Peer,
    ) -> io::Result<client::TlsStream<TcpStream>> {
        let name = peer.verifyhost.as_ref().unwrap_or(&peer.name);
        let name = ServerName::try_from(name.clone()).map_err(io::Error::other)?;
        self.connector.connect(name, stream).await
    }
}
