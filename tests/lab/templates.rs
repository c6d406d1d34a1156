//! The configurations that the lab writes: the gateway's, the speaker's, BIRD's.

use crate::options::LabOptions;
use crate::topology::{
    COUNT, NODE_AS, PORT, ROUTER_AS, SERVICES, VIPS, api_address, node_address, planned_med, service_port,
};
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

/// Where the gateway's admin listener is, in the node's namespace.
pub(crate) const ADMIN: &str = "127.0.0.1:8404";
/// Where the speaker's metrics are, in the node's namespace.
pub(crate) const SPEAKER_METRICS: &str = "127.0.0.1:9179";

/// Where gateways hear their peers.
const PEERS_PORT: u16 = 10000;

/// A gateway's place: what differs between a node of the lab and the one of the single demo.
pub(crate) struct GatewayPlace<'a> {
    pub(crate) node: &'a str,
    pub(crate) bind: &'a str,
    pub(crate) admin: &'a str,
    pub(crate) folder: &'a Path,
    /// The servers of a service: name and address.
    pub(crate) servers: &'a dyn Fn(&str) -> Vec<(String, SocketAddr)>,
}

/// The servers of a service in the lab: one on each API host.
pub(crate) fn lab_servers(service: &str) -> Vec<(String, SocketAddr)> {
    let port = service_port(service);
    (1..=COUNT).map(|n| (format!("api{n}"), SocketAddr::from((api_address(n), port)))).collect()
}

/// A gateway's configuration: three services, three servers each.
pub(crate) fn gateway(place: &GatewayPlace<'_>, options: &LabOptions) -> String {
    let GatewayPlace { node, bind, admin, folder, servers } = place;
    let LabOptions { conn_cur, http_req_rate, workers, balance, .. } = options;
    let (period, drain) = (options.period.as_millis(), options.drain_timeout.as_millis());
    let folder = folder.display();
    let trusted: Vec<_> = options.trusted_proxies.iter().map(|network| format!("{network:?}")).collect();
    let mut text = format!(
        r#"node = "{node}"
workers = {workers}

[admin]
bind = "{admin}"
socket = "{folder}/gateway.sock"

[log]
to = "{folder}/access.log"

[drain]
timeout = "{drain}ms"

[[stick_table]]
name = "clients"
size = 100000
expire = "5m"

[[frontend]]
name = "public"
bind = ["{bind}"]
monitor_uri = "/.headgate/alive"
default_backend = "compute"
trusted_proxies = [{}]

[[frontend.limit]]
table = "clients"
conn_cur = {conn_cur}
http_req_rate = {http_req_rate}
period = "{period}ms"
"#,
        trusted.join(", ")
    );
    if options.peers {
        text += &peers(node);
    }
    for service in SERVICES {
        let _ = write!(
            text,
            "\n[[frontend.route]]\nhost = \"{service}.example\"\nbackend = \"{service}\"\n\
             \n[[frontend.route]]\nhost = \"public.example\"\npath = \"/{service}/\"\nbackend = \"{service}\"\n"
        );
    }
    for service in SERVICES {
        let stick = if options.sticky.contains(&service) { "stick = \"clients\"\n" } else { "" };
        let _ = write!(
            text,
            "\n[[backend]]\nname = \"{service}\"\nbalance = \"{balance}\"\nretries = 3\n{stick}\
             check = {{ type = \"http\", uri = \"/health\", inter = \"200ms\", fastinter = \"100ms\", \
             downinter = \"200ms\", timeout = \"200ms\", rise = 2, fall = 2 }}\n\
             connect_timeout = \"1s\"\nserver_timeout = \"10s\"\n"
        );
        for (name, address) in servers(service) {
            let _ = write!(text, "\n[[backend.server]]\nname = \"{name}\"\naddress = \"{address}\"\n");
        }
    }
    text
}

/// All nodes as peers of `node`.
fn peers(node: &str) -> String {
    let nodes = (1..=COUNT).map(|n| (format!("gw{n}"), SocketAddr::from((node_address(n), PEERS_PORT))));
    let mut text = String::from("\n[peers]\nname = \"lab\"\npeer = [\n");
    let mut bind = None;
    for (name, address) in nodes {
        if name == node {
            bind = Some(address);
        } else {
            let _ = writeln!(text, "    {{ name = \"{name}\", address = \"{address}\" }},");
        }
    }
    text += "]\n";
    text + &bind.map(|bind| format!("local = \"{node}\"\nbind = \"{bind}\"\n")).unwrap_or_default()
}

/// The configuration of the speaker of node `n`.
pub(crate) fn speaker(n: usize, folder: &Path, options: &LabOptions) -> String {
    let (address, folder) = (node_address(n), folder.display());
    let router = SocketAddr::from(([10, 0, address.octets()[2], 1], 179)).ip();
    let mut text = format!(
        r#"node = "gw{n}"

[bgp]
asn = {NODE_AS}
router_id = "{address}"
hold_time = "{}s"
socket = "{folder}/bgp.sock"
metrics = "{SPEAKER_METRICS}"

[health]
watch = "http://{ADMIN}/health/watch"
dead_after = "300ms"

[drain]
worsen_for = "{}ms"

[[neighbor]]
name = "router"
address = "{router}"
asn = {ROUTER_AS}
source = "{address}"
"#,
        options.hold_time,
        options.worsen_for.as_millis()
    );
    for (index, vip) in VIPS.iter().enumerate() {
        let _ = write!(
            text,
            "\n[[vip]]\naddress = \"{vip}\"\nmed = {}\nloopback = true\nprobe = \"http://{vip}:{PORT}/.headgate/alive\"\n",
            planned_med(n, index + 1)
        );
    }
    text
}

/// The router's configuration. BIRD waits up to five minutes after an error before it talks to a
/// neighbor again, and refuses its connections meanwhile; the lab repairs within seconds, so it waits one.
pub(crate) fn bird(folder: &Path, hold_time: u32) -> String {
    let vips: Vec<_> = VIPS.iter().map(|vip| format!("{vip}/32")).collect();
    let mut text = format!(
        r#"router id 10.0.0.1;
log "{}/bird.log" all;
timeformat route iso long us;

protocol device {{ }}

protocol kernel {{
    ipv4 {{
        import none;
        export where source = RTS_BGP;
    }};
}}

filter vips {{
    if net !~ [{}] then reject;
    # RFC 8326, section 4: what is about to go away is taken last.
    if (65535, 0) ~ bgp_community then bgp_local_pref = 0;
    accept;
}}

template bgp node {{
    local as {ROUTER_AS};
    hold time {hold_time};
    connect delay time 1;
    connect retry time 2;
    error wait time 1, 1;
    error forget time 1;
    ipv4 {{
        import filter vips;
        export none;
    }};
}}
"#,
        folder.display(),
        vips.join(", ")
    );
    for n in 1..=COUNT {
        let _ =
            write!(text, "\nprotocol bgp gw{n} from node {{ neighbor {} as {NODE_AS}; }}\n", node_address(n));
    }
    text
}
