//! The access log: workers format their lines into batches of their own, a thread for each target writes
//! them.
//!
//! A slow disk or a reader that has gone never delays a request, nor another target: when the queue to a
//! writer is full a batch is dropped, and its lines are counted.

mod sink;

use crate::load::StartError;
use base::Clock;
use gateway_core::Config;
use gateway_core::config::LogFormat;
use gateway_core::record::Record;
use sink::Sink;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The way into the log.
pub(crate) struct AccessLog {
    format: LogFormat,
    batches: Box<[Mutex<Batch>]>,
    writers: Vec<Writer>,
    dropped: Arc<AtomicU64>,
}

/// The thread that writes.
struct Writer {
    /// `None` asks it to end.
    queue: SyncSender<Option<Arc<Batch>>>,
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
    pub(crate) fn open(config: &Config, node: &str, workers: usize) -> Result<Self, StartError> {
        let dropped = Arc::new(AtomicU64::new(0));
        let writers =
            sink::all(config, node)?.into_iter().map(|sink| start_writer(sink, Arc::clone(&dropped)));
        let writers = writers.collect::<Result<_, _>>();
        let writers = writers.map_err(|source| StartError::System { what: "the access log", source })?;
        let batches = (0..workers).map(|_| Mutex::default()).collect();
        Ok(Self { format: config.log_format, batches, writers, dropped })
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
        if self.writers.is_empty() {
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
        let asked = self.writers.iter().filter(|writer| writer.queue.try_send(None).is_ok());
        let asked: Vec<_> = asked.collect();
        let clock = Clock::start();
        let deadline = clock.now() + CLOSE_TIMEOUT;
        for writer in asked {
            let ended = writer.ended.lock().unwrap_or_else(PoisonError::into_inner);
            // It says nothing, it only ends.
            let _ = ended.recv_timeout(deadline - clock.now());
        }
    }

    /// Lines that were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn hand_over(&self, batch: &mut Batch) {
        let next = Batch { text: String::with_capacity(batch.text.len()), lines: 0 };
        let full = Arc::new(std::mem::replace(batch, next));
        for writer in &self.writers {
            if writer.queue.try_send(Some(Arc::clone(&full))).is_err() {
                self.dropped.fetch_add(full.lines, Ordering::Relaxed);
            }
        }
    }
}

fn start_writer(sink: Box<dyn Sink>, dropped: Arc<AtomicU64>) -> std::io::Result<Writer> {
    let (queue, batches) = sync_channel(QUEUE);
    let (ending, ended) = sync_channel(1);
    std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
        write_batches(sink, &batches, &dropped);
        drop(ending);
    })?;
    Ok(Writer { queue, ended: Mutex::new(ended) })
}

fn write_batches(mut sink: Box<dyn Sink>, batches: &Receiver<Option<Arc<Batch>>>, dropped: &AtomicU64) {
    let mut healthy = true;
    while let Ok(Some(batch)) = batches.recv() {
        match sink.write(&batch.text) {
            Ok(()) => healthy = true,
            Err(sink::Lost { all, error }) => {
                dropped.fetch_add(all.unwrap_or(batch.lines), Ordering::Relaxed);
                if std::mem::take(&mut healthy) {
                    tracing::error!(%error, to = sink.name(), "the access log can't be written; its lines are dropped and counted");
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
