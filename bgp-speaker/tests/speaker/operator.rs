//! What operators see and order.

use super::rig::{self, Rig};
use super::router::Heard;
use super::{VIP, WORST, announced, withdrawn};
use std::time::Duration;

#[test]
fn a_drain_goes_its_way_is_shown_with_its_reason_and_time_and_is_taken_back() {
    let rig = Rig::start();
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.expect(announced(100));
    rig.ask(&["drain", "203.0.113.1", "--for", "1m", "--reason", "new kernel"]);
    session.expect(announced(WORST));
    session.expect(withdrawn());
    let vips = rig.ask_json(&["vips"]);
    assert_eq!((&vips[0]["state"], &vips[0]["reason"]), (&"withdrawn".into(), &"drained".into()));
    let order = &vips[0]["order"];
    assert_eq!((&order["order"], &order["reason"]), (&"drain".into(), &"new kernel".into()));
    assert!(order["seconds_left"].as_u64().is_some_and(|left| (30..=60).contains(&left)), "{order}");
    assert!(rig.ask(&["status"]).contains("new kernel"));
    rig.ask(&["undrain"]);
    session.expect(announced(100));
    assert!(rig.ask_json(&["vips"])[0]["order"].is_null());
}

#[test]
fn an_order_ends_by_itself_and_none_announces_a_dead_gateway() {
    let rig = Rig::start();
    rig.gateway.say("not_ready");
    let mut session = rig.router.session();
    session.expect(Heard::EndOfRib);
    rig.ask(&["force", "--for", "2s"]);
    session.expect(announced(100));
    session.expect(withdrawn());
    rig.ask(&["force"]);
    session.expect(announced(100));
    rig.gateway.die();
    session.expect(withdrawn());
}

#[test]
fn an_order_that_cannot_be_is_refused() {
    let rig = Rig::start();
    rig.gateway.say("ready");
    rig.router.session().expect(announced(100));
    assert!(rig.ask_in_vain(&["drain", "203.0.113.9"]).contains("no VIP of this node"));
    assert!(rig.ask_in_vain(&["pin", "--for", "1y"]).contains("no time"));
}

#[test]
fn the_files_of_all_nodes_are_checked_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |node: &str, number: u8, plan: &str| {
        let text = format!(
            "node = \"{node}\"\n[bgp]\nasn = 65010\nrouter_id = \"10.0.0.{number}\"\n\
             [[vip]]\naddress = \"203.0.113.1\"\n[plan]\n\"203.0.113.1\" = {plan}\n"
        );
        let path = folder.path().join(format!("{node}.toml"));
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let check = |files: &[&str]| rig::run(&[&["check", "--plan"], files].concat());
    let (one, two) = (file("gw1", 1, "[\"gw2\", \"gw1\"]"), file("gw2", 2, "[\"gw2\", \"gw1\"]"));
    let (status, out, _) = check(&[&one, &two]);
    assert!(status.success() && out.contains("gw2 (100), gw1 (200)"), "{out}");
    let two = file("gw2", 2, "[\"gw1\", \"gw2\"]");
    let (status, _, error) = check(&[&one, &two]);
    assert_eq!(status.code(), Some(1));
    assert!(error.contains("gw2.toml has another plan") && error.contains("a tie"), "{error}");
}

#[test]
fn the_disable_file_drains_while_it_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("disabled");
    let rig = Rig::with_more(&format!("disable = \"{}\"", file.display()), "");
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.expect(announced(100));
    let began = rig.now();
    std::fs::write(&file, "").expect("a file");
    session.expect(announced(WORST));
    let took = rig.now() - began;
    assert!(took < Duration::from_millis(300), "{took:?}: 100 ms, and room for a busy machine");
    session.expect(withdrawn());
    assert_eq!(rig.ask_json(&["vips"])[0]["reason"], "disabled");
    std::fs::remove_file(&file).expect("the file");
    session.expect(announced(100));
}

#[test]
fn events_tell_each_transition_with_its_timings_and_the_rib_what_is_held() {
    let rig = Rig::start();
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.expect(announced(100));
    rig.follow("the session", |event| event["event"] == "session" && event["to"] == "Established");
    let told = |state: &'static str, reason: &'static str| {
        move |event: &serde_json::Value| {
            let is = |name: &str, value: &str| event[name] == value;
            is("event", "told") && is("state", state) && is("reason", reason) && event["micros"].is_u64()
        }
    };
    rig.follow("announced", told("announced", "ready"));
    let rib = rig.ask_json(&["rib"]);
    let route = &rib[0];
    assert_eq!((&route["neighbor"], &route["vip"]), (&"r1".into(), &VIP.to_string().into()));
    assert_eq!((&route["med"], &route["communities"][0]), (&100.into(), &"65010:7".into()));
    rig.gateway.die();
    session.expect(withdrawn());
    rig.follow("withdrawn", told("withdrawn", "closed"));
    assert_eq!(rig.ask_json(&["rib"]), serde_json::json!([]));
    assert_eq!(rig.ask_json(&["neighbors"])[0]["state"], "Established");
}
