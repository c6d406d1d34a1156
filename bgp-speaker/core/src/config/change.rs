//! From the configuration that runs to another one: what becomes of each neighbor, and what they will see.
//!
//! A session stays unless something changes that was agreed on in it, or that its connection is made with. What is
//! announced in it changes without it being touched.

use super::{Config, Neighbor};
use crate::gate::Standing;
use crate::policy::{self, Terms};
use crate::rib_out::Routes;
use crate::wire::attribute::PathAttributes;
use crate::wire::notification::{CONFIGURATION_CHANGE, Code, DECONFIGURED};
use std::fmt::Write;
use std::net::IpAddr;

/// A neighbor, whatever else is said of it: its address, the link of that, and its port.
pub type Key = (IpAddr, Option<String>, u16);

/// What a change does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The neighbors whose sessions go on.
    pub kept: Vec<Key>,
    /// The neighbors whose sessions end, and with what.
    pub ended: Vec<(Key, Code)>,
    /// Names of those that stay, and whose sessions must begin anew.
    pub reset: Vec<String>,
    /// All of it for people, one line each.
    pub lines: Vec<String>,
}

impl Neighbor {
    /// What it is known by when its configuration changes.
    pub fn key(&self) -> Key {
        (self.address, self.interface.clone(), self.port)
    }
}

/// What happens when `new` takes the place of `old`.
pub fn change(old: &Config, new: &Config) -> Change {
    let mut change = Change::default();
    for before in &old.neighbors {
        let after = new.neighbors.iter().find(|after| after.key() == before.key());
        match after {
            None => {
                change.ended.push((before.key(), DECONFIGURED));
                change.lines.push(format!("neighbor {}: removed, its session ends", before.name));
            }
            Some(after) => match differs(before, after, old, new) {
                None => change.kept.push(before.key()),
                Some(what) => {
                    change.ended.push((before.key(), CONFIGURATION_CHANGE));
                    change.reset.push(after.name.clone());
                    change
                        .lines
                        .push(format!("neighbor {}: its session begins anew, for {what}", after.name));
                }
            },
        }
    }
    for after in &new.neighbors {
        let before = old.neighbors.iter().find(|before| before.key() == after.key());
        if before.is_none() {
            change.lines.push(format!("neighbor {}: added", after.name));
        }
        routes(before.map(|before| (before, old)), (after, new), &mut change.lines);
    }
    others(old, new, &mut change.lines);
    change
}

/// What keeps a session from going on.
fn differs(before: &Neighbor, after: &Neighbor, old: &Config, new: &Config) -> Option<&'static str> {
    let ao = |neighbor: &Neighbor| neighbor.tcp_ao.as_ref().map(|ao| ao.get_ref().clone());
    let parts = [
        ("bgp.asn", old.bgp.asn == new.bgp.asn),
        ("bgp.router_id", old.bgp.router_id == new.bgp.router_id),
        ("asn", before.asn == after.asn),
        ("source", before.source == after.source),
        ("password", before.password == after.password),
        ("tcp_ao", ao(before) == ao(after)),
        ("extended_next_hop", before.extended_next_hop == after.extended_next_hop),
        ("graceful_restart", before.graceful_restart == after.graceful_restart),
    ];
    parts.into_iter().find(|(_, same)| !same).map(|(what, _)| what)
}

/// What is announced to a neighbor, where every VIP is well.
fn announced(neighbor: &Neighbor, config: &Config) -> Routes {
    let terms = Terms {
        asn: config.bgp.asn,
        local: neighbor.source.unwrap_or(neighbor.address),
        extended_next_hop: neighbor.extended_next_hop,
    };
    let one = |vip| policy::route(vip, Standing::Announced, neighbor, terms);
    config.vips.iter().filter_map(|vip| Some((vip.address.into(), one(vip)?))).collect()
}

fn routes(before: Option<(&Neighbor, &Config)>, after: (&Neighbor, &Config), lines: &mut Vec<String>) {
    let name = &after.0.name;
    let (old, new) =
        (before.map(|(neighbor, config)| announced(neighbor, config)), announced(after.0, after.1));
    let old = old.unwrap_or_default();
    for (vip, route) in &new {
        match old.get(vip) {
            None => lines.push(format!("{name}: + {} {}", vip.addr(), text(route))),
            Some(before) if before != route => {
                lines.push(format!("{name}: ~ {} {}, was {}", vip.addr(), text(route), text(before)));
            }
            Some(_) => {}
        }
    }
    lines.extend(
        old.keys().filter(|vip| !new.contains_key(vip)).map(|vip| format!("{name}: - {}", vip.addr())),
    );
}

fn text(route: &PathAttributes) -> String {
    let mut text = format!("med {}", route.med.unwrap_or_default());
    if let Some(pref) = route.local_pref {
        let _ = write!(text, " local pref {pref}");
    }
    if !route.as_path.is_empty() {
        let _ = write!(text, " path of {}", route.as_path.len());
    }
    for community in &route.communities {
        let _ = write!(text, " {}:{}", community >> 16, community & 0xffff);
    }
    for [a, b, c] in &route.large_communities {
        let _ = write!(text, " {a}:{b}:{c}");
    }
    text
}

/// What has no neighbor of its own.
fn others(old: &Config, new: &Config, lines: &mut Vec<String>) {
    if old.bgp.hold_time != new.bgp.hold_time {
        lines.push(format!("bgp.hold_time: {} s, in the sessions that begin from now on", new.bgp.hold_time));
    }
    let parts = [
        ("node", old.node == new.node),
        ("disable", old.disable == new.disable),
        ("health", old.health == new.health),
        ("drain", old.drain == new.drain),
        ("verify", old.verify == new.verify),
        ("keep_last", old.keep_last == new.keep_last),
        ("return", old.back == new.back),
        ("probe", old.probe == new.probe),
        ("gate", old.gates == new.gates),
    ];
    lines.extend(parts.into_iter().filter(|(_, same)| !same).map(|(what, _)| format!("{what}: changed")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;
    use base_core::diagnose::Source;

    const BASE: &str = "[bgp]\nasn = 65010\nrouter_id = \"10.0.0.2\"\n\
        [[neighbor]]\nname = \"r1\"\naddress = \"10.0.0.1\"\nasn = 65000\n\
        [[neighbor]]\nname = \"r2\"\naddress = \"10.0.0.9\"\nasn = 65000\n\
        [[vip]]\naddress = \"203.0.113.1\"\n";

    fn to(text: &str) -> Change {
        let read =
            |text: &str| parse(&Source::new("bgp.toml", text)).unwrap_or_else(|error| panic!("{error}"));
        change(&read(BASE), &read(text))
    }

    #[test]
    fn a_change_of_policy_touches_no_session_and_says_what_changes_for_whom() {
        assert_eq!(to(BASE), Change { kept: to(BASE).kept, ..Change::default() });
        let text =
            BASE.replace("203.0.113.1\"", "203.0.113.1\"\nmed = 7\n[[vip]]\naddress = \"203.0.113.2\"");
        let change = to(&text);
        assert_eq!((change.kept.len(), change.ended, change.reset), (2, vec![], vec![]));
        for line in [
            "r1: ~ 203.0.113.1 med 7 path of 1, was med 100 path of 1",
            "r2: + 203.0.113.2 med 100 path of 1",
        ] {
            assert!(change.lines.iter().any(|said| said == line), "{line}: {:?}", change.lines);
        }
        let named = to(&BASE
            .replace("r2", "edge")
            .replace("asn = 65000\n[[vip]]", "asn = 65000\nmode = \"both\"\n[[vip]]"));
        assert_eq!((named.kept.len(), named.reset), (2, vec![]), "neither does another name or mode");
    }

    #[test]
    fn what_was_agreed_on_resets_its_neighbor_alone_and_what_is_gone_ends() {
        let change = to(&BASE.replacen("asn = 65000", "asn = 65000\npassword = \"x\"", 1));
        assert_eq!((change.reset.as_slice(), change.kept.len()), (&["r1".to_owned()][..], 1));
        assert!(change.lines[0].contains("begins anew, for password"), "{:?}", change.lines);
        let change = to(&BASE.replace("10.0.0.9", "10.0.0.8"));
        assert_eq!((change.ended[0].1, change.reset.len()), (DECONFIGURED, 0));
        let change = to(&BASE.replace("asn = 65010", "asn = 65011"));
        assert_eq!((change.reset.len(), change.kept.len()), (2, 0));
    }
}
