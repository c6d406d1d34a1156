//! Gates of the node, and probes of VIPs that are no URL.

use super::rig::{DEADLINE, Rig, network, pause};
use super::router::{Heard, Session};
use super::{VIP, announced, withdrawn};
use std::net::{IpAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

fn up(session: &mut Session, vip: IpAddr) {
    session.skip_to(&Heard::Announced { vip, med: 100, graceful_shutdown: false });
}

/// A command for a check.
fn script(folder: &Path, line: &str) -> PathBuf {
    let script = folder.join("check");
    std::fs::write(&script, format!("#!/bin/sh\n{line}\n")).expect("a script");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    script
}

#[test]
fn a_file_opens_and_shuts_the_node() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("serve");
    let rig = Rig::with_more("", &format!("[[gate]]\ntype = \"file\"\npath = {:?}", file.display()));
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.expect(Heard::EndOfRib);
    rig.follow("the gate is shut", |event| event["reason"] == "gate_shut");
    for _ in 0..2 {
        std::fs::write(&file, "").expect("a file");
        up(&mut session, VIP);
        std::fs::remove_file(&file).expect("a file");
        session.expect(withdrawn());
    }
    assert_eq!(rig.ask_json(&["vips"])[0]["reason"], "gate_shut");
}

#[test]
fn a_vip_is_probed_by_a_connection_or_a_command_and_withdrawn_alone() {
    let [a, b, c] = network();
    let [by_tcp, by_command] = [9, 10].map(|last| IpAddr::from([a, b, c, last]));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("well");
    std::fs::write(&file, "").expect("a file");
    let script = script(folder.path(), &format!("test -e {}", file.display()));
    let service = TcpListener::bind((by_tcp, 8080)).expect("a port");
    let rig = Rig::with_more(
        "",
        &format!(
            "[[vip]]\naddress = \"{by_tcp}\"\nprobe = {{ type = \"tcp\", port = 8080 }}\n\
             [[vip]]\naddress = \"{by_command}\"\nprobe = {{ type = \"command\", command = {:?} }}\n",
            script.display()
        ),
    );
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    rig.follow("by TCP", |event| event["vip"] == by_tcp.to_string() && event["state"] == "announced");
    rig.follow("by command", |event| event["vip"] == by_command.to_string() && event["state"] == "announced");
    drop(service);
    session.skip_to(&Heard::Withdrawn { vip: by_tcp });
    std::fs::remove_file(&file).expect("the file");
    session.skip_to(&Heard::Withdrawn { vip: by_command });
    let states: Vec<_> = (0..3).map(|place| rig.ask_json(&["vips"])[place]["reason"].clone()).collect();
    assert_eq!(states, ["ready", "probe_failed", "probe_failed"]);
    std::fs::write(&file, "").expect("a file");
    up(&mut session, by_command);
}

#[test]
fn a_router_hears_that_this_is_all_only_when_every_probe_has_been_answered() {
    let [a, b, c] = network();
    let probed = IpAddr::from([a, b, c, 9]);
    let folder = tempfile::tempdir().expect("a folder");
    let script = script(folder.path(), "sleep 0.1");
    let probe = format!("probe = {{ type = \"command\", command = {:?} }}", script.display());
    let rig = Rig::with_more("", &format!("[[vip]]\naddress = \"{probed}\"\n{probe}"));
    let mut session = rig.router.session();
    rig.gateway.say("ready");
    let all = std::iter::repeat_with(|| session.next()).take_while(|heard| *heard != Heard::EndOfRib);
    let all: Vec<_> = all.collect();
    let has = |vip| all.contains(&Heard::Announced { vip, med: 100, graceful_shutdown: false });
    assert!(has(VIP) && has(probed), "{all:?}");
}

#[test]
fn other_nodes_hear_that_a_vip_is_announced_only_while_a_router_has_it() {
    let rig = Rig::start();
    rig.gateway.exchange();
    rig.gateway.say("ready");
    let says = |body: &String, has: &str| body.contains(&format!("\"has\":\"{has}\""));
    // All that is said until so many words more have come.
    let said = |more: usize| {
        let (until, mut said) = (rig.now() + DEADLINE, Vec::new());
        while said.len() < more {
            assert!(rig.now() < until, "{said:?}");
            pause(Duration::from_millis(10));
            said.extend(rig.gateway.told());
        }
        said
    };
    let hears = |has: &str| while !said(1).iter().any(|body| says(body, has)) {};
    hears("withdrawn");
    rig.follow("the decision", |event| event["event"] == "vip" && event["state"] == "announced");
    let alone = said(4);
    assert!(alone.iter().all(|body| says(body, "withdrawn")), "no router has it: {alone:?}");
    let mut session = rig.router.session();
    session.expect(announced(100));
    hears("announced");
    drop(session);
    hears("withdrawn");
    let _session = rig.router.session();
    hears("announced");
    rig.renew(&["upgrade"]);
    let mut meanwhile = rig.gateway.told();
    meanwhile.extend(said(4));
    assert!(
        meanwhile.iter().all(|body| says(body, "announced")),
        "a router has it all the time: {meanwhile:?}"
    );
}
