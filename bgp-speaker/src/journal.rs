//! What happened lately, one event for each transition, for `headgate-bgp events`.
//!
//! Bounded: the oldest are forgotten. Every event has a number, so that a reader who was too slow sees the gap.

use bgp_core::gate::order::Order;
use bgp_core::gate::{Reason, Standing};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// The gate decided.
    Vip { vip: IpAddr, standing: Standing, reason: Reason },
    /// A neighbor was told, so long after it was seen.
    Told { neighbor: Arc<str>, vip: IpAddr, standing: Standing, reason: Reason, after: Duration },
    /// A neighbor was told of many at once.
    ToldMany { neighbor: Arc<str>, vips: usize, standing: Standing, reason: Reason, after: Duration },
    /// A session changed.
    Session { neighbor: Arc<str>, from: &'static str, to: &'static str, why: String, error: Option<String> },
    /// BFD towards a neighbor changed.
    Bfd { neighbor: Arc<str>, from: &'static str, to: &'static str, why: &'static str },
    /// What was withdrawn is gone at a looking glass, so long after; what took its place.
    Gone { neighbor: Arc<str>, vip: IpAddr, after: Duration, by: Option<IpAddr> },
    /// What was withdrawn stays at a looking glass, or does not any more.
    Stuck { neighbor: Arc<str>, vip: IpAddr, stuck: bool },
    /// Connections are made to what was withdrawn.
    Traffic { vip: IpAddr, connections: usize },
    /// It happened in another process, from which this one took over.
    Past(Value),
    /// An operator ordered something; `None`: nothing is ordered any more.
    Order { vip: IpAddr, order: Option<(Order, Duration)> },
}

#[derive(Debug)]
struct Record {
    number: u64,
    at: SystemTime,
    entry: Entry,
}

/// Shared by everybody who has something to tell.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    records: Arc<Mutex<VecDeque<Record>>>,
    last: watch::Sender<u64>,
}

impl Journal {
    /// Goes on with the events of another process, if there are some.
    pub(crate) fn resume(events: Vec<Value>) -> Self {
        let one = |event: Value| {
            let number = event["number"].as_u64().unwrap_or_default();
            Record { number, at: SystemTime::UNIX_EPOCH, entry: Entry::Past(event) }
        };
        let skip = events.len().saturating_sub(CAPACITY);
        let records: VecDeque<Record> = events.into_iter().skip(skip).map(one).collect();
        let last = records.back().map_or(0, |record| record.number);
        Self { records: Arc::new(Mutex::new(records)), last: watch::Sender::new(last) }
    }

    /// All events, for another process.
    pub(crate) fn save(&self) -> Vec<Value> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().map(Record::json).collect()
    }

    pub(crate) fn record(&self, entry: Entry) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let number = records.back().map_or(1, |record| record.number + 1);
        if records.len() == CAPACITY {
            records.pop_front();
        }
        records.push_back(Record { number, at: SystemTime::now(), entry });
        drop(records);
        self.last.send_replace(number);
    }

    /// All events behind number `after`, one on each line.
    pub(crate) fn read(&self, after: u64, json: bool) -> String {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        for record in records.iter().filter(|record| record.number > after) {
            let event = record.json();
            let _ = if json { writeln!(out, "{event}") } else { writeln!(out, "{}", text(&event)) };
        }
        out
    }

    /// Waits until there is something behind number `after`, for a while.
    pub(crate) async fn wait(&self, after: u64) {
        let mut last = self.last.subscribe();
        let _ = tokio::time::timeout(PATIENCE, last.wait_for(|last| *last > after)).await;
    }
}

impl Record {
    fn json(&self) -> Value {
        let time = DateTime::<Utc>::from(self.at).to_rfc3339_opts(SecondsFormat::Millis, true);
        let mut event = match &self.entry {
            Entry::Past(event) => return event.clone(),
            Entry::Vip { vip, standing, reason } => {
                json!({"event": "vip", "vip": vip, "state": standing.name(), "reason": reason.name()})
            }
            Entry::Told { neighbor, vip, standing, reason, after } => json!({
                "event": "told", "neighbor": **neighbor, "vip": vip, "state": standing.name(), "reason": reason.name(),
                "micros": u64::try_from(after.as_micros()).unwrap_or(u64::MAX),
            }),
            Entry::ToldMany { neighbor, vips, standing, reason, after } => json!({
                "event": "told", "neighbor": **neighbor, "vips": vips, "state": standing.name(), "reason": reason.name(),
                "micros": u64::try_from(after.as_micros()).unwrap_or(u64::MAX),
            }),
            Entry::Session { neighbor, from, to, why, error } => json!({
                "event": "session", "neighbor": **neighbor, "from": from, "to": to, "why": why, "error": error,
            }),
            Entry::Bfd { neighbor, from, to, why } => {
                json!({"event": "bfd", "neighbor": **neighbor, "from": from, "to": to, "why": why})
            }
            Entry::Gone { neighbor, vip, after, by } => json!({
                "event": "gone", "neighbor": **neighbor, "vip": vip, "by": by,
                "micros": u64::try_from(after.as_micros()).unwrap_or(u64::MAX),
            }),
            Entry::Stuck { neighbor, vip, stuck } => {
                json!({"event": "stuck", "neighbor": **neighbor, "vip": vip, "stuck": stuck})
            }
            Entry::Traffic { vip, connections } => {
                json!({"event": "traffic", "vip": vip, "connections": connections})
            }
            Entry::Order { vip, order: Some((order, lasts)) } => json!({
                "event": "order", "vip": vip, "order": order.kind.name(), "reason": *order.reason,
                "seconds": u64::try_from(lasts.as_millis().div_ceil(1000)).unwrap_or(u64::MAX),
            }),
            Entry::Order { vip, order: None } => json!({"event": "order", "vip": vip, "order": null}),
        };
        if let Value::Object(fields) = &mut event {
            fields.insert("number".to_owned(), self.number.into());
            fields.insert("time".to_owned(), time.into());
        }
        event
    }
}

/// An event in JSON as a line for people: the time, what it is, and the rest as words with their names.
pub fn text(event: &Value) -> String {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    let mut line = format!("{} {:<7}", word(&event["time"]), word(&event["event"]));
    for (name, value) in event.as_object().into_iter().flatten() {
        if !matches!(name.as_str(), "time" | "event" | "number") && !value.is_null() {
            let _ = write!(line, " {name}={}", word(value));
        }
    }
    line
}

/// Events that are kept: some minutes of an incident, a few hundred bytes each.
const CAPACITY: usize = 2048;
/// How long a reader is kept waiting for news; less than the control socket gives a command.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_and_the_numbers_show_it() {
        let journal = Journal::resume(Vec::new());
        let vip = IpAddr::from([203, 0, 113, 1]);
        for _ in 0..CAPACITY + 10 {
            journal.record(Entry::Vip { vip, standing: Standing::Withdrawn, reason: Reason::Closed });
        }
        let lines: Vec<Value> =
            journal.read(0, true).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!((lines.len(), &lines[0]["number"]), (CAPACITY, &Value::from(11)));
        let last = lines.last().expect("events");
        assert_eq!((&last["event"], &last["reason"]), (&"vip".into(), &"closed".into()));
        let newest = journal.read(CAPACITY as u64 + 9, false);
        assert!(newest.ends_with("vip     reason=closed state=withdrawn vip=203.0.113.1\n"), "{newest}");
    }
}
