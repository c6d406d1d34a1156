//! The side that hands over.

use super::{Answer, Fate, Freeze, Hello, Paths, Record, channel};
use serde::Serialize;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// A new process that has not taken over yet. Dropped, it is killed, and this one is alone again.
pub(crate) struct Successor {
    child: Option<Child>,
    stream: Arc<UnixStream>,
}

impl Successor {
    /// Starts `program`; it gets the file's name and text, and the listeners.
    pub(crate) async fn start(program: &Path, hello: Hello, listeners: Vec<OwnedFd>) -> Result<Self, String> {
        let start = || -> io::Result<Self> {
            let (ours, theirs) = UnixStream::pair()?;
            let mut command = Command::new(program);
            command.args(["run", "--take-over"]).arg(&hello.file).stdin(Stdio::from(OwnedFd::from(theirs)));
            let child = Some(command.spawn()?);
            Ok(Self { child, stream: Arc::new(ours) })
        };
        let successor = start().map_err(|error| format!("{}: {error}", program.display()))?;
        successor.say(hello, listeners, STARTS_WITHIN).await?;
        Ok(successor)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    pub(crate) async fn record(&self, record: Record, sockets: Vec<OwnedFd>) -> Result<(), String> {
        self.say(record, sockets, BUILDS_WITHIN).await
    }

    pub(crate) async fn paths(&self, paths: Paths, sockets: Vec<OwnedFd>) -> Result<(), String> {
        self.say(paths, sockets, TAKES_WITHIN).await
    }

    /// It runs from here on, and this process must not.
    pub(crate) fn go(mut self) -> Result<u32, String> {
        let id = self.id();
        channel::send(&self.stream, &(), &[]).map_err(|error| error.to_string())?;
        self.child = None;
        Ok(id)
    }

    /// Says one thing and waits for the answer, on a thread that may wait.
    async fn say<T>(&self, what: T, sockets: Vec<OwnedFd>, within: Duration) -> Result<(), String>
    where
        T: Serialize + Send + 'static,
    {
        let stream = Arc::clone(&self.stream);
        let exchange = move || -> io::Result<Answer> {
            stream.set_read_timeout(Some(within))?;
            stream.set_write_timeout(Some(within))?;
            let borrowed: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
            channel::send(&stream, &what, &borrowed)?;
            Ok(channel::receive(&stream)?.0)
        };
        match tokio::task::spawn_blocking(exchange).await {
            Ok(Ok(Answer::Ready)) => Ok(()),
            Ok(Ok(Answer::Refused(why))) => Err(why),
            Ok(Err(error)) => Err(format!("the new process does not take over: {error}")),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Stops a task; `None` if it is not there any more. It goes on when what decides its fate is dropped.
pub(crate) async fn freeze<S>(task: &mpsc::Sender<Freeze<S>>) -> Option<(S, oneshot::Sender<Fate>)> {
    freeze_with(task, |freeze| freeze).await
}

/// The same for a task that hears of it as a message among others.
pub(crate) async fn freeze_with<S, M>(
    task: &mpsc::Sender<M>,
    message: impl FnOnce(Freeze<S>) -> M,
) -> Option<(S, oneshot::Sender<Fate>)> {
    let ((reply, frozen), (decide, fate)) = (oneshot::channel(), oneshot::channel());
    task.send(message(Freeze { reply, fate })).await.ok()?;
    Some((frozen.await.ok()?, decide))
}

/// How long a new process may take to start and to check its configuration; nothing is stopped meanwhile.
const STARTS_WITHIN: Duration = Duration::from_secs(10);
/// How long it may take to build everything; sessions are stopped meanwhile, and the shortest hold time is three seconds.
const BUILDS_WITHIN: Duration = Duration::from_millis(900);
/// How long it may take to take BFD over; longer, and a path at 50 ms × 3 would be lost.
const TAKES_WITHIN: Duration = Duration::from_millis(100);
