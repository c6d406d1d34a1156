//! LDAP: an anonymous bind that is answered. HAProxy's `option ldap-check`; RFC 4511, section 4.2.

use super::inbox::Inbox;
use super::{Finding, Talk};

#[derive(Debug, Default)]
pub(super) struct Ldap {
    inbox: Inbox,
}

impl Talk for Ldap {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(BIND);
    }

    fn on(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Option<Finding> {
        if !self.inbox.push(bytes) {
            return Some(Finding::garbage("too_long"));
        }
        let finding = match response(self.inbox.rest()) {
            Err(More) => return None,
            Ok(None) => Finding::garbage("not_ldap"),
            Ok(Some(0)) => Finding::OK,
            Ok(Some(code)) => Finding::refused("bind_refused").with_code(u16::from(code)),
        };
        if finding == Finding::OK {
            out.extend_from_slice(UNBIND);
        }
        Some(finding)
    }
}

/// There may be more to come.
struct More;

/// The result code of a bind response; `None` if it is none.
fn response(bytes: &[u8]) -> Result<Option<u8>, More> {
    let mut rest = bytes;
    // Message: SEQUENCE { id INTEGER 1, BindResponse { result ENUMERATED, … } }
    for (tag, goes_in) in [(0x30, true), (0x02, false), (0x61, true), (0x0a, false)] {
        let (found, length, after) = match header(rest)? {
            Some(header) => header,
            None => return Ok(None),
        };
        if found != tag {
            return Ok(None);
        }
        if tag == 0x0a {
            return after.first().copied().map(Some).ok_or(More);
        }
        rest = if goes_in { after } else { after.get(length..).ok_or(More)? };
    }
    Ok(None)
}

/// Tag, length and what comes after them.
type Header<'a> = (u8, usize, &'a [u8]);

/// The next header (BER, definite form).
fn header(bytes: &[u8]) -> Result<Option<Header<'_>>, More> {
    let (tag, rest) = bytes.split_first().ok_or(More)?;
    let (first, rest) = rest.split_first().ok_or(More)?;
    let long = usize::from(first & 0x7f);
    if first & 0x80 == 0 {
        return Ok(Some((*tag, long, rest)));
    }
    if !(1..=4).contains(&long) {
        return Ok(None);
    }
    let (digits, rest) = rest.split_at_checked(long).ok_or(More)?;
    let length = digits.iter().fold(0_usize, |length, digit| length << 8 | usize::from(*digit));
    Ok(Some((*tag, length, rest)))
}

/// Message 1: BindRequest, version 3, no name, simple, no password.
const BIND: &[u8] = &[0x30, 0x0c, 0x02, 0x01, 0x01, 0x60, 0x07, 0x02, 0x01, 0x03, 0x04, 0x00, 0x80, 0x00];
/// Message 2: UnbindRequest.
const UNBIND: &[u8] = &[0x30, 0x05, 0x02, 0x01, 0x02, 0x42, 0x00];
