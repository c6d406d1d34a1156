//! Certificates of clients: who signs for them, and whose are revoked. Both come from files that are read
//! again when they change.

use crate::certificates::{Version, versions};
use arc_swap::ArcSwap;
use base_core::diagnose::Diagnostic;
use gateway_core::config;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Whom a frontend lets in.
#[derive(Debug)]
pub(crate) struct ClientAuth {
    asked: config::ClientAuth,
    current: ArcSwap<Current>,
    version: Mutex<Vec<Version>>,
    broken: AtomicBool,
}

/// What the files said when they were read last.
#[derive(Debug)]
struct Current(Arc<dyn ClientCertVerifier>);

/// What a handshake asks of its client.
#[derive(Debug)]
pub(crate) struct Asking {
    client_auth: Arc<ClientAuth>,
    /// Who signs, as far as clients are told. It is lent for longer than what was read last stays in place.
    names: Vec<DistinguishedName>,
}

impl ClientAuth {
    /// Reads the files for the first time: all must be right.
    pub(crate) fn load(asked: &config::ClientAuth) -> Result<Self, Diagnostic> {
        let version = version(asked);
        let current = read(asked).map_err(|error| asked.origin.clone().help(error))?;
        Ok(Self {
            asked: asked.clone(),
            current: ArcSwap::from_pointee(current),
            version: Mutex::new(version),
            broken: AtomicBool::new(false),
        })
    }

    /// Reads files that have changed; whether there are others to ask by now.
    pub(crate) fn renew(&self, frontend: &str) -> bool {
        let now = version(&self.asked);
        let mut known = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == now {
            return false;
        }
        *known = now;
        let read = read(&self.asked);
        let is_read = read.is_ok();
        self.broken.store(!is_read, Ordering::Relaxed);
        match read {
            Ok(current) => {
                tracing::info!(frontend, "who may sign for clients, and who is revoked, is read again");
                self.current.store(Arc::new(current));
            }
            Err(error) => tracing::warn!(frontend, %error, "clients are judged as before"),
        }
        is_read
    }

    /// Whether the files in force are older than those that are there.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Whether a client of a session that goes on may still come in: what was verified at its beginning may
    /// be revoked or expired by now.
    pub(crate) fn still_holds(&self, chain: Option<&[CertificateDer<'_>]>) -> bool {
        match chain.and_then(|chain| chain.split_first()) {
            None => self.asked.is_optional,
            Some((first, rest)) => {
                self.current.load().0.verify_client_cert(first, rest, UnixTime::now()).is_ok()
            }
        }
    }
}

impl Asking {
    /// With the names that were read last.
    pub(crate) fn new(client_auth: &Arc<ClientAuth>) -> Self {
        let names = match client_auth.asked.tells_names {
            true => client_auth.current.load().0.root_hint_subjects().to_vec(),
            false => Vec::new(),
        };
        Self { client_auth: Arc::clone(client_auth), names }
    }
}

impl ClientCertVerifier for Asking {
    fn client_auth_mandatory(&self) -> bool {
        !self.client_auth.asked.is_optional
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.names
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.client_auth.current.load().0.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.client_auth.current.load().0.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.client_auth.current.load().0.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.client_auth.current.load().0.supported_verify_schemes()
    }
}

fn version(asked: &config::ClientAuth) -> Vec<Version> {
    versions([Some(asked.ca_file.as_path()), asked.crl_file.as_deref()].into_iter().flatten())
}

fn read(asked: &config::ClientAuth) -> Result<Current, String> {
    let told = |path: &std::path::Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut roots = RootCertStore::empty();
    let authorities = CertificateDer::pem_file_iter(&asked.ca_file);
    for authority in authorities.map_err(|error| told(&asked.ca_file, &error))? {
        let authority = authority.map_err(|error| told(&asked.ca_file, &error))?;
        roots.add(authority).map_err(|error| told(&asked.ca_file, &error))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if let Some(path) = &asked.crl_file {
        let lists = CertificateRevocationListDer::pem_file_iter(path).and_then(Iterator::collect);
        let lists: Vec<_> = lists.map_err(|error| told(path, &error))?;
        if lists.is_empty() {
            return Err(told(path, &"expected at least one list"));
        }
        verifier = verifier.with_crls(lists);
    }
    if asked.is_optional {
        verifier = verifier.allow_unauthenticated();
    }
    let verifier = verifier.build().map_err(|error| told(&asked.ca_file, &error))?;
    Ok(Current(verifier))
}
