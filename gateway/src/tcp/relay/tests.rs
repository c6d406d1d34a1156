use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// A relay whose two ends are pipes of so many bytes, and what is at their other ends.
fn run(
    room: usize,
    silence: Duration,
    test: impl AsyncFnOnce(DuplexStream, DuplexStream),
) -> (Termination, Traffic) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let ((client, mut inner), (server, mut outer)) = (duplex(room), duplex(room));
        let patience = Patience {
            both: (silence, Termination::ClientTimeoutInData),
            client: (silence, Termination::ClientTimeoutInData),
            server: (silence, Termination::TimeoutInData),
        };
        let (clock, mut traffic) = (Clock::start(), Traffic::default());
        let relay = async {
            let ended = relay(&mut inner, &mut outer, patience, &clock, &mut traffic).await;
            drop((inner, outer));
            ended
        };
        let (ended, ()) = tokio::join!(relay, test(client, server));
        (ended, traffic)
    })
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn an_end_goes_through_and_the_other_half_goes_on() {
    let (ended, traffic) = run(4096, LONG, async |mut client, mut server| {
        client.write_all(b"question").await.expect("sent");
        client.shutdown().await.expect("ended");
        let mut got = String::new();
        server.read_to_string(&mut got).await.expect("the end");
        assert_eq!(got, "question");
        server.write_all(b"answer").await.expect("sent");
        drop(server);
        got.clear();
        client.read_to_string(&mut got).await.expect("the end");
        assert_eq!(got, "answer");
    });
    assert_eq!((ended, traffic.to_server, traffic.to_client), (Termination::Normal, 8, 6));
}

#[test]
fn a_slow_reader_gets_everything_in_order_through_a_small_hole() {
    let sent: Vec<u8> = (0..300_000u32).map(|number| number as u8).collect();
    let wanted = sent.clone();
    let (ended, traffic) = run(100, LONG, async move |mut client, mut server| {
        let send = async {
            server.write_all(&sent).await.expect("sent");
            server.shutdown().await.expect("ended");
        };
        let take = async {
            let mut got = Vec::new();
            client.read_to_end(&mut got).await.expect("the end");
            client.shutdown().await.expect("ended");
            got
        };
        let ((), got) = tokio::join!(send, take);
        assert_eq!(got, wanted);
    });
    assert_eq!((ended, traffic.to_client), (Termination::Normal, 300_000));
}

#[test]
fn silence_ends_it_and_a_byte_in_time_does_not() {
    let (ended, _) = run(100, Duration::from_millis(100), async |mut client, mut server| {
        let start = Clock::start();
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(60)).await;
            client.write_all(b"x").await.expect("it is open");
        }
        let mut got = Vec::new();
        server.read_to_end(&mut got).await.expect("the end");
        assert_eq!(got, b"xxxx");
        assert!(start.now() - base_core::Time::ZERO >= Duration::from_millis(300));
    });
    assert_eq!(ended, Termination::ClientTimeoutInData);
}

#[test]
fn a_server_that_takes_nothing_more_still_gets_its_last_word_through() {
    let (ended, traffic) = run(100, LONG, async |mut client, mut server| {
        server.write_all(b"sorry").await.expect("sent");
        drop(server);
        let mut got = String::new();
        client.read_to_string(&mut got).await.expect("the end");
        assert_eq!(got, "sorry");
        // The relay may have ended before it could take this.
        let _ = client.write_all(b"too late").await;
    });
    assert_eq!((ended, traffic.to_client), (Termination::ServerInData, 5));
}
