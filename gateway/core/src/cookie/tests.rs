use super::*;
use proptest::prelude::*;

const NOW: u64 = 1_800_000_000;
const SERVERS: [Option<&str>; 3] = [Some("a"), None, Some("b")];

fn policy(mode: Mode, indirect: bool) -> Policy {
    Policy {
        name: "SRV".to_owned(),
        mode,
        indirect,
        attributes: "; HttpOnly".to_owned(),
        ..Policy::default()
    }
}

fn visit(policy: &Policy, line: &str) -> Visit {
    policy.visit([line.as_bytes()].into_iter(), SERVERS.into_iter(), NOW)
}

fn answer(is_direct: bool, server_sets_it: bool) -> Answer {
    Answer { is_direct, server_sets_it, is_post: false, now: NOW }
}

#[test]
fn an_inserted_cookie_names_a_server_and_is_kept_from_it() {
    let policy = policy(Mode::Insert, true);
    let none = Visit::default();
    assert_eq!(visit(&policy, "x=1; SRV=b").server, Some(2));
    assert_eq!(visit(&policy, "x=1;SRV=c"), Visit { came: Came::Invalid, ..none });
    assert_eq!(visit(&policy, "XSRV=a; SRV"), none);
    assert_eq!(policy.to_server(b"x=1; SRV=b; y=2"), Some(b"x=1; y=2".to_vec()));
    assert_eq!(policy.to_server(b"SRV=b"), None);
    assert_eq!(policy.field(Some("a"), &none, NOW), "SRV=a; path=/; HttpOnly");
    assert!(
        policy.field(None, &none, NOW).starts_with("SRV=; Expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/")
    );
    assert!(policy.sets(&none, answer(false, true)) && !policy.sets(&none, answer(true, false)));
    assert_eq!(policy.to_client(b"SRV=own; path=/x", Some("a"), false), None);
    assert_eq!(policy.to_client(b"other=1", Some("a"), false), Some(b"other=1".to_vec()));
}

#[test]
fn a_prefix_comes_and_goes_before_the_servers_own_value() {
    let policy = policy(Mode::Prefix, false);
    assert_eq!(visit(&policy, "SRV=a~secret~1").server, Some(0));
    assert_eq!(visit(&policy, "SRV=a").server, Some(0), "as HAProxy has it");
    assert_eq!(visit(&policy, "SRV=own").came, Came::Invalid);
    assert_eq!(policy.to_server(b"x=1; SRV=a~secret~1"), Some(b"x=1; SRV=secret~1".to_vec()));
    let told = policy.to_client(b"SRV=new; path=/", Some("b"), false);
    assert_eq!(told, Some(b"SRV=b~new; path=/".to_vec()));
    assert!(!policy.sets(&Visit::default(), answer(false, false)));
}

#[test]
fn a_rewritten_cookie_keeps_what_is_behind_its_value_and_comes_only_when_the_server_sets_it() {
    let policy = policy(Mode::Rewrite, false);
    let told = policy.to_client(b"SRV=x; Path=/y; Secure", Some("b"), true);
    assert_eq!(told, Some(b"SRV=b; Path=/y; Secure".to_vec()));
    assert_eq!(policy.to_client(b"SRV=", Some("b"), true), Some(b"SRV=b".to_vec()));
    assert_eq!(visit(&policy, "SRV=b").server, Some(2));
    assert!(!policy.sets(&Visit::default(), answer(false, false)));
    assert_eq!(policy.to_server(b"SRV=b"), Some(b"SRV=b".to_vec()));
}

#[test]
fn who_was_away_for_too_long_or_came_first_too_long_ago_is_as_new() {
    let most = Some(Duration::from_secs(60));
    let idle = Policy { maxidle: most, ..policy(Mode::Insert, true) };
    let life = Policy { maxlife: most, ..policy(Mode::Insert, true) };
    let cookie = |policy: &Policy, last: u64| {
        let field = policy.field(Some("a"), &Visit::default(), last);
        field.split(';').next().expect("a value").to_owned()
    };
    assert_eq!(visit(&idle, &cookie(&idle, NOW - 40)).server, Some(0));
    assert_eq!(visit(&idle, &cookie(&idle, NOW - 65)).came, Came::Expired);
    assert_eq!(visit(&life, &cookie(&life, NOW - 40)).server, Some(0));
    assert_eq!(visit(&life, &cookie(&life, NOW - 65)).came, Came::Old);
    assert_eq!(visit(&life, &cookie(&life, NOW + 2 * FUTURE)).came, Came::Old);
    assert_eq!(visit(&idle, "SRV=a").server, Some(0), "without a date it is good, and gets one");
    let seen = visit(&idle, &cookie(&idle, NOW - 40));
    assert!(idle.sets(&seen, answer(true, false)), "its date is brought up to date");
    assert!(!idle.sets(&visit(&idle, &cookie(&idle, NOW)), answer(true, false)));
    let kept = visit(&life, &cookie(&life, NOW - 40));
    let field = life.field(Some("a"), &kept, NOW);
    assert_eq!(
        visit(&life, field.split(';').next().expect("a value")).first,
        kept.first,
        "its birth is kept"
    );
}

#[test]
fn only_answers_to_post_set_it_where_told_so() {
    let policy = Policy { postonly: true, ..policy(Mode::Insert, true) };
    let none = Visit::default();
    assert!(!policy.sets(&none, answer(false, false)));
    assert!(policy.sets(&none, Answer { is_post: true, ..answer(false, false) }));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cookie_is_survived_and_names_a_server_or_none(line in proptest::collection::vec(any::<u8>(), 0..80)) {
        for mode in [Mode::Insert, Mode::Rewrite, Mode::Prefix] {
            let most = Some(Duration::from_secs(60));
            let policy = Policy { maxidle: most, maxlife: most, ..policy(mode, true) };
            let line = [&line[..], b";SRV=b~x"].concat();
            let visit = policy.visit([&line[..]].into_iter(), SERVERS.into_iter(), NOW);
            prop_assert!(visit.server.is_none_or(|place| place == 0 || place == 2));
            let seen = policy.to_server(&line).unwrap_or_default();
            prop_assert!(seen.len() <= line.len() * 2);
            let _ = policy.to_client(&line, Some("a"), true);
        }
    }
}
