//! Ctrl-C, SIGTERM and SIGHUP take the labs away before the program ends.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use tokio::signal::unix::{SignalKind, signal};

/// Starts the thread that waits for them. Once for a process; later calls do nothing.
pub(crate) fn handle() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        // Without the thread the next lab still cleans up after this one.
        let _ = std::thread::Builder::new().name("lab-signals".to_owned()).spawn(wait);
    });
}

fn wait() {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
    let number = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).ok()?;
        let mut terminate = signal(SignalKind::terminate()).ok()?;
        let mut hang_up = signal(SignalKind::hangup()).ok()?;
        Some(tokio::select! {
            _ = interrupt.recv() => 2,
            _ = terminate.recv() => 15,
            _ = hang_up.recv() => 1,
        })
    });
    if let Some(number) = number {
        let _ = writeln!(std::io::stderr().lock(), "\ninterrupted: taking the lab away");
        crate::home::remove_own();
        for folder in folders().drain(..) {
            let _ = std::fs::remove_dir_all(folder);
        }
        std::process::exit(128 + number);
    }
}

/// Has a folder removed, too, when the program is interrupted.
pub(crate) fn remove_on_interrupt(folder: &Path) {
    folders().push(folder.to_owned());
}

fn folders() -> MutexGuard<'static, Vec<PathBuf>> {
    static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner)
}
