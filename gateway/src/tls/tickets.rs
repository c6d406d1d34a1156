//! Session tickets: what a client needs in order to go on with a session, sealed for whoever has the key.
//! With keys from a file every node that has it goes on with the sessions of all; without one the keys
//! are this process' own.
//!
//! ```text
//! name of the key (16) | nonce (12) | sealed: when it was made (8), the session | tag (16)
//! ```
//! A ticket is for the frontend of one name only, as another may let other clients in, and it ends with its
//! lifetime, whatever becomes of its key.

use crate::certificates::{Version, versions};
use arc_swap::ArcSwap;
use base_core::diagnose::Diagnostic;
use gateway_core::config::Tls;
use gateway_core::tickets::{KEYS, Key, NAME, parse};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Seals and opens the tickets of one frontend.
#[derive(Debug)]
pub(crate) struct Tickets {
    frontend: String,
    /// `None`: the keys are made here.
    file: Option<PathBuf>,
    /// The one in the middle seals.
    keys: ArcSwap<[Sealer; KEYS]>,
    version: Mutex<Vec<Version>>,
    /// When the keys were made or read, in seconds since 1970.
    since: AtomicU64,
    lifetime: Duration,
    broken: AtomicBool,
}

#[derive(Clone)]
struct Sealer {
    name: [u8; NAME],
    key: LessSafeKey,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sealer").finish_non_exhaustive()
    }
}

impl Tickets {
    /// Reads the keys for the first time, or makes some.
    pub(crate) fn load(frontend: &str, tls: &Tls) -> Result<Self, Diagnostic> {
        let told = |error: String| match &tls.ticket_keys {
            Some((_, origin)) => origin.clone().help(error),
            None => tls.origin.clone().help(error),
        };
        let file = tls.ticket_keys.as_ref().map(|(path, _)| path.clone());
        let version = versions(file.as_deref().into_iter());
        let keys = match &file {
            Some(path) => read(path).map_err(told)?,
            None => [made().map_err(told)?, made().map_err(told)?, made().map_err(told)?],
        };
        Ok(Self {
            frontend: frontend.to_owned(),
            file,
            keys: ArcSwap::from_pointee(keys),
            version: Mutex::new(version),
            since: AtomicU64::new(now()),
            lifetime: tls.lifetime,
            broken: AtomicBool::new(false),
        })
    }

    /// Reads a file that has changed; without one, makes a new key now and then.
    pub(crate) fn renew(&self, frontend: &str) {
        let keys = match &self.file {
            Some(path) => {
                let now = versions(std::iter::once(path.as_path()));
                let mut known = self.version.lock().unwrap_or_else(PoisonError::into_inner);
                if *known == now {
                    return;
                }
                *known = now;
                read(path)
            }
            None if now() < self.since.load(Ordering::Relaxed) + OWN_KEY_LIFE.as_secs() => return,
            None => {
                self.since.store(now(), Ordering::Relaxed);
                let [_, old, current] = self.keys.load().as_ref().clone();
                made().map(|new| [old, current, new])
            }
        };
        self.broken.store(keys.is_err(), Ordering::Relaxed);
        match keys {
            Ok(keys) => self.keys.store(std::sync::Arc::new(keys)),
            Err(error) => tracing::warn!(frontend, %error, "the ticket keys before stay"),
        }
    }

    /// Whether the keys in force are older than those that are there.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    fn open(&self, ticket: &[u8], now: u64) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let keys = self.keys.load();
        let sealer = keys.iter().find(|sealer| sealer.name == *name)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = sealer.key.open_in_place(nonce, self.aad(), &mut sealed).ok()?;
        let (made, session) = opened.split_first_chunk()?;
        let made = u64::from_be_bytes(*made);
        // The clocks of nodes differ.
        let is_young = now <= made.saturating_add(self.lifetime.as_secs()) && made <= now + SKEW.as_secs();
        is_young.then(|| session.to_vec())
    }

    fn seal(&self, session: &[u8], now: u64) -> Option<Vec<u8>> {
        let keys = self.keys.load();
        let [_, sealer, _] = keys.as_ref();
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut sealed = [&now.to_be_bytes(), session].concat();
        let sealing = Nonce::assume_unique_for_key(nonce);
        sealer.key.seal_in_place_append_tag(sealing, self.aad(), &mut sealed).ok()?;
        Some([&sealer.name, nonce.as_slice(), &sealed].concat())
    }

    fn aad(&self) -> Aad<&[u8]> {
        Aad::from(self.frontend.as_bytes())
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        // RFC 8446 §4.6.1: a week at most, which the configuration holds it to.
        u32::try_from(self.lifetime.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, now())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, now())
    }
}

fn read(path: &std::path::Path) -> Result<[Sealer; KEYS], String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| told(&error))?;
    let [old, current, new] = parse(&text).map_err(|error| told(&error))?;
    let sealer = |key: Key| sealer(&key).map_err(|error| told(&error));
    Ok([sealer(old)?, sealer(current)?, sealer(new)?])
}

fn made() -> Result<Sealer, String> {
    let (mut name, mut secret) = ([0; NAME], vec![0; 64]);
    let random = SystemRandom::new();
    let filled = random.fill(&mut name).and_then(|()| random.fill(&mut secret));
    filled.map_err(|_| "the system has no random numbers".to_owned())?;
    sealer(&Key { name, secret })
}

/// The secret of a file is not the key itself: what other programs do with the same file never meets what is
/// done here.
fn sealer(key: &Key) -> Result<Sealer, String> {
    let secret = Salt::new(HKDF_SHA256, b"headgate session tickets").extract(&key.secret);
    let unbound = secret.expand(&[b"aes-256-gcm"], &AES_256_GCM).map(UnboundKey::from);
    let unbound = unbound.map_err(|_| "a key can't be derived".to_owned())?;
    Ok(Sealer { name: key.name, key: LessSafeKey::new(unbound) })
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// How long a key of the process' own seals.
const OWN_KEY_LIFE: Duration = Duration::from_secs(12 * 3600);
/// What the clock of one node may be ahead of another's.
const SKEW: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
