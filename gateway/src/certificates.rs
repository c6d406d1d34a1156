//! The certificates that a frontend shows, by the name that a client asks for, and their renewal: files
//! that change are read again while connections go on. What does not load, does not fit its key or is
//! expired takes the place of nothing: the one before it stays, and log and metric say so.

use arc_swap::ArcSwap;
use base_core::diagnose::Diagnostic;
use gateway_core::certificates::ByName;
use gateway_core::config::{CertificateFiles, Tls};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use x509_parser::extensions::GeneralName;

/// The certificates of one frontend.
#[derive(Debug)]
pub struct Certificates {
    files: CertificateFiles,
    shown: ArcSwap<ByName<Arc<CertifiedKey>>>,
    /// By the file that each is in, in the order in which names go to them.
    known: Mutex<BTreeMap<PathBuf, Known>>,
    broken: AtomicU64,
}

/// What is known of a certificate's files.
#[derive(Clone, Debug)]
struct Known {
    version: Vec<Version>,
    pair: Option<Pair>,
    /// Whether `pair` is older than the files, as those are broken.
    broken: bool,
}

#[derive(Clone, Debug)]
struct Pair {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    valid: bool,
}

/// Another version of a file differs in one of these: inode, size, change in seconds and nanoseconds.
pub(crate) type Version = (u64, u64, i64, i64);

impl Certificates {
    /// Reads them for the first time: all must be right.
    pub fn load(tls: &Tls) -> Result<Self, Diagnostic> {
        let mut known = BTreeMap::new();
        for (cert, key) in files(&tls.files).map_err(|error| tls.origin.clone().help(error))? {
            let version = versions([cert.as_path(), &key].into_iter());
            let pair = read(&cert, &key).map_err(|(path, error)| {
                let at_key = path == key && key != cert;
                let origin = if at_key { &tls.key_origin } else { &tls.origin };
                origin.clone().help(error)
            })?;
            if !pair.valid {
                tracing::warn!(file = %cert.display(), "the certificate is expired, or not valid yet");
            }
            known.insert(cert, Known { version, pair: Some(pair), broken: false });
        }
        let shown = by_name(&known).ok_or_else(|| tls.origin.clone().help(NONE_THERE))?;
        Ok(Self {
            files: tls.files.clone(),
            shown: ArcSwap::from_pointee(shown),
            known: Mutex::new(known),
            broken: AtomicU64::new(0),
        })
    }

    /// Looks for files that have changed, and shows what is in them from now on.
    pub(crate) fn renew(&self, frontend: &str) {
        let files = match files(&self.files) {
            Ok(files) if !files.is_empty() => files,
            // As when a directory is replaced by another: what is shown stays.
            Ok(_) | Err(_) => return self.broken.store(1, Ordering::Relaxed),
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.len();
        known.retain(|cert, _| files.iter().any(|(there, _)| there == cert));
        let mut changed = known.len() != before;
        for (cert, key) in files {
            let version = versions([cert.as_path(), &key].into_iter());
            let old = known.get(&cert);
            if old.is_some_and(|old| old.version == version) {
                continue;
            }
            let old = old.and_then(|old| old.pair.clone());
            let (pair, broken) = match renewed(&cert, &key, old.as_ref()) {
                Ok(pair) => {
                    tracing::info!(frontend, file = %cert.display(), "the certificate is renewed");
                    changed = true;
                    (Some(pair), false)
                }
                Err(error) => {
                    tracing::warn!(frontend, %error, "the certificate before stays");
                    (old, true)
                }
            };
            known.insert(cert, Known { version, pair, broken });
        }
        if changed && let Some(shown) = by_name(&known) {
            self.shown.store(Arc::new(shown));
        }
        let broken = known.values().filter(|known| known.broken).count();
        self.broken.store(broken as u64, Ordering::Relaxed);
    }

    /// How many files are not shown, as they are broken.
    pub(crate) fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.shown.load().find(hello.server_name())))
    }
}

/// The certificate and key files that there are, in order; the first is the default.
fn files(files: &CertificateFiles) -> Result<Vec<(PathBuf, PathBuf)>, String> {
    match files {
        CertificateFiles::Pair { cert, key } => Ok(vec![(cert.clone(), key.clone())]),
        CertificateFiles::Directory(directory) => {
            let told = |error: std::io::Error| format!("{}: {error}", directory.display());
            let mut found = Vec::new();
            for entry in std::fs::read_dir(directory).map_err(told)? {
                let path = entry.map_err(told)?.path();
                if path.extension().is_some_and(|extension| extension == "pem") {
                    found.push((path.clone(), path));
                }
            }
            found.sort();
            Ok(found)
        }
    }
}

pub(crate) fn versions<'a>(files: impl Iterator<Item = &'a Path>) -> Vec<Version> {
    let version = |file: Metadata| (file.ino(), file.len(), file.mtime(), file.mtime_nsec());
    files.map(std::fs::metadata).filter_map(Result::ok).map(version).collect()
}

/// A pair that may take the place of `old`.
fn renewed(cert: &Path, key: &Path, old: Option<&Pair>) -> Result<Pair, String> {
    let pair = read(cert, key).map_err(|(_, error)| error)?;
    if !pair.valid && old.is_some_and(|old| old.valid) {
        return Err(format!("{}: expired, or not valid yet", cert.display()));
    }
    Ok(pair)
}

/// Reads a pair; the error comes with the file that it is in.
fn read(cert: &Path, key: &Path) -> Result<Pair, (PathBuf, String)> {
    let told = |path: &Path, error: &dyn std::fmt::Display| {
        (path.to_owned(), format!("{}: {error}", path.display()))
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|error| told(cert, &error))?;
    let Some(first) = chain.first() else { return Err(told(cert, &NONE_THERE)) };
    let (_, parsed) = x509_parser::parse_x509_certificate(first).map_err(|error| told(cert, &error))?;
    let valid = parsed.validity().is_valid();
    let alternatives = parsed.subject_alternative_name().ok().flatten();
    let alternatives = alternatives.iter().flat_map(|names| &names.value.general_names);
    let names = alternatives.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    let names = names.collect();
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| told(key, &error))?;
    let provider = rustls::crypto::ring::default_provider();
    let key = CertifiedKey::from_der(chain, private, &provider)
        .map_err(|error| told(cert, &format!("certificate and key: {error}")))?;
    Ok(Pair { key: Arc::new(key), names, valid })
}

fn by_name(known: &BTreeMap<PathBuf, Known>) -> Option<ByName<Arc<CertifiedKey>>> {
    let pairs = || known.values().filter_map(|known| known.pair.as_ref());
    let mut shown = ByName::new(Arc::clone(&pairs().next()?.key));
    for pair in pairs() {
        for name in &pair.names {
            shown.add(name, Arc::clone(&pair.key));
        }
    }
    Some(shown)
}

const NONE_THERE: &str = "expected a PEM file with at least one certificate";
