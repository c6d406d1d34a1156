//! Frames of HTTP/2 are the same however they are cut into reads, and of no kind more get through than the bounds say.
#![no_main]

use base_core::Time;
use fuzz::Input;
use gateway_core::h2::frames::{Frame, Frames, SETTINGS};
use gateway_core::h2::glitches::{Glitches, Policy};

fn seen(pieces: impl Iterator<Item = impl AsRef<[u8]>>) -> Vec<Frame> {
    let (mut frames, mut seen) = (Frames::of_client(), Vec::new());
    for piece in pieces {
        let Ok(()) = frames.advance(piece.as_ref(), |frame| {
            seen.push(frame);
            Ok::<(), std::convert::Infallible>(())
        });
    }
    seen
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let step = usize::from(input.byte()).max(1);
    let policy = Policy { threshold: u32::from(input.byte()), rate: u32::from(input.byte()) };
    let whole = seen([input.0].iter());
    assert_eq!(whole, seen(input.0.chunks(step)));
    assert!(whole.len() <= input.0.len() / 9);
    let mut glitches = Glitches::new(policy);
    let now = Time::ZERO;
    let taken = whole.iter().filter(|frame| glitches.received(**frame, now).is_ok());
    let settings = taken.filter(|frame| frame.kind == SETTINGS).count();
    assert!(settings <= usize::from(u8::MAX) / 10);
});
