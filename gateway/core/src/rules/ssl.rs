//! What is known of the TLS of a request's connection, by the names of HAProxy's samples.

/// One thing that the handshake has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ssl {
    /// `ssl_fc_sni`: the name that the client asked for.
    Sni,
    /// `ssl_fc_protocol`: `TLSv1.2` or `TLSv1.3`.
    Protocol,
    /// `ssl_fc_cipher`: the cipher suite.
    Cipher,
    /// `ssl_c_used`: `1` if the client has shown a certificate, which was verified then, else `0`.
    ClientUsed,
    /// `ssl_c_s_dn`: the client certificate's subject.
    ClientSubject,
    /// `ssl_c_s_dn(cn)`: the common name in it.
    ClientCommonName,
    /// `ssl_c_i_dn`: the client certificate's issuer.
    ClientIssuer,
    /// `ssl_c_serial`: the client certificate's serial number, in hex.
    ClientSerial,
    /// `ssl_c_sha1`: the client certificate's SHA-1 fingerprint, in hex.
    ClientSha1,
}

impl Ssl {
    /// By its name.
    pub fn parse(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, sample)| *sample)
    }

    /// All names, for messages.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }
}

const NAMES: &[(&str, Ssl)] = &[
    ("ssl_fc_sni", Ssl::Sni),
    ("ssl_fc_protocol", Ssl::Protocol),
    ("ssl_fc_cipher", Ssl::Cipher),
    ("ssl_c_used", Ssl::ClientUsed),
    ("ssl_c_s_dn", Ssl::ClientSubject),
    ("ssl_c_s_dn(cn)", Ssl::ClientCommonName),
    ("ssl_c_i_dn", Ssl::ClientIssuer),
    ("ssl_c_serial", Ssl::ClientSerial),
    ("ssl_c_sha1", Ssl::ClientSha1),
];
