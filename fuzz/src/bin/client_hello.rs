//! The first bytes of a connection mean the same however they come, and a hello asks for the same name in whatever
//! records it is; nothing but what can be a name gets out.
#![no_main]

use fuzz::Input;
use gateway_core::client_hello::{Seen, inspect};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let step = usize::from(input.byte()).max(1);
    let bytes = input.0;
    first_verdict_stays(bytes, step);
    let hello = records(bytes, step);
    let seen = inspect(&hello);
    assert_ne!(seen, Seen::More, "a whole message");
    assert_eq!(seen, inspect(&records(bytes, usize::MAX)), "records of {step} bytes count");
    first_verdict_stays(&hello, step);
});

/// What has been said of a beginning is said of the whole.
fn first_verdict_stays(bytes: &[u8], step: usize) {
    let whole = inspect(bytes);
    // Each beginning is read from its start: few of them, or nothing else is done.
    let step = step.max(bytes.len() / 64);
    let mut pieces = (0..bytes.len()).step_by(step).map(|end| inspect(&bytes[..end]));
    if let Some(first) = pieces.find(|seen| *seen != Seen::More) {
        assert_eq!(first, whole);
    }
    if let Seen::Hello(Some(name)) = whole {
        assert!((1..=253).contains(&name.len()));
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        assert!(name.bytes().all(fits), "{name:?}");
    }
}

/// A ClientHello with this body, in records of at most so many bytes.
fn records(body: &[u8], most: usize) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    let message = [&[1], &length[1..], body].concat();
    let record = |part: &[u8]| [&[22, 3, 1][..], &(part.len() as u16).to_be_bytes(), part].concat();
    message.chunks(most).flat_map(record).collect()
}
