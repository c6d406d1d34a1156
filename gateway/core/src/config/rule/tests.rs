use crate::config::{BackendId, Config};
use crate::rules::{Condition, End, Rule};
use base_core::diagnose::{Diagnostic, Source};

fn parse(rules: &str) -> Result<Config, Diagnostic> {
    let text = format!(
        "[[acl]]\nname = \"nets\"\nfile = \"/nets\"\nmatch = \"ip\"\n[[map]]\nname = \"hosts\"\nfile = \"/hosts\"\n\
         [[stick_table]]\nname = \"clients\"\n[[stick_table]]\nname = \"idle\"\nstore = [\"gpc0\", \"gpt(2)\"]\n\
         [[stick_table]]\nname = \"pairs\"\ntype = \"string(33)\"\nstore = [\"gpc(2)\", \"gpt0\"]\n\
         [[frontend]]\nname = \"fe\"\nbind = [\"127.0.0.1:80\"]\ndefault_backend = \"be\"\n\
         limit = [{{ table = \"clients\", http_req_rate = 9, period = \"10s\" }}]\n{rules}\n\
         [[backend]]\nname = \"be\"\nserver = [{{ name = \"s\", address = \"127.0.0.1:1\" }}]\n"
    );
    Config::parse(&Source::new("gateway.toml", text))
}

fn rule(text: &str) -> Rule {
    let config =
        parse(&format!("[[frontend.rule]]\n{text}")).unwrap_or_else(|error| panic!("{text}: {error}"));
    let fe = &config.frontends[0];
    let sets = [&fe.connection_rules, &fe.session_rules, &fe.rules, &fe.response_rules];
    sets.iter().find_map(|rules| rules.get(0)).expect("a rule").clone()
}

#[test]
fn every_key_of_a_rule_is_understood() {
    for condition in [
        "if = { src = \"10.0.0.0/8\" }",
        "if = { src = [\"10.0.0.1\", \"2001:db8::/32\"], method = \"GET\" }",
        "if = { src = { acl = \"nets\" }, host = { acl = \"hosts\" }, path = { acl = \"hosts\", beg = \"/\" } }",
        "if = { ssl = { ssl_fc_sni = \"db.example\", \"ssl_c_s_dn(cn)\" = { end = \".example\" }, ssl_c_used = \"1\" } }",
        "unless = { host = [\"api.example\", \"*.infra.example\"], path = \"/\" }",
        "if = { host = { end = \".example\" } }",
        "if = { path = { beg = [\"/a\", \"/b\"], end = \".php\", ignore_case = true } }",
        "if = { path = { reg = \"^/v[0-9]+\" } }",
        "if = { header = { X-A = \"1\", X-B = { sub = \"x\" }, X-C = { found = false } } }",
        "if = { query = { limit = { found = true } }, cookie = { SID = \"1\" }, tls = true }",
        "if = { counter = { gpc0 = { table = \"idle\", gt = 5 }, http_req_rate = { table = \"clients\", ge = 1, lt = 5 } } }",
        "track = { sc = 0, table = \"idle\" }\nif = { counter = { \"gpt(1)\" = { sc = 0, eq = 7 } } }",
        "if = { counter = { gpc1 = { table = \"pairs\", key = [\"src\", \"path\", \"req.hdr(x)\"], ge = 1 } } }",
        "if = { any = [{ tls = true }, { not = { method = [\"GET\", \"HEAD\"] } }], all = [{ path = \"/\" }] }",
    ] {
        rule(&format!("{condition}\ndeny = 403"));
    }
    for action in [
        "deny = {}",
        "deny = { status = 404, reason = \"hidden\" }",
        "tarpit = { status = 429, timeout = \"10s\", reason = \"slow\" }",
        "redirect = \"https://new.example%[pathq]\"",
        "redirect = { scheme = \"https\", code = 301 }",
        "redirect = { prefix = \"https://new.example\" }",
        "return = { body = \"User-agent: *\" }",
        "silent_drop = {}",
        "silent_drop = { reason = \"pest\" }",
        "set_timeout = { server = \"5m\", client = \"5s\", tunnel = \"1h\" }\nbandwidth_limit = \"1MiB\"\nroute = \"be\"",
        "route = \"be\"",
        "route = \"%[req.hdr(host),host_only,lower,map(hosts,be)]\"",
        "rewrite_path = \"/x%[path]\"",
        "rewrite_path = { beg = \"/old/\", to = \"/new/\" }\nroute = \"be\"",
        "on = \"connection\"\ntrack = { sc = 11, table = \"idle\", key = \"src,ipmask(24,48)\" }\nreject = {}",
        "on = \"session\"\ntrack = { sc = 1, table = \"pairs\", key = [\"src\", \"ssl_fc_sni\"] }\nif = { ssl = { ssl_c_used = \"0\" } }",
        "on = \"response\"\ntrack = { sc = 1, table = \"pairs\", key = \"res.hdr(x)\" }\nif = { status = [\"4xx\", \"500:502\"], response_header = { X = \"1\" } }",
        "track = { sc = 2, table = \"pairs\" }\nsc_inc_gpc = { sc = 2, gpc = 1, by = 4 }\nsc_set_gpt = { sc = 2, value = 1 }",
        "set_header = { X-A = \"%[src]\" }\nadd_header = { X-B = \"1\" }\ndel_header = [\"X-C\"]",
        "set_response_header = { Strict-Transport-Security = \"max-age=1\" }\ndel_response_header = \"Server\"",
    ] {
        rule(action);
    }
}

#[test]
fn what_is_left_out_has_haproxys_default() {
    assert!(matches!(rule("deny = {}").end, Some(End::Deny { status: 403, reason }) if reason == "deny"));
    assert!(matches!(rule("tarpit = {}").end, Some(End::Tarpit { status: 500, .. })));
    assert!(matches!(rule("redirect = \"/x\"").end, Some(End::Redirect { status: 302, .. })));
    assert!(matches!(rule("route = \"be\"").end, Some(End::Route(BackendId(0)))));
    assert!(matches!(rule("route = \"be\"").condition, Condition::All(all) if all.is_empty()));
}

#[test]
fn each_mistake_is_shown_at_its_place() {
    for (text, place, said) in [
        ("if = { tls = true }", "[[frontend.rule]]", "this rule does nothing"),
        ("deny = 403\nroute = \"be\"", "[[frontend.rule]]", "two ends"),
        ("deny = 200", "200", "expected 400 to 599"),
        ("deny = \"403\"", "\"403\"", "expected a status"),
        ("deny = { reason = \"a b\" }", "{ reason", "can't be a name"),
        ("tarpit = { timeout = \"5m\" }", "\"5m\"", "expected 1ms to 60s"),
        ("redirect = { code = 200, prefix = \"\" }", "{ code", "is no redirect"),
        ("redirect = { code = 301 }", "{ code", "where to?"),
        ("redirect = \"%[who]\"", "\"%[who]\"", "expected one of src"),
        ("return = { status = 204, body = \"x\" }", "{ status", "has no body"),
        ("route = \"other\"", "\"other\"", "expected one of `be`"),
        ("rewrite_path = \"x\"", "\"x\"", "expected one that begins with /"),
        ("rewrite_path = { beg = \"/x\" }", "{ beg", "expected beg and to"),
        ("set_header = { \"X Y\" = \"1\" }", "\"1\"", "not the name of a header field"),
        ("set_header = { Content-Length = \"1\" }", "\"1\"", "is the gateway's own"),
        ("set_header = { content_length = \"1\" }", "\"1\"", "is the gateway's own"),
        ("set_header = { X-Forwarded-For = \"1\" }", "\"1\"", "is the gateway's own"),
        ("set_header = { X = \"a\\nb\" }", "\"a", "control characters"),
        ("del_header = \"Host\"", "\"Host\"", "set it with set_header"),
        ("deny = 403\nif = { src = \"10.0.0/8\" }", "\"10.0.0/8\"", "is not a network"),
        ("deny = 403\nif = { host = \"a:80\" }", "\"a:80\"", "not a host name"),
        ("deny = 403\nif = { path = {} }", "{}", "add is, beg, end, sub, reg, acl or found"),
        ("deny = 403\nif = { path = 5 }", "5", "expected a text"),
        ("deny = 403\nif = { path = { beg = \"\" } }", "{ beg", "part of any"),
        ("deny = 403\nif = { path = { reg = \"(\" } }", "{ reg", "can't be used"),
        (
            "deny = 403\nif = { header = { X = { found = false, is = \"1\" } } }",
            "{ found",
            "found = false alone",
        ),
        ("deny = 403\nif = { src = { acl = \"hosts\" } }", "{ acl", "match = \"ip\""),
        ("deny = 403\nif = { path = { acl = \"x\" } }", "{ acl", "expected one of `nets`, `hosts`"),
        ("route = \"%[path,map(nets)]\"", "\"%[path", "there is no map `nets`"),
        ("route = \"%[path,base64]\"", "\"%[path", "expected lower, upper"),
        ("bandwidth_limit = 5", "5", "at least 1KiB"),
        ("bandwidth_limit = \"1kb\"", "\"1kb\"", "a number of bytes"),
        ("set_timeout = { server = \"0s\" }", "\"0s\"", "out of range"),
        ("set_timeout = { servers = \"1s\" }", "servers", "unknown field"),
        ("deny = 403\nif = { ssl = { ssl_x = \"1\" } }", "\"1\"", "expected one of ssl_fc_sni"),
        ("deny = 403\nif = { any = [] }", "[]", "none ever holds"),
        ("deny = 403\nif = { counter = { gpc0 = { table = \"idle\" } } }", "{ table", "add eq, gt"),
        ("deny = 403\nif = { counter = { gpc0 = { gt = 1 } } }", "{ gt", "of which entry?"),
        ("deny = 403\nif = { counter = { gpc0 = { sc = 3, gt = 1 } } }", "3", "nothing is tracked as 3"),
        ("deny = 403\nif = { counter = { gpx = { sc = 0, gt = 1 } } }", "{ sc", "is no data type"),
        ("track = { sc = 12, table = \"idle\" }", "12", "out of range"),
        ("track = { sc = 0, table = \"idle\", key = \"pth\" }", "\"pth\"", "expected one of src"),
        (
            "track = { sc = 0, table = \"idle\", key = [\"src\", \"path\"] }",
            "[\"src",
            "string(33) or binary(16)",
        ),
        (
            "track = { sc = 0, table = \"idle\" }\nsc_inc_gpc = { sc = 0, gpc = 1 }",
            "{ sc = 0, gpc",
            "stores no gpc(1)",
        ),
        (
            "on = \"connection\"\ntrack = { sc = 0, table = \"pairs\", key = \"path\" }",
            "[[frontend.rule]]",
            "not known yet",
        ),
        ("on = \"connection\"\ndeny = 403", "[[frontend.rule]]", "there is no request yet"),
        ("on = \"response\"\ndeny = 403", "[[frontend.rule]]", "has been served"),
        ("reject = {}", "[[frontend.rule]]", "before it has requests"),
        ("deny = 403\nif = { status = 404 }", "[[frontend.rule]]", "not known yet"),
        (
            "on = \"response\"\nset_response_header = { X = \"1\" }\nif = { status = \"6xx\" }",
            "\"6xx\"",
            "is no status",
        ),
        (
            "deny = 403\nif = { counter = { http_req_rate = { table = \"idle\", gt = 1 } } }",
            "\"idle\"",
            "stores no http_req_rate",
        ),
        ("deny = 403\nif = { pth = \"/\" }", "pth", "unknown field `pth`"),
    ] {
        let whole = format!("[[frontend.rule]]\n{text}");
        let error = parse(&whole).expect_err(text);
        let line = whole.lines().nth(error.line.saturating_sub(22)).unwrap_or_default();
        let at: String = line.chars().skip(error.column - 1).collect();
        assert!(at.starts_with(place), "{text}: points at {at:?} (line {})\n{error}", error.line);
        assert!(error.to_string().contains(said), "{text}: {error}");
    }
}
