//! Where is listened, and that nobody listens there twice.

use super::Result;
use super::values::name;
use crate::config::{Bind, Frontend, Listen, Place, UnixBind, schema};
use base_core::diagnose::Source;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use toml::Spanned;

pub(super) fn bind(source: &Source, bind: Spanned<SocketAddr>) -> Bind {
    let address = *bind.get_ref();
    Bind { address, origin: source.at(bind.span(), format!("can't listen on {address}")) }
}

/// Where a frontend listens.
pub(super) fn listen(source: &Source, written: &Spanned<String>) -> Result<Listen> {
    let text = written.get_ref();
    let wrong = |help: String| Err(source.at(written.span(), format!("can't listen on `{text}`")).help(help));
    let on = if let Some(path) = text.strip_prefix("unix@") {
        match unix(path) {
            Ok(path) => Place::Unix(path),
            Err(help) => return wrong(help),
        }
    } else if let Some(number) = text.strip_prefix("fd@") {
        match number.parse() {
            Ok(number @ FIRST_DESCRIPTOR..) => Place::Descriptor(number),
            _ => return wrong(format!("expected a number from {FIRST_DESCRIPTOR} on: the others are taken")),
        }
    } else {
        match text.parse() {
            Ok(address) => Place::Address(address),
            Err(_) => return wrong("expected `address:port`, `unix@/path` or `fd@3`".to_owned()),
        }
    };
    Ok(Listen { origin: source.at(written.span(), format!("can't listen on {on}")), on })
}

/// The path of a UNIX socket; the error says what is expected.
pub(super) fn unix(path: &str) -> std::result::Result<PathBuf, String> {
    if !Path::new(path).is_absolute() || path.len() > LONGEST_PATH || path.contains('\0') {
        return Err(format!("expected unix@ and a path from / on, of at most {LONGEST_PATH} bytes"));
    }
    Ok(path.into())
}

/// Who may connect to UNIX sockets.
pub(super) fn unix_bind(source: &Source, written: Option<&schema::UnixBind>) -> Result<UnixBind> {
    let mut bind = UnixBind { mode: DEFAULT_MODE, user: None, group: None };
    let Some(written) = written else { return Ok(bind) };
    if let Some(mode) = &written.mode {
        let read = u32::from_str_radix(mode.get_ref(), 8).ok().filter(|bits| *bits <= ALL_BITS);
        let error = source.at(mode.span(), format!("`{}` are no permissions", mode.get_ref()));
        bind.mode = read.ok_or_else(|| error.help("expected octal digits, such as \"660\""))?;
    }
    for owner in written.user.iter().chain(&written.group) {
        name(source, owner)?;
    }
    bind.user = written.user.as_ref().map(|user| user.get_ref().clone());
    bind.group = written.group.as_ref().map(|group| group.get_ref().clone());
    Ok(bind)
}

pub(super) fn are_distinct<'a>(
    frontends: &'a [Frontend],
    others: impl Iterator<Item = &'a Bind>,
) -> Result<()> {
    let others = others.map(|bind| (Place::Address(bind.address), &bind.origin));
    let all =
        frontends.iter().flat_map(|frontend| &frontend.binds).map(|bind| (bind.on.clone(), &bind.origin));
    let all: Vec<_> = all.chain(others).collect();
    for (index, (place, origin)) in all.iter().enumerate() {
        if let Some((taken, by)) = all[..index].iter().find(|(other, _)| other.clashes(place)) {
            let mut error = (*origin).clone();
            error.message = format!("{place} is taken");
            return Err(error.help(format!("line {} already listens on {taken}", by.line)));
        }
    }
    Ok(())
}

/// Bytes of a path that fit the kernel's address, with what is put behind it while it is made.
const LONGEST_PATH: usize = 90;
/// Those before are input, output and errors.
const FIRST_DESCRIPTOR: i32 = 3;
/// For its own user and group: who is on this machine is not thereby a client.
const DEFAULT_MODE: u32 = 0o660;
/// Read, write and execute for three.
const ALL_BITS: u32 = 0o777;
