//! The access log has HAProxy's httplog format: the same number and kinds of fields as HAProxy's own line
//! for the same request.

use crate::case;
use anyhow::{Context, Result, ensure};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tests::daemon::{Daemon, Recipe};
use tests::http::Request;
use tests::node::Node;
use tests::topology::{PORT, api_address, service_port};
use tests::{Lab, LabOptions};

#[test]
fn a_line_has_the_fields_of_haproxys_own() {
    case(&LabOptions::default(), |lab| {
        let node = lab.gateway(1);
        let haproxy = haproxy(node)?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for path in ["/whoami?line=1", "/status/404?line=2", "/stream?ms=200&every=50&line=3"] {
            fetch(lab, node, PORT, path)?;
            fetch(lab, node, HAPROXY_PORT, path)?;
            ours.push(node.wait_logged(path)?);
            theirs.push(tests::wait_until("a line of HAProxy", Duration::from_secs(2), || {
                Ok(haproxy.log().lines().find(|line| line.contains(path)).map(str::to_owned))
            })?);
        }
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let (our_shape, their_shape) = (shape(ours)?, shape(theirs)?);
            ensure!(
                our_shape == their_shape,
                "\nours:   {ours}\n        {our_shape:?}\ntheirs: {theirs}\n        {their_shape:?}"
            );
        }
        ensure!(ours[0].contains(" public compute/api"), "{}", ours[0]);
        ensure!(ours[1].contains(" 404 ") && ours[1].contains(" ---- "), "{}", ours[1]);
        times_add_up(&ours[2])
    });
}

/// `TR/Tw/Tc/Tr/Ta`: the fourth field after the date holds five times, and the last is the whole.
fn times_add_up(line: &str) -> Result<()> {
    let times = line.split(' ').find(|field| field.matches('/').count() == 4 && !field.contains(':'));
    let times = times.context("no times")?;
    let numbers: Vec<i64> = times.split('/').map(str::parse).collect::<Result<_, _>>()?;
    let whole = numbers.last().copied().unwrap_or_default();
    ensure!((150..1000).contains(&whole) && numbers.iter().all(|part| *part <= whole), "{line}");
    Ok(())
}

/// A line's fields, each reduced to its kind: digits to `9`, words to what they are.
fn shape(line: &str) -> Result<Vec<String>> {
    let start = line.find(|c: char| c.is_ascii_digit()).context("no client address")?;
    let (fields, request) = line[start..].split_once(" \"").context("no request")?;
    let kind = |field: &str| {
        if field.contains('/') && !field.bytes().any(|byte| byte.is_ascii_digit() || byte == b':') {
            return "name/name".to_owned();
        }
        let mut kinds: Vec<char> = Vec::new();
        for c in field.trim_start_matches('+').chars() {
            let kind = if c.is_ascii_digit() {
                '9'
            } else if c.is_ascii_alphabetic() {
                'a'
            } else {
                c
            };
            if !(kinds.last() == Some(&kind) && matches!(kind, '9' | 'a')) {
                kinds.push(kind);
            }
        }
        kinds.into_iter().collect()
    };
    let mut kinds: Vec<_> = fields.split(' ').map(kind).collect();
    kinds.push(request.to_owned());
    Ok(kinds)
}

fn fetch(lab: &Lab, node: &Node, port: u16, path: &str) -> Result<()> {
    let request = Request::get(SocketAddr::from((node.address(), port)), "compute.example", path);
    lab.fetch(request)?.map(drop).map_err(|failure| anyhow::anyhow!("port {port}: {failure}"))
}

/// A real HAProxy beside the gateway, with the same names and the same servers.
fn haproxy(node: &Node) -> Result<Daemon> {
    let mut config = format!(
        "global\n  log stdout format raw local0\ndefaults\n  mode http\n  log global\n  option httplog\n  \
         timeout connect 1s\n  timeout client 10s\n  timeout server 10s\n\
         frontend public\n  bind :{HAPROXY_PORT}\n  default_backend compute\nbackend compute\n"
    );
    for n in 1..=3 {
        config += &format!("  server api{n} {}:{}\n", api_address(n), service_port("compute"));
    }
    let file = node.folder().join("haproxy.cfg");
    std::fs::write(&file, config)?;
    let haproxy = Daemon::new(Recipe {
        name: "haproxy".to_owned(),
        namespace: Some(node.namespace().clone()),
        program: tests::system_program("haproxy")?,
        arguments: vec!["-db".to_owned(), "-f".to_owned(), text(&file)],
        folder: node.folder().to_owned(),
    });
    haproxy.start()?;
    let address = SocketAddr::from((node.address(), HAPROXY_PORT));
    tests::wait_until("HAProxy to listen", Duration::from_secs(5), || {
        node.namespace().within(|| std::net::TcpStream::connect(address)).map(Some)
    })?;
    Ok(haproxy)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

const HAPROXY_PORT: u16 = 8081;
