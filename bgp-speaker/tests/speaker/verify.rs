//! Whether what was withdrawn is gone: by a looking glass, and by connections that still come.

use super::rig::{Rig, network};
use super::router::{self, Heard, Router};
use super::{VIP, announced, withdrawn};
use bgp_core::wire::attribute::PathAttributes;
use bgp_core::wire::prefix::Family;
use bgp_core::wire::update;
use ipnet::IpNet;
use serde_json::Value;
use std::net::{IpAddr, TcpListener, TcpStream};

#[test]
fn a_looking_glass_shows_how_long_a_withdraw_took_to_be_true_and_what_is_stuck() {
    let rig = Rig::prepared(Router::listen(), None, "[verify]\nstuck_after = \"1s\"", "", |text| {
        text.replace("asn = 65000", "asn = 65000\nlooking_glass = true")
    });
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.expect(announced(100));
    let shows = |next_hop: [u8; 4]| {
        let route = PathAttributes {
            as_path: vec![65000, 4_200_000_010],
            next_hop: next_hop.into(),
            ..router::route()
        };
        update::announce(&route, &[IpNet::from(VIP), "198.51.100.0/24".parse().expect("a net")], true)
            .remove(0)
    };
    // The next hop of this node is its address in the session.
    session.write(&shows([127, 0, 0, 1]));
    rig.gateway.say("not_ready");
    session.skip_to(&withdrawn());
    let event = |name: &'static str, key: &'static str, value: Value| {
        move |event: &Value| event["event"] == name && event["vip"] == VIP.to_string() && event[key] == value
    };
    rig.follow("stuck", event("stuck", "stuck", true.into()));
    let neighbors = rig.ask_json(&["neighbors"]);
    let shown = &neighbors[0]["shows"];
    assert_eq!(
        (&shown[0]["own"], &shown[0]["stuck"], shown.as_array().map(Vec::len)),
        (&true.into(), &true.into(), Some(1))
    );
    assert!(rig.ask(&["neighbors"]).contains("STUCK"));
    assert!(rig.metrics().contains("headgate_bgp_stuck_routes{neighbor=\"r1\"} 1"));
    // Another node's path takes its place.
    session.write(&shows([127, 0, 0, 9]));
    rig.follow("gone", event("gone", "by", "127.0.0.9".into()));
    rig.follow("no longer stuck", event("stuck", "stuck", false.into()));
    assert!(rig.metrics().contains("headgate_bgp_withdraw_true_seconds_count 1"));
    session.write(&update::withdraw(Family::Ipv4, &[VIP.into()])[0]);
    rig.gateway.say("ready");
    session.skip_to(&announced(100));
    assert_eq!(rig.ask_json(&["neighbors"])[0]["state"], "Established");
}

#[test]
fn a_looking_glass_shows_everything_again_to_a_process_that_took_over() {
    let rig = Rig::prepared(Router::listen(), None, "", "", |text| {
        text.replace("asn = 65000", "asn = 65000\nlooking_glass = true")
    });
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.expect(announced(100));
    let shows = |next_hop: [u8; 4]| {
        let route = PathAttributes { next_hop: next_hop.into(), ..router::route() };
        update::announce(&route, &[IpNet::from(VIP)], true).remove(0)
    };
    session.write(&shows([127, 0, 0, 1]));
    for _ in 0..2 {
        rig.renew(&["upgrade"]);
        // Both families.
        session.skip_to(&Heard::Other("refresh"));
        session.expect(Heard::Other("refresh"));
        session.write(&shows([127, 0, 0, 1]));
    }
    rig.gateway.say("not_ready");
    session.skip_to(&withdrawn());
    session.write(&shows([127, 0, 0, 9]));
    rig.follow("gone", |event| event["event"] == "gone" && event["by"] == "127.0.0.9");
}

#[test]
fn connections_to_a_withdrawn_vip_are_told_once() {
    let [a, b, c] = network();
    let vip = IpAddr::from([a, b, c, 9]);
    let service = TcpListener::bind((vip, 8080)).expect("a port");
    let connect = || TcpStream::connect((vip, 8080)).expect("a connection");
    let more = format!("[[vip]]\naddress = \"{vip}\"");
    let rig = Rig::with_more("[verify]\nstuck_after = \"1s\"\ntraffic = true", &more);
    rig.gateway.say("ready");
    let mut session = rig.router.session();
    session.skip_to(&Heard::Announced { vip, med: 100, graceful_shutdown: false });
    rig.gateway.say("not_ready");
    session.skip_to(&Heard::Withdrawn { vip });
    // From the VIP to itself, as the speaker's own requests go: that is nobody's traffic.
    let mut kept = vec![connect()];
    let from_elsewhere = || {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&std::net::SocketAddr::from(([a, b, c, 8], 0)).into()).expect("an address");
        socket.connect(&std::net::SocketAddr::new(vip, 8080).into()).expect("a connection");
        TcpStream::from(socket)
    };
    let clock = base::Clock::start();
    let (mut most, mut looks) = (0, 0);
    let metric = format!("headgate_bgp_withdrawn_connections{{vip=\"{vip}\"}} ");
    loop {
        let page = rig.metrics();
        let made = page
            .lines()
            .find_map(|line| line.strip_prefix(&metric))
            .and_then(|made| made.parse::<u32>().ok());
        match made {
            // Seen at several looks, each time with more of them.
            Some(made) if made > most => {
                (most, looks) = (made, looks + 1);
                if looks == 3 {
                    break;
                }
                kept.push(from_elsewhere());
            }
            // The first look has been: what is made now is new.
            Some(0) if kept.len() == 1 => kept.push(from_elsewhere()),
            Some(_) => {}
            None => {}
        }
        assert!(clock.now() < base_core::Time::ZERO + super::rig::DEADLINE, "{page}");
        super::rig::pause(std::time::Duration::from_millis(200));
    }
    let told = rig.ask(&["events", "--json"]);
    let told = told.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let told: Vec<_> = told.filter(|event| event["event"] == "traffic").collect();
    assert!(matches!(&told[..], [event] if event["vip"] == vip.to_string()), "{told:?}");
    drop((service, kept));
}
