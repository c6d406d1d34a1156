//! The built `headgate-bgp`, whole, between a stand-in for the gateway's health stream and a stand-in for a
//! router, on loopback and without privileges. Every wait has a deadline.

mod bird;
mod conformance;
mod gate;
mod gateway;
mod operator;
mod renewal;
mod rig;
mod router;
mod strangers;
mod text_api;
mod verify;

use bgp_core::wire::notification::Code;
use bgp_core::wire::prefix::Family;
use bgp_core::wire::{Notification, RouteRefresh, update};
use nix::sys::signal::Signal;
use rig::Rig;
use router::Heard;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
const WORST: u32 = 4_294_967_294;

fn announced(med: u32) -> Heard {
    Heard::Announced { vip: VIP, med, graceful_shutdown: med == WORST }
}

fn withdrawn() -> Heard {
    Heard::Withdrawn { vip: VIP }
}

#[test]
fn a_vip_is_announced_while_the_gateway_is_ready_and_withdrawn_at_once_when_it_dies() {
    let rig = Rig::start();
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.expect(announced(100));
    session.expect(Heard::EndOfRib);
    for _ in 0..5 {
        let died = rig.now();
        rig.gateway.die();
        session.expect(withdrawn());
        let took = rig.now() - died;
        assert!(took < Duration::from_millis(100), "{took:?} from death to withdraw");
        rig.gateway.say("ready");
        session.expect(announced(100));
    }
}

#[test]
fn a_gateway_that_hangs_is_withdrawn_within_400_ms() {
    let rig = Rig::start();
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.expect(announced(100));
    let hung = rig.now();
    rig.gateway.hang();
    session.expect(withdrawn());
    let took = rig.now() - hung;
    assert!(took <= Duration::from_millis(400), "{took:?} from hang to withdraw");
    rig.gateway.say("ready");
    session.expect(announced(100));
}

#[test]
fn a_gateway_that_was_never_ready_is_never_announced() {
    let rig = Rig::start();
    rig.gateway.say("not_ready");
    let mut session = rig.router.session();
    session.expect(Heard::EndOfRib);
    rig.gateway.say("ready");
    session.expect(announced(100));
    rig.gateway.say("not_ready");
    session.expect(withdrawn());
}

#[test]
fn a_drain_worsens_then_withdraws_and_is_taken_back() {
    let rig = Rig::start();
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.expect(announced(100));
    let began = rig.now();
    rig.gateway.say("draining");
    session.expect(announced(WORST));
    session.expect(withdrawn());
    let took = rig.now() - began;
    assert!(took >= Duration::from_millis(300), "worsened for {took:?}");
    rig.gateway.say("ready");
    session.expect(announced(100));
}

#[test]
fn a_speaker_that_was_itself_stopped_does_not_blame_the_gateway() {
    let rig = Rig::start();
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.expect(announced(100));
    for _ in 0..3 {
        rig.signal(Signal::SIGSTOP);
        rig.gateway.beats(10);
        rig.signal(Signal::SIGCONT);
        session.expect_none_of(&withdrawn(), Duration::from_millis(350));
    }
}

#[test]
fn the_end_withdraws_says_why_and_closes_in_good_order() {
    let mut rig = Rig::start();
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.expect(announced(100));
    let began = rig.now();
    rig.signal(Signal::SIGTERM);
    session.expect(announced(WORST));
    session.expect(withdrawn());
    assert!(rig.now() - began >= Duration::from_millis(300), "worsened for {:?}", rig.now() - began);
    let Heard::Notification(cease) = session.next() else { panic!("no NOTIFICATION") };
    assert_eq!((cease.code, cease.text()), (Code(6, 2), Some("gw1 ends: SIGTERM")));
    session.expect_end();
    assert!(rig.wait_exit().success());
    let took = rig.now() - began;
    assert!(took >= Duration::from_millis(550) && took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn a_second_signal_hurries_the_end_and_who_announces_nothing_ends_at_once() {
    for twice in [true, false] {
        let mut rig = Rig::slowly();
        rig.gateway.say(if twice { "ready" } else { "not_ready" });
        let mut session = rig.router.session();
        session.expect(if twice { announced(100) } else { Heard::EndOfRib });
        let began = rig.now();
        rig.signal(Signal::SIGTERM);
        if twice {
            session.expect(announced(WORST));
            rig.signal(Signal::SIGTERM);
            session.expect(withdrawn());
        }
        let goodbye = Notification::cease(Code(6, 2), "gw1 ends: SIGTERM");
        session.skip_to(&Heard::Notification(goodbye));
        assert!(rig.wait_exit().success());
        assert!(rig.now() - began < Duration::from_secs(5), "it waits for a minute otherwise");
    }
}

#[test]
fn garbage_is_refused_and_the_speaker_comes_back() {
    let rig = Rig::start();
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.expect(announced(100));
    session.write(b"GET / HTTP/1.1\r\nHost: gw1.example\r\n\r\n");
    session.skip_to(&Heard::Notification(bgp_core::wire::Notification::new(Code(1, 1))));
    drop(session);
    for garbage in [&[0xff; 64][..], &[0; 4096], b"SSH-2.0-OpenSSH_9.2p1\r\n                      "] {
        rig.router.accept().write(garbage);
    }
    rig.router.session().expect(announced(100));
}

#[test]
fn a_bad_attribute_does_not_end_the_session() {
    let rig = Rig::start();
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.expect(announced(100));
    let mut bad = update::announce(&router::route(), &["198.51.100.0/24".parse().unwrap()], true).remove(0);
    let origin = bad.windows(4).position(|bytes| bytes == [0x40, 1, 1, 0]).expect("ORIGIN");
    bad[origin + 3] = 9;
    session.write(&bad);
    session.write(&RouteRefresh::encode(Family::Ipv4));
    session.skip_to(&announced(100));
    assert!(rig.metrics().contains("headgate_bgp_updates_rejected_total{neighbor=\"r1\"} 1"));
}

#[test]
fn a_router_that_sends_more_prefixes_than_allowed_is_told_so() {
    let router = router::Router::listen();
    let address = router.address();
    let neighbor =
        format!("address = \"{}\"\nport = {}\nasn = 65000\nmax_prefixes = 5", address.ip(), address.port());
    let rig = Rig::with(router, &neighbor);
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.expect(announced(100));
    let nets =
        |from: u8| (from..from + 5).map(|last| IpAddr::from([198, 51, 100, last]).into()).collect::<Vec<_>>();
    session.write(&update::announce(&router::route(), &nets(0), true)[0]);
    session.write(&RouteRefresh::encode(Family::Ipv4));
    session.skip_to(&announced(100));
    session.write(&update::announce(&router::route(), &nets(5), true)[0]);
    session.skip_to(&Heard::Notification(bgp_core::wire::Notification::new(Code(6, 1))));
}

#[test]
fn a_refresh_gets_everything_again() {
    let rig = Rig::start();
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.expect(announced(100));
    session.write(&RouteRefresh::encode(Family::Ipv4));
    session.skip_to(&announced(100));
}

#[test]
fn a_million_routes_cost_no_memory() {
    let rig = Rig::start();
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.expect(announced(100));
    let before = rig.resident();
    let prefixes: Vec<_> =
        (0..1_000_000_u32).map(|number| std::net::IpAddr::V4((0x0b00_0000 + number).into()).into()).collect();
    for message in update::announce(&router::route(), &prefixes, true) {
        session.write(&message);
    }
    session.write(&RouteRefresh::encode(Family::Ipv4));
    session.skip_to(&announced(100));
    assert!(rig.metrics().contains("headgate_bgp_prefixes_dropped_total{neighbor=\"r1\"} 1000000"));
    let grown = rig.resident().saturating_sub(before);
    assert!(grown < 1 << 20, "grown by {grown} bytes");
}

#[test]
fn a_session_that_was_lost_comes_back_as_the_last_choice_and_is_the_first_after_a_second() {
    let rig = Rig::start();
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.expect(announced(100));
    for _ in 0..2 {
        drop(session);
        session = rig.router.session();
        let back = rig.now();
        session.expect(Heard::Announced { vip: VIP, med: WORST, graceful_shutdown: false });
        session.expect(announced(100));
        let took = rig.now() - back;
        assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(3), "{took:?}");
    }
}

#[test]
fn a_vip_that_serves_every_second_request_is_withdrawn_and_does_not_flap() {
    let [a, b, c] = rig::network();
    let vip = IpAddr::from([a, b, c, 9]);
    rig::flapping_server((vip, 8080).into());
    let probed = format!("[[vip]]\naddress = \"{vip}\"\nprobe = \"http://{vip}:8080/\"");
    let rig = Rig::with_more("", &probed);
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.skip_to(&Heard::Announced { vip, med: 100, graceful_shutdown: false });
    session.skip_to(&Heard::Withdrawn { vip });
    let again = Heard::Announced { vip, med: 100, graceful_shutdown: false };
    session.expect_none_of(&again, Duration::from_secs(1));
    let json: serde_json::Value = serde_json::from_str(&rig.ask(&["status", "--json"])).expect("JSON");
    assert_eq!(
        (&json["vips"][0]["state"], &json["vips"][1]["reason"]),
        (&"announced".into(), &"probe_failed".into())
    );
}

#[test]
fn the_status_says_how_neighbors_and_vips_are() {
    let rig = Rig::start();
    rig.gateway.say("ready");
    rig.router.session().expect(announced(100));
    let text = rig.ask(&["status"]);
    assert!(text.contains("r1") && text.contains("203.0.113.1"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&rig.ask(&["status", "--json"])).expect("JSON");
    assert_eq!(json["vips"][0]["state"], "announced");
    assert_eq!(json["vips"][0]["reason"], "ready");
    assert_eq!(json["neighbors"][0]["name"], "r1");
}

#[test]
fn a_bad_configuration_is_refused_with_its_place_by_check_and_by_run() {
    for verb in ["check", "run"] {
        let (status, error) =
            rig::refuse(verb, "[bgp]\nasn = 65010\nrouter_id = \"10.0.0.1\"\nholdtime = 9\n");
        assert_eq!(status.code(), Some(1));
        assert!(error.contains("bgp.toml:4:1") && error.contains("unknown field `holdtime`"), "{error}");
    }
}

#[test]
fn an_address_that_is_taken_is_refused_with_its_place() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let metrics = taken.local_addr().expect("its address");
    let text = format!(
        "[bgp]\nasn = 65010\nrouter_id = \"10.0.0.1\"\nsocket = \"SOCKET\"\nmetrics = \"{metrics}\"\n"
    );
    let (status, error) = rig::refuse("run", &text);
    assert_eq!(status.code(), Some(1));
    assert!(error.contains("bgp.toml:5:11") && error.contains("cannot be listened on"), "{error}");
}

#[test]
fn a_speaker_whose_neighbors_do_not_connect_listens_nowhere_but_where_it_is_told() {
    let rig = Rig::start();
    rig.gateway.say("ready");
    rig.router.session().expect(announced(100));
    // The metrics' address is the only one of the configuration.
    assert_eq!(rig.listens(), 1);
}
