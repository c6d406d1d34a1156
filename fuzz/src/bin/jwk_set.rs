//! A file of keys is refused, or has keys of which each has one algorithm that is known, and no secret is shown.
#![no_main]

use gateway_core::identity::keys::KeySet;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(keys) = KeySet::read(text) else { return };
    assert!((1..=64).contains(&keys.len()));
    assert!(keys.find("none", None).is_none() && keys.find("", None).is_none());
    for algorithm in ["HS256", "RS256", "ES256", "EdDSA"] {
        if let Some(key) = keys.find(algorithm, None) {
            assert_eq!(key.material.algorithm(), algorithm);
            assert_eq!(format!("{:?}", key.material), algorithm);
        }
    }
});
