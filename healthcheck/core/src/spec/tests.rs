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
    assert_eq!(check, CheckSpec::new(Kind::Http(HttpCheck::default())));
    let Timing { inter, fastinter, downinter, timeout, rise, fall } = check.timing;
    assert_eq!([inter, fastinter, downinter, timeout], [Duration::from_secs(2); 4]);
    assert_eq!((rise, fall), (2, 3));
    assert_eq!(read(r#"type = "tcp""#).expect("valid"), CheckSpec::new(Kind::Tcp));
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
