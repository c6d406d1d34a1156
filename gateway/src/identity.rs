//! Finds out whom a request is of: looks keys up, checks signatures, and remembers what was proven.
//!
//! A proof is remembered under the hash of its credential, so that a token is checked once and not for each request.
//! When the file with the keys has changed all of it is forgotten.

use arc_swap::ArcSwap;
use base_core::Time;
use base_core::diagnose::Diagnostic;
use gateway_core::config::BackendId;
use gateway_core::identity::keys::{Key, KeySet, Material};
use gateway_core::identity::{Hash, Identity, Proof, Proofs, Who, jwt};
use gateway_core::lists::Wanted;
use gateway_core::rules::Facts;
use http::HeaderMap;
use ring::digest::{SHA256, digest};
use ring::{hmac, signature};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// An identity that is in use.
#[derive(Debug)]
pub struct LiveIdentity {
    config: Identity,
    keys: ArcSwap<KeySet>,
    version: Mutex<Option<Version>>,
    broken: AtomicBool,
    /// By the first bits of a hash.
    proofs: Box<[Mutex<Proofs>]>,
}

/// Another version of a file differs in one of these: inode, size, change in seconds and nanoseconds.
type Version = (u64, u64, i64, i64);

impl LiveIdentity {
    /// Reads its keys for the first time: they must be right.
    pub(crate) fn load(config: &Identity) -> Result<Self, Box<Diagnostic>> {
        let (keys, version) = match &config.proof {
            Proof::Jwt { keys, origin, .. } => {
                let version = version(keys);
                let failed = |error: String| Box::new(origin.clone().help(error));
                (read(keys).map_err(failed)?, version)
            }
            Proof::Key(_) | Proof::Answer { .. } => (KeySet::default(), None),
        };
        Ok(Self {
            config: config.clone(),
            keys: ArcSwap::from_pointee(keys),
            version: Mutex::new(version),
            broken: AtomicBool::new(false),
            proofs: (0..SHARDS).map(|_| Mutex::new(Proofs::new(MOST_PROOFS / SHARDS))).collect(),
        })
    }

    /// Reads its keys again if their file has changed.
    pub(crate) fn renew(&self) {
        let Proof::Jwt { keys: file, .. } = &self.config.proof else { return };
        let found = version(file);
        let mut known = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        if found == *known {
            return;
        }
        *known = found;
        let identity = &self.config.name;
        match read(file) {
            Ok(keys) => {
                tracing::info!(%identity, keys = keys.len(), "the keys are read again");
                self.broken.store(false, Ordering::Relaxed);
                self.keys.store(Arc::new(keys));
                self.proofs.iter().for_each(|proofs| lock(proofs).clear());
            }
            Err(error) => {
                tracing::warn!(%identity, %error, "the keys before stay");
                self.broken.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Whom a request is of, as far as that is proven.
    pub(crate) fn who(&self, facts: &impl Facts, now: Time) -> Option<Who> {
        let credential = self.config.place.find(facts)?;
        match &self.config.proof {
            Proof::Key(map) => facts.lookup(*map, Wanted::Text(credential), Who::of_line).flatten(),
            Proof::Jwt { policy, .. } => self.token(credential, policy),
            Proof::Answer { .. } => {
                let hash = hash(credential);
                lock(self.shard(&hash)).get(&hash, now.as_nanos())
            }
        }
    }

    /// Learns whom a request is of from the answer of a server, where that proves it.
    pub(crate) fn learn(&self, facts: &impl Facts, status: u16, answer: &HeaderMap, now: Time) {
        let Proof::Answer { field, class, learn, .. } = &self.config.proof else { return };
        let Some(credential) = self.config.place.find(facts) else { return };
        let text = |field: &String| answer.get(field).and_then(|value| value.to_str().ok());
        let hash = hash(credential);
        match status {
            200..300 => {
                let class = class.as_ref().and_then(text);
                if let Some(who) = text(field).and_then(|name| Who::new(name.trim(), class.map(str::trim))) {
                    let until = (now + *learn).as_nanos();
                    lock(self.shard(&hash)).put(hash, who, until);
                }
            }
            // It is good no more.
            401 => lock(self.shard(&hash)).forget(&hash),
            _ => {}
        }
    }

    /// Whether answers of this backend say whom a request is of.
    pub(crate) fn learns_from(&self, backend: BackendId) -> bool {
        matches!(&self.config.proof, Proof::Answer { backends, .. } if backends.contains(&backend))
    }

    /// Whether the file of its keys has changed to something that can't be used.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Proofs that are remembered.
    pub(crate) fn known(&self) -> usize {
        self.proofs.iter().map(|proofs| lock(proofs).len()).sum()
    }

    fn token(&self, token: &[u8], policy: &jwt::Policy) -> Option<Who> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
        let hash = hash(token);
        let shard = self.shard(&hash);
        if let Some(who) = lock(shard).get(&hash, now) {
            return Some(who);
        }
        let keys = self.keys.load_full();
        let proven = jwt::check(token, &keys, policy, now, &Ring).ok()?;
        let mut proofs = lock(shard);
        // What keys of before have proven must not outlive them.
        if Arc::ptr_eq(&keys, &self.keys.load()) {
            proofs.put(hash, proven.who.clone(), proven.until);
        }
        Some(proven.who)
    }

    fn shard(&self, hash: &Hash) -> &Mutex<Proofs> {
        &self.proofs[usize::from(hash[0]) % self.proofs.len()]
    }
}

/// Signatures by *ring*.
struct Ring;

impl jwt::Verify for Ring {
    fn verify(&self, key: &Key, message: &[u8], signed: &[u8]) -> bool {
        let is_good = |algorithm: &'static dyn signature::VerificationAlgorithm, key: &[u8]| {
            signature::UnparsedPublicKey::new(algorithm, key).verify(message, signed).is_ok()
        };
        match &key.material {
            Material::Secret(secret) => {
                hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret), message, signed).is_ok()
            }
            Material::Rsa { n, e } => signature::RsaPublicKeyComponents { n, e }
                .verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signed)
                .is_ok(),
            Material::P256(point) => is_good(&signature::ECDSA_P256_SHA256_FIXED, point),
            Material::Ed25519(point) => is_good(&signature::ED25519, point),
        }
    }
}

fn hash(credential: &[u8]) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest(&SHA256, credential).as_ref());
    hash
}

fn read(file: &Path) -> Result<KeySet, String> {
    let failed = |error: io::Error| format!("{}: {error}", file.display());
    let mut text = String::new();
    File::open(file).map_err(failed)?.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("{}: more than {MAX_BYTES} bytes", file.display()));
    }
    KeySet::read(&text).map_err(|error| format!("{}: {error}", file.display()))
}

fn version(path: &Path) -> Option<Version> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
}

/// What a panic elsewhere left is whole.
fn lock(proofs: &Mutex<Proofs>) -> MutexGuard<'_, Proofs> {
    proofs.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes of a file of keys: many times what as many keys as may be take.
const MAX_BYTES: u64 = 256 * 1024;
/// Proofs of an identity: the clients of an hour, at some 200 bytes each.
const MOST_PROOFS: usize = 65_536;
/// Enough that workers rarely meet in one.
const SHARDS: usize = 16;
