//! S2 and S4: more production traffic goes to a revision only where it is healthy, and only when a daemon
//! has said so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_manifest::ServiceKey;

use super::super::event::At;
use super::super::{Event, Property};
use super::call::Write;
use super::memory::rejects;
use super::origins::{Origin, Origins, is_in_flight};
use super::wishes::Wish;
use crate::{DeploymentCourse, DeploymentFacts, ServiceFacts};

/// S2: what gets more production traffic has a healthy task, or had one so short a time ago that a view of it is good
/// (15 s), unless none is desired, somebody else began it or wrote a rule, or nothing else ever served. CodeDeploy moves traffic
/// without asking, and looks at tasks once, when they have become steady. Of a word to go on that AWS was late to carry out nobody knows what is true by then.
#[derive(Debug, Default)]
pub(super) struct NoEmptyTarget {
    origins: Origins,
    shares: Shares,
    /// When each deployment was last told to have a healthy task, or to have none any more.
    healthy_at: BTreeMap<ServiceKey, BTreeMap<u64, Healthy>>,
    /// When a word to go on last came late.
    late: BTreeMap<ServiceKey, At>,
    /// When somebody else last wrote a rule or the default action of a listener.
    weighed: Option<At>,
}

#[derive(Clone, Copy, Debug)]
struct Healthy {
    until: At,
    still: bool,
}

/// How old a view of targets may be that traffic is given on (reliability C, S2).
const VIEW_AGE: Duration = Duration::from_secs(15);

/// How soon after a word to go on the traffic moves.
const MOVES_WITHIN: Duration = Duration::from_mins(1);

/// S4: each time the share of a deployment rises that daemons began, with a strategy that moves traffic, a
/// daemon has let a pause pass since it rose last; and it rises no more once the revision is rejected. One
/// that is alone takes traffic from nobody, and what somebody else does to a rule is no daemon's doing.
#[derive(Debug, Default)]
pub(super) struct GatedSteps {
    origins: Origins,
    shares: Shares,
    /// Pauses that were let pass since the last rise.
    opened: BTreeMap<ServiceKey, u32>,
    /// When somebody else last wrote a rule or the default action of a listener.
    weighed: Option<At>,
    /// What deployments had before somebody else took traffic away from them: to give that back is no step.
    taken: BTreeMap<(ServiceKey, u64), u32>,
}

/// What deployments got of production traffic when last told.
#[derive(Debug, Default)]
struct Shares {
    services: BTreeMap<ServiceKey, BTreeMap<u64, u32>>,
}

impl Shares {
    /// The newest deployment and what it got before, if its share rose; one that was not told of before begins with what it has.
    /// Traffic that goes back, to one that is older, is nobody's step but ECS's.
    fn risen<'a>(
        &mut self,
        key: &ServiceKey,
        facts: &'a ServiceFacts,
    ) -> Option<(&'a DeploymentFacts, u32)> {
        let now: BTreeMap<u64, u32> =
            facts.deployments.iter().filter_map(|one| Some((one.id, one.share?))).collect();
        let before = self.services.insert(key.clone(), now.clone()).unwrap_or_default();
        let newest = facts.deployments.iter().max_by_key(|one| one.created_at)?;
        let before = *before.get(&newest.id)?;
        (now.get(&newest.id) > Some(&before)).then_some((newest, before))
    }
}

impl Property for NoEmptyTarget {
    fn name(&self) -> &'static str {
        "S2 no empty target"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.origins.note(at, event);
        if let Event::CarriedOut { call, reply: Ok(_) } = event
            && matches!(Write::of(call), Some(Write::Open | Write::Weigh))
            && self.origins.is_late(call, at)
        {
            self.late.extend(call.about.clone().map(|key| (key, at)));
        }
        if let Event::Edited { operation: "ModifyRule" | "ModifyListener", .. } = event {
            self.weighed = Some(at);
        }
        let Event::Changed(facts) = event else { return Ok(()) };
        let key = ServiceKey::new(&*facts.cluster, &*facts.name);
        let risen = self.shares.risen(&key, facts).filter(|_| self.weighed != Some(at));
        let seen = self.healthy_at.entry(key.clone()).or_default();
        note_the_healthy(seen, at, facts);
        let is_asked = |id| match self.origins.of(&key, id) {
            Some(Origin::Started(wishes)) => !wishes.iter().any(|wish| wish.is_ungated),
            Some(Origin::Returned | Origin::ReturnedByEcs) => {
                !self.origins.wishes().of_service(&key).any(|wish| wish.is_ungated)
            }
            _ => true,
        };
        let risen = risen.filter(|(one, _)| {
            takes_from_somebody(facts, one) && !self.origins.is_foreign_shift(&key, facts)
        });
        if let Some((risen, _)) = risen.filter(|(one, _)| is_asked(one.id)) {
            let had_healthy = seen.get(&risen.id).is_some_and(|one| one.until + VIEW_AGE >= at);
            let is_late = self.late.get(&key).is_some_and(|late| *late + MOVES_WITHIN >= at);
            if facts.desired > 0 && !had_healthy && !is_late {
                let id = risen.id;
                return Err(format!("{id} gets more traffic and has no healthy task"));
            }
        }
        Ok(())
    }
}

fn note_the_healthy(seen: &mut BTreeMap<u64, Healthy>, at: At, facts: &ServiceFacts) {
    for one in seen.values_mut().filter(|one| one.still) {
        *one = Healthy { until: at, still: false };
    }
    for task in facts.tasks.iter().filter(|task| task.healthy) {
        seen.insert(task.deployment, Healthy { until: at, still: true });
    }
}

/// Whether another deployment stands that is complete or has a healthy task.
fn takes_from_somebody(facts: &ServiceFacts, risen: &DeploymentFacts) -> bool {
    let serves = |one: &DeploymentFacts| {
        one.course == DeploymentCourse::Completed
            || facts.tasks.iter().any(|task| task.healthy && task.deployment == one.id)
    };
    facts.deployments.iter().any(|one| one.id != risen.id && serves(one))
}

impl Property for GatedSteps {
    fn name(&self) -> &'static str {
        "S4 gated steps"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.origins.note(at, event);
        match event {
            Event::CarriedOut { call, reply: Ok(_) }
                if matches!(Write::of(call), Some(Write::Open | Write::Weigh)) =>
            {
                if let Some(key) = &call.about {
                    *self.opened.entry(key.clone()).or_default() += 1;
                }
                Ok(())
            }
            Event::Edited { operation: "ModifyRule" | "ModifyListener", .. } => {
                self.weighed = Some(at);
                Ok(())
            }
            Event::Changed(facts) => self.changed(at, facts),
            _ => Ok(()),
        }
    }
}

impl GatedSteps {
    fn note_taken(&mut self, key: &ServiceKey, facts: &ServiceFacts) {
        let Some(before) = self.shares.services.get(key) else { return };
        for one in &facts.deployments {
            let had = before.get(&one.id).copied().unwrap_or(0);
            if one.share.is_some_and(|share| share < had) {
                self.taken.insert((key.clone(), one.id), had);
            }
        }
    }

    fn changed(&mut self, at: At, facts: &ServiceFacts) -> Result<(), String> {
        let key = ServiceKey::new(&*facts.cluster, &*facts.name);
        let is_ours = self.weighed != Some(at);
        if !is_ours {
            self.note_taken(&key, facts);
        }
        let risen = self.shares.risen(&key, facts).filter(|(one, _)| is_ours && is_in_flight(one));
        let Some((risen, before)) = risen.filter(|(one, _)| takes_from_somebody(facts, one)) else {
            return Ok(());
        };
        let Some(Origin::Started(wishes)) = self.origins.of(&key, risen.id) else { return Ok(()) };
        let shifts = |wish: &Arc<Wish>| wish.shifts && !wish.is_ungated;
        if wishes.is_empty() || !wishes.iter().all(shifts) {
            return Ok(());
        }
        let (id, share) = (risen.id, risen.share.unwrap_or(0));
        let before = self.taken.remove(&(key.clone(), id)).unwrap_or(0).max(before);
        if wishes.iter().all(|wish| rejects(&facts.tags, &wish.revision)) {
            return Err(format!("{id}, which was rejected, gets more traffic: {share} of 1000"));
        }
        // Where nothing was ever complete nobody is to be spared.
        let serves =
            |one: &DeploymentFacts| one.id != risen.id && one.course == DeploymentCourse::Completed;
        let is_spared = facts.deployments.iter().any(serves);
        let is_next = |wish: &Arc<Wish>| {
            let next = wish.steps.iter().map(|step| step.share).find(|step| *step > before);
            !is_spared || wish.steps.is_empty() || next.is_none_or(|next| share <= next)
        };
        // Steps that change while they are taken are those of the manifest as it is now.
        let is_newer = |wish: &Arc<Wish>| wishes.iter().any(|one| one.revision == wish.revision);
        let newer = self.origins.wishes().of_service(&key).filter(|wish| is_newer(wish));
        if !wishes.iter().chain(newer).any(is_next) {
            return Err(format!(
                "{id} gets {share} of 1000 after {before}, which is more than a step"
            ));
        }
        match std::mem::take(self.opened.entry(key).or_default()) {
            0 => Err(format!("{id} gets {share} of 1000, and no daemon let it go on")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_manifest::{CodeDeploy, Shift, Strategy};
    use serde_json::json;

    use super::super::course::{Course, FIRST, definition, manifest_with, task, verdict};
    use super::super::memory::REJECTED;
    use super::*;

    const COUNT: &str = "    desiredCount: 4\n";

    /// Revision 2 stands beside revision 1, with healthy tasks and without traffic.
    fn beside<P: Property>(property: P, strategy: &str) -> Course<P> {
        let mut course = Course::of(property);
        let spec = format!("  rollout: {{strategy: {strategy}}}\n");
        course.wants(FIRST, Some(&manifest_with("2", COUNT, &spec)));
        course.pause(1);
        course.rolls_out(2);
        course.happens(|facts, _| {
            facts.deployments[0].share = Some(0);
            facts.deployments[1].share = Some(1000);
            facts.tasks.extend((200..204).map(|id| task(id, 2)));
        });
        course
    }

    fn gets<P: Property>(course: &mut Course<P>, share: u32) {
        course.happens(|facts, _| {
            facts.deployments[0].share = Some(share);
            facts.deployments[1].share = Some(1000 - share);
        });
    }

    fn goes_on<P: Property>(course: &mut Course<P>, action: &str) {
        course.looks(FIRST);
        course.writes(
            "ContinueServiceDeployment",
            json!({"action": action, "hookId": "ecs-pause-1"}),
        );
    }

    #[test]
    fn a_healthy_revision_gets_a_step_for_each_pause_that_was_let_pass() {
        let mut course = beside(GatedSteps::default(), "BlueGreen");
        goes_on(&mut course, "CONTINUE");
        gets(&mut course, 100);
        goes_on(&mut course, "CONTINUE");
        gets(&mut course, 1000);
        gets(&mut course, 0);
        course.passes();
        let mut course = beside(NoEmptyTarget::default(), "BlueGreen");
        gets(&mut course, 100);
        course.passes();
    }

    #[test]
    fn what_somebody_else_does_to_a_rule_is_no_step_and_what_comes_after_it_is() {
        for (pause, broken) in [(0, false), (1, true)] {
            let mut course = beside(GatedSteps::default(), "BlueGreen");
            course.person("ModifyListener", &json!({}));
            course.pause(pause);
            gets(&mut course, 1000);
            if broken { course.breaks("no daemon let it go on") } else { course.passes() }
        }
    }

    #[test]
    fn a_step_without_a_word_is_found() {
        let mut course = beside(GatedSteps::default(), "BlueGreen");
        gets(&mut course, 100);
        course.breaks("no daemon let it go on");
        let mut course = beside(GatedSteps::default(), "BlueGreen");
        goes_on(&mut course, "CONTINUE");
        gets(&mut course, 100);
        gets(&mut course, 1000);
        course.breaks("no daemon let it go on");
        let mut course = beside(GatedSteps::default(), "BlueGreen");
        goes_on(&mut course, "ROLLBACK");
        gets(&mut course, 100);
        course.breaks("no daemon let it go on");
    }

    #[test]
    fn traffic_that_goes_back_and_that_of_one_that_is_alone_need_no_word() {
        let mut course = beside(GatedSteps::default(), "BlueGreen");
        goes_on(&mut course, "CONTINUE");
        gets(&mut course, 1000);
        course.happens(|facts, _| facts.tasks.retain(|task| task.deployment == 2));
        gets(&mut course, 0);
        course.passes();
        let mut course = beside(NoEmptyTarget::default(), "BlueGreen");
        gets(&mut course, 1000);
        course.happens(|facts, _| facts.tasks.retain(|task| task.deployment == 2));
        gets(&mut course, 0);
        course.passes();
        let mut course = beside(GatedSteps::default(), "BlueGreen");
        course.happens(|facts, _| facts.deployments.truncate(1));
        course.happens(|facts, _| facts.deployments[0].share = Some(1000));
        course.passes();
    }

    #[test]
    fn where_nothing_ever_served_all_traffic_goes_to_the_next_at_once() {
        fn nothing_ever_served<P: Property>(property: P) -> Course<P> {
            let mut course = beside(property, "BlueGreen");
            course.happens(|facts, _| {
                facts.deployments[1].course = DeploymentCourse::InProgress;
                facts.tasks.clear();
            });
            gets(&mut course, 1000);
            course
        }
        nothing_ever_served(NoEmptyTarget::default()).passes();
        nothing_ever_served(GatedSteps::default()).passes();
    }

    #[test]
    fn what_is_not_complete_and_has_a_healthy_task_is_spared() {
        fn somebody_is_served<P: Property>(property: P) -> Course<P> {
            let mut course = beside(property, "BlueGreen");
            course.happens(|facts, _| {
                facts.deployments[1].course = DeploymentCourse::InProgress;
                facts.tasks = vec![task(100, 1)];
            });
            course.pause(16);
            gets(&mut course, 1000);
            course
        }
        somebody_is_served(NoEmptyTarget::default()).breaks("no healthy task");
        somebody_is_served(GatedSteps::default()).breaks("no daemon let it go on");
    }

    #[test]
    fn what_was_rejected_gets_no_more() {
        let mut course = beside(GatedSteps::default(), "BlueGreen");
        goes_on(&mut course, "CONTINUE");
        let spec = "  rollout: {strategy: BlueGreen}\n";
        course.tags(REJECTED, &verdict(&manifest_with("2", COUNT, spec)));
        gets(&mut course, 100);
        course.breaks("which was rejected");
    }

    #[test]
    fn rolling_deployments_in_one_group_are_not_judged() {
        let mut course = beside(GatedSteps::default(), "Rolling");
        gets(&mut course, 1000);
        course.passes();
    }

    #[test]
    fn traffic_to_nobody_by_a_word_that_was_carried_out_late_is_nobodys_doing() {
        for (held, later, is_found) in [(60, 0, false), (60, 61, true), (18, 0, true)] {
            let mut course = beside(NoEmptyTarget::default(), "BlueGreen");
            course.looks(FIRST);
            let word = json!({"action": "CONTINUE", "hookId": "ecs-pause-1"});
            let call = course.write(FIRST, "ContinueServiceDeployment", word);
            course.sent(&call);
            course.happens(|facts, _| facts.tasks.retain(|task| task.deployment != 2));
            course.pause(held);
            course.carried_out(&call, &json!({}));
            course.pause(later);
            gets(&mut course, 100);
            if is_found { course.breaks("no healthy task") } else { course.passes() }
        }
    }

    #[test]
    fn traffic_to_nobody_is_found() {
        let mut course = beside(NoEmptyTarget::default(), "BlueGreen");
        course.happens(|facts, _| facts.tasks.retain(|task| task.deployment != 2));
        course.pause(16);
        gets(&mut course, 100);
        course.breaks("no healthy task");
    }

    #[test]
    fn traffic_to_one_whose_last_healthy_task_is_lost_on_the_way_is_nobody_s_fault() {
        let mut course = beside(NoEmptyTarget::default(), "BlueGreen");
        course.pause(60);
        course.happens(|facts, _| facts.tasks.retain(|task| task.deployment != 2));
        course.pause(14);
        gets(&mut course, 100);
        course.passes();
    }

    /// A daemon returns to revision 2 by CodeDeploy, and its tasks are gone when all traffic moves.
    fn returned_to_nobody(strategy: Strategy) -> Course<NoEmptyTarget> {
        let mut course = Course::of(NoEmptyTarget::default());
        let mut wanted = manifest_with("1", COUNT, "");
        wanted.rollout.strategy = strategy;
        course.wants(FIRST, Some(&wanted));
        course.pause(1);
        course.looks(FIRST);
        let properties = json!({"TaskDefinition": &*definition(2)});
        let content = json!({"Resources": [{"TargetService": {"Properties": properties}}]});
        let revision = json!({"appSpecContent": {"content": content.to_string()}});
        course.returns("CreateDeployment", json!({"revision": revision}));
        course.begins(2);
        gets(&mut course, 0);
        gets(&mut course, 1000);
        course
    }

    #[test]
    fn nobody_keeps_code_deploy_from_a_return_whose_tasks_are_gone() {
        returned_to_nobody(Strategy::CodeDeploy(CodeDeploy::default())).passes();
        returned_to_nobody(Strategy::BlueGreen(Shift::default())).breaks("no healthy task");
    }

    #[test]
    fn what_somebody_else_does_to_a_rule_may_give_traffic_to_nobody() {
        for (pause, broken) in [(0, false), (1, true)] {
            let mut course = beside(NoEmptyTarget::default(), "BlueGreen");
            course.happens(|facts, _| facts.tasks.retain(|task| task.deployment != 2));
            course.pause(60);
            course.person("ModifyListener", &json!({}));
            course.pause(pause);
            gets(&mut course, 500);
            if broken { course.breaks("no healthy task") } else { course.passes() }
        }
    }

    #[test]
    fn what_somebody_else_began_may_get_traffic_without_a_task() {
        let mut course = Course::of(NoEmptyTarget::default());
        course.begins(2);
        course.happens(|facts, _| {
            facts.deployments[0].share = Some(0);
            facts.deployments[1].share = Some(1000);
        });
        gets(&mut course, 100);
        course.passes();
    }
}
