//! What speaks against starting new content because something that its manifest names is missing; never stops a
//! rollout in flight, nor a return.

use super::stand_still;
use crate::verify::{Finding, Verified};
use crate::{Observed, Plan, Wait, WaitReason};

/// Enough to mend a manifest by; the rest is told when these are mended.
const TOLD_MAX: usize = 5;

/// The plan instead of starting what would stumble, where the configuration says so.
pub(super) fn hindered(observed: &Observed) -> Option<Plan> {
    let verification = observed.verified.known().filter(|one| one.holds)?;
    let failed = |one: &&Finding| matches!(one.verified, Verified::Failed(_));
    let told = told_of(verification.findings.iter().filter(failed))?;
    Some(stand_still(WaitReason::Preflight, format!("{told}; nothing is started")))
}

/// What is amiss or was not looked at, while the plan goes on.
pub(super) fn told(observed: &Observed) -> Option<Wait> {
    let findings = &observed.verified.known()?.findings;
    let told = told_of(findings.iter().filter(|one| one.verified != Verified::Ok))?;
    Some(Wait::new(WaitReason::Unverified, told))
}

/// `role web: the account has no ...; subnet ...`.
fn told_of<'a>(findings: impl Iterator<Item = &'a Finding>) -> Option<String> {
    let sentence = |one: &Finding| {
        let why = one.verified.sentence().unwrap_or_default();
        format!("{} {}: {why}", one.need.check.word(), one.need.text)
    };
    let mut sentences: Vec<String> = findings.map(sentence).collect();
    let beyond = sentences.len().saturating_sub(TOLD_MAX);
    sentences.truncate(TOLD_MAX);
    sentences.extend((beyond > 0).then(|| format!("and {beyond} more")));
    (!sentences.is_empty()).then(|| sentences.join("; "))
}
