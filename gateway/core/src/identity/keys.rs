//! Keys that tokens are signed with, as a file holds them (RFC 7517, RFC 7518 §6, RFC 8037 §2).
//!
//! A key says what it is for: its algorithm follows from what it is made of, never from a token. A file with a key that
//! is not understood is refused as a whole.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde::Deserialize;

/// The keys of a file.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// The name by which tokens refer to it.
    pub id: Option<String>,
    /// What it is made of.
    pub material: Material,
}

/// What a key is made of; each kind has one algorithm.
#[derive(PartialEq, Eq)]
pub enum Material {
    /// HS256: a secret.
    Secret(Vec<u8>),
    /// RS256: modulus and exponent.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The exponent.
        e: Vec<u8>,
    },
    /// ES256: a point of P-256, uncompressed.
    P256(Vec<u8>),
    /// EdDSA: a key of Ed25519.
    Ed25519(Vec<u8>),
}

impl std::fmt::Debug for Material {
    /// A secret is for no log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.algorithm())
    }
}

impl Material {
    /// What a token that is signed with it says.
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Secret(_) => "HS256",
            Self::Rsa { .. } => "RS256",
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        }
    }
}

impl KeySet {
    /// Reads the text of a file; the error says which key is wrong, and how.
    pub fn read(text: &str) -> Result<Self, String> {
        // What serde says quotes what it has found, which may be a secret.
        let misread = |error: serde_json::Error| {
            format!("line {}, column {}: no set of keys (RFC 7517)", error.line(), error.column())
        };
        let file: File = serde_json::from_str(text).map_err(misread)?;
        if file.keys.is_empty() || file.keys.len() > MAX_KEYS {
            return Err(format!("{} keys: expected 1 to {MAX_KEYS}", file.keys.len()));
        }
        let mut keys = Vec::<Key>::new();
        for (place, written) in file.keys.into_iter().enumerate() {
            let key = key(written).map_err(|error| format!("key {}: {error}", place + 1))?;
            let twin =
                |other: &&Key| other.id == key.id && other.material.algorithm() == key.material.algorithm();
            if keys.iter().any(|other| twin(&other)) {
                let error = "another one of its algorithm has the same kid, or none as well";
                return Err(format!("key {}: {error}", place + 1));
            }
            keys.push(key);
        }
        Ok(Self { keys })
    }

    /// The one key that a token may be signed with.
    pub fn find(&self, algorithm: &str, id: Option<&str>) -> Option<&Key> {
        self.keys.iter().find(|key| key.id.as_deref() == id && key.material.algorithm() == algorithm)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[derive(Deserialize)]
struct File {
    keys: Vec<Written>,
}

#[derive(Deserialize)]
struct Written {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    crv: Option<String>,
    k: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

fn key(written: Written) -> Result<Key, String> {
    let part = |name: &str, text: &Option<String>, sizes: std::ops::RangeInclusive<usize>| {
        let bytes = text.as_ref().and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok());
        let bytes = bytes.ok_or_else(|| format!("{name} is missing, or not base64url"))?;
        let fits = sizes.contains(&bytes.len());
        let wrong =
            || format!("{name} has {} bytes: expected {} to {}", bytes.len(), sizes.start(), sizes.end());
        if fits { Ok(bytes) } else { Err(wrong()) }
    };
    let material = match (written.kty.as_str(), written.crv.as_deref()) {
        ("oct", None) => Material::Secret(part("k", &written.k, 32..=MAX_SECRET)?),
        ("RSA", None) => {
            Material::Rsa { n: part("n", &written.n, 256..=1024)?, e: part("e", &written.e, 1..=8)? }
        }
        ("EC", Some("P-256")) => {
            let (x, y) = (part("x", &written.x, 32..=32)?, part("y", &written.y, 32..=32)?);
            Material::P256([vec![4], x, y].concat())
        }
        ("OKP", Some("Ed25519")) => Material::Ed25519(part("x", &written.x, 32..=32)?),
        (kty, crv) => {
            let curve = crv.map_or_else(String::new, |crv| format!(" with crv {crv}"));
            return Err(format!(
                "kty {kty}{curve} is not known: expected oct, RSA, EC with P-256, OKP with Ed25519"
            ));
        }
    };
    if let Some(algorithm) = written.alg.filter(|algorithm| algorithm != material.algorithm()) {
        return Err(format!("alg {algorithm} is not {}, which is what it is for", material.algorithm()));
    }
    if let Some(other) = written.r#use.filter(|purpose| purpose != "sig") {
        return Err(format!("use {other} is not sig"));
    }
    Ok(Key { id: written.kid, material })
}

/// Keys of a file: those of several issuers, old and new.
const MAX_KEYS: usize = 64;
/// Bytes of a secret; one shorter than what HS256 makes of it can be guessed (RFC 7518 §3.2).
const MAX_SECRET: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: &str) -> Result<KeySet, String> {
        KeySet::read(&format!("{{\"keys\": [{key}]}}"))
    }

    #[test]
    fn an_error_shows_no_secret() {
        for bad in [
            r#"{"kty":"oct","k":["geheim"]}"#,
            r#"{"kty":"oct","k":{"geheim":1}}"#,
            r#""geheim""#,
            "\"geheim\\x",
        ] {
            let error = read(bad).expect_err(bad);
            assert!(error.starts_with("line 1, column ") && !error.contains("geheim"), "{error}");
        }
    }

    #[test]
    fn a_key_has_the_algorithm_of_its_kind_and_no_other() {
        let secret = format!("\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"{}\"", "A".repeat(43));
        let keys = read(&format!("{{{secret},\"alg\":\"HS256\"}}")).expect("a key");
        assert!(keys.find("HS256", Some("a")).is_some());
        assert!(keys.find("HS256", None).is_none() && keys.find("none", Some("a")).is_none());
        assert!(keys.find("RS256", Some("a")).is_none());
        for (bad, told) in [
            (format!("{{{secret},\"alg\":\"none\"}}"), "key 1: alg none is not HS256"),
            (format!("{{{secret},\"use\":\"enc\"}}"), "use enc is not sig"),
            (format!("{{{secret}}},{{{secret}}}"), "key 2: another one of its algorithm"),
            (r#"{"kty":"oct","k":"QUFB"}"#.to_owned(), "k has 3 bytes"),
            (
                r#"{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}"#.to_owned(),
                "kty EC with crv P-521 is not known",
            ),
            (r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#.to_owned(), "n has 3 bytes"),
            (String::new(), "0 keys"),
        ] {
            let error = read(&bad).expect_err(&bad);
            assert!(error.contains(told), "{error}");
        }
        assert_eq!(format!("{keys:?}").matches("HS256").count(), 1, "no secret is shown");
    }
}
