//! A process of the text API: started, heard, and started again when it has ended.

use super::Request;
use super::lines::converse;
use base::Clock;
use bgp_core::config::{OnExit, Process};
use bgp_core::fsm::backoff::Backoff;
use bgp_core::text_api::Owner;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

/// Until the speaker ends; then the process gets SIGTERM, and may say its last lines.
pub(super) async fn run(
    process: Process,
    owner: Owner,
    clock: Clock,
    ask: mpsc::Sender<Request>,
    mut stop: watch::Receiver<Option<String>>,
) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE, u64::from(std::process::id()));
    loop {
        let began = clock.now();
        let ended = match start(&process) {
            Ok(child) => live(child, owner, &ask, &mut stop).await,
            Err(error) => Err(error),
        };
        if process.on_exit == OnExit::Withdraw {
            let _ = ask.send(Request::Gone { owner }).await;
        }
        if stop.borrow().is_some() {
            return;
        }
        if clock.now() - began >= STABLE {
            backoff.reset();
        }
        let pause = backoff.pause();
        let status = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
        tracing::warn!(process = process.name, status, ?pause, "a process of the text API has ended");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = ends(&mut stop) => return,
        }
    }
}

fn start(process: &Process) -> io::Result<Child> {
    let (program, arguments) =
        process.run.split_first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command.spawn()
}

async fn live(
    mut child: Child,
    owner: Owner,
    ask: &mpsc::Sender<Request>,
    stop: &mut watch::Receiver<Option<String>>,
) -> io::Result<ExitStatus> {
    let pipes = child.stdout.take().zip(child.stdin.take());
    let (output, input) = pipes.ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
    let talk = converse(output, input, owner, ask);
    tokio::pin!(talk);
    let pid = child.id();
    tokio::select! {
        // Output that has ended says that nothing more comes, whether the process lives or not.
        () = &mut talk => {}
        () = ends(stop) => {
            if let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
            let _ = tokio::time::timeout(LAST_WORDS, &mut talk).await;
        }
    }
    match tokio::time::timeout(LAST_WORDS, child.wait()).await {
        Ok(status) => status,
        Err(_) => {
            child.start_kill()?;
            child.wait().await
        }
    }
}

/// Until the speaker ends.
async fn ends(stop: &mut watch::Receiver<Option<String>>) {
    let _ = stop.wait_for(Option::is_some).await;
}

/// Before the first new start; each next is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause between two starts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A process that ran this long starts over with short pauses.
const STABLE: Duration = Duration::from_secs(60);
/// How long a process may take to end once it has closed its output or got SIGTERM.
const LAST_WORDS: Duration = Duration::from_millis(500);
