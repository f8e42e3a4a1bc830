//! Prints the members of RegisterTaskDefinition and CreateService as the SDK knows them; writes no
//! file: `just shapes` does.

use std::io::Write;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = serde_json::to_string_pretty(&evenkeel_aws::shapes()?)?;
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
