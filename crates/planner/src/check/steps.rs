//! The guard of the order of our own steps: no rise of traffic and no next step against people, windows, alarms or the
//! manifest's bakes; shares no code with the planner, and never repairs a plan.
//!
//! Properties: reliability.md, part C (S4, S5, S22).

use jiff::SignedDuration;

use super::Ground;
use super::external::{gaining, is_of_production};
use crate::{Action, Call, Lane};

/// What the tag `evenkeel:rollout` says of the step: whose it is, `step`, `test` or `bake`, its number from 0, and since
/// when.
struct Stand<'a> {
    set: &'a str,
    phase: &'a str,
    step: usize,
    since: i64,
}

impl<'a> Stand<'a> {
    fn read(mark: &'a str) -> Option<Self> {
        let (rest, since) = mark.rsplit_once(':')?;
        let (rest, word) = rest.rsplit_once(':')?;
        let (_, set) = rest.rsplit_once(':')?;
        let phase = word.trim_end_matches(|c: char| c.is_ascii_digit());
        let step = word.get(phase.len()..)?.parse().ok()?;
        Some(Self { set, phase, step, since: since.parse().ok()? })
    }

    /// What a promotion names.
    fn gate(&self) -> String {
        let word = if self.phase == "bake" { "step" } else { "take" };
        format!("{word}-{}", self.step + 1)
    }
}

fn stand<'a>(ground: &Ground<'a>) -> Option<Stand<'a>> {
    let tags = &ground.service?.tags;
    Stand::read(tags.get("evenkeel:rollout")?)
}

/// The gate of ours that an action passes by giving the new revision more production traffic.
pub(super) fn gate_of_a_rise(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let set = gaining(ground, &action.call)?;
    let goes_forward = action.lane != Lane::Rollback && set.deployment.status != "PRIMARY";
    (goes_forward && is_of_production(ground, &action.call))
        .then(|| stand(ground).map_or("none".to_owned(), |stand| stand.gate()))
}

/// More production traffic goes to the new revision only after a look at tasks and alarms in which no named alarm is
/// red, and while nobody paused it; a person may let it pass.
pub(super) fn rises_with_open_eyes(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let gate = gate_of_a_rise(ground, action)?;
    let observed = ground.input.observed;
    if observed.tasks.known().is_none() {
        return Some("the tasks were not seen".to_owned());
    }
    if ground.is_promoted(&gate) {
        return None;
    }
    let is_first = stand(ground).is_some_and(|stand| stand.phase == "step" && stand.step == 0);
    if is_first && ground.desired.rollout.analysis.is_some() {
        return Some("nothing was tested before the first step".to_owned());
    }
    let annotations = &ground.desired.metadata.annotations;
    if ground.tag("evenkeel:pause").is_some() || annotations.contains_key("evenkeel.dev/pause") {
        return Some("rollouts of the service are paused".to_owned());
    }
    let alarms = observed.alarms.known().map(Vec::as_slice).unwrap_or_default();
    let is_calm =
        |name: &&String| alarms.iter().any(|one| one.name == **name && one.state != "ALARM");
    let red = ground.desired.rollout.breaker.alarms.iter().find(|name| !is_calm(name))?;
    Some(format!("alarm {red} is red or not seen"))
}

fn serves_somebody(ground: &Ground<'_>) -> bool {
    let sets = ground.service.map(|service| service.task_sets.as_slice()).unwrap_or_default();
    sets.iter().any(|set| set.deployment.status == "PRIMARY")
}

/// Another task set begins with the first step; with the last one where nobody is served yet.
fn begins_late(ground: &Ground<'_>, next: &Stand<'_>) -> Option<String> {
    let begins = next.phase == "step" && serves_somebody(ground) && next.step > 0;
    begins.then(|| format!("the rollout of {} begins with step {}", next.set, next.step + 1))
}

/// A rollout whose traffic was noted as given back since its step was taken begins with the first step again.
fn begins_anew(ground: &Ground<'_>, next: &Stand<'_>, now: &Stand<'_>) -> bool {
    let noted = ground.tag("evenkeel:reweighed").and_then(|tag| tag.strip_prefix("v1:"));
    let given_back: Option<i64> = noted.and_then(|at| at.parse().ok());
    next.step == 0 && given_back.is_some_and(|at| at >= now.since)
}

/// Where nobody is served yet the last step is the first, also of steps that a manifest came to have more of.
fn goes_to_the_last(ground: &Ground<'_>, next: &Stand<'_>) -> bool {
    let steps = ground.desired.rollout.strategy.steps();
    !serves_somebody(ground) && steps.is_some_and(|all| next.step + 1 == all.steps.len())
}

/// The next step begins after the bake of the one before it and with the approval that the manifest wants there, unless
/// a person lets it pass; and it is the next one, or the first where traffic was given back, or the last where nobody is served.
pub(super) fn takes_the_next_step(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let Call::TagResource { tags, .. } = &action.call else { return None };
    let (next, now) = (Stand::read(tags.get("evenkeel:rollout")?)?, stand(ground)?);
    if next.set != now.set {
        return begins_late(ground, &next);
    }
    if next.phase == "test" && (now.phase != "step" || now.step != next.step) {
        return Some("a gate opens once, before the step that it is about".to_owned());
    }
    let leaves_a_bake = next.phase == "step" && now.phase == "bake";
    if !leaves_a_bake || begins_anew(ground, &next, &now) || goes_to_the_last(ground, &next) {
        return None;
    }
    if next.step != now.step + 1 {
        return Some(format!("step {} does not follow step {}", next.step + 1, now.step + 1));
    }
    let steps = &ground.desired.rollout.strategy.steps()?.steps;
    let step = steps.get(now.step).or(steps.last())?;
    if ground.is_promoted(&now.gate()) {
        return None;
    }
    let baked = SignedDuration::from_secs(ground.input.now.as_second() - now.since);
    if baked < SignedDuration::try_from(step.bake).unwrap_or(SignedDuration::MAX) {
        return Some(format!("step {} has baked for {baked:#} only", now.step + 1));
    }
    (step.approve && !ground.is_approved_in_git())
        .then(|| format!("no person approved step {}", now.step + 1))
}
