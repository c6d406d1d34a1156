use super::*;
use crate::spec::{MysqlLogin, Pattern, Secret, Step};
use proptest::prelude::*;

fn target() -> SocketAddr {
    "10.0.0.1:1".parse().expect("an address")
}

/// What is sent, and what is found, when a server says this in pieces of this size and closes.
fn run(kind: &Kind, said: &[u8], piece: usize) -> (Vec<u8>, Finding) {
    let mut talk = start(kind, target(), |_| [7; 20]).expect("it talks");
    let mut out = Vec::new();
    talk.begin(&mut out);
    let finding = said.chunks(piece.max(1)).find_map(|bytes| talk.on(bytes, &mut out));
    (out, finding.unwrap_or_else(|| talk.end()))
}

/// The note of what is found, the same in whatever pieces it is said.
fn note(kind: &Kind, said: &[u8]) -> &'static str {
    let whole = run(kind, said, usize::MAX);
    assert_eq!(run(kind, said, 1), whole, "byte by byte");
    assert_eq!(whole.1.status.passed(), whole.1.note.is_empty());
    whole.1.note
}

fn redis(password: Option<&str>) -> Kind {
    Kind::Redis { user: None, password: password.map(|text| Secret::new(text.to_owned())) }
}

#[test]
fn redis_answers_pong_or_says_why_not() {
    assert_eq!(run(&redis(None), b"+PONG\r\n", 9).0, b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nQUIT\r\n");
    assert_eq!(note(&redis(None), b"+PONG\r\n"), "");
    assert_eq!(note(&redis(Some("pw")), b"+OK\r\n+PONG\r\n"), "");
    assert_eq!(note(&redis(Some("pw")), b"-WRONGPASS x\r\n-NOAUTH x\r\n"), "auth_failed");
    assert_eq!(note(&redis(None), b"-NOAUTH Authentication required.\r\n"), "auth_needed");
    assert_eq!(note(&redis(None), b"-LOADING x\r\n"), "loading");
    assert_eq!(note(&redis(None), b"HTTP/1.1 400 Bad Request\r\n"), "not_redis");
    assert_eq!(note(&redis(None), b"+PON"), "closed");
    assert!(!format!("{:?}", redis(Some("hunter2"))).contains("hunter2"), "a password does not show");
}

#[test]
fn amqp_greets_or_says_why_not() {
    let start = b"\x01\x00\x00\x00\x00\x01\xf0\x00\x0a\x00\x0a\x00\x09";
    assert_eq!(note(&Kind::Amqp, start), "");
    assert_eq!(run(&Kind::Amqp, start, 3).0, b"AMQP\x00\x00\x09\x01");
    assert_eq!(note(&Kind::Amqp, b"AMQP\x00\x01\x00\x00"), "version");
    assert_eq!(note(&Kind::Amqp, b"HTTP/1.1"), "not_amqp");
    assert_eq!(note(&Kind::Amqp, b"\x01\x00\x00\x00\x00\x00\x01\x00\x0a\x00\x32"), "closed_by_broker");
    assert_eq!(note(&Kind::Amqp, b"\x01\x00\x00\x00"), "closed");
}

#[test]
fn postgres_asks_who_is_there_or_says_why_not() {
    let kind = Kind::Postgres { user: "u".to_owned(), database: Some("d".to_owned()) };
    let startup = b"\x00\x00\x00\x1b\x00\x03\x00\x00user\x00u\x00database\x00d\x00\x00";
    let (out, _) = run(&kind, b"R\0\0\0\x08\0\0\0\x05", 100);
    assert_eq!(out, [startup.as_slice(), b"X\0\0\0\x04"].concat());
    assert_eq!(note(&kind, b"R\0\0\0\x08\0\0\0\0"), "");
    let error = |code: &str| {
        let body = format!("SFATAL\0C{code}\0Mx\0\0");
        [b"E\0\0\0", &[body.len() as u8 + 4][..], body.as_bytes()].concat()
    };
    assert_eq!(note(&kind, &error("57P03")), "not_ready");
    assert_eq!(note(&kind, &error("53300")), "too_many_connections");
    assert_eq!(note(&kind, &error("XX000")), "error");
    assert_eq!(note(&kind, b"R\xff\xff\xff\xff"), "not_postgres");
    assert_eq!(note(&kind, b"HTTP/1.1 400"), "not_postgres");
}

#[test]
fn smtp_greets_and_takes_a_hello() {
    let kind = Kind::Smtp { hello: "me".to_owned() };
    let (out, finding) = run(&kind, b"220-mx\r\n220 ESMTP\r\n250-mx\r\n250 SIZE 1\r\n", 3);
    assert_eq!((out.as_slice(), finding), (&b"EHLO me\r\nQUIT\r\n"[..], Finding::OK.with_code(250)));
    assert_eq!(note(&kind, b"554 no\r\n"), "refused");
    assert_eq!(note(&kind, b"220 x\r\n502 no\r\n"), "refused");
    assert_eq!(note(&kind, b"+PONG\r\n"), "not_smtp");
}

#[test]
fn ldap_answers_a_bind() {
    let answer = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00";
    assert_eq!(note(&Kind::Ldap, answer), "");
    let long = b"\x30\x84\x00\x00\x00\x10\x02\x01\x01\x61\x84\x00\x00\x00\x07\x0a\x01\x30\x04\x00\x04\x00";
    assert_eq!(run(&Kind::Ldap, long, 1).1, Finding::refused("bind_refused").with_code(0x30));
    assert_eq!(note(&Kind::Ldap, b"HTTP/1.1 400"), "not_ldap");
    assert_eq!(note(&Kind::Ldap, b"\x30\x0c\x02\x01"), "closed");
}

fn packet(number: u8, payload: &[u8]) -> Vec<u8> {
    [&[payload.len() as u8, 0, 0, number], payload].concat()
}

fn greeting() -> Vec<u8> {
    let mut payload = b"\x0a5.5.5-10.11.6-MariaDB\0\x01\0\0\0".to_vec();
    payload.extend_from_slice(b"12345678\0");
    payload.extend([0xfe, 0xf7, 33, 2, 0, 0xff, 0x81, 21]);
    payload.extend([0; 10]);
    payload.extend_from_slice(b"901234567890\0mysql_native_password\0");
    packet(0, &payload)
}

#[test]
fn mysql_greets_lets_in_and_says_whether_galera_works() {
    let kind = |user: Option<&str>, password: Option<&str>, wsrep_ready| {
        let text = |text: &str| text.to_owned();
        Kind::Mysql(MysqlLogin {
            user: user.map(text),
            password: password.map(text).map(Secret::new),
            wsrep_ready,
        })
    };
    let greeting = greeting();
    assert_eq!(note(&kind(None, None, false), &greeting), "");
    let host_blocked = packet(0, b"\xff\x69\x04Host is blocked");
    assert_eq!(note(&kind(None, None, false), &host_blocked), "host_blocked");
    assert_eq!(note(&kind(None, None, false), b"HTTP/1.1 400 Bad Request"), "not_mysql");

    let login = kind(Some("check"), Some("secret"), false);
    let (out, finding) = run(&login, &[greeting.clone(), packet(2, &[0, 0, 0, 2, 0])].concat(), 5);
    assert_eq!(finding, Finding::OK);
    assert!(out.ends_with(&[1, 0, 0, 0, 1]), "it says goodbye");
    assert_eq!(out.get(3), Some(&1), "the second packet of the login");
    let denied = [greeting.clone(), packet(2, b"\xff\x15\x04#28000Access denied")].concat();
    assert_eq!(run(&login, &denied, 100).1, Finding::refused("not_allowed").with_code(1045));
    let other = [greeting.clone(), packet(2, b"\xfecaching_sha2_password\0abc\0")].concat();
    assert_eq!(note(&login, &other), "auth_plugin");

    let asks = kind(Some("check"), None, true);
    let answer = |value: &[u8]| {
        let row = [b"\x0bwsrep_ready", &[value.len() as u8][..], value].concat();
        let end = b"\xfe\0\0\x02\0";
        let parts = [&[2][..], b"\x03def1", b"\x03def2", end, &row, end];
        let packets = parts.iter().enumerate().flat_map(|(at, part)| packet(at as u8 + 1, part));
        [greeting.clone(), packet(2, &[0, 0, 0, 2, 0])]
            .concat()
            .into_iter()
            .chain(packets)
            .collect::<Vec<_>>()
    };
    assert_eq!(note(&asks, &answer(b"ON")), "");
    assert_eq!(note(&asks, &answer(b"OFF")), "wsrep_not_ready");
    let refused =
        [greeting, packet(2, &[0]), packet(1, b"\xff\x17\x04#08S01WSREP has not yet prepared")].concat();
    assert_eq!(note(&asks, &refused), "wsrep_not_ready");
}

#[test]
fn steps_are_taken_in_order() {
    let send = |text: &str| Step::Send(text.as_bytes().to_vec());
    let expect = |text: &str, not| Step::Expect { pattern: Pattern::regex(text).expect("valid"), not };
    let kind = Kind::Steps(vec![
        expect("^220 ", false),
        send("A\r\n"),
        expect("bad", true),
        send("B\r\n"),
        expect("fin(e|al)", false),
        send("Q\r\n"),
    ]);
    assert_eq!(run(&kind, b"220 hello\r\nok\r\nall fine", 1).0, b"A\r\nB\r\nQ\r\n");
    assert_eq!(note(&kind, b"220 hello\r\nok\r\nall fine"), "");
    assert_eq!(note(&kind, b"220 bad\r\n"), "unwanted_text");
    assert_eq!(note(&kind, b"220 hello\r\nok\r\n"), "text_not_found");
    assert_eq!(note(&kind, &vec![b'x'; inbox::MAX_TALK + 1]), "too_long");
}

fn any_kind() -> impl Strategy<Value = Kind> {
    let login = |user: Option<&str>, password: Option<&str>, wsrep_ready| MysqlLogin {
        user: user.map(str::to_owned),
        password: password.map(|text| Secret::new(text.to_owned())),
        wsrep_ready,
    };
    let pattern = Pattern::regex("a|b").expect("valid");
    prop::sample::select(vec![
        Kind::Amqp,
        Kind::Ldap,
        redis(None),
        redis(Some("x")),
        Kind::Smtp { hello: "x".to_owned() },
        Kind::Postgres { user: "x".to_owned(), database: None },
        Kind::Mysql(login(None, None, false)),
        Kind::Mysql(login(Some("x"), Some("y"), true)),
        Kind::Steps(vec![
            Step::Expect { pattern: pattern.clone(), not: true },
            Step::Expect { pattern, not: false },
        ]),
        Kind::Http(crate::HttpCheck::default()),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_in_any_pieces_are_survived_and_judged_alike(
        kind in any_kind(),
        start in prop::sample::select(vec![
            Vec::new(), greeting(), [greeting(), packet(2, &[0]), packet(1, &[2])].concat(), b"+OK\r\n".to_vec(),
            b"220 x\r\n".to_vec(), b"E\0\0\0\x20".to_vec(), b"\x01\x00\x00".to_vec(), b"\x30\x84".to_vec(),
            b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
        ]),
        tail in prop::collection::vec(any::<u8>(), 0..200),
        piece in 1_usize..20,
    ) {
        let said = [start, tail].concat();
        prop_assert_eq!(run(&kind, &said, piece).1, run(&kind, &said, usize::MAX).1);
    }
}
