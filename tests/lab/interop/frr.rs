//! FRR as the router of many sessions: zebra, bgpd and bfdd.

use super::peering::{Peering, ROUTER_AS, Router, SHORT_AS, Seen, Vip};
use crate::daemon::{Daemon, Recipe};
use crate::netns::Namespace;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Where Debian keeps the daemons.
pub(super) const FOLDER: &str = "/usr/lib/frr";
/// In the order in which they start.
pub(super) const DAEMONS: [&str; 3] = ["zebra", "bfdd", "bgpd"];

/// The daemons.
#[derive(Debug)]
pub(super) struct Frr {
    daemons: Vec<Daemon>,
    folder: PathBuf,
}

impl Frr {
    pub(super) fn start(namespace: &Namespace, folder: &Path, peerings: &[Peering]) -> Result<Self> {
        let folder = folder.join("frr");
        std::fs::create_dir_all(&folder)?;
        let (user, group) = frr_user()?;
        chown(&folder, Some(user), Some(group))?;
        let mut frr = Self { daemons: Vec::new(), folder };
        for name in DAEMONS {
            let config = match name {
                "bgpd" => bgpd(peerings),
                "bfdd" => bfdd(peerings),
                _ => "hostname frr\n".to_owned(),
            };
            frr.start_one(name, namespace, &config)?;
        }
        Ok(frr)
    }

    fn start_one(&mut self, name: &str, namespace: &Namespace, config: &str) -> Result<()> {
        let file = self.folder.join(format!("{name}.conf"));
        std::fs::write(&file, config)?;
        let path = |name: &str| self.folder.join(name).display().to_string();
        let mut arguments = vec!["-f".to_owned(), file.display().to_string()];
        arguments.extend([
            "-z".to_owned(),
            path("zserv.sock"),
            "-i".to_owned(),
            path(&format!("{name}.pid")),
        ]);
        arguments.extend(["--vty_socket".to_owned(), self.folder.display().to_string()]);
        arguments.extend(["--log".to_owned(), "stdout".to_owned(), "-P".to_owned(), "0".to_owned()]);
        if name == "bfdd" {
            arguments.extend(["--bfdctl".to_owned(), path("bfdd.ctl")]);
        }
        let daemon = Daemon::new(Recipe {
            name: name.to_owned(),
            namespace: Some(namespace.clone()),
            program: Path::new(FOLDER).join(name),
            arguments,
            folder: self.folder.clone(),
        });
        daemon.start()?;
        crate::wait_until(&format!("an answer from {name}"), Duration::from_secs(10), || {
            if !daemon.is_running() {
                bail!("{name} has ended:\n{}", daemon.log());
            }
            let answer = self.vtysh(&["-d", name, "-c", "show version"])?;
            Ok(answer.contains("FRRouting").then_some(()))
        })?;
        self.daemons.push(daemon);
        Ok(())
    }

    /// One of [`DAEMONS`].
    pub(super) fn daemon(&self, name: &str) -> Result<&Daemon> {
        let found = DAEMONS.iter().zip(&self.daemons).find(|(known, _)| **known == name);
        found.map(|(_, daemon)| daemon).with_context(|| name.to_owned())
    }

    fn vtysh(&self, arguments: &[&str]) -> Result<String> {
        let mut vtysh = Command::new(crate::system_program("vtysh")?);
        let output = vtysh.arg("--vty_socket").arg(&self.folder).args(arguments).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What bgpd answers.
    pub(super) fn ask(&self, command: &str) -> Result<String> {
        self.vtysh(&["-d", "bgpd", "-c", command])
    }

    fn json(&self, daemon: &str, command: &str) -> Result<Value> {
        let text = self.vtysh(&["-d", daemon, "-c", &format!("{command} json")])?;
        serde_json::from_str(&text).with_context(|| format!("{command}: {text}"))
    }

    fn neighbor(&self, peering: &Peering) -> Result<Value> {
        let speaker = peering.speaker().to_string();
        let mut all = self.json("bgpd", &format!("show bgp neighbors {speaker}"))?;
        Ok(all[&speaker].take())
    }

    pub(super) fn is_established(&self, peering: &Peering) -> Result<bool> {
        Ok(self.neighbor(peering)?["bgpState"] == "Established")
    }

    pub(super) fn is_path_up(&self, peering: &Peering) -> Result<bool> {
        let speaker = peering.speaker().to_string();
        let all = self.json("bfdd", "show bfd peers")?;
        let up = |one: &Value| one["peer"] == speaker.as_str() && one["status"] == "up";
        Ok(all.as_array().is_some_and(|all| all.iter().any(up)))
    }

    pub(super) fn last_error(&self, peering: &Peering) -> Result<String> {
        let neighbor = self.neighbor(peering)?;
        let text = |key: &str| neighbor[key].as_str().unwrap_or_default().to_owned();
        Ok(format!(
            "{} {} {}",
            text("lastResetDueTo"),
            text("lastNotificationReason"),
            text("lastShutdownDescription")
        ))
    }

    pub(super) fn seen(&self, peering: &Peering, vip: Vip) -> Result<Option<Seen>> {
        let family = if vip.ipv6 { "ipv6" } else { "ipv4" };
        let answer = self.json("bgpd", &format!("show bgp {family} unicast {}", vip.network()))?;
        let speaker = peering.speaker().to_string();
        let paths = answer["paths"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(paths.iter().find(|path| path["peer"]["peerId"] == speaker.as_str()).map(read))
    }
}

fn read(path: &Value) -> Seen {
    let words = |value: &Value| -> Vec<String> {
        value["string"].as_str().unwrap_or_default().split_whitespace().map(ToOwned::to_owned).collect()
    };
    let number = |key: &str| path[key].as_u64().and_then(|number| u32::try_from(number).ok());
    let global = |hop: &&Value| hop["scope"] != "link-local";
    let hops = path["nexthops"].as_array().map(Vec::as_slice).unwrap_or_default();
    let hop = hops.iter().find(global).or_else(|| hops.first()).and_then(|hop| hop["ip"].as_str());
    let numbers =
        |community: String| if community == "graceful-shutdown" { "65535:0".to_owned() } else { community };
    Seen {
        as_path: words(&path["aspath"]).iter().filter_map(|asn| asn.parse().ok()).collect(),
        next_hop: hop.and_then(|hop| hop.parse().ok()),
        med: number("metric").or_else(|| number("med")),
        local_pref: number("locPrf"),
        communities: words(&path["community"]).into_iter().map(numbers).collect(),
        large_communities: words(&path["largeCommunity"]),
    }
}

fn frr_user() -> Result<(u32, u32)> {
    let passwd = std::fs::read_to_string("/etc/passwd")?;
    let line = passwd.lines().find(|line| line.starts_with("frr:")).context("no user frr")?;
    let mut fields = line.split(':').skip(2);
    let mut number = || -> Result<u32> { Ok(fields.next().context("a field")?.parse()?) };
    Ok((number()?, number()?))
}

fn bgpd(peerings: &[Peering]) -> String {
    let mut text = format!(
        "hostname frr\nrouter bgp {ROUTER_AS}\n bgp router-id 10.1.0.202\n no bgp ebgp-requires-policy\n \
         no bgp default ipv4-unicast\n no bgp network import-check\n"
    );
    let peerings = || peerings.iter().filter(|peering| peering.router == Router::Frr);
    for peering in peerings() {
        let neighbor = format!(" neighbor {}", peering.speaker());
        let place = match peering.link_local {
            true => "interface eth0".to_owned(),
            false => format!("update-source {}", peering.address()),
        };
        let _ = write!(
            text,
            "{neighbor} remote-as {}\n{neighbor} {place}\n{neighbor} timers 3 9\n{neighbor} timers connect 1\n",
            peering.side.asn(),
        );
        if peering.plain_open {
            let _ = write!(
                text,
                "{neighbor} local-as {SHORT_AS} no-prepend\n{neighbor} dont-capability-negotiate\n"
            );
        }
        if let Some(password) = peering.passwords[1] {
            let _ = writeln!(text, "{neighbor} password {password}");
        }
        if peering.ttl_security {
            let _ = writeln!(text, "{neighbor} ttl-security hops 1");
        }
        if let Some((milliseconds, multiplier)) = peering.bfd {
            let _ = write!(
                text,
                "{neighbor} bfd\n{neighbor} bfd profile {}\n",
                profile(milliseconds, multiplier)
            );
        }
        if peering.multihop {
            let _ = writeln!(text, "{neighbor} ebgp-multihop 2");
        }
        if peering.extended_next_hop {
            let _ = writeln!(text, "{neighbor} capability extended-nexthop");
        }
        for more in peering.frr_more {
            let _ = writeln!(text, "{neighbor} {more}");
        }
    }
    for family in ["ipv4", "ipv6"] {
        let _ = writeln!(text, " address-family {family} unicast");
        if family == "ipv4" {
            for number in 0..6 {
                let _ = writeln!(text, "  network 198.51.100.{number}/32");
            }
        }
        for peering in peerings() {
            let speaker = peering.speaker();
            let _ = writeln!(text, "  neighbor {speaker} activate");
            if !peering.exports {
                let _ = writeln!(text, "  neighbor {speaker} route-map nothing out");
            }
        }
        text += " exit-address-family\n";
    }
    text += "route-map nothing deny 10\n";
    text
}

fn bfdd(peerings: &[Peering]) -> String {
    let profiles: BTreeSet<_> = peerings.iter().filter_map(|peering| peering.bfd).collect();
    let mut text = "hostname frr\nbfd\n".to_owned();
    for (milliseconds, multiplier) in profiles {
        let _ = write!(
            text,
            " profile {}\n  detect-multiplier {multiplier}\n  receive-interval {milliseconds}\n  \
             transmit-interval {milliseconds}\n exit\n",
            profile(milliseconds, multiplier)
        );
    }
    text
}

fn profile(milliseconds: u32, multiplier: u8) -> String {
    format!("every{milliseconds}x{multiplier}")
}
