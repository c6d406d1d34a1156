//! Certificates of clients, and sessions that go on, as openssl's client sees them.

use crate::daemons::{openssl, program};
use crate::harness::{Gateway, Server, pair, wait_until, write};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use std::path::{Path, PathBuf};

/// Somebody who signs for clients.
pub(crate) struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(folder: &Path, file: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, file);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        write(folder, file, &params.self_signed(&key).expect("a certificate").pem());
        Self(Issuer::new(params, key))
    }

    /// A certificate and key in one file.
    fn client(&self, folder: &Path, name: &str, serial: u64) -> PathBuf {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        write(folder, &format!("{name}.pem"), &(certificate.pem() + &key.serialize_pem()))
    }

    /// A list of revoked ones, put in place as a whole.
    pub(crate) fn revoke(&self, folder: &Path, serials: &[u64]) {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2050, 1, 1),
            crl_number: SerialNumber::from(serials.len() as u64),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let text = list.signed_by(&self.0).expect("a list").pem().expect("as text");
        let new = write(folder, "new", &text);
        std::fs::rename(new, folder.join("crl.pem")).expect("in place");
    }
}

/// A gateway over TLS, with `more` in its `tls`.
fn gateway(server: &Server, folder: &Path, more: &str) -> Gateway {
    let (cert, key) = pair(folder, "api.example");
    let tls = format!("tls = {{ cert = \"{}\", key = \"{}\", {more} }}", cert.display(), key.display());
    Gateway::before(&[server.address], &tls)
}

const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: api.example\r\nX-SSL-Client-CN: forged\r\nx_ssl_client_dn: forged\r\n\
    Connection: close, X-SSL-Client-CN\r\n\r\n";

/// What openssl says of a request that claims to be another's.
fn get(gateway: &Gateway, more: &[&str]) -> String {
    let address = gateway.front.to_string();
    let arguments =
        [&["s_client", "-connect", &address, "-servername", "api.example", "-ign_eof"], more].concat();
    openssl(&arguments, REQUEST)
}

fn is_served(said: &str) -> bool {
    said.contains("HTTP/1.1 200 OK")
}

#[test]
fn servers_learn_who_the_client_is_and_not_whom_it_claims_to_be() {
    let (server, folder) = (Server::named("s1"), tempfile::tempdir().expect("a folder"));
    let path = folder.path();
    if program("openssl").is_none() {
        return;
    }
    let authority = Authority::new(path, "ca.pem");
    let (anna, stranger) = (
        authority.client(path, "anna", 0x0aff),
        Authority::new(path, "other.pem").client(path, "stranger", 1),
    );
    let file = |path: &Path| path.display().to_string();
    let asks = |verify| format!("verify = \"{verify}\", ca_file = \"{}\"", file(&path.join("ca.pem")));
    let required = gateway(&server, path, &asks("required"));
    for version in ["-tls1_2", "-tls1_3"] {
        assert!(is_served(&get(&required, &[version, "-cert", &file(&anna), "-key", &file(&anna)])));
        let head = server.heads().pop().expect("a request").to_ascii_lowercase();
        for line in [
            "x-ssl: 1",
            "x-ssl-client-verify: 0",
            "x-ssl-client-has-cert: 1",
            "x-ssl-client-cn: anna",
            "x-ssl-client-dn: /o=example/cn=anna",
            "x-ssl-client-serial: 0aff",
            "x-ssl-client-not-before: 750101000000z",
        ] {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} is in {head}");
        }
        assert!(!head.contains("forged") && head.contains("x-ssl-client-sha1: "), "{head}");
        assert!(!is_served(&get(&required, &[version])), "without one");
        let strangers = [version, "-cert", &file(&stranger), "-key", &file(&stranger)];
        assert!(!is_served(&get(&required, &strangers)), "one that nobody has signed");
    }
    assert_eq!(server.heads().len(), 2);
    let optional = gateway(&server, path, &asks("optional"));
    assert!(is_served(&get(&optional, &[])));
    let head = server.heads().pop().expect("a request").to_ascii_lowercase();
    assert!(head.contains("x-ssl-client-has-cert: 0") && !head.contains("forged"), "{head}");
    let nobody = gateway(&server, path, "ssl_min_ver = \"TLSv1.2\"");
    assert!(is_served(&get(&nobody, &[])));
    let head = server.heads().pop().expect("a request").to_ascii_lowercase();
    assert!(!head.contains("ssl"), "where nobody is asked nothing is said: {head}");
}

#[test]
fn clients_are_told_whose_signatures_count_by_now_unless_that_is_kept_back() {
    let (server, folder) = (Server::named("s1"), tempfile::tempdir().expect("a folder"));
    let path = folder.path();
    if program("openssl").is_none() {
        return;
    }
    Authority::new(path, "ca.pem");
    let asks = |more: &str| {
        let file = path.join("ca.pem");
        gateway(&server, path, &format!("verify = \"optional\", ca_file = \"{}\"{more}", file.display()))
    };
    let (told, kept) = (asks(""), asks(", no_ca_names = true"));
    for version in ["-tls1_2", "-tls1_3"] {
        let said = get(&told, &[version]);
        assert!(said.contains("Acceptable client certificate CA names") && said.contains("ca.pem"), "{said}");
        assert!(get(&kept, &[version]).contains("No client certificate CA names sent"));
    }
    Authority::new(path, "next.pem");
    std::fs::rename(path.join("next.pem"), path.join("ca.pem")).expect("in place");
    wait_until("another one counts", || get(&told, &[]).contains("next.pem"));
}

#[test]
fn who_is_revoked_is_out_also_with_a_session_from_before() {
    let (server, folder) = (Server::named("s1"), tempfile::tempdir().expect("a folder"));
    let path = folder.path();
    if program("openssl").is_none() {
        return;
    }
    let authority = Authority::new(path, "ca.pem");
    let names = ["anna", "bert"].into_iter().zip([7, 8]);
    let [anna, bert]: [String; 2] = names
        .map(|(name, serial)| authority.client(path, name, serial).display().to_string())
        .collect::<Vec<_>>()
        .try_into()
        .expect("two");
    authority.revoke(path, &[]);
    let file = |name| path.join(name).display().to_string();
    let asks = format!(
        "verify = \"required\", ca_file = \"{}\", crl_file = \"{}\"",
        file("ca.pem"),
        file("crl.pem")
    );
    let gateway = gateway(&server, path, &asks);
    let versions = ["-tls1_2", "-tls1_3"];
    for version in versions {
        let out = file(version);
        assert!(is_served(&get(&gateway, &[version, "-cert", &anna, "-key", &anna, "-sess_out", &out])));
        let again = get(&gateway, &[version, "-cert", &anna, "-key", &anna, "-sess_in", &out]);
        assert!(is_served(&again) && again.contains("Reused, "), "{version}: {again}");
        let head = server.heads().pop().expect("a request").to_ascii_lowercase();
        assert!(head.contains("x-ssl-client-cn: anna"), "who has come back is who it was: {head}");
    }
    authority.revoke(path, &[7]);
    wait_until("anna is out", || !is_served(&get(&gateway, &["-cert", &anna, "-key", &anna])));
    for version in versions {
        let again = get(&gateway, &[version, "-cert", &anna, "-key", &anna, "-sess_in", &file(version)]);
        assert!(!is_served(&again), "{version}: {again}");
    }
    assert!(is_served(&get(&gateway, &["-cert", &bert, "-key", &bert])), "and nobody else");
    write(path, "crl.pem", "nonsense");
    wait_until("it is noticed", || {
        gateway.metric("headgate_tls_certificates_broken{frontend=\"fe\"}") == 1.0
    });
    assert!(!is_served(&get(&gateway, &["-cert", &anna, "-key", &anna])), "a broken list changes nothing");
    assert!(is_served(&get(&gateway, &["-cert", &bert, "-key", &bert])));
}

/// Keys whose first byte is one of these.
fn keys(folder: &Path, numbers: [u8; 3]) {
    let line = |number: u8| openssl(&["base64", "-A"], &[number; 48]) + "\n";
    let new = write(folder, "new", &numbers.map(line).concat());
    std::fs::rename(new, folder.join("keys")).expect("in place");
}

#[test]
fn nodes_with_the_same_keys_go_on_with_each_others_sessions() {
    let (server, folder) = (Server::named("s1"), tempfile::tempdir().expect("a folder"));
    let path = folder.path();
    if program("openssl").is_none() {
        return;
    }
    keys(path, [1, 2, 3]);
    let tls = format!("ticket_keys = \"{}\"", path.join("keys").display());
    let (one, other) = (gateway(&server, path, &tls), gateway(&server, path, &tls));
    let own = gateway(&server, path, "ssl_min_ver = \"TLSv1.2\"");
    let file = |name: &str| path.join(name).display().to_string();
    let reused = |gateway: &Gateway, version, session: &str| {
        let said = get(gateway, &[version, "-sess_in", session]);
        assert!(is_served(&said), "{said}");
        said.contains("Reused, ")
    };
    for version in ["-tls1_2", "-tls1_3"] {
        let session = file(version);
        assert!(is_served(&get(&one, &[version, "-sess_out", &session])));
        assert!(reused(&one, version, &session) && reused(&other, version, &session), "{version}");
        assert!(!reused(&own, version, &session), "whoever has other keys begins anew");
    }
    keys(path, [2, 3, 4]);
    let newer = file("newer");
    wait_until("the next key seals, and the ones before still open", || {
        get(&one, &["-tls1_3", "-sess_out", &newer]);
        let ticket = openssl(&["sess_id", "-in", &newer, "-noout", "-text"], b"");
        assert!(reused(&other, "-tls1_3", &file("-tls1_3")), "all the while");
        ticket.contains("0000 - 03 03 03 03")
    });
    keys(path, [4, 5, 6]);
    wait_until("a session ends with its key", || !reused(&other, "-tls1_3", &file("-tls1_3")));
    write(path, "keys", "nonsense");
    wait_until("it is noticed", || one.metric("headgate_tls_certificates_broken{frontend=\"fe\"}") == 1.0);
    assert!(is_served(&get(&one, &["-tls1_3", "-sess_out", &newer])) && reused(&one, "-tls1_3", &newer));
}
