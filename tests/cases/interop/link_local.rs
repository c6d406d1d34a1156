//! Neighbors that have nothing but a link.

use super::{SOON, interop};
use tests::interop::{Peering, Router, Side};

#[test]
fn a_link_local_neighbor_carries_the_vips_over_its_link_through_changes_and_upgrades() {
    use Router::{Bird, Frr};
    use Side::{Inside, Outside};
    let local = |peering: Peering| Peering { link_local: true, ..peering };
    let peerings = vec![
        local(Peering::new("bird_local", Bird, Outside, true, 1)).bfd(300, 3),
        local(Peering::new("bird_local_inside", Bird, Inside, true, 2)),
        local(Peering::new("frr_local", Frr, Outside, true, 1)),
        local(Peering::new("frr_local_inside", Frr, Inside, true, 2)),
    ];
    interop(peerings, |lab| {
        let all = || lab.peerings().iter();
        tests::wait_until("BFD over the link", super::COMES_UP, || {
            let ours = lab.speaker(Outside).neighbor("bird_local")?;
            Ok(ours["bfd"].to_string().contains("Up").then_some(()))
        })?;
        for side in [Outside, Inside] {
            lab.speaker(side).renew(&["upgrade"])?;
        }
        lab.health().say("not_ready");
        all().try_for_each(|peering| lab.wait_withdrawn(peering, SOON))?;
        lab.health().say("ready");
        all().try_for_each(|peering| lab.wait_announced(peering, SOON))?;
        all().try_for_each(|peering| lab.refresh(peering))?;
        all().try_for_each(|peering| lab.wait_announced(peering, SOON))
    });
}
