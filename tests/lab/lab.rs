//! The lab as a whole.

use crate::api::ApiHost;
use crate::bird::Bird;
use crate::home::Home;
use crate::http::{Answer, Failure, Request, fetch};
use crate::inside::Inside;
use crate::load::{Load, Mix};
use crate::node::Node;
use crate::options::LabOptions;
use crate::routes::Watcher;
use crate::signals;
use crate::topology::{COUNT, PORT, Topology, VIPS, node_address, planned_med};
use anyhow::{Result, bail};
use base::Clock;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// A running deployment. Dropping it takes everything away.
#[derive(Debug)]
pub struct Lab {
    // In the order in which they end: the namespaces last.
    clock: Clock,
    routes: Watcher,
    client: Inside,
    nodes: Vec<Node>,
    apis: Vec<ApiHost>,
    bird: Bird,
    topology: Topology,
    home: Home,
}

impl Lab {
    /// Builds the lab and starts everything; returns when every node announces every VIP and the router
    /// sends each VIP to its node.
    pub fn start(options: &LabOptions) -> Result<Self> {
        let lab = Self::start_apart(options)?;
        match lab.start_nodes() {
            Ok(()) => Ok(lab),
            Err(error) => bail!("{error:#}\n{}", lab.last_words()),
        }
    }

    fn start_nodes(&self) -> Result<()> {
        for node in &self.nodes {
            node.start_gateway()?;
            node.speaker().start()?;
        }
        self.wait_steady(Duration::from_secs(20))
    }

    /// Builds the lab and starts the router and the API servers, but no gateway and no speaker.
    pub fn start_apart(options: &LabOptions) -> Result<Self> {
        if let Some(reason) = unavailable() {
            bail!("the lab cannot run: {reason}");
        }
        signals::handle();
        let clock = Clock::start();
        let home = Home::claim()?;
        let topology = Topology::new(home.id());
        topology.build()?;
        let routes = Watcher::start(&topology.router(), clock)?;
        let bird = Bird::start(&topology.router(), home.folder(), options.hold_time)?;
        let client = Inside::start(Some(&topology.client()))?;
        let apis = (1..=COUNT).map(|n| ApiHost::new(n, topology.api(n), home.folder()));
        let apis = apis.collect::<Result<Vec<_>>>()?;
        apis.iter().try_for_each(ApiHost::start_all)?;
        let nodes = (1..=COUNT).map(|n| Node::new(n, topology.node(n), home.folder(), options));
        let nodes = nodes.collect::<Result<Vec<_>>>()?;
        Ok(Self { clock, routes, client, nodes, apis, bird, topology, home })
    }

    /// The clock that all its times are of.
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// Node `n`, from 1.
    pub fn gateway(&self, n: usize) -> &Node {
        &self.nodes[n - 1]
    }

    /// All nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// API host `n`, from 1.
    pub fn api(&self, n: usize) -> &ApiHost {
        &self.apis[n - 1]
    }

    /// The router's BIRD.
    pub const fn bird(&self) -> &Bird {
        &self.bird
    }

    /// The changes of the router's kernel routes.
    pub const fn routes(&self) -> &Watcher {
        &self.routes
    }

    /// Its namespaces.
    pub const fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Its folder: `/run/headgate-lab/N`.
    pub fn folder(&self) -> &Path {
        self.home.folder()
    }

    /// The last lines of every log, for a failure's report.
    pub fn last_words(&self) -> String {
        self.home.last_words()
    }

    /// Makes one request from the client's namespace.
    pub fn fetch(&self, request: Request) -> Result<std::result::Result<Answer, Failure>> {
        self.client.run(fetch(request))
    }

    /// `GET path` of `host` at a VIP; an error if there is no whole answer.
    pub fn get(&self, vip: Ipv4Addr, host: &str, path: &str) -> Result<Answer> {
        match self.fetch(Request::get(SocketAddr::from((vip, PORT)), host, path))? {
            Ok(answer) => Ok(answer),
            Err(failure) => bail!("http://{vip}{path} of {host}: {failure}"),
        }
    }

    /// The thread in the client's namespace, for requests that are more than one after the other.
    pub const fn client(&self) -> &Inside {
        &self.client
    }

    /// Starts load from the client's namespace.
    pub fn load(&self, mix: Mix) -> Result<Load> {
        Load::start(&self.topology.client(), self.clock, mix)
    }

    /// The node that the router sends a VIP to.
    pub fn serving(&self, vip: Ipv4Addr) -> Option<usize> {
        let via = self.routes.via(vip)?;
        (1..=COUNT).find(|n| node_address(*n) == via)
    }

    /// Waits for the planned state: every VIP announced by every node with its metric, and each with its
    /// own node.
    pub fn wait_steady(&self, within: Duration) -> Result<()> {
        crate::wait_until("every VIP from every node, each with its own", within, || self.steady())
    }

    fn steady(&self) -> Result<Option<()>> {
        for (vip, number) in VIPS.into_iter().zip(1..) {
            let routes = self.bird.routes(vip)?;
            for node in &self.nodes {
                let med =
                    routes.iter().find(|route| route.neighbor == node.name()).and_then(|route| route.med);
                if med != Some(planned_med(node.number(), number)) {
                    bail!("{vip} has at the router: {routes:?}");
                }
            }
            if self.serving(vip) != Some(number) {
                bail!("{vip} goes to {:?}", self.serving(vip));
            }
        }
        Ok(Some(()))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = std::io::stderr().lock().write_all(self.last_words().as_bytes());
        }
    }
}

/// Why there can be no lab here, if there cannot.
pub fn unavailable() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("network namespaces need root".to_owned());
    }
    ["ip", "bird", "birdc", "nft"]
        .into_iter()
        .find_map(|program| crate::system_program(program).err())
        .map(|error| error.to_string())
}
