//! BIRD as the router of many sessions.

use super::peering::{OTHER_NODE, Peering, ROUTER_AS, Router, Seen, Side, Vip};
use crate::bird;
use crate::daemon::Daemon;
use crate::netns::Namespace;
use anyhow::Result;
use std::fmt::Write;
use std::path::Path;

/// The daemon.
#[derive(Debug)]
pub(super) struct Bird(bird::Bird);

impl Bird {
    pub(super) fn start(namespace: &Namespace, folder: &Path, peerings: &[Peering]) -> Result<Self> {
        bird::Bird::run(namespace, folder.join("bird"), |folder| config(folder, peerings)).map(Self)
    }

    pub(super) const fn daemon(&self) -> &Daemon {
        self.0.daemon()
    }

    pub(super) fn ask(&self, command: &str) -> Result<String> {
        self.0.ask(command)
    }

    pub(super) fn is_established(&self, peering: &Peering) -> Result<bool> {
        self.0.is_established(&peering.protocol())
    }

    pub(super) fn is_path_up(&self, peering: &Peering) -> Result<bool> {
        let sessions = self.ask("show bfd sessions")?;
        let speaker = peering.speaker().to_string();
        Ok(sessions.lines().any(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            words.first() == Some(&speaker.as_str()) && words.contains(&"Up")
        }))
    }

    pub(super) fn last_error(&self, peering: &Peering) -> Result<String> {
        let text = self.ask(&format!("show protocols all {}", peering.protocol()))?;
        let line = text.lines().find_map(|line| line.trim().strip_prefix("Last error:"));
        Ok(line.unwrap_or_default().trim().to_owned())
    }

    pub(super) fn seen(&self, peering: &Peering, vip: Vip) -> Result<Option<Seen>> {
        let text = self.ask(&format!("show route {} all protocol {}", vip.network(), peering.protocol()))?;
        Ok(text.contains("unicast [").then(|| parse(&text)))
    }
}

fn parse(text: &str) -> Seen {
    let mut seen = Seen::default();
    for (key, value) in text.lines().filter_map(|line| line.trim().split_once(": ")) {
        match key {
            "BGP.as_path" => seen.as_path = value.split(' ').filter_map(|asn| asn.parse().ok()).collect(),
            "BGP.next_hop" => {
                // Of a neighbor with a link-local address alone the global one is `::`.
                let mut hops = value.split(' ').filter(|address| *address != "::");
                seen.next_hop = hops.next().and_then(|address| address.parse().ok());
            }
            "BGP.med" => seen.med = value.parse().ok(),
            "BGP.local_pref" => seen.local_pref = value.parse().ok(),
            "BGP.community" => seen.communities = groups(value),
            "BGP.large_community" => seen.large_communities = groups(value),
            _ => {}
        }
    }
    seen
}

/// `(65010,7) (1, 2, 3)` as `65010:7`, `1:2:3`.
fn groups(text: &str) -> Vec<String> {
    let group = |text: &str| text.trim_start_matches([' ', '(']).replace(", ", ":").replace(',', ":");
    text.split(')').map(group).filter(|text| !text.is_empty()).collect()
}

fn config(folder: &Path, peerings: &[Peering]) -> String {
    let mut text = format!(
        r#"router id 10.1.0.201;
log "{}/bird.log" all;
protocol device {{ }}
protocol bfd {{ }}
protocol direct {{ ipv4; ipv6; interface "eth0"; }}
protocol static {{ ipv4; {} }}
protocol kernel {{ ipv4 {{ import none; export where source = RTS_BGP; }}; }}
protocol kernel {{ ipv6 {{ import none; export where source = RTS_BGP; }}; }}
filter vips {{
    if (65535, 0) ~ bgp_community then bgp_local_pref = 0;
    accept;
}}
"#,
        folder.display(),
        (0..6).map(|number| format!("route 198.51.100.{number}/32 blackhole; ")).collect::<String>()
    );
    if peerings.iter().any(|peering| peering.reflects) {
        // Another node has the VIPs of the side inside as well, as the second choice.
        let vip = Vip { side: Side::Inside, ipv6: false };
        let _ = writeln!(
            text,
            "protocol static another {{ ipv4 {{ preference 50; }}; route {} via {OTHER_NODE}; }}",
            vip.network()
        );
    }
    for peering in peerings.iter().filter(|peering| peering.router == Router::Bird) {
        let mut more = peering.bird_more.to_owned();
        if let Some(password) = peering.passwords[1] {
            let _ = write!(more, "password \"{password}\"; ");
        }
        if peering.ttl_security {
            more += "ttl security yes; ";
        }
        if let Some((milliseconds, multiplier)) = peering.bfd {
            let _ = write!(more, "bfd {{ interval {milliseconds} ms; multiplier {multiplier}; }}; ");
        }
        if peering.link_local {
            more += "interface \"eth0\"; ";
        }
        let extended = if peering.extended_next_hop { "extended next hop on; " } else { "" };
        let place = if peering.multihop { "multihop 2" } else { "direct" };
        let name = peering.protocol();
        if peering.reflects {
            more += "rr client; ";
        }
        let export = if peering.reflects {
            "where source = RTS_BGP || proto = \"another\""
        } else if peering.exports {
            "where source = RTS_STATIC"
        } else {
            "none"
        };
        let _ = write!(
            text,
            "protocol bgp {name} {{\n    local {} as {};\n    neighbor {} as {};\n    {place}; hold time 9;\n    \
             connect delay time 1; connect retry time 1; error wait time 1, 1; error forget time 1;\n    {more}\n    \
             ipv4 {{ {extended}import filter vips; export {export}; }};\n    ipv6 {{ import filter vips; export none; }};\n}}\n",
            peering.address(),
            ROUTER_AS,
            peering.speaker(),
            peering.side.asn(),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn birds_attributes_are_read() {
        let seen = parse(
            "\tType: BGP univ\n\tBGP.as_path: 4200000010\n\tBGP.next_hop: fd01::64 fe80::1\n\tBGP.med: 100\n\
             \tBGP.local_pref: 100\n\tBGP.community: (65535,0) (65010,7)\n\tBGP.large_community: (4200000010, 1, 2)\n",
        );
        assert_eq!(seen.communities, ["65535:0", "65010:7"]);
        assert_eq!(seen.large_communities, ["4200000010:1:2"]);
        assert_eq!((seen.as_path, seen.med), (vec![4_200_000_010], Some(100)));
        assert_eq!(seen.next_hop, "fd01::64".parse().ok());
    }
}
