//! What is counted: in a format that Prometheus reads, under names that the documents know.

use crate::documents::document;
use crate::harness::{Gateway, Server, pair};
use std::collections::{BTreeMap, BTreeSet};

/// One line of the text format: its name, labels and value.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let labels_are_pairs =
        labels.is_empty() || labels.split("\",").all(|pair| pair.split_once("=\"").is_some());
    (is_name && labels_are_pairs).then_some((name, labels, value.parse().ok()?))
}

/// Checks the text format: each family is declared once, and its samples follow; no series comes twice.
fn families(text: &str) -> BTreeMap<String, String> {
    let mut families = BTreeMap::new();
    let mut series = BTreeSet::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').expect("a name and a type");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(families.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is declared twice");
            current = name.to_owned();
        } else if let Some(help) = line.strip_prefix("# HELP ") {
            assert!(help.split_once(' ').is_some_and(|(_, help)| !help.is_empty()), "{line}");
        } else {
            let (name, labels, value) = sample(line).unwrap_or_else(|| panic!("no sample: {line}"));
            let suffix =
                name.strip_prefix(current.as_str()).unwrap_or_else(|| panic!("{line} is not of {current}"));
            let is_histogram = families[&current] == "histogram";
            assert!(suffix.is_empty() != is_histogram, "{line}");
            assert!(value >= 0.0 && (families[&current] != "counter" || name.ends_with("_total")), "{line}");
            assert!(series.insert(format!("{name}{{{labels}}}")), "{line} comes twice");
        }
    }
    families
}

#[test]
fn the_text_is_prometheus_and_counts_what_happened() {
    let server = Server::named("s1");
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = pair(folder.path(), "api.example");
    let gateway = Gateway::before(
        &[server.address],
        &format!(
            "tls = {{ cert = \"{}\", key = \"{}\" }}\n\
             limit = [{{ table = \"clients\", http_req_rate = 4, period = \"1h\" }}]\n\
             [[frontend.rule]]\nif = {{ path = \"/no\" }}\ndeny = {{ status = 403, reason = \"no\" }}",
            cert.display(),
            key.display()
        ),
    );
    let url = |path: &str| format!("https://{}{path}", gateway.front);
    for path in ["/", "/no", "/", "/", "/limited"] {
        let curl = std::process::Command::new("curl").args(["-sSk", "--max-time", "20", &url(path)]).output();
        assert!(curl.expect("curl runs").status.success());
    }
    // No handshake.
    gateway.raw(b"GET / HTTP/1.1\r\n\r\n");
    let answer = gateway.get_admin("/metrics");
    let (head, text) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.to_ascii_lowercase().contains("content-type: text/plain; version=0.0.4"), "{head}");
    let families = families(text);
    for (name, value) in [
        ("headgate_ready", 1.0),
        ("headgate_requests_total{code=\"2xx\",frontend=\"fe\"}", 3.0),
        ("headgate_requests_total{code=\"4xx\",frontend=\"fe\"}", 2.0),
        ("headgate_refused_total{frontend=\"fe\",reason=\"no\"}", 1.0),
        ("headgate_refused_total{frontend=\"fe\",reason=\"http_req_rate\"}", 1.0),
        ("headgate_failures_total{frontend=\"fe\",termination=\"PR\"}", 2.0),
        ("headgate_tls_handshakes_total{frontend=\"fe\",kind=\"full\"}", 5.0),
        ("headgate_tls_failures_total{frontend=\"fe\"}", 1.0),
        ("headgate_connections_total{frontend=\"fe\"}", 6.0),
        ("headgate_response_seconds_count{backend=\"be\"}", 3.0),
        ("headgate_total_seconds_count{backend=\"be\"}", 3.0),
        ("headgate_total_seconds_bucket{backend=\"be\",le=\"+Inf\"}", 3.0),
        ("headgate_queue_seconds_count{backend=\"be\"}", 0.0),
        ("headgate_server_up{backend=\"be\",server=\"s1\"}", 1.0),
        ("headgate_server_requests_total{backend=\"be\",server=\"s1\"}", 3.0),
        ("headgate_table_entries{table=\"clients\"}", 1.0),
        ("headgate_log_dropped_total", 0.0),
    ] {
        assert_eq!(gateway.metric(name), value, "{name}");
    }
    let documented = documented();
    for name in families.keys() {
        assert!(documented.contains(name), "{name} has no row in docs/metrics.md");
    }
}

fn documented() -> BTreeSet<String> {
    let row = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    document("metrics.md").lines().filter_map(row).collect()
}

#[test]
fn every_metric_of_the_source_is_documented_and_no_other() {
    let names = document("../gateway/core/src/names.rs");
    let named: BTreeSet<String> =
        names.split('"').filter(|part| part.starts_with("headgate_")).map(str::to_owned).collect();
    assert_eq!(documented(), named);
}

#[test]
fn who_is_limited_is_told_how_and_until_when() {
    let server = Server::named("s1");
    let gateway = Gateway::before(
        &[server.address],
        "limit = [{ table = \"clients\", http_req_rate = 2, period = \"10s\" }]",
    );
    assert!(gateway.get("/").contains("200 OK") && gateway.get("/").contains("200 OK"));
    let refused = gateway.get("/").to_ascii_lowercase();
    let field = |name: &str| {
        let line = refused.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("{name} is in {refused}")).to_owned()
    };
    let wait: u64 = field("retry-after").parse().expect("seconds");
    assert!((1..=20).contains(&wait), "{wait}");
    assert_eq!(field("ratelimit-policy"), "\"http_req_rate\";q=2;w=10");
    assert_eq!(field("ratelimit"), format!("\"http_req_rate\";r=0;t={wait}"));
}
