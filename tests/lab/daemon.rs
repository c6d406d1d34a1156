//! One process of the lab.

use crate::netns::Namespace;
use crate::sys;
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard};
use std::sync::{OnceLock, PoisonError};
use std::time::Duration;

/// How to start a process of the lab, as often as a test wants.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// What it is called, and its log file with `.log`.
    pub name: String,
    /// Where it runs; `None` is the machine's own network.
    pub namespace: Option<Namespace>,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Where its log goes.
    pub folder: PathBuf,
}

/// A process that can be started, killed, stopped. Never more than one at a time.
#[derive(Debug)]
pub struct Daemon {
    recipe: Recipe,
    child: Mutex<Option<Child>>,
}

impl Daemon {
    /// A daemon that does not run yet.
    pub fn new(recipe: Recipe) -> Self {
        Self { recipe, child: Mutex::new(None) }
    }

    /// Starts it. Its output is appended to its log.
    pub fn start(&self) -> Result<()> {
        let mut child = self.child();
        if child.is_some() {
            bail!("{} runs already", self.recipe.name);
        }
        *child = Some(self.recipe.spawn()?);
        Ok(())
    }

    /// Its process id.
    pub fn pid(&self) -> Result<Pid> {
        let child = self.child();
        let child = child.as_ref().with_context(|| format!("{} does not run", self.recipe.name))?;
        Ok(Pid::from_raw(i32::try_from(child.id())?))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid()?, signal).with_context(|| format!("cannot signal {}", self.recipe.name))
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.wait(Duration::from_secs(5)).map(drop)
    }

    /// Waits for its end.
    pub fn wait(&self, within: Duration) -> Result<ExitStatus> {
        let status = crate::wait_until(&format!("the end of {}", self.recipe.name), within, || {
            let mut child = self.child();
            Ok(child.as_mut().with_context(|| format!("{} does not run", self.recipe.name))?.try_wait()?)
        })?;
        *self.child() = None;
        Ok(status)
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.child().as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.recipe.log()).unwrap_or_default()
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child().take() {
            // It may have ended by itself; what matters is that it is gone and reaped.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Recipe {
    fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    fn spawn(&self) -> Result<Child> {
        let log = append(&self.log())?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(std::process::Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let namespace = self.namespace.as_ref().map(Namespace::open).transpose()?;
        sys::confine(&mut command, namespace);
        let (reply, answer) = sync_channel(1);
        let job = Job { command, reply };
        if nursery().send(job).is_err() {
            bail!("the thread that starts processes has ended");
        }
        answer.recv()?.with_context(|| format!("cannot start {}", self.program.display()))
    }
}

struct Job {
    command: Command,
    reply: SyncSender<std::io::Result<Child>>,
}

/// All processes are started by one thread that lives as long as this process: a child dies with the
/// thread that started it, and a test's thread may end before its lab does.
fn nursery() -> &'static SyncSender<Job> {
    static NURSERY: OnceLock<SyncSender<Job>> = OnceLock::new();
    NURSERY.get_or_init(|| {
        let (jobs, inbox) = sync_channel::<Job>(16);
        let work = move || {
            for mut job in inbox {
                let _ = job.reply.send(job.command.spawn());
            }
        };
        // If there is no thread, `send` says so.
        let _ = std::thread::Builder::new().name("lab-nursery".to_owned()).spawn(work);
        jobs
    })
}

fn append(path: &Path) -> Result<File> {
    File::options().create(true).append(true).open(path).with_context(|| path.display().to_string())
}
