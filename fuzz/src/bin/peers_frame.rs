//! What a peer sends is taken, skipped or refused, whatever it is; frames are never longer than what came, and what is
//! behind them changes nothing.
#![no_main]

use base_core::Time;
use fuzz::peers::{cluster, take};
use gateway_core::peers::{Hello, Incoming, Outgoing, Progress, Status, With, frame};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Status::take(bytes);
    if let Some(Ok((hello, length))) = Hello::take(bytes) {
        assert!(length <= bytes.len());
        assert!(matches!(Hello::take(&hello.encode()), Some(Ok(_))), "what is read can be said");
    }
    if let Ok(Some((frame, length))) = frame::take(bytes) {
        assert!(length <= bytes.len().min(frame::MAX_FRAME));
        assert_eq!(frame::take(&bytes[..length]), Ok(Some((frame, length))), "what is behind it counts");
    }
    for with in [With::Peer("b"), With::Previous, With::Next] {
        let (here, mut incoming) = (cluster("a"), Incoming::default());
        let _ = take(&mut incoming, bytes, &here, with);
        let mut acks = Vec::new();
        incoming.acknowledge(&mut acks);
        let mut outgoing = Outgoing::new(&here, with, &Progress::default(), true);
        outgoing.acknowledged(bytes, &mut Progress::default());
        // What has been taken can be told to the next, and is understood there.
        let (mut told, there) = (Vec::new(), cluster("c"));
        outgoing.teach();
        while outgoing.go_on_teaching(&here, Time::from_millis(9), &mut told) {}
        take(&mut Incoming::default(), &told, &there, With::Peer("a")).expect("it speaks the protocol");
    }
});
