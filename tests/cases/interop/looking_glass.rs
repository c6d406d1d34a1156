//! A real route reflector that shows what became of a withdraw.

use super::{COMES_UP, SOON, interop, told};
use anyhow::Context;
use tests::interop::{OTHER_NODE, Peering, Router, Side};

#[test]
fn a_reflector_confirms_a_withdraw_with_another_nodes_path() {
    // The speaker inside has two sessions: by one it announces, the other one shows it what the reflector has.
    let shows =
        |peering: Peering| Peering { speaker_more: "looking_glass = true\n", reflects: true, ..peering };
    let peerings = vec![
        Peering::new("announces", Router::Bird, Side::Inside, false, 1),
        shows(Peering::new("shows", Router::Bird, Side::Inside, false, 2)),
    ];
    interop(peerings, |lab| {
        let speaker = lab.speaker(Side::Inside);
        let vip = Side::Inside.vips()[0].address().to_string();
        tests::wait_until("the own path to be shown", COMES_UP, || {
            let shown = speaker.neighbor("shows")?["shows"].clone();
            let own = shown
                .as_array()
                .is_some_and(|all| all.iter().any(|one| one["vip"] == *vip && one["own"] == true));
            Ok(own.then_some(()))
        })?;
        lab.health().say("not_ready");
        let event = tests::wait_until("the confirmation", SOON, || {
            let events = speaker.tell(&["events", "--json"])?;
            let events =
                events.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            let mut events = events.rev();
            Ok(events.find(|event| event["event"] == "gone" && event["vip"] == *vip))
        })?;
        let micros = event["micros"].as_u64().context("a time")?;
        told(&format!("a withdraw was true at the reflector after {micros} µs"));
        let by = event["by"].as_str().context("a path that took its place")?;
        anyhow::ensure!(micros < 1_000_000 && by == OTHER_NODE.to_string(), "{event}");
        Ok(())
    });
}
