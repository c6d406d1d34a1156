//! What a lab can be asked to be.

use std::time::Duration;

/// How a lab is set up. The default is the deployment that the demo shows.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// Concurrent requests of one client on one node.
    pub conn_cur: u32,
    /// Requests of one client on one node within [`LabOptions::period`].
    pub http_req_rate: u32,
    /// The period of the rate.
    pub period: Duration,
    /// How servers are chosen: `roundrobin`, `leastconn`, `source`.
    pub balance: &'static str,
    /// Services whose clients stay on the server that they had first.
    pub sticky: Vec<&'static str>,
    /// Worker threads of each gateway.
    pub workers: usize,
    /// BGP's hold time on both sides.
    pub hold_time: u32,
    /// How long a drain announces worse before it withdraws.
    pub worsen_for: Duration,
    /// How long a gateway waits for what is in flight after SIGTERM.
    pub drain_timeout: Duration,
    /// The gateways know each other as peers.
    pub peers: bool,
    /// Networks whose X-Forwarded-For is believed.
    pub trusted_proxies: Vec<&'static str>,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self {
            conn_cur: 20,
            http_req_rate: 200,
            period: Duration::from_secs(10),
            balance: "roundrobin",
            sticky: vec!["compute"],
            workers: 2,
            hold_time: 3,
            worsen_for: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(10),
            peers: false,
            trusted_proxies: Vec::new(),
        }
    }
}
