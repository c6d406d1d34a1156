//! The router: BIRD, and what its own table says.

use crate::daemon::{Daemon, Recipe};
use crate::netns::Namespace;
use crate::templates;
use anyhow::{Result, bail};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The router's BIRD.
#[derive(Debug)]
pub struct Bird {
    daemon: Daemon,
    socket: PathBuf,
}

/// One route of a VIP, as BIRD holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// The neighbor that announced it: `gw1`.
    pub neighbor: String,
    /// Whether BIRD prefers it.
    pub best: bool,
    /// The next hop.
    pub via: Option<Ipv4Addr>,
    /// The metric.
    pub med: Option<u32>,
    /// The preference that the router gave it.
    pub local_pref: Option<u32>,
    /// Its communities: `65535:0`.
    pub communities: Vec<(u16, u16)>,
    /// The AS path.
    pub as_path: Vec<u32>,
}

/// RFC 8326: this path is about to go away.
pub const GRACEFUL_SHUTDOWN: (u16, u16) = (65535, 0);

impl Route {
    /// Whether it says that it is about to go away.
    pub fn is_shutting_down(&self) -> bool {
        self.communities.contains(&GRACEFUL_SHUTDOWN)
    }
}

impl Bird {
    /// Starts it in the router's namespace, and waits until it answers.
    pub(crate) fn start(namespace: &Namespace, folder: &Path, hold_time: u32) -> Result<Self> {
        Self::run(namespace, folder.join("router"), |folder| templates::bird(folder, hold_time))
    }

    /// Starts it with what `config` says for its folder, and waits until it answers.
    pub(crate) fn run(
        namespace: &Namespace,
        folder: PathBuf,
        config: impl FnOnce(&Path) -> String,
    ) -> Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let (file, socket) = (folder.join("bird.conf"), folder.join("bird.ctl"));
        std::fs::write(&file, config(&folder))?;
        let text = |path: &Path| path.display().to_string();
        let daemon = Daemon::new(Recipe {
            name: "bird".to_owned(),
            namespace: Some(namespace.clone()),
            program: crate::system_program("bird")?,
            arguments: vec!["-f".to_owned(), "-c".to_owned(), text(&file), "-s".to_owned(), text(&socket)],
            folder,
        });
        daemon.start()?;
        let bird = Self { daemon, socket };
        crate::wait_until("an answer from BIRD", Duration::from_secs(5), || {
            if !bird.daemon.is_running() {
                bail!("BIRD has ended:\n{}", bird.daemon.log());
            }
            Ok(bird.ask("show status").ok())
        })?;
        Ok(bird)
    }

    /// Asks it a command, as `birdc` takes it.
    pub fn ask(&self, command: &str) -> Result<String> {
        let mut birdc = Command::new(crate::system_program("birdc")?);
        let output = birdc.arg("-s").arg(&self.socket).args(command.split(' ')).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // A VIP without a route is an answer, with a failure code.
        if !output.status.success() && !text.contains("Network not found") {
            bail!("birdc {command}: {text}{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(text)
    }

    /// All routes of a VIP in its table.
    pub fn routes(&self, vip: Ipv4Addr) -> Result<Vec<Route>> {
        Ok(parse(&self.ask(&format!("show route {vip}/32 all"))?))
    }

    /// The route that it prefers for a VIP.
    pub fn best(&self, vip: Ipv4Addr) -> Result<Option<Route>> {
        Ok(self.routes(vip)?.into_iter().find(|route| route.best))
    }

    /// The route of a VIP that a neighbor announced.
    pub fn route_from(&self, vip: Ipv4Addr, neighbor: &str) -> Result<Option<Route>> {
        Ok(self.routes(vip)?.into_iter().find(|route| route.neighbor == neighbor))
    }

    /// Whether the session with a neighbor is established.
    pub fn is_established(&self, neighbor: &str) -> Result<bool> {
        Ok(self.ask(&format!("show protocols {neighbor}"))?.contains("Established"))
    }

    pub(crate) const fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// The path of its control socket, for `birdc -s`.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

/// Reads `show route … all`.
fn parse(text: &str) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    for line in text.lines() {
        if let Some((_, rest)) = line.split_once("unicast [") {
            let neighbor = rest.split([' ', ']']).next().unwrap_or_default().to_owned();
            let best = rest.split_once(']').is_some_and(|(_, flags)| flags.trim_start().starts_with('*'));
            routes.push(Route { neighbor, best, ..Route::default() });
        } else if let (Some(route), Some((key, value))) = (routes.last_mut(), attribute(line)) {
            match key {
                "via" => route.via = value.split(' ').next().and_then(|address| address.parse().ok()),
                "BGP.med" => route.med = value.parse().ok(),
                "BGP.local_pref" => route.local_pref = value.parse().ok(),
                "BGP.as_path" => {
                    route.as_path = value.split(' ').filter_map(|asn| asn.parse().ok()).collect();
                }
                "BGP.community" => route.communities = value.split(' ').filter_map(community).collect(),
                _ => {}
            }
        }
    }
    routes
}

fn attribute(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    line.strip_prefix("via ").map(|rest| ("via", rest)).or_else(|| line.split_once(": "))
}

fn community(text: &str) -> Option<(u16, u16)> {
    let (high, low) = text.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
    Some((high.parse().ok()?, low.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn birds_answer_is_read() {
        let text = "BIRD 2.0.12 ready.\nTable master4:\n\
            203.0.113.1/32       unicast [gw1 22:44:10.123] * (100) [AS65010i]\n\tvia 10.0.1.2 on gw1\n\t\
            Type: BGP univ\n\tBGP.as_path: 65010\n\tBGP.med: 100\n\tBGP.local_pref: 100\n\
            \x20                    unicast [gw2 22:44:10.200] (100) [AS65010i]\n\tvia 10.0.2.2 on gw2\n\t\
            BGP.med: 4294967295\n\tBGP.local_pref: 0\n\tBGP.community: (65535,0) (65010,7)\n";
        let routes = parse(text);
        assert_eq!(routes.len(), 2);
        assert!(routes[0].best && !routes[1].best);
        assert_eq!(routes[0].via, Some(Ipv4Addr::new(10, 0, 1, 2)));
        assert_eq!((routes[0].med, routes[1].med), (Some(100), Some(u32::MAX)));
        assert!(routes[1].is_shutting_down() && !routes[0].is_shutting_down());
        assert_eq!(routes[1].communities, [(65535, 0), (65010, 7)]);
        assert_eq!(routes[0].as_path, [65010]);
    }
}
