//! Programs in Python, with Debian's packages.

use super::{installed, output};
use crate::harness::write;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// The interpreter that has them.
const PYTHON: &str = "/usr/bin/python3";

/// A script that serves; killed when it goes out of scope.
pub(super) struct Script {
    folder: tempfile::TempDir,
    text: &'static str,
    serving: Option<Child>,
}

impl Script {
    /// If there is what it needs, a file of the module `needs`.
    pub(super) fn new(text: &'static str, needs: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        (installed(PYTHON) && installed(needs)).then_some(Self { folder, text, serving: None })
    }

    /// Starts it as a server, which says its port when it is ready.
    pub(super) fn serve(&mut self, arguments: &[&str]) -> SocketAddr {
        let mut child = self.command().arg("serve").args(arguments).stdout(Stdio::piped()).spawn();
        let stdout = child.as_mut().ok().and_then(|child| child.stdout.take()).expect("python runs");
        self.serving = child.ok();
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("it says its port");
        SocketAddr::from(([127, 0, 0, 1], line.trim().parse().expect("a port")))
    }

    /// Runs it as a client, which ends well or says why not.
    pub(super) fn ask(&self, arguments: &[&str]) -> String {
        output(self.command().arg("ask").args(arguments))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(PYTHON);
        command.arg(write(self.folder.path(), "script.py", self.text));
        command
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if let Some(child) = &mut self.serving {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
