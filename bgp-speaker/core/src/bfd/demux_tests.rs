use super::*;
use crate::bfd::{Diagnostic, State};
use std::time::Duration;

fn identity(discriminator: u32, address: &str, hops: Hops) -> Identity {
    let discriminator = NonZeroU32::new(discriminator).unwrap();
    Identity { discriminator, address: address.parse().unwrap(), hops }
}

/// Whose is a packet that names session `yours`, in `state`?
fn whose(yours: u32, state: State, source: &str, ttl: Option<u8>, multihop: bool) -> Result<usize, Discard> {
    let packet = Packet {
        diagnostic: Diagnostic::NONE,
        state,
        poll: false,
        finish: false,
        independent: false,
        demand: false,
        multiplier: 3,
        mine: NonZeroU32::MIN,
        yours,
        desired_min_tx: Duration::from_secs(1),
        required_min_rx: Duration::from_secs(1),
        required_min_echo_rx: Duration::ZERO,
    };
    let sessions = [
        identity(7, "10.0.0.1", Hops::Single),
        identity(8, "2001:db8::1", Hops::Single),
        identity(9, "10.9.9.9", Hops::Multiple { min_ttl: 250 }),
    ];
    let arrival = Arrival { source: source.parse().unwrap(), ttl, multihop };
    accept(&packet.encode(), arrival, sessions.into_iter()).map(|(index, _)| index)
}

#[test]
fn the_number_counts_and_before_it_is_known_the_address() {
    assert_eq!(whose(7, State::Up, "10.0.0.77", Some(255), false), Ok(0));
    assert_eq!(whose(0, State::Down, "10.0.0.1", Some(255), false), Ok(0));
    assert_eq!(whose(0, State::Down, "::ffff:10.0.0.1", Some(255), false), Ok(0));
    assert_eq!(whose(0, State::AdminDown, "2001:db8::1", Some(255), false), Ok(1));
    assert_eq!(whose(0, State::Down, "10.0.0.2", Some(255), false), Err(Discard::NoSession));
    assert_eq!(whose(70, State::Up, "10.0.0.1", Some(255), false), Err(Discard::NoSession));
}

#[test]
fn a_packet_that_crossed_a_router_is_not_of_a_session_of_one_hop() {
    for ttl in [Some(254), Some(64), Some(0), None] {
        assert_eq!(whose(7, State::Up, "10.0.0.1", ttl, false), Err(Discard::Ttl));
    }
    assert_eq!(whose(7, State::Up, "10.0.0.1", Some(255), true), Err(Discard::NoSession), "the other port");
    assert_eq!(whose(0, State::Down, "10.0.0.1", Some(250), true), Err(Discard::NoSession), "the other port");
}

#[test]
fn several_hops_have_a_bound() {
    assert_eq!(whose(9, State::Up, "10.9.9.9", Some(250), true), Ok(2));
    assert_eq!(whose(0, State::Down, "10.9.9.9", Some(255), true), Ok(2));
    assert_eq!(whose(9, State::Up, "10.9.9.9", Some(249), true), Err(Discard::Ttl));
    assert_eq!(whose(9, State::Up, "10.9.9.9", None, true), Err(Discard::Ttl));
    assert_eq!(whose(9, State::Up, "10.9.9.9", Some(255), false), Err(Discard::NoSession));
}
