//! The demo: the main job on real parts, faults and all, with what was measured for each.

mod events;
mod screen;
mod single;
mod summary;

use anyhow::{Context, Result};
use clap::Parser;
use screen::Screen;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tests::load::Mix;
use tests::topology::{PORT, VIPS};
use tests::{Lab, LabOptions};

#[derive(Parser)]
#[command(name = "lab-demo", about = "Three gateway nodes, three VIPs, a real router, and what faults do")]
struct Args {
    /// Leave everything running at the end, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// One gateway on loopback in front of three API servers: no root, no namespaces
    #[arg(long)]
    single: bool,
    /// With --single: check it for that long (for example 5s), then end
    #[arg(long = "for", value_name = "TIME", value_parser = seconds)]
    time: Option<Duration>,
}

fn main() -> ExitCode {
    // Whoever started it may be killed: then everything goes away, as at Ctrl-C.
    let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM);
    let args = Args::parse();
    let held = if args.single { single::run(args.time) } else { run(args.keep) };
    match held {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(keep: bool) -> Result<bool> {
    let screen = Arc::new(Screen::new());
    screen.line("Building the lab: a client, a router with BIRD, three gateway nodes, three API hosts …");
    let lab = Arc::new(Lab::start(&LabOptions::default())?);
    screen.line(&format!("It is up, in {}: every node announces every VIP.", lab.folder().display()));
    let mix = Mix { at_most: Duration::from_secs(3600), ..Mix::full() };
    screen.line(&format!(
        "Load: {} new connections a second, {} keep-alive connections, {} long requests and {} streams at any time.",
        mix.new_per_second, mix.keep_alive, mix.long, mix.streams
    ));
    let load = Arc::new(lab.load(mix)?);
    let table = screen::follow(&screen, &lab, &load);
    let outcome = events::Demo { lab: &lab, load: &load, screen: &screen }.run();
    let promises = match outcome {
        Ok(promises) => promises,
        Err(error) => {
            drop(table);
            screen.line(&lab.last_words());
            return Err(error);
        }
    };
    if keep {
        summary::print(&screen, &promises);
        how_to_enter(&screen, &lab);
        wait_for_interrupt();
    }
    drop(table);
    if !keep {
        summary::print(&screen, &promises);
    }
    Ok(promises.iter().all(|promise| promise.held))
}

fn how_to_enter(screen: &Screen, lab: &Lab) {
    let (client, router) = (lab.topology().client(), lab.topology().router());
    let node = lab.gateway(1);
    let socket = node.folder().join("gateway.sock");
    screen.line("");
    screen.line("It goes on until Ctrl-C. Meanwhile, as root, from another terminal:");
    let ctl = tests::program("headgatectl").unwrap_or_default();
    let speaker = tests::program("headgate-bgp").unwrap_or_default();
    for command in [
        format!(
            "ip netns exec {} curl -s http://{}:{PORT}/whoami -H 'Host: compute.example'",
            client.name(),
            VIPS[0]
        ),
        format!("ip netns exec {} ip -ts monitor route", router.name()),
        format!("birdc -s {} show route all", lab.bird().socket().display()),
        format!("{} --socket {} status", ctl.display(), socket.display()),
        format!("{} --socket {} drain", ctl.display(), socket.display()),
        format!("{} --socket {} undrain", ctl.display(), socket.display()),
        format!("{} --socket {} status", speaker.display(), node.folder().join("bgp.sock").display()),
        format!("tail -f {}", node.folder().join("access.log").display()),
    ] {
        screen.line(&format!("  {command}"));
    }
}

/// The thread that handles signals ends the program.
fn wait_for_interrupt() -> ! {
    loop {
        std::thread::park();
    }
}

fn seconds(text: &str) -> Result<Duration> {
    let number = text.strip_suffix('s').unwrap_or(text);
    Ok(Duration::from_secs(number.parse().context("a number of seconds, for example 5s")?))
}
