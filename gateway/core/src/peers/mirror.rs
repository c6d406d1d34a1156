//! What one run of another process has counted: a node's, or this node's before and after an upgrade.

use crate::table::{Options, StickTable};
use base_core::Time;
use std::hash::RandomState;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// What one run of a gateway has counted itself.
#[derive(Debug)]
pub struct Mirror {
    /// The node.
    pub(super) node: String,
    /// The life of its process.
    pub(super) run: String,
    live: AtomicBool,
    /// A [`Speaker`].
    speaker: AtomicU8,
    /// When it was heard of last, in milliseconds.
    heard: AtomicU64,
    /// Its numbers.
    pub table: StickTable,
}

/// Who speaks for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Speaker {
    /// Its own node.
    Node,
    /// The process of this node before this one.
    Previous,
    /// The process of this node after this one.
    Next,
}

impl Mirror {
    pub(super) fn new(node: &str, run: &str, speaker: Speaker, options: Options, now: Time) -> Self {
        Self {
            node: node.to_owned(),
            run: run.to_owned(),
            live: AtomicBool::new(true),
            speaker: AtomicU8::new(speaker as u8),
            heard: AtomicU64::new(now.as_millis()),
            table: StickTable::new(options, &RandomState::new()),
        }
    }

    /// Whether what runs there counts.
    pub fn is_live(&self) -> bool {
        self.live.load(Ordering::Relaxed)
    }

    /// Whether it is this one that speaks for it.
    pub(super) fn is_by(&self, speaker: Speaker) -> bool {
        self.speaker.load(Ordering::Relaxed) == speaker as u8
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

    /// It lives, and who speaks for it.
    pub(super) fn begin(&self, speaker: Speaker) {
        self.live.store(true, Ordering::Relaxed);
        self.speaker.store(speaker as u8, Ordering::Relaxed);
    }

    /// What ran there runs no more.
    pub(super) fn end(&self) {
        self.live.store(false, Ordering::Relaxed);
    }
}
