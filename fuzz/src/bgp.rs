//! A speaker with two VIPs and one neighbor.

use base_core::diagnose::Source;
use bgp_core::config::{self, Config};
use bgp_core::fsm::negotiate::{Local, Offer};
use bgp_core::fsm::{Mode, Settings};
use bgp_core::neighbor::Neighbor;
use std::time::Duration;

/// Its configuration.
pub fn config() -> Config {
    config::parse(&Source::new("bgp.toml", CONFIG)).expect("a good configuration")
}

/// What its session is set up with.
pub fn settings() -> Settings {
    let local = Local {
        asn: 65010,
        identifier: config().bgp.router_id,
        hold_time: 9,
        neighbor_asn: 65000,
        offer: Offer::default(),
    };
    Settings { local, mode: Mode::Both, retry_max: Duration::from_secs(10), max_prefixes: Some(100), seed: 1 }
}

/// Its neighbor.
pub fn neighbor() -> Neighbor {
    let config = config();
    let soak = config.back.session();
    Neighbor::new(config.neighbors[0].clone(), config.vips.into(), settings(), soak)
}

const CONFIG: &str = r#"
    [bgp]
    asn = 65010
    router_id = "10.0.0.2"
    [[neighbor]]
    address = "10.0.0.1"
    asn = 65000
    max_prefixes = 100
    [[vip]]
    address = "203.0.113.1"
    [[vip]]
    address = "203.0.113.2"
"#;
