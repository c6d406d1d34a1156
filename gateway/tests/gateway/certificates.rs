//! Which certificate is shown, seen by openssl's client, and how certificates are renewed.

use crate::harness::{Gateway, Server, read_answer, wait_until, write};
use std::io::{BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// A PEM file with a certificate for `names` and its key, put in place as a whole. Its serial number tells
/// it from others.
fn put(folder: &Path, file: &str, names: &[&str], serial: u8, expired: bool) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(names).expect("names");
    params.serial_number = Some(vec![serial].into());
    if expired {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    }
    let key = rcgen::KeyPair::generate().expect("a key");
    let cert = params.self_signed(&key).expect("a certificate");
    let whole = write(folder, "new", &(cert.pem() + &key.serialize_pem()));
    std::fs::rename(whole, folder.join(file)).expect("a file");
}

/// What openssl says about a handshake in which it asks for `name`.
fn s_client(gateway: &Gateway, name: &str, more: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &gateway.front.to_string(), "-servername", name])
        .args(more)
        .stdin(Stdio::null())
        .output()
        .expect("openssl runs");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// The serial number of the certificate that is shown for `name`.
fn shown(gateway: &Gateway, name: &str) -> String {
    let said = s_client(gateway, name, &[]);
    let begin = said.find("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("no certificate: {said}"));
    let end = said.find("-----END CERTIFICATE-----").expect("its end") + 25;
    let mut openssl = Command::new("openssl")
        .args(["x509", "-noout", "-serial"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    openssl.stdin.take().expect("a pipe").write_all(&said.as_bytes()[begin..end]).expect("sent");
    let output = openssl.wait_with_output().expect("openssl ends");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn gateway(server: &Server, folder: &Path, more: &str) -> Gateway {
    let tls = format!("tls = {{ crt = \"{}\"{more} }}", folder.display());
    Gateway::before(&[server.address], &tls)
}

const BROKEN: &str = "headgate_tls_certificates_broken{frontend=\"fe\"}";

#[test]
fn the_name_that_a_client_asks_for_chooses_its_certificate() {
    let (server, folder) = (Server::named("s1"), tempfile::tempdir().expect("a folder"));
    put(folder.path(), "a-default.pem", &["first.example"], 1, false);
    put(folder.path(), "b.pem", &["*.example"], 2, false);
    put(folder.path(), "c.pem", &["api.example", "other.test"], 3, false);
    let gateway = gateway(&server, folder.path(), "");
    for (name, serial) in [
        ("api.example", "serial=03"),
        ("OTHER.test", "serial=03"),
        ("www.example", "serial=02"),
        ("a.www.example", "serial=01"),
        ("nobody.test", "serial=01"),
    ] {
        assert_eq!(shown(&gateway, name), serial, "{name}");
    }
}

#[test]
fn a_renewed_certificate_is_shown_and_no_connection_notices() {
    let (server, folder) = (Server::named("s1"), tempfile::tempdir().expect("a folder"));
    put(folder.path(), "a.pem", &["api.example"], 1, false);
    let gateway = gateway(&server, folder.path(), "");
    let mut kept = connect(&gateway);
    assert!(get(&mut kept).ends_with("s1"));
    put(folder.path(), "a.pem", &["api.example"], 2, false);
    put(folder.path(), "b.pem", &["new.example"], 3, false);
    wait_until("the new one is shown", || shown(&gateway, "api.example") == "serial=02");
    wait_until("so is the added one", || shown(&gateway, "new.example") == "serial=03");
    assert!(get(&mut kept).ends_with("s1"), "a connection from before goes on");
    std::fs::remove_file(folder.path().join("b.pem")).expect("it was there");
    wait_until("the removed one is not", || shown(&gateway, "new.example") == "serial=02");
    assert_eq!(gateway.metric(BROKEN), 0.0);
}

#[test]
fn a_broken_or_expired_certificate_takes_the_place_of_none() {
    let (server, folder) = (Server::named("s1"), tempfile::tempdir().expect("a folder"));
    put(folder.path(), "a.pem", &["api.example"], 1, false);
    let gateway = gateway(&server, folder.path(), "");
    let breaks: [&dyn Fn(); 3] = [
        &|| drop(write(folder.path(), "a.pem", "-----BEGIN CERTIFICATE-----\nAAAA")),
        &|| put(folder.path(), "a.pem", &["api.example"], 2, true),
        &|| std::fs::rename(folder.path().join("a.pem"), folder.path().join("gone")).expect("moved"),
    ];
    for (number, breaks) in breaks.iter().enumerate() {
        breaks();
        wait_until("it is noticed", || gateway.metric(BROKEN) == 1.0);
        assert_eq!(shown(&gateway, "api.example"), "serial=01", "{number}");
        put(folder.path(), "a.pem", &["api.example"], 1, false);
        wait_until("it is whole again", || gateway.metric(BROKEN) == 0.0);
    }
}

#[test]
fn old_versions_of_tls_can_be_refused() {
    let (server, folder) = (Server::named("s1"), tempfile::tempdir().expect("a folder"));
    put(folder.path(), "a.pem", &["api.example"], 1, false);
    let both = gateway(&server, folder.path(), "");
    assert!(s_client(&both, "api.example", &["-tls1_2"]).contains("Cipher is ECDHE"));
    let only_13 = gateway(&server, folder.path(), ", ssl_min_ver = \"TLSv1.3\"");
    assert!(s_client(&only_13, "api.example", &["-tls1_2"]).contains("Cipher is (NONE)"));
    assert!(s_client(&only_13, "api.example", &["-tls1_3"]).contains("Cipher is TLS_"));
}

type Tls = rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream>;

/// A connection that does not care whom the certificate is for.
fn connect(gateway: &Gateway) -> BufReader<Tls> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider knows them")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let name = "api.example".try_into().expect("a name");
    let session = rustls::ClientConnection::new(Arc::new(config), name).expect("a session");
    BufReader::new(rustls::StreamOwned::new(session, gateway.connect()))
}

fn get(stream: &mut BufReader<Tls>) -> String {
    stream.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: api.example\r\n\r\n").expect("sent");
    read_answer(stream).expect("an answer")
}

#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &[rustls_pki_types::CertificateDer<'_>],
        _: &rustls_pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &rustls_pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &rustls_pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
