//! S3 and S6: no write of a daemon takes traffic from everybody, or tasks from what gets traffic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use evenkeel_manifest::ServiceKey;
use jiff::SignedDuration;
use serde_json::Value;

use super::super::event::At;
use super::super::{Event, Property, Replica, Sent};
use super::call::{Write, number, text};
use super::ordering::told;
use super::origins::Origins;
use crate::ServiceFacts;

/// S3: the weights that a daemon writes give somebody something, and after them the task sets of the service together
/// get no less of production traffic than before.
#[derive(Debug, Default)]
pub(super) struct WeightSum {
    origins: Origins,
    /// What all deployments got together when last told, in tenths of a percent.
    sums: BTreeMap<ServiceKey, u32>,
    /// Services whose weights or task sets a daemon has changed, which nothing was told of yet.
    written: BTreeSet<ServiceKey>,
}

/// S6: no task set is deleted while it gets production traffic, unless somebody gave it some after its rule was read
/// right before.
#[derive(Debug, Default)]
pub(super) struct Drained {
    truth: BTreeMap<ServiceKey, Arc<ServiceFacts>>,
    /// When somebody else changed a rule last.
    edited: Option<At>,
    /// From when what a daemon heard last about a service is, where it was asked for rules.
    asked: BTreeMap<(Replica, ServiceKey), Option<At>>,
}

/// A look may be that old. So may be an answer from the past.
const LOOK: SignedDuration = SignedDuration::from_secs(30);

/// All traffic; two task sets of one group have more together.
const WHOLE: u32 = 1000;

/// Two shares that are rounded down.
const ROUNDING: u32 = 1;

impl Property for WeightSum {
    fn name(&self) -> &'static str {
        "S3 weight sum"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.origins.note(at, event);
        match event {
            Event::Sent(call) if matches!(Write::of(call), Some(Write::Weigh)) => {
                let nobody = weights(&call.input).sum::<u64>() == 0;
                if nobody { Err(format!("{} gives nobody anything", told(call))) } else { Ok(()) }
            }
            Event::CarriedOut { call, reply: Ok(_) } if self.moves_traffic(call, at) => {
                self.written.extend(call.about.clone());
                Ok(())
            }
            Event::Edited { .. } => {
                self.written.clear();
                Ok(())
            }
            Event::Changed(facts) => self.changed(facts),
            _ => Ok(()),
        }
    }
}

impl WeightSum {
    fn moves_traffic(&self, call: &Sent, at: At) -> bool {
        let is_it = matches!(Write::of(call), Some(Write::Weigh | Write::Set));
        is_it && !self.origins.is_late(call, at)
    }

    fn changed(&mut self, facts: &ServiceFacts) -> Result<(), String> {
        let key = ServiceKey::new(&*facts.cluster, &*facts.name);
        let now: u32 = facts.deployments.iter().filter_map(|one| one.share).sum();
        let now = now.min(WHOLE);
        let before = self.sums.insert(key.clone(), now).unwrap_or(0);
        if self.written.remove(&key) && now + ROUNDING < before {
            return Err(format!(
                "a daemon's write leaves {key} {now} of 1000 of its traffic, not {before}"
            ));
        }
        Ok(())
    }
}

/// Of every target group that a rule or a listener is to have.
fn weights(input: &Value) -> impl Iterator<Item = u64> {
    let listed = |name: &str| input.get(name).and_then(Value::as_array);
    let actions = listed("Actions").or_else(|| listed("DefaultActions")).into_iter().flatten();
    let groups = actions.filter_map(|one| one.pointer("/ForwardConfig/TargetGroups")?.as_array());
    groups.flatten().filter_map(|group| group.get("Weight")?.as_u64())
}

impl Property for Drained {
    fn name(&self) -> &'static str {
        "S6 drain"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        match event {
            Event::Changed(facts) => {
                let key = ServiceKey::new(&*facts.cluster, &*facts.name);
                self.truth.insert(key, Arc::clone(facts));
            }
            Event::Edited { operation: "ModifyRule" | "ModifyListener", .. } => {
                self.edited = Some(at);
            }
            Event::Sent(call) => {
                let is_right = self.sent(at, call);
                self.hears(call, at);
                return is_right;
            }
            Event::Answered { call, is_stale: true, .. } => {
                self.hears(call, at - LOOK);
            }
            _ => {}
        }
        Ok(())
    }
}

impl Drained {
    fn hears(&mut self, call: &Sent, of: At) {
        if let Some(key) = &call.about {
            let asked = (call.operation == "DescribeRules").then_some(of);
            self.asked.insert((call.by, key.clone()), asked);
        }
    }

    fn sent(&self, at: At, call: &Sent) -> Result<(), String> {
        if call.operation != "DeleteTaskSet" {
            return Ok(());
        }
        let Some(id) = text(&call.input, "taskSet").and_then(number) else { return Ok(()) };
        let Some(key) = &call.about else { return Ok(()) };
        let Some(facts) = self.truth.get(key) else { return Ok(()) };
        let all = facts.deployments.iter();
        let share = all.clone().filter(|one| one.id == id).find_map(|one| one.share).unwrap_or(0);
        // What a group gets that two share is served by the other one on.
        let others: u32 = all.filter(|one| one.id != id).filter_map(|one| one.share).sum();
        let is_shared = share + others > WHOLE;
        if is_shared && serves_without(facts, id) {
            return Ok(());
        }
        // Nothing is asked about a group that the PRIMARY one stands in, too.
        let asked = self.asked.get(&(call.by, key.clone())).copied().flatten();
        let is_just_given = self.edited.is_some_and(|edited| {
            asked.is_some_and(|asked| asked <= edited)
                || is_shared && at.duration_since(edited) <= LOOK
        });
        if share == 0 || is_just_given {
            return Ok(());
        }
        Err(format!("{} gets {share} of 1000 of the traffic", told(call)))
    }
}

/// Whether another one that gets traffic has healthy tasks.
fn serves_without(facts: &ServiceFacts, id: u64) -> bool {
    let others = facts.deployments.iter().filter(|one| one.id != id && one.share > Some(0));
    others
        .into_iter()
        .any(|one| facts.tasks.iter().any(|task| task.deployment == one.id && task.healthy))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::course::{Course, FIRST, stepped, task};
    use super::*;

    /// Task set 2 gets a tenth, and task set 1 the rest.
    fn at_a_tenth<P: Property>(property: P) -> Course<P> {
        let mut course = Course::of(property);
        course.wants(FIRST, Some(&stepped("2")));
        course.pause(1);
        course.rolls_out(2);
        course.happens(|facts, _| facts.tasks.extend((200..204).map(|id| task(id, 2))));
        get(&mut course, 100, 900);
        course
    }

    fn get<P: Property>(course: &mut Course<P>, second: u32, first: u32) {
        course.happens(|facts, _| {
            facts.deployments[0].share = Some(second);
            facts.deployments[1].share = Some(first);
        });
    }

    fn rule(weights: [u64; 2]) -> Value {
        let groups = weights.map(|weight| json!({"TargetGroupArn": "tg", "Weight": weight}));
        json!({"Actions": [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]})
    }

    #[test]
    fn weights_that_move_traffic_from_one_to_the_other_are_right() {
        let mut course = at_a_tenth(WeightSum::default());
        course.pass("ModifyRule", rule([0, 100]));
        get(&mut course, 1000, 0);
        course.pass("ModifyRule", rule([667, 333]));
        get(&mut course, 666, 333);
        course.passes();
    }

    #[test]
    fn weights_for_nobody_are_found() {
        for name in ["Actions", "DefaultActions"] {
            let mut course = at_a_tenth(WeightSum::default());
            let actions = rule([0, 0]).get("Actions").cloned();
            course.pass("ModifyListener", json!({ name: actions }));
            course.breaks("gives nobody anything");
        }
    }

    #[test]
    fn traffic_that_a_daemon_gives_to_a_group_without_tasks_or_deletes_is_found() {
        for operation in ["ModifyRule", "DeleteTaskSet"] {
            let mut course = at_a_tenth(WeightSum::default());
            course.pass(operation, rule([1, 9]));
            get(&mut course, 100, 0);
            course.breaks("100 of 1000 of its traffic, not 1000");
        }
    }

    #[test]
    fn traffic_that_somebody_else_takes_away_is_not_the_daemon_s_doing() {
        let mut course = at_a_tenth(WeightSum::default());
        course.pass("ModifyRule", rule([1, 9]));
        course.person("ModifyRule", &rule([1, 9]));
        get(&mut course, 0, 0);
        course.passes();
    }

    #[test]
    fn a_task_set_is_deleted_when_it_gets_nothing() {
        for (share, is_found) in [(0, false), (100, true)] {
            let mut course = at_a_tenth(Drained::default());
            get(&mut course, share, 1000 - share);
            course.pass("DeleteTaskSet", json!({"taskSet": "ecs-svc/2"}));
            if is_found { course.breaks("gets 100 of 1000") } else { course.passes() }
        }
    }

    #[test]
    fn one_of_two_in_a_group_may_be_deleted_when_the_other_one_is_healthy() {
        for (healthy, is_found) in [(true, false), (false, true)] {
            let mut course = at_a_tenth(Drained::default());
            get(&mut course, 1000, 1000);
            course.happens(|facts, _| {
                facts.tasks.iter_mut().for_each(|task| task.healthy &= healthy);
            });
            course.pass("DeleteTaskSet", json!({"taskSet": "ecs-svc/2"}));
            if is_found { course.breaks("gets 1000 of 1000") } else { course.passes() }
        }
    }

    fn asks_for_rules(course: &mut Course<Drained>, is_stale: bool) {
        let call = course.call(FIRST, "DescribeRules", json!({"RuleArns": ["rule"]}));
        course.sent(&call);
        course.pause(1);
        course.tell(&Event::Answered { call: &call, answer: Ok(&json!({})), is_stale });
    }

    #[test]
    fn a_task_set_that_somebody_gave_traffic_may_be_deleted_only_if_its_rule_was_read_before_that()
    {
        for (is_read_after, is_stale, is_found) in
            [(false, false, false), (true, false, true), (true, true, false)]
        {
            let mut course = at_a_tenth(Drained::default());
            if !is_read_after {
                asks_for_rules(&mut course, is_stale);
            }
            course.person("ModifyRule", &rule([1, 9]));
            course.pause(1);
            if is_read_after {
                asks_for_rules(&mut course, is_stale);
            }
            course.writes("DeleteTaskSet", json!({"taskSet": "ecs-svc/2"}));
            if is_found { course.breaks("gets 100 of 1000") } else { course.passes() }
        }
    }

    #[test]
    fn a_rule_that_was_read_before_other_things_says_nothing_of_traffic_that_somebody_gave_since() {
        let mut course = at_a_tenth(Drained::default());
        asks_for_rules(&mut course, false);
        course.person("ModifyRule", &rule([1, 9]));
        course.pass("DeleteTaskSet", json!({"taskSet": "ecs-svc/2"}));
        course.breaks("gets 100 of 1000");
    }

    #[test]
    fn one_of_two_in_a_group_that_somebody_gave_traffic_just_now_may_be_deleted() {
        for (seconds, is_found) in [(20, false), (40, true)] {
            let mut course = at_a_tenth(Drained::default());
            course.person("ModifyRule", &rule([1, 9]));
            get(&mut course, 1000, 1000);
            course.happens(|facts, _| facts.tasks.iter_mut().for_each(|task| task.healthy = false));
            course.pause(seconds);
            course.pass("DeleteTaskSet", json!({"taskSet": "ecs-svc/2"}));
            if is_found { course.breaks("gets 1000 of 1000") } else { course.passes() }
        }
    }
}
