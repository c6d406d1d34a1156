//! Keeps what is observed of clients: counts requests that were let in, and writes the file now and then, whole or not at
//! all.

use crate::replace::{beside, replace, sweep};
use crate::request::Request;
use crate::state::Gateway;
use gateway_core::Config;
use gateway_core::client::network;
use gateway_core::config::BackendId;
use gateway_core::observe::{Observer, Policy, Record};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What is observed goes on where the file ends. One that can't be used is moved aside and told: what is only looked
/// at keeps no node from serving.
pub(crate) fn load(config: &Config) -> Option<Observer> {
    let policy = config.observe.as_ref()?;
    sweep(&policy.file);
    let record = read(policy).unwrap_or_else(|error| {
        let (file, aside) = (policy.file.display(), beside(&policy.file, BROKEN));
        match std::fs::rename(&policy.file, &aside) {
            Ok(()) => {
                tracing::warn!(%file, %error, aside = %aside.display(), "what was observed can't be used");
            }
            Err(stays) => {
                tracing::warn!(%file, %error, %stays, "what was observed can't be used, and will be replaced");
            }
        }
        Record::default()
    });
    let name = |(frontend, BackendId(backend)): &(usize, BackendId)| {
        (config.frontends[*frontend].name.clone(), config.backends[*backend].name.clone())
    };
    let routes: Vec<_> = policy.routes.iter().map(name).collect();
    Some(Observer::new(policy.table, &routes, record))
}

fn read(policy: &Policy) -> Result<Record, String> {
    let mut text = String::new();
    let read = File::open(&policy.file).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Record::default()),
        Err(error) => Err(error.to_string()),
        Ok(_) => {
            let period_ms = u64::try_from(policy.period.as_millis()).unwrap_or(u64::MAX);
            Record::read(&text, Some((period_ms, policy.peers.is_some())))
        }
    }
}

/// Counts a request that its limits have let in.
pub(crate) fn count(request: &mut Request) {
    let gateway = &request.gateway;
    let (Some(observer), Some(policy)) = (&gateway.observer, &gateway.config.observe) else { return };
    let Some(((connection, client), backend)) =
        request.connection.zip(request.client.as_ref()).zip(request.backend)
    else {
        return;
    };
    let wanted = (connection.frontend, backend);
    let Some(route) = policy.routes.iter().position(|route| *route == wanted) else { return };
    let address = network(client.address);
    let Some(key) = observer.key(route, address) else { return };
    let now = gateway.clock.now();
    let others = match &gateway.peers {
        Some(peers) if policy.peers.is_some() => {
            let sums = peers.others(&observer.tracker, &key, now).sums;
            [sums[0], sums[1]]
        }
        _ => [0; 2],
    };
    let since = request.date.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let hour = since.as_secs() / HOUR;
    let counted = gateway.tables[policy.table.0]
        .track(key, now, |entry| (Observer::count(entry, others, hour, now), true));
    let Some((rose, held)) = counted else { return };
    if let Some(rise) = rose {
        let dropped = observer.rose(route, address, hour, rise);
        if dropped > 0 {
            tracing::warn!(
                hours = dropped,
                "the clock was ahead: what was observed of the future is dropped"
            );
        }
    }
    if let Some(held) = held {
        request.tracked.hold(&observer.tracker, held, &key);
    }
}

/// Writes the file every few minutes, on a thread where a slow disk delays nobody.
pub(crate) async fn keep(gateway: Arc<Gateway>) {
    let mut interval = tokio::time::interval(WRITE);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first is at once, when nothing has been observed.
    interval.tick().await;
    loop {
        interval.tick().await;
        let writer = Arc::clone(&gateway);
        let written = tokio::task::spawn_blocking(move || write(&writer)).await;
        if let Err(error) = written.map_err(io::Error::other).flatten() {
            tracing::warn!(%error, "what is observed can't be written");
        }
    }
}

/// Writes the file for who asks, and says where it is.
pub(crate) fn answer(gateway: &Gateway) -> String {
    match (&gateway.config.observe, write(gateway)) {
        (None, _) => "error: nothing is observed: add [observe]".to_owned(),
        (Some(policy), Ok(())) => policy.file.display().to_string(),
        (Some(_), Err(error)) => format!("error: {error}"),
    }
}

/// Writes the file: a new one that takes the place of the old one at once. One writer at a time, and of two processes
/// the one that has taken over.
pub(crate) fn write(gateway: &Gateway) -> io::Result<()> {
    let (Some(observer), Some(policy)) = (&gateway.observer, &gateway.config.observe) else { return Ok(()) };
    let Policy { file, period, peers, .. } = policy;
    let _alone = observer.writing();
    if gateway.is_succeeded() {
        return Ok(());
    }
    replace(file, MODE, |file| {
        let mut writer = BufWriter::new(file);
        serde_json::to_writer(&mut writer, &observer.record(*period, peers.as_deref()))?;
        writer.flush()
    })
}

/// Seconds.
const HOUR: u64 = 3600;
/// What a node loses that is killed.
const WRITE: Duration = Duration::from_secs(300);
/// It names clients: for those who may use the control socket, as this says where it is, and nobody else.
const MODE: u32 = 0o640;
/// Behind the name of a file that can't be used.
const BROKEN: &str = "broken";
/// Bytes of the file: more than all routes, hours and names take.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
