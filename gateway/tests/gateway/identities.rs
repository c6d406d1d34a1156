//! Limits that differ by who asks, as far as that is proven, and by where a request goes.

use crate::harness::{Gateway, Server, wait_until, write};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use ring::{hmac, signature};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// How so many requests with this field in their heads end.
fn asks<const N: usize>(gateway: &Gateway, path: &str, field: &str) -> [u16; N] {
    let get = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{field}\r\nConnection: close\r\n\r\n");
    [(); N].map(|()| status(&gateway.raw(get.as_bytes())))
}

fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// A field with a token for `project` that is good for `seconds`, signed by `sign`.
fn bearer(head: &str, project: &str, seconds: i64, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64;
    let claims = format!(r#"{{"project":{{"id":"{project}"}},"plan":"gold","exp":{}}}"#, now + seconds);
    let message = format!("{}.{}", encode(head.as_bytes()), encode(claims.as_bytes()));
    format!("Authorization: Bearer {message}.{}", encode(&sign(message.as_bytes())))
}

const SECRET: [u8; 32] = [7; 32];

fn hs256(message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &SECRET), message).as_ref().to_vec()
}

/// Puts a file with these keys in the place of another at once.
fn publish(folder: &Path, keys: &[String]) {
    let file = write(folder, "new.json", &format!("{{\"keys\":[{}]}}", keys.join(",")));
    std::fs::rename(file, folder.join("jwks.json")).expect("the same folder");
}

fn secret(id: &str) -> String {
    format!(r#"{{"kty":"oct","kid":"{id}","k":"{}"}}"#, encode(&SECRET))
}

/// Before a server, with 6 requests an hour for each address and one for who has proven nothing; `more` is the identity
/// and what is limited by it.
fn gateway(server: &Server, identity: &str, limit: &str) -> Gateway {
    Gateway::start(&format!(
        "node = \"gw\"\nworkers = 2\n[admin]\nbind = \"ADMIN\"\nsocket = \"FOLDER/gw.sock\"\n[log]\nto = \"none\"\n\
         [[stick_table]]\nname = \"clients\"\n[[stick_table]]\nname = \"strangers\"\n\
         [[stick_table]]\nname = \"projects\"\ntype = \"string(64)\"\n{identity}\n\
         [[frontend]]\nname = \"fe\"\nbind = [\"FRONT\"]\ndefault_backend = \"be\"\n\
         [[frontend.limit]]\ntable = \"clients\"\nhttp_req_rate = 1000\nperiod = \"1h\"\n\
         [[frontend.limit]]\ntable = \"strangers\"\nunless = \"project\"\nhttp_req_rate = 1\nperiod = \"1h\"\n\
         [[frontend.limit]]\ntable = \"projects\"\nby = \"project\"\nhttp_req_rate = 2\nperiod = \"1h\"\n{limit}\n\
         [[backend]]\nname = \"be\"\nserver = [{{ name = \"s1\", address = \"{}\" }}]\n",
        server.address
    ))
}

fn with_keys(folder: &Path) -> String {
    let keys = folder.join("jwks.json");
    format!(
        "[[identity]]\nname = \"project\"\njwt = {{ keys = \"{}\", claim = \"project.id\", class = \"plan\" }}\n",
        keys.display()
    )
}

const GOLD: &str = "plan = { gold = { http_req_rate = 3 }, silver = { http_req_rate = 9 } }";
const HEAD: &str = r#"{"alg":"HS256","kid":"1"}"#;

#[test]
fn a_token_counts_for_its_project_and_a_bad_one_proves_nothing() {
    let server = Server::named("s1");
    let folder = tempfile::tempdir().expect("a folder");
    publish(folder.path(), &[secret("1")]);
    let gateway = gateway(&server, &with_keys(folder.path()), GOLD);
    assert_eq!(asks(&gateway, "/", &bearer(HEAD, "acme", 60, hs256)), [200, 200, 200, 429]);
    assert_eq!(asks(&gateway, "/", &bearer(HEAD, "acme", 90, hs256)), [429], "another token of the project");
    assert_eq!(asks(&gateway, "/", &bearer(HEAD, "other", 60, hs256)), [200, 200, 200, 429]);
    assert_eq!(gateway.metric("headgate_identity_proofs{identity=\"project\"}"), 3.0);
    // One request of all that have proven nothing goes through, whatever they show.
    assert_eq!(asks(&gateway, "/", "X: y"), [200, 429]);
    let with_secret_of_another =
        |message: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[8; 32]), message).as_ref().to_vec();
    let bad = [
        bearer(HEAD, "new", 60, with_secret_of_another),
        bearer(r#"{"alg":"none","kid":"1"}"#, "new", 60, |_| Vec::new()),
        bearer(r#"{"alg":"none"}"#, "new", 60, |_| Vec::new()),
        bearer(r#"{"alg":"RS256","kid":"1"}"#, "new", 60, hs256),
        bearer(r#"{"alg":"HS256","kid":"2"}"#, "new", 60, hs256),
        bearer(HEAD, "new", -60, hs256),
        format!("{}x", bearer(HEAD, "new", 60, hs256)),
        format!("{}\r\nAuthorization: Bearer x", bearer(HEAD, "new", 60, hs256)),
        bearer(HEAD, "new", 60, hs256).replace("Bearer", "Basic"),
    ];
    for bad in &bad {
        assert_eq!(asks(&gateway, "/", bad), [429], "{bad}");
    }
    assert_eq!(gateway.metric("headgate_identity_proofs{identity=\"project\"}"), 3.0);
}

#[test]
fn tokens_of_each_algorithm_are_checked_by_the_key_and_go_with_it() {
    let server = Server::named("s1");
    let folder = tempfile::tempdir().expect("a folder");
    let random = SystemRandom::new();
    let ed25519 = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
    let ed25519 = Ed25519KeyPair::from_pkcs8(ed25519.as_ref()).expect("a key");
    let p256 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
    let p256 =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, p256.as_ref(), &random).expect("a key");
    let Some(rsa) = rsa(folder.path()) else { return };
    let parts: ring::rsa::PublicKeyComponents<Vec<u8>> = rsa.public().into();
    let point = p256.public_key().as_ref();
    let keys = [
        format!(
            r#"{{"kty":"OKP","crv":"Ed25519","kid":"e","x":"{}"}}"#,
            encode(ed25519.public_key().as_ref())
        ),
        format!(
            r#"{{"kty":"EC","crv":"P-256","kid":"p","x":"{}","y":"{}"}}"#,
            encode(&point[1..33]),
            encode(&point[33..])
        ),
        format!(
            r#"{{"kty":"RSA","kid":"r","alg":"RS256","n":"{}","e":"{}"}}"#,
            encode(&parts.n),
            encode(&parts.e)
        ),
    ];
    publish(folder.path(), &keys);
    let gateway = gateway(&server, &with_keys(folder.path()), "");
    assert_eq!(asks(&gateway, "/", "X: y"), [200, 429]);
    let eddsa = bearer(r#"{"alg":"EdDSA","kid":"e"}"#, "e", 60, |m| ed25519.sign(m).as_ref().to_vec());
    let es256 = bearer(r#"{"alg":"ES256","kid":"p"}"#, "p", 60, |message| {
        p256.sign(&random, message).expect("signed").as_ref().to_vec()
    });
    let rs256 = bearer(r#"{"alg":"RS256","kid":"r"}"#, "r", 60, |message| {
        let mut signed = vec![0; rsa.public().modulus_len()];
        rsa.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut signed).expect("signed");
        signed
    });
    // The public key is no secret: who takes it for one has signed nothing.
    let confused = bearer(r#"{"alg":"HS256","kid":"r"}"#, "x", 60, |message| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &parts.n), message).as_ref().to_vec()
    });
    for good in [&eddsa, &es256, &rs256] {
        assert_eq!(asks(&gateway, "/", good), [200, 200, 429]);
    }
    assert_eq!(asks(&gateway, "/", &confused), [429]);
    // What a key has proven goes with it.
    assert_eq!(gateway.metric("headgate_identity_proofs{identity=\"project\"}"), 3.0);
    publish(folder.path(), &[secret("1")]);
    wait_until("the keys are read again", || {
        gateway.metric("headgate_identity_proofs{identity=\"project\"}") == 0.0
    });
    assert_eq!(asks(&gateway, "/", &bearer(HEAD, "h", 60, hs256)), [200, 200, 429]);
    write(folder.path(), "jwks.json", "{\"keys\":[]}");
    wait_until("it is said that they are broken", || {
        gateway.metric("headgate_identity_broken{identity=\"project\"}") == 1.0
    });
    assert_eq!(asks(&gateway, "/", &bearer(HEAD, "i", 60, hs256)), [200, 200, 429], "the keys before stay");
}

/// A key that openssl has made, since ring makes none of RSA.
fn rsa(folder: &Path) -> Option<ring::rsa::KeyPair> {
    let file = folder.join("rsa.der");
    let made = std::process::Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-outform", "DER", "-out"])
        .arg(&file)
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        eprintln!("skipped: there is no openssl");
        return None;
    }
    ring::rsa::KeyPair::from_pkcs8(&std::fs::read(file).ok()?).ok()
}

#[test]
fn a_key_in_a_map_counts_for_whom_it_is_of() {
    let server = Server::named("s1");
    let folder = tempfile::tempdir().expect("a folder");
    let keys = write(folder.path(), "keys.map", "k1 acme gold\nk2 acme\nk3 other\n");
    let map = |place: &str| {
        format!(
            "[[map]]\nname = \"keys\"\nfile = \"{}\"\n[[identity]]\nname = \"project\"\n{place}\nmap = \"keys\"\n",
            keys.display()
        )
    };
    let by_header = gateway(&server, &map("header = \"X-Api-Key\""), GOLD);
    assert_eq!(asks(&by_header, "/", "X-Api-Key: k1"), [200, 200, 200, 429]);
    assert_eq!(asks(&by_header, "/", "X-Api-Key: k2"), [429], "the same customer, of no class");
    assert_eq!(asks(&by_header, "/", "X-Api-Key: k3"), [200, 200, 429]);
    assert_eq!(asks(&by_header, "/", "X-Api-Key: k"), [200, 429]);
    assert_eq!(asks(&by_header, "/", "X-Api-Key: k3\r\nX-Api-Key: k1"), [429], "two keys are none");
    let by_cookie = gateway(&server, &map("cookie = \"key\""), "");
    assert_eq!(asks(&by_cookie, "/", "Cookie: a=b; key=k3"), [200, 200, 429]);
    let by_query = gateway(&server, &map("query = \"key\""), "");
    assert_eq!(asks(&by_query, "/?a=b&key=k3", "X: y"), [200, 200, 429]);
    assert_eq!(asks(&by_query, "/?key=k4", "X: y"), [200, 429]);
}

#[test]
fn what_a_server_says_of_a_credential_counts_for_a_while() {
    let server = Server::start(|head, _| {
        let said = match (head.contains("Token: good"), head.contains("Token")) {
            (true, _) => "200 OK\r\nX-Project: acme\r\nX-Plan: gold",
            (false, true) => "401 No\r\nX-Project: acme",
            (false, false) => "200 OK",
        };
        Some(format!("HTTP/1.1 {said}\r\nContent-Length: 0\r\n\r\n").into_bytes())
    });
    let identity = "[[identity]]\nname = \"project\"\nheader = \"X-Auth-Token\"\n\
                    answer = { backend = [\"be\"], header = \"X-Project\", class = \"X-Plan\", learn = \"1h\" }\n";
    let gateway = gateway(&server, identity, GOLD);
    let good = "X-Auth-Token: good";
    assert_eq!(asks(&gateway, "/", good), [200], "nobody knows it yet");
    assert_eq!(asks(&gateway, "/", "X-Auth-Token: bad"), [429], "so it was one that has proven nothing");
    assert_eq!(asks(&gateway, "/", good), [200, 200, 200, 429]);
    assert_eq!(asks(&gateway, "/", "X-Project: acme"), [429], "no client says it");
    assert_eq!(gateway.metric("headgate_identity_proofs{identity=\"project\"}"), 1.0);
}

#[test]
fn only_the_servers_that_are_believed_say_whose_a_credential_is() {
    let says = |project: &'static str| {
        Server::start(move |_, _| {
            let fields = format!("X-Project: {project}\r\nContent-Length: 0");
            Some(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n").into_bytes())
        })
    };
    let (own, customers) = (says("acme"), says("victim"));
    let identity = "[[identity]]\nname = \"project\"\nheader = \"X-Auth-Token\"\n\
                    answer = { backend = [\"be\"], header = \"X-Project\", learn = \"1h\" }\n";
    let gateway = gateway(
        &own,
        identity,
        &format!(
            "[[frontend.route]]\npath = \"/app/\"\nbackend = \"app\"\n\
             [[backend]]\nname = \"app\"\nserver = [{{ name = \"s1\", address = \"{}\" }}]\n",
            customers.address
        ),
    );
    let known = || gateway.metric("headgate_identity_proofs{identity=\"project\"}");
    assert_eq!(asks(&gateway, "/app/", "X-Auth-Token: t1"), [200]);
    assert_eq!(known(), 0.0);
    wait_until("who has proven nothing gets no more", || asks(&gateway, "/app/", "X: y") == [429]);
    wait_until("it goes through as nobody's once more", || {
        gateway.ctl(&["clear", "table", "strangers"]);
        asks(&gateway, "/", "X-Auth-Token: t1") == [200]
    });
    assert_eq!(known(), 1.0);
    assert_eq!(
        asks(&gateway, "/app/", "X-Auth-Token: t1"),
        [200, 200, 429],
        "it is acme's, whatever the other says"
    );
}

#[test]
fn names_that_are_too_long_for_the_table_are_kept_apart_and_no_name_is_a_class() {
    let server = Server::named("s1");
    let folder = tempfile::tempdir().expect("a folder");
    let long = "n".repeat(100);
    let keys = write(
        folder.path(),
        "keys.map",
        &format!("k1 {long}1\nk2 {long}2\nk3 gold\nk4 other gold\nk5 acme gold\n"),
    );
    let identity = format!(
        "[[map]]\nname = \"keys\"\nfile = \"{}\"\n[[identity]]\nname = \"project\"\nheader = \"X-Api-Key\"\nmap = \"keys\"\n",
        keys.display()
    );
    let plans = format!("{GOLD}\nname = {{ acme = {{ http_req_rate = 1 }} }}");
    let gateway = gateway(&server, &identity, &plans);
    assert_eq!(asks(&gateway, "/", "X-Api-Key: k1"), [200, 200, 429]);
    assert_eq!(asks(&gateway, "/", "X-Api-Key: k2"), [200, 200, 429]);
    assert_eq!(asks(&gateway, "/", "X-Api-Key: k3"), [200, 200, 429], "who calls itself gold is not");
    assert_eq!(asks(&gateway, "/", "X-Api-Key: k4"), [200, 200, 200, 429]);
    assert_eq!(asks(&gateway, "/", "X-Api-Key: k5"), [200, 429], "a name goes before a class");
}

#[test]
fn a_limit_is_for_one_backend_or_for_some_requests() {
    let server = Server::named("s1");
    let gateway = Gateway::before(
        &[server.address],
        &format!(
            "limit = [{{ table = \"clients\", http_req_rate = 1000, period = \"1h\" }}, \
             {{ table = \"images\", backend = [\"images\"], http_req_rate = 1, period = \"1h\" }}, \
             {{ table = \"posts\", if = {{ method = \"POST\" }}, http_req_rate = 1, period = \"1h\" }}]\n\
             route = [{{ path = \"/images/\", backend = \"images\" }}]\n\
             [[stick_table]]\nname = \"images\"\n[[stick_table]]\nname = \"posts\"\n\
             [[backend]]\nname = \"images\"\nserver = [{{ name = \"s1\", address = \"{}\" }}]\n",
            server.address
        ),
    );
    assert_eq!(asks(&gateway, "/images/1", "X: y"), [200, 429]);
    assert_eq!(asks(&gateway, "/", "X: y"), [200, 200, 200]);
    let post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!([(); 2].map(|()| status(&gateway.raw(post))), [200, 429]);
}
