//! A thread inside a namespace that runs tasks: sockets that they open belong there.

use crate::netns::Namespace;
use anyhow::{Context, Result, bail};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The thread. Dropping it ends the tasks that still run there.
#[derive(Debug)]
pub struct Inside {
    handle: Handle,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Inside {
    /// Starts the thread: it enters the namespace (`None`: it stays) before its runtime starts.
    pub fn start(namespace: Option<&Namespace>) -> Result<Self> {
        let (ready, started) = sync_channel(1);
        let (end, ended) = oneshot::channel::<()>();
        let namespace = namespace.cloned();
        let work = move || {
            let runtime = match namespace.as_ref().map_or(Ok(()), Namespace::enter) {
                Ok(()) => Builder::new_current_thread().enable_all().build().map_err(Into::into),
                Err(error) => Err(error),
            };
            match runtime {
                Ok(runtime) => {
                    let _ = ready.send(Ok(runtime.handle().clone()));
                    let _ = runtime.block_on(ended);
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            }
        };
        let thread = std::thread::Builder::new().name("lab-inside".to_owned()).spawn(work)?;
        let handle = started.recv().context("the thread inside has ended")??;
        Ok(Self { handle, end: Some(end), thread: Some(thread) })
    }

    /// Runs a task there and waits for what it returns.
    pub fn run<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> Result<T> {
        let (done, answer) = sync_channel(1);
        self.handle.spawn(async move {
            let _ = done.send(task.await);
        });
        let Ok(value) = answer.recv() else { bail!("the task inside panicked") };
        Ok(value)
    }

    /// Starts a task there.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(task);
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has been reported by whoever waited for it.
            let _ = thread.join();
        }
    }
}
