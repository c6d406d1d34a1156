//! A router that sends more than it should.

use super::{COMES_UP, SOON, apart};
use anyhow::ensure;
use tests::interop::{Peering, Router, Side};

#[test]
fn a_router_that_sends_too_many_prefixes_is_told_cease_6_1_and_left_alone() {
    let exports = |peering: Peering| Peering {
        speaker_more: "max_prefixes = 5
",
        exports: true,
        ..peering
    };
    let peerings = vec![
        exports(Peering::new("bird", Router::Bird, Side::Outside, false, 1)),
        exports(Peering::new("frr", Router::Frr, Side::Outside, true, 1)),
    ];
    apart(peerings, |lab| {
        for peering in lab.peerings() {
            let error = tests::wait_until(&format!("{}: a Cease", peering.name), COMES_UP, || {
                let error = lab.last_error(peering)?;
                Ok(error.to_lowercase().contains("maximum").then_some(error))
            })?;
            ensure!(error.to_lowercase().contains("prefixes"), "{error}");
            lab.wait_withdrawn(peering, SOON)?;
        }
        Ok(())
    });
}
