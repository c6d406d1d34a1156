//! The set-up: finds what this machine lacks, says what for, and installs it.
//!
//! Looked for by program, not by package, so that what was installed by other means counts. Quiet
//! when nothing is missing. No service is started or enabled by it ([`INSTALL`]).

use crate::run::{self, checked, find, say};
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program (or, by its whole path, a file) that is needed, the Debian package that has it, and what it is for.
#[derive(Debug)]
pub(crate) struct Tool {
    program: &'static str,
    package: &'static str,
    purpose: &'static str,
}

/// What builds pingora's C parts.
const BUILD_TOOLS: [Tool; 2] = [
    Tool { program: "cmake", package: "cmake", purpose: "builds zlib-ng for pingora" },
    Tool { program: "make", package: "make", purpose: "is what cmake builds with" },
];

/// What the lab runs.
const LAB_TOOLS: [Tool; 5] = [
    Tool { program: "ip", package: "iproute2", purpose: "makes the lab's network namespaces and links" },
    Tool { program: "bird", package: "bird2", purpose: "is the lab's router" },
    Tool { program: "birdc", package: "bird2", purpose: "asks the lab's router for its routes" },
    Tool { program: "haproxy", package: "haproxy", purpose: "is what log lines are compared with" },
    Tool { program: "nft", package: "nftables", purpose: "cuts a node's link silently" },
];

/// The real programs that tests put before, behind and beside ours.
const TEST_TOOLS: [Tool; 15] = [
    Tool { program: "curl", package: "curl", purpose: "is a client of HTTP/1.1 and HTTP/2" },
    Tool { program: "openssl", package: "openssl", purpose: "is a client of TLS" },
    Tool { program: "h2load", package: "nghttp2-client", purpose: "is a client of HTTP/2 under load" },
    Tool {
        program: "nginx",
        package: "nginx-light",
        purpose: "is a server, and what speed is compared with",
    },
    Tool { program: "mariadbd", package: "mariadb-server", purpose: "is a database behind TCP mode" },
    Tool { program: "mariadb", package: "mariadb-client", purpose: "is a client of that database" },
    Tool { program: "psql", package: "postgresql", purpose: "is a database behind TCP mode, and its client" },
    Tool { program: "redis-server", package: "redis-server", purpose: "is a server that is checked" },
    Tool { program: "rabbitmq-server", package: "rabbitmq-server", purpose: "is a broker that is checked" },
    Tool {
        program: "/usr/lib/python3/dist-packages/grpc/__init__.py",
        package: "python3-grpcio",
        purpose: "is a client and a server of gRPC",
    },
    Tool {
        program: "/usr/lib/python3/dist-packages/websockets/__init__.py",
        package: "python3-websockets",
        purpose: "is a client and a server of WebSocket",
    },
    Tool { program: "dnsmasq", package: "dnsmasq-base", purpose: "says where servers are" },
    Tool { program: "valgrind", package: "valgrind", purpose: "counts instructions of a request" },
    Tool { program: "vtysh", package: "frr", purpose: "is a router beside BIRD" },
    Tool { program: "exabgp", package: "exabgp", purpose: "is what the speaker replaces; its scripts go on" },
];

const INSTALL: &str = include_str!("install.sh");

/// How this user becomes root.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// It is root.
    Root,
    /// By sudo, which asks for no password or has a terminal to ask at.
    Sudo,
    /// Not at all; why.
    None(&'static str),
}

impl Privilege {
    /// Finds out, without asking for a password.
    pub(crate) fn find() -> Self {
        if nix::unistd::geteuid().is_root() {
            return Self::Root;
        }
        if find("sudo").is_none() {
            return Self::None("not root, and sudo is not installed");
        }
        let silent = Command::new("sudo").args(["-n", "true"]).stderr(Stdio::null()).status();
        if silent.is_ok_and(|status| status.success()) || std::io::IsTerminal::is_terminal(&std::io::stdin())
        {
            Self::Sudo
        } else {
            Self::None("not root, and sudo wants a password but there is no terminal to ask at")
        }
    }

    /// `program` as a command that runs as root.
    pub(crate) fn command(&self, program: &Path) -> Command {
        match self {
            Self::Sudo => {
                let mut command = Command::new("sudo");
                command.arg("--preserve-env").arg(program);
                command
            }
            Self::Root | Self::None(_) => Command::new(program),
        }
    }
}

/// Everything that the lab and the build need. An error if something cannot be installed.
pub(crate) fn for_the_lab(privilege: &Privilege) -> Result<()> {
    installed(privilege, BUILD_TOOLS.iter().chain(&LAB_TOOLS))
}

/// Everything that the tests need. An error if something cannot be installed.
pub(crate) fn for_the_tests(privilege: &Privilege) -> Result<()> {
    installed(privilege, BUILD_TOOLS.iter().chain(&LAB_TOOLS).chain(&TEST_TOOLS))
}

fn installed<'a>(privilege: &Privilege, tools: impl IntoIterator<Item = &'a Tool>) -> Result<()> {
    let missing = missing(tools);
    if missing.is_empty() { Ok(()) } else { install(&missing, privilege) }
}

/// What the build needs: from apt as root, else from PyPI into the target folder.
pub(crate) fn build_tools() -> Result<()> {
    let missing = missing(&BUILD_TOOLS);
    if missing.is_empty() {
        return Ok(());
    }
    if Privilege::find() == Privilege::Root && find("apt-get").is_some() {
        return install(&missing, &Privilege::Root);
    }
    from_pypi(&missing)
}

/// The tools of the lab that are not installed.
pub(crate) fn missing_for_the_lab() -> Vec<&'static Tool> {
    missing(&LAB_TOOLS)
}

/// The virtual environment of [`build_tools`].
pub(crate) fn python_tools() -> PathBuf {
    run::target_dir().join("tools")
}

/// `ip (iproute2: makes …)`, one a line.
pub(crate) fn list(tools: &[&Tool]) -> String {
    tools.iter().fold(String::new(), |mut text, tool| {
        let _ = write!(text, "\n  {}: {} (Debian package {})", tool.program, tool.purpose, tool.package);
        text
    })
}

fn missing<'a>(tools: impl IntoIterator<Item = &'a Tool>) -> Vec<&'a Tool> {
    tools.into_iter().filter(|tool| find(tool.program).is_none()).collect()
}

fn install(missing: &[&Tool], privilege: &Privilege) -> Result<()> {
    let mut packages: Vec<_> = missing.iter().map(|tool| tool.package).collect();
    packages.dedup();
    let by_hand = format!("sudo apt-get update && sudo apt-get install {}", packages.join(" "));
    say(&format!("This machine lacks:{}", list(missing)));
    if let Privilege::None(why) = privilege {
        bail!("they cannot be installed from here: {why}.\nInstall them with: {by_hand}");
    }
    if find("apt-get").is_none() {
        bail!("they cannot be installed from here: there is no apt-get.\nInstall these programs by hand.");
    }
    say(&format!("Installing {} with apt-get; no service is started by it.", packages.join(", ")));
    let shell = find("sh").context("there is no sh")?;
    let mut command = privilege.command(&shell);
    command.args(["-c", INSTALL, "install"]).args(&packages);
    let done = command.status().is_ok_and(|status| status.success());
    let still: Vec<_> = missing.iter().copied().filter(|tool| find(tool.program).is_none()).collect();
    if !done || !still.is_empty() {
        bail!("apt-get did not install{}\nIs the network there? Try by hand: {by_hand}", list(&still));
    }
    Ok(())
}

/// cmake and ninja are on PyPI as ready-made programs: no root needed.
fn from_pypi(missing: &[&Tool]) -> Result<()> {
    let tools = python_tools();
    let wanted: Vec<_> =
        missing.iter().map(|tool| if tool.program == "make" { "ninja" } else { tool.program }).collect();
    if wanted.iter().all(|program| tools.join("bin").join(program).is_file()) {
        return Ok(());
    }
    say(&format!("This machine lacks:{}", list(missing)));
    say(&format!("Installing {} from PyPI into {}.", wanted.join(" and "), tools.display()));
    let by_hand = missing.iter().map(|tool| tool.package).collect::<Vec<_>>().join(" ");
    let python = find("python3").with_context(|| {
        format!("there is no python3 to do it with. Install either: sudo apt-get install python3-venv, or: {by_hand}")
    })?;
    checked(Command::new(python).args(["-m", "venv"]).arg(&tools)).with_context(|| {
        format!(
            "python3 cannot make a virtual environment: on Debian that is the package python3-venv.\n\
             Install either: sudo apt-get install python3-venv, or: sudo apt-get install {by_hand}"
        )
    })?;
    checked(Command::new(tools.join("bin/pip")).args(["install", "--quiet"]).args(&wanted))
        .with_context(|| format!("is the network there? Or: sudo apt-get install {by_hand}"))
}
