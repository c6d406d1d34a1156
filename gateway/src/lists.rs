//! Lists and maps in files: read at the start, and again when a file has changed, all or nothing. What is
//! broken takes the place of nothing: the lines before stay, and log and metric say so. Whoever looks
//! something up takes what is there at that moment, and never waits.

use arc_swap::ArcSwap;
use base_core::diagnose::Diagnostic;
use gateway_core::lists::{List, ListFile, MAX_BYTES, Wanted};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A list or map that is in use.
#[derive(Debug)]
pub struct LiveList {
    lines: ArcSwap<List>,
    version: Mutex<Option<Version>>,
    broken: AtomicBool,
    reloads: AtomicU64,
}

/// Another version of a file differs in one of these: inode, size, change in seconds and nanoseconds.
type Version = (u64, u64, i64, i64);

impl LiveList {
    /// Reads it for the first time: it must be right.
    pub(crate) fn load(file: &ListFile) -> Result<Self, Diagnostic> {
        let version = version(&file.file);
        let lines = read(file).map_err(|error| file.origin.clone().help(error))?;
        Ok(Self {
            lines: ArcSwap::from_pointee(lines),
            version: Mutex::new(version),
            broken: AtomicBool::new(false),
            reloads: AtomicU64::new(0),
        })
    }

    /// Reads it again if the file has changed.
    pub(crate) fn renew(&self, file: &ListFile) {
        let found = version(&file.file);
        let mut known = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        if found == *known {
            return;
        }
        *known = found;
        let list = &file.name;
        match read(file) {
            Ok(lines) => {
                tracing::info!(%list, lines = lines.len(), "the list is read again");
                self.broken.store(false, Ordering::Relaxed);
                self.reloads.fetch_add(1, Ordering::Relaxed);
                self.lines.store(Arc::new(lines));
            }
            Err(error) => {
                tracing::warn!(%list, file = %file.file.display(), %error, "the lines before stay");
                self.broken.store(true, Ordering::Relaxed);
            }
        }
    }

    /// What stands behind the line that is found.
    pub(crate) fn find<R>(&self, wanted: Wanted<'_>, then: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.lines.load().find(wanted).map(then)
    }

    pub(crate) fn lines(&self) -> u64 {
        self.lines.load().len() as u64
    }

    /// Whether its file has changed to something that can't be used.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// How often it was read again.
    pub(crate) fn reloads(&self) -> u64 {
        self.reloads.load(Ordering::Relaxed)
    }
}

fn read(file: &ListFile) -> Result<List, String> {
    let failed = |error: io::Error| format!("{}: {error}", file.file.display());
    let mut text = String::new();
    // One byte more than may be shows that there are more.
    let mut bytes = File::open(&file.file).map_err(failed)?.take(MAX_BYTES as u64 + 1);
    bytes.read_to_string(&mut text).map_err(failed)?;
    List::read(file.kind, &text).map_err(|error| format!("{}: {error}", file.file.display()))
}

fn version(path: &Path) -> Option<Version> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
}
