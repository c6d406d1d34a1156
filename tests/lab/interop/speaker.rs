//! The speaker of one side: its configuration, its process, what it says.

use super::health;
use super::peering::{Peering, Side};
use crate::daemon::{Daemon, Recipe};
use crate::netns::Namespace;
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicI32, Ordering};

/// One `headgate-bgp`.
#[derive(Debug)]
pub struct Speaker {
    daemon: Daemon,
    socket: PathBuf,
    file: PathBuf,
    /// The process that took over last, if one did.
    successor: AtomicI32,
}

impl Speaker {
    pub(super) fn start(
        side: Side,
        namespace: &Namespace,
        folder: &Path,
        peerings: &[Peering],
    ) -> Result<Self> {
        let name = match side {
            Side::Outside => "outside",
            Side::Inside => "inside",
        };
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder)?;
        let (file, socket) = (folder.join("bgp.toml"), folder.join("bgp.sock"));
        let peerings: Vec<_> = peerings.iter().filter(|peering| peering.side == side).collect();
        std::fs::write(&file, config(name, side, &socket, &peerings))?;
        let daemon = Daemon::new(Recipe {
            name: "headgate-bgp".to_owned(),
            namespace: Some(namespace.clone()),
            program: crate::program("headgate-bgp")?,
            arguments: vec!["run".to_owned(), file.display().to_string()],
            folder,
        });
        // A side without a session has nobody to talk to.
        if !peerings.is_empty() {
            daemon.start()?;
        }
        Ok(Self { daemon, socket, file, successor: AtomicI32::new(0) })
    }

    /// Its process.
    pub const fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// What it answers to a command, as JSON.
    pub fn ask(&self, words: &[&str]) -> Result<serde_json::Value> {
        let text = self.tell(&[words, &["--json"]].concat())?;
        serde_json::from_str(&text).with_context(|| text)
    }

    /// Runs `headgate-bgp` with these words against it.
    pub fn tell(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new(crate::program("headgate-bgp")?);
        let output = command.arg("--socket").arg(&self.socket).args(words).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!("{}: {text}{}", words.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(text)
    }

    /// Orders a reload or an upgrade: another process is the speaker then.
    pub fn renew(&self, words: &[&str]) -> Result<String> {
        let said = self.tell(words)?;
        let parts: Vec<&str> = said.split_whitespace().collect();
        let id = parts.windows(2).find(|pair| pair[0] == "process").with_context(|| said.clone())?[1];
        self.successor.store(id.parse()?, Ordering::Relaxed);
        Ok(said)
    }

    /// Changes its configuration on the disk.
    pub fn rewrite(&self, change: impl Fn(String) -> String) -> Result<()> {
        let text = std::fs::read_to_string(&self.file)?;
        Ok(std::fs::write(&self.file, change(text))?)
    }

    /// What its status says about a neighbor.
    pub fn neighbor(&self, name: &str) -> Result<serde_json::Value> {
        let all = self.ask(&["neighbors"])?;
        let list = all.as_array().or_else(|| all["neighbors"].as_array()).context("no list")?;
        list.iter().find(|one| one["name"] == name).cloned().with_context(|| format!("{name} in {all}"))
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        let successor = self.successor.load(Ordering::Relaxed);
        if successor != 0 {
            let _ = kill(Pid::from_raw(successor), Signal::SIGKILL);
        }
    }
}

fn config(name: &str, side: Side, socket: &Path, peerings: &[&Peering]) -> String {
    // Of two speakers in one place, none can listen on every address.
    let accepts = peerings.iter().filter(|peering| peering.mode != "active");
    let listen: Vec<_> =
        accepts.map(|peering| format!("\"{}\"", SocketAddr::new(peering.speaker(), 179))).collect();
    let mut text = format!(
        r#"node = "{name}"

[bgp]
asn = {}
router_id = "10.1.0.{}"
retry_max = "1s"
listen = [{}]
socket = "{}"

[health]
watch = "http://{}/health/watch"
"#,
        side.asn(),
        side.index() + 1,
        listen.join(", "),
        socket.display(),
        health::ADDRESS
    );
    for peering in peerings {
        let other = peering.router.speaker(0, !peering.ipv6);
        let hop = if peering.ipv6 { "next_hop4" } else { "next_hop6" };
        let place = match peering.link_local {
            true => {
                let (address, link) = (peering.address(), peering.router.name());
                format!("address = \"{address}%{link}\"\nsource = \"{}\"", peering.speaker())
            }
            false => format!("address = \"{}\"\nsource = \"{}\"", peering.address(), peering.speaker()),
        };
        let _ = write!(
            text,
            "\n[[neighbor]]\nname = \"{}\"\n{place}\nasn = {}\n",
            peering.name,
            peering.router_as()
        );
        if peering.multihop {
            text += "multihop = 2\n";
        }
        if peering.extended_next_hop {
            text += "extended_next_hop = true\n";
        } else {
            let _ = writeln!(text, "{hop} = \"{other}\"");
        }
        if let Some(password) = peering.passwords[0] {
            let _ = writeln!(text, "password = \"{password}\"");
        }
        if peering.ttl_security {
            text += "ttl_security = true\n";
        }
        if let Some((milliseconds, multiplier)) = peering.bfd {
            let _ = writeln!(text, "bfd = {{ interval = \"{milliseconds}ms\", multiplier = {multiplier} }}");
        }
        let _ = writeln!(text, "mode = \"{}\"", peering.mode);
        text += peering.speaker_more;
        text += "\n";
    }
    for vip in side.vips() {
        let _ = write!(
            text,
            "\n[[vip]]\naddress = \"{}\"\nmed = 100\nloopback = true\ncommunities = [\"65010:7\"]\n\
             large_communities = [\"4200000010:1:2\"]\n",
            vip.address()
        );
    }
    text
}
