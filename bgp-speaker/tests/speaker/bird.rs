//! Against a real BIRD, as far as that goes without privileges: a session over loopback.

use super::rig::{DEADLINE, Rig, network, pause};
use super::router::Router;
use base::Clock;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

struct Bird {
    daemon: Child,
    folder: TempDir,
    network: String,
}

impl Bird {
    /// `None` if this machine has no BIRD.
    fn start() -> Option<Self> {
        let program = find("bird")?;
        let folder = tempfile::tempdir().expect("a folder");
        let [a, b, c] = network();
        let network = format!("{a}.{b}.{c}");
        let config = format!(
            "router id 10.0.0.1;\n\
             protocol device {{}}\n\
             protocol bgp gw1 {{\n\
               local {network}.1 port 1790 as 4200000001;\n\
               neighbor {network}.2 as 4200000010;\n\
               multihop; passive; hold time 3;\n\
               ipv4 {{ import all; export none; }};\n\
               ipv6 {{ import all; export none; }};\n\
             }}\n"
        );
        let file = folder.path().join("bird.conf");
        std::fs::write(&file, config).expect("the configuration");
        let daemon = Command::new(program)
            .args(["-f", "-c"])
            .arg(file)
            .arg("-s")
            .arg(folder.path().join("bird.ctl"))
            .stdin(Stdio::null())
            .spawn()
            .expect("BIRD");
        Some(Self { daemon, folder, network })
    }

    fn ask(&self, command: &str) -> String {
        let output = Command::new(find("birdc").expect("birdc"))
            .arg("-s")
            .arg(self.folder.path().join("bird.ctl"))
            .args(command.split(' '))
            .output()
            .expect("birdc");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Asks for the VIP's route until it looks as it should.
    fn wait(&self, what: &str, good: impl Fn(&str) -> bool) -> String {
        let clock = Clock::start();
        let mut answer = String::new();
        while clock.now().as_millis() < DEADLINE.as_millis() as u64 {
            answer = self.ask("show route all 203.0.113.1/32");
            if good(&answer) {
                return answer;
            }
            pause(Duration::from_millis(20));
        }
        panic!("{what}: {answer}");
    }
}

impl Drop for Bird {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

#[test]
fn bird_gets_the_route_with_its_attributes_and_loses_it() {
    let Some(bird) = Bird::start() else {
        eprintln!("skipped: no BIRD on this machine");
        return;
    };
    let neighbor = format!(
        "address = \"{0}.1\"\nsource = \"{0}.2\"\nport = 1790\nasn = 4200000001\nnext_hop4 = \"192.0.2.2\"",
        bird.network
    );
    let rig = Rig::with(Router::listen(), &neighbor);
    rig.gateway.say("ready");
    let route = bird.wait("announced", |answer| answer.contains("203.0.113.1/32"));
    for line in [
        "BGP.as_path: 4200000010",
        "BGP.next_hop: 192.0.2.2",
        "BGP.med: 100",
        "BGP.community: (65010,7)",
        "BGP.large_community: (4200000010, 1, 2)",
    ] {
        assert!(route.contains(line), "{line}: {route}");
    }
    rig.gateway.say("draining");
    bird.wait("worsened", |answer| answer.contains("BGP.med: 4294967294") && answer.contains("(65535,0)"));
    bird.wait("withdrawn", |answer| answer.contains("Network not found"));
    rig.gateway.say("ready");
    bird.wait("back", |answer| answer.contains("BGP.med: 100"));
    rig.gateway.die();
    bird.wait("withdrawn", |answer| answer.contains("Network not found"));
}

fn find(program: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.exists())
}
