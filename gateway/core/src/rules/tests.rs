use super::*;
use crate::config::TableId;
use crate::lists::{ListId, Wanted};
use crate::route::HostPattern;
use crate::table::{DataType, KeyType};
use proptest::prelude::*;
use std::net::IpAddr;

/// A request as a test has it.
pub(super) struct Asked {
    pub(super) source: &'static str,
    pub(super) tls: bool,
    pub(super) method: &'static str,
    pub(super) host: &'static str,
    pub(super) path: String,
    pub(super) query: &'static str,
    pub(super) fields: Vec<(&'static str, &'static str)>,
    pub(super) counted: u64,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            source: "192.0.2.7",
            tls: false,
            method: "GET",
            host: "Api.example:80",
            path: "/v2/servers".to_owned(),
            query: "limit=5&all&x=",
            fields: vec![
                ("host", "Api.example:80"),
                ("accept", "text/html"),
                ("cookie", "a=1; SID=abc;b=2"),
                ("cookie", "c=3"),
            ],
            counted: 10,
        }
    }
}

impl Facts for Asked {
    fn source(&self) -> IpAddr {
        self.source.parse().expect("an address")
    }
    fn tls(&self) -> bool {
        self.tls
    }
    fn method(&self) -> &str {
        self.method
    }
    fn host(&self) -> &str {
        self.host
    }
    fn path(&self) -> &str {
        &self.path
    }
    fn query(&self) -> &str {
        self.query
    }
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let named = move |(found, _): &&(&str, &str)| found.eq_ignore_ascii_case(name);
        self.fields.iter().filter(named).map(|(_, value)| value.as_bytes())
    }
    fn counter(&self, counter: &Counter) -> Option<u64> {
        (counter.from != Lookup::Tracked(9)).then_some(self.counted)
    }
    fn ssl(&self, sample: Ssl) -> Option<&str> {
        (sample == Ssl::Sni).then_some("db.example")
    }
    fn lookup<R>(&self, _: ListId, wanted: Wanted<'_>, then: impl FnOnce(&[u8]) -> R) -> Option<R> {
        matches!(wanted, Wanted::Text(b"text/html")).then(|| then(b"found"))
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn passes(test: Test) -> Text {
    Text::Passes(vec![test])
}

fn holds(condition: Condition) -> bool {
    condition.holds(&Asked::default())
}

#[test]
fn each_condition_looks_at_its_part_of_the_request() {
    let host = |name| Condition::Host(vec![HostPattern::parse(name).expect("a name")]);
    let is = |text: &str| passes(Test::Is(words(&[text]), Case::Matters));
    let counter = |from, how, value| {
        Condition::Counter(Counter { from, data: DataType::Gpc0, index: 0, own: false }, how, value)
    };
    let net = |net: &str| Condition::Source(vec![net.parse().expect("a network")]);
    for (condition, expected) in [
        (Condition::always(), true),
        (Condition::Any(vec![]), false),
        (Condition::Not(Box::new(Condition::always())), false),
        (net("192.0.2.0/24"), true),
        (net("10.0.0.0/8"), false),
        (Condition::Method(words(&["PUT", "GET"])), true),
        (Condition::Method(words(&["get"])), false),
        (host("api.example"), true),
        (host("*.example"), true),
        (host("*.api.example"), false),
        (Condition::Tls(false), true),
        (Condition::Ssl(Ssl::Sni, is("db.example")), true),
        (Condition::Ssl(Ssl::ClientCommonName, Text::Missing), true),
        (Condition::Path(is("/v2/servers")), true),
        (Condition::Path(is("/v2")), false),
        (Condition::Header("Accept".to_owned(), is("text/html")), true),
        (Condition::Header("Accept".to_owned(), Text::Missing), false),
        (Condition::Header("X".to_owned(), Text::Missing), true),
        (Condition::Header("X".to_owned(), Text::Passes(vec![])), false),
        (Condition::Query("limit".to_owned(), is("5")), true),
        (Condition::Query("lim".to_owned(), Text::Passes(vec![])), false),
        (Condition::Query("all".to_owned(), is("")), true),
        (Condition::Query("x".to_owned(), is("")), true),
        (Condition::Cookie("SID".to_owned(), is("abc")), true),
        (Condition::Cookie("c".to_owned(), is("3")), true),
        (Condition::Cookie("sid".to_owned(), Text::Missing), true),
        (counter(Lookup::Tracked(0), Comparison::Gt, 9), true),
        (counter(Lookup::Tracked(0), Comparison::Gt, 10), false),
        (counter(Lookup::Table(TableId(0), Key::client(KeyType::Ip)), Comparison::Le, 10), true),
        (counter(Lookup::Tracked(9), Comparison::Le, 10), false),
        (Condition::Status(vec![200..=299]), false),
    ] {
        assert_eq!(holds(condition.clone()), expected, "{condition:?}");
    }
}

#[test]
fn a_text_is_tested_in_haproxys_ways() {
    let regex = |text| Test::Reg(Regex::new(text, Case::Matters).expect("an expression"));
    for (test, expected) in [
        (Test::Beg(words(&["/x", "/v2/"]), Case::Matters), true),
        (Test::Beg(words(&["/V2/"]), Case::Matters), false),
        (Test::Beg(words(&["/V2/"]), Case::Ignored), true),
        (Test::End(words(&["servers"]), Case::Matters), true),
        (Test::End(words(&["a much longer text than the path is"]), Case::Matters), false),
        (Test::Sub(words(&["2/s"]), Case::Matters), true),
        (Test::Sub(words(&["2/S"]), Case::Ignored), true),
        (Test::Sub(words(&["2/S"]), Case::Matters), false),
        (regex("^/v[0-9]+/"), true),
        (regex("servers$"), true),
        (regex("^servers"), false),
    ] {
        assert_eq!(holds(Condition::Path(passes(test.clone()))), expected, "{test:?}");
    }
    let both = vec![Test::Beg(words(&["/v2"]), Case::Matters), Test::End(words(&[".php"]), Case::Matters)];
    assert!(!holds(Condition::Path(Text::Passes(both))), "all tests of a text hold");
}

#[test]
fn an_expression_that_would_eat_the_memory_is_refused() {
    assert!(Regex::new("(", Case::Matters).is_err());
    assert!(Regex::new("([a-z]{100}){100}{100}", Case::Matters).is_err());
}

#[test]
fn a_format_takes_parts_of_the_request() {
    let fill = |format: &str| {
        let filled = Format::parse(format).map(|format| format.fill(&Asked::default()));
        filled.map(|bytes| String::from_utf8(bytes).expect("text"))
    };
    let all = "https://%[req.hdr(accept)]%[pathq] %[src] %[method] %[ssl_fc] %[query] 100%% %[url_param(limit)]%[req.cook(SID)]%[hdr(x)]";
    assert_eq!(
        fill(all).as_deref(),
        Ok("https://text/html/v2/servers?limit=5&all&x= 192.0.2.7 GET 0 limit=5&all&x= 100% 5abc")
    );
    assert_eq!(fill("%[req.hdr(host),host_only,lower] %[method,lower]").as_deref(), Ok("api.example get"));
    let maps = |name: &str| (name == "m").then_some(ListId(0));
    let mapped =
        |format: &str| Format::parse_with(format, &maps).map(|format| format.fill(&Asked::default()));
    assert_eq!(mapped("%[req.hdr(accept),map(m)]!").as_deref(), Ok(&b"found!"[..]));
    assert_eq!(mapped("%[path,map(m,a b),upper]%[path,map(m)]").as_deref(), Ok(&b"A B"[..]));
    assert!(mapped("%[path,map(x)]").is_err() && mapped("%[path,lower(]").is_err());
    assert_eq!(fill("%[ssl_fc_sni,upper]%[ssl_c_s_dn(cn)]").as_deref(), Ok("DB.EXAMPLE"));
    assert!(fill("%[what]").is_err_and(|error| error.contains("expected one of src")));
    assert!(fill("50%").is_err() && fill("%[src").is_err() && fill("%[hdr()]").is_err());
}

#[test]
fn a_rewritten_path_is_always_a_path() {
    let rewrite =
        |whole: &str| Rewrite::Whole(Format::parse(whole).expect("a format")).apply(&Asked::default());
    assert_eq!(rewrite("/x%[path]").as_deref(), Some("/x/v2/servers"));
    assert_eq!(rewrite("/%[pathq]").as_deref(), Some("//v2/servers%3Flimit=5&all&x="));
    let prefix = |beg: &str| Rewrite::Prefix { beg: beg.to_owned(), to: "/compute/".to_owned() };
    assert_eq!(prefix("/v2/").apply(&Asked::default()).as_deref(), Some("/compute/servers"));
    assert_eq!(prefix("/v3/").apply(&Asked::default()), None);
}

#[test]
fn spellings_that_cgi_reads_as_one_are_one() {
    assert!(same_field("X-User", "x_user") && same_field("X-User", "X-USER"));
    assert!(!same_field("X-User", "X-Users") && !same_field("X-User", "XxUser"));
}

fn rule(condition: Condition, end: Option<End>) -> Rule {
    Rule {
        condition,
        request: vec![],
        response: vec![],
        path: None,
        effects: Effects::default(),
        acts: vec![],
        end,
    }
}

/// Any condition, three levels deep.
fn any_condition() -> impl Strategy<Value = Condition> {
    let text = prop_oneof![
        Just(Text::Missing),
        "[/a-c]{0,3}".prop_map(|text| passes(Test::Is(vec![text], Case::Matters))),
        "[/a-c]{0,3}".prop_map(|text| passes(Test::Beg(vec![text], Case::Ignored))),
        "[/a-c]{0,3}".prop_map(|text| passes(Test::End(vec![text], Case::Matters))),
        "[/a-c]{0,3}".prop_map(|text| passes(Test::Sub(vec![text], Case::Ignored))),
    ];
    let leaf = prop_oneof![
        text.clone().prop_map(Condition::Path),
        text.clone().prop_map(Condition::HostText),
        text.clone().prop_map(|text| Condition::Header("cookie".to_owned(), text)),
        text.clone().prop_map(|text| Condition::Query("a".to_owned(), text)),
        text.prop_map(|text| Condition::Cookie("a".to_owned(), text)),
        any::<bool>().prop_map(Condition::Tls),
    ];
    leaf.prop_recursive(3, 20, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Condition::All),
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Condition::Any),
            inner.prop_map(|inner| Condition::Not(Box::new(inner))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_rule_is_asked_once_and_in_order(
        conditions in proptest::collection::vec(any_condition(), 0..12),
        path in "[/a-c]{0,6}",
    ) {
        let asked = Asked { path, ..Asked::default() };
        let rules = Rules::new(conditions.iter().cloned().map(|condition| rule(condition, None)).collect());
        let mut matched = Vec::new();
        let mut from = 0;
        while let Some((place, _)) = rules.next(from, &asked) {
            prop_assert!(place >= from);
            matched.push(place);
            from = place + 1;
        }
        let expected: Vec<usize> =
            (0..conditions.len()).filter(|place| conditions[*place].holds(&asked)).collect();
        prop_assert_eq!(matched, expected);
    }

    #[test]
    fn a_condition_and_its_opposite_never_agree(condition in any_condition(), path in "[/a-c]{0,6}") {
        let asked = Asked { path, ..Asked::default() };
        let not = Condition::Not(Box::new(condition.clone()));
        prop_assert_ne!(condition.holds(&asked), not.holds(&asked));
    }

    #[test]
    fn any_format_and_expression_is_read_or_refused(text in ".{0,40}") {
        if let Ok(format) = Format::parse(&text) {
            let path = Rewrite::Whole(format).apply(&Asked::default()).expect("a path");
            prop_assert!(path.starts_with('/'));
            prop_assert!(path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?' && byte != b'#'));
        }
        let _ = Regex::new(&text, Case::Ignored);
    }
}
