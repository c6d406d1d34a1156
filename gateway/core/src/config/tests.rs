use super::*;

const WHOLE: &str = r#"
node = "gw1"
workers = 2

[admin]
bind = "127.0.0.1:8404"

[[stick_table]]
name = "clients"

[[frontend]]
name = "public"
bind = ["0.0.0.0:80"]
monitor_uri = "/alive"
default_backend = "compute"

[[frontend.limit]]
table = "clients"
conn_cur = 10
http_req_rate = 100
period = "10s"

[[frontend.route]]
host = "volume.example"
backend = "volume"

[[backend]]
name = "compute"
balance = "leastconn"
stick = "clients"
check = { type = "http", uri = "/health", inter = "1s", timeout = "500ms" }
server = [{ name = "s1", address = "10.0.0.1:8001" }]

[[backend]]
name = "volume"
server = [{ name = "s1", address = "10.0.0.1:8002", weight = 7 }]
"#;

fn parse(text: &str) -> Result<Config, Diagnostic> {
    Config::parse(&Source::new("gateway.toml", text))
}

#[test]
fn a_whole_configuration_is_understood() {
    let config = parse(WHOLE).expect("it is valid");
    assert_eq!(config.frontends[0].routes.find("volume.example", "/"), Some(BackendId(1)));
    assert_eq!(config.frontends[0].routes.find("other.example", "/"), Some(BackendId(0)));
    let rate = Stored::rate(DataType::HttpReqRate, Duration::from_secs(10));
    assert!(config.tables[0].stored.contains(&rate) && config.tables[0].stores(DataType::ServerId));
    assert_eq!(config.backends[0].balance, balance::Algorithm::LeastConn);
    assert_eq!(config.backends[1].servers[0].weight, 7);
    assert_eq!(config.backends[1].eject.map(|silence| silence.unanswered), Some(4));
    assert_eq!((config.backends[1].maxconn, config.backends[1].max_queue), (None, 1024));
    assert_eq!(config.backends[1].queue_timeout, config.backends[1].connect_timeout);
    assert_eq!(config.log, LogTarget::Stdout);
}

#[test]
fn a_server_has_what_the_default_server_has_unless_it_says_otherwise() {
    let servers =
        "default_server = { weight = 3, backup = true, slowstart = \"5s\" }\nserver = [{ backup = false, ";
    let config = parse(&WHOLE.replacen("server = [{ ", servers, 1)).expect("it is valid");
    let server = &config.backends[0].servers[0];
    assert_eq!((server.weight, server.backup, server.slowstart), (3, false, Duration::from_secs(5)));
    assert_eq!(config.backends[0].backups, dispatch::Backups::None);
}

/// What is wrong, where it is said to be (as the text at that place), and a part of what is said.
#[test]
fn each_mistake_is_shown_at_its_place() {
    let cases = [
        ("workers = 2", "workers = 0", "0", "expected 1 to 256"),
        ("workers = 2", "workers = \"2\"", "\"2\"", "expected usize"),
        ("workers = 2", "worker = 2", "worker", "unknown field `worker`"),
        ("\"0.0.0.0:80\"", "\"0.0.0.0\"", "\"0.0.0.0\"", "expected `address:port`"),
        ("\"0.0.0.0:80\"", "", "[]", "no address to listen on"),
        ("\"0.0.0.0:80\"", "\"0.0.0.0:8404\"", "\"127.0.0.1:8404\"", "is taken"),
        (
            "default_backend = \"compute\"",
            "default_backend = \"compte\"",
            "\"compte\"",
            "expected one of `compute`",
        ),
        ("table = \"clients\"\n", "table = \"client\"\n", "\"client\"", "there is no stick table `client`"),
        ("stick = \"clients\"", "stick = \"x\"", "\"x\"", "there is no stick table `x`"),
        ("period = \"10s\"", "", "100", "http_req_rate has no period"),
        ("period = \"10s\"", "period = \"10\"", "\"10\"", "with its unit"),
        ("period = \"10s\"", "period = \"90d\"", "\"90d\"", "expected 1ms to 7d"),
        ("conn_cur = 10", "conn_cur = 0", "0", "out of range"),
        ("host = \"volume.example\"", "host = \"a:80\"", "\"a:80\"", "not a host name"),
        ("monitor_uri = \"/alive\"", "monitor_uri = \"alive\"", "\"alive\"", "not a path"),
        (
            "monitor_uri = \"/alive\"",
            "normalize_path = \"on\"",
            "\"on\"",
            "unknown variant `on`, expected one of `off`, `decode`, `reject`",
        ),
        ("weight = 7", "weight = 257", "257", "expected 0 to 256"),
        ("bind = [\"0.0.0.0:80\"]", "bind = [\"0.0.0.0:80\"]\nalpn = [\"h2\"]", "[\"h2\"]", "alpn needs tls"),
        (
            "bind = [\"0.0.0.0:80\"]",
            "bind = [\"0.0.0.0:80\"]\nh2_max_concurrent_streams = 0",
            "0",
            "expected 1 to 1000",
        ),
        (
            "bind = [\"0.0.0.0:80\"]",
            "bind = [\"0.0.0.0:80\"]\ntls = { cert = \"a.pem\" }",
            "{ cert",
            "either cert and key, or crt",
        ),
        (
            "bind = [\"0.0.0.0:80\"]",
            "bind = [\"0.0.0.0:80\"]\ntls = { crt = \"a\", ssl_min_ver = \"TLSv1.1\" }",
            "\"TLSv1.1\"",
            "expected `TLSv1.2` or `TLSv1.3`",
        ),
        (
            "monitor_uri = \"/alive\"",
            "inspect_delay = \"1s\"",
            "\"1s\"",
            "is for connections, not for requests",
        ),
        (
            "bind = [\"0.0.0.0:80\"]",
            "bind = [\"0.0.0.0:80\"]\nmode = \"tcp\"",
            "\"/alive\"",
            "monitor_uri is for requests",
        ),
        (
            "bind = [\"0.0.0.0:80\"]",
            "bind = [\"0.0.0.0:80\"]\ntls = { crt = \"a\", verify = \"required\" }",
            "{ crt",
            "verify needs ca_file",
        ),
        ("weight = 7 }]", "weight = 7 }]\neject = { unanswered = 10001 }", "10001", "expected 0 to 10000"),
        ("weight = 7 }]", "weight = 7 }]\neject = { silent = 1 }", "silent", "unknown field `silent`"),
        ("weight = 7", "maxconn = 0", "0", "expected 1 to 1000000"),
        ("weight = 7 }]", "weight = 7 }]\nmax_queue = 100001", "100001", "expected 0 to 100000"),
        ("weight = 7 }]", "weight = 7 }]\nqueue_timeout = \"0s\"", "\"0s\"", "queue_timeout"),
        ("name = \"volume\"", "name = \"compute\"", "\"compute\"", "already a backend"),
        ("name = \"public\"", "name = \"a b\"", "\"a b\"", "can't be a name"),
        ("balance = \"leastconn\"", "balance = \"least\"", "\"least\"", "there is no balance `least`"),
        ("balance = \"leastconn\"", "hash_type = \"maglev\"", "\"maglev\"", "nothing is hashed"),
        ("weight = 7 }]", "weight = 7 }]\ndefault_server = { name = \"s\" }", "{ name", "no server"),
        (
            "name = \"s1\", address = \"10.0.0.1:8002\"",
            "address = \"10.0.0.1:8002\"",
            "{ address",
            "without a name",
        ),
        ("weight = 7 }]", "weight = 7 }]\nretry_on = [\"200\"]", "\"200\"", "is nothing to retry on"),
        ("weight = 7 }]", "weight = 7 }]\nretry_budget = 101", "101", "expected 0 to 100"),
        ("weight = 7", "sni = \"a.example\"", "\"a.example\"", "goes with ssl = true"),
        ("weight = 7", "ssl = true, sni = \"a b\"", "\"a b\"", "not a host name"),
        ("weight = 7", "ssl = true, sni = \"a\", verifyhost = \"b\"", "\"b\"", "unlike sni"),
        ("weight = 7", "ssl = true, verify = \"none\", ca_file = \"x\"", "\"x\"", "nothing is verified"),
        ("weight = 7", "ssl = true, alpn = [\"h2\"], proto = \"h2\"", "\"h2\"", "both proto and alpn"),
        ("weight = 7 }]", "weight = 7 }]\ncookie = { name = \"S\" }", "{ name", "no server has a cookie"),
        (
            "weight = 7 }]",
            "cookie = \"a\" }]\ncookie = { name = \"a b\" }",
            "\"a b\"",
            "can't be a cookie's name",
        ),
        ("weight = 7", "cookie = \"a~b\"", "\"a~b\"", "a `~` or `|` in a cookie"),
        (
            "weight = 7 }]",
            "cookie = \"a\" }]\ncookie = { name = \"S\", mode = \"rewrite\", indirect = true }",
            "{ name",
            "does not see its own cookie",
        ),
        (
            "weight = 7 }]",
            "cookie = \"a\" }]\ncookie = { name = \"S\", mode = \"prefix\", maxidle = \"1h\" }",
            "\"1h\"",
            "a cookie that servers set",
        ),
        (
            "weight = 7 }]",
            "cookie = \"a\" }]\ncookie = { name = \"S\", attr = [\"a;b\"] }",
            "\"a;b\"",
            "can't be an attribute",
        ),
        (
            "period = \"10s\"",
            "period = \"10s\"\nalgorithm = \"gcra\"",
            "10",
            "it is for http_req_rate and conn_rate: give others a limit of their own",
        ),
        ("conn_cur = 10\n", "algorithm = \"gcra\"\n", "\"gcra\"", "add burst, such as 20"),
        (
            "name = \"clients\"\n",
            "name = \"clients\"\nexpire = \"9s\"\n",
            "\"9s\"",
            "expire = \"10s\" or more",
        ),
        (
            "name = \"clients\"\n",
            "name = \"clients\"\nexpire = \"1m\"\n[[frontend]]\nname = \"x\"\nbind = [\"0.0.0.0:81\"]\ndefault_backend = \"compute\"\n\
             limit = [{ table = \"clients\", http_req_rate = 100, period = \"10s\", algorithm = \"gcra\", burst = 601 }]\n",
            "\"1m\"",
            "goes by the last 61 s",
        ),
        ("conn_cur = 10\n", "burst = 3\n", "3", "add algorithm = \"gcra\""),
        ("conn_cur = 10\n", "action = \"reject\"\n", "\"reject\"", "add on = \"connection\", or use deny"),
        ("conn_cur = 10\n", "timeout = \"1s\"\n", "\"1s\"", "add action = \"queue\" or \"tarpit\""),
        ("conn_cur = 10\n", "action = \"tarpit\"\ntimeout = \"61s\"\n", "\"61s\"", "expected 1ms to 60s"),
        ("conn_cur = 10\n", "max_queue = 3\n", "3", "add action = \"queue\""),
        (
            "conn_cur = 10\n",
            "on = \"connection\"\n",
            "100",
            "take it out, or let another limit count requests",
        ),
        (
            "conn_cur = 10\n",
            "conn_cnt = 10\n",
            "10",
            "add on = \"connection\" or mode = \"tcp\", or take it out",
        ),
        ("weight = 7 }]", "weight = 7 }]\nbreaker = { error_limit = 0 }", "0", "expected 1 to 10000"),
        ("weight = 7", "minconn = 2", "2", "maxconn = 100, say"),
        ("weight = 7", "minconn = 9, maxconn = 8", "9", "expected 1 to 8"),
        ("weight = 7", "minconn = 2, maxconn = 8", "2", "fullconn = 1000, say"),
        ("weight = 7 }]", "weight = 7 }]\nfullconn = 90", "90", "leave it out"),
        ("weight = 7", "on_error = \"mark-down\"", "\"mark-down\"", "add observe = \"layer7\""),
        ("weight = 7", "observe = \"layer4\"", "\"layer4\"", "give its backend a check"),
        ("weight = 7", "slowstart = \"0s\"", "\"0s\"", "slowstart"),
        ("timeout = \"500ms\"", "timeout = \"5s\"", "{ type", "timeout"),
    ];
    for (good, bad, place, said) in cases {
        let text = WHOLE.replacen(good, bad, 1);
        assert_ne!(text, WHOLE, "{good} is in the sample");
        let error = parse(&text).expect_err(bad);
        let line = text.lines().nth(error.line - 1).expect("a line of the file");
        let at: String = line.chars().skip(error.column - 1).collect();
        assert!(at.starts_with(place), "{bad}: points at {at:?}\n{error}");
        assert!(error.to_string().contains(said), "{bad}: {error}");
        assert!(error.to_string().contains(&format!("gateway.toml:{}:{}", error.line, error.column)));
    }
}

#[test]
fn a_table_remembers_for_as_long_as_its_limits_go_by() {
    let expire = |period: &str, more: &str| {
        let text = WHOLE.replace("period = \"10s\"", &format!("period = \"{period}\""));
        let text = text.replace("name = \"clients\"\n", &format!("name = \"clients\"\n{more}"));
        parse(&text).map(|config| config.tables[0].expire.as_secs())
    };
    assert_eq!(expire("10s", "").expect("the default"), 300);
    assert_eq!(expire("1h", "").expect("longer"), 7200);
    assert_eq!(expire("7d", "").expect("the longest there is"), 7 * 86_400);
    assert_eq!(expire("1h", "expire = \"1h\"\n").expect("as it is written"), 3600);
    let long = WHOLE.replace("conn_cur = 10\n", "algorithm = \"gcra\"\nburst = 60000000\n");
    let error = parse(&long).expect_err("70 days").to_string();
    assert!(error.contains("goes by the last 6000000 s") && error.contains("a smaller burst"), "{error}");
}

#[test]
fn whose_answers_are_believed_must_be_said() {
    let identity = |answer: &str| {
        parse(&format!(
            "{WHOLE}\n[[identity]]\nname = \"i\"\nheader = \"X-Key\"\nanswer = {{ header = \"X-Project\"{answer} }}\n"
        ))
    };
    assert!(identity(", backend = [\"volume\"]").is_ok());
    assert!(identity("").expect_err("none").to_string().contains("missing field `backend`"));
    assert!(identity(", backend = []").expect_err("none").to_string().contains("name the backends"));
    assert!(identity(", backend = [\"x\"]").expect_err("unknown").to_string().contains("`x`"));
}

#[test]
fn names_have_room_for_a_hash_where_limits_go_by_them() {
    let named = |length: u8| {
        parse(&format!(
            "{WHOLE}\n[[stick_table]]\nname = \"projects\"\ntype = \"string({length})\"\n\
             [[identity]]\nname = \"i\"\nheader = \"X-Key\"\nanswer = {{ header = \"X-Project\", backend = [\"volume\"] }}\n\
             [[frontend]]\nname = \"x\"\nbind = [\"0.0.0.0:81\"]\ndefault_backend = \"volume\"\n\
             limit = [{{ table = \"clients\", conn_cur = 9 }}, {{ table = \"projects\", by = \"i\", conn_cur = 9 }}]\n"
        ))
    };
    assert!(named(33).is_ok());
    assert!(named(32).expect_err("too short").to_string().contains("type = \"string(64)\""));
}

#[test]
fn backends_share_a_stick_table_only_if_their_servers_are_the_same() {
    let shared = WHOLE.replace("name = \"volume\"\n", "name = \"volume\"\nstick = \"clients\"\n");
    assert!(parse(&shared).is_ok());
    let error = parse(&shared.replace(
        "{ name = \"s1\", address = \"10.0.0.1:8002\"",
        "{ name = \"s2\", address = \"10.0.0.1:8002\"",
    ));
    assert!(
        error
            .expect_err("other servers")
            .to_string()
            .contains("already remembers servers of backend `compute`")
    );
}

#[test]
fn nothing_at_all_is_no_configuration() {
    assert!(parse("").expect_err("no frontend").to_string().contains("no frontend"));
}

#[test]
fn the_sample_is_valid() {
    let sample = include_str!("../../../../configs/gateway.toml");
    let config =
        Config::parse(&Source::new("configs/gateway.toml", sample)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((config.frontends[0].binds.len(), config.backends.len()), (3, 3));
}

#[test]
fn a_syslog_server_is_an_address_or_a_path() {
    let config = |log: &str| Config::parse(&Source::new("gateway.toml", format!("{log}\n{FRONTEND}")));
    let good = config(
        "[log]\nsyslog = [{ address = \"[::1]:514\" }, { address = \"/dev/log\", facility = \"local7\" }]",
    );
    assert_eq!(good.expect("it is right").syslog.len(), 2);
    for (wrong, said) in [
        ("address = \"log.example\"", "`log.example` is no syslog server"),
        ("address = \"/dev/log\", len = 20", "expected 80 to 65507"),
        ("address = \"/dev/log\", tag = \"a b\"", "can't be a name"),
        ("address = \"/dev/log\", facility = \"local8\"", "unknown variant `local8`"),
    ] {
        let error = config(&format!("[log]\nsyslog = [{{ {wrong} }}]")).expect_err(wrong);
        assert!(error.to_string().contains(said), "{error}");
    }
}

const FRONTEND: &str = "[[frontend]]\nname = \"fe\"\nbind = [\"127.0.0.1:80\"]\nmonitor_uri = \"/x\"\ndefault_backend = \"be\"\n\
     [[backend]]\nname = \"be\"\nserver = [{ name = \"s\", address = \"127.0.0.1:1\" }]\n";

#[test]
fn servers_with_the_same_name_share_its_answer_and_templates_make_their_servers() {
    let config = with(
        "[[resolvers]]\nname = \"dns\"\nnameserver = [\"127.0.0.1:53\"]\n\
         [[backend]]\nname = \"named\"\n\
         server = [{ name = \"a\", address = \"web.example:80\" }, { name = \"b\", address = \"10.0.0.1:80\" }]\n\
         server_template = [\n\
         { prefix = \"w\", count = 2, address = \"web.example:80\" },\n\
         { prefix = \"s\", count = 1, address = \"_http._tcp.web.example\", resolvers = \"dns\" }]",
    );
    let config = config.expect("it is valid");
    let backend = config.backends.iter().find(|backend| backend.name == "named").expect("it is there");
    let names: Vec<_> = backend.servers.iter().map(|server| server.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "w1", "w2", "s1"]);
    let [address, service] = backend.named.as_slice() else { panic!("two names: {:?}", backend.named) };
    assert_eq!((address.question.to_string().as_str(), &address.servers), ("web.example:80", &vec![0, 2, 3]));
    assert_eq!((service.question.name(), &service.servers), ("_http._tcp.web.example", &vec![4]));
    assert_eq!(config.resolvers[service.resolvers.0].name, "dns");
    assert_eq!(config.resolvers[address.resolvers.0].name, "default");
}

/// A whole configuration with more at its end.
fn with(more: &str) -> Result<Config, Diagnostic> {
    parse(&format!("{WHOLE}\n{more}"))
}

#[test]
fn names_that_can_not_be_asked_for_are_refused() {
    let server = |keys: &str| format!("[[backend]]\nname = \"named\"\nserver = [{{ name = \"a\", {keys} }}]");
    let template = |keys: &str| format!("[[backend]]\nname = \"named\"\nserver_template = [{{ {keys} }}]");
    for (wrong, told) in [
        (server("address = \"10.0.0.300:80\""), "not where a server can be"),
        (server("address = \"web.example\""), "not where a server can be"),
        (server("address = \"web example:80\""), "not where a server can be"),
        (server("address = \"_http._tcp.web:80\", init_addr = [\"nowhere\"]"), "no init_addr"),
        (server("address = \"_http._tcp.web\", init_addr = [\"libc\"]"), "no init_addr"),
        (server("address = \"web.example:80\", resolvers = \"no\""), "no resolvers `no`"),
        (server("address = \"10.0.0.1:80\", resolve_prefer = \"ipv4\""), "no name to ask for"),
        (server("address = \"10.0.0.1:80\", count = 2"), "has a name, and is one"),
        (template("prefix = \"a\", count = 2, address = \"10.0.0.1:80\""), "where a name says"),
        (template("prefix = \"a\", address = \"web.example:80\""), "without a prefix or a count"),
        (
            template("prefix = \"a\", count = 2, cookie = \"x\", address = \"web.example:80\""),
            "for one server",
        ),
        (template("prefix = \"a\", count = 1025, address = \"web.example:80\""), "out of range for count"),
        ("[[resolvers]]\nname = \"dns\"".to_owned(), "ask nobody"),
        (
            "[[resolvers]]\nname = \"dns\"\nparse_resolv_conf = true\nhold = { nx = \"8d\" }".to_owned(),
            "out of range for hold",
        ),
    ] {
        let error = with(&wrong).expect_err(&wrong).to_string();
        assert!(error.contains(told), "{wrong}: {error}");
    }
}

#[test]
fn where_nothing_can_listen_is_refused() {
    for (bind, told) in [
        ("unix@relative", "from / on"),
        ("fd@2", "from 3 on"),
        ("fd@x", "from 3 on"),
        ("localhost:80", "expected `address:port`"),
    ] {
        let error = parse(&WHOLE.replace("0.0.0.0:80", bind)).expect_err(bind).to_string();
        assert!(error.contains(told), "{bind}: {error}");
    }
    let twice = WHOLE.replace("\"0.0.0.0:80\"", "\"unix@/a\", \"unix@/a\"");
    assert!(parse(&twice).expect_err("twice").to_string().contains("unix@/a is taken"));
    let mode = WHOLE.replace("monitor_uri", "unix_bind = { mode = \"888\" }\nmonitor_uri");
    assert!(parse(&mode).expect_err("no mode").to_string().contains("no permissions"));
}
