//! P5: a person sends a service back, and it arrives where it was sent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use evenkeel_manifest::{Digest, ServiceKey};
use evenkeel_planner::Command;
use evenkeel_reconciler::Followed;

use super::super::event::At;
use super::super::{Event, Property, Replica};
use super::call::{named, number};
use super::definitions::Definitions;
use super::memory::{HOLD, PROVEN, mark, rejects};
use super::origins::{Origin, Origins, is_in_flight};
use super::wishes::Wish;
use crate::{DeploymentFacts, HistoryFacts, Life, ServiceFacts};

/// P5: a service that a person has sent back, and that nobody has said or done anything about since, ends
/// at the revision that was asked for: the named one, or the one completed before what ran, which has another task definition
/// or was rolled out for another manifest, or, of a rollout in flight, at another than that, if anything else was ever proven.
/// ECS starts nothing of a task definition that somebody took out of use: another one with its content is as good. Where ECS
/// itself ends the return, since what was asked for does not come up, it ends where ECS went; where it is what the manifest
/// wants, and is rejected in its turn, it goes back again.
#[derive(Debug, Default)]
pub(super) struct UndoArrives {
    origins: Origins,
    definitions: Definitions,
    services: BTreeMap<ServiceKey, Known>,
}

/// What is known of one service.
#[derive(Debug, Default)]
struct Known {
    truth: Option<Arc<ServiceFacts>>,
    /// Where it would be sent, as things stood when somebody asked, by who did.
    asked: BTreeMap<String, Destination>,
    /// Where it was sent.
    to: Option<Destination>,
}

/// Where to, and what the manifest wanted then.
type Destination = (Place, Option<Digest>);

#[derive(Clone, Debug)]
enum Place {
    /// One of these task definitions, deployed anew.
    Earlier {
        definitions: Vec<Arc<str>>,
        instead_of: u64,
    },
    /// `family:revision`.
    Named(String),
    Revision(u64),
    AnotherThan(Arc<str>),
}

/// What was completed earlier, beside what runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compared {
    /// The same, or what is wanted and was rejected.
    Left,
    /// The task definition is the same, and another manifest may have been meant.
    Alike,
    Other,
}

impl Known {
    fn forgets(&mut self) {
        (self.to, self.asked) = (None, BTreeMap::new());
    }
}

impl Place {
    fn of(
        facts: &ServiceFacts,
        to: Option<&str>,
        compared: impl Fn(&HistoryFacts) -> Compared,
    ) -> Option<Self> {
        if let Some(name) = to {
            let end = name.rsplit('/').next().unwrap_or(name);
            let revision = end.parse().ok().map(Self::Revision);
            return revision.or_else(|| Some(Self::Named(end.to_owned())));
        }
        let runs = facts.primary()?;
        let mark = mark(&facts.tags);
        if is_in_flight(runs) || mark.is_some() {
            let is_rolled_out = mark.is_some_and(|mark| mark.deployment == Some(runs.id));
            let proven = number(facts.tags.get(PROVEN)?);
            let mut others = facts.deployments.iter().filter(|one| Some(one.revision) == proven);
            let is_other = others.any(|one| one.definition != runs.definition);
            let leaves = || Self::AnotherThan(Arc::clone(&runs.definition));
            return (is_rolled_out && is_other).then(leaves);
        }
        let earlier = facts.history.iter().rev().filter(|one| one.status == "SUCCESSFUL");
        let mut definitions = Vec::new();
        for one in earlier {
            let compared = compared(one);
            if compared != Compared::Left {
                definitions.push(Arc::clone(&one.definition));
            }
            if compared == Compared::Other {
                break;
            }
        }
        (!definitions.is_empty()).then_some(Self::Earlier { definitions, instead_of: runs.id })
    }

    /// Whether it is there, as far as these have the contents of task definitions.
    fn is(&self, facts: &ServiceFacts, definitions: &Definitions) -> bool {
        let Some(runs) = facts.primary() else { return false };
        let content = definitions.digest(&runs.definition);
        let alike = || content.into_iter().flat_map(|content| definitions.with(content));
        let runs_one = |is: &dyn Fn(&str) -> bool| is(&runs.definition) || alike().any(is);
        match self {
            Self::Earlier { definitions, instead_of } => {
                let is_one = |arn: &Arc<str>| runs_one(&|one| one == &**arn);
                runs.id != *instead_of && definitions.iter().any(is_one)
            }
            Self::Named(name) => runs_one(&|one| one.ends_with(&format!("/{name}"))),
            Self::Revision(number) => runs.revision == *number,
            Self::AnotherThan(arn) => runs.definition != *arn,
        }
    }
}

impl Property for UndoArrives {
    fn name(&self) -> &'static str {
        "P5 undo arrives"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.origins.note(at, event);
        self.definitions.note(event);
        match event {
            Event::Changed(facts) => {
                let key = ServiceKey::new(&*facts.cluster, &*facts.name);
                if self.is_turned_back(&key, facts) || self.is_rejected_there(&key, facts) {
                    self.forgets(Some(&key));
                }
                let is_replaced = self.is_replaced(&key, facts);
                let known = self.services.entry(key).or_default();
                if is_replaced {
                    known.asked.clear();
                }
                known.truth = Some(Arc::clone(facts));
            }
            Event::Asked { of, key, who, command } => self.asked(*of, key, who, command),
            Event::Heard {
                from,
                key,
                who,
                command,
                answer: Ok(Followed { changed: true, .. }),
            } => {
                self.followed(*from, key, who, command);
            }
            Event::Wanted { by, key, .. } => self.wanted(*by, key),
            Event::Edited { operation: "DeregisterTaskDefinition", .. } => {
                self.services.values_mut().for_each(Known::forgets);
            }
            Event::Edited { input, .. } => self.forgets(named(input).as_ref()),
            Event::CarriedOut { call, .. } if self.origins.is_late(call, at) && call.is_write() => {
                self.forgets(call.about.as_ref());
            }
            Event::Over => return self.ends(),
            _ => {}
        }
        Ok(())
    }
}

impl UndoArrives {
    /// A retry may have been followed although its answer was lost.
    fn asked(&mut self, of: Replica, key: &ServiceKey, who: &str, command: &Command) {
        let rejected = self.rejected(key);
        let wanted = self.origins.wishes().now(of, key).map(|wish| wish.revision.clone());
        let place = match command {
            Command::Undo { to } => self.place(key, to.as_deref(), &rejected),
            Command::Retry => {
                self.services.entry(key.clone()).or_default().to = None;
                return;
            }
            _ => return,
        };
        let sent = self.services.entry(key.clone()).or_default();
        // What somebody asked before, and had no answer to, is not what is answered now.
        sent.asked.remove(who);
        sent.asked.extend(place.map(|place| (who.to_owned(), (place, wanted))));
    }

    fn place(&self, key: &ServiceKey, to: Option<&str>, rejected: &[Digest]) -> Option<Place> {
        let facts = self.services.get(key)?.truth.as_ref()?;
        let runs = facts.primary()?;
        Place::of(facts, to, |one| self.compared(key, runs, one, rejected))
    }

    fn compared(
        &self,
        key: &ServiceKey,
        runs: &DeploymentFacts,
        one: &HistoryFacts,
        rejected: &[Digest],
    ) -> Compared {
        let content = self.definitions.digest(&one.definition);
        let is_alike = runs.definition == one.definition
            || content.is_some() && content == self.definitions.digest(&runs.definition);
        // What was meant by somebody else's deployment, or by a return, is not known.
        let meant = |deployment| -> BTreeSet<&str> {
            match self.origins.of(key, deployment) {
                Some(Origin::Started(wishes)) => {
                    let fits =
                        |wish: &&Arc<Wish>| content.is_none_or(|one| wish.definition == *one);
                    wishes.iter().filter(fits).map(|wish| wish.revision.as_str()).collect()
                }
                _ => BTreeSet::new(),
            }
        };
        let (now, then) = (meant(runs.id), meant(one.revision));
        match () {
            () if is_alike && now.is_disjoint(&then) && !now.is_empty() && !then.is_empty() => {
                Compared::Other
            }
            () if is_alike && now != then => Compared::Alike,
            () if is_alike || rejected.iter().any(|one| content == Some(one)) => Compared::Left,
            () => Compared::Other,
        }
    }

    /// Contents that manifests want of the service and that were rejected.
    fn rejected(&self, key: &ServiceKey) -> Vec<Digest> {
        let truth = self.services.get(key).and_then(|sent| sent.truth.as_ref());
        let is_rejected =
            |wish: &&Arc<Wish>| truth.is_some_and(|facts| rejects(&facts.tags, &wish.revision));
        let wishes = self.origins.wishes().of_service(key).filter(is_rejected);
        wishes.map(|wish| wish.definition.clone()).collect()
    }

    fn followed(&mut self, from: Replica, key: &ServiceKey, who: &str, command: &Command) {
        let wanted = self.origins.wishes().now(from, key).map(|wish| wish.revision.clone());
        let Some(sent) = self.services.get_mut(key) else { return };
        match command {
            // A manifest that has changed since may have ended it already.
            Command::Undo { .. } => {
                sent.to = sent.asked.remove(who).filter(|(_, then)| *then == wanted);
            }
            Command::Retry => sent.to = None,
            _ => {}
        }
    }

    /// Whether ECS has just left, on its own account, a daemon's deployment of what was asked for.
    fn is_turned_back(&self, key: &ServiceKey, now: &ServiceFacts) -> bool {
        let Some(Known { truth: Some(before), to: Some((to, _)), .. }) = self.services.get(key)
        else {
            return false;
        };
        let origin = |facts: &ServiceFacts| self.origins.of(key, facts.primary()?.id);
        let is_on_its_way = before.primary().is_some_and(is_in_flight)
            && matches!(origin(before), Some(Origin::Returned))
            && to.is(before, &self.definitions);
        let is_left = before.primary().map(|one| one.id) != now.primary().map(|one| one.id);
        is_on_its_way && is_left && matches!(origin(now), Some(Origin::ReturnedByEcs))
    }

    /// Whether something was rolled out meanwhile, so that what is asked for is another way back.
    fn is_replaced(&self, key: &ServiceKey, now: &ServiceFacts) -> bool {
        let before = self.services.get(key).and_then(|known| known.truth.as_ref()?.primary());
        let replaced = before.zip(now.primary()).filter(|(before, now)| before.id != now.id);
        replaced.is_some_and(|(_, now)| {
            !matches!(self.origins.of(key, now.id), Some(Origin::Returned | Origin::ReturnedByEcs))
        })
    }

    /// Whether what was asked for is what the manifest wants, and has just been rejected.
    fn is_rejected_there(&self, key: &ServiceKey, now: &ServiceFacts) -> bool {
        let Some(Known { truth: Some(before), to: Some((to, Some(wanted))), .. }) =
            self.services.get(key)
        else {
            return false;
        };
        let content = now.primary().and_then(|one| self.definitions.digest(&one.definition));
        let is_it = |wish: &Arc<Wish>| {
            wish.revision == *wanted && content.is_some_and(|content| wish.definition == *content)
        };
        let is_new = rejects(&now.tags, wanted) && !rejects(&before.tags, wanted);
        is_new && to.is(now, &self.definitions) && self.origins.wishes().of_service(key).any(is_it)
    }

    /// Other content is another word.
    fn wanted(&mut self, by: Replica, key: &ServiceKey) {
        let now = self.origins.wishes().now(by, key).map(|wish| &wish.revision);
        let Some(sent) = self.services.get_mut(key) else { return };
        let is_same = |then: &Option<Digest>| now.is_none() || then.as_ref() == now;
        sent.to = sent.to.take().filter(|(_, then)| is_same(then));
    }

    fn forgets(&mut self, key: Option<&ServiceKey>) {
        if let Some(sent) = key.and_then(|key| self.services.get_mut(key)) {
            sent.forgets();
        }
    }

    /// What cannot come to rest, or is held, has not arrived anywhere.
    fn ends(&self) -> Result<(), String> {
        for (key, sent) in &self.services {
            let (Some((to, _)), Some(facts)) = (&sent.to, &sent.truth) else { continue };
            let is_at_rest = facts.is_steady() && facts.life == Life::Active;
            let by_person = facts.tags.contains_key(HOLD)
                || self.origins.wishes().of_service(key).any(|wish| wish.paused);
            if is_at_rest && !by_person && !to.is(facts, &self.definitions) {
                let runs = facts.primary().map(|one| &one.definition);
                return Err(format!("{key} was sent back to {to:?}, and ends at {runs:?}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::course::{
        Course, FIRST, definition, deployment, manifest, manifest_with, mark, revision, update,
        verdict,
    };
    use super::super::memory::{REJECTED, ROLLOUT};
    use super::*;

    /// Revision 2 was rolled out over revision 1 and is complete.
    fn released() -> Course<UndoArrives> {
        let mut course = Course::of(UndoArrives::default());
        course.begins(1);
        course.wants(FIRST, Some(&manifest("2")));
        course.rolls_out(2);
        course.completes();
        course.happens(|facts, _| {
            facts.history.iter_mut().for_each(|one| one.status = "SUCCESSFUL");
        });
        course
    }

    fn undo(course: &mut Course<UndoArrives>, to: Option<&str>) {
        let command = Command::Undo { to: to.map(str::to_owned) };
        course.asks(&command);
        course.hears(&command);
    }

    /// A deployment of this task definition takes over.
    fn arrives(course: &mut Course<UndoArrives>, number: u64) {
        course.begins(number + 10);
        course.completes();
        course.happens(|facts, _| facts.deployments[0].definition = definition(number));
    }

    #[test]
    fn it_ends_where_it_was_sent() {
        for to in [None, Some("web:1"), Some("task-definition/web:1")] {
            let mut course = released();
            undo(&mut course, to);
            arrives(&mut course, 1);
            course.tell(&Event::Over);
            course.passes();
        }
    }

    /// Revision 3 was released over 2, undone, and 2 is undone, too.
    #[test]
    fn a_second_one_goes_further_back_and_not_to_what_the_first_left() {
        for (ends, is_found) in [(1, false), (3, true)] {
            let mut course = released();
            course.wants(FIRST, Some(&manifest("3")));
            course.describes_copy(3, 3);
            for number in [3, 2] {
                arrives(&mut course, number);
                course.happens(|facts, _| {
                    let last = facts.history.last().cloned().expect("it was released");
                    facts.history.push(HistoryFacts {
                        revision: number,
                        definition: definition(number),
                        ..last
                    });
                });
            }
            course.tags(REJECTED, &verdict(&manifest("3")));
            undo(&mut course, None);
            arrives(&mut course, ends);
            course.tell(&Event::Over);
            if is_found { course.breaks("was sent back to") } else { course.passes() }
        }
    }

    /// Two manifests with one task definition were released after another.
    #[test]
    fn what_changed_other_members_alone_is_undone_by_a_deployment_of_the_same_task_definition() {
        let network = "    networkConfiguration: {awsvpcConfiguration: {subnets: [subnet-2]}}\n";
        for (members, stays, is_found) in
            [(network, false, false), (network, true, true), ("", false, true)]
        {
            let mut course = released();
            course.pause(700);
            course.wants(FIRST, Some(&manifest_with("2", members, "")));
            course.pause(700);
            course.rolls_out(3);
            course.happens(|facts, _| {
                facts.deployments[0].definition = definition(2);
                facts.history.iter_mut().for_each(|one| one.status = "SUCCESSFUL");
                facts.history.last_mut().unwrap().definition = definition(2);
            });
            course.completes();
            course.happens(|facts, _| facts.deployments[0].definition = definition(2));
            undo(&mut course, None);
            if !stays {
                arrives(&mut course, 2);
            }
            course.tell(&Event::Over);
            if is_found { course.breaks("was sent back to") } else { course.passes() }
        }
    }

    #[test]
    fn one_that_stays_or_goes_elsewhere_is_found() {
        for (to, ends) in
            [(None, None), (Some("web:3"), None), (Some("web:3"), Some(1)), (None, Some(3))]
        {
            let mut course = released();
            undo(&mut course, to);
            if let Some(number) = ends {
                arrives(&mut course, number);
            }
            course.tell(&Event::Over);
            course.breaks("was sent back to");
        }
    }

    /// Revision 3 is wanted, completed once and was left for 2; a person removed the verdict, and goes back to it.
    #[test]
    fn what_the_manifest_wants_may_be_rejected_in_its_turn() {
        for (rejected, is_found) in [("3", false), ("2", true)] {
            let mut course = released();
            course.wants(FIRST, Some(&manifest("3")));
            course.describes_copy(3, 3);
            undo(&mut course, Some("web:3"));
            arrives(&mut course, 3);
            course.tags(REJECTED, &verdict(&manifest(rejected)));
            arrives(&mut course, 2);
            course.tell(&Event::Over);
            if is_found { course.breaks("was sent back to") } else { course.passes() }
        }
    }

    #[test]
    fn what_was_in_flight_is_left() {
        for leaves in [true, false] {
            let mut course = Course::of(UndoArrives::default());
            course.wants(FIRST, Some(&manifest("2")));
            course.rolls_out(2);
            course.tags(ROLLOUT, &mark(&manifest("2"), "ecs-svc/2", "probe"));
            undo(&mut course, None);
            if leaves {
                arrives(&mut course, 1);
            } else {
                course.completes();
            }
            course.tell(&Event::Over);
            if leaves { course.passes() } else { course.breaks("AnotherThan") }
        }
    }

    #[test]
    fn where_it_was_sent_is_also_what_has_the_same_content() {
        for (to, content, is_found) in
            [(None, 1, false), (Some("web:1"), 1, false), (None, 4, true), (Some("web:1"), 4, true)]
        {
            let mut course = released();
            let input = json!({"taskDefinition": &*definition(1)});
            course.person("DeregisterTaskDefinition", &input);
            undo(&mut course, to);
            course.describes_copy(30, content);
            arrives(&mut course, 30);
            course.tell(&Event::Over);
            if is_found { course.breaks("was sent back to") } else { course.passes() }
        }
    }

    /// A daemon returns to revision 1 as deployment 11, and ECS makes a deployment of revision 2 again.
    fn turned_back(course: &mut Course<UndoArrives>, first: impl FnOnce(&mut Course<UndoArrives>)) {
        undo(course, None);
        course.looks(FIRST);
        let call =
            course.rollback(FIRST, "UpdateService", update(&json!({"taskDefinition": "web:1"})));
        course.sent(&call);
        course.begins(11);
        let reply = course.updated();
        course.carried_out(&call, &reply);
        course.happens(|facts, _| facts.deployments[0].definition = definition(1));
        first(course);
        course.happens(|facts, at| {
            let back = DeploymentFacts { created_at: at, ..deployment(12, 2) };
            facts.deployments.insert(0, DeploymentFacts { revision: 2, ..back });
        });
        course.completes();
        course.tell(&Event::Over);
    }

    #[test]
    fn what_ecs_turned_back_on_its_own_account_ends_where_ecs_went() {
        let mut course = released();
        turned_back(&mut course, |_| {});
        course.passes();
    }

    #[test]
    fn what_a_daemon_turned_back_or_had_arrived_or_went_elsewhere_is_found() {
        let spoils: [fn(&mut Course<UndoArrives>); 3] = [
            |course| course.returns("StopServiceDeployment", json!({})),
            |course| course.completes(),
            |course| course.happens(|facts, _| facts.deployments[0].definition = definition(3)),
        ];
        for spoil in spoils {
            let mut course = released();
            turned_back(&mut course, spoil);
            course.breaks("was sent back to");
        }
    }

    #[test]
    fn what_a_daemon_rolled_out_and_ecs_turned_back_is_found() {
        let mut course = released();
        undo(&mut course, None);
        course.rolls_out(3);
        course.happens(|facts, at| {
            facts.deployments[0].definition = definition(1);
            facts.deployments[0].created_at = at;
        });
        course.happens(|facts, at| {
            let back = DeploymentFacts { created_at: at, ..deployment(12, 2) };
            facts.deployments.insert(0, DeploymentFacts { revision: 2, ..back });
        });
        course.completes();
        course.tell(&Event::Over);
        course.breaks("was sent back to");
    }

    #[test]
    fn what_is_rolled_out_before_the_word_is_followed_makes_it_another_word() {
        for (begins, is_found) in [(true, false), (false, true)] {
            let mut course = released();
            let command = Command::Undo { to: None };
            course.asks(&command);
            if begins {
                course.rolls_out(3);
            }
            course.hears(&command);
            arrives(&mut course, 2);
            course.tell(&Event::Over);
            if is_found { course.breaks("was sent back to") } else { course.passes() }
        }
    }

    /// Somebody asks at rest and has no answer, and asks again, in the middle of a rollout or at rest still.
    fn asked_twice(in_flight: bool) -> Course<UndoArrives> {
        let mut course = released();
        course.asks(&Command::Undo { to: None });
        if in_flight {
            course.tags(PROVEN, &revision(4));
            course.wants(FIRST, Some(&manifest("3")));
            course.rolls_out(3);
            course.tags(ROLLOUT, &mark(&manifest("3"), "ecs-svc/3", "probe"));
        }
        undo(&mut course, None);
        arrives(&mut course, 4);
        course.tell(&Event::Over);
        course
    }

    #[test]
    fn it_is_sent_where_it_was_to_go_when_it_was_asked_for_last() {
        asked_twice(true).passes();
        asked_twice(false).breaks("was sent back to");
    }

    #[test]
    fn newer_content_a_retry_and_another_hand_have_the_last_word() {
        let mut course = released();
        undo(&mut course, None);
        course.wants(FIRST, Some(&manifest("3")));
        course.tell(&Event::Over);
        course.passes();
        let mut course = released();
        course.asks(&Command::Undo { to: None });
        course.wants(FIRST, Some(&manifest("3")));
        course.hears(&Command::Undo { to: None });
        course.tell(&Event::Over);
        course.passes();
        let mut course = released();
        undo(&mut course, None);
        course.person("UpdateService", &update(&json!({"taskDefinition": &*definition(2)})));
        course.tell(&Event::Over);
        course.passes();
        for (command, is_found) in [(Command::Retry, false), (Command::Pause, true)] {
            let mut course = released();
            undo(&mut course, None);
            course.asks(&command);
            course.tell(&Event::Over);
            if is_found { course.breaks("was sent back to") } else { course.passes() }
        }
    }
}
