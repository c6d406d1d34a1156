//! The promises of the deployment, one file for each, on the lab's real parts.
//!
//! A case asserts on what clients get, on the router's own table, on metrics and on log fields. Cases
//! that need minutes are in a module `long`: the second tier. See docs/lab.md.

mod access_log;
mod announce;
mod drain;
mod drain_lock;
mod forwarded;
mod garbage;
mod gateway_hung;
mod gateway_killed;
mod interop;
mod labs;
mod last_node;
mod limit;
mod long;
mod node_cut_off;
mod server_killed;
mod services_apart;
mod single;
mod speaker_killed;
mod sticky;
mod worker_stalled;

use anyhow::Result;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tests::{Lab, LabOptions};

/// Runs a case in a lab of its own. One at a time, whatever the number of test threads: each measures
/// times. Where there can be no lab it says so, past the capture of the test's output.
fn case(options: &LabOptions, test: impl FnOnce(&Lab) -> Result<()>) {
    alone(|| {
        let lab = Lab::start(options)?;
        // A panic, not an error: the lab shows the ends of its logs to who panics.
        test(&lab).unwrap_or_else(|error| panic!("{error:#}"));
        Ok(())
    });
}

/// Runs a test that makes its labs itself, while no other case runs.
fn alone(test: impl FnOnce() -> Result<()>) {
    if let Some(reason) = tests::unavailable() {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        let _ = writeln!(std::io::stderr().lock(), "{name}: NOT RUN: {reason}");
        return;
    }
    let _turn = turn();
    test().unwrap_or_else(|error| panic!("{error:#}"));
}

/// Whose turn it is: one at a time.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The middle one.
fn median<T: Ord + Copy>(values: &[T]) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}
