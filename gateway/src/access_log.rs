//! The access log: workers format their lines into batches of their own, one thread writes them.
//!
//! A slow disk or a reader that has gone never delays a request: when the queue to the writer is full
//! a batch is dropped, and its lines are counted.

use crate::load::StartError;
use gateway_core::config::{LogFormat, LogTarget};
use gateway_core::record::Record;
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The way into the log.
pub(crate) struct AccessLog {
    format: LogFormat,
    batches: Box<[Mutex<Batch>]>,
    writer: Option<Writer>,
    dropped: Arc<AtomicU64>,
}

/// The thread that writes.
struct Writer {
    /// `None` asks it to end.
    queue: SyncSender<Option<Batch>>,
    /// Closed by it when it ends.
    ended: Mutex<Receiver<()>>,
}

/// Lines that wait to be written.
#[derive(Default)]
struct Batch {
    text: String,
    lines: u64,
}

impl AccessLog {
    /// Opens the log for so many workers.
    pub(crate) fn open(target: &LogTarget, format: LogFormat, workers: usize) -> Result<Self, StartError> {
        let dropped = Arc::new(AtomicU64::new(0));
        let sink: Option<Box<dyn Write + Send>> = match target {
            LogTarget::None => None,
            LogTarget::Stdout => Some(Box::new(std::io::stdout())),
            LogTarget::File(path) => {
                let file = OpenOptions::new().append(true).create(true).open(path);
                Some(Box::new(file.map_err(|source| StartError::AccessLog { path: path.clone(), source })?))
            }
        };
        let writer = sink.map(|sink| start_writer(sink, Arc::clone(&dropped))).transpose();
        let writer = writer.map_err(|source| StartError::System { what: "the access log", source })?;
        Ok(Self { format, batches: (0..workers).map(|_| Mutex::default()).collect(), writer, dropped })
    }

    /// Adds the record of a request to its worker's batch.
    pub(crate) fn write(&self, worker: usize, record: &Record<'_>) {
        self.add(worker, |text| match self.format {
            LogFormat::HttpLog => record.write_httplog(text),
            LogFormat::Json => record.write_json(text),
        });
    }

    /// Adds the record of a connection of mode tcp.
    pub(crate) fn write_tcp(&self, worker: usize, record: &Record<'_>) {
        self.add(worker, |text| match self.format {
            LogFormat::HttpLog => record.write_tcplog(text),
            LogFormat::Json => record.write_json(text),
        });
    }

    fn add(&self, worker: usize, write: impl FnOnce(&mut String)) {
        if self.writer.is_none() {
            return;
        }
        // Only its worker ever takes this lock.
        let mut batch = self.batches[worker].lock().unwrap_or_else(PoisonError::into_inner);
        write(&mut batch.text);
        batch.lines += 1;
        if batch.text.len() >= BATCH_BYTES {
            self.hand_over(&mut batch);
        }
    }

    /// Hands over what a worker has, full or not.
    pub(crate) fn flush(&self, worker: usize) {
        let mut batch = self.batches[worker].lock().unwrap_or_else(PoisonError::into_inner);
        if batch.lines > 0 {
            self.hand_over(&mut batch);
        }
    }

    /// Writes what is left and ends the log; waits for a slow disk, but not for long.
    pub(crate) fn close(&self) {
        (0..self.batches.len()).for_each(|worker| self.flush(worker));
        if let Some(writer) = &self.writer
            && writer.queue.try_send(None).is_ok()
        {
            let ended = writer.ended.lock().unwrap_or_else(PoisonError::into_inner);
            // It says nothing, it only ends.
            let _ = ended.recv_timeout(CLOSE_TIMEOUT);
        }
    }

    /// Lines that were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn hand_over(&self, batch: &mut Batch) {
        let Some(writer) = &self.writer else { return };
        let next = String::with_capacity(batch.text.len());
        let full =
            Batch { text: std::mem::replace(&mut batch.text, next), lines: std::mem::take(&mut batch.lines) };
        if let Err(TrySendError::Full(Some(lost)) | TrySendError::Disconnected(Some(lost))) =
            writer.queue.try_send(Some(full))
        {
            self.dropped.fetch_add(lost.lines, Ordering::Relaxed);
        }
    }
}

fn start_writer(sink: Box<dyn Write + Send>, dropped: Arc<AtomicU64>) -> std::io::Result<Writer> {
    let (queue, batches) = sync_channel(QUEUE);
    let (ending, ended) = sync_channel(1);
    std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
        write_batches(sink, &batches, &dropped);
        drop(ending);
    })?;
    Ok(Writer { queue, ended: Mutex::new(ended) })
}

fn write_batches(mut sink: Box<dyn Write + Send>, batches: &Receiver<Option<Batch>>, dropped: &AtomicU64) {
    let mut healthy = true;
    while let Ok(Some(batch)) = batches.recv() {
        let written = sink.write_all(batch.text.as_bytes()).and_then(|()| sink.flush());
        match written {
            Ok(()) => healthy = true,
            Err(error) => {
                dropped.fetch_add(batch.lines, Ordering::Relaxed);
                if std::mem::take(&mut healthy) {
                    tracing::error!(%error, "the access log can't be written; its lines are dropped and counted");
                }
            }
        }
    }
}

/// Bytes of a batch: a few hundred lines.
const BATCH_BYTES: usize = 32 * 1024;
/// Batches that may wait for the writer: at most 8 MiB.
const QUEUE: usize = 256;
/// How long the end of the process waits for the log.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
