use super::*;
use base_core::Time;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const NAMES: [&str; 12] = ["s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12"];
const HASHES: [HashType; 3] = [HashType::Modulo, HashType::Consistent, HashType::Maglev];

fn up(weight: u32) -> Candidate {
    Candidate { weight, usable: true, ..Candidate::default() }
}

fn balancer(algorithm: &Algorithm, hash: HashType, servers: &[Candidate]) -> Balancer {
    let members: Vec<_> =
        NAMES.iter().zip(servers).map(|(name, server)| Member { name, weight: server.weight }).collect();
    Balancer::new(algorithm, hash, &members, 7)
}

fn run(algorithm: Algorithm, servers: &[Candidate], turns: usize) -> Vec<usize> {
    let mut balancer = balancer(&algorithm, HashType::Modulo, servers);
    (0..turns).filter_map(|turn| balancer.pick(Some(turn as u64), |place| servers[place])).collect()
}

/// Where each of some keys goes.
fn homes(hash: HashType, made_with: &[Candidate], servers: &[Candidate], keys: u64) -> Vec<usize> {
    let mut balancer = balancer(&Algorithm::Source, hash, made_with);
    (0..keys).filter_map(|key| balancer.pick(Some(mix(key)), |place| servers[place])).collect()
}

fn key(algorithm: &str, target: &str) -> Option<u64> {
    let algorithm = Algorithm::parse(algorithm).expect("it is one");
    algorithm.key(Ipv4Addr::LOCALHOST.into(), target, |name| (name == "x-tenant").then_some(&b"blue"[..]))
}

#[test]
fn turns_are_smooth_by_weight() {
    let servers = [up(3), up(1), up(0)];
    assert_eq!(run(Algorithm::RoundRobin, &servers, 8), [0, 0, 1, 0, 0, 0, 1, 0]);
}

#[test]
fn the_least_busy_gets_it_and_equals_take_turns() {
    let busy = |active| Candidate { active, ..up(100) };
    assert_eq!(run(Algorithm::LeastConn, &[busy(2), busy(1), busy(1)], 4), [1, 2, 1, 2]);
    assert_eq!(run(Algorithm::LeastConn, &[busy(5), up(50)], 1), [1]);
}

#[test]
fn the_first_with_room_gets_it() {
    assert_eq!(run(Algorithm::First, &[up(0), up(1), up(256)], 2), [1, 1]);
}

#[test]
fn of_two_drawn_the_less_busy_gets_it() {
    let busy = Candidate { active: 1000, ..up(100) };
    let picks = run(Algorithm::Random, &[busy, up(100)], 4000);
    let on_busy = picks.iter().filter(|place| **place == 0).count();
    assert!((800..1200).contains(&on_busy), "only when drawn twice: {on_busy}");
}

#[test]
fn a_key_is_what_the_words_say() {
    assert_eq!(key("roundrobin", "/a"), None);
    assert_eq!(key("uri", "/a/b?x=1"), key("uri", "/a/b?x=2"));
    assert_ne!(key("uri whole", "/a/b?x=1"), key("uri whole", "/a/b?x=2"));
    assert_eq!(key("uri len 4", "/a/bcd"), key("uri len 4", "/a/bef"));
    assert_eq!(key("uri depth 1", "/a/b/c"), key("uri depth 1", "/a/x"));
    assert_ne!(key("uri depth 2", "/a/b/c"), key("uri depth 2", "/a/x/c"));
    assert_eq!(key("uri depth 2", "/a/b/c"), key("uri depth 2", "/a/b"));
    assert_eq!(key("uri depth 1", ""), key("uri", ""));
    assert!(key("hdr(X-Tenant)", "/").is_some());
    assert_eq!(key("hdr(other)", "/"), None);
    for wrong in
        ["", "least", "uri len", "uri len 0", "uri deep", "hdr()", "hdr(a b)", "random(3)", "source x"]
    {
        assert!(Algorithm::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_client_keeps_its_server_while_all_are_up() {
    let servers = [up(100), up(100), up(100)];
    for hash in HASHES {
        let mut balancer = balancer(&Algorithm::Source, hash, &servers);
        let mut spread = [0; 3];
        for client in 0..3000u32 {
            let client = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + client));
            let key = Algorithm::Source.key(client, "/", |_| None);
            let place = balancer.pick(key, |place| servers[place]).expect("one is up");
            assert_eq!(balancer.pick(key, |place| servers[place]), Some(place));
            spread[place] += 1;
        }
        assert!(spread.iter().all(|count| (900..1100).contains(count)), "{hash:?}: {spread:?}");
    }
}

#[test]
fn a_server_that_goes_moves_nobody_but_its_own() {
    let all = [up(100), up(50), up(200), up(100)];
    let mut without = all;
    without[2].usable = false;
    for hash in [HashType::Consistent, HashType::Maglev] {
        let (before, after) = (homes(hash, &all, &all, 5000), homes(hash, &all, &without, 5000));
        for (before, after) in before.iter().zip(&after) {
            assert!(before == after || *before == 2, "{hash:?}");
            assert_ne!(*after, 2);
        }
        let heirs: Vec<_> =
            before.iter().zip(&after).filter(|(before, _)| **before == 2).map(|(_, after)| after).collect();
        let to_first = heirs.iter().filter(|place| ***place == 0).count();
        assert!((35..45).contains(&(to_first * 100 / heirs.len())), "{hash:?}: they spread by weight");
    }
}

#[test]
fn a_server_that_warms_up_takes_its_part_and_no_more() {
    let all = [up(1600), up(1600)];
    let warming = [up(1600), up(400)];
    for hash in [HashType::Consistent, HashType::Maglev] {
        let after = homes(hash, &all, &warming, 5000);
        let on_it = after.iter().filter(|place| **place == 1).count();
        // A fifth of all shares by weight; with a table, a quarter of its half and of what comes again.
        assert!((500..1250).contains(&on_it), "{hash:?}: {on_it}");
        let moved = homes(hash, &all, &all, 5000)
            .iter()
            .zip(&after)
            .all(|(before, after)| before == after || (*before, *after) == (1, 0));
        assert!(moved, "{hash:?}: only its own move away");
    }
}

#[test]
fn a_weight_grows_evenly_after_a_server_has_come_back() {
    let at = |ms| Time::ZERO + Duration::from_millis(ms);
    let weight = |weight, ms| ramped(weight, Some(at(1000)), Duration::from_secs(10), at(ms));
    assert_eq!([weight(100, 1000), weight(100, 6000), weight(100, 11_000)], [1, 800, 1600]);
    assert_eq!([weight(1, 1000), weight(1, 6000), weight(0, 6000)], [1, 8, 0]);
    assert_eq!(ramped(100, None, Duration::from_secs(10), at(0)), 1600, "not at the start");
    assert_eq!(ramped(100, Some(at(0)), Duration::ZERO, at(0)), 1600);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn only_usable_servers_are_chosen_and_one_if_there_is_any(
        servers in proptest::collection::vec((0u32..=256, any::<bool>(), any::<u32>()), 0..12),
        key in proptest::option::of(any::<u64>()),
    ) {
        let servers: Vec<_> = servers
            .into_iter()
            .map(|(weight, usable, active)| Candidate { weight, usable, active, backup: false })
            .collect();
        let any_usable = servers.iter().any(|server| server.gets_new_work());
        let plain = [Algorithm::RoundRobin, Algorithm::LeastConn, Algorithm::First, Algorithm::Random];
        let ways = plain.into_iter().map(|algorithm| (algorithm, HashType::Modulo));
        for (algorithm, hash) in ways.chain(HASHES.map(|hash| (Algorithm::Source, hash))) {
            let mut balancer = balancer(&algorithm, hash, &servers);
            for turn in 0..20u64 {
                let pick = balancer.pick(key.map(|key| key.wrapping_add(turn)), |place| servers[place]);
                prop_assert_eq!(pick.is_some(), any_usable);
                prop_assert!(pick.is_none_or(|place| servers[place].gets_new_work()));
            }
        }
    }

    #[test]
    fn turns_follow_weights_exactly(weights in proptest::collection::vec(1u32..20, 1..6)) {
        let servers: Vec<_> = weights.iter().map(|weight| up(*weight)).collect();
        let total: u32 = weights.iter().sum();
        let picks = run(Algorithm::RoundRobin, &servers, total as usize);
        for (place, weight) in weights.iter().enumerate() {
            prop_assert_eq!(picks.iter().filter(|pick| **pick == place).count(), *weight as usize);
        }
    }

    #[test]
    fn hashes_and_draws_follow_weights(weights in proptest::collection::vec(1u32..=256, 2..5)) {
        let servers: Vec<_> = weights.iter().map(|weight| up(*weight)).collect();
        let total: u32 = weights.iter().sum();
        for hash in HASHES {
            let homes = homes(hash, &servers, &servers, 4000);
            for (place, weight) in weights.iter().enumerate() {
                let share = homes.iter().filter(|home| **home == place).count() as f64 / 4000.0;
                let wanted = f64::from(*weight) / f64::from(total);
                prop_assert!((share - wanted).abs() < 0.05, "{:?}: {} for {}", hash, share, wanted);
            }
        }
    }
}
