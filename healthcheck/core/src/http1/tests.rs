use super::*;
use proptest::prelude::*;

fn read(answer: &[u8]) -> Result<Option<u16>, Malformed> {
    Head::default().push(answer)
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
        let whole = read(&answer);
        let (first, second) = answer.split_at(cut.index(answer.len() + 1));
        let mut head = Head::default();
        let pieces = match head.push(first) {
            Ok(None) => head.push(second),
            done => done,
        };
        prop_assert_eq!(whole, pieces);
    }
}
