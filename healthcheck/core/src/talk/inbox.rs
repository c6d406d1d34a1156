//! What a server has said and nobody has taken yet, bounded.

/// Bytes in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    taken: usize,
    /// All that ever came.
    total: usize,
}

impl Inbox {
    /// `false` if this is more than any answer to a check has.
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        self.total = self.total.saturating_add(bytes.len());
        if self.total > MAX_TALK {
            return false;
        }
        self.bytes.extend_from_slice(bytes);
        true
    }

    /// What is there.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    /// The next `count` bytes, once they are there.
    pub(super) fn take(&mut self, count: usize) -> Option<&[u8]> {
        let end = self.taken.checked_add(count)?;
        let taken = self.bytes.get(self.taken..end)?;
        self.taken = end;
        Some(taken)
    }

    /// The next line without its end, once it is whole.
    pub(super) fn line(&mut self) -> Option<&[u8]> {
        let length = self.rest().iter().position(|byte| *byte == b'\n')?;
        let line = self.take(length + 1)?;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// Most bytes that a server may say to one probe.
pub(super) const MAX_TALK: usize = 16 * 1024;
