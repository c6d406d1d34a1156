//! A server that comes back is warmed up (HAProxy manual, "slowstart"): its share grows evenly from next to
//! nothing to all of its weight. It does not hold at the start of the gateway.

use base_core::Time;
use std::time::Duration;

/// Weight, in parts of 1/[`STEPS`], of a server that came up at `since` (`None`: it was never down) and takes
/// `ramp` to get all of its `weight`.
pub fn ramped(weight: u32, since: Option<Time>, ramp: Duration, now: Time) -> u32 {
    let whole = weight * STEPS;
    let elapsed = match since {
        Some(since) if weight > 0 && !ramp.is_zero() => now - since,
        _ => return whole,
    };
    if elapsed >= ramp {
        return whole;
    }
    let part = u128::from(whole) * elapsed.as_nanos() / ramp.as_nanos();
    u32::try_from(part).unwrap_or(whole).max(1)
}

/// Parts of a weight, so that even a weight of 1 grows in steps.
pub const STEPS: u32 = 16;
