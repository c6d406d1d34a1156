use super::*;
use proptest::prelude::*;

fn kind(matching: Matching, values: bool) -> Kind {
    Kind { values, matching, case: Case::Matters }
}

fn map(matching: Matching, file: &str) -> List {
    List::read(kind(matching, true), file).unwrap_or_else(|error| panic!("{error}"))
}

fn found<'a>(list: &'a List, text: &str) -> Option<&'a str> {
    list.find(Wanted::Text(text.as_bytes())).map(|value| std::str::from_utf8(value).expect("text"))
}

#[test]
fn the_most_specific_line_is_found() {
    let list = map(Matching::Beg, "/ root\n/a one\n/a/b two\n/a/c three\n/b four\n");
    for (path, value) in [
        ("/", "root"),
        ("/x", "root"),
        ("/a/bb", "two"),
        ("/a/bzz/d", "two"),
        ("/a/d", "one"),
        ("/az", "one"),
        ("/b", "four"),
    ] {
        assert_eq!(found(&list, path), Some(value), "{path}");
    }
    assert_eq!(found(&list, "x"), None);
    let list = map(Matching::End, ".php one\nx.php two\n");
    assert_eq!((found(&list, "/ax.php"), found(&list, "/a.php")), (Some("two"), Some("one")));
}

#[test]
fn a_domain_is_found_at_whole_labels_only() {
    let list = map(Matching::Dom, "example one\n.api.example two\nxapi.example three\n");
    for (host, value) in [
        ("example", Some("one")),
        ("a.example", Some("one")),
        ("api.example", Some("two")),
        ("v2.api.example", Some("two")),
        ("xapi.example", Some("three")),
        ("yapi.example", Some("one")),
        ("anexample", None),
        ("ample", None),
    ] {
        assert_eq!(found(&list, host), value, "{host}");
    }
}

#[test]
fn a_network_is_found_by_the_address_and_by_its_text() {
    let list = map(Matching::Ip, "10.0.0.0/8 a\n10.1.0.0/16 b\n10.1.2.3 c\n2001:db8::/32 d\n0.0.0.0/0 all\n");
    for (address, value) in
        [("10.9.9.9", "a"), ("10.1.9.9", "b"), ("10.1.2.3", "c"), ("2001:db8::7", "d"), ("192.0.2.1", "all")]
    {
        assert_eq!(found(&list, address), Some(value), "{address}");
        let address: IpAddr = address.parse().expect("an address");
        assert_eq!(list.find(Wanted::Address(address)), Some(value.as_bytes()));
    }
    assert_eq!((found(&list, "2001:db9::1"), found(&list, "no address")), (None, None));
    let everything = map(Matching::Ip, "::/0 x\n");
    assert_eq!(found(&everything, "10.0.0.1"), Some("x"));
}

#[test]
fn the_first_expression_that_is_found_counts() {
    let list = map(Matching::Reg, "^/v[0-9]+/ api\n/a/ a\n^/v1/a late\n\\.php$ php\n");
    for (path, value) in [
        ("/v1/a/x.php", Some("api")),
        ("/x/a/v1/", Some("a")),
        ("/index.php", Some("php")),
        ("/index.php5", None),
    ] {
        assert_eq!(found(&list, path), value, "{path}");
    }
    assert_eq!(list.len(), 4);
    let words = Kind { case: Case::Ignored, ..kind(Matching::Reg, false) };
    let words = List::read(words, "curl/[0-9]+\nnikto|sqlmap (x|y)\n").expect("a list");
    assert_eq!(
        [found(&words, "CURL/7"), found(&words, "a SqlMap X"), found(&words, "wget")],
        [Some(""), Some(""), None]
    );
}

#[test]
fn many_expressions_are_searched_as_one_or_in_parts_and_found_alike() {
    // Those with gaps do not fit into one automaton.
    for gap in ["", "-.*x.*"] {
        let lines: String = (0..200).map(|number| format!("^/s{number}{gap}/ v{number}\n")).collect();
        let list = map(Matching::Reg, &lines);
        for number in [0, 1, 99, 199] {
            let path = format!("/s{number}{}/", if gap.is_empty() { "" } else { "-x-" });
            assert_eq!(found(&list, &path), Some(format!("v{number}").as_str()), "{path}");
        }
        assert_eq!(found(&list, "/s200/"), None);
    }
}

#[test]
fn lines_are_read_as_in_haproxy() {
    let list = map(Matching::Str, "# comment\n\n  a \t one two  \nb three\na later\n");
    assert_eq!((list.len(), found(&list, "a"), found(&list, "b")), (2, Some("one two"), Some("three")));
    let words =
        List::read(Kind { case: Case::Ignored, ..kind(Matching::Str, false) }, "curl/7 x\n").expect("a list");
    assert_eq!((found(&words, "CURL/7 X"), found(&words, "curl/7")), (Some(""), None));
    assert_eq!(words.find(Wanted::Address(IpAddr::from([1, 2, 3, 4]))), None);
    assert!(List::read(kind(Matching::Dom, false), "").is_ok_and(|list| list.is_empty()));
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (matching, values, file, said) in [
        (Matching::Str, true, "a 1\nb\n", "line 2: `b` has no value"),
        (Matching::Ip, false, "10.0.0.0/8\n10.0.0.0/33\n", "line 2: `10.0.0.0/33` is neither"),
        (Matching::Str, false, "a\0b\n", "line 1: there are control characters"),
        (Matching::Reg, false, "a\n(b\n", "line 2: "),
        (Matching::Reg, false, "a\n[a-q][^u-z]{1000}x{900}\n", "line 2: "),
        (Matching::Reg, false, &"a\n".repeat(1001), "line 1001: there are more than 1000"),
    ] {
        let error = List::read(kind(matching, values), file).expect_err("it is wrong");
        assert!(error.contains(said), "{error}");
    }
}

/// What a search must find, line by line.
fn slow<'a>(kind: Kind, lines: &'a [(String, String)], text: &str) -> Option<&'a str> {
    let fits = |line: &&(String, String)| kind.covers(line.0.as_bytes(), text.as_bytes());
    let longest = lines.iter().filter(fits).map(|(key, _)| key.len()).max()?;
    lines.iter().filter(fits).find(|(key, _)| key.len() == longest).map(|(_, value)| value.as_str())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_search_finds_what_a_look_at_every_line_finds(
        keys in proptest::collection::vec("[ab.][ab.A]{0,4}", 0..40),
        texts in proptest::collection::vec("[ab.A]{0,6}", 1..20),
        ignored in any::<bool>(),
        matching in prop_oneof![
            Just(Matching::Str), Just(Matching::Beg), Just(Matching::End), Just(Matching::Dom)
        ],
    ) {
        let case = if ignored { Case::Ignored } else { Case::Matters };
        let kind = Kind { values: true, matching, case };
        let trim = |key: &String| match matching {
            Matching::Dom => key.trim_start_matches('.').to_owned(),
            _ => key.clone(),
        };
        let lines: Vec<_> =
            keys.iter().enumerate().map(|(number, key)| (trim(key), format!("v{number}"))).collect();
        let file: String =
            keys.iter().enumerate().map(|(number, key)| format!("{key} v{number}\n")).collect();
        let list = List::read(kind, &file).expect("a map");
        for text in &texts {
            prop_assert_eq!(found(&list, text), slow(kind, &lines, text), "{}", text);
        }
    }

    #[test]
    fn an_address_is_found_in_its_smallest_network(
        networks in proptest::collection::vec((0u32..64, 26u8..=32), 0..30),
        address in 0u32..64,
    ) {
        let file: String = networks
            .iter()
            .map(|(host, bits)| format!("{}/{bits} {bits}\n", IpAddr::from((0x0a00_0000 + host).to_be_bytes())))
            .collect();
        let list = List::read(kind(Matching::Ip, true), &file).expect("a map");
        let covers = |(host, bits): &&(u32, u8)| (host ^ address) >> (32 - bits).min(31) == 0;
        let expected = networks.iter().filter(covers).map(|(_, bits)| bits.to_string()).max();
        let address = IpAddr::from((0x0a00_0000 + address).to_be_bytes());
        let found = list.find(Wanted::Address(address)).map(|value| String::from_utf8_lossy(value).into_owned());
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_file_is_read_or_refused(file in "(?s).{0,80}", values in any::<bool>()) {
        for matching in [Matching::Str, Matching::Beg, Matching::End, Matching::Dom, Matching::Ip, Matching::Reg] {
            if let Ok(list) = List::read(kind(matching, values), &file) {
                let _ = list.find(Wanted::Text(file.as_bytes()));
            }
        }
    }
}
