use super::*;
use proptest::prelude::*;

fn read(answer: &[u8]) -> Result<Option<u16>, Malformed> {
    Head::default().push(answer).map(|whole| whole.map(|(status, _)| status))
}

/// What an answer means to a check that wants this in its body, in pieces of this size.
fn ask(expect: &str, answer: &[u8], piece: usize) -> Option<Finding> {
    let text = format!("check = {{ type = \"http\", expect = {expect} }}\n");
    let spec: Written = base_core::diagnose::Source::new("t", text).parse().expect("valid");
    let crate::Kind::Http(check) = spec.check.kind else { panic!("it is HTTP") };
    let mut talk = Exchange::new(&check, "10.0.0.1:80".parse().expect("an address"));
    let mut out = Vec::new();
    talk.begin(&mut out);
    answer.chunks(piece).find_map(|bytes| talk.on(bytes, &mut out)).or_else(|| Some(talk.end()))
}

#[derive(serde::Deserialize)]
struct Written {
    check: crate::CheckSpec,
}

#[test]
fn a_body_is_searched_whatever_its_framing() {
    let bodies: [&[u8]; 5] = [
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nall ready",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nall readymore",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6;x=y\r\nall re\r\n3\r\nady\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nall ready",
        b"HTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nall ready",
    ];
    for answer in bodies {
        for piece in [1, 2, 7, 1000] {
            let status = |expect| ask(expect, answer, piece).map(|found| (found.status, found.note));
            let text = String::from_utf8_lossy(answer);
            assert_eq!(status(r#"{ string = "ready" }"#), Some((CheckStatus::L7Ok, "")), "{text} {piece}");
            assert_eq!(status(r#"{ regex = "rea.y$" }"#), Some((CheckStatus::L7Ok, "")), "{text} {piece}");
            let not_found = Some((CheckStatus::L7Response, "text_not_found"));
            assert_eq!(status(r#"{ string = "ok" }"#), not_found, "{text} {piece}");
            let unwanted = Some((CheckStatus::L7Response, "unwanted_text"));
            assert_eq!(status(r#"{ not_string = "ready" }"#), unwanted, "{text} {piece}");
            assert_eq!(
                status(r#"{ not_regex = "^ready" }"#),
                Some((CheckStatus::L7Ok, "")),
                "{text} {piece}"
            );
            assert_eq!(status(r#"{ status = 503, string = "ready" }"#), Some((CheckStatus::L7Status, "")));
        }
    }
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\nall ready";
    assert_eq!(ask(r#"{ not_string = "bad" }"#, half, 100).expect("an end").note, "closed");
    let bad = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxx\r\n";
    assert_eq!(ask(r#"{ string = "x" }"#, bad, 100).expect("an end").note, "bad_chunk");
    let empty = b"HTTP/1.1 204 x\r\n\r\n";
    assert_eq!(ask(r#"{ string = "x" }"#, empty, 100).expect("an end").note, "text_not_found");
    assert_eq!(ask(r#""!500-599""#, b"HTTP/1.1 404 x\r\n\r\n", 100).expect("an end").code, Some(404));
    assert!(ask(r#""!500-599""#, b"HTTP/1.1 404 x\r\n\r\n", 100).expect("an end").status.passed());
    let endless = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &vec![b'.'; MAX_BODY as usize]].concat();
    assert_eq!(ask(r#"{ string = "x" }"#, &endless, 4096).expect("an end").note, "text_not_found");
}

#[test]
fn a_request_has_its_headers_version_and_body() {
    let target: SocketAddr = "10.0.0.1:80".parse().expect("an address");
    let mut check = HttpCheck { version: Version::Http10, body: "x=y".to_owned(), ..HttpCheck::default() };
    check.headers.insert("User-Agent".to_owned(), "me".to_owned());
    let text = request(&check, target);
    assert!(
        text.starts_with("GET / HTTP/1.0\r\n") && text.ends_with("content-length: 3\r\n\r\nx=y"),
        "{text}"
    );
    assert!(text.contains("\r\nUser-Agent: me\r\n") && !text.contains("headgate-probe"), "{text}");
}

#[test]
fn a_request_is_for_one_answer_and_names_its_host() {
    let target: SocketAddr = "10.0.0.1:8080".parse().expect("an address");
    let text = request(&HttpCheck { uri: "/h".to_owned(), ..HttpCheck::default() }, target);
    assert!(text.starts_with("GET /h HTTP/1.1\r\nhost: 10.0.0.1:8080\r\n"), "{text}");
    assert!(text.contains("\r\nconnection: close\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    let check = HttpCheck { host: Some("api.example".to_owned()), ..HttpCheck::default() };
    assert!(request(&check, target).contains("\r\nhost: api.example\r\n"));
}

#[test]
fn a_status_counts_when_its_head_is_whole() {
    assert_eq!(read(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"), Ok(Some(200)));
    assert_eq!(read(b"HTTP/1.0 503\r\n\r\n"), Ok(Some(503)));
    assert_eq!(read(b"HTTP/1.1 204 No Content\nx: y\n\n"), Ok(Some(204)), "bare line feeds are taken");
    assert_eq!(read(b"HTTP/1.1 200 OK\r\nx: y\r\n"), Ok(None));
}

#[test]
fn interim_answers_are_passed_over() {
    let answer = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\n";
    assert_eq!(read(answer), Ok(Some(404)));
    assert_eq!(read(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), Ok(Some(101)));
}

#[test]
fn what_is_not_http_is_known_at_its_first_wrong_byte() {
    let cases: [&[u8]; 9] = [
        b"S",
        b"\x15",
        b"\n",
        b"HTTP/2",
        b"HTTP/1.1\t",
        b"HTTP/1.1 2x",
        b"HTTP/1.1 20\n",
        b"HTTP/1.1 2000",
        b"HTTP/1.1 099 x\n",
    ];
    for answer in cases {
        assert_eq!(read(answer), Err(Malformed), "{answer:?}");
        assert_eq!(read(&answer[..answer.len() - 1]), Ok(None), "{answer:?}");
    }
}

#[test]
fn a_head_without_end_is_refused() {
    let mut head = Head::default();
    assert_eq!(head.push(b"HTTP/1.1 200 OK\r\n"), Ok(None));
    let field = b"x-filler: 0123456789\r\n";
    let taken = std::iter::repeat_with(|| head.push(field)).take_while(Result::is_ok).count();
    assert!((taken * field.len()).abs_diff(MAX_HEAD) < 64, "{taken}");
    let interim = b"HTTP/1.1 100 x\r\n\r\n".repeat(MAX_HEAD);
    assert_eq!(read(&interim), Err(Malformed), "interim answers count together");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_in_any_pieces_are_survived_and_read_alike(
        tail in prop::collection::vec(any::<u8>(), 0..200),
        valid_start: bool,
        cut: prop::sample::Index,
    ) {
        let mut answer = if valid_start { b"HTTP/1.1 200 OK\r\nx: y\r\n".to_vec() } else { Vec::new() };
        answer.extend(tail);
        let whole = Head::default().push(&answer);
        let (first, second) = answer.split_at(cut.index(answer.len() + 1));
        let mut head = Head::default();
        let pieces = match head.push(first) {
            Ok(None) => head.push(second).map(|whole| whole.map(|(status, taken)| (status, taken + first.len()))),
            done => done,
        };
        prop_assert_eq!(whole, pieces);
    }
}
