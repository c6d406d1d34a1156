//! `docs/haproxy.md` says of every directive that OpenStack's templates use how it is written here, and what
//! it shows loads.

use crate::documents::{check, document, examples};

#[test]
fn every_example_for_who_comes_from_haproxy_loads() {
    check(&examples("haproxy.md"));
}

#[test]
fn no_directive_of_openstacks_templates_is_missing() {
    let document = document("haproxy.md");
    let rows: Vec<_> =
        document.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).collect();
    let said = |directive: &str| {
        rows.iter().any(|row| {
            row.split('`').skip(1).step_by(2).any(|word| word == directive || ends(word, directive))
        })
    };
    let missing: Vec<_> =
        DIRECTIVES.iter().flat_map(|list| list.split(", ")).filter(|word| !said(word)).collect();
    assert!(missing.is_empty(), "docs/haproxy.md says nothing of {missing:?}");
}

/// `bind … alpn` speaks of `alpn`.
fn ends(word: &str, directive: &str) -> bool {
    word.strip_suffix(directive).is_some_and(|start| start.ends_with(' '))
}

/// What the templates of kolla-ansible, openstack-ansible and Octavia use.
const DIRECTIVES: [&str; 9] = [
    "daemon, user, group, chroot, pidfile, log, maxconn, nbthread, cpu-map, stats socket, server-state-file, ca-base, \
     crt-base, localpeer, hard-stop-after",
    "ssl-default-bind-options, ssl-default-bind-ciphers, ssl-default-bind-ciphersuites, ssl-default-server-options, \
     ssl-default-server-ciphers, ssl-default-server-ciphersuites, tune.ssl.default-dh-param, tune.ssl.cachesize",
    "defaults, from, listen, peers, peer, table, userlist, user insecure-password",
    "bind, bind … ssl crt, crt-list, ca-file, verify, crl-file, alpn, ciphers, no-tlsv10, no-tlsv11, interface, accept-proxy, \
     mode, acl, use_backend, default_backend, redirect scheme, redirect prefix, redirect location, code",
    "src, path, path_beg, path_end, path_reg, hdr(host), req.hdr(), req.cook(), ssl_fc, ssl_c_verify, ssl_c_used, ssl_c_s_dn(), \
     http_auth, -m str, -m beg, -m end, -m sub, -m reg, -m dom, -i, -f, or, !",
    "http-request deny, deny_status, http-request auth, http-request set-header, http-request add-header, http-request del-header, \
     http-request track-sc0, http-request use-service prometheus-exporter, http-request return, http-response set-header, \
     tcp-request inspect-delay, tcp-request connection accept, tcp-request connection reject, tcp-request content reject",
    "option httplog, option tcplog, option forwardfor, except, option httpclose, option http-keep-alive, option clitcpka, \
     option dontlognull, log-format, monitor-uri, timeout client, timeout http-request, timeout http-keep-alive, timeout tunnel, \
     %[dst_port], %[ssl_c_verify], %{+Q}[ssl_c_s_dn(cn)], %[ssl_c_sha1,hex]",
    "balance, http-reuse, stick-table type, size, expire, stick-table … store, stick-table … peers, stick on src, stick match, \
     stick store-response, cookie SRV insert indirect nocache, option httpchk, http-check send hdr, http-check expect status, \
     rstatus, string, external-check command, retries, option redispatch, option allbackups, fullconn, timeout check, \
     timeout connect, timeout server, timeout queue, load-server-state-from-file",
    "server, check, inter, rise, fall, port, addr, weight, backup, disabled, cookie, ssl, crt, sni, proto, check-ssl, check-alpn, \
     send-proxy, send-proxy-v2, send-proxy-v2-ssl-cn, on-marked-down shutdown-sessions",
];
