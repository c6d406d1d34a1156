//! Entries of running requests, which live longer than the table says.

use super::*;

#[test]
fn a_lesson_says_of_a_held_entry_that_it_lives_on() {
    let options = options(KeyType::Ip, &[DataType::ConnCur]);
    let (one, other) = (node("a", "r", true, &options), node("b", "r", true, &options));
    let held = one.tables()[0].table.track([0, 0, 0, 1], NOW, |entry| {
        entry.add(DataType::ConnCur, 1);
        ((), true)
    });
    let later = NOW + Duration::from_secs(40);
    let mut outgoing = Outgoing::new(&one, With::Peer("b"), &Progress::default(), true);
    outgoing.teach();
    let mut bytes = Vec::new();
    while outgoing.go_on_teaching(&one, later, &mut bytes) {}
    take(&mut Incoming::default(), &bytes, &other, "a").expect("it is understood");
    let limits = [crate::limits::Limit::new(DataType::ConnCur, 9)];
    assert_eq!(other.tables()[0].others(&[0, 0, 0, 1], &limits, NOW + Duration::from_secs(1))[0], 1);
    assert!(held.is_some_and(|(_, held)| held.is_some()), "it is held all the time");
}

#[test]
fn what_runs_for_longer_than_an_entry_lives_counts_elsewhere_until_it_has_ended() {
    let options = options(KeyType::Ip, &[DataType::ConnCur]);
    let (one, other) = (node("a", "r", true, &options), node("b", "r", true, &options));
    let key = [0, 0, 0, 1];
    let held = one.tables()[0].table.track(key, NOW, |entry| {
        entry.add(DataType::ConnCur, 1);
        ((), true)
    });
    let Some(((), Some(held))) = held else { panic!("there is room") };
    let mut renewals = Renewal::of(&one, NOW);
    let (mut outgoing, mut incoming) =
        (Outgoing::new(&one, With::Peer("b"), &Progress::default(), true), Incoming::default());
    let limits = [crate::limits::Limit::new(DataType::ConnCur, 9)];
    let (mut now, mut next, mut updates) = (NOW, NOW, 0);
    let mut told = |now, updates: &mut u32| {
        let mut bytes = Vec::new();
        outgoing.push(&one, now, 10, &mut bytes);
        *updates += u32::from(!bytes.is_empty());
        take_at(&mut incoming, &bytes, &other, "a", now).expect("it is understood");
        other.tables()[0].others(&key, &limits, now)[0]
    };
    while now < NOW + Duration::from_secs(100) {
        now += Duration::from_millis(100);
        while next <= now {
            next = renewals[0].go_on(&one, next.max(now));
        }
        assert_eq!(told(now, &mut updates), 1, "after {:?}", now - NOW);
    }
    assert!(updates <= 10, "it is said again about every 15 s: {updates} times");
    one.tables()[0].table.release(held, now, |entry| entry.sub(DataType::ConnCur, 1));
    assert_eq!(told(now, &mut updates), 0);
}
