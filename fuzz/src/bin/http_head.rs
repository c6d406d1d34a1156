//! A request head means the same however it is cut into reads, and is never longer than what came.
#![no_main]

use fuzz::Input;
use gateway_core::strict::{Head, MAX_HEAD};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let step = usize::from(input.byte()).max(1);
    let bytes = input.0;
    let whole = Head::default().advance(bytes);
    let mut head = Head::default();
    let mut pieces = Ok(None);
    for end in (0..bytes.len()).step_by(step).skip(1).chain([bytes.len()]) {
        pieces = head.advance(&bytes[..end]);
        if pieces != Ok(None) {
            break;
        }
    }
    assert_eq!(whole, pieces);
    if let Ok(Some(length)) = whole {
        assert!(length <= bytes.len() && length <= MAX_HEAD);
        assert!(bytes[..length].ends_with(b"\r\n\r\n") || bytes[..length].ends_with(b"\r\n"));
    }
});
