//! Any bytes from a connection: cut into messages, decoded, and never more than was there.
#![no_main]

use bgp_core::wire::{self, HEADER, MAX_MESSAGE};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok(Some(length)) = wire::frame(rest) {
        assert!((HEADER..=MAX_MESSAGE).contains(&length) && length <= rest.len());
        let (message, behind) = rest.split_at(length);
        let _ = wire::decode(message);
        rest = behind;
    }
    let _ = wire::decode(bytes);
});
