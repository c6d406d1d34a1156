//! What is asked about a VIP or about the node, and how often: the checks that the gateway has for its servers.

use super::validate::{Checked, within};
use super::{Url, schema};
use crate::gate::{Fall, Pace};
use base_core::diagnose::Source;
use healthcheck_core::{CheckSpec, HttpCheck, Kind, Timing};
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use toml::Spanned;

/// A question, and where it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Where.
    pub target: SocketAddr,
    /// What.
    pub check: CheckSpec,
}

/// Through a VIP: a URL, or a check.
pub(super) fn of_vip(written: &Spanned<toml::Value>, vip: IpAddr, source: &Source) -> Checked<Ask> {
    let toml::Value::String(text) = written.get_ref() else {
        let check = check(written, source)?;
        if check.addr.is_some_and(|addr| addr != vip) && check.goes_somewhere() {
            let error = source.at(written.span(), format!("the probe of {vip} goes elsewhere"));
            return Err(error.help("a probe goes through the VIP that it guards"));
        }
        return Ok(Ask { target: SocketAddr::new(vip, check.port.unwrap_or(0)), check });
    };
    let url = Url::parse(text).ok_or_else(|| {
        let error = source.at(written.span(), "not a URL that can be asked");
        error.help("http://ADDRESS:PORT/PATH, with an address, not a name; or a check: { type = \"tls\", port = 443 }")
    })?;
    if url.address.ip() != vip {
        let message = format!("the probe of {vip} goes to {}", url.address.ip());
        return Err(source.at(written.span(), message).help("a probe goes through the VIP that it guards"));
    }
    let check = CheckSpec::new(Kind::Http(HttpCheck { uri: url.path, ..HttpCheck::default() }));
    Ok(Ask { target: url.address, check })
}

/// Gates of the node.
pub(super) fn gates(list: &[Spanned<toml::Value>], source: &Source) -> Checked<Vec<Ask>> {
    if let Some(extra) = list.get(MAX_GATES) {
        return Err(source.at(extra.span(), format!("more than {MAX_GATES} gates")));
    }
    let gate = |written: &Spanned<toml::Value>| {
        let check = check(written, source)?;
        let address = check.addr.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        Ok(Ask { target: SocketAddr::new(address, check.port.unwrap_or(0)), check })
    };
    list.iter().map(gate).collect()
}

/// How often is asked.
pub(super) fn pace(raw: &schema::Probe, fall: Fall, source: &Source) -> Checked<Pace> {
    let interval = match &raw.interval {
        Some(span) => within(span, MIN_INTERVAL, MAX_INTERVAL, source)?,
        None => DEFAULT_INTERVAL,
    };
    let timeout = match &raw.timeout {
        Some(span) => within(span, MIN_INTERVAL, interval, source)?,
        None => interval,
    };
    Ok(Pace { fall, interval, timeout })
}

fn check(written: &Spanned<toml::Value>, source: &Source) -> Checked<CheckSpec> {
    let check = CheckSpec::deserialize(written.get_ref().clone())
        .map_err(|error| source.at(written.span(), error.message().to_owned()))?;
    if check.timing != Timing::DEFAULT {
        let error = source.at(written.span(), "all questions have one pace");
        return Err(error.help("`interval`, `timeout`, `fall` and `window` stand in [probe]"));
    }
    if check.port.is_none() && check.goes_somewhere() {
        return Err(source.at(written.span(), "a check without a port").help("say where to ask: port = 443"));
    }
    Ok(check)
}

/// From one question to the next: fast enough that a stuck listener is withdrawn within 700 ms.
pub const DEFAULT_INTERVAL: Duration = Duration::from_millis(200);
/// Below it, questions would be a load of their own.
const MIN_INTERVAL: Duration = Duration::from_millis(10);
/// Beyond it, nobody would call it fast.
const MAX_INTERVAL: Duration = Duration::from_secs(60);
/// More is a mistake.
const MAX_GATES: usize = 16;
