//! Courses of events made by hand, to show a checker what it must let pass and what it must not.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_manifest::{
    Digest, File, Percent, Service, ServiceKey, Steps, Strategy, TrafficStep, canonical, load,
};
use evenkeel_planner::{Command, Lane};
use evenkeel_reconciler::{CloudError, Followed};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::{Event, Property, Replica, Sent};
use super::memory::{DIGEST, OWNER, PROVEN};
use crate::{Api, DeploymentCourse, DeploymentFacts, HistoryFacts, Life, ServiceFacts, TaskFacts};

pub(super) const FIRST: Replica = Replica(0);
pub(super) const SECOND: Replica = Replica(1);
const REVISIONS: &str = "arn:aws:ecs:eu-west-1:123456789012:service-revision/main/web/";

/// A course about the service `main/web` of four tasks, which runs revision 1 and has proven it.
pub(super) struct Course<P> {
    property: P,
    pub(super) at: Timestamp,
    pub(super) truth: ServiceFacts,
    calls: u64,
    pass: u64,
    broken: Option<String>,
}

/// A manifest of the service with this image tag.
pub(super) fn manifest(image: &str) -> Service {
    manifest_with(image, "    desiredCount: 4\n", "")
}

/// The same with other members of `service`, and of `spec`.
pub(super) fn manifest_with(image: &str, service: &str, spec: &str) -> Service {
    let text = format!(
        "apiVersion: evenkeel.dev/v1\nkind: Service\nmetadata: {{name: web}}\nspec:\n  \
         cluster: main\n{spec}  taskDefinition:\n    family: web\n    containerDefinitions:\n      \
         - {{name: web, image: \"example/web:{image}\", memory: 128}}\n  service:\n    \
         launchType: EC2\n{service}"
    );
    let set = load(&[File { name: Arc::from("web.yaml"), text }]);
    assert_eq!(set.problems, []);
    set.services.into_iter().next().unwrap()
}

/// `manifest` with a tenth of the traffic for a minute, and then all.
pub(super) fn stepped(image: &str) -> Service {
    let step = |percent, seconds| TrafficStep {
        weight: Percent::whole(percent),
        bake: Duration::from_secs(seconds),
        ..TrafficStep::default()
    };
    let mut wanted = manifest(image);
    wanted.rollout.strategy = Strategy::Steps(Steps {
        steps: vec![step(10, 60), step(100, 0)],
        keep_for: Duration::ZERO,
        gate_timeout: Duration::from_hours(1),
    });
    wanted
}

pub(super) fn key() -> ServiceKey {
    ServiceKey::new("main", "web")
}

pub(super) fn definition(number: u64) -> Arc<str> {
    Arc::from(format!("arn:aws:ecs:eu-west-1:123456789012:task-definition/web:{number}"))
}

pub(super) fn revision(number: u64) -> String {
    format!("{REVISIONS}{number}")
}

pub(super) fn deployment(id: u64, definition_number: u64) -> DeploymentFacts {
    DeploymentFacts {
        id,
        course: DeploymentCourse::InProgress,
        definition: definition(definition_number),
        revision: id,
        created_at: start(),
        failed_tasks: 0,
        share: None,
        failed_requests: 0,
    }
}

/// A healthy task.
pub(super) fn task(id: u64, deployment: u64) -> TaskFacts {
    TaskFacts {
        id,
        deployment,
        definition: definition(deployment),
        state: "RUNNING",
        wanted: true,
        healthy: true,
        was_healthy: true,
        failing: false,
        created_at: start(),
        started_at: Some(start()),
        stopping_at: None,
        stop_code: None,
        stopped_reason: None,
    }
}

/// A task that was just started.
pub(super) fn pending(id: u64, deployment: u64) -> TaskFacts {
    let (healthy, was_healthy, started_at) = (false, false, None);
    TaskFacts { state: "PENDING", healthy, was_healthy, started_at, ..task(id, deployment) }
}

/// Ends a task.
pub(super) fn stop(task: &mut TaskFacts, at: Timestamp, code: &'static str, reason: &str) {
    (task.wanted, task.healthy, task.state) = (false, false, "STOPPED");
    task.stopping_at = Some(at);
    task.stop_code = Some(code);
    task.stopped_reason = Some(reason.into());
}

pub(super) fn start() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

pub(super) fn mark(wanted: &Service, deployment: &str, phase: &str) -> String {
    format!("v1:{}:{deployment}:{phase}:1790000000", wanted.revision_digest)
}

pub(super) fn verdict(wanted: &Service) -> String {
    format!("v1:{}:1790000000:Crashes", wanted.revision_digest)
}

pub(super) fn tagging(tags: &[(&str, &str)]) -> Value {
    let tags: Vec<Value> =
        tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    json!({"resourceArn": "arn:aws:ecs:eu-west-1:123456789012:service/main/web", "tags": tags})
}

pub(super) fn untagging(key: &str) -> Value {
    json!({
        "resourceArn": "arn:aws:ecs:eu-west-1:123456789012:service/main/web", "tagKeys": [key],
    })
}

/// The input of `UpdateService` with these members.
pub(super) fn update(members: &Value) -> Value {
    let mut input = members.clone();
    input["cluster"] = json!("main");
    input["service"] = json!("web");
    input
}

pub(super) fn lost() -> CloudError {
    let (operation, message) = ("any".to_owned(), "timed out".to_owned());
    CloudError::UnknownOutcome { operation, message }
}

pub(super) fn throttled() -> CloudError {
    let (operation, message) = ("any".to_owned(), "slow down".to_owned());
    CloudError::Throttled { operation, message, retry_after: None }
}

impl<P: Property> Course<P> {
    /// One daemon has started and wants what runs; image tags are the numbers of revisions.
    pub(super) fn of(property: P) -> Self {
        let mut course = Self::quiet(property);
        course.tell(&Event::Started(FIRST));
        course.wants(FIRST, Some(&manifest("1")));
        course.happens(|_, _| {});
        for number in 1..5 {
            course.describes_definition(number);
        }
        course
    }

    /// Nothing was told yet.
    pub(super) fn quiet(property: P) -> Self {
        Self { property, at: start(), truth: settled(), calls: 0, pass: 0, broken: None }
    }

    pub(super) fn tell(&mut self, event: &Event<'_>) {
        let said = self.property.check(self.at, event);
        if self.broken.is_none() {
            self.broken = said.err();
        }
    }

    /// Revision 2 is rolled out over revision 1.
    pub(super) fn rolled_out(property: P) -> Self {
        let mut course = Self::of(property);
        course.wants(FIRST, Some(&manifest("2")));
        course.pause(1);
        course.rolls_out(2);
        course.pause(1);
        course
    }

    pub(super) fn pause(&mut self, seconds: u64) {
        self.at += Duration::from_secs(seconds);
    }

    pub(super) fn wants(&mut self, by: Replica, service: Option<&Service>) {
        self.tell(&Event::Wanted { by, key: &key(), service });
    }

    /// The truth changes and is told.
    pub(super) fn happens(&mut self, change: impl FnOnce(&mut ServiceFacts, Timestamp)) {
        change(&mut self.truth, self.at);
        self.truth.at = self.at;
        let facts = self.truth.clone();
        self.tell(&Event::Changed(&Arc::new(facts)));
    }

    /// A call that is not sent yet.
    pub(super) fn call(&mut self, by: Replica, operation: &str, input: Value) -> Sent {
        self.calls += 1;
        Sent {
            by,
            number: self.calls,
            about: Some(key()),
            pass: self.pass,
            api: Api::Ecs,
            operation: operation.to_owned(),
            input,
            action: None,
        }
    }

    pub(super) fn write(&mut self, by: Replica, operation: &str, input: Value) -> Sent {
        let action = Some((Lane::RolloutStep, "because".to_owned()));
        Sent { action, ..self.call(by, operation, input) }
    }

    pub(super) fn rollback(&mut self, by: Replica, operation: &str, input: Value) -> Sent {
        let action = Some((Lane::Rollback, "because".to_owned()));
        Sent { action, ..self.call(by, operation, input) }
    }

    pub(super) fn sent(&mut self, call: &Sent) {
        self.tell(&Event::Sent(call));
    }

    pub(super) fn carried_out(&mut self, call: &Sent, reply: &Value) {
        self.tell(&Event::CarriedOut { call, reply: Ok(reply) });
    }

    pub(super) fn answered(&mut self, call: &Sent, reply: &Value) {
        self.tell(&Event::Answered { call, answer: Ok(reply), is_stale: false });
    }

    pub(super) fn failed(&mut self, call: &Sent, error: &CloudError) {
        self.tell(&Event::Answered { call, answer: Err(error), is_stale: false });
    }

    /// Sent, carried out and answered with this.
    pub(super) fn goes(&mut self, call: &Sent, reply: &Value) {
        self.sent(call);
        self.carried_out(call, reply);
        self.answered(call, reply);
    }

    /// A new pass looks at the service and is told the truth.
    pub(super) fn looks(&mut self, by: Replica) {
        let reply = self.described();
        self.sees(by, &reply, false);
    }

    /// A new pass looks and is told this.
    pub(super) fn sees(&mut self, by: Replica, reply: &Value, is_stale: bool) {
        self.pass += 1;
        let look = self.call(by, "DescribeServices", json!({}));
        self.sent(&look);
        self.carried_out(&look, reply);
        self.tell(&Event::Answered { call: &look, answer: Ok(reply), is_stale });
    }

    pub(super) fn next_pass(&mut self) {
        self.pass += 1;
    }

    /// A write that goes well, in the pass that looked last.
    pub(super) fn writes(&mut self, operation: &str, input: Value) {
        let call = self.write(FIRST, operation, input);
        let reply = self.updated();
        self.goes(&call, &reply);
    }

    /// A write in the lane of rollbacks that goes well.
    pub(super) fn returns(&mut self, operation: &str, input: Value) {
        let call = self.rollback(FIRST, operation, input);
        let reply = self.updated();
        self.goes(&call, &reply);
    }

    /// Looks, and then a write that goes well.
    pub(super) fn pass(&mut self, operation: &str, input: Value) {
        self.looks(FIRST);
        self.writes(operation, input);
    }

    /// The daemon rolls out revision `number`: deployment and task definition have that number, too.
    pub(super) fn rolls_out(&mut self, number: u64) {
        self.looks(FIRST);
        let arn = definition(number);
        let input = update(&json!({
            "taskDefinition": &*arn, "deploymentConfiguration": {"maximumPercent": 125},
        }));
        let call = self.write(FIRST, "UpdateService", input);
        self.sent(&call);
        self.begins(number);
        let reply = self.updated();
        self.carried_out(&call, &reply);
        self.answered(&call, &reply);
        self.happens(|_, _| {});
    }

    /// A new PRIMARY deployment of task definition `number`, which nobody is told of yet.
    pub(super) fn begins(&mut self, number: u64) {
        let new = DeploymentFacts { created_at: self.at, ..deployment(number, number) };
        self.truth.deployments.insert(0, new);
        self.truth.history.push(HistoryFacts {
            arn: format!("service-deployment/main/web/{number}"),
            status: "IN_PROGRESS",
            revision: number,
            definition: definition(number),
            created_at: self.at,
        });
    }

    /// The PRIMARY deployment takes over and is complete.
    pub(super) fn completes(&mut self) {
        self.happens(|facts, at| {
            facts.deployments.truncate(1);
            let primary = &mut facts.deployments[0];
            primary.course = DeploymentCourse::Completed;
            let (id, number) = (primary.id, primary.revision);
            let desired = u64::from(facts.desired);
            facts.tasks.retain(|one| one.deployment == id);
            let first = id * 100;
            facts.tasks = (first..first + desired)
                .map(|task_id| TaskFacts {
                    definition: definition(number),
                    created_at: at,
                    ..task(task_id, id)
                })
                .collect();
        });
    }

    pub(super) fn tags(&mut self, key: &str, value: &str) {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.happens(|facts, _| {
            facts.tags.insert(key, value);
        });
    }

    /// Somebody gives the first daemon a command, and waits.
    pub(super) fn asks(&mut self, command: &Command) {
        self.tell(&Event::Asked { of: FIRST, key: &key(), who: "ann", command });
    }

    /// Who asked is told that it was followed.
    pub(super) fn hears(&mut self, command: &Command) {
        let followed = Followed { changed: true, sentence: String::new() };
        let (from, who, answer) = (FIRST, "ann", Ok(&followed));
        self.tell(&Event::Heard { from, key: &key(), who, command, answer });
    }

    pub(super) fn person(&mut self, operation: &str, input: &Value) {
        self.tell(&Event::Edited { by: "a person", operation, input });
    }

    /// The reply of `UpdateService` and `CreateService`.
    pub(super) fn updated(&self) -> Value {
        json!({"service": self.service()})
    }

    /// The reply of `DescribeServices`.
    pub(super) fn described(&self) -> Value {
        json!({"services": [self.service()], "failures": []})
    }

    fn service(&self) -> Value {
        let tags: Vec<Value> = self
            .truth
            .tags
            .iter()
            .map(|(key, value)| json!({"key": key, "value": value}))
            .collect();
        let status = |index| if index == 0 { "PRIMARY" } else { "ACTIVE" };
        let deployments: Vec<Value> = self
            .truth
            .deployments
            .iter()
            .enumerate()
            .map(|(index, one)| {
                json!({"id": format!("ecs-svc/{}", one.id), "status": status(index)})
            })
            .collect();
        json!({
            "serviceName": "web", "status": "ACTIVE", "tags": tags, "deployments": deployments,
            "desiredCount": self.truth.desired,
        })
    }

    /// The task definition of this number is described to the daemon.
    fn describes_definition(&mut self, number: u64) {
        self.describes_copy(number, number);
    }

    /// The same of one that has the content of another number.
    pub(super) fn describes_copy(&mut self, number: u64, of: u64) {
        let mut content = manifest(&of.to_string()).task_definition.value();
        content["taskDefinitionArn"] = json!(&*definition(number));
        let call = self.call(FIRST, "DescribeTaskDefinition", json!({}));
        self.goes(&call, &json!({"taskDefinition": content}));
    }

    /// Nothing was broken so far.
    pub(super) fn holds(&self) {
        assert_eq!(self.broken, None);
    }

    pub(super) fn passes(self) {
        assert_eq!(self.broken, None);
    }

    /// Asserts that it was found broken, in words that contain these.
    pub(super) fn breaks(self, words: &str) {
        let broken = self.broken.expect("the checker found nothing");
        assert!(broken.contains(words), "{broken}");
    }
}

/// What is written when a revision is proven.
pub(super) fn proof(number: u64) -> Value {
    let digest = format!("v1:{}:1:", manifest(&number.to_string()).revision_digest);
    tagging(&[(DIGEST, &digest), (PROVEN, &revision(number))])
}

fn settled() -> ServiceFacts {
    let wanted = manifest("1");
    let content = Digest::of(&canonical::task_definition(&wanted.task_definition.value()));
    assert_eq!(content, wanted.task_definition_digest);
    let first = DeploymentFacts { course: DeploymentCourse::Completed, ..deployment(1, 1) };
    ServiceFacts {
        at: start(),
        cluster: "main".to_owned(),
        name: "web".to_owned(),
        arn: "arn:aws:ecs:eu-west-1:123456789012:service/main/web".to_owned(),
        life: Life::Active,
        desired: 4,
        minimum_healthy_percent: 100,
        maximum_percent: 200,
        tags: [
            (OWNER, "v1:evenkeel:web.yaml".to_owned()),
            (DIGEST, format!("v1:{}:1790000000:", wanted.revision_digest)),
            (PROVEN, revision(1)),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into(),
        deployments: vec![first],
        tasks: (100..104).map(|id| task(id, 1)).collect(),
        history: Vec::new(),
        alarms: std::collections::BTreeMap::new(),
    }
}
