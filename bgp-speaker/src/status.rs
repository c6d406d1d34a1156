//! What the speaker shows of itself: tables for people, JSON for scripts.

pub(crate) use crate::board::Routes;
use crate::board::{Board, NeighborView};
use base::Clock;
use bgp_core::bfd;
use bgp_core::config::{Config, Vip};
use bgp_core::gate::Standing;
use bgp_core::gate::order::Order;
use bgp_core::neighbor::Decision;
use bgp_core::policy::WORST_MED;
use bgp_core::wire::attribute::PathAttributes;
use ipnet::IpNet;
use serde_json::{Value, json};
use std::fmt::Write;
use std::net::IpAddr;

/// Everything, for people.
pub(crate) fn text(config: &Config, board: &Board, clock: Clock) -> String {
    let name = config.node.as_deref().unwrap_or("-");
    let head = format!("node {name}, AS {}, router id {}\n\n", config.bgp.asn, config.bgp.router_id);
    head + &neighbors_text(config, board, clock) + "\n" + &vips_text(config, board, clock)
}

/// Everything, for scripts.
pub(crate) fn json(config: &Config, board: &Board, clock: Clock) -> Value {
    json!({
        "node": config.node,
        "asn": config.bgp.asn,
        "router_id": config.bgp.router_id,
        "neighbors": neighbors_json(config, board, clock),
        "vips": vips_json(config, board, clock),
    })
}

pub(crate) fn neighbors_text(config: &Config, board: &Board, clock: Clock) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{:<16} {:<28} {:<12} {:>9} {:>7} {:<9}  last error",
        "neighbor", "address", "state", "since", "routes", "bfd"
    );
    for (neighbor, view) in config.neighbors.iter().zip(&board.neighbors) {
        let NeighborView { state, since, held, last_error, bfd, shown } = view.borrow().clone();
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
        for (vip, path, stuck) in shown {
            let whose = if path.own { "this node" } else { "another node" };
            let stuck = if stuck { ", STUCK: it was withdrawn" } else { "" };
            let _ = writeln!(out, "{:<16} shows {vip} by {}, {whose}{stuck}", "", path.next_hop);
        }
    }
    out
}

pub(crate) fn neighbors_json(config: &Config, board: &Board, clock: Clock) -> Value {
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
            "shows": view.shown.iter().map(|(vip, path, stuck)| {
                json!({"vip": vip, "next_hop": path.next_hop, "own": path.own, "stuck": stuck})
            }).collect::<Value>(),
        })
    });
    neighbors.collect()
}

pub(crate) fn vips_text(config: &Config, board: &Board, clock: Clock) -> String {
    let mut out =
        format!("{:<40} {:<10} {:<13} {:>9} {:>10}  order\n", "vip", "state", "reason", "since", "med");
    for vip in &config.vips {
        let decision = decision(board, vip.address);
        let (state, reason, since) = match decision {
            Some(decision) => (
                decision.standing.name(),
                decision.reason.name(),
                format!("{}s", seconds(clock, decision.since)),
            ),
            None => ("withdrawn", "starting", "-".to_owned()),
        };
        let order = order(board, vip.address).map_or_else(
            || "-".to_owned(),
            |order| format!("{}, {} s left: {}", order.kind.name(), left(&order, clock), order.reason),
        );
        let med = med(decision, vip);
        let _ = writeln!(out, "{:<40} {state:<10} {reason:<13} {since:>9} {med:>10}  {order}", vip.address);
    }
    out
}

pub(crate) fn vips_json(config: &Config, board: &Board, clock: Clock) -> Value {
    let vips = config.vips.iter().map(|vip| {
        let decision = decision(board, vip.address);
        let order = order(board, vip.address).map(|order| {
            json!({"order": order.kind.name(), "reason": *order.reason, "seconds_left": left(&order, clock)})
        });
        json!({
            "address": vip.address,
            "state": decision.map_or("withdrawn", |decision| decision.standing.name()),
            "reason": decision.map_or("starting", |decision| decision.reason.name()),
            "since_seconds": decision.map(|decision| seconds(clock, decision.since)),
            "med": med(decision, vip),
            "order": order,
        })
    });
    vips.collect()
}

/// What each neighbor holds, for people.
pub(crate) fn rib_text(rib: &[(String, Routes)]) -> String {
    let mut out = format!(
        "{:<16} {:<40} {:<40} {:>10} {:>10}  communities\n",
        "neighbor", "vip", "next hop", "med", "local pref"
    );
    let number = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    for (neighbor, vip, route) in routes(rib) {
        let communities = communities(route).join(" ");
        let (next_hop, med, pref) = (route.next_hop, number(route.med), number(route.local_pref));
        let _ = writeln!(out, "{neighbor:<16} {vip:<40} {next_hop:<40} {med:>10} {pref:>10}  {communities}");
    }
    out
}

/// What each neighbor holds, for scripts.
pub(crate) fn rib_json(rib: &[(String, Routes)]) -> Value {
    let routes = routes(rib).map(|(neighbor, vip, route)| {
        json!({
            "neighbor": neighbor,
            "vip": vip,
            "next_hop": route.next_hop,
            "med": route.med,
            "local_pref": route.local_pref,
            "as_path": route.as_path,
            "communities": communities(route),
        })
    });
    routes.collect()
}

/// Neighbor, prefix and route; a host's prefix is written as its address.
fn routes(rib: &[(String, Routes)]) -> impl Iterator<Item = (&str, String, &PathAttributes)> {
    let shown = |prefix: &IpNet| {
        let is_host = prefix.prefix_len() == prefix.max_prefix_len();
        if is_host { prefix.addr().to_string() } else { prefix.to_string() }
    };
    rib.iter().flat_map(move |(name, routes)| {
        routes.iter().map(move |(net, route)| (name.as_str(), shown(net), route))
    })
}

/// Standard ones first, then large ones.
fn communities(route: &PathAttributes) -> Vec<String> {
    let standard = route.communities.iter().map(|value| format!("{}:{}", value >> 16, value & 0xffff));
    let large = route.large_communities.iter().map(|[a, b, c]| format!("{a}:{b}:{c}"));
    standard.chain(large).collect()
}

fn order(board: &Board, vip: IpAddr) -> Option<Order> {
    board.orders.borrow().get(&vip).cloned()
}

/// Seconds until an order ends by itself; a part of one counts whole.
fn left(order: &Order, clock: Clock) -> u64 {
    u64::try_from(order.until.since(clock.now()).as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
}

fn decision(board: &Board, vip: IpAddr) -> Option<Decision> {
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
