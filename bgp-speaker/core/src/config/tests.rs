use super::*;

const GOOD: &str = r#"
[bgp]
asn = 65010
router_id = "10.0.0.2"
[[neighbor]]
name = "r1"
address = "10.0.0.1"
asn = 65000
[[vip]]
address = "203.0.113.1"
"#;

fn error(text: &str) -> Diagnostic {
    parse(&Source::new("bgp.toml", text)).expect_err(text)
}

/// What [`GOOD`] turns into when a line of it is replaced.
fn changed(line: &str, by: &str) -> Diagnostic {
    assert!(GOOD.contains(line));
    error(&GOOD.replacen(line, by, 1))
}

#[test]
fn the_sample_is_valid() {
    let sample = include_str!("../../../../configs/bgp.toml");
    let config = parse(&Source::new("configs/bgp.toml", sample)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((config.node.as_deref(), config.vips.len()), (Some("gw1"), 4));
    assert_eq!(config.vips[2].communities, [65010 << 16 | 3]);
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = parse(&Source::new("bgp.toml", GOOD)).unwrap();
    assert_eq!(config.bgp.hold_time, 9);
    assert_eq!(config.health.watch.to_string(), DEFAULT_WATCH);
    assert_eq!(config.health.dead_after, DEFAULT_DEAD_AFTER);
    let back = Return { soak: DEFAULT_SOAK, gate_soak: Duration::ZERO, hold_down: None };
    assert_eq!((config.probe.fall, config.vips[0].on_down), (DEFAULT_FALL, OnDown::Withdraw));
    assert_eq!((config.back, config.vips[0].backup_med), (back, crate::policy::WORST_MED));
    assert_eq!((config.neighbors[0].port, config.vips[0].med), (DEFAULT_PORT, DEFAULT_MED));
}

#[test]
fn bfd_is_off_and_has_its_defaults_when_it_is_on() {
    let bfd = |table: &str| {
        let text = GOOD.replace("asn = 65000", &format!("asn = 65000\n{table}"));
        parse(&Source::new("bgp.toml", text)).unwrap().neighbors[0].bfd
    };
    assert_eq!(bfd(""), None);
    let usual = bfd("bfd = {}").unwrap();
    assert_eq!(
        (usual.timers.desired_min_tx, usual.timers.required_min_rx),
        (DEFAULT_BFD_INTERVAL, DEFAULT_BFD_INTERVAL)
    );
    assert_eq!((usual.timers.multiplier.get(), usual.hops), (DEFAULT_BFD_MULTIPLIER, Hops::Single));
    let fast = bfd("bfd = { interval = \"50ms\", multiplier = 5, multihop = true, min_ttl = 250 }").unwrap();
    assert_eq!(fast.timers.desired_min_tx, Duration::from_millis(50));
    assert_eq!((fast.timers.multiplier.get(), fast.hops), (5, Hops::Multiple { min_ttl: 250 }));
}

#[test]
fn an_error_points_at_its_line_and_column() {
    let error = changed("asn = 65010", "asn = 65010\nhold_time = \"2s\"");
    assert_eq!((error.line, error.column), (4, 13));
    assert!(error.to_string().contains("3s to 65535s"), "{error}");
}

#[test]
fn what_cannot_work_is_refused_with_its_reason() {
    let cases = [
        ("asn = 65010", "asn = 0", "AS 0"),
        ("asn = 65000", "asn = 23456", "AS 23456"),
        ("asn = 65010", "asn = -1", "invalid value"),
        ("asn = 65010", "as = 1", "unknown field `as`"),
        ("asn = 65010", "asn = 1\nhold_time = \"1s\"", "hold time of 1s"),
        ("asn = 65010", "asn = 1\nhold_time = \"3500ms\"", "hold time"),
        ("asn = 65010", "asn = 1\nhold_time = \"65536s\"", "hold time"),
        ("asn = 65010", "asn = 1\nretry_max = \"1ms\"", "out of range"),
        ("[bgp]", "disable = \"disabled\"\n[bgp]", "depends on where"),
        ("\"10.0.0.2\"", "\"0.0.0.0\"", "not a usable BGP identifier"),
        ("\"10.0.0.1\"", "\"224.0.0.1\"", "multicast"),
        ("\"10.0.0.1\"", "\"0.0.0.0\"", "unspecified"),
        ("\"10.0.0.1\"", "\"fe80::1\"", "link-local"),
        ("\"10.0.0.1\"", "\"10.0.0.1\"\nsource = \"fd00::1\"", "no packet goes from"),
        ("\"10.0.0.1\"", "\"10.0.0.1\"\nport = 0", "port 0"),
        ("\"10.0.0.1\"", "\"10.0.0.1%eth0\"", "on any interface"),
        ("\"10.0.0.1\"", "\"r1.example\"", "no address"),
        ("\"10.0.0.1\"", "\"10.0.0.1\"\nmultihop = 0", "no link away"),
        ("\"10.0.0.1\"", "\"10.0.0.1\"\nmode = \"server\"", "unknown variant `server`"),
        ("\"10.0.0.1\"", "\"10.0.0.1\"\ngraceful_restart = \"2h\"", "out of range"),
        ("\"10.0.0.1\"", "\"10.0.0.1\"\nuse = \"tor\"", "no template tor"),
        ("asn = 65000", "port = 179", "missing field `asn`"),
        ("asn = 65000", "asn = 1\n[[template]]\nasn = 1", "without a name"),
        (
            "asn = 65000",
            "asn = 1\npassword = \"x\"\ntcp_ao = { send_id = 1, recv_id = 1, key = \"x\" }",
            "MD5 and TCP-AO",
        ),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\nextended_communities = [\"rt:1\"]", "not a community"),
        ("\"10.0.0.1\"", "\"10.0.0.1\"\nmax_prefixes = -1", "invalid value"),
        ("\"10.0.0.1\"", "\"10.0.0.1\"\npassword = \"\"", "1 to 80 bytes"),
        ("asn = 65000", "asn = 1\nbfd = { interval = \"9ms\" }", "out of range"),
        ("asn = 65000", "asn = 1\nbfd = { interval = \"11s\" }", "out of range"),
        ("asn = 65000", "asn = 1\nbfd = { interval = 50 }", "duration with its unit"),
        ("asn = 65000", "asn = 1\nbfd = { multiplier = 0 }", "1 to 255"),
        ("asn = 65000", "asn = 1\nbfd = { multiplier = 256 }", "invalid value"),
        ("asn = 65000", "asn = 1\nbfd = { min_ttl = 250 }", "multihop = true"),
        ("asn = 65000", "asn = 1\nbfd = { multihop = true }\nttl_security = true", "several hops"),
        ("asn = 65000", "asn = 1\nbfd = { passive = true }", "unknown field `passive`"),
        (
            "asn = 65000",
            "asn = 1\nbfd = {}\n[[neighbor]]\naddress = \"10.0.0.1\"\nport = 1790\nasn = 1\nbfd = {}",
            "two neighbors at 10.0.0.1 with BFD",
        ),
        ("\"203.0.113.1\"", "\"203.0.113.1/32\"", "invalid IP address"),
        ("\"203.0.113.1\"", "\"255.255.255.255\"", "broadcast"),
        ("\"203.0.113.1\"", "\"::ffff:1.2.3.4\"", "IPv4 in the shape of IPv6"),
        ("\"203.0.113.1\"", "\"2001:db8::1\"", "no next hop towards neighbor r1"),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\nmed = 4294967294", "nothing that is worse"),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\nmed = 4294967296", "invalid value"),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\nbackup_med = 100", "not worse than 100"),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\nbackup_med = 4294967295", "not worse"),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\n[plan]\n\"203.0.113.1\" = [\"gw1\"]", "not in the plan"),
        (
            "\"203.0.113.1\"",
            "\"203.0.113.1\"\nmed = 1\n[plan]\n\"203.0.113.1\" = [\"gw1\"]",
            "a metric of its own",
        ),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\n[plan]\n\"203.0.113.1\" = []", "0 nodes"),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\n[plan]\nx = [\"gw1\"]", "x is no address"),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\n[plan]\n\"203.0.113.1\" = [\"a\", \"a\"]", "there twice"),
        ("[bgp]", "node = \"a\"\nplan = { \"203.0.113.9\" = [\"a\"] }\n[bgp]", "no such VIP"),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\non_down = \"stay\"", "unknown variant `stay`"),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\n[probe]\nfall = 0", "0 is out of range"),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\n[probe]\nwindow = 65", "65 is out of range"),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\n[probe]\nwindow = 1", "2 failures never happen"),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\n[probe]\ninterval = \"1ms\"", "out of range"),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\n[probe]\ntimeout = \"300ms\"", "out of range"),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\nprobe = { type = \"tls\" }", "a check without a port"),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\nprobe = { type = \"icmp\" }", "unknown variant `icmp`"),
        (
            "\"203.0.113.1\"",
            "\"203.0.113.1\"\nprobe = { type = \"tcp\", port = 1, addr = \"203.0.113.2\" }",
            "goes elsewhere",
        ),
        (
            "\"203.0.113.1\"",
            "\"203.0.113.1\"\nprobe = { type = \"tcp\", port = 1, rise = 3 }",
            "have one pace",
        ),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\n[[gate]]\ntype = \"file\"", "needs its `path`"),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\n[return]\nsoak = \"2h\"", "out of range"),
        (
            "\"203.0.113.1\"",
            "\"203.0.113.1\"\n[return]\nhold_down = { changes = 0, within = \"1m\", wait = \"9s\" }",
            "after 0 changes",
        ),
        (
            "\"203.0.113.1\"",
            "\"203.0.113.1\"\n[return]\nhold_down = { changes = 3, within = \"1m\" }",
            "missing field `wait`",
        ),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\ncommunities = [\"65536:1\"]", "not a community"),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\nlarge_communities = [\"1:2\"]", "not a community"),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\nprobe = \"http://203.0.113.2/\"", "goes to 203.0.113.2"),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\nprobe = \"https://x/\"", "not a URL"),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\n[health]\ndead_after = \"10ms\"", "out of range"),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\n[health]\nwatch = \"http://localhost/\"", "not a URL"),
        ("\"203.0.113.1\"", "\"203.0.113.1\"\n[[vip]]\naddress = \"203.0.113.1\"", "there twice"),
        ("asn = 65000", "asn = 1\n[[neighbor]]\naddress = \"10.0.0.1\"\nasn = 1", "there twice"),
        (
            "asn = 65000",
            "asn = 1\n[[neighbor]]\nname = \"r1\"\naddress = \"10.0.0.3\"\nasn = 1",
            "are named r1",
        ),
    ];
    for (line, by, says) in cases {
        let error = changed(line, by);
        assert!(error.to_string().contains(says), "{by}: {error}");
        assert!(error.line > 1, "{by}: {error}");
    }
}

#[test]
fn a_neighbor_has_what_its_template_says_unless_it_says_otherwise_itself() {
    let text = GOOD.replace(
        "asn = 65000",
        "use = \"tor\"\nport = 1790\n[[template]]\nname = \"tor\"\nport = 1\nasn = 65000\nmode = \"both\"\nbfd = {}",
    );
    let config = parse(&Source::new("bgp.toml", text)).unwrap_or_else(|error| panic!("{error}"));
    let neighbor = &config.neighbors[0];
    assert_eq!((neighbor.port, neighbor.asn, neighbor.mode), (1790, 65000, Mode::Both));
    assert!(neighbor.bfd.is_some() && neighbor.name == "r1");
}

#[test]
fn a_link_local_neighbor_has_its_interface_in_the_address_or_in_a_key() {
    for by in ["\"fe80::1%eth0\"", "\"fe80::1\"\ninterface = \"eth0\""] {
        let text = GOOD.replace("\"10.0.0.1\"", &format!("{by}\nextended_next_hop = true"));
        let config = parse(&Source::new("bgp.toml", text)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(config.neighbors[0].interface.as_deref(), Some("eth0"));
    }
    let from = |address: &str| {
        let text = format!("\"{address}\"\nsource = \"fe80::2\"\nextended_next_hop = true");
        parse(&Source::new("bgp.toml", GOOD.replace("\"10.0.0.1\"", &text)))
    };
    assert!(from("fe80::1%eth0").is_ok());
    assert!(from("fd00::1").is_err(), "on which link?");
}

#[test]
fn a_next_hop_of_the_other_family_makes_a_vip_announceable() {
    let text = GOOD
        .replace("\"203.0.113.1\"", "\"2001:db8::1\"")
        .replace("asn = 65000", "asn = 1\nnext_hop6 = \"fd00::2\"");
    parse(&Source::new("bgp.toml", text)).unwrap();
}

#[test]
fn a_url_has_an_address_and_defaults_to_port_80() {
    let url = |text| Url::parse(text).map(|url| url.to_string());
    assert_eq!(url("http://203.0.113.1").as_deref(), Some("http://203.0.113.1:80/"));
    assert_eq!(url("http://[2001:db8::1]/x?y").as_deref(), Some("http://[2001:db8::1]:80/x?y"));
    assert_eq!(url("http://[2001:db8::1]:8404/").as_deref(), Some("http://[2001:db8::1]:8404/"));
    for bad in
        ["", "http://", "http://name/", "https://1.2.3.4/", "http://1.2.3.4/a b", "http://1.2.3.4:99999/"]
    {
        assert_eq!(url(bad), None, "{bad}");
    }
}

#[test]
fn a_password_never_shows() {
    assert!(!format!("{:?}", Password("geheim".to_owned())).contains("geheim"));
}

#[test]
fn a_vip_and_the_node_can_be_asked_about_in_every_way_that_a_server_can() {
    let more = "[probe]\ninterval = \"100ms\"\ntimeout = \"80ms\"\n\
                [[gate]]\ntype = \"file\"\npath = \"/run/ok\"\n[[gate]]\ntype = \"tcp\"\nport = 5\n\
                [[vip]]\naddress = \"203.0.113.7\"\nprobe = { type = \"tls\", port = 443, tls = { verify = \"none\" } }\n\
                [[vip]]\naddress = \"203.0.113.8\"\nprobe = { type = \"command\", command = \"/bin/true\" }\n";
    let config = parse(&Source::new("bgp.toml", GOOD.to_owned() + more)).expect("valid");
    assert_eq!(config.probe.interval, Duration::from_millis(100));
    assert_eq!(config.probe.timeout, Duration::from_millis(80));
    let target = |place: usize| config.vips[place].probe.as_ref().expect("it has one").target.to_string();
    let last = config.vips.len() - 1;
    assert_eq!((target(last - 1).as_str(), target(last).as_str()), ("203.0.113.7:443", "203.0.113.8:0"));
    assert_eq!(config.gates[1].target.to_string(), "127.0.0.1:5");
}
