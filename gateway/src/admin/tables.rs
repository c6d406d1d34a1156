//! Stick tables and peers, for who asks on the control socket.

use crate::state::Gateway;
use gateway_core::runtime_api::table::{head, row};
use std::fmt::Write;
use std::sync::atomic::Ordering;

/// All tables, or the entries of one, or its entry of one key.
pub(super) fn show(gateway: &Gateway, which: Option<(String, Option<String>)>) -> String {
    let now = gateway.clock.now();
    let mut text = String::new();
    let Some((name, key)) = which else {
        for (config, table) in gateway.config.tables.iter().zip(&gateway.tables) {
            text.push_str(&head(&config.name, table, config.size));
        }
        return text;
    };
    let Some(place) = find(gateway, &name) else { return NO_TABLE.to_owned() };
    let (config, table) = (&gateway.config.tables[place], &gateway.tables[place]);
    let wanted = match key.map(|key| config.key.parse(&key)) {
        Some(None) => return BAD_KEY.to_owned(),
        wanted => wanted.flatten(),
    };
    text.push_str(&head(&config.name, table, config.size));
    let mut number = 0;
    table.for_each(now, |entry| {
        if text.len() < LONGEST && wanted.as_deref().is_none_or(|wanted| wanted == entry.key) {
            number += 1;
            row(&mut text, table, number, &entry, now);
        }
    });
    text
}

/// Takes an entry out.
pub(super) fn clear(gateway: &Gateway, name: &str, key: &str) -> String {
    let Some(place) = find(gateway, name) else { return NO_TABLE.to_owned() };
    let Some(key) = gateway.config.tables[place].key.parse(key) else { return BAD_KEY.to_owned() };
    match gateway.tables[place].remove(&key, gateway.clock.now()) {
        true => String::new(),
        false => "error: the entry is in use".to_owned(),
    }
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

const NO_TABLE: &str = "error: No such table";
const BAD_KEY: &str = "error: this is no key of that table";
/// Bytes of an answer: somewhat less than who asks takes.
const LONGEST: usize = 15 * 1024 * 1024;
