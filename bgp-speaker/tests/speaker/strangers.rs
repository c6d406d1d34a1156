//! Who connects and may not, and who may.

use super::rig::{DEADLINE, Rig, network, pause};
use super::router::{Heard, Router, Session};
use super::{announced, withdrawn};
use base::Clock;
use base_core::Time;
use bgp_core::wire::notification::Code;
use socket2::{Domain, Socket, Type};
use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

/// A connection from this address, as soon as somebody listens.
fn connect(from: IpAddr, to: SocketAddr) -> TcpStream {
    let clock = Clock::start();
    loop {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::new(from, 0).into()).expect("an address of loopback");
        match socket.connect(&to.into()) {
            Ok(()) => return socket.into(),
            Err(error) => assert!(clock.now() < Time::ZERO + DEADLINE, "{to}: {error}"),
        }
        pause(Duration::from_millis(10));
    }
}

/// What comes before the connection ends: a reset counts as nothing.
fn hear(mut stream: TcpStream) -> usize {
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    let mut bytes = [0; 64];
    match stream.read(&mut bytes) {
        Ok(count) => count,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_stranger_hears_not_a_byte_and_hinders_nobody_who_may_connect() {
    let [a, b, c] = network();
    let address = |last| IpAddr::from([a, b, c, last]);
    let at = SocketAddr::new(address(1), 1790);
    let neighbor = format!("address = \"{}\"\nasn = 65000\nmode = \"passive\"", address(9));
    let rig = Rig::prepared(Router::listen(), Some(&neighbor), "", "", |text| {
        text.replace("[bgp]\n", &format!("[bgp]\nlisten = [\"{at}\"]\n"))
    });
    rig.gateway.say("ready");
    for _ in 0..200 {
        assert_eq!(hear(connect(address(8), at)), 0);
    }
    // Those that say nothing and stay do not keep the neighbor out.
    let _idle: Vec<_> = (0..50).map(|_| connect(address(7), at)).collect();
    let mut session = Session::over(connect(address(9), at)).begin();
    session.expect(announced(100));
    // Another connection of the neighbor's address: the session that stands stays.
    let mut second = Session::over(connect(address(9), at));
    let Heard::Notification(refused) = second.next() else { panic!("it is not refused") };
    assert_eq!(refused.code, Code(6, 7));
    second.expect_end();
    for _ in 0..50 {
        assert_eq!(hear(connect(address(8), at)), 0);
    }
    rig.gateway.say("not_ready");
    session.expect(withdrawn());
}
