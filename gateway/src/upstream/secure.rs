//! TLS towards servers in mode tcp. Each server has a configuration that lives as long as the process, so its
//! sessions are resumed whoever is believed and whatever is shown, on all workers (RFC 8446 §2.2).
//!
//! Promises: nothing goes to a server whose certificate was to be verified and was not.

use gateway_core::config::{ServerTls, Sni};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How one server is spoken with.
#[derive(Clone)]
pub(crate) struct Secure {
    connector: TlsConnector,
    sni: Sni,
}

/// Those who may sign, read once for all servers that believe them.
pub(super) type Authorities = HashMap<PathBuf, Arc<RootCertStore>>;

impl Secure {
    /// The error says what is wrong with a file.
    pub(super) fn load(tls: &ServerTls, known: &mut Authorities) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let delegate = match tls.verify {
            false => None,
            true => Some(verifier(
                tls.ca_file.as_deref().unwrap_or_else(|| Path::new(SYSTEM_CA)),
                known,
                &provider,
            )?),
        };
        let told = |error: rustls::Error| error.to_string();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(told)?.dangerous();
        let builder = builder.with_custom_certificate_verifier(Arc::new(Verifier { delegate, provider }));
        let mut config = match &tls.crt {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
                let key = PrivateKeyDer::from_pem_file(path).map_err(|error| told(&error))?;
                let shown = builder.with_client_auth_cert(super::tls::chain(path)?, key);
                shown.map_err(|error| told(&error))?
            }
        };
        config.alpn_protocols = tls.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Self { connector: Arc::new(config).into(), sni: tls.sni.clone() })
    }

    /// A handshake with the server at `address`. `asked` is what the client has asked for in its own.
    pub(crate) async fn handshake(
        &self,
        server: TcpStream,
        address: IpAddr,
        asked: Option<&str>,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = match &self.sni {
            Sni::Name(name) => Some(name.as_str()),
            Sni::Client => asked,
            Sni::Host | Sni::None => None,
        };
        // An address is not sent, and not looked for in the certificate.
        let name = match name {
            Some(name) => ServerName::try_from(name.to_owned()).map_err(io::Error::other)?,
            None => ServerName::IpAddress(address.into()),
        };
        self.connector.connect(name, server).await
    }
}

impl std::fmt::Debug for Secure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secure").field("sni", &self.sni).finish_non_exhaustive()
    }
}

/// Verifies who has signed, and the name where there is one.
#[derive(Debug)]
struct Verifier {
    /// `None`: any certificate will do, but its key must be the server's.
    delegate: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        let Some(delegate) = &self.delegate else { return Ok(ServerCertVerified::assertion()) };
        let verified = delegate.verify_server_cert(certificate, chain, name, ocsp, now);
        match (verified, name) {
            (
                Err(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })),
                ServerName::IpAddress(_),
            ) => Ok(ServerCertVerified::assertion()),
            (verified, _) => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn verifier(
    path: &Path,
    known: &mut Authorities,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, String> {
    let roots = match known.get(path) {
        Some(roots) => Arc::clone(roots),
        None => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(super::tls::chain(path)?);
            let roots = Arc::new(roots);
            known.insert(path.to_owned(), Arc::clone(&roots));
            roots
        }
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider)).build();
    verifier.map_err(|error| format!("{}: {error}", path.display()))
}

/// Whom this system believes.
const SYSTEM_CA: &str = "/etc/ssl/certs/ca-certificates.crt";
