//! Who a client is, by the certificate that it has shown, in the words of HAProxy's samples: `ssl_c_s_dn`,
//! `ssl_c_i_dn`, `ssl_c_serial`, `ssl_c_sha1`, `ssl_c_notbefore`, `ssl_c_notafter`.

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use std::fmt::Write;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate, X509Name};

/// What a TLS handshake has brought to light.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handshake {
    /// The name that the client asked for.
    pub(crate) name: Option<String>,
    /// `TLSv1.2` or `TLSv1.3`.
    pub(crate) protocol: &'static str,
    /// The cipher suite, by the name that rustls has for it.
    pub(crate) cipher: &'static str,
    pub(crate) alpn: Option<Vec<u8>>,
    /// Whether it goes on with a session of before.
    pub(crate) resumed: bool,
    /// The certificate that it has shown, where it was asked for one.
    pub(crate) client: Option<Identity>,
}

/// A client's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) subject: String,
    pub(crate) common_name: String,
    pub(crate) issuer: String,
    pub(crate) serial: String,
    pub(crate) sha1: String,
    pub(crate) not_before: String,
    pub(crate) not_after: String,
}

impl Identity {
    /// Of a certificate that was verified.
    pub(crate) fn of(certificate: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let common_name = parsed.subject().iter_common_name().last();
        let common_name = common_name.map(|name| visible(name.attr_value().data, "")).unwrap_or_default();
        Some(Self {
            subject: one_line(parsed.subject()),
            common_name,
            issuer: one_line(parsed.issuer()),
            serial: hex(parsed.raw_serial()),
            sha1: hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, certificate).as_ref()),
            not_before: time(&parsed.validity().not_before),
            not_after: time(&parsed.validity().not_after),
        })
    }
}

/// `/C=…/O=…/CN=…`, as OpenSSL says it. A slash within a value is escaped, so that no value can pass for two.
fn one_line(name: &X509Name<'_>) -> String {
    let mut line = String::new();
    for attribute in name.iter_attributes() {
        let kind = attribute.attr_type();
        let short = x509_parser::objects::oid2abbrev(kind, x509_parser::objects::oid_registry());
        let short = short.map_or_else(|_| kind.to_id_string(), str::to_owned);
        let _ = write!(line, "/{short}={}", visible(attribute.attr_value().data, "/"));
    }
    line
}

/// What can stand in a field of a request: UTF-8 as it is, all else as `\xNN`.
fn visible(value: &[u8], special: &str) -> String {
    let mut text = String::new();
    for part in value.utf8_chunks() {
        for c in part.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                c if special.contains(c) => text.extend(['\\', c]),
                c if c.is_control() => {
                    let _ = write!(text, "\\x{:02X}", u32::from(c));
                }
                c => text.push(c),
            }
        }
        for byte in part.invalid() {
            let _ = write!(text, "\\x{byte:02X}");
        }
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

/// `YYMMDDhhmmssZ`.
fn time(time: &ASN1Time) -> String {
    let time = time.to_datetime();
    let (year, month, day) = (time.year() % 100, u8::from(time.month()), time.day());
    format!("{year:02}{month:02}{day:02}{:02}{:02}{:02}Z", time.hour(), time.minute(), time.second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_told_as_openssl_tells_it() {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CountryName, "FR");
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "a/CN=admin\n");
        params.distinguished_name.push(rcgen::DnType::CommonName, "Zoë");
        params.serial_number = Some(vec![0x0a, 0xff].into());
        params.not_before = rcgen::date_time_ymd(2026, 1, 2);
        params.not_after = rcgen::date_time_ymd(2031, 3, 4);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let identity = Identity::of(certificate.der()).expect("it is one");
        assert_eq!(identity.subject, "/C=FR/O=a\\/CN=admin\\x0A/CN=Zoë");
        assert_eq!((identity.common_name.as_str(), identity.issuer), ("Zoë", identity.subject));
        assert_eq!((identity.serial.as_str(), identity.sha1.len()), ("0AFF", 40));
        assert_eq!(
            (identity.not_before.as_str(), identity.not_after.as_str()),
            ("260102000000Z", "310304000000Z")
        );
    }

    #[test]
    fn what_is_none_has_no_identity() {
        assert_eq!(Identity::of(b"\x30\x03abc"), None);
    }
}
