//! `[[neighbor]]` and `[[template]]`.

use super::validate::{Checked, asn, host, widen, within};
use super::{Config, Neighbor, Password, TcpAo, Vip, schema};
use base_core::diagnose::Source;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;

type Templates = BTreeMap<String, schema::Neighbor>;

pub(super) fn neighbors(
    list: Vec<Spanned<schema::Neighbor>>,
    templates: Vec<Spanned<schema::Neighbor>>,
    config: &Config,
    source: &Source,
) -> Checked<Vec<Neighbor>> {
    if let Some(extra) = list.get(super::MAX_NEIGHBORS) {
        return Err(source.at(extra.span(), format!("more than {} neighbors", super::MAX_NEIGHBORS)));
    }
    let templates = self::templates(templates, source)?;
    let (mut names, mut addresses, mut watched) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut accepted = BTreeSet::new();
    let mut neighbors = Vec::new();
    for spanned in list {
        let raw = spanned.get_ref();
        let span = spanned.span();
        let name_span = raw.name.as_ref().map(Spanned::span);
        let address_span = raw.address.as_ref().map_or_else(|| span.clone(), Spanned::span);
        let neighbor = neighbor(merged(spanned, &templates, source)?, span.clone(), source)?;
        let place = (neighbor.address, neighbor.interface.clone());
        if neighbor.mode.accepts() && !accepted.insert(place.clone()) {
            let message = format!("two neighbors at {} may connect", neighbor.address);
            return Err(source.at(address_span, message).help("mode = \"active\" for all but one of them"));
        }
        if !addresses.insert((place, neighbor.port)) {
            return Err(source.at(address_span, format!("neighbor {} is there twice", neighbor.address)));
        }
        if neighbor.bfd.is_some() && !watched.insert(neighbor.address) {
            let message = format!("two neighbors at {} with BFD", neighbor.address);
            return Err(source.at(address_span, message).help("one session of BFD for each address"));
        }
        if !names.insert(neighbor.name.clone()) {
            let span = name_span.unwrap_or(address_span);
            return Err(source.at(span, format!("two neighbors are named {}", neighbor.name)));
        }
        next_hops(&neighbor, config, span, source)?;
        neighbors.push(neighbor);
    }
    Ok(neighbors)
}

fn templates(list: Vec<Spanned<schema::Neighbor>>, source: &Source) -> Checked<Templates> {
    let mut templates = Templates::new();
    for spanned in list {
        let span = spanned.span();
        let template = spanned.into_inner();
        if template.address.is_some() || template.template.is_some() {
            let message = "a template has no address, and uses no other template";
            return Err(source.at(span, message).help("address and use are keys of a neighbor"));
        }
        let Some(name) = template.name.clone() else {
            return Err(source.at(span, "a template without a name").help("name = \"…\", for use = \"…\""));
        };
        if templates.insert(name.get_ref().clone(), template).is_some() {
            return Err(source.at(name.span(), format!("two templates are named {}", name.get_ref())));
        }
    }
    Ok(templates)
}

/// What the neighbor says, and where it says nothing, what its template says.
fn merged(
    spanned: Spanned<schema::Neighbor>,
    templates: &Templates,
    source: &Source,
) -> Checked<schema::Neighbor> {
    let raw = spanned.into_inner();
    let Some(name) = &raw.template else { return Ok(raw) };
    let Some(template) = templates.get(name.get_ref()).cloned() else {
        let message = format!("there is no template {}", name.get_ref());
        return Err(source.at(name.span(), message).help("[[template]] with this name"));
    };
    Ok(schema::Neighbor {
        name: raw.name,
        template: None,
        address: raw.address,
        interface: raw.interface.or(template.interface),
        port: raw.port.or(template.port),
        asn: raw.asn.or(template.asn),
        mode: raw.mode.or(template.mode),
        source: raw.source.or(template.source),
        freebind: raw.freebind.or(template.freebind),
        next_hop4: raw.next_hop4.or(template.next_hop4),
        next_hop6: raw.next_hop6.or(template.next_hop6),
        extended_next_hop: raw.extended_next_hop.or(template.extended_next_hop),
        graceful_restart: raw.graceful_restart.or(template.graceful_restart),
        prepend: raw.prepend.or(template.prepend),
        looking_glass: raw.looking_glass.or(template.looking_glass),
        max_prefixes: raw.max_prefixes.or(template.max_prefixes),
        ttl_security: raw.ttl_security.or(template.ttl_security),
        multihop: raw.multihop.or(template.multihop),
        password: raw.password.or(template.password),
        tcp_ao: raw.tcp_ao.or(template.tcp_ao),
        bfd: raw.bfd.or(template.bfd),
    })
}

fn neighbor(raw: schema::Neighbor, span: Range<usize>, source: &Source) -> Checked<Neighbor> {
    let missing = |key: &str| source.at(span.clone(), format!("missing field `{key}`"));
    let (address, interface) = address(&raw, span.clone(), source)?;
    let number = raw.asn.as_ref().ok_or_else(|| missing("asn").help("the neighbor's AS"))?;
    if let Some(local) = &raw.source {
        // Of a link-local neighbor the link is known.
        let on_link = matches!(local.get_ref(), IpAddr::V6(ip) if ip.is_unicast_link_local());
        if !(on_link && interface.is_some()) {
            host(local, source)?;
        }
        if local.get_ref().is_ipv4() != address.is_ipv4() {
            let message = format!("no packet goes from {} to {address}", local.get_ref());
            return Err(source.at(local.span(), message).help("both of IPv4, or both of IPv6"));
        }
    }
    if let Some(port) = raw.port.as_ref().filter(|port| *port.get_ref() == 0) {
        return Err(source.at(port.span(), "port 0 cannot be connected to").help("1 to 65535; BGP's is 179"));
    }
    if let Some(hops) = raw.multihop.as_ref().filter(|hops| *hops.get_ref() == 0) {
        return Err(source.at(hops.span(), "a neighbor no link away is this node").help("1 to 255 links"));
    }
    let next_hops = [raw.next_hop4.as_ref().map(widen), raw.next_hop6.as_ref().map(widen)];
    next_hops.iter().flatten().try_for_each(|next_hop| host(next_hop, source))?;
    let ttl_security = raw.ttl_security.unwrap_or_default();
    let several = raw.multihop.as_ref().is_some_and(|hops| *hops.get_ref() > 1);
    Ok(Neighbor {
        name: raw.name.as_ref().map_or_else(|| address.to_string(), |name| name.get_ref().clone()),
        address,
        interface,
        port: raw.port.as_ref().map_or(super::DEFAULT_PORT, |port| *port.get_ref()),
        asn: asn(number, source)?,
        mode: raw.mode.unwrap_or_default(),
        source: raw.source.as_ref().map(|source| *source.get_ref()),
        freebind: raw.freebind.unwrap_or_default(),
        next_hop4: raw.next_hop4.as_ref().map(|next_hop| *next_hop.get_ref()),
        next_hop6: raw.next_hop6.as_ref().map(|next_hop| *next_hop.get_ref()),
        extended_next_hop: raw.extended_next_hop.unwrap_or_default(),
        graceful_restart: graceful_restart(&raw, source)?,
        prepend: raw.prepend.unwrap_or_default(),
        looking_glass: raw.looking_glass.unwrap_or_default(),
        max_prefixes: raw.max_prefixes,
        ttl_security,
        multihop: raw.multihop.as_ref().map(|hops| *hops.get_ref()),
        password: password(&raw, source)?,
        tcp_ao: tcp_ao(&raw, source)?,
        bfd: raw.bfd.map(|bfd| super::bfd::bfd(bfd, ttl_security && !several, source)).transpose()?,
    })
}

/// `fe80::1%eth0`, or `fe80::1` with the interface in a key of its own; or any other address.
fn address(raw: &schema::Neighbor, span: Range<usize>, source: &Source) -> Checked<(IpAddr, Option<String>)> {
    let Some(spanned) = &raw.address else {
        return Err(source.at(span, "missing field `address`").help("the router's address"));
    };
    let wrong = |message: String, help: &str| Err(source.at(spanned.span(), message).help(help));
    let text = spanned.get_ref();
    let (text, zone) = text.split_once('%').map_or((text.as_str(), None), |(text, zone)| (text, Some(zone)));
    let Ok(address) = text.parse::<IpAddr>() else {
        return wrong(format!("{text} is no address"), "an IPv4 or IPv6 address");
    };
    let interface = zone.or_else(|| raw.interface.as_ref().map(|interface| interface.get_ref().as_str()));
    let local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    match (local, interface) {
        (true, None) => wrong(
            format!("{address} is link-local, on which link?"),
            "\"fe80::1%eth0\", or interface = \"eth0\"",
        ),
        (true, Some(name)) if name.is_empty() || name.len() > 15 => {
            wrong(format!("{name:?} is no interface"), "1 to 15 characters, such as eth0")
        }
        (true, Some(name)) => Ok((address, Some(name.to_owned()))),
        (false, Some(_)) => {
            wrong(format!("{address} is on any interface"), "an interface only beside a link-local address")
        }
        (false, None) => host(&Spanned::new(spanned.span(), address), source).map(|()| (address, None)),
    }
}

fn graceful_restart(raw: &schema::Neighbor, source: &Source) -> Checked<Option<u16>> {
    let Some(span) = &raw.graceful_restart else { return Ok(None) };
    let time = within(span, Duration::from_secs(1), super::MAX_GRACEFUL_RESTART, source)?;
    if time.subsec_nanos() != 0 {
        return Err(source.at(span.span(), "not whole seconds").help("such as 60s (RFC 4724 section 3)"));
    }
    Ok(u16::try_from(time.as_secs()).ok())
}

fn password(raw: &schema::Neighbor, source: &Source) -> Checked<Option<Password>> {
    let Some(text) = &raw.password else { return Ok(None) };
    if raw.tcp_ao.is_some() {
        return Err(source.at(text.span(), "MD5 and TCP-AO on one connection").help("one of them"));
    }
    key(text, "MD5", source).map(Some)
}

fn tcp_ao(raw: &schema::Neighbor, source: &Source) -> Checked<Option<Spanned<TcpAo>>> {
    let Some(spanned) = &raw.tcp_ao else { return Ok(None) };
    let schema::TcpAo { send_id, recv_id, algorithm, key: text } = spanned.get_ref();
    let key = key(text, "TCP-AO", source)?;
    let ao = TcpAo { send_id: *send_id, recv_id: *recv_id, algorithm: *algorithm, key };
    Ok(Some(Spanned::new(spanned.span(), ao)))
}

fn key(text: &Spanned<String>, what: &str, source: &Source) -> Checked<Password> {
    if !(1..=80).contains(&text.get_ref().len()) {
        return Err(source.at(text.span(), format!("a key of {what} has 1 to 80 bytes")));
    }
    Ok(Password(text.get_ref().clone()))
}

/// Every VIP must have a next hop towards every neighbor.
fn next_hops(
    neighbor: &Neighbor,
    config: &Config,
    span: std::ops::Range<usize>,
    source: &Source,
) -> Checked<()> {
    let missing = |vip: &&Vip| {
        crate::policy::next_hop(vip.address, neighbor, neighbor.address, neighbor.extended_next_hop).is_none()
    };
    let Some(vip) = config.vips.iter().find(missing) else { return Ok(()) };
    let (key, family) = if vip.address.is_ipv4() { ("next_hop4", "IPv4") } else { ("next_hop6", "IPv6") };
    let message = format!("VIP {} has no next hop towards neighbor {}", vip.address, neighbor.name);
    if key == "next_hop4" && !neighbor.extended_next_hop {
        let key =
            "next_hop4 = \"…\": this node's IPv4 address on the neighbor's link; or extended_next_hop = true";
        return Err(source.at(span, message).help(format!("add {key}")));
    }
    Err(source
        .at(span, message)
        .help(format!("add {key} = \"…\": this node's {family} address on the neighbor's link")))
}
