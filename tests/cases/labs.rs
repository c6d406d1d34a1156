//! Labs do not disturb each other, and leave nothing behind, however they end.

use crate::alone;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tests::topology::{Topology, VIPS};
use tests::{Lab, LabOptions};

#[test]
fn two_labs_run_side_by_side() {
    alone(|| {
        let first = Lab::start(&LabOptions::default())?;
        let second = Lab::start(&LabOptions::default())?;
        ensure!(first.folder() != second.folder());
        first.gateway(1).kill_gateway()?;
        second.wait_steady(Duration::from_secs(1))?;
        let gone = first.folder().to_owned();
        drop(first);
        ensure!(!gone.exists(), "{} is still there", gone.display());
        for vip in VIPS {
            ensure!(second.get(vip, "compute.example", "/whoami")?.status == 200);
        }
        Ok(())
    });
}

#[test]
fn what_a_killed_lab_left_is_taken_away_by_the_next() {
    alone(|| {
        let (mut demo, folder) = running_demo()?;
        demo.kill()?;
        demo.wait()?;
        ensure!(folder.exists() && namespaces(&folder)?, "the killed demo left nothing to take away");
        let lab = Lab::start_apart(&LabOptions::default())?;
        // The new lab may have the same number: then what is there is its own.
        ensure!(lab.folder() == folder || !(folder.exists() || namespaces(&folder)?));
        drop(lab);
        ensure!(!folder.exists() && !namespaces(&folder)?);
        Ok(())
    });
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    alone(|| {
        let (mut demo, folder) = running_demo()?;
        kill(Pid::from_raw(i32::try_from(demo.id())?), Signal::SIGINT)?;
        let status = tests::wait_until("the demo's end", Duration::from_secs(10), || Ok(demo.try_wait()?))?;
        ensure!(status.code() == Some(130), "{status}");
        ensure!(!folder.exists() && !namespaces(&folder)?);
        Ok(())
    });
}

/// Starts the demo, and waits until its lab is up.
fn running_demo() -> Result<(Child, PathBuf)> {
    let mut demo = Command::new(tests::program("lab-demo")?).stdout(Stdio::piped()).spawn()?;
    let output = demo.stdout.take().context("no output")?;
    for line in BufReader::new(output).lines() {
        if let Some((_, rest)) = line?.split_once("up, in ") {
            let folder = rest.split(':').next().unwrap_or_default();
            return Ok((demo, PathBuf::from(folder)));
        }
    }
    let status = demo.wait()?;
    anyhow::bail!("the demo has ended without a lab: {status}")
}

/// Whether any namespace of the lab in this folder exists.
fn namespaces(folder: &Path) -> Result<bool> {
    let id = folder.file_name().and_then(|name| name.to_str()).context("no number")?.parse()?;
    Ok(Topology::new(id).all().iter().any(tests::netns::Namespace::exists))
}
