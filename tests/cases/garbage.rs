//! Garbage from a neighbor or from a server stops no process.

use crate::case;
use anyhow::{Result, ensure};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use tests::LabOptions;
use tests::netns::Namespace;
use tests::topology::{VIPS, api_address, service_port};

#[test]
fn garbage_on_the_bgp_port_stops_nothing() {
    case(&LabOptions::default(), |lab| {
        let node = lab.gateway(1);
        for from in [lab.topology().router(), lab.topology().client()] {
            for garbage in [&[0xff; 4096][..], b"GET / HTTP/1.1\r\n\r\n", &[0; 19], OPEN_OF_LENGTH_0] {
                throw(&from, SocketAddr::from((node.address(), 179)), garbage)?;
            }
        }
        ensure!(node.speaker().is_running(), "the speaker has ended:\n{}", node.speaker().log());
        lab.wait_steady(Duration::from_secs(10))
    });
}

#[test]
fn a_server_that_answers_garbage_stops_nothing() {
    case(&LabOptions::default(), |lab| {
        let address = SocketAddr::from((api_address(1), service_port("volume")));
        lab.api(1).kill("volume")?;
        let listener = lab.topology().api(1).within(|| TcpListener::bind(address))?;
        // It ends with the test's process.
        std::thread::spawn(move || answer_garbage(&listener));
        for vip in VIPS.into_iter().cycle().take(60) {
            let answer = lab.get(vip, "volume.example", "/whoami")?;
            ensure!(answer.status == 200 || answer.status == 502 || answer.status == 503, "{answer:?}");
        }
        for node in lab.nodes() {
            ensure!(node.gateway().is_running(), "{}:\n{}", node.name(), node.gateway().log());
        }
        lab.wait_steady(Duration::from_secs(2))
    });
}

/// Garbage of several kinds, one after the other, for as long as the test process lives.
fn answer_garbage(listener: &TcpListener) {
    let kinds: [&[u8]; 4] =
        [&[0xff; 2000], b"HTTP/9.9 banana\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", b""];
    for (stream, garbage) in listener.incoming().zip(kinds.iter().cycle()) {
        let Ok(mut stream) = stream else { return };
        let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(garbage);
    }
}

/// Connects, sends, and reads whatever comes back until it is over. A refusal is an answer, too.
fn throw(from: &Namespace, to: SocketAddr, garbage: &[u8]) -> Result<()> {
    from.within(|| {
        let Ok(mut stream) = TcpStream::connect_timeout(&to, Duration::from_secs(1)) else { return Ok(()) };
        stream.set_read_timeout(Some(Duration::from_millis(300)))?;
        let _ = stream.write_all(garbage);
        let _ = stream.read(&mut [0; 1024]);
        Ok(())
    })
}

/// A BGP header with a good marker, and a length that is too small.
const OPEN_OF_LENGTH_0: &[u8] =
    &[255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 1];
