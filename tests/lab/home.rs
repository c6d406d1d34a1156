//! What a lab leaves on the machine while it lives, and how all of it goes away again.
//!
//! A lab is its number. Everything of lab 3 is found by that: the folder `/run/headgate-lab/3` with
//! configurations, logs and sockets, the namespaces `hg3-*`, and the processes in them. A file lock in
//! the folder is held while the lab lives; the system lets go of it however the program ends, so that a
//! free lock means: nobody's, take it away.

use crate::netns::{self, Namespace};
use crate::topology::Topology;
use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Where the folders of all labs are.
pub const ROOT: &str = "/run/headgate-lab";

/// A claimed lab number. Dropping it takes everything of the lab away.
#[derive(Debug)]
pub struct Home {
    id: u32,
    folder: PathBuf,
    _lock: Flock<File>,
}

impl Home {
    /// Takes away what dead labs left, then claims the lowest free number.
    pub fn claim() -> Result<Self> {
        fs::create_dir_all(ROOT).with_context(|| format!("cannot make {ROOT}"))?;
        let _turn = lock(&Path::new(ROOT).join("lock"), FlockArg::LockExclusive)?;
        remove_dead();
        let id = (1..)
            .find(|id| !folder(*id).exists() && Topology::new(*id).known().iter().all(|ns| !ns.exists()))
            .context("no lab number is free")?;
        let folder = folder(id);
        fs::create_dir_all(&folder)?;
        let lock = lock(&folder.join("lock"), FlockArg::LockExclusiveNonblock)?;
        live().push(id);
        Ok(Self { id, folder, _lock: lock })
    }

    /// Its number.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The last lines of every log, for a failure's report.
    pub(crate) fn last_words(&self) -> String {
        let mut text = format!("--- lab {}: the ends of its logs ---\n", self.id);
        let Ok(folders) = std::fs::read_dir(&self.folder) else { return text };
        let mut logs: Vec<_> = folders
            .filter_map(|folder| std::fs::read_dir(folder.ok()?.path()).ok())
            .flatten()
            .filter_map(|file| Some(file.ok()?.path()))
            .filter(|file| file.extension().is_some_and(|extension| extension == "log"))
            // Load makes thousands of lines, and a test quotes those that it is about.
            .filter(|file| !file.ends_with("access.log"))
            .collect();
        logs.sort();
        for log in logs {
            let lines = std::fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<_> = lines.lines().collect();
            if !lines.is_empty() {
                let end = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
                text += &format!("{}:\n{end}\n", log.display());
            }
        }
        text
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        live().retain(|id| *id != self.id);
        remove(self.id);
    }
}

/// Takes away all labs of this process. For the last moments of a process.
pub(crate) fn remove_own() {
    let mut live = live();
    live.drain(..).for_each(remove);
}

/// Takes away every lab whose lock is free.
fn remove_dead() {
    let ids = names(ROOT).into_iter().filter_map(|name| name.parse().ok());
    // A lab makes its folder first and removes it last: a namespace without one is nobody's.
    let strays = names("/run/netns").into_iter().filter_map(|name| {
        let id = name.strip_prefix("hg")?.split_once('-')?.0.parse().ok()?;
        Topology::new(id).known().iter().any(|ns| ns.name() == name).then_some(id)
    });
    for id in ids.chain(strays).collect::<BTreeSet<u32>>() {
        let folder = folder(id);
        if !folder.exists() || lock(&folder.join("lock"), FlockArg::LockExclusiveNonblock).is_ok() {
            remove(id);
        }
    }
}

fn names(folder: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

/// Ends the processes of lab `id`, then removes its namespaces, then its folder: in this order, so that
/// whatever interrupts it, the next claim finds the folder and goes on.
fn remove(id: u32) {
    let namespaces = Topology::new(id).known();
    let ended = crate::wait_until("the end of the lab's processes", Duration::from_secs(5), || {
        let left: Vec<_> = namespaces.iter().flat_map(Namespace::processes).collect();
        for pid in &left {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        Ok(left.is_empty().then_some(()))
    });
    drop(ended);
    netns::remove(&namespaces);
    let _ = fs::remove_dir_all(folder(id));
}

fn folder(id: u32) -> PathBuf {
    Path::new(ROOT).join(id.to_string())
}

fn lock(path: &Path, how: FlockArg) -> Result<Flock<File>> {
    let file =
        File::options().create(true).append(true).open(path).with_context(|| path.display().to_string())?;
    Flock::lock(file, how)
        .map_err(|(_, errno)| errno)
        .with_context(|| format!("cannot lock {}", path.display()))
}

/// The labs of this process, for the signal handler.
fn live() -> MutexGuard<'static, Vec<u32>> {
    static LIVE: Mutex<Vec<u32>> = Mutex::new(Vec::new());
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lines of each log that a failure shows.
const LAST_LINES: usize = 20;
