//! Sessions of every kind stand, carry the VIPs with all their attributes, and lose them.

use super::{COMES_UP, SOON, apart, interop, matrix, one_each, told};
use anyhow::{Result, ensure};
use std::time::Duration;
use tests::interop::{Interop, Peering, Router, Seen, Side, Vip};

/// Every router, both sides, both families; beside them what a session can have.
fn table() -> Vec<Peering> {
    use Router::{Bird, Frr};
    use Side::{Inside, Outside};
    let plain = Peering::new;
    let gtsm = |peering: Peering| Peering { ttl_security: true, ..peering };
    let silent = |peering: Peering| Peering { plain_open: true, ..peering };
    let passive = |peering: Peering| Peering { bird_more: "passive; ", frr_more: &["passive"], ..peering };
    let comes = |peering: Peering| Peering { mode: "passive", ..peering };
    let both = |peering: Peering| Peering { mode: "both", ..peering };
    let far = |peering: Peering| Peering { multihop: true, ..peering };
    let on_ipv6 = |peering: Peering| Peering { extended_next_hop: true, ..peering };
    let with_more = [
        plain("bird_md5_4", Bird, Outside, false, 5).password("between us"),
        plain("bird_md5_6", Bird, Outside, true, 6).password("between us"),
        plain("bird_md5_inside4", Bird, Inside, false, 18).password("between us"),
        plain("bird_md5_inside6", Bird, Inside, true, 19).password("between us"),
        gtsm(plain("bird_gtsm4", Bird, Outside, false, 7)),
        gtsm(plain("bird_gtsm6", Bird, Outside, true, 8)),
        passive(plain("bird_passive", Bird, Outside, false, 10)),
        comes(plain("bird_comes4", Bird, Outside, false, 11)).password("between us"),
        gtsm(comes(plain("bird_comes6", Bird, Outside, true, 12))),
        both(plain("bird_both4", Bird, Outside, false, 13)),
        both(plain("bird_both6", Bird, Inside, true, 14)).password("between us"),
        far(plain("bird_multihop4", Bird, Outside, false, 16)),
        far(plain("bird_multihop6", Bird, Outside, true, 17)),
        gtsm(plain("bird_gtsm_inside4", Bird, Inside, false, 20)),
        gtsm(plain("bird_gtsm_inside6", Bird, Inside, true, 21)),
        far(plain("bird_multihop_inside4", Bird, Inside, false, 22)),
        far(plain("bird_multihop_inside6", Bird, Inside, true, 23)),
        on_ipv6(plain("bird_extended_next_hop", Bird, Outside, true, 15)),
        plain("frr_md5_4", Frr, Outside, false, 5).password("between-us"),
        plain("frr_md5_6", Frr, Outside, true, 6).password("between-us"),
        plain("frr_md5_inside4", Frr, Inside, false, 18).password("between-us"),
        plain("frr_md5_inside6", Frr, Inside, true, 19).password("between-us"),
        gtsm(plain("frr_gtsm4", Frr, Outside, false, 7)),
        gtsm(plain("frr_gtsm6", Frr, Outside, true, 8)),
        silent(plain("frr_no_capabilities", Frr, Outside, false, 9)),
        passive(plain("frr_passive", Frr, Outside, false, 10)),
        far(plain("frr_multihop4", Frr, Outside, false, 16)),
        far(plain("frr_multihop6", Frr, Outside, true, 17)),
        gtsm(plain("frr_gtsm_inside4", Frr, Inside, false, 20)),
        gtsm(plain("frr_gtsm_inside6", Frr, Inside, true, 21)),
        far(plain("frr_multihop_inside4", Frr, Inside, false, 22)),
        far(plain("frr_multihop_inside6", Frr, Inside, true, 23)),
        on_ipv6(plain("frr_extended_next_hop", Frr, Outside, true, 15)),
        comes(plain("frr_comes4", Frr, Outside, false, 11)).password("between-us"),
        gtsm(comes(plain("frr_comes6", Frr, Outside, true, 12))),
        both(plain("frr_both4", Frr, Outside, false, 13)),
        both(plain("frr_both6", Frr, Inside, true, 14)).password("between-us"),
    ];
    matrix().into_iter().chain(with_more).collect()
}

#[test]
fn every_kind_of_session_carries_the_vips_and_loses_them() {
    interop(table(), |lab| {
        for peering in lab.peerings() {
            ensure!(lab.is_established(peering)?, "{}", peering.name);
        }
        each_kernel(lab, "has every VIP", |route| route.contains("via") || route.contains("nexthop"))?;
        // A refresh changes nothing, and ends nothing.
        lab.peerings().iter().try_for_each(|peering| lab.refresh(peering))?;
        lab.peerings().iter().try_for_each(|peering| lab.wait_announced(peering, SOON))?;
        for peering in lab.peerings() {
            let sent = lab.speaker(peering.side).neighbor(peering.name)?;
            ensure!(sent["state"] == "Established", "{}: {sent}", peering.name);
        }
        lab.health().say("not_ready");
        lab.peerings().iter().try_for_each(|peering| lab.wait_withdrawn(peering, SOON))?;
        each_kernel(lab, "has no VIP", str::is_empty)?;
        lab.health().say("ready");
        lab.peerings().iter().try_for_each(|peering| lab.wait_announced(peering, SOON))
    });
}

fn each_kernel(lab: &Interop, what: &str, good: impl Fn(&str) -> bool) -> Result<()> {
    for router in [Router::Bird, Router::Frr] {
        for vip in [Side::Outside, Side::Inside].into_iter().flat_map(Side::vips) {
            tests::wait_until(&format!("the kernel of {} {what}: {vip:?}", router.name()), SOON, || {
                Ok(good(&lab.kernel(router, vip)?).then_some(()))
            })?;
        }
    }
    Ok(())
}

#[test]
fn a_gateway_that_dies_is_withdrawn_from_tables_and_kernels_at_once() {
    interop(one_each(), |lab| {
        for round in 0..3 {
            for router in [Router::Bird, Router::Frr] {
                let vip = Vip { side: Side::Outside, ipv6: false };
                tests::wait_until("the kernel's route", SOON, || {
                    Ok((!lab.kernel(router, vip)?.is_empty()).then_some(()))
                })?;
            }
            let began = lab.clock().now();
            lab.health().die();
            // FRR itself takes some 60 ms from a withdraw to the kernel.
            for (router, most) in [(Router::Bird, 100), (Router::Frr, 300)] {
                let gone =
                    lab.routes(router).wait("the route to go", began, SOON, |change| change.via.is_none())?;
                let took = gone.at - began;
                ensure!(took < Duration::from_millis(most), "round {round}, {}: {took:?}", router.name());
                told(&format!("gateway dead, kernel of {}: {took:?}", router.name()));
            }
            lab.health().say("ready");
            lab.peerings().iter().try_for_each(|peering| lab.wait_announced(peering, SOON))?;
        }
        Ok(())
    });
}

#[test]
fn a_drain_is_the_last_choice_then_gone_in_every_router() {
    interop(matrix(), |lab| {
        for side in [Side::Outside, Side::Inside] {
            // Long enough to look at eight sessions one after the other.
            lab.speaker(side).rewrite(|text| text + "\n[drain]\nworsen_for = \"4s\"\n")?;
            lab.speaker(side).renew(&["reload"])?;
            lab.speaker(side).tell(&["pin", "--for", "1m"])?;
        }
        for side in [Side::Outside, Side::Inside] {
            lab.speaker(side).tell(&["undrain"])?;
            lab.speaker(side).tell(&["drain", "--for", "1m", "--reason", "interop"])?;
        }
        for peering in lab.peerings() {
            let vip = peering.side.vips()[1];
            let is_last = |seen: &Seen| {
                let marked = seen.communities.iter().any(|community| community == "65535:0");
                // FRR lowers it by itself, BIRD by the filter of RFC 8326; inside the AS the speaker does.
                marked && seen.med == Some(4_294_967_294) && seen.local_pref == Some(0)
            };
            tests::wait_until(&format!("{}: the last choice", peering.name), SOON, || {
                Ok(lab.seen(peering, vip)?.filter(is_last))
            })?;
        }
        lab.peerings().iter().try_for_each(|peering| lab.wait_withdrawn(peering, COMES_UP))
    });
}

#[test]
fn a_wrong_password_says_so_and_disturbs_no_other_session() {
    let mut peerings = one_each();
    let wrong = |peering: Peering| Peering { passwords: [Some("ours"), Some("theirs")], ..peering };
    peerings.push(wrong(Peering::new("bird_wrong", Router::Bird, Side::Outside, false, 2)));
    peerings.push(wrong(Peering::new("frr_wrong", Router::Frr, Side::Outside, true, 2)));
    apart(peerings, |lab| {
        for name in ["bird", "frr"] {
            lab.wait_announced(lab.peering(name)?, COMES_UP)?;
        }
        for name in ["bird_wrong", "frr_wrong"] {
            let speaker = lab.speaker(Side::Outside);
            tests::wait_until(&format!("{name}: a hint at the password"), COMES_UP, || {
                let error = speaker.neighbor(name)?["last_error"].to_string();
                Ok(error.contains("password").then_some(()))
            })?;
            ensure!(!lab.is_established(lab.peering(name)?)?, "{name}");
        }
        Ok(())
    });
}
