//! Whether a server's certificate will do, and what it is shown: for checks, and for whoever else speaks TLS with
//! servers.
//!
//! Promises: unless it is told to take any certificate, one that nobody believed has signed never passes; and the
//! server always has the key of the certificate that it shows.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// Why TLS can't be spoken with a server.
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
    /// rustls refuses to go by these authorities.
    #[error(transparent)]
    Verifier(#[from] VerifierBuilderError),
}

/// For which names a certificate must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// For what the server is reached by, be it a host name or an address.
    Asked,
    /// For the host name that it is asked for; for any where it is asked for none.
    Hosts,
    /// For any.
    Any,
}

/// Verifies the certificates of servers.
#[derive(Debug)]
pub struct Verifier {
    /// `None`: any certificate will do.
    signers: Option<Arc<WebPkiServerVerifier>>,
    names: Names,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    /// Believes those who are signed by one of `roots`.
    ///
    /// # Errors
    /// There is nobody in `roots`.
    pub fn of(
        roots: Arc<RootCertStore>,
        names: Names,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let signers = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build()?;
        Ok(Self { signers: Some(signers), names, provider })
    }

    /// Believes everybody.
    pub fn of_anybody(provider: Arc<CryptoProvider>) -> Self {
        Self { signers: None, names: Names::Any, provider }
    }

    fn takes_any_name(&self, name: &ServerName<'_>) -> bool {
        match self.names {
            Names::Asked => false,
            Names::Hosts => matches!(name, ServerName::IpAddress(_)),
            Names::Any => true,
        }
    }
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
        let Some(signers) = &self.signers else { return Ok(ServerCertVerified::assertion()) };
        // The name is looked at last, when all else is well.
        match signers.verify_server_cert(certificate, chain, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }))
                if self.takes_any_name(name) =>
            {
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

/// Those who may sign, from a PEM file; what is no certificate in it is passed over.
///
/// # Errors
/// The file can't be read, or there is nobody in it.
pub fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let problem = |problem: String| TlsError::Authorities { path: path.to_owned(), problem };
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| problem(error.to_string()))?;
    let certificates =
        certificates.collect::<Result<Vec<_>, _>>().map_err(|error| problem(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(certificates);
    if taken == 0 { Err(problem("there is none in it".to_owned())) } else { Ok(roots) }
}

/// A chain and its key, from one PEM file.
///
/// # Errors
/// The file can't be read, or one of them is not in it.
pub fn shown(path: &Path) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let problem = |error: rustls_pki_types::pem::Error| TlsError::Shown {
        path: path.to_owned(),
        problem: error.to_string(),
    };
    let chain = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    Ok((chain.map_err(problem)?, PrivateKeyDer::from_pem_file(path).map_err(problem)?))
}

/// Whom this system believes.
pub const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
