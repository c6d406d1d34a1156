//! A gateway node: the gateway, the speaker beside it, and what can go wrong with them.

use crate::daemon::{Daemon, Recipe};
use crate::freeze::Frozen;
use crate::http::{Answer, Request, fetch};
use crate::inside::Inside;
use crate::netns::Namespace;
use crate::options::LabOptions;
use crate::templates::{self, ADMIN, GatewayPlace, SPEAKER_METRICS, lab_servers};
use crate::topology::{PORT, node_address};
use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Node `n` of the lab.
#[derive(Debug)]
pub struct Node {
    number: usize,
    namespace: Namespace,
    folder: PathBuf,
    gateway: Daemon,
    speaker: Daemon,
    inside: Inside,
}

impl Node {
    /// Writes its configurations. Nothing runs yet.
    pub(crate) fn new(
        number: usize,
        namespace: Namespace,
        folder: &Path,
        options: &LabOptions,
    ) -> Result<Self> {
        let folder = folder.join(format!("gw{number}"));
        std::fs::create_dir_all(&folder)?;
        let place = GatewayPlace {
            node: &format!("gw{number}"),
            bind: &format!("0.0.0.0:{PORT}"),
            admin: ADMIN,
            folder: &folder,
            servers: &lab_servers,
        };
        std::fs::write(folder.join("gateway.toml"), templates::gateway(&place, options))?;
        std::fs::write(folder.join("bgp.toml"), templates::speaker(number, &folder, options))?;
        let daemon = |program: &str, config: &str| -> Result<Daemon> {
            Ok(Daemon::new(Recipe {
                name: program.to_owned(),
                namespace: Some(namespace.clone()),
                program: crate::program(program)?,
                arguments: vec!["run".to_owned(), folder.join(config).display().to_string()],
                folder: folder.clone(),
            }))
        };
        let gateway = daemon("headgate", "gateway.toml")?;
        let speaker = daemon("headgate-bgp", "bgp.toml")?;
        let inside = Inside::start(Some(&namespace))?;
        Ok(Self { number, namespace, folder, gateway, speaker, inside })
    }

    /// Its number, from 1.
    pub const fn number(&self) -> usize {
        self.number
    }

    /// Its name, as BIRD knows it: `gw1`.
    pub fn name(&self) -> String {
        format!("gw{}", self.number)
    }

    /// Its address on its link: the next hop of its routes.
    pub fn address(&self) -> Ipv4Addr {
        node_address(self.number)
    }

    /// Its namespace.
    pub const fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Its folder: configurations, sockets, logs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The gateway's process.
    pub const fn gateway(&self) -> &Daemon {
        &self.gateway
    }

    /// The speaker's process.
    pub const fn speaker(&self) -> &Daemon {
        &self.speaker
    }

    /// Starts the gateway and waits until it says that it is ready.
    pub fn start_gateway(&self) -> Result<()> {
        self.gateway.start()?;
        crate::wait_until(&format!("the gateway of {} to be ready", self.name()), READY_WITHIN, || {
            if !self.gateway.is_running() {
                bail!("it has ended:\n{}", self.gateway.log());
            }
            Ok(self.admin("/health").ok().filter(|answer| answer.status.is_success()).map(drop))
        })
    }

    /// Kills the gateway with SIGKILL.
    pub fn kill_gateway(&self) -> Result<()> {
        self.gateway.kill()
    }

    /// Stops the gateway's process: it hangs, with its sockets open.
    pub fn stop(&self) -> Result<()> {
        self.gateway.signal(Signal::SIGSTOP)
    }

    /// Lets a stopped gateway run again.
    pub fn cont(&self) -> Result<()> {
        self.gateway.signal(Signal::SIGCONT)
    }

    /// Stops one worker of the gateway, from 0, until the result is dropped.
    pub fn stall_worker(&self, worker: usize) -> Result<Frozen> {
        Frozen::thread(self.gateway.pid()?, &format!("worker-{worker}"))
    }

    /// `headgatectl drain`.
    pub fn drain(&self) -> Result<String> {
        self.ctl(&["drain"])
    }

    /// `headgatectl undrain`.
    pub fn undrain(&self) -> Result<String> {
        self.ctl(&["undrain"])
    }

    /// Runs `headgatectl` against this node's gateway.
    pub fn ctl(&self, arguments: &[&str]) -> Result<String> {
        let socket = self.folder.join("gateway.sock");
        ask(Command::new(crate::program("headgatectl")?).arg("--socket").arg(socket).args(arguments))
    }

    /// `headgate-bgp status`, as JSON.
    pub fn speaker_status(&self) -> Result<serde_json::Value> {
        let text = self.bgp(&["--json", "status"])?;
        serde_json::from_str(&text).with_context(|| text.clone())
    }

    /// Runs `headgate-bgp` against this node's speaker.
    pub fn bgp(&self, arguments: &[&str]) -> Result<String> {
        let socket = self.folder.join("bgp.sock");
        ask(Command::new(crate::program("headgate-bgp")?).arg("--socket").arg(socket).args(arguments))
    }

    /// The node's own requests through a VIP fail from now on; what comes from elsewhere is served.
    pub fn fail_probes(&self, vip: Ipv4Addr) -> Result<()> {
        self.nft(&format!(
            "table inet probes {{
                chain in {{ type filter hook input priority 0; iifname lo ip daddr {vip} drop; }}
            }}"
        ))
    }

    /// Ends [`Node::fail_probes`].
    pub fn mend_probes(&self) -> Result<()> {
        self.nft("delete table inet probes")
    }

    /// Cuts the node off: every packet on its link is lost, both ways, and nobody is told. What it says
    /// to itself goes on.
    pub fn cut(&self) -> Result<()> {
        self.nft(
            "table inet cut {
                chain in { type filter hook prerouting priority -400; iifname eth0 drop; }
                chain out { type filter hook postrouting priority 400; oifname eth0 drop; }
            }",
        )
    }

    /// Ends [`Node::cut`].
    pub fn mend(&self) -> Result<()> {
        self.nft("delete table inet cut")
    }

    /// Asks the gateway's admin listener.
    pub fn admin(&self, path: &str) -> Result<Answer> {
        self.get(ADMIN, path)
    }

    /// The gateway's metrics, as Prometheus reads them.
    pub fn metrics(&self) -> Result<Metrics> {
        Ok(Metrics { text: self.admin("/metrics")?.text() })
    }

    /// The speaker's metrics.
    pub fn speaker_metrics(&self) -> Result<Metrics> {
        Ok(Metrics { text: self.get(SPEAKER_METRICS, "/metrics")?.text() })
    }

    /// The gateway's access log, line by line.
    pub fn access_log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.join("access.log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits for the first line of the access log that holds `part`.
    pub fn wait_logged(&self, part: &str) -> Result<String> {
        crate::wait_until(&format!("a log line with {part}"), Duration::from_secs(2), || {
            Ok(self.access_log().into_iter().find(|line| line.contains(part)))
        })
    }

    fn get(&self, to: &str, path: &str) -> Result<Answer> {
        let request = Request::get(to.parse::<SocketAddr>()?, to, path);
        match self.inside.run(fetch(request))? {
            Ok(answer) => Ok(answer),
            Err(failure) => bail!("http://{to}{path} in {}: {failure}", self.name()),
        }
    }

    fn nft(&self, rules: &str) -> Result<()> {
        let nft = crate::system_program("nft")?;
        self.namespace.run(&[&nft.to_string_lossy(), rules]).map(drop)
    }
}

/// A scrape of metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    text: String,
}

impl Metrics {
    /// The sum of a metric over all series whose labels hold each of `labels` (`frontend="public"`).
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        self.text
            .lines()
            .filter(|line| {
                let rest = line.strip_prefix(name).unwrap_or_default();
                rest.starts_with(['{', ' ']) && labels.iter().all(|label| rest.contains(label))
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// All of it.
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn ask(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(text)
}

/// From the start of a gateway to its first 200 on `/health`.
const READY_WITHIN: Duration = Duration::from_secs(10);
