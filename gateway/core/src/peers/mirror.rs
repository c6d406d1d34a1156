//! What one run of another process has counted: a node's, or this node's before and after an upgrade.

use crate::table::{Options, StickTable};
use base_core::Time;
use std::hash::RandomState;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What one run of a gateway has counted itself.
#[derive(Debug)]
pub struct Mirror {
    /// The node.
    pub(super) node: String,
    /// The life of its process.
    pub(super) run: String,
    /// Those who say that it lives: it does as long as there is one.
    speakers: AtomicU8,
    /// When it was heard of last, in milliseconds.
    heard: AtomicU64,
    /// Its numbers.
    pub table: StickTable,
}

/// Who speaks for a run; of several, the first is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Speaker {
    /// Its own node.
    Node = 1,
    /// The process of this node before this one.
    Previous = 2,
    /// The process of this node after this one.
    Next = 4,
}

impl Mirror {
    pub(super) fn new(node: &str, run: &str, speaker: Speaker, options: Options, now: Time) -> Self {
        Self {
            node: node.to_owned(),
            run: run.to_owned(),
            speakers: AtomicU8::new(speaker as u8),
            heard: AtomicU64::new(now.as_millis()),
            table: StickTable::new(options, &RandomState::new()),
        }
    }

    /// Whether what runs there counts.
    pub fn is_live(&self) -> bool {
        self.speakers.load(Ordering::Relaxed) != 0
    }

    /// Whether this one says that it lives.
    pub(super) fn is_told_by(&self, speaker: Speaker) -> bool {
        self.speakers.load(Ordering::Relaxed) & speaker as u8 != 0
    }

    /// Whether this is the one whose numbers are taken.
    pub(super) fn is_heard_from(&self, speaker: Speaker) -> bool {
        let speakers = self.speakers.load(Ordering::Relaxed);
        speakers & speakers.wrapping_neg() == speaker as u8
    }

    /// Whether nothing of it can count any more: its last entry has expired.
    pub(super) fn is_over(&self, now: Time) -> bool {
        let heard = Time::from_millis(self.heard.load(Ordering::Relaxed));
        !self.is_live() && now > heard + self.table.expire()
    }

    /// It has said something.
    pub(super) fn hear(&self, now: Time) {
        self.heard.store(now.as_millis(), Ordering::Relaxed);
    }

    /// This one says that it lives. True if that is news.
    pub(super) fn begin(&self, speaker: Speaker) -> bool {
        self.speakers.fetch_or(speaker as u8, Ordering::Relaxed) & speaker as u8 == 0
    }

    /// This one does not say so any more. True if that is news.
    pub(super) fn end(&self, speaker: Speaker) -> bool {
        self.speakers.fetch_and(!(speaker as u8), Ordering::Relaxed) & speaker as u8 != 0
    }
}
