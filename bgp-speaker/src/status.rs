//! The answer to `headgate-bgp status`: a table for people, JSON for scripts.

use crate::board::{Board, NeighborView};
use base::Clock;
use bgp_core::bfd;
use bgp_core::config::{Config, Vip};
use bgp_core::gate::Standing;
use bgp_core::neighbor::Decision;
use bgp_core::policy::WORST_MED;
use serde_json::{Value, json};
use std::fmt::Write;

/// Answers one command of the control socket.
pub(crate) fn answer(command: &str, config: &Config, board: &Board, clock: Clock) -> String {
    match command {
        "status" => text(config, board, clock),
        "status json" => json(config, board, clock).to_string(),
        _ => "unknown command; there are: status, status json".to_owned(),
    }
}

fn text(config: &Config, board: &Board, clock: Clock) -> String {
    let mut out = String::new();
    let name = config.node.as_deref().unwrap_or("-");
    let _ = writeln!(out, "node {name}, AS {}, router id {}\n", config.bgp.asn, config.bgp.router_id);
    let _ = writeln!(
        out,
        "{:<16} {:<28} {:<12} {:>9} {:>7} {:<9}  last error",
        "neighbor", "address", "state", "since", "routes", "bfd"
    );
    for (neighbor, view) in config.neighbors.iter().zip(&board.neighbors) {
        let NeighborView { state, since, held, last_error, bfd } = view.borrow().clone();
        let address = format!("{} AS {}", neighbor.address, neighbor.asn);
        let since = seconds(clock, since);
        let error = last_error.as_deref().unwrap_or("-");
        let bfd = bfd.map_or("-", bfd::State::name);
        let _ = writeln!(
            out,
            "{:<16} {address:<28} {:<12} {since:>8}s {held:>7} {bfd:<9}  {error}",
            neighbor.name,
            state.name()
        );
    }
    let _ = writeln!(out, "\n{:<40} {:<10} {:<13} {:>9} {:>10}", "vip", "state", "reason", "since", "med");
    for vip in &config.vips {
        let (state, reason, since) = match decision(board, vip.address) {
            Some(decision) => (
                decision.standing.name(),
                decision.reason.name(),
                format!("{}s", seconds(clock, decision.since)),
            ),
            None => ("withdrawn", "starting", "-".to_owned()),
        };
        let _ = writeln!(
            out,
            "{:<40} {state:<10} {reason:<13} {since:>9} {:>10}",
            vip.address,
            med(decision(board, vip.address), vip)
        );
    }
    out
}

fn json(config: &Config, board: &Board, clock: Clock) -> Value {
    let neighbors = config.neighbors.iter().zip(&board.neighbors).map(|(neighbor, view)| {
        let view = view.borrow().clone();
        json!({
            "name": neighbor.name,
            "address": neighbor.address,
            "asn": neighbor.asn,
            "state": view.state.name(),
            "since_seconds": seconds(clock, view.since),
            "routes": view.held,
            "bfd": view.bfd.map(bfd::State::name),
            "last_error": view.last_error,
        })
    });
    let vips = config.vips.iter().map(|vip| {
        let decision = decision(board, vip.address);
        json!({
            "address": vip.address,
            "state": decision.map_or("withdrawn", |decision| decision.standing.name()),
            "reason": decision.map_or("starting", |decision| decision.reason.name()),
            "since_seconds": decision.map(|decision| seconds(clock, decision.since)),
            "med": med(decision, vip),
        })
    });
    json!({
        "node": config.node,
        "asn": config.bgp.asn,
        "router_id": config.bgp.router_id,
        "neighbors": neighbors.collect::<Vec<_>>(),
        "vips": vips.collect::<Vec<_>>(),
    })
}

fn decision(board: &Board, vip: std::net::IpAddr) -> Option<Decision> {
    board.decisions.borrow().as_ref().and_then(|standings| standings.get(&vip).copied())
}

/// The metric that neighbors see, or would see.
fn med(decision: Option<Decision>, vip: &Vip) -> u32 {
    match decision.map(|decision| decision.standing) {
        Some(Standing::Worsened) => WORST_MED,
        Some(Standing::Backup) => vip.backup_med,
        _ => vip.med,
    }
}

fn seconds(clock: Clock, since: base_core::Time) -> u64 {
    clock.now().since(since).as_secs()
}
