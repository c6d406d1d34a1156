//! TLS towards servers, where pingora does not do it: in mode tcp, and for what [`crate::exchange`] carries out. Each server has a configuration that lives as long as the process, so its
//! sessions are resumed whoever is believed and whatever is shown, on all workers (RFC 8446 §2.2).
//!
//! Promises: nothing goes to a server whose certificate was to be verified and was not.

use gateway_core::config::{ServerTls, Sni};
use healthcheck::tls::{self, Names, SYSTEM_AUTHORITIES, TlsError, Verifier};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How one server is spoken with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tls {
    /// In mode tcp, where it is reached in it.
    pub(crate) tunnels: Option<Secure>,
    /// In HTTP/1.1, where it speaks nothing else.
    pub(crate) requests: Option<Secure>,
}

/// How handshakes are made.
#[derive(Clone)]
pub(crate) struct Secure {
    connector: TlsConnector,
    sni: Sni,
}

/// Those who may sign, read once for all servers that believe them.
pub(super) type Authorities = HashMap<PathBuf, Arc<RootCertStore>>;

impl Secure {
    /// # Errors
    /// What is wrong with a file.
    pub(super) fn load(
        config: &ServerTls,
        alpn: &[String],
        known: &mut Authorities,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let names = match config.sni {
            Sni::None => Names::Any,
            Sni::Client => Names::Hosts,
            Sni::Name(_) | Sni::Host => Names::Asked,
        };
        let verifier = match config.verify {
            false => Verifier::of_anybody(Arc::clone(&provider)),
            true => {
                let path = config.ca_file.as_deref().unwrap_or_else(|| Path::new(SYSTEM_AUTHORITIES));
                Verifier::of(authorities(path, known)?, names, Arc::clone(&provider))?
            }
        };
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let mut client = match &config.crt {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let (chain, key) = tls::shown(path)?;
                builder.with_client_auth_cert(chain, key)?
            }
        };
        client.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Self { connector: Arc::new(client).into(), sni: config.sni.clone() })
    }

    /// A handshake with the server at `address`. `asked` is the name that the client has chosen: in its own handshake, or as
    /// the host of its request.
    pub(crate) async fn handshake(
        &self,
        server: TcpStream,
        address: IpAddr,
        asked: Option<&str>,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = match &self.sni {
            Sni::Name(name) => Some(name.as_str()),
            Sni::Client | Sni::Host => asked,
            Sni::None => None,
        };
        // An address is not sent (RFC 6066 §3).
        let name = match name {
            Some(name) => ServerName::try_from(name.to_owned()).map_err(io::Error::other)?,
            None => ServerName::IpAddress(address.into()),
        };
        self.connector.connect(name, server).await
    }
}

impl std::fmt::Debug for Secure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secure").field("sni", &self.sni).finish_non_exhaustive()
    }
}

fn authorities(path: &Path, known: &mut Authorities) -> Result<Arc<RootCertStore>, TlsError> {
    if let Some(roots) = known.get(path) {
        return Ok(Arc::clone(roots));
    }
    let roots = Arc::new(tls::authorities(path)?);
    known.insert(path.to_owned(), Arc::clone(&roots));
    Ok(roots)
}
