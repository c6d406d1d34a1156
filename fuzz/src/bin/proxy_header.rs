//! A PROXY header is refused, wanted to go on, or read; it is never longer than what came, and what comes behind it
//! changes nothing.
#![no_main]

use gateway_core::proxy_protocol::decode;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let whole = decode(bytes);
    let Ok(Some(header)) = whole else { return };
    assert!(header.length <= bytes.len());
    assert_eq!(decode(&bytes[..header.length]), whole, "what is behind it counts");
    for end in 0..header.length.min(64) {
        assert!(decode(&bytes[..end]) == Ok(None), "{end} bytes of a good header are no error");
    }
});
