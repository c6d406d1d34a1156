//! Network namespaces, by the names that `ip netns` knows.

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::io::{self, Write};
use std::os::linux::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A network namespace, by name. Dropping it removes nothing: namespaces end with their lab.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// The namespace of that name, whether it exists or not.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// As `ip netns exec` takes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is there.
    pub fn exists(&self) -> bool {
        self.path().exists()
    }

    /// Opens it, for a child to enter.
    pub fn open(&self) -> Result<File> {
        File::open(self.path()).with_context(|| format!("network namespace {}", self.name))
    }

    /// Moves the calling thread into it, for good. Only for a thread that does nothing else.
    pub fn enter(&self) -> Result<()> {
        setns(self.open()?, CloneFlags::CLONE_NEWNET).with_context(|| format!("cannot enter {}", self.name))
    }

    /// Runs `work` in a thread of its own inside it.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter()?;
                work().with_context(|| format!("in {}", self.name))
            });
            thread.join().unwrap_or_else(|_| bail!("a thread in {} panicked", self.name))
        })
    }

    /// Runs a command in it and returns what it wrote to stdout.
    pub fn run(&self, command: &[&str]) -> Result<String> {
        let mut words = vec!["netns", "exec", &self.name];
        words.extend(command);
        let output = Command::new(crate::system_program("ip")?).args(&words).output()?;
        if !output.status.success() {
            bail!(
                "in {}: {} failed: {}",
                self.name,
                command.join(" "),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The processes whose main thread is in it, without this one.
    pub fn processes(&self) -> Vec<i32> {
        let Ok(namespace) = self.path().metadata() else { return Vec::new() };
        let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
        let own = std::process::id().to_string();
        processes
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| *name != own && name.bytes().all(|byte| byte.is_ascii_digit()))
            .filter(|pid| {
                let its = std::fs::metadata(format!("/proc/{pid}/ns/net"));
                its.is_ok_and(|its| (its.st_dev(), its.st_ino()) == (namespace.st_dev(), namespace.st_ino()))
            })
            .filter_map(|pid| pid.parse().ok())
            .collect()
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }
}

/// Runs lines of `ip -batch`, all in one process, in a namespace or in the machine's own; stops at the
/// first that fails.
pub fn ip_batch(namespace: Option<&Namespace>, lines: &[String]) -> Result<()> {
    let place = namespace.map(|ns| vec!["-n", ns.name()]).unwrap_or_default();
    batch(&place, &["-batch", "-"], lines)
}

/// Removes namespaces by name; what is not there is passed over.
pub fn remove(namespaces: &[Namespace]) {
    let lines: Vec<_> = namespaces.iter().map(|ns| format!("netns del {}", ns.name())).collect();
    let _ = batch(&[], &["-force", "-batch", "-"], &lines);
}

fn batch(place: &[&str], how: &[&str], lines: &[String]) -> Result<()> {
    let mut ip = Command::new(crate::system_program("ip")?)
        .args(place)
        .args(how)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = ip.stdin.take() {
        stdin.write_all((lines.join("\n") + "\n").as_bytes())?;
    }
    let output = ip.wait_with_output()?;
    if !output.status.success() {
        bail!("ip failed: {}\nin:\n{}", String::from_utf8_lossy(&output.stderr), lines.join("\n"));
    }
    Ok(())
}
