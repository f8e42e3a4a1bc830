//! S5: where daemons take the steps of a rollout themselves, each lasts as long as the manifest says.

use std::collections::BTreeMap;
use std::sync::Arc;

use evenkeel_manifest::ServiceKey;

use super::super::event::At;
use super::super::{Event, Property};
use super::memory::PROMOTE;
use super::origins::{Origin, Origins};
use super::wishes::Wish;
use crate::{DeploymentCourse, DeploymentFacts};

/// S5: the share of the newest task set, made by daemons, rises from one step to the next only after the bake of the step
/// that it was at, unless a person lets it go on, or somebody else writes the rule.
#[derive(Debug, Default)]
pub(super) struct BakedSteps {
    origins: Origins,
    /// What each task set got when last told, by its number.
    shares: BTreeMap<ServiceKey, BTreeMap<u64, Given>>,
    /// When somebody else last wrote a rule or the default action of a listener.
    weighed: Option<At>,
}

#[derive(Clone, Copy, Debug)]
struct Given {
    share: u32,
    since: At,
    /// A person let it go on meanwhile.
    is_promoted: bool,
    /// A daemon gave it: what somebody else wrote, or what it began with, is no step that could bake.
    is_ours: bool,
    /// The smaller share that a daemon had given before somebody gave more, and since when: it has had as much ever since.
    before: Option<(u32, At)>,
}

impl Property for BakedSteps {
    fn name(&self) -> &'static str {
        "S5 baked steps"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.origins.note(at, event);
        if let Event::Edited { operation: "ModifyRule" | "ModifyListener", .. } = event {
            self.weighed = Some(at);
        }
        let Event::Changed(facts) = event else { return Ok(()) };
        let is_ours = self.weighed != Some(at);
        let key = ServiceKey::new(&*facts.cluster, &*facts.name);
        let before = self.shares.remove(&key).unwrap_or_default();
        // Traffic that goes back, to an older one or to one that was complete before, goes at once.
        let newest = facts.deployments.iter().max_by_key(|one| one.created_at).map(|one| one.id);
        let mut now = BTreeMap::new();
        let mut broken = Ok(());
        for one in &facts.deployments {
            let Some(share) = one.share else { continue };
            let is_promoted = facts.tags.contains_key(PROMOTE);
            let fresh = Given { share, since: at, is_promoted, is_ours, before: None };
            let had = before.get(&one.id).copied().unwrap_or(Given { is_ours: false, ..fresh });
            let had = Given { is_promoted: had.is_promoted || is_promoted, ..had };
            let is_new = newest == Some(one.id) && one.course != DeploymentCourse::Completed;
            if share > had.share && is_new && is_ours {
                broken = broken.and(self.risen(&key, one, had, at));
            }
            now.insert(one.id, if share == had.share { had } else { had.followed_by(fresh) });
        }
        self.shares.insert(key, now);
        broken
    }
}

impl Given {
    /// What somebody gave in mid-bake and a daemon took away again interrupts no bake.
    fn followed_by(self, next: Self) -> Self {
        let before = (!next.is_ours && self.is_ours && next.share > self.share)
            .then_some((self.share, self.since));
        let since = self.before.filter(|(share, _)| *share == next.share && next.is_ours);
        Self { before, since: since.map_or(next.since, |(_, since)| since), ..next }
    }
}

impl BakedSteps {
    fn risen(
        &self,
        key: &ServiceKey,
        one: &DeploymentFacts,
        had: Given,
        at: At,
    ) -> Result<(), String> {
        let (after, is_promoted) = (at.duration_since(had.since), had.is_promoted);
        let Some(Origin::Started(wishes)) = self.origins.of(key, one.id) else { return Ok(()) };
        let is_baked = |wish: &Arc<Wish>| {
            let mut steps = wish.steps.iter();
            steps.find(|step| step.share == had.share).is_none_or(|step| after >= step.bake)
        };
        let is_free = is_promoted || !had.is_ours;
        if wishes.is_empty() || wishes.iter().any(is_baked) || is_free {
            return Ok(());
        }
        Err(format!("{} gets more than {} of 1000 after {after:#}", one.id, had.share))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::course::{Course, FIRST, stepped, task};
    use super::*;

    /// Task set 2 gets a tenth, which is to bake for a minute.
    fn at_a_tenth() -> Course<BakedSteps> {
        let mut course = Course::of(BakedSteps::default());
        course.wants(FIRST, Some(&stepped("2")));
        course.pause(1);
        course.rolls_out(2);
        course.happens(|facts, _| {
            facts.deployments[0].share = Some(0);
            facts.deployments[1].share = Some(1000);
            facts.tasks.extend((200..204).map(|id| task(id, 2)));
        });
        gets(&mut course, 100);
        course
    }

    fn gets(course: &mut Course<BakedSteps>, share: u32) {
        course.happens(|facts, _| {
            facts.deployments[0].share = Some(share);
            facts.deployments[1].share = Some(1000 - share);
        });
    }

    #[test]
    fn a_step_that_has_baked_may_be_followed() {
        let mut course = at_a_tenth();
        course.pause(60);
        gets(&mut course, 1000);
        course.passes();
    }

    #[test]
    fn a_step_that_has_not_baked_may_not_unless_a_person_says_so() {
        let mut course = at_a_tenth();
        course.pause(30);
        gets(&mut course, 1000);
        course.breaks("gets more than 100 of 1000");
        let mut course = at_a_tenth();
        course.tags(PROMOTE, "v1:x:step-1:1:ann:");
        gets(&mut course, 1000);
        course.passes();
    }

    #[test]
    fn a_word_that_was_said_while_the_step_was_taken_and_forgotten_before_the_next_one_counts() {
        let mut course = at_a_tenth();
        course.tags(PROMOTE, "v1:x:step-1:1:ann:");
        course.happens(|facts, _| drop(facts.tags.remove(PROMOTE)));
        gets(&mut course, 1000);
        course.passes();
    }

    #[test]
    fn what_somebody_else_does_to_a_rule_is_no_step_and_what_comes_after_it_is() {
        for (pause, broken) in [(0, false), (1, true)] {
            let mut course = at_a_tenth();
            course.person("ModifyListener", &json!({}));
            course.pause(pause);
            gets(&mut course, 1000);
            if broken { course.breaks("gets more than 100 of 1000") } else { course.passes() }
        }
    }

    #[test]
    fn what_somebody_else_gave_is_no_step_that_must_bake() {
        for (by_hand, broken) in [(true, false), (false, true)] {
            let mut course = at_a_tenth();
            course.pause(60);
            gets(&mut course, 1000);
            if by_hand {
                course.person("ModifyListener", &json!({}));
            }
            gets(&mut course, 100);
            course.pause(1);
            gets(&mut course, 1000);
            if broken { course.breaks("gets more than 100 of 1000") } else { course.passes() }
        }
    }

    #[test]
    fn a_share_that_somebody_raised_and_a_daemon_put_back_has_baked_on_and_a_lowered_one_has_not() {
        for (by_hand, seconds, broken) in
            [(500, 40, false), (500, 39, true), (0, 40, true), (0, 60, false)]
        {
            let mut course = at_a_tenth();
            course.pause(20);
            course.person("ModifyListener", &json!({}));
            gets(&mut course, by_hand);
            course.pause(1);
            gets(&mut course, 100);
            course.pause(seconds - 1 + u64::from(by_hand == 0));
            gets(&mut course, 1000);
            if broken { course.breaks("gets more than 100 of 1000") } else { course.passes() }
        }
    }

    #[test]
    fn traffic_may_go_back_at_any_time() {
        let mut course = at_a_tenth();
        gets(&mut course, 0);
        course.passes();
        let mut course = at_a_tenth();
        course.happens(|facts, _| facts.deployments[0].course = DeploymentCourse::Completed);
        gets(&mut course, 1000);
        course.passes();
    }
}
