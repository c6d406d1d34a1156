//! Stick tables and peers, for who asks on the control socket.

use crate::state::Gateway;
use gateway_core::runtime_api::table::{self, NO_TABLE, head};
use std::fmt::Write;
use std::sync::atomic::Ordering;

/// All tables, or some or all entries of one.
pub(super) fn show(gateway: &Gateway, which: Option<(String, Vec<String>)>) -> String {
    let Some((name, words)) = which else {
        let pairs = gateway.config.tables.iter().zip(&gateway.tables);
        return pairs.map(|(config, table)| head(&config.name, table, config.size)).collect();
    };
    let Some(place) = find(gateway, &name) else { return NO_TABLE.to_owned() };
    let (config, table) = (&gateway.config.tables[place], &gateway.tables[place]);
    table::show(&config.name, table, config.size, &words, LONGEST, gateway.clock.now())
}

/// Takes entries out.
pub(super) fn clear(gateway: &Gateway, name: &str, words: &[String]) -> String {
    let Some(place) = find(gateway, name) else { return NO_TABLE.to_owned() };
    table::clear(&gateway.tables[place], words, gateway.clock.now())
}

/// Writes an entry.
pub(super) fn set(gateway: &Gateway, name: &str, words: &[String]) -> String {
    let Some(place) = find(gateway, name) else { return NO_TABLE.to_owned() };
    table::set(&gateway.tables[place], words, gateway.clock.now())
}

/// Each peer, and what its runs have published.
pub(super) fn peers(gateway: &Gateway) -> String {
    let Some((config, peers)) = gateway.config.peers.as_ref().zip(gateway.peers.as_ref()) else {
        return "error: there are no peers".to_owned();
    };
    let (heard, nodes) = peers.cluster.nodes();
    let mut text =
        format!("# peers: {}, local: {}, {heard} of {nodes} nodes heard\n", config.name, config.local);
    for (peer, state) in config.peers.iter().zip(&peers.states) {
        let live = if state.live.load(Ordering::Relaxed) { "UP" } else { "DOWN" };
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let (sessions, faults) = (count(&state.sessions), count(&state.faults));
        let (received, sent) = (count(&state.received), count(&state.sent));
        // Writing to a text never fails.
        let _ = writeln!(
            text,
            "{}: addr={} status={live} sessions={sessions} faults={faults} updates_in={received} bytes_out={sent}",
            peer.name, peer.address
        );
    }
    for shared in peers.cluster.tables() {
        for (name, live, entries) in shared.runs() {
            let _ = writeln!(text, "{name}: live={} used={entries}", u8::from(live));
        }
    }
    text
}

fn find(gateway: &Gateway, name: &str) -> Option<usize> {
    gateway.config.tables.iter().position(|table| table.name == name)
}

/// Bytes of an answer: somewhat less than who asks takes.
const LONGEST: usize = 15 * 1024 * 1024;
