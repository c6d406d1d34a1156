//! TLS of a frontend: what is shown, who is let in, and how sessions go on. All of it comes from files that
//! are looked at again and again while connections go on; what is broken takes the place of nothing.

mod client_auth;
pub(crate) mod headers;
pub(crate) mod identity;
mod tickets;

use crate::certificates::Certificates;
use arc_swap::ArcSwap;
use base_core::diagnose::Diagnostic;
use client_auth::{Asking, ClientAuth};
use gateway_core::config::{Alpn, SslMinVer, Tls};
use rustls::ServerConfig;
use rustls::server::ResolvesServerCert;
use std::sync::Arc;
use tickets::Tickets;

/// TLS of one frontend.
#[derive(Clone, Debug)]
pub struct TlsSide {
    /// What handshakes go by: another one when clients are asked for the signatures of others.
    config: Arc<ArcSwap<ServerConfig>>,
    min_version: SslMinVer,
    /// The certificates that are shown in them.
    pub certificates: Arc<Certificates>,
    /// Whom clients must be; `None`: nobody is asked.
    pub(crate) client_auth: Option<Arc<ClientAuth>>,
    tickets: Arc<Tickets>,
}

impl TlsSide {
    /// With rustls' own choice of ciphers.
    pub(crate) fn load(frontend: &str, tls: &Tls, alpn: &[Alpn]) -> Result<Self, Diagnostic> {
        let certificates = Arc::new(Certificates::load(tls)?);
        let client_auth = tls.client_auth.as_ref().map(|asked| ClientAuth::load(asked).map(Arc::new));
        let client_auth = client_auth.transpose()?;
        let tickets = Arc::new(Tickets::load(frontend, tls)?);
        let made = config(tls.min_version, client_auth.as_ref(), Arc::clone(&certificates) as Arc<_>);
        let mut config = made.map_err(|error| tls.origin.clone().help(error.to_string()))?;
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.name().into()).collect();
        config.ticketer = Arc::clone(&tickets) as Arc<_>;
        let config = Arc::new(ArcSwap::from_pointee(config));
        Ok(Self { config, min_version: tls.min_version, certificates, client_auth, tickets })
    }

    /// What a handshake that begins now goes by.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// Looks for files that have changed.
    pub(crate) fn renew(&self, frontend: &str) {
        self.certificates.renew(frontend);
        if let Some(client_auth) = &self.client_auth
            && client_auth.renew(frontend)
        {
            let before = self.config.load();
            // As it was made at the start, so it is made again.
            if let Ok(mut made) =
                config(self.min_version, Some(client_auth), Arc::clone(&before.cert_resolver))
            {
                made.alpn_protocols = before.alpn_protocols.clone();
                made.ticketer = Arc::clone(&before.ticketer);
                made.session_storage = Arc::clone(&before.session_storage);
                self.config.store(Arc::new(made));
            }
        }
        self.tickets.renew(frontend);
    }

    /// How many files do not count, as they are broken.
    pub(crate) fn broken(&self) -> u64 {
        let client_auth = self.client_auth.as_ref().is_some_and(|client_auth| client_auth.is_broken());
        self.certificates.broken() + u64::from(client_auth) + u64::from(self.tickets.is_broken())
    }
}

fn config(
    min_version: SslMinVer,
    client_auth: Option<&Arc<ClientAuth>>,
    certificates: Arc<dyn ResolvesServerCert>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions: &[_] = match min_version {
        SslMinVer::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        SslMinVer::Tls13 => &[&rustls::version::TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
    let builder = match client_auth {
        None => builder.with_no_client_auth(),
        Some(client_auth) => builder.with_client_cert_verifier(Arc::new(Asking::new(client_auth))),
    };
    Ok(builder.with_cert_resolver(certificates))
}
