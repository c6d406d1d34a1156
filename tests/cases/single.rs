//! The single demo needs neither root nor namespaces, and checks itself.

use anyhow::{Result, ensure};
use std::process::Command;

#[test]
fn the_single_demo_holds_its_promises() -> Result<()> {
    let output = Command::new(tests::program("lab-demo")?).args(["--single", "--for", "3s"]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    ensure!(text.contains("promises held"), "{text}");
    Ok(())
}
