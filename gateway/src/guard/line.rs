//! Requests that wait for their turn under a limit: one line for each client and table, first come, first served.
//!
//! The first in a line asks the limit again when it should have room: when the wait that the limit has told is over,
//! when a request of the same client has ended, or after a moment where only other nodes know. Nobody overtakes, since
//! who comes while others wait joins them.

use super::{Asking, Stopped, refusal};
use crate::answer::Answer;
use crate::pick;
use crate::request::Request;
use gateway_core::limits::{Action, Denial, Patience};
use gateway_core::record::Termination;
use pingora::proxy::Session;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Whose line: the table that counts and the key in it.
type Key = (usize, Box<[u8]>);

/// All lines of a gateway.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    waiting: AtomicUsize,
    lines: Mutex<HashMap<Key, Line>>,
}

#[derive(Debug, Default)]
struct Line {
    waiting: u32,
    turn: Arc<Turn>,
}

/// Whose turn it is: locks are given in the order in which they were asked for.
#[derive(Debug, Default)]
struct Turn {
    first: tokio::sync::Mutex<()>,
    freed: Notify,
}

/// A place in a line, for as long as it is kept.
struct Place<'a> {
    lines: &'a Lines,
    key: Key,
    turn: Arc<Turn>,
}

impl Lines {
    /// Whether anybody waits for this key.
    #[inline]
    pub(crate) fn waits(&self, table: usize, key: &[u8]) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
            && self.locked(|lines| lines.contains_key(&(table, key.into())))
    }

    /// Something of this key has ended.
    pub(crate) fn freed(&self, table: usize, key: Box<[u8]>) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.locked(|lines| {
                if let Some(line) = lines.get(&(table, key)) {
                    line.turn.freed.notify_one();
                }
            });
        }
    }

    /// A place at the end of the line, unless `most` of the client, or as many as may at all, wait already.
    fn join(&self, key: Key, most: u32) -> Option<Place<'_>> {
        let turn = self.locked(|lines| {
            if self.waiting.load(Ordering::Relaxed) >= MOST {
                return None;
            }
            let line = lines.entry(key.clone()).or_default();
            (line.waiting < most).then(|| {
                line.waiting += 1;
                self.waiting.fetch_add(1, Ordering::Relaxed);
                Arc::clone(&line.turn)
            })
        })?;
        Some(Place { lines: self, key, turn })
    }

    fn locked<R>(&self, work: impl FnOnce(&mut HashMap<Key, Line>) -> R) -> R {
        work(&mut self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.lines.waiting.fetch_sub(1, Ordering::Relaxed);
        self.lines.locked(|lines| {
            let Some(line) = lines.get_mut(&self.key) else { return };
            line.waiting -= 1;
            if line.waiting == 0 {
                lines.remove(&self.key);
            }
        });
    }
}

/// Waits in line, no longer than `patience` says, and only as long as the client does.
pub(super) async fn wait(
    session: &mut Session,
    request: &mut Request,
    asking: &mut Asking<'_>,
    patience: Patience,
) -> Result<(), Option<Answer>> {
    let gateway = Arc::clone(&request.gateway);
    let Some(key) = asking.line(&gateway) else { return Err(Some(Answer::of(500))) };
    let Some(place) = gateway.lines.join(key, patience.most) else {
        return Err(Some(Answer::refuse(429, "limit_queue_full")));
    };
    gateway.metrics.frontends[asking.frontend].limit_queued.inc();
    let joined = gateway.clock.now();
    let socket = request.connection.map(|connection| connection.socket);
    let mut last = None;
    let outcome = tokio::select! {
        biased;
        outcome = turn(&place.turn, || asking.ask(&gateway, &mut request.tracked, true), &mut last) => {
            outcome.map_err(Some)
        }
        () = pick::gone(session, socket) => Err(None),
        () = tokio::time::sleep(patience.timeout) => {
            let limited = last.map(Box::new);
            Err(Some(Answer { limited, ..Answer::refuse(429, "limit_queue_timeout") }))
        }
    };
    drop(place);
    request.limit_wait += gateway.clock.now() - joined;
    if matches!(outcome, Err(None)) {
        request.termination = Termination::ClientInQueue;
        session.set_keepalive(None);
    }
    outcome
}

/// Ends when it is its turn, and the limits that it asks let it through or refuse it for good.
async fn turn(
    turn: &Turn,
    mut ask: impl FnMut() -> Result<(), Stopped>,
    last: &mut Option<Denial>,
) -> Result<(), Answer> {
    let _first = turn.first.lock().await;
    loop {
        let denial = match ask() {
            Ok(()) => return Ok(()),
            Err(Stopped::Denied(denial)) => denial,
            // Nobody is before the first.
            Err(Stopped::Behind(_)) => return Err(Answer::of(500)),
        };
        if !matches!(denial.action, Action::Queue(_)) {
            return Err(refusal(denial));
        }
        *last = Some(denial);
        let pause = denial.wait.unwrap_or(LOOK).clamp(SHORTEST, LOOK);
        // Whichever comes first.
        let _ = tokio::time::timeout(pause, turn.freed.notified()).await;
    }
}

/// Requests that wait in all lines together: each holds a connection and a few KiB.
const MOST: usize = 10_000;
/// How often the first in a line asks where nobody can tell when there is room, as with what runs on other nodes.
const LOOK: Duration = Duration::from_millis(50);
/// What a timer can tell apart.
const SHORTEST: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests;
