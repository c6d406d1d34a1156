//! TLS of a frontend: where its certificates are, and whom it asks for theirs.

use super::Result;
use super::values::duration;
use crate::config::schema::Verify;
use crate::config::{CertificateFiles, ClientAuth, Tls, schema};
use base_core::diagnose::Source;
use std::ops::Range;
use std::path::PathBuf;
use toml::Spanned;

/// TLS of a frontend.
pub(super) fn tls(source: &Source, tls: Spanned<schema::Tls>) -> Result<Tls> {
    let span = tls.span();
    let tls = tls.into_inner();
    let at = |path: &Spanned<PathBuf>, what| source.at(path.span(), format!("the {what} does not load"));
    let (files, origin, key_origin) = match (tls.cert, tls.key, tls.crt) {
        (Some(cert), Some(key), None) => {
            let origins = (at(&cert, "certificate"), at(&key, "key"));
            let files = CertificateFiles::Pair { cert: cert.into_inner(), key: key.into_inner() };
            (files, origins.0, origins.1)
        }
        (None, None, Some(crt)) => {
            let origin = at(&crt, "certificate");
            (CertificateFiles::Directory(crt.into_inner()), origin.clone(), origin)
        }
        _ => {
            let error = source.at(span, "it is not clear which certificates to show");
            return Err(
                error.help("expected either cert and key, or crt: a directory with both in each *.pem")
            );
        }
    };
    let mut client_auth = client_auth(source, span, tls.verify, tls.ca_file, tls.crl_file)?;
    match (&mut client_auth, tls.no_ca_names) {
        (Some(client_auth), Some(none)) => client_auth.tells_names = !none.into_inner(),
        (None, Some(none)) => {
            let error = source.at(none.span(), "no client is asked for a certificate");
            return Err(error.help("add verify = \"required\" or \"optional\""));
        }
        (_, None) => {}
    }
    let lifetime = duration(source, &tls.lifetime, "lifetime")?;
    let keys = |path: Spanned<PathBuf>| {
        let origin = source.at(path.span(), "the ticket keys do not load");
        (path.into_inner(), origin)
    };
    Ok(Tls {
        files,
        origin,
        key_origin,
        min_version: tls.ssl_min_ver,
        client_auth,
        ticket_keys: tls.ticket_keys.map(keys),
        lifetime,
    })
}

fn client_auth(
    source: &Source,
    span: Range<usize>,
    verify: Option<Verify>,
    ca_file: Option<Spanned<PathBuf>>,
    crl_file: Option<Spanned<PathBuf>>,
) -> Result<Option<ClientAuth>> {
    let verify = verify.unwrap_or(Verify::None);
    match (verify, ca_file) {
        (Verify::None, None) if crl_file.is_none() => Ok(None),
        (Verify::None, file) => {
            let span = file.or(crl_file).map_or(span, |file| file.span());
            let error = source.at(span, "no client is asked for a certificate");
            Err(error.help("add verify = \"required\" or \"optional\""))
        }
        (_, None) => {
            let error = source.at(span, "nobody signs for clients");
            Err(error.help("verify needs ca_file, a PEM file with those who do"))
        }
        (verify, Some(ca_file)) => Ok(Some(ClientAuth {
            is_optional: verify == Verify::Optional,
            origin: source.at(ca_file.span(), "certificates of clients can't be verified"),
            ca_file: ca_file.into_inner(),
            crl_file: crl_file.map(Spanned::into_inner),
            tells_names: true,
        })),
    }
}
