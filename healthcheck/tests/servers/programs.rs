//! Real servers for a test: found, started in a process group of their own, stopped, and killed with all that they have
//! started.

use base::Clock;
use healthcheck::Prober;
use healthcheck::probe::Names;
use healthcheck_core::{CheckSpec, CheckStatus, Outcome};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a server may take to start on a busy machine.
pub(crate) const START: Duration = Duration::from_secs(60);
/// The same for Erlang's.
pub(crate) const ERLANG: Duration = Duration::from_secs(180);

/// A program by its name or path; says that the test is skipped if it is not installed.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/local/bin", "/usr/sbin", "/usr/bin", "/usr/lib/postgresql/15/bin"];
    let found = folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: {name} is not installed");
    }
    found
}

/// What a command prints.
pub(crate) fn shell(line: &str) -> String {
    let output = Command::new("sh").arg("-c").arg(line).output().expect("there is a shell");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// One probe, in the words of a configuration.
pub(crate) async fn run(check: &str, target: SocketAddr) -> Outcome {
    run_for(check, target, Duration::from_secs(5)).await
}

async fn run_for(check: &str, target: SocketAddr, timeout: Duration) -> Outcome {
    let table: toml::Table = toml::from_str(&format!("check = {{ {check} }}")).expect(check);
    let spec: CheckSpec = table.get("check").cloned().expect("it is there").try_into().expect(check);
    let prober = Prober::new(spec.kind, spec.tls.as_ref(), Names::default()).expect("its files are there");
    let clock = Clock::start();
    super::common::soon(prober.probe(target, clock, clock.now() + timeout)).await
}

/// Waits until somebody accepts there.
pub(crate) async fn listens(address: SocketAddr) {
    super::common::soon(async {
        while tokio::net::TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// A server that runs; it and all of its children are killed when it goes out of scope.
pub(crate) struct Program(Child);

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let command =
            command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("it starts"))
    }

    pub(crate) async fn passes_within(&self, check: &str, target: SocketAddr, patience: Duration) -> bool {
        let passes = async {
            while !run(check, target).await.passed() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(patience, passes).await.is_ok()
    }

    pub(crate) async fn until_passes(&self, check: &str, target: SocketAddr) {
        if !self.passes_within(check, target, START).await {
            panic!("{check}: {}", run(check, target).await);
        }
    }

    /// Whether no thread of it or of its children runs.
    fn has_stopped(&self) -> bool {
        // Behind its name, in brackets, a stat has the state, the parent and the group.
        let fields = |path: std::path::PathBuf| {
            let stat = std::fs::read_to_string(path).unwrap_or_default();
            let behind = stat.rsplit_once(") ").map(|(_, behind)| behind).unwrap_or_default();
            behind.split(' ').map(str::to_owned).collect::<Vec<_>>()
        };
        let folders = |path: &str| std::fs::read_dir(path).into_iter().flatten().flatten();
        let group = self.0.id().to_string();
        let ours = folders("/proc").map(|process| process.path());
        let mut ours = ours.filter(|process| fields(process.join("stat")).get(2) == Some(&group));
        ours.all(|process| {
            let tasks = process.join("task");
            folders(&tasks.display().to_string()).all(|task| {
                matches!(fields(task.path().join("stat")).first().map(String::as_str), Some("T" | "Z") | None)
            })
        })
    }

    /// Stops it, which a check has to notice in time; then kills it.
    pub(crate) async fn hangs_and_dies(self, check: &str, target: SocketAddr, hung: CheckStatus) {
        self.signal(Signal::SIGSTOP);
        let stopped = async {
            // Another of its threads may answer for as long as it takes to stop them all.
            while !self.has_stopped() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        super::common::soon(stopped).await;
        let found = run_for(check, target, Duration::from_millis(300)).await;
        self.signal(Signal::SIGCONT);
        assert_eq!(found.status, hung);
        drop(self);
        // Its children may outlive it for a moment.
        let gone = async {
            while run(check, target).await.status != CheckStatus::L4Connection {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        super::common::soon(gone).await;
    }

    fn signal(&self, signal: Signal) {
        let group = i32::try_from(self.0.id()).expect("a number of a process");
        killpg(Pid::from_raw(group), signal).expect("it is ours");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let group = i32::try_from(self.0.id()).expect("a number of a process");
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}
