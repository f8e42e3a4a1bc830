//! P2 and P3: people stop rollouts and let them pass gates; a word opens what it names and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use evenkeel_manifest::{Gate, ServiceKey};
use evenkeel_planner::{self as planner, Command, Lane};
use serde_json::Value;

use super::super::event::At;
use super::super::{Event, Property, Sent};
use super::asks::Asks;
use super::call::{self, Write, text};
use super::memory::{Mark, PAUSE, PROMOTE, Promotion, ROLLOUT, Tags, mark};
use super::ordering::told;
use super::origins::{Origins, is_in_flight};
use super::passes::Passes;
use super::pruning;
use super::wishes::Wish;
use crate::ServiceFacts;

/// P2: where a daemon was shown that rollouts are paused, or its manifest says so, none starts, widens
/// after its probe, goes on to a step of `Steps` or passes a gate, unless the daemon was shown a promotion of that gate.
#[derive(Debug, Default)]
pub(super) struct PausedRollouts {
    origins: Origins,
    passes: Passes,
    /// The deployment that ECS works on, and how many tasks there are to be.
    in_flight: BTreeMap<ServiceKey, (u64, u64)>,
}

/// P3: a gate that a person must approve is passed only by a promotion that the daemon was shown and that
/// names it, or the whole rollout; and a promotion is written only when somebody asks for it, for the
/// gate at which ECS waits then, or for the whole rollout where that was asked for.
#[derive(Debug, Default)]
pub(super) struct NamedGates {
    origins: Origins,
    passes: Passes,
    asks: Asks,
    gates: Gates,
}

/// The pauses that ECS told of.
#[derive(Debug, Default)]
struct Gates {
    /// By hook.
    all: BTreeMap<String, Gate>,
    /// The hooks at which the rollout of a service stood when last told, and in which pass.
    open: BTreeMap<ServiceKey, (u64, Vec<String>)>,
}

impl Gates {
    fn note(&mut self, event: &Event<'_>) {
        let Event::Answered { call, answer: Ok(reply), .. } = event else { return };
        let Some(key) = call.about.as_ref() else { return };
        if call.operation != "DescribeServiceDeployments" {
            return;
        }
        let mut open = Vec::new();
        for deployment in list(reply, "serviceDeployments") {
            let gate = text(deployment, "lifecycleStage").and_then(Gate::in_stage);
            for hook in list(deployment, "lifecycleHookDetails") {
                let Some(id) = text(hook, "hookId") else { continue };
                self.all.extend(gate.map(|gate| (id.to_owned(), gate)));
                if text(hook, "status") == Some("AWAITING_ACTION") {
                    open.push(id.to_owned());
                }
            }
        }
        let told = self.open.entry(key.clone()).or_default();
        if told.0 != call.pass {
            *told = (call.pass, Vec::new());
        }
        told.1.extend(open);
    }

    fn is_open(&self, call: &Sent, hook: &str) -> bool {
        let told = call.about.as_ref().and_then(|key| self.open.get(key));
        told.is_some_and(|(pass, open)| *pass == call.pass && open.iter().any(|one| one == hook))
    }
}

fn list<'a>(value: &'a Value, member: &str) -> impl Iterator<Item = &'a Value> {
    value.get(member).and_then(Value::as_array).into_iter().flatten()
}

/// Whether a promotion that was shown opens the gate that a call is about.
fn is_promoted(call: &Sent, shown: &Tags, wishes: &[Arc<Wish>]) -> bool {
    is_opened(text(&call.input, "hookId").unwrap_or_default(), shown, wishes)
}

fn is_opened(hook: &str, shown: &Tags, wishes: &[Arc<Wish>]) -> bool {
    let promotion = shown.get(PROMOTE).and_then(|value| Promotion::read(value));
    promotion.is_some_and(|one| wishes.iter().any(|wish| one.opens(&wish.revision, hook)))
}

impl Property for PausedRollouts {
    fn name(&self) -> &'static str {
        "P2 paused rollouts"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.origins.note(at, event);
        let said = match event {
            Event::Sent(call) => Write::of(call).map_or(Ok(()), |write| self.sent(call, write)),
            Event::Changed(facts) => {
                self.changed(facts);
                Ok(())
            }
            _ => Ok(()),
        };
        self.passes.note(at, event);
        said
    }
}

impl PausedRollouts {
    fn changed(&mut self, facts: &ServiceFacts) {
        let key = ServiceKey::new(&*facts.cluster, &*facts.name);
        match facts.primary().filter(|primary| is_in_flight(primary)) {
            Some(primary) => {
                self.in_flight.insert(key, (primary.id, u64::from(facts.desired)));
            }
            None => {
                self.in_flight.remove(&key);
            }
        }
    }

    fn sent(&self, call: &Sent, write: Write<'_>) -> Result<(), String> {
        let Some(shown) = self.passes.shown(call).filter(|shown| !shown.is_gone) else {
            return Ok(());
        };
        let wishes = self.origins.wishes_of(call);
        let by_manifest = !wishes.is_empty() && wishes.iter().all(|wish| wish.pauses);
        if !by_manifest && !shown.tags.contains_key(PAUSE) {
            return Ok(());
        }
        // What loses its manifest, and what gets one task back with it, is no rollout.
        let most = u64::from(shown.tags.contains_key(pruning::TOMBSTONE) && shown.desired == 0);
        let is_pruned = wishes.is_empty() || most == 1;
        if is_pruned && write.count().is_some_and(|count| count <= most) {
            return Ok(());
        }
        let what = match write {
            Write::Create(_) => return Ok(()),
            Write::Open if call::returns(call) => return Ok(()),
            Write::Open if is_promoted(call, &shown.tags, wishes) => return Ok(()),
            Write::Open => "passes a gate",
            _ if write.starts(call) => "starts a rollout",
            _ if self.widens(call, write, &shown.tags) => "widens a rollout",
            _ if is_next_step(call, write, &shown.tags, wishes) => "goes on to a step",
            _ => return Ok(()),
        };
        Err(format!("{} {what} although rollouts are paused", told(call)))
    }

    /// Whether it ends the probe of the rollout that is marked and in flight.
    fn widens(&self, call: &Sent, write: Write<'_>, shown: &Tags) -> bool {
        let Some(probed) = mark(shown).filter(|mark| mark.phase == "probe") else { return false };
        let in_flight = call.about.as_ref().and_then(|key| self.in_flight.get(key));
        let is_it = |(id, _): &&(u64, u64)| probed.deployment.is_none_or(|probed| probed == *id);
        let Some((_, desired)) = in_flight.filter(is_it) else { return false };
        if let Write::Update(input) = write {
            return !call::returns(call) && is_wider(input, *desired);
        }
        let marked = write.tag(ROLLOUT).and_then(Mark::read);
        marked.is_some_and(|mark| mark.phase == "widen" && mark.digest == probed.digest)
    }
}

/// Whether it begins the step after the one that bakes, or gives a step its tasks, and no promotion names that.
fn is_next_step(call: &Sent, write: Write<'_>, shown: &Tags, wishes: &[Arc<Wish>]) -> bool {
    let Some(marked) = mark(shown) else { return false };
    let at = |mark: &Mark, word: &str| mark.phase.strip_prefix(word)?.parse::<u32>().ok();
    let hook = if call.operation == "UpdateTaskSet" {
        let is_ours = matches!(call.action, Some((Lane::RolloutStep, _)));
        at(&marked, "step").filter(|_| is_ours).map(|step| format!("take-{}", step + 1))
    } else {
        let written = write.tag(ROLLOUT).and_then(Mark::read);
        let next = written.filter(|next| next.digest == marked.digest);
        let goes_on = next.and_then(|next| at(&next, "step")) > at(&marked, "bake");
        at(&marked, "bake").filter(|_| goes_on).map(|step| format!("step-{}", step + 1))
    };
    hook.is_some_and(|hook| !is_opened(&hook, shown, wishes))
}

/// More tasks, or more than a probe starts at once: one, or one percent of more than a hundred.
fn is_wider(input: &Value, desired: u64) -> bool {
    let maximum = input.pointer("/deploymentConfiguration/maximumPercent").and_then(Value::as_u64);
    let surge = maximum.map_or(0, |maximum| (desired * maximum / 100).saturating_sub(desired));
    input.get("desiredCount").is_some() || surge > (desired / 100).max(1)
}

impl Property for NamedGates {
    fn name(&self) -> &'static str {
        "P3 named gates"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.origins.note(at, event);
        self.asks.note(at, event);
        self.gates.note(event);
        let said = match event {
            Event::Sent(call) => match Write::of(call) {
                Some(Write::Open) => self.opens(call),
                Some(write) => self.promotes(call, write),
                None => Ok(()),
            },
            _ => Ok(()),
        };
        self.passes.note(at, event);
        said
    }
}

impl NamedGates {
    fn opens(&self, call: &Sent) -> Result<(), String> {
        let hook = text(&call.input, "hookId").unwrap_or_default();
        let Some(gate) = self.gates.all.get(hook) else { return Ok(()) };
        let wishes = self.origins.wishes_of(call);
        let needs = !wishes.is_empty() && wishes.iter().all(|wish| wish.approvals.contains(gate));
        let shown = self.passes.shown(call);
        if !needs || shown.is_some_and(|shown| is_promoted(call, &shown.tags, wishes)) {
            return Ok(());
        }
        Err(format!("{} passes the gate {gate:?} that nobody approved", told(call)))
    }

    fn promotes(&self, call: &Sent, write: Write<'_>) -> Result<(), String> {
        let Some(promotion) = write.tag(PROMOTE).and_then(Promotion::read) else { return Ok(()) };
        let is_asked = |command: &Command| match command {
            Command::Promote(planner::Gates::All) => promotion.hook.is_none(),
            Command::Promote(planner::Gates::Now) => promotion.hook.is_some(),
            Command::Promote(planner::Gates::Named(gate)) => promotion.hook.as_ref() == Some(gate),
            _ => false,
        };
        if !self.asks.for_call(call, is_asked) {
            return Err(format!("{} promotes what nobody asked for", told(call)));
        }
        let is_step = |hook: &str| {
            let mark = self.passes.shown(call).and_then(|shown| mark(&shown.tags));
            mark.is_some_and(|mark| names_its_step(hook, &mark.phase))
        };
        let is_frozen = |hook: &str| {
            hook == FREEZE && self.origins.wishes_of(call).iter().any(|wish| wish.has_windows)
        };
        let is_nothing =
            |hook: &String| !self.gates.is_open(call, hook) && !is_step(hook) && !is_frozen(hook);
        match promotion.hook.filter(is_nothing) {
            Some(hook) => Err(format!("{} promotes {hook}, at which nothing waits", told(call))),
            None => Ok(()),
        }
    }
}

/// What a promotion names in the place of a gate where windows keep a rollout.
const FREEZE: &str = "freeze";

/// Whether a word is about the step that a mark tells of: `take-2` of one that is being taken, `step-2` of one that bakes.
fn names_its_step(hook: &str, phase: &str) -> bool {
    let at = |word: &str| phase.strip_prefix(word)?.parse::<u32>().ok();
    let taken = at("step").or_else(|| at("test")).map(|step| format!("take-{}", step + 1));
    let baking = at("bake").map(|step| format!("step-{}", step + 1));
    [taken, baking].into_iter().flatten().any(|name| name == hook)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::course::{
        Course, FIRST, definition, manifest, manifest_with, mark, stepped, tagging, update,
    };
    use super::*;
    use crate::Api;

    const COUNT: &str = "    desiredCount: 4\n";
    const APPROVED: &str = "  rollout: {strategy: BlueGreen, approvals: [BeforeStep]}\n";
    const HOOK: &str = "ecs-pause-1";

    fn opening() -> Value {
        json!({"action": "CONTINUE", "hookId": HOOK})
    }

    fn promotion(of: &evenkeel_manifest::Service, hook: &str) -> String {
        format!("v1:{}:{hook}:1790000000:ann:fine", of.revision_digest)
    }

    /// Revision 2 is wanted, and rollouts are paused.
    fn paused() -> Course<PausedRollouts> {
        let mut course = Course::of(PausedRollouts::default());
        course.wants(FIRST, Some(&manifest("2")));
        course.tags(PAUSE, "a customer is on it");
        course.pause(1);
        course
    }

    #[test]
    fn while_rollouts_are_paused_drift_is_healed_and_a_bad_one_is_left() {
        let mut course = paused();
        course.pass("UpdateService", update(&json!({"desiredCount": 4})));
        course.looks(FIRST);
        course.returns("UpdateService", update(&json!({"taskDefinition": &*definition(1)})));
        course.returns("ContinueDeployment", json!({"deploymentId": "d-2"}));
        course.passes();
        let mut course = paused();
        course.pass("ContinueDeployment", json!({"deploymentId": "d-2"}));
        course.breaks("passes a gate");
    }

    #[test]
    fn a_start_a_wider_rollout_and_an_open_gate_are_found() {
        let mut course = paused();
        course.pass("UpdateService", update(&json!({"taskDefinition": &*definition(2)})));
        course.breaks("starts a rollout");
        let mut course = paused();
        course.pass("ContinueServiceDeployment", opening());
        course.breaks("passes a gate");
        let mut course = probing();
        course.pass("UpdateService", wide(200));
        course.breaks("widens a rollout");
        let mut course = probing();
        let widening = mark(&manifest("2"), "ecs-svc/2", "widen");
        course.pass("TagResource", tagging(&[(ROLLOUT, &widening)]));
        course.breaks("widens a rollout");
    }

    /// Revision 2 is taken step by step, and rollouts are paused.
    fn stepping(phase: &str, promoted: Option<&str>) -> Course<PausedRollouts> {
        let wanted = stepped("2");
        let mut course = Course::of(PausedRollouts::default());
        course.wants(FIRST, Some(&wanted));
        course.tags(PAUSE, "a customer is on it");
        course.tags(ROLLOUT, &mark(&wanted, "ecs-svc/2", phase));
        if let Some(hook) = promoted {
            course.tags(PROMOTE, &promotion(&wanted, hook));
        }
        course.pause(1);
        course
    }

    #[test]
    fn a_step_is_begun_in_a_pause_only_by_a_promotion_of_it() {
        for (promoted, is_wrong) in [(None, true), (Some("step-1"), false), (Some("take-1"), true)]
        {
            let mut course = stepping("bake0", promoted);
            let next = mark(&stepped("2"), "ecs-svc/2", "step1");
            course.pass("TagResource", tagging(&[(ROLLOUT, &next)]));
            if is_wrong { course.breaks("goes on to a step") } else { course.passes() }
        }
        for (promoted, is_wrong) in [(None, true), (Some("take-1"), false)] {
            let mut course = stepping("step0", promoted);
            course.pass("UpdateTaskSet", json!({"scale": {"unit": "PERCENT", "value": 10.0}}));
            if is_wrong { course.breaks("goes on to a step") } else { course.passes() }
        }
        let mut course = stepping("step0", None);
        course
            .pass("TagResource", tagging(&[(ROLLOUT, &mark(&stepped("2"), "ecs-svc/2", "bake0"))]));
        course.passes();
    }

    /// The probe of revision 2 has begun before the pause.
    fn probing() -> Course<PausedRollouts> {
        let mut course = paused();
        course.begins(2);
        course.tags(ROLLOUT, &mark(&manifest("2"), "ecs-svc/2", "probe"));
        course
    }

    fn wide(percent: u64) -> Value {
        update(&json!({"deploymentConfiguration": {"maximumPercent": percent}}))
    }

    #[test]
    fn a_probe_may_be_fitted_to_another_count_and_what_is_over_is_brought_in_line() {
        let mut course = probing();
        course.pass("UpdateService", wide(125));
        course.completes();
        course.pass("UpdateService", wide(200));
        course.passes();
    }

    #[test]
    fn the_annotation_of_a_manifest_pauses_as_well() {
        let mut course = Course::of(PausedRollouts::default());
        let mut wanted = manifest("2");
        wanted.metadata.annotations.insert("evenkeel.dev/pause".to_owned(), "freeze".to_owned());
        course.wants(FIRST, Some(&wanted));
        course.pause(1);
        course.pass("UpdateService", update(&json!({"taskDefinition": &*definition(2)})));
        course.breaks("starts a rollout");
    }

    #[test]
    fn a_promotion_overrules_a_pause_at_the_gate_that_it_names_and_at_no_other() {
        for (hook, broken) in [(HOOK, false), ("full", false), ("ecs-pause-2", true)] {
            let mut course = paused();
            course.tags(PROMOTE, &promotion(&manifest("2"), hook));
            course.pass("ContinueServiceDeployment", opening());
            if broken { course.breaks("passes a gate") } else { course.passes() }
        }
        let mut course = paused();
        course.tags(PROMOTE, &promotion(&manifest("1"), HOOK));
        course.pass("ContinueServiceDeployment", opening());
        course.breaks("passes a gate");
    }

    fn approved() -> evenkeel_manifest::Service {
        manifest_with("2", COUNT, APPROVED)
    }

    /// ECS waits at a gate that wants an approval, and the daemon was told so.
    fn at_gate() -> Course<NamedGates> {
        let mut course = Course::of(NamedGates::default());
        course.wants(FIRST, Some(&approved()));
        course.pause(1);
        course.looks(FIRST);
        told_of_the_gate(&mut course, "AWAITING_ACTION");
        course
    }

    fn told_of_the_gate(course: &mut Course<NamedGates>, status: &str) {
        let hook = json!({"hookId": HOOK, "status": status});
        let one = json!({
            "lifecycleStage": "PRE_PRODUCTION_TRAFFIC_SHIFT", "lifecycleHookDetails": [hook],
        });
        let call = course.call(FIRST, "DescribeServiceDeployments", json!({}));
        assert_eq!(call.api, Api::Ecs);
        course.goes(&call, &json!({"serviceDeployments": [one]}));
    }

    fn says(course: &mut Course<NamedGates>, hook: &str) {
        let value = promotion(&approved(), hook);
        course.writes("TagResource", tagging(&[(PROMOTE, &value)]));
    }

    #[test]
    fn a_word_names_the_step_that_is_marked_and_no_other() {
        assert!(names_its_step("step-2", "bake1") && names_its_step("take-1", "test0"));
        for (hook, phase) in [("step-1", "bake1"), ("take-2", "bake1"), ("step-1", "shift")] {
            assert!(!names_its_step(hook, phase), "{hook} {phase}");
        }
    }

    #[test]
    fn an_approved_gate_is_passed_and_no_other() {
        for (hook, broken) in [(HOOK, false), ("full", false), ("ecs-pause-2", true)] {
            let mut course = at_gate();
            course.tags(PROMOTE, &promotion(&approved(), hook));
            course.pass("ContinueServiceDeployment", opening());
            if broken { course.breaks("nobody approved") } else { course.passes() }
        }
        let mut course = at_gate();
        course.writes("ContinueServiceDeployment", opening());
        course.breaks("nobody approved");
    }

    #[test]
    fn a_promotion_is_somebody_s_word_about_the_gate_of_this_moment() {
        let named = || planner::Gates::Named(HOOK.to_owned());
        for (gates, hook) in
            [(planner::Gates::Now, HOOK), (named(), HOOK), (planner::Gates::All, "full")]
        {
            let mut course = at_gate();
            course.asks(&Command::Promote(gates));
            says(&mut course, hook);
            course.passes();
        }
        let mut course = at_gate();
        course.asks(&Command::Promote(planner::Gates::Now));
        says(&mut course, "ecs-pause-2");
        course.breaks("at which nothing waits");
        let mut course = at_gate();
        course.asks(&Command::Promote(planner::Gates::Named("ecs-pause-2".to_owned())));
        says(&mut course, HOOK);
        course.breaks("nobody asked for");
        let mut course = Course::of(NamedGates::default());
        course.wants(FIRST, Some(&approved()));
        course.looks(FIRST);
        told_of_the_gate(&mut course, "SUCCEEDED");
        course.asks(&Command::Promote(planner::Gates::Now));
        says(&mut course, HOOK);
        course.breaks("at which nothing waits");
    }

    #[test]
    fn a_freeze_is_passed_where_windows_keep_a_rollout_and_nowhere_else() {
        const WINDOWS: &str =
            "  rollout: {windows: [{deny: \"*/7 * * * *\", duration: 3m, timeZone: UTC}]}\n";
        for (spec, broken) in [(WINDOWS, false), (APPROVED, true)] {
            let wanted = manifest_with("2", COUNT, spec);
            let mut course = Course::of(NamedGates::default());
            course.wants(FIRST, Some(&wanted));
            course.looks(FIRST);
            course.asks(&Command::Promote(planner::Gates::Now));
            course.writes("TagResource", tagging(&[(PROMOTE, &promotion(&wanted, FREEZE))]));
            if broken { course.breaks("at which nothing waits") } else { course.passes() }
        }
    }

    #[test]
    fn more_than_was_asked_for_is_found() {
        let mut course = at_gate();
        says(&mut course, HOOK);
        course.breaks("nobody asked for");
        let mut course = at_gate();
        course.asks(&Command::Promote(planner::Gates::Now));
        says(&mut course, "full");
        course.breaks("nobody asked for");
    }
}
