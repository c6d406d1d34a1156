//! Redis: PING and its PONG, after AUTH where there is a password. One that still loads its data says so, and fails.

use super::inbox::Inbox;
use super::{Finding, Talk};
use crate::spec::Secret;

#[derive(Debug)]
pub(super) struct Redis {
    inbox: Inbox,
    hello: Vec<u8>,
    /// Whether the answer to AUTH is still to come.
    authenticates: bool,
}

impl Redis {
    pub(super) fn new(user: Option<&str>, password: Option<&Secret>) -> Self {
        let mut hello = Vec::new();
        if let Some(password) = password {
            let words = ["AUTH"].into_iter().chain(user).chain([password.expose()]);
            command(&mut hello, &words.collect::<Vec<_>>());
        }
        command(&mut hello, &["PING"]);
        Self { inbox: Inbox::default(), hello, authenticates: password.is_some() }
    }
}

impl Talk for Redis {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.hello);
    }

    fn on(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Option<Finding> {
        if !self.inbox.push(bytes) {
            return Some(Finding::garbage("too_long"));
        }
        while let Some(line) = self.inbox.line() {
            let is_expected = if self.authenticates { line == b"+OK" } else { line == b"+PONG" };
            if !is_expected {
                return Some(refusal(line));
            }
            if !std::mem::take(&mut self.authenticates) {
                command(out, &["QUIT"]);
                return Some(Finding::OK);
            }
        }
        let could_be_an_answer = self.inbox.rest().first().is_none_or(|byte| b"+-".contains(byte));
        (!could_be_an_answer).then_some(Finding::garbage("not_redis"))
    }
}

/// Why it does not say what was hoped for.
fn refusal(line: &[u8]) -> Finding {
    let known = [
        ("-LOADING", "loading"),
        ("-NOAUTH", "auth_needed"),
        ("-WRONGPASS", "auth_failed"),
        ("-ERR invalid password", "auth_failed"),
        ("-ERR AUTH", "auth_failed"),
        ("-MASTERDOWN", "master_down"),
    ];
    match known.iter().find(|(start, _)| line.starts_with(start.as_bytes())) {
        Some((_, note)) => Finding::refused(note),
        None if line.starts_with(b"-") => Finding::refused("error"),
        None => Finding::garbage("not_redis"),
    }
}

/// A command as an array of strings.
fn command(out: &mut Vec<u8>, words: &[&str]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
}
