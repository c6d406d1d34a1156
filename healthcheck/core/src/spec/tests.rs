use super::*;
use base_core::diagnose::{Diagnostic, Source};

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Backend {
    check: CheckSpec,
}

fn read(check: &str) -> Result<CheckSpec, Diagnostic> {
    Source::new("gateway.toml", format!("check = {{ {check} }}\n"))
        .parse::<Backend>()
        .map(|backend| backend.check)
}

#[test]
fn what_is_not_said_is_as_in_haproxy() {
    let check = read(r#"type = "http""#).expect("all keys have defaults");
    // A server's check speaks TLS as the server does, without a word.
    let written = |kind| CheckSpec { inherits_tls: true, ..CheckSpec::new(kind) };
    assert_eq!(check, written(Kind::Http(HttpCheck::default())));
    let Timing { inter, fastinter, downinter, timeout, rise, fall } = check.timing;
    assert_eq!([inter, fastinter, downinter, timeout], [Duration::from_secs(2); 4]);
    assert_eq!((rise, fall), (2, 3));
    assert_eq!(read(r#"type = "tcp""#).expect("valid"), written(Kind::Tcp));
    let check = read(r#"type = "tcp", inter = "1s""#).expect("valid");
    assert_eq!(
        [check.timing.fastinter, check.timing.downinter, check.timing.timeout],
        [Duration::from_secs(1); 3]
    );
}

#[test]
fn all_keys_are_read() {
    let check = read(
        r#"type = "http", uri = "/health?deep=1", method = "HEAD", host = "api.example", expect = "200,204-206",
           addr = "::1", port = 81, inter = "1s", fastinter = "200ms", downinter = "5s", timeout = "500ms",
           rise = 1, fall = 1"#
            .replace('\n', " ")
            .as_str(),
    )
    .expect("valid");
    let Kind::Http(http) = &check.kind else { panic!("it is http") };
    assert_eq!((http.uri.as_str(), http.method.as_str()), ("/health?deep=1", "HEAD"));
    assert_eq!(http.host.as_deref(), Some("api.example"));
    assert_eq!(http.expect.to_string(), "200,204-206");
    let server = "10.0.0.1:80".parse().expect("an address");
    assert_eq!(check.target(server).to_string(), "[::1]:81");
    assert_eq!(CheckSpec::new(Kind::Tcp).target(server), server);
    assert_eq!((check.timing.downinter, check.timing.rise), (Duration::from_secs(5), 1));
}

#[test]
fn what_makes_no_sense_is_refused_where_it_stands() {
    let cases = [
        (r#"uri = "/""#, "missing field `type`"),
        (r#"type = "icmp""#, "unknown variant `icmp`"),
        (r#"type = "http", url = "/""#, "unknown field `url`"),
        (r#"type = "tcp", uri = "/""#, "`uri` has no meaning"),
        (r#"type = "tcp", expect = 200"#, "`expect` has no meaning"),
        (r#"type = "http", steps = []"#, "`steps` has no meaning"),
        (r#"type = "mysql", tls = true"#, "`tls` has no meaning"),
        (r#"type = "mysql", wsrep_ready = true"#, "need a `user`"),
        (r#"type = "redis", user = "u""#, "needs a `password`"),
        (r#"type = "redis", password = "a\nb""#, "`password` of a check is 1 to"),
        (r#"type = "tcp", steps = []"#, "are 1 to 32"),
        (r#"type = "tcp", steps = [{ send = "x" }]"#, "expect something at least once"),
        (r#"type = "tcp", steps = [{ send = "x", expect = "y" }]"#, "a step of a check is one of"),
        (r#"type = "tcp", steps = [{ send = "x", not = true }]"#, "a step of a check is one of"),
        (r#"type = "tcp", steps = [{ expect_hex = "0" }]"#, "no pairs of hexadecimal digits"),
        (r#"type = "tcp", steps = [{ regex = "(" }]"#, "unclosed group"),
        (r#"type = "http", expect = { string = "" }"#, "nothing to look for"),
        (r#"type = "http", expect = { regexp = "" }"#, "unknown field `regexp`"),
        (r#"type = "http", method = "HEAD", expect = { string = "x" }"#, "no body to look into"),
        (r#"type = "http", headers = { Host = "x" }"#, "its key `host`"),
        (r#"type = "http", headers = { X = "a\nb" }"#, "can't stand in `headers`"),
        (r#"type = "http", version = "2""#, "unknown variant `2`"),
        (r#"type = "command""#, "needs its `command`"),
        (r#"type = "file""#, "needs its `path`"),
        (r#"type = "tcp", path = "/x""#, "`path` has no meaning"),
        (r#"type = "command", command = "check""#, "the path of a program"),
        (r#"type = "command", command = "/x", tls = true"#, "`tls` has no meaning"),
        (r#"type = "tls", tls = { verify = "none", ca_file = "/x" }"#, "`ca_file` of a check has no meaning"),
        (r#"type = "tls", tls = { sni = "a b" }"#, "`sni` of a check"),
        (r#"type = "http", uri = "health""#, "`uri` of a check is a path"),
        (r#"type = "http", uri = "/a b""#, "`uri` of a check is a path"),
        (r#"type = "http", uri = "/\r\nx: y""#, "`uri` of a check is a path"),
        (r#"type = "http", host = "a\nb""#, "`host` of a check"),
        (r#"type = "http", method = "get""#, "`method` of a check"),
        (r#"type = "http", expect = "2xx""#, "an HTTP status or ranges"),
        (r#"type = "http", expect = 99"#, "an HTTP status or ranges"),
        (r#"type = "http", expect = true"#, "an HTTP status or ranges"),
        (r#"type = "tcp", port = 0"#, "`port` of a check"),
        (r#"type = "tcp", addr = "localhost""#, "IP address"),
        (r#"type = "tcp", inter = 5"#, "a duration with its unit"),
        (r#"type = "tcp", inter = "0s""#, "`inter` of a check is at least 10ms"),
        (r#"type = "tcp", fastinter = "1ms""#, "`fastinter` of a check"),
        (r#"type = "tcp", timeout = "3s""#, "`timeout` of a check is between 1ms and `inter` (2s)"),
        (r#"type = "tcp", timeout = "0s""#, "`timeout` of a check"),
        (r#"type = "tcp", rise = 0"#, "`rise` and `fall`"),
    ];
    for (check, expected) in cases {
        let error = read(check).expect_err(check);
        assert!(error.to_string().contains(expected), "{check}: {error}");
        assert_eq!(error.line, 1, "{check}: {error}");
        assert!(error.column >= 9, "it points into the check, {check}: {error}");
    }
}

#[test]
fn statuses_are_a_list_of_ranges() {
    let expect: Expect = "200, 300-399".parse().expect("valid");
    assert!(expect.matches(200) && expect.matches(399) && !expect.matches(204));
    assert!(Expect::default().matches(301) && !Expect::default().matches(404));
    for bad in ["", "200-", "-200", "399-300", "600", "200,,201", "1-2-3", &["200"; 17].join(",")] {
        assert!(bad.parse::<Expect>().is_err(), "{bad}");
    }
    assert_eq!(expect.to_string().parse::<Expect>(), Ok(expect));
}

#[test]
fn each_type_takes_its_own_keys() {
    let kind = |check: &str| read(check).expect(check).kind;
    let user = || Some("u".to_owned());
    let password = Some(Secret::new("p".to_owned()));
    let login = MysqlLogin { user: user(), password: password.clone(), wsrep_ready: true };
    assert_eq!(kind(r#"type = "mysql", user = "u", password = "p", wsrep_ready = true"#), Kind::Mysql(login));
    assert_eq!(kind(r#"type = "mysql""#), Kind::Mysql(MysqlLogin::default()));
    assert_eq!(kind(r#"type = "redis", user = "u", password = "p""#), Kind::Redis { user: user(), password });
    let postgres = Kind::Postgres { user: "headgate".to_owned(), database: None };
    assert_eq!(kind(r#"type = "postgres""#), postgres);
    assert_eq!(kind(r#"type = "grpc", service = "a.B""#), Kind::Grpc { service: "a.B".to_owned() });
    assert_eq!(kind(r#"type = "smtp""#), Kind::Smtp { hello: "localhost".to_owned() });
    let Kind::Steps(steps) =
        kind(r#"type = "tcp", steps = [{ send_hex = "0d 0A" }, { expect = "x", not = true }]"#)
    else {
        panic!("it has steps")
    };
    assert_eq!(steps.first(), Some(&Step::Send(b"\r\n".to_vec())));
    assert!(matches!(steps.get(1), Some(Step::Expect { not: true, .. })));
    let Kind::Command(command) = kind(r#"type = "command", command = ["/bin/x", "-v"]"#) else {
        panic!("one")
    };
    assert_eq!(command.arguments, Some(vec!["-v".to_owned()]));
    let file = Kind::File { path: "/run/x".into(), absent: true };
    assert_eq!(kind(r#"type = "file", path = "/run/x", absent = true"#), file);
    let tls = |check: &str| read(check).expect(check).tls;
    assert_eq!(tls(r#"type = "tls""#), Some(TlsCheck::default()));
    assert_eq!(tls(r#"type = "http", tls = false"#), None);
    let verify_none = TlsCheck { verify_none: true, sni: Some("x".to_owned()), ..TlsCheck::default() };
    assert_eq!(tls(r#"type = "amqp", tls = { verify = "none", sni = "x" }"#), Some(verify_none));
    let overdue = |check: &str| read(check).expect(check).overdue().as_str();
    assert_eq!(overdue(r#"type = "tcp""#), "L4TOUT");
    assert_eq!(overdue(r#"type = "tcp", tls = true"#), "L6TOUT");
    assert_eq!(overdue(r#"type = "tls""#), "L6TOUT");
    assert_eq!(overdue(r#"type = "amqp""#), "L7TOUT");
    assert_eq!(overdue(r#"type = "command", command = "/x""#), "PROCTOUT");
}
