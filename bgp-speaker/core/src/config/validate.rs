//! From the file's shape to a [`Config`]: every rule that needs more than a type.

use super::communities::{self, NO_LLGR};
use super::neighbor::neighbors;
use super::plan::{Place, Plan};
use super::schema::{self, File};
use super::{Bgp, Config, Drain, Health, Return, Url, Verify, Vip};
use crate::gate::{Fall, Pace};
use crate::policy::WORST_MED;
use crate::soak::HoldDown;
use base_core::diagnose::{Diagnostic, Source};
use base_core::units::Span;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

pub(super) type Checked<T> = Result<T, Diagnostic>;

pub(super) fn validate(file: File, source: &Source) -> Checked<Config> {
    let plan = super::plan::plan(&file, source)?;
    let config = Config {
        vips: vips(file.vip, file.node.as_deref(), &plan, file.bgp.no_llgr, source)?,
        plan,
        node: file.node,
        disable: file.disable.map(|path| disable(path, source)).transpose()?,
        bgp: bgp(file.bgp, source)?,
        health: health(file.health, source)?,
        drain: drain(&file.drain, source)?,
        keep_last: keep_last(&file.keep_last, source)?,
        verify: verify(&file.verify, source)?,
        back: back(&file.back, source)?,
        probe: probe(&file.probe, source)?,
        text_api: super::text_api::text_api(file.text_api, file.process, source)?,
        gates: super::probe::gates(&file.gate, source)?,
        neighbors: Vec::new(),
    };
    let neighbors = neighbors(file.neighbor, file.template, &config, source)?;
    Ok(Config { neighbors, ..config })
}

fn disable(path: Spanned<PathBuf>, source: &Source) -> Checked<PathBuf> {
    if !path.get_ref().is_absolute() {
        let message = format!("{} depends on where the speaker is started", path.get_ref().display());
        return Err(source.at(path.span(), message).help("an absolute path, such as /etc/headgate/disabled"));
    }
    Ok(path.into_inner())
}

fn bgp(bgp: schema::Bgp, source: &Source) -> Checked<Bgp> {
    let router_id = *bgp.router_id.get_ref();
    if router_id.is_unspecified() || router_id.is_multicast() || router_id.is_broadcast() {
        let message = format!("{router_id} is not a usable BGP identifier");
        return Err(source
            .at(bgp.router_id.span(), message)
            .help("an IPv4 address of this node that no other node has"));
    }
    let retry_max = bgp.retry_max.map_or(Ok(super::DEFAULT_RETRY_MAX), |span| {
        within(&span, Duration::from_secs(1), Duration::from_secs(600), source)
    })?;
    Ok(Bgp {
        asn: asn(&bgp.asn, source)?,
        router_id,
        hold_time: hold_time(bgp.hold_time, source)?,
        retry_max,
        listen: bgp.listen,
        socket: bgp.socket.unwrap_or_else(|| Spanned::new(0..0, super::DEFAULT_SOCKET.into())),
        metrics: bgp.metrics,
    })
}

fn hold_time(span: Option<Spanned<Span>>, source: &Source) -> Checked<u16> {
    let value = span.as_ref().map_or(super::DEFAULT_HOLD_TIME, |span| span.get_ref().0);
    let seconds = u16::try_from(value.as_secs()).ok().filter(|_| value.subsec_nanos() == 0);
    match (seconds, span) {
        (Some(seconds), _) if !matches!(seconds, 1 | 2) => Ok(seconds),
        (_, None) => Ok(9),
        (_, Some(span)) => Err(source
            .at(span.span(), format!("a hold time of {value:?} cannot be asked for"))
            .help("whole seconds from 3s to 65535s, or 0s to do without (RFC 4271 section 4.2)")),
    }
}

fn health(health: schema::Health, source: &Source) -> Checked<Health> {
    let watch = match &health.watch {
        Some(watch) => url(watch, source)?,
        None => Url::parse(super::DEFAULT_WATCH).unwrap_or_else(|| unreachable!("the default is a URL")),
    };
    let dead_after = health.dead_after.map_or(Ok(super::DEFAULT_DEAD_AFTER), |span| {
        within(&span, Duration::from_millis(150), Duration::from_secs(60), source)
    })?;
    Ok(Health { watch, dead_after })
}

fn drain(drain: &schema::Drain, source: &Source) -> Checked<Drain> {
    let time = |span: &Option<Spanned<Span>>, default, most| {
        span.as_ref().map_or(Ok(default), |span| within(span, Duration::ZERO, most, source))
    };
    Ok(Drain {
        settle: time(&drain.settle, super::DEFAULT_SETTLE, super::MAX_SOAK)?,
        worsen_for: drain.worsen_for.map_or(super::DEFAULT_WORSEN_FOR, |span| span.0),
        gone_for: time(&drain.gone_for, super::DEFAULT_GONE_FOR, Duration::from_secs(60))?,
    })
}

fn keep_last(raw: &schema::KeepLast, source: &Source) -> Checked<Option<Duration>> {
    let time = raw.time.as_ref().map_or(Ok(super::DEFAULT_KEEP_LAST), |span| {
        within(span, Duration::from_secs(1), super::MAX_KEEP_LAST, source)
    })?;
    Ok(raw.enabled.unwrap_or(true).then_some(time))
}

fn verify(raw: &schema::Verify, source: &Source) -> Checked<Verify> {
    let stuck_after = raw.stuck_after.as_ref().map_or(Ok(super::DEFAULT_STUCK_AFTER), |span| {
        within(span, Duration::from_secs(1), super::MAX_SOAK, source)
    })?;
    Ok(Verify { stuck_after, traffic: raw.traffic.unwrap_or_default() })
}

fn back(back: &schema::Return, source: &Source) -> Checked<Return> {
    let soak = |span: &Option<Spanned<Span>>, default| {
        span.as_ref().map_or(Ok(default), |span| within(span, Duration::ZERO, super::MAX_SOAK, source))
    };
    Ok(Return {
        soak: soak(&back.soak, super::DEFAULT_SOAK)?,
        gate_soak: soak(&back.gate_soak, super::DEFAULT_GATE_SOAK)?,
        hold_down: back.hold_down.as_ref().map(|raw| hold_down(raw, source)).transpose()?,
    })
}

fn probe(raw: &schema::Probe, source: &Source) -> Checked<Pace> {
    let number = |span: &Option<Spanned<u32>>, default, most| match span {
        Some(span) if !(1..=most).contains(span.get_ref()) => Err(source
            .at(span.span(), format!("{} is out of range", span.get_ref()))
            .help(format!("1 to {most}"))),
        Some(span) => Ok(*span.get_ref()),
        None => Ok(default),
    };
    let fall = number(&raw.fall, super::DEFAULT_FALL.fall, super::MAX_WINDOW)?;
    let window = number(&raw.window, super::DEFAULT_FALL.window.max(fall), super::MAX_WINDOW)?;
    if fall > window {
        let span = raw.window.as_ref().or(raw.fall.as_ref()).map_or(0..0, Spanned::span);
        let message = format!("{fall} failures never happen among {window} requests");
        return Err(source.at(span, message).help("fall at most as large as window"));
    }
    super::probe::pace(raw, Fall { fall, window }, source)
}

fn hold_down(raw: &schema::HoldDown, source: &Source) -> Checked<HoldDown> {
    let changes = *raw.changes.get_ref();
    if !(1..=super::MAX_CHANGES).contains(&changes) {
        let message = format!("hold-down after {changes} changes");
        return Err(source.at(raw.changes.span(), message).help(format!("1 to {}", super::MAX_CHANGES)));
    }
    let second = Duration::from_secs(1);
    Ok(HoldDown {
        changes: changes.into(),
        within: within(&raw.within, second, super::MAX_SOAK, source)?,
        wait: within(&raw.wait, second, super::MAX_SOAK, source)?,
    })
}

fn vips(
    list: Vec<Spanned<schema::Vip>>,
    node: Option<&str>,
    plan: &Plan,
    no_llgr: bool,
    source: &Source,
) -> Checked<Vec<Vip>> {
    let mut seen = BTreeSet::new();
    if let Some(extra) = list.get(super::MAX_VIPS) {
        return Err(source.at(extra.span(), format!("more than {} VIPs", super::MAX_VIPS)));
    }
    let place = |raw: &schema::Vip| super::plan::place(&raw.address, raw.med.as_ref(), node, plan, source);
    let vip = |spanned: Spanned<schema::Vip>| {
        let raw = spanned.into_inner();
        let place = place(&raw)?;
        let mut vip = vip(raw, place, &mut seen, source)?;
        if no_llgr && !vip.communities.contains(&NO_LLGR) {
            vip.communities.push(NO_LLGR);
        }
        Ok(vip)
    };
    list.into_iter().map(vip).collect()
}

fn vip(vip: schema::Vip, place: Option<Place>, seen: &mut BTreeSet<IpAddr>, source: &Source) -> Checked<Vip> {
    let address = *vip.address.get_ref();
    host(&vip.address, source)?;
    if !seen.insert(address) {
        return Err(source.at(vip.address.span(), format!("VIP {address} is there twice")));
    }
    let probe = vip.probe.as_ref().map(|probe| super::probe::of_vip(probe, address, source)).transpose()?;
    let planned = place.map_or(super::DEFAULT_MED, Place::med);
    let med = vip.med.map_or(Ok(planned), |med| self::med(&med, source))?;
    Ok(Vip {
        address,
        med,
        place: place.unwrap_or(Place::ALONE),
        backup_med: vip.backup_med.map_or(Ok(WORST_MED), |backup| backup_med(&backup, med, source))?,
        loopback: vip.loopback,
        probe,
        on_down: vip.on_down,
        communities: communities::standard(&vip.communities, source)?,
        large_communities: communities::large(&vip.large_communities, source)?,
        extended_communities: communities::extended(&vip.extended_communities, source)?,
    })
}

/// The two largest are kept for VIPs that are worsened, so that worse is always worse.
fn med(med: &Spanned<u32>, source: &Source) -> Checked<u32> {
    let value = *med.get_ref();
    if value >= WORST_MED {
        let message = format!("the metric {value} leaves nothing that is worse");
        return Err(source.at(med.span(), message).help("0 to 4294967293; the lowest gets the traffic"));
    }
    Ok(value)
}

fn backup_med(backup: &Spanned<u32>, med: u32, source: &Source) -> Checked<u32> {
    let value = *backup.get_ref();
    if !(med..=WORST_MED).contains(&value) || value == med {
        let message = format!("a backup metric of {value} is not worse than {med}");
        return Err(source.at(backup.span(), message).help(format!("above med, up to {WORST_MED}")));
    }
    Ok(value)
}

pub(super) fn asn(asn: &Spanned<u32>, source: &Source) -> Checked<u32> {
    match *asn.get_ref() {
        0 => Err(source.at(asn.span(), "AS 0 belongs to nobody (RFC 7607)").help("1 to 4294967295")),
        23456 => Err(source
            .at(asn.span(), "AS 23456 only stands in for others (RFC 6793)")
            .help("your own AS number")),
        number => Ok(number),
    }
}

pub(super) fn host(address: &Spanned<IpAddr>, source: &Source) -> Checked<()> {
    let value = *address.get_ref();
    let wrong = match value {
        _ if value.is_unspecified() => "unspecified",
        _ if value.is_multicast() => "a multicast address",
        IpAddr::V4(v4) if v4.is_broadcast() => "the broadcast address",
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => "IPv4 in the shape of IPv6",
        IpAddr::V6(v6) if v6.is_unicast_link_local() => "link-local, which means nothing beyond one link",
        _ => return Ok(()),
    };
    Err(source.at(address.span(), format!("{value} is {wrong}")).help("the unicast address of one host"))
}

fn url(text: &Spanned<String>, source: &Source) -> Checked<Url> {
    Url::parse(text.get_ref()).ok_or_else(|| {
        source
            .at(text.span(), "not a URL that can be asked")
            .help("http://ADDRESS:PORT/PATH, with an address, not a name")
    })
}

pub(super) fn within(
    span: &Spanned<Span>,
    least: Duration,
    most: Duration,
    source: &Source,
) -> Checked<Duration> {
    let value = span.get_ref().0;
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(source.at(span.span(), format!("{value:?} is out of range")).help(format!("{least:?} to {most:?}")))
}

pub(super) fn widen<A: Copy + Into<IpAddr>>(address: &Spanned<A>) -> Spanned<IpAddr> {
    Spanned::new(address.span(), (*address.get_ref()).into())
}
