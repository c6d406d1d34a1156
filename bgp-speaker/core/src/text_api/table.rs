//! What was announced over the text API, by neighbor and prefix, and by whom.

use super::{Command, Injected, Route, Selector};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Who announced a route: a process by its number, or the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Owner {
    /// Somebody at the socket.
    Socket,
    /// A process of the configuration, by its place there.
    Process(usize),
}

/// A neighbor, as selectors see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its address.
    pub address: IpAddr,
    /// Our address towards it, if it is configured.
    pub local_ip: Option<IpAddr>,
    /// Our AS.
    pub local_as: u32,
    /// Its AS.
    pub peer_as: u32,
    /// Our identifier.
    pub router_id: Ipv4Addr,
}

/// What another process goes on with: the routes, by the neighbor's address.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Saved(Vec<(IpAddr, Vec<SavedRoute>)>);

type SavedRoute = (IpNet, Owner, Route);

/// The routes.
#[derive(Debug)]
pub struct Table {
    neighbors: Vec<Known>,
    /// VIPs of this node: the gate's.
    reserved: BTreeSet<IpNet>,
    most: usize,
    /// In the order of the neighbors.
    routes: Vec<BTreeMap<IpNet, (Owner, Route)>>,
}

impl Table {
    /// An empty table; no neighbor ever has more than `most` routes in it.
    pub fn new(neighbors: Vec<Known>, reserved: BTreeSet<IpNet>, most: usize) -> Self {
        let routes = vec![BTreeMap::new(); neighbors.len()];
        Self { neighbors, reserved, most, routes }
    }

    /// What another process goes on with.
    pub fn save(&self) -> Saved {
        let all = |held: &BTreeMap<IpNet, (Owner, Route)>| {
            held.iter().map(|(prefix, (owner, route))| (*prefix, *owner, route.clone())).collect()
        };
        Saved(
            self.neighbors.iter().zip(&self.routes).map(|(known, held)| (known.address, all(held))).collect(),
        )
    }

    /// Goes on with what another process saved, of neighbors that are there and of owners that can take it back: the
    /// socket, and so many `processes`.
    pub fn resume(&mut self, saved: Saved, processes: usize) {
        for (address, routes) in saved.0 {
            let place = self.neighbors.iter().position(|known| known.address == address);
            let Some(held) = place.and_then(|place| self.routes.get_mut(place)) else { continue };
            for (prefix, owner, route) in routes.into_iter().take(self.most) {
                let known = !matches!(owner, Owner::Process(index) if index >= processes);
                if known && !self.reserved.contains(&prefix) {
                    held.insert(prefix, (owner, route));
                }
            }
        }
    }

    /// Does what a line asks for, whole or not at all; says whether that changed anything. The last who announces a
    /// prefix owns it, and anybody may withdraw it, as in ExaBGP.
    pub fn apply(&mut self, owner: Owner, command: Command) -> Result<bool, &'static str> {
        let (Command::Announce { to, .. } | Command::Withdraw { to, .. }) = &command;
        let chosen = self.chosen(to);
        if chosen.is_empty() {
            return Err("no such neighbor");
        }
        match command {
            Command::Announce { routes, .. } => self.announce(owner, &chosen, &routes),
            Command::Withdraw { prefixes, .. } => {
                let mut changed = false;
                for index in chosen {
                    let Some(held) = self.routes.get_mut(index) else { continue };
                    prefixes.iter().for_each(|prefix| changed |= held.remove(prefix).is_some());
                }
                Ok(changed)
            }
        }
    }

    /// Takes back all that `owner` announced; says whether that was anything.
    pub fn forget(&mut self, owner: Owner) -> bool {
        let before = self.len();
        self.routes.iter_mut().for_each(|held| held.retain(|_, (whose, _)| *whose != owner));
        self.len() != before
    }

    /// How many routes there are, over all neighbors.
    pub fn len(&self) -> usize {
        self.routes.iter().map(BTreeMap::len).sum()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What each neighbor shall hold, in their order.
    pub fn wanted(&self) -> Vec<Arc<Injected>> {
        let one = |held: &BTreeMap<IpNet, (Owner, Route)>| {
            Arc::new(held.iter().map(|(prefix, (_, route))| (*prefix, route.clone())).collect())
        };
        self.routes.iter().map(one).collect()
    }

    fn announce(
        &mut self,
        owner: Owner,
        chosen: &[usize],
        routes: &[(IpNet, Route)],
    ) -> Result<bool, &'static str> {
        if routes.iter().any(|(prefix, _)| self.reserved.contains(prefix)) {
            return Err("a VIP of this node is announced by its gate");
        }
        let new: BTreeSet<IpNet> = routes.iter().map(|(prefix, _)| *prefix).collect();
        for held in chosen.iter().filter_map(|index| self.routes.get(*index)) {
            if held.len() + new.iter().filter(|prefix| !held.contains_key(prefix)).count() > self.most {
                return Err("too many routes");
            }
        }
        let mut changed = false;
        for index in chosen {
            let Some(held) = self.routes.get_mut(*index) else { continue };
            for (prefix, route) in routes {
                let before = held.insert(*prefix, (owner, route.clone()));
                changed |= before.is_none_or(|(_, before)| before != *route);
            }
        }
        Ok(changed)
    }

    fn chosen(&self, to: &[Selector]) -> Vec<usize> {
        let fits = |known: &Known| to.is_empty() || to.iter().any(|selector| selector.fits(known));
        (0..).zip(&self.neighbors).filter(|(_, known)| fits(known)).map(|(index, _)| index).collect()
    }
}

impl Selector {
    fn fits(&self, known: &Known) -> bool {
        self.address.is_none_or(|address| address == known.address)
            && self.local_ip.is_none_or(|address| Some(address) == known.local_ip)
            && self.local_as.is_none_or(|asn| asn == known.local_as)
            && self.peer_as.is_none_or(|asn| asn == known.peer_as)
            && self.router_id.is_none_or(|id| id == known.router_id)
    }
}
