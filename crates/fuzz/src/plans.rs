//! Whole looks at a service with a manifest, in JSON; never expects one to make sense.

use crate::look::Look;

/// Whatever is seen, there is a plan that the guard takes, a status and a list of changes.
pub(crate) fn run(data: &[u8]) {
    let Ok(document) = serde_json::from_slice(data) else { return };
    Look::read(&document).examine();
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_seeds_lead_to_every_call_and_to_most_waits() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/plans");
        let (mut calls, mut waits) = (BTreeSet::new(), BTreeSet::new());
        for seed in std::fs::read_dir(seeds).unwrap() {
            let path = seed.unwrap().path();
            let text = std::fs::read(&path).unwrap();
            let plan = Look::read(&serde_json::from_slice(&text).unwrap()).plan();
            calls.extend(plan.actions.iter().map(|action| action.call.operation()));
            waits.extend(plan.waiting.iter().map(|wait| wait.reason));
        }
        assert_eq!(calls.len(), 9, "{calls:?}");
        assert!(waits.len() >= 10, "{waits:?}");
    }
}
