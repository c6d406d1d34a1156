//! The plan: which node is the first choice for each VIP, which the second, and so on; written once, the same in every
//! node's file. And the comparison of all nodes' files, which finds what no single file shows.

use super::schema::File;
use super::validate::Checked;
use super::{Config, Vip};
use base_core::diagnose::Source;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::IpAddr;
use toml::Spanned;

/// The nodes of each VIP, the first choice first.
pub type Plan = BTreeMap<IpAddr, Vec<String>>;

/// Where this node stands in a VIP's plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// 0 is the first choice.
    pub position: u32,
    /// So many nodes are in it.
    pub nodes: u32,
}

impl Place {
    /// The place of a VIP that is in no plan.
    pub const ALONE: Self = Self { position: 0, nodes: 1 };

    /// The metric that follows.
    pub const fn med(self) -> u32 {
        (self.position + 1).saturating_mul(MED_STEP)
    }
}

/// Reads the plan of a file.
pub(super) fn plan(file: &File, source: &Source) -> Checked<Plan> {
    let mut plan = Plan::new();
    for (key, nodes) in &file.plan {
        let span = nodes.span();
        let wrong = |message: String, help: &str| Err(source.at(span.clone(), message).help(help));
        let Ok(vip) = key.parse::<IpAddr>() else {
            return wrong(format!("{key} is no address"), "\"203.0.113.1\" = [\"gw1\", \"gw2\"]");
        };
        let nodes = nodes.get_ref();
        if nodes.is_empty() || nodes.len() > MAX_NODES {
            return wrong(
                format!("{} nodes for {vip}", nodes.len()),
                "1 to 32 nodes, the first choice first",
            );
        }
        if nodes.iter().collect::<BTreeSet<_>>().len() != nodes.len() {
            return wrong(format!("a node is there twice for {vip}"), "each node once");
        }
        let carried = file.vip.iter().any(|raw| *raw.get_ref().address.get_ref() == vip);
        if !carried && file.node.as_ref().is_some_and(|node| nodes.contains(node)) {
            return wrong(format!("this node is in the plan of {vip} and has no such VIP"), "add a [[vip]]");
        }
        if plan.insert(vip, nodes.clone()).is_some() {
            return wrong(format!("{vip} is there twice"), "each VIP once");
        }
    }
    Ok(plan)
}

/// Where `node` stands for a VIP; `None` if there is no plan for it.
pub(super) fn place(
    vip: &Spanned<IpAddr>,
    med: Option<&Spanned<u32>>,
    node: Option<&str>,
    plan: &Plan,
    source: &Source,
) -> Checked<Option<Place>> {
    let Some(nodes) = plan.get(vip.get_ref()) else { return Ok(None) };
    if let Some(med) = med {
        let message = format!("{} has a place in the plan and a metric of its own", vip.get_ref());
        return Err(source.at(med.span(), message).help("leave one of them out"));
    }
    let position = node.and_then(|node| nodes.iter().position(|name| name == node));
    let Some(position) = position.and_then(|position| u32::try_from(position).ok()) else {
        let message = format!("this node is not in the plan of {}", vip.get_ref());
        return Err(source.at(vip.span(), message).help("the name that `node` gives, in the list of [plan]"));
    };
    Ok(Some(Place { position, nodes: u32::try_from(nodes.len()).unwrap_or(u32::MAX) }))
}

/// What does not fit together in the files of all nodes, one line each. `files` are their names and what is in them.
pub fn compare(files: &[(String, Config)]) -> Vec<String> {
    let mut wrong = Vec::new();
    let Some(((first_name, first), others)) = files.split_first() else { return wrong };
    for (name, config) in others {
        if config.plan != first.plan {
            wrong.push(format!("{name} has another plan than {first_name}"));
        }
    }
    twice(&mut wrong, "node", files, |config| config.node.clone().into_iter().collect());
    twice(&mut wrong, "router id", files, |config| vec![config.bgp.router_id]);
    twice(&mut wrong, "source", files, |config| each(config, |neighbor| neighbor.source));
    twice(&mut wrong, "IPv4 next hop", files, |config| each(config, |neighbor| neighbor.next_hop4));
    twice(&mut wrong, "IPv6 next hop", files, |config| each(config, |neighbor| neighbor.next_hop6));
    for (vip, nodes) in &first.plan {
        for node in nodes {
            if !files.iter().any(|(_, config)| config.node.as_ref() == Some(node)) {
                wrong.push(format!("{vip} is planned for {node}, and there is no file of this node"));
            }
        }
    }
    let vips: BTreeSet<IpAddr> =
        files.iter().flat_map(|(_, config)| &config.vips).map(|vip| vip.address).collect();
    for address in vips {
        ties(&mut wrong, address, files);
    }
    wrong
}

/// The order of the nodes for each VIP, by what their files say.
pub fn order(files: &[(String, Config)]) -> BTreeMap<IpAddr, Vec<(u32, String)>> {
    let mut order: BTreeMap<IpAddr, Vec<(u32, String)>> = BTreeMap::new();
    for (name, config) in files {
        let node = config.node.as_ref().unwrap_or(name);
        for vip in &config.vips {
            order.entry(vip.address).or_default().push((vip.med, node.clone()));
        }
    }
    order.values_mut().for_each(|nodes| nodes.sort());
    order
}

fn ties(wrong: &mut Vec<String>, address: IpAddr, files: &[(String, Config)]) {
    let mut seen: BTreeMap<u32, &str> = BTreeMap::new();
    for (name, config) in files {
        let find = |vip: &&Vip| vip.address == address;
        let Some(vip) = config.vips.iter().find(find) else { continue };
        if let Some(other) = seen.insert(vip.med, name) {
            wrong.push(format!("{address} has the metric {} in {other} and in {name}: a tie", vip.med));
        }
    }
}

fn each<T: Ord>(config: &Config, get: impl Fn(&super::Neighbor) -> Option<T>) -> Vec<T> {
    config.neighbors.iter().filter_map(get).collect::<BTreeSet<T>>().into_iter().collect()
}

fn twice<T: Ord + Display>(
    wrong: &mut Vec<String>,
    what: &str,
    files: &[(String, Config)],
    get: impl Fn(&Config) -> Vec<T>,
) {
    let mut seen = BTreeMap::new();
    for (name, config) in files {
        for value in get(config) {
            let text = value.to_string();
            if let Some(other) = seen.insert(value, name) {
                wrong.push(format!("{other} and {name} have the same {what}: {text}"));
            }
        }
    }
}

/// Between the metrics of two places; room for what is not in the plan.
const MED_STEP: u32 = 100;
/// Most nodes of a VIP: every place has a local preference of its own, and AS paths stay short.
const MAX_NODES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn file(node: &str, number: u8, plan: &str, vips: &str) -> (String, Config) {
        let text = format!(
            "node = \"{node}\"\n[bgp]\nasn = 65010\nrouter_id = \"10.0.0.{number}\"\n\
             [[neighbor]]\naddress = \"10.0.0.99\"\nasn = 65000\nsource = \"10.0.0.{number}\"\n{vips}\n[plan]\n{plan}"
        );
        let config = config::parse(&Source::new("bgp.toml", text)).unwrap_or_else(|error| panic!("{error}"));
        (format!("{node}.toml"), config)
    }

    const VIPS: &str = "[[vip]]\naddress = \"203.0.113.1\"\n[[vip]]\naddress = \"203.0.113.2\"";
    const PLAN: &str = "\"203.0.113.1\" = [\"gw1\", \"gw2\"]\n\"203.0.113.2\" = [\"gw2\", \"gw1\"]";

    #[test]
    fn a_plan_gives_each_node_its_metrics_and_the_files_fit_together() {
        let files = [file("gw1", 1, PLAN, VIPS), file("gw2", 2, PLAN, VIPS)];
        let meds = |config: &Config| config.vips.iter().map(|vip| vip.med).collect::<Vec<_>>();
        assert_eq!((meds(&files[0].1), meds(&files[1].1)), (vec![100, 200], vec![200, 100]));
        assert_eq!(compare(&files), Vec::<String>::new());
        let order = order(&files);
        assert_eq!(
            order[&IpAddr::from([203, 0, 113, 2])],
            [(100, "gw2".to_owned()), (200, "gw1".to_owned())]
        );
    }

    #[test]
    fn what_does_not_fit_together_is_found() {
        let other = "\"203.0.113.1\" = [\"gw2\", \"gw1\"]\n\"203.0.113.2\" = [\"gw2\", \"gw1\"]";
        let says = |files: &[(String, Config)], text: &str| {
            let wrong = compare(files);
            assert!(wrong.iter().any(|line| line.contains(text)), "{text}: {wrong:?}");
        };
        let gw1 = || file("gw1", 1, PLAN, VIPS);
        says(&[gw1(), file("gw2", 2, other, VIPS)], "gw2.toml has another plan");
        says(&[gw1(), file("gw2", 2, other, VIPS)], "203.0.113.1 has the metric 100");
        says(&[gw1()], "no file of this node");
        says(&[gw1(), file("gw2", 1, PLAN, VIPS)], "same router id: 10.0.0.1");
        says(&[gw1(), file("gw2", 1, PLAN, VIPS)], "same source");
        says(&[gw1(), gw1()], "same node: gw1");
        says(&[file("gw1", 1, "", VIPS), file("gw2", 2, "", VIPS)], "a tie");
    }
}
