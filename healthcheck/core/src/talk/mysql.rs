//! MySQL and MariaDB: the greeting, a login where a user is given, and whether Galera lets the node work: one that has
//! lost its quorum greets and lets in as ever, and refuses each query. HAProxy's `option mysql-check`.
//!
//! Logs in by `mysql_native_password` or without a password; a server that insists on another way fails with
//! `auth_plugin`. Without a user the talk ends at the greeting, which the server counts as an aborted connection
//! (`max_connect_errors`).

use super::inbox::Inbox;
use super::{Finding, Sha1, Talk};
use crate::spec::MysqlLogin;

#[derive(Debug)]
pub(super) struct Mysql {
    inbox: Inbox,
    sha1: Sha1,
    login: MysqlLogin,
    stage: Stage,
    /// The number of the packet that is sent next.
    sequence: u8,
}

#[derive(Debug)]
enum Stage {
    Greeting,
    Login,
    /// Packets of a result: how many ends have been seen, of its columns and of its rows, and what was in it.
    Result {
        ends: u8,
        is_ready: bool,
    },
}

impl Mysql {
    pub(super) fn new(login: &MysqlLogin, sha1: Sha1) -> Self {
        Self { inbox: Inbox::default(), sha1, login: login.clone(), stage: Stage::Greeting, sequence: 0 }
    }

    /// The next packet, once it is whole.
    fn packet(&mut self) -> Option<Vec<u8>> {
        let header = self.inbox.rest().get(..4)?;
        let (number, length) = (header.get(3).copied()?, header.get(..3)?);
        let length = length.iter().rev().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
        let packet = self.inbox.take(length + 4)?.get(4..)?.to_vec();
        self.sequence = number.wrapping_add(1);
        Some(packet)
    }

    fn send(&self, out: &mut Vec<u8>, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap_or(0).to_le_bytes();
        out.extend(length.iter().take(3));
        out.push(self.sequence);
        out.extend_from_slice(payload);
    }

    fn command(&mut self, out: &mut Vec<u8>, payload: &[u8]) {
        self.sequence = 0;
        self.send(out, payload);
    }

    /// `SHA1(password) ^ SHA1(nonce, SHA1(SHA1(password)))`; nothing for no password.
    fn scramble(&self, nonce: &[u8]) -> Vec<u8> {
        let Some(password) = &self.login.password else { return Vec::new() };
        let once = (self.sha1)(password.expose().as_bytes());
        let twice = (self.sha1)(&once);
        let mask = (self.sha1)(&[nonce, &twice].concat());
        once.iter().zip(mask).map(|(one, other)| one ^ other).collect()
    }

    fn judge(&mut self, packet: &[u8], out: &mut Vec<u8>) -> Option<Finding> {
        if let Some(error) = packet.strip_prefix(&[ERROR]) {
            return Some(refusal(error));
        }
        match &mut self.stage {
            Stage::Greeting => self.greeted(packet, out),
            Stage::Login => self.answered(packet, out),
            Stage::Result { ends, is_ready } => {
                if packet.first() == Some(&END) && packet.len() < LONGEST_END {
                    *ends += 1;
                } else if *ends == 1 {
                    *is_ready = texts(packet).is_some_and(|(_, value)| value.eq_ignore_ascii_case(b"ON"));
                }
                let (over, is_ready) = (*ends == 2, *is_ready);
                if !over {
                    return None;
                }
                self.command(out, &[QUIT]);
                Some(if is_ready { Finding::OK } else { Finding::refused("wsrep_not_ready") })
            }
        }
    }

    fn greeted(&mut self, packet: &[u8], out: &mut Vec<u8>) -> Option<Finding> {
        let Some(nonce) = nonce(packet) else { return Some(Finding::garbage("not_mysql")) };
        let Some(user) = &self.login.user else { return Some(Finding::OK) };
        let mut answer = CAPABILITIES.to_le_bytes().to_vec();
        answer.extend(MAX_PACKET.to_le_bytes());
        answer.push(UTF8);
        answer.extend([0; 23]);
        answer.extend(user.bytes().chain([0]));
        let scramble = self.scramble(&nonce);
        answer.push(u8::try_from(scramble.len()).unwrap_or(0));
        answer.extend(scramble);
        answer.extend(NATIVE.iter().chain(&[0]));
        self.send(out, &answer);
        self.stage = Stage::Login;
        None
    }

    fn answered(&mut self, packet: &[u8], out: &mut Vec<u8>) -> Option<Finding> {
        match packet.split_first() {
            Some((&OK, _)) if !self.login.wsrep_ready => {
                self.command(out, &[QUIT]);
                Some(Finding::OK)
            }
            Some((&OK, _)) => {
                self.command(out, &[&[QUERY], WSREP_READY].concat());
                self.stage = Stage::Result { ends: 0, is_ready: false };
                None
            }
            Some((&END, wanted)) => {
                let (plugin, nonce) = split_nul(wanted).unwrap_or((wanted, &[]));
                if self.login.password.is_some() && plugin != NATIVE {
                    return Some(Finding::refused("auth_plugin"));
                }
                let scramble = self.scramble(nonce.strip_suffix(&[0]).unwrap_or(nonce));
                self.send(out, &scramble);
                None
            }
            Some(_) => Some(Finding::refused("auth_plugin")),
            None => Some(Finding::garbage("not_mysql")),
        }
    }
}

impl Talk for Mysql {
    fn begin(&mut self, _: &mut Vec<u8>) {}

    fn on(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Option<Finding> {
        if !self.inbox.push(bytes) {
            return Some(Finding::garbage("too_long"));
        }
        if let (Stage::Greeting, Some([_, _, 1..=255])) = (&self.stage, self.inbox.rest().get(..3)) {
            // No greeting is that long.
            return Some(Finding::garbage("not_mysql"));
        }
        while let Some(packet) = self.packet() {
            let finding = self.judge(&packet, out);
            if finding.is_some() {
                return finding;
            }
        }
        None
    }
}

/// What to mix into the password, from a greeting of protocol 10.
fn nonce(greeting: &[u8]) -> Option<Vec<u8>> {
    let (_version, rest) = split_nul(greeting.strip_prefix(&[10])?)?;
    // Thread, first part, filler; capabilities, character set, status, capabilities, length, reserved; second part.
    let first = rest.get(4..12)?;
    let second = rest.get(31..43).unwrap_or_default();
    Some([first, second].concat())
}

/// Code, and perhaps `#` with five letters, and text.
fn refusal(error: &[u8]) -> Finding {
    let Some([low, high]) = error.first_chunk::<2>() else { return Finding::garbage("not_mysql") };
    let code = u16::from_le_bytes([*low, *high]);
    let note = match code {
        1040 => "too_many_connections",
        1044 | 1045 | 1130 | 1698 => "not_allowed",
        1047 => "wsrep_not_ready",
        1129 => "host_blocked",
        1251 | 2059 => "auth_plugin",
        _ => "error",
    };
    Finding::refused(note).with_code(code)
}

fn split_nul(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

/// The two texts of a row, each behind its length; a status is never longer than one byte can say.
fn texts(row: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = |bytes: &'_ [u8]| -> Option<usize> { bytes.first().map(|length| usize::from(*length) + 1) };
    let (name, rest) = row.split_at_checked(text(row)?)?;
    let value = rest.get(..text(rest)?)?;
    Some((name.get(1..)?, value.get(1..)?))
}

/// First bytes of packets.
const OK: u8 = 0x00;
const END: u8 = 0xfe;
const ERROR: u8 = 0xff;
/// An end of columns or rows is shorter, in bytes; what begins alike and is longer is a row.
const LONGEST_END: usize = 9;
/// Commands.
const QUIT: u8 = 0x01;
const QUERY: u8 = 0x03;
const WSREP_READY: &[u8] = b"SHOW GLOBAL STATUS LIKE 'wsrep_ready'";
const NATIVE: &[u8] = b"mysql_native_password";
/// LONG_PASSWORD, PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH.
const CAPABILITIES: u32 = 0x0008_8201;
/// Nothing that is asked for here has more bytes.
const MAX_PACKET: u32 = 1 << 16;
/// utf8_general_ci.
const UTF8: u8 = 33;
