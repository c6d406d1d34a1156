//! A signed token (RFC 7515 §7.1, RFC 7519): whom it is of, if it is good.
//!
//! Which algorithm checks it the key says, never the token: one that names another algorithm than its key's, or `none`,
//! is nobody's. Nothing of what it says is believed before its signature is checked.

use super::Who;
use super::keys::{Key, KeySet};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// What a token must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The claim that names whom it is of; a dot leads into an object.
    pub claim: String,
    /// The claim that names its class.
    pub class: Option<String>,
    /// Seconds by which clocks may differ.
    pub leeway: u64,
    /// Who must have issued it.
    pub issuer: Option<String>,
    /// Whom it must be for.
    pub audience: Option<String>,
}

/// A token that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Whom it is of.
    pub who: Who,
    /// Until when, in seconds of UNIX time.
    pub until: u64,
}

/// Checks signatures.
pub trait Verify {
    /// Whether `signature` is that of `message` by `key`.
    fn verify(&self, key: &Key, message: &[u8], signature: &[u8]) -> bool;
}

/// Checks a token at `now`, in seconds of UNIX time. The error says what is wrong, for tests and people.
pub fn check(
    token: &[u8],
    keys: &KeySet,
    policy: &Policy,
    now: u64,
    verify: &impl Verify,
) -> Result<Proven, &'static str> {
    let mut parts = token.split(|byte| *byte == b'.');
    let (Some(head), Some(body), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("not three parts");
    };
    let message = token.get(..head.len() + 1 + body.len()).ok_or("not three parts")?;
    let header: Header = read(head)?;
    if header.crit.is_some() {
        return Err("an extension that is not known");
    }
    let key = keys.find(&header.alg, header.kid.as_deref()).ok_or("no key")?;
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| "not base64url")?;
    if !verify.verify(key, message, &signature) {
        return Err("another signature");
    }
    let claims: Map<String, Value> = read(body)?;
    let time = |name: &str| match claims.get(name) {
        None => Ok(None),
        // Fractions of a second are none of ours.
        Some(value) => {
            let whole =
                value.as_u64().or_else(|| value.as_f64().filter(|time| *time >= 0.0).map(|time| time as u64));
            whole.map(Some).ok_or("no time")
        }
    };
    let until = time("exp")?.ok_or("without an end")?.saturating_add(policy.leeway);
    if now >= until {
        return Err("expired");
    }
    if time("nbf")?.is_some_and(|begins| now.saturating_add(policy.leeway) < begins) {
        return Err("not good yet");
    }
    if policy
        .issuer
        .as_deref()
        .is_some_and(|issuer| claims.get("iss").and_then(Value::as_str) != Some(issuer))
    {
        return Err("another issuer");
    }
    if policy.audience.as_deref().is_some_and(|audience| !is_for(claims.get("aud"), audience)) {
        return Err("for another");
    }
    let name = claim(&claims, &policy.claim).ok_or("names nobody")?;
    let class = policy.class.as_ref().and_then(|class| claim(&claims, class));
    let who = Who::new(&name, class.as_deref()).ok_or("names nobody")?;
    Ok(Proven { who, until })
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

fn read<T: serde::de::DeserializeOwned>(part: &[u8]) -> Result<T, &'static str> {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| "not base64url")?)
        .map_err(|_| "not JSON")
}

/// One audience or several.
fn is_for(audience: Option<&Value>, wanted: &str) -> bool {
    match audience {
        Some(Value::String(one)) => one == wanted,
        Some(Value::Array(several)) => several.iter().any(|one| one.as_str() == Some(wanted)),
        _ => false,
    }
}

/// A text or a number, perhaps within objects.
fn claim<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<Cow<'a, str>> {
    let mut steps = path.split('.');
    let first = claims.get(steps.next()?)?;
    match steps.try_fold(first, |value, step| value.get(step))? {
        Value::String(text) => Some(text.into()),
        Value::Number(number) => Some(number.to_string().into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
