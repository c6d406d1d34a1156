//! Who is where: names and addresses, and how the links are laid.
//!
//! ```text
//!              client 10.0.100.2, and clients 10.1.0.0/16
//!                 │
//!              router 10.0.X.1 on each link (BIRD, AS 65000)
//!        ┌────────┼────────┐              ┌────────┼────────┐
//!   gw1 10.0.1.2  gw2 …2.2  gw3 …3.2   api1 10.0.11.2  api2 …12.2  api3 …13.2
//!   (AS 65010, VIPs 203.0.113.1–3 on lo)
//! ```
//! IPv6 is beside it: fd00:0:0:X::1 and ::2 on each link.

use crate::netns::{Namespace, ip_batch};
use anyhow::Result;
use std::net::Ipv4Addr;

/// The shared addresses.
pub const VIPS: [Ipv4Addr; 3] =
    [Ipv4Addr::new(203, 0, 113, 1), Ipv4Addr::new(203, 0, 113, 2), Ipv4Addr::new(203, 0, 113, 3)];
/// The port that the gateways serve on.
pub const PORT: u16 = 80;
/// AS of the router.
pub const ROUTER_AS: u32 = 65000;
/// AS of the nodes.
pub const NODE_AS: u32 = 65010;
/// The three services, one process of each on every API host, on ports 8001, 8002, 8003.
pub const SERVICES: [&str; 3] = ["compute", "volume", "network"];
/// Nodes, API hosts: how many of each.
pub const COUNT: usize = 3;

const CLIENT_SUBNET: u8 = 100;

/// The namespaces of one lab.
#[derive(Clone, Debug)]
pub struct Topology {
    id: u32,
}

impl Topology {
    /// The namespaces of lab `id`.
    pub const fn new(id: u32) -> Self {
        Self { id }
    }

    /// Where the load comes from.
    pub fn client(&self) -> Namespace {
        self.namespace("client")
    }

    /// Where BIRD runs.
    pub fn router(&self) -> Namespace {
        self.namespace("router")
    }

    /// Node `n`, from 1.
    pub fn node(&self, n: usize) -> Namespace {
        self.namespace(&format!("gw{n}"))
    }

    /// API host `n`, from 1.
    pub fn api(&self, n: usize) -> Namespace {
        self.namespace(&format!("api{n}"))
    }

    /// All of the deployment.
    pub fn all(&self) -> Vec<Namespace> {
        let mut all = vec![self.client(), self.router()];
        all.extend((1..=COUNT).map(|n| self.node(n)));
        all.extend((1..=COUNT).map(|n| self.api(n)));
        all
    }

    /// Where the speakers are that talk to many kinds of routers.
    pub fn speaker(&self) -> Namespace {
        self.namespace("speaker")
    }

    /// A router that runs BIRD.
    pub fn bird(&self) -> Namespace {
        self.namespace("bird")
    }

    /// A router that runs FRR.
    pub fn frr(&self) -> Namespace {
        self.namespace("frr")
    }

    /// Every namespace that anything of lab `id` may have made.
    pub fn known(&self) -> Vec<Namespace> {
        let mut known = self.all();
        known.extend([self.speaker(), self.bird(), self.frr()]);
        known
    }

    /// Makes the namespaces, the links and the addresses. The VIPs are nobody's yet.
    pub fn build(&self) -> Result<()> {
        let all = self.all();
        ip_batch(None, &all.iter().map(|ns| format!("netns add {}", ns.name())).collect::<Vec<_>>())?;
        // Before there are interfaces: they inherit it. A node answers for a VIP also while the router
        // already prefers another node, so the way back must not be checked.
        self.router().within(|| {
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
            std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")?;
            std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "0")?;
            std::fs::write("/proc/sys/net/ipv4/conf/default/rp_filter", "0")
        })?;
        let (mut cables, mut router) = (Vec::new(), vec!["link set dev lo up".to_owned()]);
        for Link { peer, subnet } in links() {
            let (here, there) = (self.router(), self.namespace(&peer));
            cables.push(format!(
                "link add name {peer} netns {} type veth peer name eth0 netns {}",
                here.name(),
                there.name()
            ));
            router.push(format!("addr add 10.0.{subnet}.1/30 dev {peer}"));
            router.push(format!("addr add fd00:0:0:{subnet}::1/64 dev {peer} nodad"));
            router.push(format!("link set dev {peer} up"));
        }
        router.push(format!("route add 10.1.0.0/16 via 10.0.{CLIENT_SUBNET}.2"));
        ip_batch(None, &cables)?;
        ip_batch(Some(&self.router()), &router)?;
        links().iter().try_for_each(|link| self.build_end(link))
    }

    fn build_end(&self, Link { peer, subnet }: &Link) -> Result<()> {
        let mut lines = vec![
            "link set dev lo up".to_owned(),
            format!("addr add 10.0.{subnet}.2/30 dev eth0"),
            format!("addr add fd00:0:0:{subnet}::2/64 dev eth0 nodad"),
            "link set dev eth0 up".to_owned(),
            format!("route add default via 10.0.{subnet}.1"),
            format!("route add default via fd00:0:0:{subnet}::1"),
        ];
        if *subnet == CLIENT_SUBNET {
            // Every address of the network is this host's own: any of them can be bound to.
            lines.push("route add local 10.1.0.0/16 dev lo".to_owned());
        }
        ip_batch(Some(&self.namespace(peer)), &lines)
    }

    fn namespace(&self, name: &str) -> Namespace {
        Namespace::named(format!("hg{}-{name}", self.id))
    }
}

/// The address of node `n` on its link.
pub fn node_address(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, node_subnet(n), 2)
}

/// The address of API host `n`.
pub fn api_address(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, api_subnet(n), 2)
}

/// The port of a service on every API host.
pub fn service_port(service: &str) -> u16 {
    let index = SERVICES.iter().position(|name| *name == service).unwrap_or_default();
    8001 + u16::try_from(index).unwrap_or_default()
}

/// The `k`-th client address: each is a client of its own to the gateway.
pub fn client_address(k: u32) -> Ipv4Addr {
    let [_, _, high, low] = (k % 60_000 + 256).to_be_bytes();
    Ipv4Addr::new(10, 1, high, low)
}

/// The planned metric: node i is first for VIP i, the others follow in ring order.
pub fn planned_med(node: usize, vip: usize) -> u32 {
    let distance = (node + COUNT - vip) % COUNT;
    100 * (1 + u32::try_from(distance).unwrap_or_default())
}

/// One cable of the star: between the router and `peer`.
struct Link {
    peer: String,
    subnet: u8,
}

fn links() -> Vec<Link> {
    let mut links = vec![Link { peer: "client".to_owned(), subnet: CLIENT_SUBNET }];
    links.extend((1..=COUNT).map(|n| Link { peer: format!("gw{n}"), subnet: node_subnet(n) }));
    links.extend((1..=COUNT).map(|n| Link { peer: format!("api{n}"), subnet: api_subnet(n) }));
    links
}

fn node_subnet(n: usize) -> u8 {
    u8::try_from(n).unwrap_or_default()
}

fn api_subnet(n: usize) -> u8 {
    10 + node_subnet(n)
}
