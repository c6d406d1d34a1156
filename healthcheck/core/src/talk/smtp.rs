//! SMTP: the greeting, and a hello that is taken. HAProxy's `option smtpchk`; RFC 5321.

use super::inbox::Inbox;
use super::{Finding, Talk};

#[derive(Debug)]
pub(super) struct Smtp {
    inbox: Inbox,
    hello: String,
    greeted: bool,
    code: Option<u16>,
}

impl Smtp {
    pub(super) fn new(hello: &str) -> Self {
        Self { inbox: Inbox::default(), hello: hello.to_owned(), greeted: false, code: None }
    }
}

impl Talk for Smtp {
    fn begin(&mut self, _: &mut Vec<u8>) {}

    fn on(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Option<Finding> {
        if !self.inbox.push(bytes) {
            return Some(Finding::garbage("too_long"));
        }
        while let Some(line) = self.inbox.line() {
            let Some((code, is_last)) = reply(line) else { return Some(Finding::garbage("not_smtp")) };
            self.code = Some(code);
            if code / 100 != 2 {
                return Some(Finding::refused("refused").with_code(code));
            }
            if is_last && std::mem::replace(&mut self.greeted, true) {
                out.extend_from_slice(b"QUIT\r\n");
                return Some(Finding::OK.with_code(code));
            }
            if is_last {
                out.extend_from_slice(format!("EHLO {}\r\n", self.hello).as_bytes());
            }
        }
        None
    }

    fn code(&self) -> Option<u16> {
        self.code
    }
}

/// The code of a line, and whether no other follows.
fn reply(line: &[u8]) -> Option<(u16, bool)> {
    let digits = line.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match line.get(3) {
        None | Some(b' ') => Some((code, true)),
        Some(b'-') => Some((code, false)),
        Some(_) => None,
    }
}
