//! RFC 7606 section 7, row by row.

use super::*;
use Response::{AttributeDiscard, TreatAsWithdraw};

const INSIDE: Sender = Sender { four_octet: true, inside: true };
const TWO_OCTET: Sender = Sender { four_octet: false, inside: false };
const MALFORMED: &str = "attribute_malformed";
const FLAGS: &str = "attribute_flags";
const FOREIGN: &str = "attribute_from_outside";

/// The attribute, who sent it, and what is wrong with it.
type Row = (&'static [u8], Sender, Option<(&'static str, Response)>);

const ROWS: [Row; 53] = [
    // 7.1 ORIGIN
    (&[0x40, 1, 1, 2], OUTSIDE, None),
    (&[0x40, 1, 1, 3], OUTSIDE, Some((MALFORMED, TreatAsWithdraw))),
    (&[0x40, 1, 0], OUTSIDE, Some((MALFORMED, TreatAsWithdraw))),
    (&[0x40, 1, 2, 0, 0], OUTSIDE, Some((MALFORMED, TreatAsWithdraw))),
    (&[0xc0, 1, 1, 0], OUTSIDE, Some((FLAGS, TreatAsWithdraw))),
    // 7.2 AS_PATH
    (&[0x40, 2, 0], OUTSIDE, None),
    (&[0x40, 2, 6, 1, 1, 0, 0, 0xfd, 0xe8], OUTSIDE, None),
    (&[0x40, 2, 4, 2, 1, 0xfd, 0xe8], TWO_OCTET, None),
    (&[0x40, 2, 6, 5, 1, 0, 0, 0xfd, 0xe8], OUTSIDE, Some((MALFORMED, TreatAsWithdraw))),
    (&[0x40, 2, 2, 2, 0], OUTSIDE, Some((MALFORMED, TreatAsWithdraw))),
    (&[0x40, 2, 6, 2, 2, 0, 0, 0xfd, 0xe8], OUTSIDE, Some((MALFORMED, TreatAsWithdraw))),
    (&[0x40, 2, 1, 2], OUTSIDE, Some((MALFORMED, TreatAsWithdraw))),
    (&[0x80, 2, 0], OUTSIDE, Some((FLAGS, TreatAsWithdraw))),
    // 7.3 NEXT_HOP
    (&[0x40, 3, 5, 10, 0, 0, 1, 0], OUTSIDE, Some((MALFORMED, TreatAsWithdraw))),
    (&[0x40, 3, 0], OUTSIDE, Some((MALFORMED, TreatAsWithdraw))),
    // 7.4 MULTI_EXIT_DISC
    (&[0x80, 4, 4, 0, 0, 0, 9], OUTSIDE, None),
    (&[0x80, 4, 3, 0, 0, 0], OUTSIDE, Some((MALFORMED, TreatAsWithdraw))),
    (&[0xc0, 4, 4, 0, 0, 0, 9], OUTSIDE, Some((FLAGS, TreatAsWithdraw))),
    // 7.5 LOCAL_PREF
    (&[0x40, 5, 4, 0, 0, 0, 100], INSIDE, None),
    (&[0x40, 5, 3, 0, 0, 100], INSIDE, Some((MALFORMED, TreatAsWithdraw))),
    (&[0x40, 5, 4, 0, 0, 0, 100], OUTSIDE, Some((FOREIGN, AttributeDiscard))),
    (&[0x40, 5, 1, 0], OUTSIDE, Some((FOREIGN, AttributeDiscard))),
    // 7.6 ATOMIC_AGGREGATE
    (&[0x40, 6, 0], OUTSIDE, None),
    (&[0x40, 6, 1, 0], OUTSIDE, Some((MALFORMED, AttributeDiscard))),
    // 7.7 AGGREGATOR
    (&[0xc0, 7, 8, 0, 0, 0, 1, 10, 0, 0, 1], OUTSIDE, None),
    (&[0xc0, 7, 6, 0, 1, 10, 0, 0, 1], TWO_OCTET, None),
    (&[0xc0, 7, 6, 0, 1, 10, 0, 0, 1], OUTSIDE, Some((MALFORMED, AttributeDiscard))),
    (&[0xc0, 7, 8, 0, 0, 0, 1, 10, 0, 0, 1], TWO_OCTET, Some((MALFORMED, AttributeDiscard))),
    // 7.8 COMMUNITIES
    (&[0xc0, 8, 4, 0, 0, 0, 1], OUTSIDE, None),
    (&[0xc0, 8, 3, 0, 0, 0], OUTSIDE, Some((MALFORMED, TreatAsWithdraw))),
    (&[0xc0, 8, 0], OUTSIDE, Some((MALFORMED, TreatAsWithdraw))),
    (&[0x40, 8, 4, 0, 0, 0, 1], OUTSIDE, Some((FLAGS, TreatAsWithdraw))),
    // 7.9 ORIGINATOR_ID
    (&[0x80, 9, 4, 10, 0, 0, 1], INSIDE, None),
    (&[0x80, 9, 3, 10, 0, 0], INSIDE, Some((MALFORMED, TreatAsWithdraw))),
    (&[0x80, 9, 3, 10, 0, 0], OUTSIDE, Some((FOREIGN, AttributeDiscard))),
    // 7.10 CLUSTER_LIST
    (&[0x80, 10, 4, 10, 0, 0, 1], INSIDE, None),
    (&[0x80, 10, 5, 10, 0, 0, 1, 0], INSIDE, Some((MALFORMED, TreatAsWithdraw))),
    (&[0x80, 10, 0], INSIDE, Some((MALFORMED, TreatAsWithdraw))),
    (&[0x80, 10, 4, 10, 0, 0, 1], OUTSIDE, Some((FOREIGN, AttributeDiscard))),
    // 7.14 extended communities, and RFC 5701
    (&[0xc0, 16, 8, 0, 2, 0, 1, 0, 0, 0, 1], OUTSIDE, None),
    (&[0xc0, 16, 7, 0, 2, 0, 1, 0, 0, 0], OUTSIDE, Some((MALFORMED, TreatAsWithdraw))),
    (&[0xc0, 16, 0], OUTSIDE, Some((MALFORMED, TreatAsWithdraw))),
    (&[0xc0, 25, 4, 0, 0, 0, 0], OUTSIDE, Some((MALFORMED, TreatAsWithdraw))),
    // RFC 6793 section 6
    (&[0xc0, 17, 1, 2], TWO_OCTET, Some((MALFORMED, AttributeDiscard))),
    (&[0xc0, 18, 6, 0, 1, 10, 0, 0, 1], TWO_OCTET, Some((MALFORMED, AttributeDiscard))),
    // RFC 8092 section 6
    (&[0xc0, 32, 12, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1], OUTSIDE, None),
    (&[0xc0, 32, 4, 0, 0, 0, 0], OUTSIDE, Some((MALFORMED, TreatAsWithdraw))),
    (&[0xc0, 32, 0], OUTSIDE, Some((MALFORMED, TreatAsWithdraw))),
    // RFC 9234 section 5
    (&[0xc0, 35, 4, 0, 0, 0xfd, 0xe8], OUTSIDE, None),
    (&[0xc0, 35, 1, 0], OUTSIDE, Some((MALFORMED, TreatAsWithdraw))),
    // What nobody knows
    (&[0xc0, 99, 2, 1, 2], OUTSIDE, None),
    (&[0xe0, 99, 0], OUTSIDE, None),
    (&[0x40, 99, 0], OUTSIDE, Some(("attribute_unknown_well_known", TreatAsWithdraw))),
];

/// Good attributes in the sender's width of AS numbers, except the one that is tried.
fn around(tried: &[u8], sender: Sender) -> Vec<u8> {
    let path: &[u8] = if sender.four_octet { &PATH } else { &[0x40, 2, 4, 2, 1, 0xfd, 0xe8] };
    let others = [&ORIGIN_IGP[..], path, &HOP].into_iter().filter(|other| other[1] != tried[1]);
    others.fold(tried.to_vec(), |all, other| [&all[..], other].concat())
}

fn check(bytes: &[u8], sender: Sender) -> Result<validate::Summary, Notification> {
    match decode(bytes).unwrap() {
        Message::Update(update) => validate(&update, sender),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bad_attribute_never_ends_the_session() {
    for (bytes, sender, wrong) in ROWS {
        let summary = check(&update(&[], &around(bytes, sender), &NET), sender).unwrap();
        let expected = wrong.map(|(reason, response)| Fault { attribute: bytes[1], reason, response });
        assert_eq!((summary.fault, summary.announced), (expected, 1), "{bytes:?} {sender:?}");
    }
}

#[test]
fn what_is_cut_off_or_missing_withdraws_and_what_comes_twice_counts_once() {
    let fault = |attributes: &[u8]| check(&update(&[], attributes, &NET), OUTSIDE).unwrap().fault;
    let cut = [&good()[..], &[0x40, 5, 4, 0]].concat();
    let wrong = |attribute, reason, response| Some(Fault { attribute, reason, response });
    assert_eq!(fault(&cut), wrong(0, "attribute_cut_off", TreatAsWithdraw));
    assert_eq!(fault(&ORIGIN_IGP), wrong(2, "attribute_missing", TreatAsWithdraw));
    let twice = [&good()[..], &[0x40, 1, 1, 9]].concat();
    assert_eq!(fault(&twice), wrong(1, "attribute_twice", AttributeDiscard), "the first counts");
}

#[test]
fn the_strongest_response_wins_wherever_it_stands() {
    let (discard, withdraw): (&[u8], &[u8]) = (&[0x40, 6, 1, 0], &[0x80, 4, 1, 0]);
    for bad in [[discard, withdraw], [withdraw, discard]] {
        let attributes = [&bad.concat()[..], &good()].concat();
        let fault = check(&update(&[], &attributes, &NET), OUTSIDE).unwrap().fault.unwrap();
        assert_eq!((fault.attribute, fault.response), (4, TreatAsWithdraw));
    }
    let unreach: &[u8] = &[0x80, 15, 5, 0, 2, 1, 129, 0];
    let attributes = [withdraw, unreach, &good()].concat();
    assert_eq!(
        check(&update(&[], &attributes, &NET), OUTSIDE).unwrap_err().code,
        Code(3, 9),
        "and a reset over all"
    );
}

#[test]
fn routes_that_cannot_be_named_cannot_be_withdrawn() {
    let med: &[u8] = &[0x80, 4, 1, 0];
    let reset = |attributes: &[u8]| check(&update(&[], attributes, &[]), OUTSIDE);
    assert_eq!(reset(med).unwrap_err().code, Code(3, 1), "section 5.2");
    let unreach: &[u8] = &[0x80, 15, 3, 0, 2, 1];
    assert_eq!(reset(&[unreach, med].concat()).unwrap_err().code, Code(3, 1));
    let odd_unreach: &[u8] = &[0xc0, 15, 3, 0, 2, 1];
    assert_eq!(reset(odd_unreach).unwrap().fault.unwrap().response, TreatAsWithdraw, "it names all there is");
    let discard: &[u8] = &[0x40, 6, 1, 0];
    assert_eq!(reset(discard).unwrap().fault.unwrap().response, AttributeDiscard);
}
