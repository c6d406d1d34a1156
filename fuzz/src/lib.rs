//! What the targets share: bytes that are used up one after the other.

pub mod bgp;
pub mod peers;

/// The input of a target, as a source of small decisions. At its end it gives zeros.
#[derive(Debug)]
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// Whether anything is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// The next two bytes as a number.
    pub fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// The next bytes, at most `most`; how many is said by the first.
    pub fn bytes(&mut self, most: usize) -> &'a [u8] {
        let length = usize::from(self.byte()).min(most).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }
}

/// A BGP message of this type around `body`; what is too long is cut.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let body = &body[..body.len().min(bgp_core::wire::MAX_MESSAGE - bgp_core::wire::HEADER)];
    let length = u16::try_from(body.len() + bgp_core::wire::HEADER).unwrap_or(u16::MAX);
    [&[0xff; 16][..], &length.to_be_bytes(), &[kind], body].concat()
}
