//! A speaker's session with real routers, one line of a table for each: BIRD and FRR, between ASes and inside one,
//! over IPv4 and IPv6, with all that a session can have.
//!
//! ```text
//!                              ┌── 10.1.1.0/24, fd01:0:0:1::/64 ── bird (BIRD)
//!   speaker (headgate-bgp ×2) ─┤
//!                              └── 10.1.2.0/24, fd01:0:0:2::/64 ── frr (zebra, bgpd, bfdd)
//! ```
//! Session k is between the router's address .k and the speaker's .(100+k), so that one pair of daemons has as many
//! sessions as a test wants. Two speakers run side by side, since each has one AS: one outside the routers' AS, one
//! inside. They go by one health stream, which says what the test wants.

mod bird;
mod frr;
mod health;
mod peering;
mod speaker;

pub use health::Health;
pub use peering::{Expected, OTHER_NODE, Peering, Router, Seen, Side, Vip};
pub use speaker::Speaker;

use crate::home::Home;
use crate::inside::Inside;
use crate::netns::{Namespace, ip_batch};
use crate::routes::Watcher;
use crate::signals;
use crate::topology::Topology;
use anyhow::{Context, Result, bail};
use base::Clock;
use bird::Bird;
use frr::Frr;
use std::time::Duration;

/// The routers and the speakers, running. Dropping it takes all of it away.
#[derive(Debug)]
pub struct Interop {
    // In the order in which they end: the namespaces last.
    clock: Clock,
    watchers: [Watcher; 2],
    speakers: [Speaker; 2],
    health: Health,
    bird: Bird,
    frr: Frr,
    inside: Inside,
    peerings: Vec<Peering>,
    topology: Topology,
    home: Home,
}

impl Interop {
    /// Starts routers and speakers with these sessions; the gateway is ready. Waits for nothing else.
    pub fn start(peerings: Vec<Peering>) -> Result<Self> {
        if let Some(reason) = unavailable() {
            bail!("no interop here: {reason}");
        }
        signals::handle();
        let clock = Clock::start();
        let home = Home::claim()?;
        let topology = Topology::new(home.id());
        build(&topology, &peerings)?;
        let watch = |namespace: Namespace| Watcher::start(&namespace, clock);
        let watchers = [watch(topology.bird())?, watch(topology.frr())?];
        let bird = Bird::start(&topology.bird(), home.folder(), &peerings)?;
        let frr = Frr::start(&topology.frr(), home.folder(), &peerings)?;
        let inside = Inside::start(Some(&topology.speaker()))?;
        let health = Health::start(&inside)?;
        health.say("ready");
        let speaker =
            |side| Speaker::start(side, &topology.speaker(), home.folder(), &peerings).context("the speaker");
        let speakers = [speaker(Side::Outside)?, speaker(Side::Inside)?];
        Ok(Self { clock, watchers, speakers, health, bird, frr, inside, peerings, topology, home })
    }

    /// The sessions.
    pub fn peerings(&self) -> &[Peering] {
        &self.peerings
    }

    /// The session of this name.
    pub fn peering(&self, name: &str) -> Result<&Peering> {
        self.peerings.iter().find(|peering| peering.name == name).with_context(|| name.to_owned())
    }

    /// The clock that all its times are of.
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// What the gateway says.
    pub const fn health(&self) -> &Health {
        &self.health
    }

    /// A thread in the speakers' namespace.
    pub const fn inside(&self) -> &Inside {
        &self.inside
    }

    /// The changes of a router's kernel routes.
    pub const fn routes(&self, router: Router) -> &Watcher {
        &self.watchers[router.index()]
    }

    /// The speaker of a side.
    pub const fn speaker(&self, side: Side) -> &Speaker {
        &self.speakers[side.index()]
    }

    /// What the router holds of a VIP from this session, in its own table.
    pub fn seen(&self, peering: &Peering, vip: Vip) -> Result<Option<Seen>> {
        match peering.router {
            Router::Bird => self.bird.seen(peering, vip),
            Router::Frr => self.frr.seen(peering, vip),
        }
    }

    /// Whether the router says that the session stands.
    pub fn is_established(&self, peering: &Peering) -> Result<bool> {
        match peering.router {
            Router::Bird => self.bird.is_established(peering),
            Router::Frr => self.frr.is_established(peering),
        }
    }

    /// Whether the router says that BFD is up beside the session.
    pub fn is_path_up(&self, peering: &Peering) -> Result<bool> {
        match peering.router {
            Router::Bird => self.bird.is_path_up(peering),
            Router::Frr => self.frr.is_path_up(peering),
        }
    }

    /// What the router says about why the session last ended, in its own words.
    pub fn last_error(&self, peering: &Peering) -> Result<String> {
        match peering.router {
            Router::Bird => self.bird.last_error(peering),
            Router::Frr => self.frr.last_error(peering),
        }
    }

    /// Has the router ask for all routes again, and says how many UPDATEs it got so far.
    pub fn refresh(&self, peering: &Peering) -> Result<()> {
        match peering.router {
            Router::Bird => self.bird.ask(&format!("reload in {}", peering.protocol())).map(drop),
            Router::Frr => {
                let family = if peering.ipv6 { "ipv6" } else { "ipv4" };
                self.frr.ask(&format!("clear bgp {family} unicast {} soft in", peering.speaker())).map(drop)
            }
        }
    }

    /// The next hop of a host route in the router's kernel, as `ip route` shows it.
    pub fn kernel(&self, router: Router, vip: Vip) -> Result<String> {
        let namespace = match router {
            Router::Bird => self.topology.bird(),
            Router::Frr => self.topology.frr(),
        };
        let family = if vip.address().is_ipv4() { "-4" } else { "-6" };
        namespace.run(&["ip", family, "route", "show", &vip.address().to_string()])
    }

    /// Runs the routers' BFD ahead of everything ordinary, as the speakers' runs.
    pub fn prioritize_routers(&self) -> Result<()> {
        for daemon in [self.bird.daemon(), self.frr.daemon("bfdd")?] {
            let output = std::process::Command::new(crate::system_program("chrt")?)
                .args(["--all-tasks", "--fifo", "--pid", "50", &daemon.pid()?.to_string()])
                .output()?;
            if !output.status.success() {
                bail!("chrt: {}", String::from_utf8_lossy(&output.stderr));
            }
        }
        Ok(())
    }

    /// Drops all packets between the speakers and a router, as a node that is gone does: no link goes down.
    pub fn cut(&self, router: Router) -> Result<()> {
        let link = router.name();
        self.nft(&format!(
            "table inet cut_{link} {{
                chain in {{ type filter hook prerouting priority -400; iifname {link} drop; }}
                chain out {{ type filter hook postrouting priority 400; oifname {link} drop; }}
            }}"
        ))
    }

    /// Ends [`Interop::cut`].
    pub fn mend(&self, router: Router) -> Result<()> {
        self.nft(&format!("delete table inet cut_{}", router.name()))
    }

    /// The last lines of every log, for a failure's report.
    pub fn last_words(&self) -> String {
        self.home.last_words()
    }

    fn nft(&self, rules: &str) -> Result<()> {
        let nft = crate::system_program("nft")?;
        self.topology.speaker().run(&[&nft.to_string_lossy(), rules]).map(drop)
    }

    /// Waits until a session stands, and the router holds both VIPs of its side as they shall be.
    pub fn wait_announced(&self, peering: &Peering, within: Duration) -> Result<()> {
        crate::wait_until(&format!("{}: the VIPs at the router", peering.name), within, || {
            self.announced(peering)
        })
    }

    fn announced(&self, peering: &Peering) -> Result<Option<()>> {
        for vip in peering.side.vips() {
            if !peering.carries(vip) {
                continue;
            }
            let expected = Expected::of(peering, vip);
            let Some(seen) = self.seen(peering, vip)? else { bail!("{}: no {vip:?}", peering.name) };
            if !expected.fits(&seen) {
                bail!("{}: {vip:?}: {seen:?}, not {expected:?}", peering.name);
            }
        }
        Ok(Some(()))
    }

    /// Waits until a router holds nothing of the session's VIPs.
    pub fn wait_withdrawn(&self, peering: &Peering, within: Duration) -> Result<()> {
        crate::wait_until(&format!("{}: no VIP at the router", peering.name), within, || {
            for vip in peering.side.vips() {
                if self.seen(peering, vip)?.is_some() {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
    }
}

/// Why there can be no interop here, if there cannot.
pub fn unavailable() -> Option<String> {
    let frr = frr::DAEMONS.iter().find(|name| !std::path::Path::new(frr::FOLDER).join(name).is_file());
    let missing = frr.map(|name| format!("FRR's {name} is not installed in {}", frr::FOLDER));
    crate::unavailable().or(missing).or_else(|| crate::system_program("vtysh").err().map(|e| e.to_string()))
}

fn build(topology: &Topology, peerings: &[Peering]) -> Result<()> {
    let (speaker, bird, frr) = (topology.speaker(), topology.bird(), topology.frr());
    let mut lines: Vec<_> = [&speaker, &bird, &frr].map(|ns| format!("netns add {}", ns.name())).into();
    for (router, namespace) in [(Router::Bird, &bird), (Router::Frr, &frr)] {
        let name = router.name();
        let (here, there) = (speaker.name(), namespace.name());
        lines.push(format!("link add name {name} netns {here} type veth peer name eth0 netns {there}"));
    }
    ip_batch(None, &lines)?;
    let mut ours = vec!["link set dev lo up".to_owned()];
    for (router, namespace) in [(Router::Bird, &bird), (Router::Frr, &frr)] {
        let name = router.name();
        let mut theirs = vec!["link set dev lo up".to_owned()];
        let numbers =
            peerings.iter().filter(|peering| peering.router == router).map(|peering| peering.number);
        for number in std::iter::once(0).chain(numbers) {
            for ipv6 in [false, true] {
                let (length, nodad) = if ipv6 { (64, " nodad") } else { (24, "") };
                let (far, near) = (router.address(number, ipv6), router.speaker(number, ipv6));
                // The routers' own first address is the number 200.
                let far = if number == 0 { router.address(200, ipv6) } else { far };
                theirs.push(format!("addr add {far}/{length} dev eth0{nodad}"));
                ours.push(format!("addr add {near}/{length} dev {name}{nodad}"));
            }
        }
        for peering in peerings.iter().filter(|peering| peering.router == router && peering.link_local) {
            theirs.push(format!("addr add {}/64 dev eth0 nodad", peering.address()));
            ours.push(format!("addr add {}/64 dev {name} nodad", peering.speaker()));
        }
        theirs.push("link set dev eth0 up".to_owned());
        ours.push(format!("link set dev {name} up"));
        for peering in peerings.iter().filter(|peering| peering.router == router && peering.multihop) {
            let (address, length) = (peering.address(), if peering.ipv6 { 128 } else { 32 });
            theirs.push(format!("addr add {address}/{length} dev lo"));
            ours.push(format!("route add {address}/{length} via {}", router.address(200, peering.ipv6)));
        }
        ip_batch(Some(namespace), &theirs)?;
    }
    ip_batch(Some(&speaker), &ours)
}
