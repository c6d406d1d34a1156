use super::{CONTINUATION, DATA, Frame, Frames, HEADERS, PING, SETTINGS};
use proptest::prelude::*;
use std::convert::Infallible;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn seen(frames: &mut Frames, bytes: &[u8]) -> Vec<Frame> {
    let mut seen = Vec::new();
    let Ok(()) = frames.advance(bytes, |frame| {
        seen.push(frame);
        Ok::<(), Infallible>(())
    });
    seen
}

#[test]
fn frames_are_seen_behind_the_preface_and_without_padding() {
    let bytes = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, &[0; 12]),
        frame(HEADERS, 4, 1, &[0x82; 30]),
        frame(DATA, 8, 1, &[7, b'x', b'y', 0, 0, 0, 0, 0, 0, 0]),
        frame(DATA, 8, 1, &[200]),
        frame(DATA, 8, 1, &[]),
        frame(DATA, 1, 1, &[]),
        frame(PING, 0, 0x8000_0000, &[0; 8]),
    ];
    let seen = seen(&mut Frames::of_client(), &bytes.concat());
    let told: Vec<_> = seen.iter().map(|frame| (frame.kind, frame.stream, frame.length)).collect();
    let data = |length| (DATA, 1, length);
    assert_eq!(told, [(SETTINGS, 0, 12), (HEADERS, 1, 30), data(2), data(0), data(0), data(0), (PING, 0, 8)]);
    assert!(seen[5].ends_stream() && !seen[4].ends_stream());
}

#[test]
fn who_has_had_enough_sees_no_more() {
    let bytes = frame(CONTINUATION, 0, 1, b"abc").repeat(5);
    let mut count = 0;
    let told = Frames::of_server().advance(&bytes, |_| {
        count += 1;
        if count == 3 { Err(count) } else { Ok(()) }
    });
    assert_eq!((told, count), (Err(3), 3));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_does_not_matter_in_which_pieces_frames_come(
        written in proptest::collection::vec(
            (0u8..12, any::<u8>(), any::<u32>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..12),
        cuts in proptest::collection::vec(0usize..600, 0..8),
    ) {
        let bytes: Vec<u8> =
            written.iter().flat_map(|(kind, flags, stream, payload)| frame(*kind, *flags, *stream, payload)).collect();
        let whole = seen(&mut Frames::of_server(), &bytes);
        prop_assert_eq!(whole.iter().map(|frame| frame.kind).collect::<Vec<_>>(),
            written.iter().map(|written| written.0).collect::<Vec<_>>());
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mut frames = Frames::of_server();
        let pieces: Vec<Frame> =
            cuts.windows(2).flat_map(|cut| seen(&mut frames, &bytes[cut[0]..cut[1]])).collect();
        prop_assert_eq!(pieces, whole);
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let frames = seen(&mut Frames::of_client(), &bytes);
        prop_assert!(frames.len() <= bytes.len() / 9);
    }
}
