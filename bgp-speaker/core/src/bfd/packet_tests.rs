use super::*;
use proptest::prelude::*;

const GOOD: [u8; 24] =
    [0x20, 0xc0, 3, 24, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0, 0xc3, 0x50, 0, 4, 0x93, 0xe0, 0, 0, 0, 0];

/// [`GOOD`] with other bytes from `at` on.
fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut packet = GOOD.to_vec();
    packet[at..at + bytes.len()].copy_from_slice(bytes);
    packet
}

#[test]
fn a_packet_reads_as_rfc_5880_draws_it() {
    let packet = Packet::decode(&GOOD).unwrap();
    assert_eq!((packet.state, packet.multiplier, packet.mine.get(), packet.yours), (State::Up, 3, 7, 9));
    assert_eq!(packet.desired_min_tx, Duration::from_millis(50));
    assert_eq!(packet.required_min_rx, Duration::from_millis(300));
    assert_eq!(packet.encode(), GOOD);
}

#[test]
fn what_must_be_discarded_is_discarded_with_its_reason() {
    let cases: [(Vec<u8>, Discard); 13] = [
        (Vec::new(), Discard::Length),
        (with(0, &[0x00]), Discard::Version),
        (with(0, &[0x40]), Discard::Version),
        (with(3, &[23]), Discard::Length),
        (with(3, &[25]), Discard::Length),
        (with(1, &[0xc4, 3, 25]), Discard::Length),
        (with(2, &[0]), Discard::Multiplier),
        (with(1, &[0xc1]), Discard::Multipoint),
        (with(4, &[0; 4]), Discard::MyDiscriminator),
        (with(8, &[0; 4]), Discard::YourDiscriminator),
        ([with(1, &[0xc4, 3, 26]), vec![1, 2]].concat(), Discard::Authentication),
        (GOOD[..23].to_vec(), Discard::Length),
        (with(1, &[0x80, 3, 24, 0, 0, 0, 7, 0, 0, 0, 0]), Discard::YourDiscriminator),
    ];
    for (bytes, reason) in cases {
        assert_eq!(Packet::decode(&bytes), Err(reason), "{bytes:?}");
    }
}

#[test]
fn down_and_admin_down_may_name_no_session_and_bytes_may_follow() {
    for (flags, state) in [(0x00, State::AdminDown), (0x40, State::Down)] {
        let bytes = [with(1, &[flags, 3, 24, 0, 0, 0, 7, 0, 0, 0, 0]), vec![1, 2, 3]].concat();
        assert_eq!(Packet::decode(&bytes).map(|packet| packet.state), Ok(state));
    }
}

#[test]
fn every_reason_has_a_place_and_a_word_of_its_own() {
    for (place, reason) in Discard::ALL.into_iter().enumerate() {
        assert_eq!(reason.index(), place);
    }
    let words: std::collections::BTreeSet<_> = Discard::ALL.map(Discard::name).into();
    assert_eq!(words.len(), Discard::ALL.len());
}

/// Any packet that can be accepted.
pub(crate) fn packets() -> impl Strategy<Value = Packet> {
    let micros = || any::<u32>().prop_map(|micros| Duration::from_micros(micros.into()));
    let flags = any::<[bool; 4]>();
    let numbers = (0..32_u8, 0..4_u8, 1..=u8::MAX, 1..=u32::MAX, any::<u32>());
    (flags, numbers, micros(), micros(), micros()).prop_map(|(flags, numbers, tx, rx, echo)| {
        let ([poll, finish, independent, demand], (diagnostic, state, multiplier, mine, yours)) =
            (flags, numbers);
        let state = State::from_code(state);
        let yours = if matches!(state, State::Init | State::Up) { yours.max(1) } else { yours };
        Packet {
            diagnostic: Diagnostic(diagnostic),
            state,
            poll,
            finish,
            independent,
            demand,
            multiplier,
            mine: NonZeroU32::new(mine).unwrap(),
            yours,
            desired_min_tx: tx,
            required_min_rx: rx,
            required_min_echo_rx: echo,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_is_decoded(packet in packets()) {
        prop_assert_eq!(Packet::decode(&packet.encode()), Ok(packet));
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Packet::decode(&bytes);
    }

    #[test]
    fn nearly_right_bytes_decode_to_what_they_encode(
        place in 0..24_usize, byte in any::<u8>(), tail in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let bytes = [with(place, &[byte]), tail].concat();
        if let Ok(packet) = Packet::decode(&bytes) {
            let encoded = packet.encode();
            prop_assert_eq!(Packet::decode(&encoded), Ok(packet));
            prop_assert_eq!(&encoded[4..], &bytes[4..24]);
        }
    }
}
