//! S15, S19 and S20: nothing is deleted, nothing beyond what a manifest names is touched, and nothing
//! that is not ours.

use std::collections::BTreeMap;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::Command;

use super::super::event::At;
use super::super::{Event, Property, Sent};
use super::asks::Asks;
use super::call::{self, Write, text};
use super::memory::{HOLD, OWNER, PAUSE, PROMOTE, REJECTED, ROLLOUT, Tags, instance};
use super::ordering::told;
use super::origins::Origins;
use super::passes::Passes;
use super::pruning;

pub(super) const NO_DELETE: &str = "S15 no delete";

/// S15: no call deletes or deregisters; none scales to zero unless the manifest says zero.
#[derive(Debug, Default)]
pub(super) struct NoDelete {
    origins: Origins,
}

impl Property for NoDelete {
    fn name(&self) -> &'static str {
        NO_DELETE
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.origins.note(at, event);
        let Event::Sent(call) = event else { return Ok(()) };
        let Some(write) = Write::of(call) else { return Ok(()) };
        if matches!(write, Write::Other | Write::Delete) {
            return Err(format!("{} is no call of ours", told(call)));
        }
        let says_zero = || self.origins.wishes_of(call).iter().any(|wish| wish.count == Some(0));
        if write.count() == Some(0) && !says_zero() {
            return Err(format!("{} scales to zero, which no manifest says", told(call)));
        }
        Ok(())
    }
}

/// S19: what a call changes is the service that its pass is about, or a task definition of its family.
#[derive(Debug, Default)]
pub(super) struct Scope {
    origins: Origins,
    /// Deployments of CodeDeploy's, by id, and whose they are.
    deployments: BTreeMap<String, ServiceKey>,
}

impl Scope {
    fn subject(&self, call: &Sent) -> Option<ServiceKey> {
        match text(&call.input, "deploymentId") {
            Some(id) => self.deployments.get(id).cloned(),
            None => call::named(&call.input),
        }
    }
}

impl Property for Scope {
    fn name(&self) -> &'static str {
        "S19 scope"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.origins.note(at, event);
        if let Event::CarriedOut { call, reply: Ok(reply) } = event
            && let Some((id, key)) = text(reply, "deploymentId").zip(call::named(&call.input))
        {
            self.deployments.insert(id.to_owned(), key);
        }
        let Event::Sent(call) = event else { return Ok(()) };
        let Some(write) = Write::of(call) else { return Ok(()) };
        if call.about.is_none() {
            return Err(format!("{} is about no service", told(call)));
        }
        let wishes = self.origins.wishes_of(call);
        let in_scope = match write {
            Write::Register(input) => {
                let family = text(input, "family");
                wishes.is_empty() || wishes.iter().any(|wish| Some(&*wish.family) == family)
            }
            Write::Create(input) => {
                // `service` would be the member of another operation.
                call::named(input) == call.about && text(input, "service").is_none()
            }
            Write::Weigh => true,
            _ => self.subject(call) == call.about,
        };
        if in_scope { Ok(()) } else { Err(format!("{} is about something else", told(call))) }
    }
}

/// S20: what is written to carries our mark, or is being taken over with leave; tags that others set
/// stay, and those that are people's words are set and taken away as they ask.
#[derive(Debug)]
pub(super) struct Ownership {
    instance: String,
    origins: Origins,
    passes: Passes,
    asks: Asks,
}

impl Ownership {
    /// For daemons that call themselves this.
    pub(super) fn of(instance: impl Into<String>) -> Self {
        let (origins, passes) = (Origins::default(), Passes::default());
        Self { instance: instance.into(), origins, passes, asks: Asks::default() }
    }

    fn sent(&self, call: &Sent, write: Write<'_>) -> Result<(), String> {
        match write {
            Write::Register(_) => Ok(()),
            Write::Create(_) if self.is_ours(write.tag(OWNER)) => Ok(()),
            Write::Create(_) => Err(format!("{} creates it without our mark", told(call))),
            _ => {
                let shown = self.passes.shown(call).map(|shown| &*shown.tags);
                self.changes(call, write, shown.unwrap_or(&Tags::new()))
            }
        }
    }

    fn changes(&self, call: &Sent, write: Write<'_>, shown: &Tags) -> Result<(), String> {
        let owner = shown.get(OWNER).map(String::as_str);
        let adopts = || {
            owner.is_none()
                && self.is_ours(write.tag(OWNER))
                && self.origins.wishes_of(call).iter().any(|wish| wish.adopt)
        };
        if !self.is_ours(owner) && !adopts() {
            return Err(format!("{} although the owner is {owner:?}", told(call)));
        }
        match foreign_tag(write, shown).filter(|key| !self.is_asked_for(call, write, key)) {
            Some(key) => Err(format!("{} touches the tag {key}, which is not ours", told(call))),
            None => Ok(()),
        }
    }

    /// Whether a tag is a person's word that somebody has just given or taken back.
    fn is_asked_for(&self, call: &Sent, write: Write<'_>, key: &str) -> bool {
        let word = match (write, key) {
            (Write::Tag(_), HOLD) => Command::Hold,
            (Write::Untag(_), HOLD) => Command::Release,
            (Write::Tag(_), PAUSE) => Command::Pause,
            (Write::Untag(_), PAUSE) => Command::Resume,
            (Write::Untag(_), REJECTED) => Command::Retry,
            _ => return false,
        };
        self.asks.for_call(call, |command| *command == word)
    }

    fn is_ours(&self, owner: Option<&str>) -> bool {
        owner.and_then(instance) == Some(&*self.instance)
    }
}

impl Property for Ownership {
    fn name(&self) -> &'static str {
        "S20 ownership"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.origins.note(at, event);
        self.asks.note(at, event);
        let said = match event {
            Event::Sent(call) => Write::of(call).map_or(Ok(()), |write| self.sent(call, write)),
            _ => Ok(()),
        };
        self.passes.note(at, event);
        said
    }
}

/// A tag that AWS or a person set and that the call changes. What `evenkeel:tags` lists was set by a
/// manifest.
fn foreign_tag<'a>(write: Write<'a>, shown: &Tags) -> Option<&'a str> {
    let is_aws = |key: &str| key.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("aws:"));
    match write {
        Write::Tag(input) => call::tags(input)
            .map(|(key, _)| key)
            .find(|key| is_aws(key) || [HOLD, PAUSE].contains(key)),
        Write::Untag(input) => {
            let listed = shown.get("evenkeel:tags").map_or("", String::as_str);
            let is_own = |key: &str| [ROLLOUT, PROMOTE].contains(&key) || pruning::is_own(key);
            let ours = |key: &str| is_own(key) || listed.split(' ').any(|one| one == key);
            call::untagged(input).into_iter().find(|key| is_aws(key) || !ours(key))
        }
        Write::Register(_)
        | Write::Create(_)
        | Write::Update(_)
        | Write::Stop
        | Write::Open
        | Write::CreateSet(_)
        | Write::Set
        | Write::Deploy(_)
        | Write::Weigh
        | Write::Delete
        | Write::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::course::{
        Course, FIRST, manifest, manifest_with, tagging, untagging, update,
    };
    use super::*;

    #[test]
    fn a_count_of_zero_is_the_manifest_s_to_say() {
        let zero = || update(&json!({"desiredCount": 0}));
        let mut course = Course::of(NoDelete::default());
        course.wants(FIRST, Some(&manifest_with("1", "    desiredCount: 0\n", "")));
        course.pause(1);
        course.pass("UpdateService", zero());
        course.passes();
        let mut course = Course::of(NoDelete::default());
        course.pass("UpdateService", zero());
        course.breaks("scales to zero");
    }

    #[test]
    fn a_call_that_deletes_is_found_whatever_it_calls_itself() {
        let mut course = Course::of(NoDelete::default());
        let call = course.call(FIRST, "DeleteService", update(&json!({})));
        course.sent(&call);
        course.breaks("no call of ours");
        let mut course = Course::of(NoDelete::default());
        course.pass("DeregisterTaskDefinition", json!({"taskDefinition": "web:1"}));
        course.breaks("no call of ours");
    }

    #[test]
    fn calls_stay_with_the_service_that_they_are_about() {
        let mut course = Course::of(Scope::default());
        course.pass("UpdateService", update(&json!({"desiredCount": 4})));
        course.writes("TagResource", tagging(&[]));
        course.writes("RegisterTaskDefinition", manifest("1").task_definition.value());
        course.passes();
    }

    #[test]
    fn another_service_cluster_or_family_is_out_of_scope() {
        let inputs = [
            ("UpdateService", json!({"cluster": "main", "service": "other"})),
            ("UpdateService", json!({"service": "web"})),
            ("RegisterTaskDefinition", json!({"family": "other"})),
            ("UntagResource", json!({"resourceArn": "arn:aws:ecs:eu-west-1:1:service/b/web"})),
            ("StopServiceDeployment", json!({})),
        ];
        for (operation, input) in inputs {
            let mut course = Course::of(Scope::default());
            course.pass(operation, input);
            course.breaks("something else");
        }
    }

    fn ownership() -> Course<Ownership> {
        Course::of(Ownership::of("evenkeel"))
    }

    #[test]
    fn what_is_ours_or_may_be_adopted_is_written_to() {
        let mut course = ownership();
        course.pass("UpdateService", update(&json!({"desiredCount": 4})));
        course.writes("UntagResource", untagging(ROLLOUT));
        course.happens(|facts, _| {
            facts.tags.remove(OWNER);
        });
        let adopting = manifest_with("1", "    desiredCount: 4\n", "  adopt: true\n");
        course.wants(FIRST, Some(&adopting));
        course.pause(1);
        course.pass("TagResource", tagging(&[(OWNER, "v1:evenkeel:web.yaml")]));
        course.passes();
    }

    #[test]
    fn a_service_of_nobody_or_of_somebody_else_is_not_written_to() {
        let mut course = ownership();
        course.happens(|facts, _| {
            facts.tags.remove(OWNER);
        });
        course.pass("TagResource", tagging(&[(OWNER, "v1:evenkeel:web.yaml")]));
        course.breaks("the owner is None");
        let mut course = ownership();
        course.tags(OWNER, "v1:another:web.yaml");
        course.pass("UpdateService", update(&json!({"desiredCount": 4})));
        course.breaks("another");
    }

    #[test]
    fn an_owner_that_changes_after_the_look_is_nobody_s_fault() {
        let mut course = ownership();
        course.looks(FIRST);
        course.tags(OWNER, "v1:another:web.yaml");
        course.writes("UpdateService", update(&json!({"desiredCount": 4})));
        course.passes();
    }

    #[test]
    fn tags_of_others_stay() {
        let mut course = ownership();
        course.tags("evenkeel:tags", "team");
        course.pass("UntagResource", untagging("team"));
        course.writes("UntagResource", untagging("cost"));
        course.breaks("the tag cost");
        let mut course = ownership();
        course.pass("TagResource", tagging(&[("aws:cloudformation:stack-id", "x")]));
        course.breaks("not ours");
    }

    #[test]
    fn the_words_of_people_are_written_as_they_ask() {
        let words = [
            (Command::Hold, "TagResource", HOLD),
            (Command::Release, "UntagResource", HOLD),
            (Command::Pause, "TagResource", PAUSE),
            (Command::Resume, "UntagResource", PAUSE),
            (Command::Retry, "UntagResource", REJECTED),
        ];
        for (command, operation, key) in words {
            for asked in [&command, &Command::Abort] {
                let mut course = ownership();
                course.asks(asked);
                let set = operation == "TagResource";
                course.pass(operation, if set { tagging(&[(key, "on")]) } else { untagging(key) });
                if *asked == command { course.passes() } else { course.breaks(key) }
            }
        }
    }

    #[test]
    fn a_service_is_created_with_our_mark() {
        for (owner, broken) in [("v1:evenkeel:a", false), ("v1:another:a", true)] {
            let mut course = ownership();
            let mut input = tagging(&[(OWNER, owner)]);
            input["serviceName"] = json!("web");
            course.pass("CreateService", input);
            if broken { course.breaks("without our mark") } else { course.passes() }
        }
    }
}
