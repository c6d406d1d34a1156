//! TLS of a probe. Certificates are verified unless the configuration says that they are not.

use super::by;
use base::Clock;
use base_core::Time;
use healthcheck_core::{Kind, TlsCheck};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Why a check can't speak TLS.
#[derive(Debug, Error)]
pub enum TlsError {
    /// There is nobody to believe.
    #[error("no certificates of authorities in {path}: {problem}")]
    Authorities {
        /// Where they were to be.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// There is nothing to show.
    #[error("no certificate with its key in {path}: {problem}")]
    Shown {
        /// Where they were to be.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The name can't stand in a certificate.
    #[error("`{0}` is no host name")]
    Name(String),
    /// rustls refuses.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// Makes connections of one check speak TLS.
#[derive(Clone)]
pub(super) struct Connector {
    connector: TlsConnector,
    name: Option<ServerName<'static>>,
}

impl Connector {
    pub(super) fn new(tls: &TlsCheck, kind: &Kind) -> Result<Self, TlsError> {
        let host = match kind {
            Kind::Http(http) => http.host.as_deref().filter(|host| is_name(host)),
            _ => None,
        };
        let name = match (&tls.sni, host) {
            (Some(sni), _) => {
                Some(ServerName::try_from(sni.clone()).map_err(|_| TlsError::Name(sni.clone()))?)
            }
            (None, host) => host.and_then(|host| ServerName::try_from(host.to_owned()).ok()),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = if tls.verify_none {
            let verifier = Arc::new(AnyCertificate(provider));
            builder.dangerous().with_custom_certificate_verifier(verifier)
        } else {
            let path = tls.ca_file.as_deref().unwrap_or_else(|| Path::new(SYSTEM_AUTHORITIES));
            let roots = authorities(path)?;
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
            let verifier = verifier.map_err(|error| TlsError::Authorities {
                path: path.to_owned(),
                problem: error.to_string(),
            })?;
            match tls.any_name {
                false => builder.with_webpki_verifier(verifier),
                true => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName(verifier))),
            }
        };
        let mut config = match &tls.crt {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let (chain, key) = shown(path)?;
                builder.with_client_auth_cert(chain, key)?
            }
        };
        if let Kind::Grpc { .. } = kind {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        // Each probe is to show that a whole handshake works.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self { connector: Arc::new(config).into(), name })
    }

    /// The error is what is wrong, in one word.
    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        target: SocketAddr,
    ) -> Result<TlsStream<TcpStream>, &'static str> {
        let name = self.name.clone().unwrap_or_else(|| ServerName::IpAddress(target.ip().into()));
        self.connector.connect(name, stream).await.map_err(|error| word(&error))
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Says goodbye, if that can be said at once.
pub(super) async fn close(stream: &mut TlsStream<TcpStream>, clock: Clock, deadline: Time) {
    let _ = by(clock, deadline, stream.shutdown()).await;
}

fn is_name(host: &str) -> bool {
    ServerName::try_from(host).is_ok_and(|name| matches!(name, ServerName::DnsName(_)))
}

/// A chain and its key, from one file.
fn shown(path: &Path) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let problem = |error: rustls_pki_types::pem::Error| TlsError::Shown {
        path: path.to_owned(),
        problem: error.to_string(),
    };
    let chain = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    Ok((chain.map_err(problem)?, PrivateKeyDer::from_pem_file(path).map_err(problem)?))
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let problem = |problem: String| TlsError::Authorities { path: path.to_owned(), problem };
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| problem(error.to_string()))?;
    let certificates =
        certificates.collect::<Result<Vec<_>, _>>().map_err(|error| problem(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(certificates);
    if taken == 0 { Err(problem("there is none in it".to_owned())) } else { Ok(roots) }
}

fn word(error: &io::Error) -> &'static str {
    use rustls::{CertificateError as Bad, Error};
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. })) => "certificate_expired",
        Some(Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. })) => {
            "certificate_name"
        }
        Some(Error::InvalidCertificate(Bad::UnknownIssuer)) => "certificate_unknown",
        Some(Error::InvalidCertificate(_)) => "certificate_bad",
        Some(Error::AlertReceived(_)) => "alert",
        Some(Error::InvalidMessage(_)) => "not_tls",
        Some(_) => "tls",
        None => "closed",
    }
}

/// Any certificate will do, but its key must be the server's.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A certificate that somebody believed has signed, whatever name it is for.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        // The name is looked at last, when all else is well.
        match self.0.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Whom this system believes.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
