//! S24: a verdict is written before it is acted on, and is kept; never whether what it says is true.

use std::sync::Arc;

use evenkeel_manifest::Digest;

use super::super::event::At;
use super::super::{Event, Property, Sent};
use super::call::{self, Write};
use super::faultless::Faultless;
use super::memory::{DIGEST, Mark, PROVEN, ROLLOUT, Tags, names, rejects};
use super::ordering::told;
use super::origins::{Origin, Origins};
use super::passes::{Passes, Shown};
use super::wishes::Wish;

/// S24: who was shown a verdict neither goes on with the rollout nor proves it; and nobody returns
/// without a verdict having been written, but to just what is PRIMARY and ECS gave up for no fault of it.
#[derive(Debug, Default)]
pub(super) struct DurableVerdict {
    faultless: Faultless,
    origins: Origins,
    passes: Passes,
}

impl Property for DurableVerdict {
    fn name(&self) -> &'static str {
        "S24 durable verdict"
    }

    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String> {
        self.origins.note(at, event);
        self.faultless.note(at, event);
        let said = match event {
            Event::Sent(call) => Write::of(call).map_or(Ok(()), |write| self.sent(call, write)),
            _ => Ok(()),
        };
        self.passes.note(at, event);
        said
    }
}

impl DurableVerdict {
    fn sent(&self, call: &Sent, write: Write<'_>) -> Result<(), String> {
        // With a service that was deleted went its tags, and so the verdict.
        let is_new = matches!(write, Write::Create(_));
        let Some(shown) = self.passes.shown(call).filter(|_| !is_new) else { return Ok(()) };
        let wishes = self.origins.wishes_of(call);
        let mut rejected = wishes.iter().filter(|wish| rejects(&shown.tags, &wish.revision));
        let is_repeated = call
            .about
            .as_ref()
            .zip(shown.primary)
            .is_some_and(|(key, primary)| self.faultless.is_repeated_by(write, key, primary));
        let returns = call::returns(call) && !is_repeated;
        if returns && rejected.next().is_none() && !is_about_a_verdict(&shown.tags) {
            return Err(format!("{} although no verdict was written before", told(call)));
        }
        match wishes.iter().find(|wish| rejects(&shown.tags, &wish.revision)) {
            Some(wish) if self.goes_on(call, write, shown, &wish.revision) => {
                Err(format!("{} although {} is rejected", told(call), wish.revision))
            }
            _ => Ok(()),
        }
    }

    /// Whether it leads on with a revision that was rejected.
    fn goes_on(&self, call: &Sent, write: Write<'_>, shown: &Shown, rejected: &Digest) -> bool {
        let marks = write
            .tag(ROLLOUT)
            .and_then(Mark::read)
            .is_some_and(|mark| mark.digest == rejected.as_str() && mark.phase != "rollback");
        let proves = write.tag(PROVEN).is_some()
            && write.tag(DIGEST).is_some_and(|value| names(value, rejected));
        let Write::Update(input) = write else { return marks || proves };
        let is_of = |wish: &Arc<Wish>| wish.revision == *rejected;
        let origin = call.about.as_ref().zip(shown.primary);
        let runs = match origin.and_then(|(key, id)| self.origins.of(key, id)) {
            Some(Origin::Started(wishes)) => wishes.iter().any(is_of),
            _ => false,
        };
        let widens = ["deploymentConfiguration", "desiredCount"]
            .iter()
            .any(|name| input.get(name).is_some());
        runs && widens && !call::returns(call)
    }
}

/// Whether the rollout that is marked is of what was rejected, which newer manifests may not want any more.
fn is_about_a_verdict(tags: &Tags) -> bool {
    let mark = tags.get(ROLLOUT).and_then(|value| Mark::read(value));
    mark.is_some_and(|mark| rejects(tags, &Digest::from_tag(&mark.digest)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::course::{
        Course, FIRST, definition, manifest, mark, proof, tagging, update, verdict,
    };
    use super::super::memory::REJECTED;
    use super::*;
    use crate::DeploymentCourse;

    fn back() -> Value {
        update(&json!({"taskDefinition": &*definition(1)}))
    }

    fn wide() -> Value {
        update(&json!({"deploymentConfiguration": {"maximumPercent": 200}}))
    }

    fn rejected() -> Course<DurableVerdict> {
        let mut course = Course::rolled_out(DurableVerdict::default());
        course.tags(REJECTED, &verdict(&manifest("2")));
        course
    }

    #[test]
    fn a_verdict_comes_before_the_return_and_what_is_not_rejected_goes_on() {
        let mut course = rejected();
        course.looks(FIRST);
        course.returns("UpdateService", back());
        course.wants(FIRST, Some(&manifest("3")));
        course.pause(1);
        course.pass("UpdateService", wide());
        course.passes();
    }

    #[test]
    fn a_return_without_a_verdict_is_found() {
        let mut course = Course::rolled_out(DurableVerdict::default());
        course.looks(FIRST);
        course.returns("StopServiceDeployment", json!({}));
        course.breaks("no verdict");
    }

    /// Nothing else happens in the second from which it is due.
    #[test]
    fn what_ecs_gave_up_for_no_fault_of_it_is_deployed_again_after_ten_minutes() {
        for (seconds, is_wrong) in [(600, false), (599, true)] {
            let mut course = Course::rolled_out(DurableVerdict::default());
            course.happens(|facts, at| {
                facts.deployments[0].course = DeploymentCourse::Failed;
                facts.deployments[0].created_at = at;
            });
            course.looks(FIRST);
            course.pause(seconds);
            course.returns("UpdateService", update(&json!({"forceNewDeployment": true})));
            if is_wrong { course.breaks("no verdict was written") } else { course.passes() }
        }
    }

    #[test]
    fn what_newer_manifests_replaced_is_returned_from_by_its_own_verdict() {
        for (marked, broken) in [("2", false), ("4", true)] {
            let mut course = rejected();
            course.tags(ROLLOUT, &mark(&manifest(marked), "ecs-svc/2", "rollback"));
            course.wants(FIRST, Some(&manifest("3")));
            course.pause(1);
            course.looks(FIRST);
            course.returns("StopServiceDeployment", json!({}));
            if broken { course.breaks("no verdict") } else { course.passes() }
        }
    }

    #[test]
    fn nobody_goes_on_with_what_is_rejected() {
        let mark = mark(&manifest("2"), "ecs-svc/2", "widen");
        let writes = [
            ("UpdateService", wide()),
            ("TagResource", tagging(&[(ROLLOUT, &mark)])),
            ("TagResource", proof(2)),
        ];
        for (operation, input) in writes {
            let mut course = rejected();
            course.pass(operation, input);
            course.breaks("is rejected");
        }
    }

    #[test]
    fn the_rest_of_a_service_that_left_what_is_rejected_is_still_healed() {
        let mut course = Course::of(DurableVerdict::default());
        course.tags(REJECTED, &verdict(&manifest("2")));
        course.wants(FIRST, Some(&manifest("2")));
        course.pause(1);
        course.pass("UpdateService", wide());
        course.passes();
    }

    #[test]
    fn a_service_that_is_gone_is_created_anew_whatever_its_tags_said() {
        let mut course = rejected();
        let tags = json!([{"key": REJECTED, "value": verdict(&manifest("2"))}]);
        let gone = json!({"serviceName": "web", "status": "INACTIVE", "tags": tags});
        course.sees(FIRST, &json!({"services": [gone]}), false);
        let mark = mark(&manifest("2"), "-", "probe");
        course.writes("CreateService", tagging(&[(ROLLOUT, &mark)]));
        course.passes();
    }
}
