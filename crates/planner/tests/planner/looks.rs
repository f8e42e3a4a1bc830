//! One look at a service that rolls out, changed by hand to what a test is about; never acts.

use std::collections::BTreeMap;

use evenkeel_manifest::Service;
use evenkeel_planner::{
    Alarm, Call, Deployment, Fact, Observed, ObservedService, Plan, ServiceDeployment,
    ServiceRevision, Task, Unknown, VerdictKind, check, plan, tag,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::ecs::{Ecs, input};
use crate::manifests::{Draft, key};
use crate::plans::settled;

/// What a look shows, and what is wanted.
pub(crate) struct Look {
    pub(crate) desired: Service,
    pub(crate) seen: Observed,
}

impl Look {
    /// While the rollout of `new` over `old` is in this phase of its mark.
    pub(crate) fn in_phase(old: &Draft, new: &Draft, phase: &str) -> Self {
        let mut ecs = settled(old);
        let desired = new.service();
        for _ in 0..100 {
            drop(ecs.pass(&desired));
            ecs.tick();
            if ecs.tags.get(tag::ROLLOUT).is_some_and(|mark| mark.contains(phase)) {
                return Self::at(&ecs, desired);
            }
        }
        panic!("the rollout never came to {phase}: {:?}", ecs.tags)
    }

    /// Now.
    pub(crate) fn at(ecs: &Ecs, desired: Service) -> Self {
        Self { seen: ecs.look(Some(&desired)), desired }
    }

    /// What is planned from it; the guard must agree.
    pub(crate) fn plan(&self) -> Plan {
        let key = key();
        let input = input(&key, Some(&self.desired), &self.seen);
        let plan = plan(&input);
        assert_eq!(check(&plan, &input), Ok(()), "{plan}");
        plan
    }

    pub(crate) fn verdict(&self) -> Option<VerdictKind> {
        self.plan().verdict.map(|verdict| verdict.kind)
    }

    pub(crate) fn ago(&self, seconds: i64) -> Timestamp {
        self.seen.at.checked_sub(SignedDuration::from_secs(seconds)).expect("within all time")
    }

    pub(crate) fn service(&mut self) -> &mut ObservedService {
        let Fact::Known(service) = &mut self.seen.service else { panic!("it was seen") };
        service
    }

    pub(crate) fn primary(&mut self) -> &mut Deployment {
        self.service().deployments.first_mut().expect("PRIMARY comes first")
    }

    pub(crate) fn tasks(&mut self) -> &mut Vec<Task> {
        let Fact::Known(tasks) = &mut self.seen.tasks else { panic!("they were seen") };
        tasks
    }

    /// The rollout of what is wanted is in this phase for so many seconds.
    pub(crate) fn mark(&mut self, phase: &str, seconds: i64) {
        let id = self.primary().id.clone();
        self.mark_of(&id, phase, seconds);
    }

    /// As [`Self::mark`], of another deployment or of one that is announced.
    pub(crate) fn mark_of(&mut self, deployment: &str, phase: &str, seconds: i64) {
        let (digest, since) = (self.desired.revision_digest.clone(), self.ago(seconds).as_second());
        self.tag(tag::ROLLOUT, &format!("v1:{digest}:{deployment}:{phase}:{since}"));
    }

    pub(crate) fn tag(&mut self, key: &str, value: &str) {
        self.service().tags.insert(key.to_owned(), value.to_owned());
    }

    pub(crate) fn history(&mut self) -> &mut Vec<ServiceDeployment> {
        let Fact::Known(all) = &mut self.seen.service_deployments else { panic!("it was seen") };
        all
    }

    pub(crate) fn revisions(&mut self) -> &mut Vec<ServiceRevision> {
        let Fact::Known(all) = &mut self.seen.service_revisions else { panic!("they were seen") };
        all
    }

    pub(crate) fn document(&mut self) -> &mut Map<String, Value> {
        self.service().document.as_object_mut().expect("a reply is an object")
    }

    /// The calls that are planned, in order.
    pub(crate) fn calls(&self) -> Vec<&'static str> {
        self.plan().actions.iter().map(|action| action.call.operation()).collect()
    }

    /// The tags that are written.
    pub(crate) fn tags_written(&self) -> BTreeMap<String, String> {
        let actions = self.plan().actions;
        let written = actions.into_iter().filter_map(|action| match action.call {
            Call::TagResource { tags, .. } => Some(tags),
            _ => None,
        });
        written.flatten().collect()
    }

    /// The members of the first `UpdateService`, without those that name the service.
    pub(crate) fn update(&self) -> Value {
        let actions = self.plan().actions;
        let update = actions.into_iter().find_map(|action| match action.call {
            Call::UpdateService { mut input } => {
                let members = input.as_object_mut()?;
                members.retain(|name, _| !["cluster", "service"].contains(&name.as_str()));
                Some(input)
            }
            _ => None,
        });
        update.unwrap_or_default()
    }

    /// The PRIMARY deployment is so many seconds old.
    pub(crate) fn begun(&mut self, seconds: i64) {
        self.primary().created_at = Some(self.ago(seconds));
    }

    pub(crate) fn alarm(&mut self, name: &str, state: &str, since: Timestamp) {
        let (name, state) = (name.to_owned(), state.to_owned());
        let alarm = Alarm { name, state, reason: None, since: Some(since) };
        self.seen.alarms = Fact::Known(vec![alarm]);
    }

    /// ECS says this about the service, so many seconds ago.
    pub(crate) fn event(&mut self, seconds: i64, message: &str) {
        let at = self.ago(seconds).as_second();
        let event = json!({ "createdAt": at, "message": message });
        let events = self.document().entry("events").or_insert(json!([]));
        if let Some(events) = events.as_array_mut() {
            events.insert(0, event);
        }
    }

    /// A task of the PRIMARY deployment that runs since so many seconds.
    pub(crate) fn runs(&mut self, seconds: i64) {
        self.add_task(json!({
            "lastStatus": "RUNNING", "desiredStatus": "RUNNING",
            "createdAt": self.ago(seconds).as_second(), "startedAt": self.ago(seconds).as_second(),
        }));
    }

    /// A task of the PRIMARY deployment that ran for `lived` seconds and ended so many seconds ago.
    pub(crate) fn ended(&mut self, lived: i64, seconds: i64, code: &str, reason: &str) {
        let began = self.ago(seconds + lived).as_second();
        self.add_task(json!({
            "lastStatus": "STOPPED", "desiredStatus": "STOPPED", "createdAt": began,
            "startedAt": began, "stoppedAt": self.ago(seconds).as_second(),
            "stopCode": code, "stoppedReason": reason,
        }));
    }

    pub(crate) fn crashed(&mut self, lived: i64, seconds: i64) {
        let reason = "Essential container in task exited";
        self.ended(lived, seconds, "EssentialContainerExited", reason);
    }

    /// A task of the PRIMARY deployment unless `members` say otherwise.
    pub(crate) fn add_task(&mut self, members: Value) {
        let deployment = self.primary().id.clone();
        let number = 9000 + self.tasks().len();
        let mut task = json!({ "taskArn": format!("task/{number}"), "startedBy": deployment });
        if let (Some(task), Value::Object(members)) = (task.as_object_mut(), members) {
            task.extend(members);
        }
        self.tasks().push(Task::read(&task).expect("it has what ECS always sends"));
    }
}

/// What AWS failed to say.
pub(crate) fn failed<T>() -> Fact<T> {
    Fact::Unknown(Unknown::Failed { operation: "Describe".into(), message: "timed out".into() })
}

/// What the server has no call for.
pub(crate) fn missing<T>() -> Fact<T> {
    Fact::Unknown(Unknown::CapabilityMissing { operation: "Describe".into() })
}
