//! Identities: where a request shows what proves one, and what that is.

use super::values::{duration, name, resolve, unique};
use super::{Result, cookie};
use crate::config::{Backend, BackendId, schema};
use crate::identity::{Identity, Place, Proof, jwt};
use crate::lists::{ListFile, ListId, Matching};
use crate::rules::Case;
use base_core::diagnose::Source;
use std::time::Duration;
use toml::Spanned;

pub(super) fn all(
    source: &Source,
    written: Vec<schema::Identity>,
    lists: &[ListFile],
    backends: &[Backend],
) -> Result<Vec<Identity>> {
    let mut identities = Vec::<Identity>::new();
    for identity in written {
        name(source, &identity.name)?;
        unique(source, &identity.name, "identity", identities.iter().map(|identity| &identity.name))?;
        if identities.len() >= MAX_IDENTITIES {
            let error = source.at(identity.name.span(), "one identity too many");
            return Err(error.help(format!("at most {MAX_IDENTITIES}")));
        }
        identities.push(Identity {
            place: place(source, &identity)?,
            proof: proof(source, &identity, lists, backends)?,
            name: identity.name.into_inner(),
        });
    }
    Ok(identities)
}

fn place(source: &Source, identity: &schema::Identity) -> Result<Place> {
    match (&identity.header, &identity.cookie, &identity.query) {
        (None, None, None) if identity.jwt.is_some() => Ok(Place::Header("authorization".to_owned())),
        (Some(header), None, None) => cookie::token(source, header, "a field's name").map(Place::Header),
        (None, Some(cookie), None) => cookie::token(source, cookie, "a cookie's name").map(Place::Cookie),
        (None, None, Some(query)) => cookie::token(source, query, "a parameter's name").map(Place::Query),
        _ => {
            let error = source.at(identity.name.span(), "where does a request show what proves it?");
            Err(error.help("add one of header, cookie and query"))
        }
    }
}

fn proof(
    source: &Source,
    identity: &schema::Identity,
    lists: &[ListFile],
    backends: &[Backend],
) -> Result<Proof> {
    match (&identity.map, &identity.jwt, &identity.answer) {
        (Some(map), None, None) => {
            let place = resolve(source, map, "list or map", lists.iter().map(|list| &list.name))?;
            let kind = lists[place].kind;
            if !kind.values || kind.matching != Matching::Str || kind.case != Case::Matters {
                let error = source.at(map.span(), "this is no map of keys");
                return Err(error.help("a [[map]] with match = \"str\", in which case matters"));
            }
            Ok(Proof::Key(ListId(place)))
        }
        (None, Some(written), None) => jwt(source, written),
        (None, None, Some(answer)) => Ok(Proof::Answer {
            backends: believed(source, &answer.backend, backends)?,
            field: cookie::token(source, &answer.header, "a field's name")?,
            class: answer
                .class
                .as_ref()
                .map(|class| cookie::token(source, class, "a field's name"))
                .transpose()?,
            learn: match &answer.learn {
                None => DEFAULT_LEARN,
                Some(learn) => duration(source, learn, "learn")?,
            },
        }),
        _ => {
            let error = source.at(identity.name.span(), "what proves it?");
            Err(error.help("add one of map, jwt and answer"))
        }
    }
}

/// Any other server, one of a customer's perhaps, could say that a credential is somebody else's.
fn believed(
    source: &Source,
    written: &Spanned<Vec<Spanned<String>>>,
    backends: &[Backend],
) -> Result<Vec<BackendId>> {
    if written.get_ref().is_empty() {
        let error = source.at(written.span(), "whose answers are believed?");
        return Err(error.help("name the backends whose servers check credentials"));
    }
    let names = || backends.iter().map(|backend| &backend.name);
    written.get_ref().iter().map(|name| resolve(source, name, "backend", names()).map(BackendId)).collect()
}

fn jwt(source: &Source, written: &schema::Jwt) -> Result<Proof> {
    let claim = |claim: &Spanned<String>| match claim.get_ref().split('.').any(str::is_empty) {
        true => Err(source.at(claim.span(), "this is no claim").help("such as \"sub\" or \"project.id\"")),
        false => Ok(claim.get_ref().clone()),
    };
    let leeway = match &written.leeway {
        None => DEFAULT_LEEWAY,
        Some(leeway) if leeway.get_ref().0 <= MAX_LEEWAY => leeway.get_ref().0,
        Some(leeway) => {
            return Err(source.at(leeway.span(), "clocks differ by less than that").help("at most 5m"));
        }
    };
    Ok(Proof::Jwt {
        policy: jwt::Policy {
            claim: claim(&written.claim)?,
            class: written.class.as_ref().map(claim).transpose()?,
            leeway: leeway.as_secs(),
            issuer: written.issuer.clone(),
            audience: written.audience.clone(),
        },
        keys: written.keys.get_ref().clone(),
        origin: source.at(written.keys.span(), "these keys can't be used"),
    })
}

/// Each may be asked for by each request.
const MAX_IDENTITIES: usize = 8;
/// As long as a token that was revoked may go on to count as it did.
const DEFAULT_LEARN: Duration = Duration::from_secs(300);
/// What clocks differ by.
const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);
const MAX_LEEWAY: Duration = Duration::from_secs(300);
