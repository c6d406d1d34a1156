//! Another program or another configuration in the place of the one that runs.

use super::rig::{DEADLINE, Rig, pause};
use super::router::{self, Heard};
use super::{VIP, WORST, announced, withdrawn};
use base_core::Time;
use bgp_core::wire::notification::ADMINISTRATIVE_SHUTDOWN;
use bgp_core::wire::prefix::Family;
use bgp_core::wire::{Notification, RouteRefresh, update};
use nix::sys::signal::Signal;
use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

#[test]
fn an_upgrade_keeps_sessions_orders_and_events_and_the_neighbor_notices_nothing() {
    let mut rig = Rig::start();
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.expect(announced(100));
    rig.ask(&["pin", "--for", "5m", "--reason", "night shift"]);
    for _ in 0..5 {
        rig.renew(&["upgrade"]);
        let order = &rig.ask_json(&["vips"])[0]["order"];
        assert_eq!((&order["order"], &order["reason"]), (&"pin".into(), &"night shift".into()));
    }
    assert!(rig.wait_exit().success(), "the first process has ended");
    rig.ask(&["undrain"]);
    let neighbor = &rig.ask_json(&["neighbors"])[0];
    assert_eq!((&neighbor["state"], &neighbor["routes"]), (&"Established".into(), &1.into()));
    rig.follow("what came before", |event| event["event"] == "session" && event["to"] == "Established");
    // Whatever was said in between, this is the first that the neighbor hears after its one announcement.
    rig.gateway.say("not_ready");
    session.expect(withdrawn());
    rig.gateway.say("ready");
    session.expect(announced(100));
    session.write(&RouteRefresh::encode(Family::Ipv4));
    session.expect(announced(100));
    rig.signal(Signal::SIGTERM);
    session.expect(announced(WORST));
    session.expect(withdrawn());
}

#[test]
fn half_a_message_is_read_to_its_end_by_the_next_process() {
    let rig = Rig::start();
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.expect(announced(100));
    let nets: Vec<_> = (0..100).map(|last| IpAddr::from([198, 51, 100, last]).into()).collect();
    let message = update::announce(&router::route(), &nets, true).remove(0);
    let (one, two) = message.split_at(50);
    session.write(one);
    session.expect_none_of(&withdrawn(), Duration::from_millis(50));
    rig.renew(&["upgrade"]);
    session.write(two);
    session.write(&RouteRefresh::encode(Family::Ipv4));
    session.skip_to(&announced(100));
    assert!(rig.metrics().contains("headgate_bgp_prefixes_dropped_total{neighbor=\"r1\"} 100"));
}

#[test]
fn a_new_process_that_cannot_start_leaves_the_old_one_running() {
    let rig = Rig::start();
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.expect(announced(100));
    rig.rewrite(|text| text.replace("asn = 4200000010", "asn = 0"));
    for verb in ["reload", "upgrade"] {
        assert!(rig.ask_in_vain(&[verb]).contains("AS 0 belongs to nobody"));
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("its address").to_string();
    rig.rewrite(|text| text.replace("asn = 0", "asn = 4200000010").replace("metrics =", "metrics_ ="));
    rig.rewrite(|text| text.replace("metrics_ =", &format!("metrics = \"{taken}\" #")));
    assert!(rig.ask_in_vain(&["upgrade"]).contains("cannot be listened on"));
    rig.gateway.say("not_ready");
    session.expect(withdrawn());
}

#[test]
fn a_reload_sends_only_what_changed_and_says_before_what_that_will_be() {
    let rig = Rig::start();
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.expect(announced(100));
    assert!(rig.ask(&["reload"]).contains("nothing changes"));
    rig.rewrite(|text| text + "\n[[vip]]\naddress = \"203.0.113.2\"\nmed = 7\n");
    assert!(rig.ask(&["reload", "--plan"]).contains("r1: + 203.0.113.2 med 7"));
    rig.renew(&["reload"]);
    let second = IpAddr::from([203, 0, 113, 2]);
    session.expect(Heard::Announced { vip: second, med: 7, graceful_shutdown: false });
    rig.rewrite(|text| text.replace("med = 100", "med = 50").replace("med = 7", "med = 7 # the same"));
    rig.renew(&["reload"]);
    session.expect(Heard::Announced { vip: VIP, med: 50, graceful_shutdown: false });
    rig.rewrite(|text| text.split("\n[[vip]]\naddress = \"203.0.113.2\"").next().expect("a half").to_owned());
    rig.signal(Signal::SIGHUP);
    session.expect(Heard::Withdrawn { vip: second });
    rig.renew(&["upgrade"]);
}

#[test]
fn what_a_session_was_made_with_changes_only_when_it_may_begin_anew() {
    let rig = Rig::start();
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.expect(announced(100));
    rig.rewrite(|text| text.replace("router_id = \"10.0.0.2\"", "router_id = \"10.0.0.3\""));
    assert!(rig.ask_in_vain(&["reload"]).contains("would begin anew: r1"));
    session.expect_none_of(&withdrawn(), Duration::from_millis(100));
    rig.renew(&["reload", "--reset"]);
    session.expect(withdrawn());
    let Heard::Notification(cease) = session.next() else { panic!("no NOTIFICATION") };
    assert_eq!((cease.code.0, cease.code.1), (6, 6));
    let mut session = rig.router.session();
    session.expect(announced(100));
}

#[test]
fn a_signal_upgrades_and_systemd_is_told_which_process_it_is_now() {
    let mut rig = Rig::start();
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.expect(announced(100));
    assert_eq!(rig.notification(), "READY=1");
    rig.signal(Signal::SIGUSR2);
    let told = rig.notification();
    let pid = told.strip_prefix("MAINPID=").and_then(|pid| pid.parse().ok()).expect(&told);
    rig.is_now(pid);
    assert!(rig.wait_exit().success(), "the first process has ended");
    rig.gateway.say("not_ready");
    session.expect(withdrawn());
    rig.signal(Signal::SIGTERM);
    assert_eq!(rig.notification(), "STOPPING=1");
    let goodbye = Notification::cease(ADMINISTRATIVE_SHUTDOWN, "gw1 ends: SIGTERM");
    session.skip_to(&Heard::Notification(goodbye));
}

#[test]
fn a_session_that_does_not_stand_yet_is_begun_anew_by_the_next_process() {
    let rig = Rig::start();
    rig.gateway.say("ready");
    // A connection on which the router has not said a word: the speaker is in OpenSent.
    let mut silent = rig.router.accept();
    assert_eq!(silent.next(), Heard::Other("open"));
    rig.renew(&["upgrade"]);
    silent.expect_end();
    let mut session = rig.router.session();
    session.expect(announced(100));
    rig.renew(&["upgrade"]);
    // One that is still being made, as the router's first answer was a goodbye.
    drop(session);
    rig.renew(&["upgrade"]);
    rig.router.session().skip_to(&announced(100));
}

#[test]
fn routes_of_the_text_api_and_of_its_processes_stay_in_an_upgrade() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("exabgp.sock");
    let said = folder.path().join("said");
    let script = format!(
        "echo announce route 198.51.100.1/32 next-hop self med 5; read a; echo $a >> {}; exec sleep 60",
        said.display()
    );
    let bottom = format!(
        "[[process]]\nname = \"watch\"\nrun = [\"/bin/sh\", \"-c\", {script:?}]\n[text_api]\nsocket = {:?}\n",
        socket.display()
    );
    let rig = Rig::with_more("", &bottom);
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    let of_process = IpAddr::from([198, 51, 100, 1]);
    let of_socket = IpAddr::from([198, 51, 100, 2]);
    session.skip_to(&Heard::Announced { vip: of_process, med: 5, graceful_shutdown: false });
    let mut line = std::os::unix::net::UnixStream::connect(&socket).expect("the socket");
    writeln!(line, "announce route 198.51.100.2/32 next-hop self med 6").expect("the speaker reads");
    session.skip_to(&Heard::Announced { vip: of_socket, med: 6, graceful_shutdown: false });
    for round in 2..4 {
        rig.renew(&["upgrade"]);
        // The process was started anew, and has said the same again: nothing is sent.
        let clock = base::Clock::start();
        while std::fs::read_to_string(&said).unwrap_or_default().lines().count() < round {
            assert!(clock.now() < Time::ZERO + DEADLINE, "the process is not started again");
            pause(Duration::from_millis(10));
        }
        for vip in [of_process, of_socket] {
            session.expect_none_of(&Heard::Withdrawn { vip }, Duration::from_millis(50));
        }
    }
    assert!(rig.ask(&["rib"]).contains("198.51.100.1 ") && rig.ask(&["rib"]).contains("198.51.100.2 "));
}
