//! What is said to a server in the course of one probe, and what its answers mean: one [`Talk`] for each protocol.
//!
//! Promises: whatever comes, in whatever pieces, is survived in bounded memory; an answer counts as soon as it is
//! known; nothing is decided on bytes that may still come. The shell connects, carries bytes and watches the time.

mod amqp;
mod inbox;
mod ldap;
mod mysql;
mod postgres;
mod redis;
mod smtp;
mod steps;

#[cfg(test)]
mod tests;

use crate::http1;
use crate::outcome::CheckStatus;
use crate::spec::Kind;
use std::net::SocketAddr;

/// What came of a talk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Finding {
    /// HAProxy's word.
    pub status: CheckStatus,
    /// The number that the server gave, where it gave one: an HTTP or SMTP status, an error of a database.
    pub code: Option<u16>,
    /// What was wrong, in one word; empty where `status` says all.
    pub note: &'static str,
}

impl Finding {
    /// The server is well.
    pub const OK: Self = Self::new(CheckStatus::L7Ok, "");

    pub(crate) const fn new(status: CheckStatus, note: &'static str) -> Self {
        Self { status, code: None, note }
    }

    /// It answers, but not well.
    pub(crate) const fn refused(note: &'static str) -> Self {
        Self::new(CheckStatus::L7Status, note)
    }

    /// What it says is not what this protocol has.
    pub(crate) const fn garbage(note: &'static str) -> Self {
        Self::new(CheckStatus::L7Response, note)
    }

    pub(crate) const fn with_code(self, code: u16) -> Self {
        Self { code: Some(code), ..self }
    }
}

/// One probe's side of a conversation.
pub trait Talk: Send {
    /// What is said before the server has said anything.
    fn begin(&mut self, out: &mut Vec<u8>);

    /// The server has said more. What is to be sent goes to `out`, also along with the finding.
    fn on(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Option<Finding>;

    /// The server will say nothing more.
    fn end(&mut self) -> Finding {
        Finding::garbage("closed")
    }

    /// The number that the server has given so far, for a probe whose time is over.
    fn code(&self) -> Option<u16> {
        None
    }
}

/// SHA-1, which MySQL's passwords go by: whoever carries the bytes has it anyway.
pub type Sha1 = fn(&[u8]) -> [u8; 20];

/// The talk that a check of this kind has with the server at `target`; `None` for kinds that need none, or more
/// than one stream of bytes.
pub fn start(kind: &Kind, target: SocketAddr, sha1: Sha1) -> Option<Box<dyn Talk + '_>> {
    Some(match kind {
        Kind::Tcp | Kind::Tls | Kind::Grpc { .. } | Kind::Command(_) | Kind::File { .. } => return None,
        Kind::Steps(steps) => Box::new(steps::Steps::new(steps)),
        Kind::Http(check) => Box::new(http1::Exchange::new(check, target)),
        Kind::Mysql(login) => Box::new(mysql::Mysql::new(login, sha1)),
        Kind::Postgres { user, database } => Box::new(postgres::Postgres::new(user, database.as_deref())),
        Kind::Redis { user, password } => Box::new(redis::Redis::new(user.as_deref(), password.as_ref())),
        Kind::Amqp => Box::new(amqp::Amqp::default()),
        Kind::Smtp { hello } => Box::new(smtp::Smtp::new(hello)),
        Kind::Ldap => Box::new(ldap::Ldap::default()),
    })
}
