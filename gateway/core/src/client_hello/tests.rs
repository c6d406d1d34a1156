use super::*;
use proptest::prelude::*;

/// The body of a hello, with extensions of these kinds.
fn hello(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([4, 1, 2, 3, 4]);
    body.extend([0, 2, 0x13, 1]);
    body.extend([1, 0]);
    let mut all = Vec::new();
    for (kind, value) in extensions {
        all.extend(kind.to_be_bytes());
        all.extend((value.len() as u16).to_be_bytes());
        all.extend(value);
    }
    body.extend((all.len() as u16).to_be_bytes());
    body.extend(all);
    body
}

fn name(name: &[u8]) -> (u16, Vec<u8>) {
    let mut value = ((name.len() + 3) as u16).to_be_bytes().to_vec();
    value.push(0);
    value.extend((name.len() as u16).to_be_bytes());
    value.extend(name);
    (0, value)
}

/// The message in records of at most so many bytes.
fn records(body: &[u8], most: usize) -> Vec<u8> {
    let mut message = vec![1];
    message.extend(&(body.len() as u32).to_be_bytes()[1..]);
    message.extend(body);
    let record = |part: &[u8]| {
        let length = (part.len() as u16).to_be_bytes();
        [&[22, 3, 1, length[0], length[1]], part].concat()
    };
    message.chunks(most).flat_map(record).collect()
}

fn named(text: &str) -> Seen {
    Seen::Hello(Some(text.to_owned()))
}

#[test]
fn the_name_is_found_among_other_extensions() {
    let body =
        hello(&[(0x0a0a, vec![]), (16, vec![0, 3, 2, 104, 50]), name(b"DB.Example"), (43, vec![2, 3, 4])]);
    assert_eq!(inspect(&records(&body, 16_000)), named("db.example"));
}

#[test]
fn a_hello_without_a_name_is_one_all_the_same() {
    assert_eq!(inspect(&records(&hello(&[(43, vec![2, 3, 4])]), 100)), Seen::Hello(None));
    let ends_early = &hello(&[])[..hello(&[]).len() - 2];
    assert_eq!(inspect(&records(ends_early, 100)), Seen::Hello(None), "no extensions at all");
    for odd in [&b"a b"[..], b"", b"\xff", b"a\n"] {
        assert_eq!(inspect(&records(&hello(&[name(odd)]), 1000)), Seen::Hello(None), "{odd:?}");
    }
}

#[test]
fn what_is_no_hello_is_none_from_the_first_byte() {
    for bytes in [&b"G"[..], b"PROXY", b"SSH-2.0", &[22, 2], &[22, 3, 1, 0, 0], &[21, 3, 1, 0, 2, 1, 0]] {
        assert_eq!(inspect(bytes), Seen::NotTls, "{bytes:?}");
    }
    assert_eq!(inspect(&[22, 3, 1, 0, 4, 2, 0, 0, 0]), Seen::NotTls, "another handshake message");
    assert_eq!(inspect(&[22, 3, 1, 0, 4, 1, 1, 0, 0]), Seen::NotTls, "64 KiB");
    let broken = hello(&[name(b"a.example")]);
    let cut = &broken[..broken.len() - 1];
    assert_eq!(inspect(&records(cut, 1000)), Seen::NotTls);
}

#[test]
fn bytes_that_never_end_are_given_up() {
    let endless = [22, 3, 1, 0, 1, 1].into_iter().chain([22, 3, 1, 0, 1, 0].into_iter().cycle());
    let endless: Vec<u8> = endless.take(MAX_HELLO).collect();
    assert_ne!(inspect(&endless), Seen::More);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn however_it_is_cut_up_it_is_the_same(
        label in "[a-z0-9-]{1,60}",
        others in proptest::collection::vec((1u16..100, proptest::collection::vec(any::<u8>(), 0..300)), 0..6),
        most in 1usize..600,
        rest in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let text = format!("{label}.example");
        let mut extensions = others;
        extensions.push(name(text.as_bytes()));
        let whole = records(&hello(&extensions), most);
        prop_assert_eq!(inspect(&[whole.as_slice(), &rest].concat()), named(&text));
        for end in 0..whole.len() {
            prop_assert_eq!(inspect(&whole[..end]), Seen::More);
        }
    }

    #[test]
    fn anything_is_taken_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..600), hello_like in any::<bool>()) {
        let mut bytes = bytes;
        if hello_like {
            bytes.splice(0..0, [22, 3, 1, 1, 0, 1, 0, 0, 200]);
        }
        inspect(&bytes);
    }
}
