//! TLS of a probe. Certificates are verified unless the configuration says that they are not.

use super::by;
use crate::tls::{Names, SYSTEM_AUTHORITIES, TlsError, Verifier, authorities, shown};
use base::Clock;
use base_core::Time;
use healthcheck_core::{Kind, TlsCheck};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Makes connections of one check speak TLS.
#[derive(Clone)]
pub(super) struct Connector {
    connector: TlsConnector,
    name: Option<ServerName<'static>>,
}

impl Connector {
    pub(super) fn new(tls: &TlsCheck, kind: &Kind) -> Result<Self, TlsError> {
        let host = match kind {
            Kind::Http(http) => http.host.as_deref().filter(|host| is_name(host)),
            _ => None,
        };
        let name = match (&tls.sni, host) {
            (Some(sni), _) => {
                Some(ServerName::try_from(sni.clone()).map_err(|_| TlsError::Name(sni.clone()))?)
            }
            (None, host) => host.and_then(|host| ServerName::try_from(host.to_owned()).ok()),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let verifier = match tls.verify_none {
            true => Verifier::of_anybody(provider),
            false => {
                let path = tls.ca_file.as_deref().unwrap_or_else(|| Path::new(SYSTEM_AUTHORITIES));
                let names = if tls.any_name { Names::Any } else { Names::Asked };
                Verifier::of(Arc::new(authorities(path)?), names, provider)?
            }
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &tls.crt {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let (chain, key) = shown(path)?;
                builder.with_client_auth_cert(chain, key)?
            }
        };
        if let Kind::Grpc { .. } = kind {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        // Each probe is to show that a whole handshake works.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self { connector: Arc::new(config).into(), name })
    }

    /// The error is what is wrong, in one word.
    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        target: SocketAddr,
    ) -> Result<TlsStream<TcpStream>, &'static str> {
        let name = self.name.clone().unwrap_or_else(|| ServerName::IpAddress(target.ip().into()));
        self.connector.connect(name, stream).await.map_err(|error| word(&error))
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Says goodbye, if that can be said at once.
pub(super) async fn close(stream: &mut TlsStream<TcpStream>, clock: Clock, deadline: Time) {
    let _ = by(clock, deadline, stream.shutdown()).await;
}

fn is_name(host: &str) -> bool {
    ServerName::try_from(host).is_ok_and(|name| matches!(name, ServerName::DnsName(_)))
}

fn word(error: &io::Error) -> &'static str {
    use rustls::{CertificateError as Bad, Error};
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. })) => "certificate_expired",
        Some(Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. })) => {
            "certificate_name"
        }
        Some(Error::InvalidCertificate(Bad::UnknownIssuer)) => "certificate_unknown",
        Some(Error::InvalidCertificate(_)) => "certificate_bad",
        Some(Error::AlertReceived(_)) => "alert",
        Some(Error::InvalidMessage(_)) => "not_tls",
        Some(_) => "tls",
        None => "closed",
    }
}
