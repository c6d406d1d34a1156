use super::{Bounds, Head, MAX_HEAD, PseudoFields, check, check_h2};

fn get(target: &str) -> PseudoFields<'_> {
    PseudoFields { method: b"GET", target: target.as_bytes(), authority: Some(b"a"), has_body: false }
}

use proptest::prelude::*;

#[test]
fn an_ordinary_request_passes() {
    for head in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a:80\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "POST /v2/x?y=1 HTTP/1.1\r\nhost: [::1]:80\r\nContent-Length: 0\r\nX: \r\n\r\n",
        "PUT http://a/x HTTP/1.1\r\nHost:a\r\nTransfer-Encoding: Chunked\r\n\r\n",
    ] {
        assert_eq!(check(head.as_bytes()), Ok(()), "{head:?}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let get = "GET / HTTP/1.1\r\nHost: a\r\n";
    for (head, reason) in [
        (format!("{get}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"), "length_and_encoding"),
        (format!("{get}Content-Length: 5\r\ncontent-length: 5\r\n\r\n"), "several_content_lengths"),
        (format!("{get}Content-Length: 5, 5\r\n\r\n"), "bad_content_length"),
        (format!("{get}Content-Length: +5\r\n\r\n"), "bad_content_length"),
        (format!("{get}Content-Length: 9223372036854775808\r\n\r\n"), "bad_content_length"),
        (format!("{get}Transfer-Encoding: chunked,\r\n\r\n"), "bad_transfer_encoding"),
        (format!("{get}Transfer-Encoding: gzip, chunked\r\n\r\n"), "bad_transfer_encoding"),
        ("GET http://admin/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "host_unlike_target"),
        ("GET HTTP://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n".to_owned(), "bad_target"),
        ("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "bad_target"),
        ("GET http://a/ HTTP/1.0\r\n\r\n".to_owned(), "no_host"),
        (format!("{get}Host: b\r\n\r\n"), "several_hosts"),
        (format!("{get}X: 1\r\n folded\r\n\r\n"), "obs_fold"),
        (format!("{get}X : 1\r\n\r\n"), "bad_field_name"),
        (format!("{get}: 1\r\n\r\n"), "bad_field_name"),
        (format!("{get}X: a\0b\r\n\r\n"), "bad_field_value"),
        (format!("{get}X: a\rb\r\n\r\n"), "bad_line_end"),
        (format!("{get}X: a\n\r\n"), "bad_line_end"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "no_host"),
        ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n".to_owned(), "bad_host"),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), "encoding_in_http10"),
        ("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "bad_target"),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "bad_request_line"),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(), "bad_version"),
        ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "bad_method"),
    ] {
        assert_eq!(check(head.as_bytes()), Err(reason), "{head:?}");
    }
    let many = "X: 1\r\n".repeat(200);
    assert_eq!(check(format!("{get}{many}\r\n").as_bytes()), Err("too_many_fields"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(head in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Head::default().advance(&head);
    }

    #[test]
    fn it_does_not_matter_in_which_pieces_a_head_comes(
        head in "(\r\n)?(GET|G@T) /[a-z]{0,9} HTTP/1.[01]\r\n(Host: a\r\n)?([A-Z ]{1,3}: ?[a-z\n]{0,3}\r\n){0,3}\r\n[a-z\r\n]{0,9}",
        cuts in proptest::collection::vec(0usize..80, 0..6),
    ) {
        let head = head.as_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(head.len())).collect();
        cuts.sort_unstable();
        cuts.push(head.len());
        let mut pieces = Head::default();
        let in_pieces = cuts.iter().map(|cut| pieces.advance(&head[..*cut]))
            .find(|told| *told != Ok(None))
            .unwrap_or(Ok(None));
        prop_assert_eq!(in_pieces, Head::default().advance(head));
    }
}

#[test]
fn a_head_ends_where_its_body_begins() {
    let head = b"POST / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(Head::default().advance(&[head.as_slice(), b"\nbody\r\n\r\n"].concat()), Ok(Some(head.len())));
    assert_eq!(Head::default().advance(&head[..head.len() - 1]), Ok(None));
}

#[test]
fn http_2_is_read_as_strictly() {
    let check = |target: &str, has_body, fields: &[(&str, &str)]| {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        check_h2(Bounds::default(), PseudoFields { has_body, ..get(target) }, fields)
    };
    assert_eq!(check("/x?y", false, &[("content-length", "0"), ("x", "")]), Ok(()));
    assert_eq!(check("/", true, &[("content-length", "5"), ("host", "a")]), Ok(()));
    assert_eq!(check("/", false, &[("cookie", "a=1"); 150]), Ok(()), "crumbs are one field");
    for (target, fields, reason) in [
        ("/#x", [].as_slice(), "bad_target"),
        ("/a b", &[], "bad_target"),
        ("/", &[("content-length", "5")], "length_without_body"),
        ("/", &[("content-length", "5, 5")], "bad_content_length"),
        ("/", &[("content-length", "0"), ("content-length", "0")], "several_content_lengths"),
        ("/", &[("transfer-encoding", "chunked")], "encoding_in_h2"),
        ("/", &[("host", "a"), ("host", "a")], "several_hosts"),
        ("/", &[("host", "b")], "host_unlike_target"),
        ("/", &[("x", "1"); 102], "too_many_fields"),
    ] {
        assert_eq!(check(target, false, fields), Err(reason), "{target} {fields:?}");
    }
    let told = |pseudo| check_h2(Bounds::default(), pseudo, std::iter::empty());
    assert_eq!(told(PseudoFields { method: b"OPTIONS", ..get("*") }), Ok(()));
    assert_eq!(check("/", false, &[("host", "A")]), Ok(()));
    for (pseudo, reason) in [
        (get("*"), "bad_target"),
        (get("http://a/"), "bad_target"),
        (PseudoFields { method: b"CONNECT", ..get("/") }, "bad_target"),
        (PseudoFields { method: b"G T", ..get("/") }, "bad_method"),
        (PseudoFields { authority: Some(b"a:8x"), ..get("/") }, "bad_host"),
        (PseudoFields { authority: Some(b"u@a"), ..get("/") }, "bad_host"),
        (PseudoFields { authority: Some(b""), ..get("/") }, "bad_host"),
        (PseudoFields { authority: None, ..get("/") }, "no_host"),
    ] {
        assert_eq!(told(pseudo), Err(reason), "{pseudo:?}");
    }
}

#[test]
fn a_plain_request_says_nothing_of_bodies_and_connections() {
    let is_plain = |line: &str, field: &str| {
        let mut head = Head::default();
        let told = head.advance(format!("{line}\r\nHost: a\r\n{field}\r\n\r\n").as_bytes());
        assert!(matches!(told, Ok(Some(_))), "{told:?} {line} {field}");
        head.is_plain()
    };
    for field in ["A: b", "Connection: Close", "connection: keep-alive", "Accept: */*", "Cookie: a=b"] {
        assert!(is_plain("GET / HTTP/1.1", field), "{field}");
    }
    for field in [
        "Content-Length: 0",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue",
        "Upgrade: websocket",
        "Connection: close, x",
        "Connection: ",
        "Keep-Alive: timeout=5",
        "TE: trailers",
        "Trailer: x",
        "HTTP2-Settings: x",
        "Proxy-Connection: close",
        "Proxy-Authenticate: x",
        "Proxy-Authorization: x",
    ] {
        assert!(!is_plain("GET / HTTP/1.1", field), "{field}");
    }
    assert!(!is_plain("GET / HTTP/1.0", "A: b"));
    assert!(!is_plain("GET http://a/ HTTP/1.1", "A: b"));
}

#[test]
fn a_head_without_end_is_refused_at_the_bound() {
    let endless = vec![b'a'; MAX_HEAD + 1];
    assert_eq!(Head::default().advance(&endless[..MAX_HEAD]), Ok(None));
    assert_eq!(Head::default().advance(&endless), Err("bad_request_line"));
    let target = [b"GET /", &endless[..]].concat();
    assert_eq!(Head::default().advance(&target), Err("target_too_long"));
    let field = [b"GET / HTTP/1.1\r\nX: ", &endless[..]].concat();
    assert_eq!(Head::default().advance(&field), Err("head_too_large"));
    let empty_lines = b"\r\n".repeat(MAX_HEAD / 2 + 1);
    assert_eq!(Head::default().advance(&empty_lines), Err("bad_request_line"));
    let method = [&endless[..65], b" / HTTP/1.1\r\n\r\n"].concat();
    assert_eq!(Head::default().advance(&method), Err("bad_method"));
}

#[test]
fn bounds_may_be_narrower() {
    let told =
        |bounds: Bounds| Head::within(bounds).advance(b"GET /12345 HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n");
    let bounds = Bounds { head: 38, fields: 2, target: 6 };
    assert_eq!(told(bounds), Ok(Some(38)));
    assert_eq!(told(Bounds { head: 37, ..bounds }), Err("head_too_large"));
    assert_eq!(told(Bounds { fields: 1, ..bounds }), Err("too_many_fields"));
    assert_eq!(told(Bounds { target: 5, ..bounds }), Err("target_too_long"));
    let fields = || [(&b"host"[..], &b"a"[..])].into_iter();
    assert_eq!(check_h2(bounds, get("/12345"), fields()), Ok(()));
    assert_eq!(check_h2(bounds, get("/123456"), fields()), Err("target_too_long"));
    assert_eq!(check_h2(Bounds { fields: 0, ..bounds }, get("/"), fields()), Err("too_many_fields"));
    assert_eq!(check_h2(Bounds { head: 9, ..bounds }, get("/"), fields()), Err("head_too_large"));
}
