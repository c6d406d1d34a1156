use super::*;
use crate::identity::keys::Material;
use proptest::prelude::*;

/// Good is what is signed with the key's own secret, as it stands.
struct Plain;

impl Verify for Plain {
    fn verify(&self, key: &Key, _: &[u8], signature: &[u8]) -> bool {
        matches!(&key.material, Material::Secret(secret) if secret == signature)
    }
}

const SECRET: [u8; 33] = [b'k'; 33];
const NOW: u64 = 1_000_000;

fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn keys() -> KeySet {
    KeySet::read(&format!(r#"{{"keys":[{{"kty":"oct","kid":"1","k":"{}"}}]}}"#, encode(&SECRET)))
        .expect("a key")
}

fn policy() -> Policy {
    Policy {
        claim: "project.id".to_owned(),
        class: Some("plan".to_owned()),
        leeway: 30,
        issuer: Some("me".to_owned()),
        audience: Some("api".to_owned()),
    }
}

fn token(header: &str, claims: &str, signature: &[u8]) -> String {
    [header.as_bytes(), claims.as_bytes(), signature].map(encode).join(".")
}

fn told(header: &str, claims: &str) -> Result<Proven, &'static str> {
    check(token(header, claims, &SECRET).as_bytes(), &keys(), &policy(), NOW, &Plain)
}

const HEADER: &str = r#"{"alg":"HS256","kid":"1","typ":"JWT"}"#;

fn claims(more: &str) -> String {
    format!(r#"{{"iss":"me","aud":["x","api"],"project":{{"id":"acme"}},"plan":"gold"{more}}}"#)
}

#[test]
fn a_good_token_says_whom_it_is_of_and_until_when() {
    let who = Who::new("acme", Some("gold")).expect("a name");
    assert_eq!(told(HEADER, &claims(r#","exp":1000060"#)), Ok(Proven { who, until: NOW + 90 }));
}

#[test]
fn whatever_is_wrong_proves_nothing() {
    let good = claims(r#","exp":1000060"#);
    for (header, claims, error) in [
        (r#"{"alg":"none","kid":"1"}"#, good.clone(), "no key"),
        (r#"{"alg":"RS256","kid":"1"}"#, good.clone(), "no key"),
        (r#"{"alg":"HS256","kid":"2"}"#, good.clone(), "no key"),
        (r#"{"alg":"HS256"}"#, good.clone(), "no key"),
        (r#"{"alg":"HS256","kid":"1","crit":["b64"]}"#, good.clone(), "an extension that is not known"),
        (r#"{"alg":"HS256","alg":"none","kid":"1"}"#, good.clone(), "not JSON"),
        (HEADER, claims(""), "without an end"),
        (HEADER, claims(r#","exp":999970"#), "expired"),
        (HEADER, claims(r#","exp":"tomorrow""#), "no time"),
        (HEADER, claims(r#","exp":-1"#), "no time"),
        (HEADER, claims(r#","exp":1000060,"nbf":1000031"#), "not good yet"),
        (HEADER, good.replace("\"me\"", "\"you\""), "another issuer"),
        (HEADER, good.replace("\"api\"", "\"apis\""), "for another"),
        (HEADER, good.replace("\"acme\"", "null"), "names nobody"),
        (HEADER, "[]".to_owned(), "not JSON"),
    ] {
        assert_eq!(told(header, &claims).expect_err(&claims), error, "{header} {claims}");
    }
    assert!(told(HEADER, &claims(r#","exp":999971,"nbf":1000030"#)).is_ok(), "clocks may differ a little");
    let forged = token(HEADER, &good, b"forged");
    assert_eq!(check(forged.as_bytes(), &keys(), &policy(), NOW, &Plain), Err("another signature"));
    for shape in ["", ".", "..", "a.b", "a.b.c.d"] {
        assert!(check(shape.as_bytes(), &keys(), &policy(), NOW, &Plain).is_err(), "{shape}");
    }
}

#[test]
fn a_signature_has_one_text() {
    let good = token(HEADER, &claims(r#","exp":1000060"#), b"");
    for bad in ["Z", "Zh", "Zm9", "Zg==", "Zm9v+A", "Zm 9"] {
        let told = check(format!("{good}{bad}").as_bytes(), &keys(), &policy(), NOW, &Plain);
        assert_eq!(told, Err("not base64url"), "{bad}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_are_a_token_by_accident(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(check(&bytes, &keys(), &policy(), NOW, &Plain).is_err());
    }

    #[test]
    fn a_changed_token_is_none(place in 0usize..200, byte in any::<u8>()) {
        // The signature here covers nothing, so only it and what names the key are changed.
        let good = token(HEADER, &claims(r#","exp":1000060"#), &SECRET);
        let mut bad = good.clone().into_bytes();
        let from = good.rfind('.').expect("three parts") + 1;
        let place = from + place % (bad.len() - from);
        prop_assume!(bad[place] != byte);
        bad[place] = byte;
        prop_assert!(check(&bad, &keys(), &policy(), NOW, &Plain).is_err());
    }
}
