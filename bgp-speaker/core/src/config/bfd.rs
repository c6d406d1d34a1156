//! A neighbor's `bfd` table.

use super::schema;
use super::validate::{Checked, within};
use super::{Bfd, DEFAULT_BFD_INTERVAL, DEFAULT_BFD_MIN_TTL, DEFAULT_BFD_MULTIPLIER};
use super::{MAX_BFD_INTERVAL, MIN_BFD_INTERVAL};
use crate::bfd::{Hops, Timers};
use base_core::diagnose::Source;
use std::num::NonZeroU8;
use toml::Spanned;

/// `ttl_security` is what the neighbor has for its BGP session.
pub(super) fn bfd(bfd: Spanned<schema::Bfd>, ttl_security: bool, source: &Source) -> Checked<Bfd> {
    let span = bfd.span();
    let bfd = bfd.into_inner();
    if bfd.multihop && ttl_security {
        return Err(source
            .at(span, "BFD over several hops beside ttl_security, which allows one")
            .help("multihop = false, or ttl_security = false"));
    }
    let interval = bfd.interval.map_or(Ok(DEFAULT_BFD_INTERVAL), |interval| {
        within(&interval, MIN_BFD_INTERVAL, MAX_BFD_INTERVAL, source)
    })?;
    let multiplier = match &bfd.multiplier {
        None => DEFAULT_BFD_MULTIPLIER,
        Some(multiplier) => *multiplier.get_ref(),
    };
    let multiplier = NonZeroU8::new(multiplier).ok_or_else(|| {
        let span = bfd.multiplier.as_ref().map_or(span, Spanned::span);
        source.at(span, "no lost packet at all would be one too many").help("1 to 255; 3 is usual")
    })?;
    let hops = match (bfd.multihop, bfd.min_ttl) {
        (false, None) => Hops::Single,
        (true, min_ttl) => {
            Hops::Multiple { min_ttl: min_ttl.map_or(DEFAULT_BFD_MIN_TTL, Spanned::into_inner) }
        }
        (false, Some(min_ttl)) => {
            return Err(source
                .at(min_ttl.span(), "on one link every packet arrives with 255")
                .help("leave min_ttl out, or add multihop = true"));
        }
    };
    Ok(Bfd { timers: Timers { desired_min_tx: interval, required_min_rx: interval, multiplier }, hops })
}
