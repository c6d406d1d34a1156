//! A token is nobody's, or good until it says so and no longer; without the signature it is nobody's.
//! The input is a header, a line feed, claims.
#![no_main]

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use gateway_core::identity::jwt::{Policy, Verify, check};
use gateway_core::identity::keys::{Key, KeySet, Material};

const NOW: u64 = 1_000_000;
const KEYS: &str = r#"{"keys":[{"kty":"oct","kid":"1","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}"#;
const SECRET: [u8; 33] = [0; 33];

/// Good is what is signed with the key's own secret, as it stands.
struct Plain;

impl Verify for Plain {
    fn verify(&self, key: &Key, _: &[u8], signature: &[u8]) -> bool {
        matches!(&key.material, Material::Secret(secret) if secret == signature)
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let keys = KeySet::read(KEYS).expect("a key");
    let policy = Policy {
        claim: "project.id".to_owned(),
        class: Some("plan".to_owned()),
        leeway: 30,
        issuer: None,
        audience: bytes.len().is_multiple_of(2).then(|| "api".to_owned()),
    };
    let told = |token: &[u8], now| check(token, &keys, &policy, now, &Plain);
    let _ = told(bytes, NOW);
    let (header, claims) =
        bytes.split_at(bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len()));
    let token = |signature: &[u8]| [header, claims, signature].map(encode).join(".");
    assert!(told(token(&SECRET[1..]).as_bytes(), NOW).is_err(), "another signature");
    let token = token(&SECRET);
    let Ok(proven) = told(token.as_bytes(), NOW) else { return };
    assert!(proven.until > NOW);
    assert!((1..=128).contains(&proven.who.name.len()));
    assert!(proven.who.class.as_ref().is_none_or(|class| (1..=128).contains(&class.len())));
    let until = proven.until;
    assert_eq!(told(token.as_bytes(), until - 1), Ok(proven));
    assert_eq!(told(token.as_bytes(), until), Err("expired"));
});

fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
