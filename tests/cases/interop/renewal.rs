//! Other processes and other configurations in the place of the speaker: no router notices.

use super::{COMES_UP, SOON, interop, rest, told};
use anyhow::{Result, ensure};
use std::time::Duration;
use tests::interop::{Interop, Peering, Router, Side, Vip};

fn table() -> Vec<Peering> {
    use Router::{Bird, Frr};
    use Side::{Inside, Outside};
    let gtsm = |peering: Peering| Peering { ttl_security: true, ..peering };
    let comes = |peering: Peering| Peering { mode: "passive", ..peering };
    vec![
        Peering::new("bird_bfd", Bird, Outside, false, 1).bfd(50, 3),
        Peering::new("bird_md5", Bird, Inside, true, 2).password("between us").bfd(50, 3),
        gtsm(Peering::new("bird_gtsm", Bird, Outside, true, 3)),
        comes(Peering::new("bird_comes", Bird, Outside, false, 4)).password("between us"),
        Peering::new("bird_ibgp4", Bird, Inside, false, 5),
        Peering::new("frr_bfd", Frr, Outside, false, 1).bfd(50, 3),
        Peering::new("frr_md5", Frr, Inside, true, 2).password("between-us").bfd(50, 3),
        gtsm(Peering::new("frr_gtsm", Frr, Outside, true, 3)),
        comes(Peering::new("frr_comes", Frr, Outside, false, 4)).password("between-us"),
        Peering::new("frr_ibgp4", Frr, Inside, false, 5),
    ]
}

#[test]
fn twenty_upgrades_flap_no_session_and_no_path_of_any_router() {
    interop(table(), |lab| {
        wait_up(lab)?;
        for router in [Router::Bird, Router::Frr] {
            let vip = Vip { side: Side::Outside, ipv6: false };
            tests::wait_until("the kernel's route", SOON, || {
                Ok((!lab.kernel(router, vip)?.is_empty()).then_some(()))
            })?;
        }
        rest(lab)?;
        let began = lab.clock().now();
        for round in 0..20 {
            for side in [Side::Outside, Side::Inside] {
                let at = lab.clock().now();
                lab.speaker(side).renew(&["upgrade"])?;
                if round < 3 {
                    told(&format!("an upgrade: {:?}", lab.clock().now() - at));
                }
            }
        }
        // A path that was lost, or a session that ended, would have taken the routes out of the kernels.
        for router in [Router::Bird, Router::Frr] {
            let flapped = lab.routes(router).wait("no change", began, Duration::from_secs(1), |_| true);
            ensure!(flapped.is_err(), "{}: {:?}", router.name(), flapped.ok());
        }
        for peering in lab.peerings() {
            ensure!(lab.is_established(peering)?, "{}", peering.name);
            ensure!(peering.bfd.is_none() || lab.is_path_up(peering)?, "{}: BFD", peering.name);
            ensure!(!came_and_went(lab, peering)?, "{}: flapped", peering.name);
        }
        lab.health().say("not_ready");
        lab.peerings().iter().try_for_each(|peering| lab.wait_withdrawn(peering, SOON))?;
        lab.health().say("ready");
        lab.peerings().iter().try_for_each(|peering| lab.wait_announced(peering, SOON))
    });
}

#[test]
fn a_reload_changes_what_routers_hold_and_no_session() {
    interop(table(), |lab| {
        wait_up(lab)?;
        for side in [Side::Outside, Side::Inside] {
            lab.speaker(side).rewrite(|text| text.replace("med = 100", "med = 77"))?;
            let plan = lab.speaker(side).tell(&["reload", "--plan"])?;
            ensure!(plan.contains("med 77"), "{plan}");
            lab.speaker(side).renew(&["reload"])?;
        }
        for peering in lab.peerings() {
            for vip in peering.side.vips() {
                tests::wait_until(&format!("{}: the other metric", peering.name), SOON, || {
                    Ok(lab.seen(peering, vip)?.filter(|seen| seen.med == Some(77)))
                })?;
            }
            ensure!(!came_and_went(lab, peering)?, "{}: flapped", peering.name);
        }
        Ok(())
    });
}

/// Did the speaker, over all its processes, see the session or its path end?
fn came_and_went(lab: &Interop, peering: &Peering) -> Result<bool> {
    let events = lab.speaker(peering.side).tell(&["events", "--json"])?;
    let events: Vec<serde_json::Value> =
        events.lines().filter(|line| !line.is_empty()).map(serde_json::from_str).collect::<Result<_, _>>()?;
    let ends = |event: &&serde_json::Value| {
        event["neighbor"] == peering.name && (event["from"] == "Established" || event["from"] == "Up")
    };
    Ok(events.iter().any(|event| ends(&event)))
}

fn wait_up(lab: &Interop) -> Result<()> {
    for peering in lab.peerings().iter().filter(|peering| peering.bfd.is_some()) {
        tests::wait_until(&format!("{}: BFD up", peering.name), COMES_UP, || {
            let ours = lab.speaker(peering.side).neighbor(peering.name)?;
            Ok((lab.is_path_up(peering)? && ours["bfd"].to_string().contains("Up")).then_some(()))
        })?;
    }
    Ok(())
}
