//! A small stand-in for ECS's semantics, enough to carry plans out; never a model to trust beyond
//! these tests.
//!
//! The image decides what a task does: `crash…` exits before it is healthy, `slow-crash…` after,
//! `late…` needs two minutes to become healthy, `missing…` cannot be pulled,
//! `sick…` fails its target's health check, `hang…` never reaches RUNNING, nor does `lonely…` but for
//! the first task of a deployment, others become healthy.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a stand-in that does not fit its tests is to fail loudly"
)]

mod shown;

use std::collections::BTreeMap;

use evenkeel_manifest::{Digest, Service, canonical};
use evenkeel_planner::{
    Alarm, Call, Command, DriftMemory, Input, LoadBalancing, Observed, Order, Outcome, Plan,
    Refusal, Status, check, check_order, obey, plan, questions, questions_of, status,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::manifests::{GROUP, key, web};

pub(crate) const INSTANCE: &str = "test";
pub(crate) const SERVICE_ARN: &str = "arn:aws:ecs:eu-west-1:123456789012:service/prod/web";
const EPOCH: i64 = 1_790_000_000;

#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) id: u64,
    deployment: u64,
    definition: String,
    created: i64,
    started: Option<i64>,
    stopped: Option<(i64, &'static str, String)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Rolled {
    pub(crate) id: u64,
    pub(crate) state: &'static str,
    reason: String,
    created: i64,
    /// Members that make a revision, with the task definition.
    pub(crate) content: Map<String, Value>,
}

/// `ListServiceDeployments`: one a deployment.
#[derive(Clone, Debug)]
pub(crate) struct History {
    id: u64,
    source: Option<u64>,
    pub(crate) status: &'static str,
    created: i64,
}

impl History {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Ecs {
    pub(crate) now: i64,
    pub(crate) next: u64,
    /// Members of the service that make no revision.
    pub(crate) members: Option<Map<String, Value>>,
    pub(crate) status: String,
    pub(crate) tags: BTreeMap<String, String>,
    /// PRIMARY first.
    pub(crate) deployments: Vec<Rolled>,
    pub(crate) history: Vec<History>,
    pub(crate) revisions: BTreeMap<u64, Map<String, Value>>,
    pub(crate) definitions: BTreeMap<String, (Value, &'static str)>,
    pub(crate) digests: BTreeMap<String, Digest>,
    pub(crate) tasks: Vec<Run>,
    pub(crate) alarms: Vec<Alarm>,
    pub(crate) balancing: LoadBalancing,
    pub(crate) events: Vec<(i64, String)>,
    /// Turned on, the server knows neither service deployments nor their revisions.
    pub(crate) is_plain: bool,
    /// Turned on, no task is placed.
    pub(crate) is_full: bool,
    pub(crate) writes: Vec<String>,
    /// What the daemon remembers of drift since the manifest changed, and that manifest.
    pub(crate) drift: DriftMemory,
    pub(crate) wanted: Option<Service>,
    /// Every task ever started, by image.
    pub(crate) started: BTreeMap<String, u32>,
}

const STARTING: &[&str] = &[
    "taskDefinition",
    "capacityProviderStrategy",
    "networkConfiguration",
    "platformVersion",
    "loadBalancers",
    "serviceRegistries",
    "serviceConnectConfiguration",
    "volumeConfigurations",
];

/// Hosts, each of which runs one task of a DAEMON service.
const HOSTS: u64 = 3;

impl Ecs {
    pub(crate) fn new() -> Self {
        Self { next: 1000, ..Self::default() }
    }

    pub(crate) fn at(&self) -> Timestamp {
        Timestamp::from_second(EPOCH + self.now).unwrap()
    }

    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn count(&self) -> u64 {
        let Some(members) = &self.members else { return 0 };
        let daemon = members.get("schedulingStrategy").is_some_and(|one| one == "DAEMON");
        let wanted = members.get("desiredCount").and_then(Value::as_u64).unwrap_or(0);
        if daemon { HOSTS } else { wanted }
    }

    pub(crate) fn image(&self, definition: &str) -> String {
        let (document, _) = &self.definitions[definition];
        document["containerDefinitions"][0]["image"].as_str().unwrap().to_owned()
    }

    pub(crate) fn primary_image(&self) -> String {
        self.image(self.deployments[0].content["taskDefinition"].as_str().unwrap())
    }

    /// A member of what the PRIMARY deployment runs.
    pub(crate) fn primary_member(&self, name: &str) -> Option<&Value> {
        self.deployments[0].content.get(name)
    }

    pub(crate) fn apply(&mut self, call: &Call) {
        self.writes.push(call.operation().to_owned());
        match call {
            Call::RegisterTaskDefinition { input } => {
                let number = self.definitions.len() + 1;
                let arn =
                    format!("arn:aws:ecs:eu-west-1:123456789012:task-definition/web:{number}");
                let digest = Digest::of(&canonical::task_definition(input));
                self.digests.insert(arn.clone(), digest);
                self.definitions.insert(arn, (input.clone(), "ACTIVE"));
            }
            Call::CreateService { input } => self.create(input),
            Call::UpdateService { input } => self.update(input),
            Call::StopServiceDeployment { .. } => self.roll_back("stopped by a call"),
            Call::TagResource { arn, tags } => {
                assert_eq!(arn, SERVICE_ARN);
                self.tags.extend(tags.clone());
            }
            Call::UntagResource { arn, keys } => {
                assert_eq!(arn, SERVICE_ARN);
                self.tags.retain(|key, _| !keys.contains(key));
            }
            Call::DeleteService { input } => {
                assert_eq!(
                    (self.count(), self.tasks_alive()),
                    (0, 0),
                    "deleted with tasks: {input}"
                );
                self.status = "INACTIVE".into();
            }
            Call::ContinueServiceDeployment { .. }
            | Call::CreateTaskSet { .. }
            | Call::UpdateTaskSet { .. }
            | Call::UpdateServicePrimaryTaskSet { .. }
            | Call::DeleteTaskSet { .. }
            | Call::CreateDeployment { .. }
            | Call::StopDeployment { .. }
            | Call::ContinueDeployment { .. }
            | Call::ModifyRule { .. }
            | Call::ModifyListener { .. } => panic!("no traffic is moved here"),
        }
    }

    fn tasks_alive(&self) -> usize {
        self.tasks.iter().filter(|task| task.stopped.is_none()).count()
    }

    fn create(&mut self, input: &Value) {
        assert!(self.members.is_none() || self.status == "INACTIVE", "created twice");
        self.tags.clear();
        self.deployments.clear();
        self.history.clear();
        self.revisions.clear();
        let mut members = input.as_object().unwrap().clone();
        for tag in members.remove("tags").unwrap().as_array().unwrap() {
            let text = |name: &str| tag[name].as_str().unwrap().to_owned();
            self.tags.insert(text("key"), text("value"));
        }
        let content = take_content(&mut members);
        self.members = Some(members);
        self.status = "ACTIVE".into();
        self.deploy(content);
    }

    pub(crate) fn update(&mut self, input: &Value) {
        let mut input = input.as_object().unwrap().clone();
        let changes = take_content(&mut input);
        let forced = input.remove("forceNewDeployment").is_some();
        assert!(
            forced || !changes.contains_key("capacityProviderStrategy"),
            "ECS wants another strategy forced"
        );
        let members = self.members.as_mut().unwrap();
        for (name, value) in input {
            match (members.get_mut(&name), &value) {
                (Some(Value::Object(old)), Value::Object(new))
                    if name == "deploymentConfiguration" =>
                {
                    old.extend(new.clone());
                }
                _ => {
                    members.insert(name, value);
                }
            }
        }
        let mut content = self.deployments[0].content.clone();
        let volumes = content.contains_key("volumeConfigurations");
        assert!(
            !volumes || changes.is_empty() || changes.contains_key("volumeConfigurations"),
            "volumes configured at launch were not sent again"
        );
        content.extend(changes);
        if content != self.deployments[0].content || forced {
            self.deploy(content);
        }
    }

    fn deploy(&mut self, content: Map<String, Value>) {
        let id = self.id();
        let source = self.completed().map(|one| one.id);
        for one in self.history.iter_mut().filter(|one| one.status == "IN_PROGRESS") {
            one.status = "STOPPED";
        }
        let reason = format!("ECS deployment ecs-svc/{id} in progress.");
        self.revisions.insert(id, content.clone());
        let created = self.now;
        self.deployments.insert(0, Rolled { id, state: "IN_PROGRESS", reason, created, content });
        self.history.insert(0, History { id, source, status: "IN_PROGRESS", created });
    }

    fn completed(&self) -> Option<&Rolled> {
        self.deployments.iter().find(|one| one.state == "COMPLETED")
    }

    /// As ECS's breaker, an alarm or `StopServiceDeployment` does.
    pub(crate) fn roll_back(&mut self, why: &str) {
        let Some(old) = self.completed().cloned() else {
            self.deployments[0].state = "FAILED";
            self.deployments[0].reason = why.into();
            return;
        };
        let id = self.id();
        self.deployments[0].state = "FAILED";
        self.deployments[0].reason = why.into();
        self.history[0].status = "ROLLBACK_IN_PROGRESS";
        let reason = format!(
            "ECS deployment circuit breaker: rolling back to deploymentId ecs-svc/{}",
            old.id
        );
        let created = self.now;
        self.deployments.retain(|one| one.id != old.id);
        for task in self.tasks.iter_mut().filter(|task| task.deployment == old.id) {
            task.deployment = id;
        }
        let back = Rolled { id, state: "IN_PROGRESS", reason, created, content: old.content };
        self.deployments.insert(0, back);
    }

    /// Somebody else registers this image and rolls it out.
    pub(crate) fn rival(&mut self, image: &str) {
        self.apply(&Call::RegisterTaskDefinition { input: web(image).task_definition });
        let theirs = self.newest_definition();
        self.update(&json!({ "taskDefinition": theirs }));
    }

    /// As ECS's breaker without `rollback` does.
    pub(crate) fn give_up(&mut self, why: &str) {
        self.deployments[0].state = "FAILED";
        self.deployments[0].reason = why.into();
    }

    /// Five seconds pass.
    pub(crate) fn tick(&mut self) {
        self.now += 5;
        if self.members.is_some() && !self.deployments.is_empty() {
            self.advance_tasks();
            self.schedule();
            self.complete();
        }
    }

    fn advance_tasks(&mut self) {
        let now = self.now;
        self.tasks.retain(|task| task.stopped.as_ref().is_none_or(|(at, _, _)| now - at < 3600));
        let images: Vec<String> =
            self.tasks.iter().map(|task| self.image(&task.definition)).collect();
        let firsts: Vec<u64> =
            self.deployments.iter().filter_map(|one| self.first_task(one.id)).collect();
        for (task, image) in self.tasks.iter_mut().zip(images) {
            if task.stopped.is_some() {
                continue;
            }
            let age = now - task.created;
            let end = |code, why: &str| Some((now, code, why.to_owned()));
            if image.starts_with("hang")
                || image.starts_with("lonely") && !firsts.contains(&task.id)
            {
                continue;
            }
            if image.starts_with("missing") {
                let why =
                    format!("CannotPullContainerError: failed to resolve ref {image}: not found");
                task.stopped = end("TaskFailedToStart", &why);
            } else if task.started.is_none() {
                task.started = Some(now);
            } else if life(&image).is_some_and(|life| age >= life) {
                task.stopped =
                    end("EssentialContainerExited", "Essential container in task exited");
            } else if image.starts_with("sick") && age >= 20 {
                let why = format!("Task failed ELB health checks in (target-group {GROUP})");
                task.stopped = end("ServiceSchedulerInitiated", &why);
            }
        }
    }

    fn first_task(&self, deployment: u64) -> Option<u64> {
        self.tasks.iter().find(|task| task.deployment == deployment).map(|task| task.id)
    }

    fn healthy(&self, task: &Run) -> bool {
        let image = self.image(&task.definition);
        task.stopped.is_none()
            && task.started.is_some_and(|at| self.now - at >= warm_up(&image))
            && !image.starts_with("sick")
    }

    fn schedule(&mut self) {
        let configuration = &self.members.as_ref().unwrap()["deploymentConfiguration"];
        let percent = |name: &str, default| configuration[name].as_u64().unwrap_or(default);
        let count = self.count();
        let max = count * percent("maximumPercent", 200) / 100;
        let min = (count * percent("minimumHealthyPercent", 100)).div_ceil(100);
        let primary = self.deployments[0].clone();
        let active = |ecs: &Self, own: bool| -> Vec<usize> {
            let tasks = ecs.tasks.iter().enumerate();
            tasks
                .filter(|(_, task)| task.stopped.is_none())
                .filter(|(_, task)| (task.deployment == primary.id) == own)
                .map(|(index, _)| index)
                .collect()
        };
        let (ours, others) = (active(self, true), active(self, false));
        let all: usize = ours.len() + others.len();
        let healthy = self.tasks.iter().filter(|task| self.healthy(task)).count();
        let total_healthy = u64::try_from(healthy).unwrap();
        let may_stop = total_healthy.saturating_sub(min);
        let excess = u64::try_from(ours.len()).unwrap().saturating_sub(count);
        let stop = |task: &mut Run, now| {
            task.stopped = Some((
                now,
                "ServiceSchedulerInitiated",
                "Scaling activity initiated by".to_owned(),
            ));
        };
        let now = self.now;
        let mut left = may_stop;
        for index in others {
            let is_healthy = self.healthy(&self.tasks[index]);
            if !is_healthy || left > 0 {
                left -= u64::from(is_healthy);
                stop(&mut self.tasks[index], now);
            }
        }
        for index in ours.iter().take(usize::try_from(excess).unwrap()) {
            stop(&mut self.tasks[*index], now);
        }
        let room = max.max(count).saturating_sub(u64::try_from(all).unwrap());
        let missing = count.saturating_sub(u64::try_from(ours.len()).unwrap());
        if primary.state != "FAILED" && !self.is_full {
            for _ in 0..missing.min(room) {
                self.start_task(&primary);
            }
        }
    }

    fn start_task(&mut self, deployment: &Rolled) {
        let id = self.id();
        let definition = deployment.content["taskDefinition"].as_str().unwrap().to_owned();
        *self.started.entry(self.image(&definition)).or_default() += 1;
        let created = self.now;
        self.tasks.push(Run {
            id,
            deployment: deployment.id,
            definition,
            created,
            started: None,
            stopped: None,
        });
    }

    fn complete(&mut self) {
        let primary = &self.deployments[0];
        let of_primary = |task: &&Run| task.deployment == primary.id;
        let healthy =
            self.tasks.iter().filter(of_primary).filter(|task| self.healthy(task)).count();
        let others =
            self.tasks.iter().any(|task| task.deployment != primary.id && task.stopped.is_none());
        if primary.state == "IN_PROGRESS"
            && u64::try_from(healthy).unwrap() >= self.count()
            && !others
        {
            self.deployments.truncate(1);
            self.deployments[0].state = "COMPLETED";
            let id = self.deployments[0].id;
            self.deployments[0].reason = format!("ECS deployment ecs-svc/{id} completed.");
            match self.history[0].status {
                "IN_PROGRESS" => self.history[0].status = "SUCCESSFUL",
                "ROLLBACK_IN_PROGRESS" => self.history[0].status = "ROLLBACK_SUCCESSFUL",
                _ => {}
            }
        }
    }

    /// Looks as often as the planner asks for.
    pub(crate) fn look(&self, desired: Option<&Service>) -> Observed {
        let first = questions(desired, None).expect("the first question is always asked");
        let mut seen = self.observe(&first);
        for round in 1.. {
            assert!(round <= 3, "a pass asks at most three times");
            let Some(more) = questions(desired, Some(&seen)) else { break };
            seen = self.observe(&more);
        }
        seen
    }

    pub(crate) fn plan(&self, desired: Option<&Service>) -> Plan {
        let seen = self.look(desired);
        let key = key();
        let input = Input { drift: &self.drift, ..input(&key, desired, &seen) };
        let plan = plan(&input);
        assert_eq!(check(&plan, &input), Ok(()), "{plan}");
        plan
    }

    /// One pass: look, plan, act. The plan is returned.
    pub(crate) fn pass(&mut self, desired: &Service) -> Plan {
        if self.wanted.as_ref() != Some(desired) {
            self.wanted = Some(desired.clone());
            self.drift.heal_anew();
        }
        let plan = self.plan(Some(desired));
        self.drift = self.remembered(desired, &plan);
        for action in &plan.actions {
            self.apply(&action.call);
        }
        plan
    }

    pub(crate) fn status(&self, desired: &Service) -> Status {
        let (key, seen) = (key(), self.look(Some(desired)));
        let input = Input { drift: &self.drift, ..input(&key, Some(desired), &seen) };
        status(&input, &plan(&input), &Outcome::DryRun)
    }

    /// After a pass that carries all of the plan out.
    fn remembered(&self, desired: &Service, plan: &Plan) -> DriftMemory {
        let (key, seen) = (key(), self.look(Some(desired)));
        let input = Input { drift: &self.drift, ..input(&key, Some(desired), &seen) };
        let drifted = status(&input, plan, &Outcome::Done).drift;
        self.drift.after(&input, plan, plan.actions.len(), &drifted)
    }

    /// What a person asks for is done, if it can be; the sentence is returned.
    pub(crate) fn ordered(
        &mut self,
        desired: &Service,
        command: Command,
    ) -> Result<String, Refusal> {
        let mut seen = None;
        while let Some(more) = questions_of(&command, Some(desired), seen.as_ref()) {
            seen = Some(self.observe(&more));
        }
        let (key, seen) = (key(), seen.expect("the first question is always asked"));
        let input = input(&key, Some(desired), &seen);
        let order = Order { command, who: "ann@laptop".into(), why: "a bad day".into() };
        let obeyed = obey(&input, &order)?;
        assert_eq!(check_order(&obeyed.actions, &input), Ok(()), "{obeyed:?}");
        for action in &obeyed.actions {
            self.apply(&action.call);
        }
        Ok(obeyed.sentence)
    }

    /// Passes and five-second ticks until a pass neither acts nor waits for ECS, at most `ticks`.
    pub(crate) fn settle(&mut self, desired: &Service, ticks: u32) -> Plan {
        let mut last = self.pass(desired);
        let mut quiet = 0;
        for _ in 0..ticks {
            self.tick();
            last = self.pass(desired);
            quiet = if last.actions.is_empty() { quiet + 1 } else { 0 };
            let slow = last.look_again >= std::time::Duration::from_mins(5);
            if quiet > 3 && slow {
                break;
            }
        }
        last
    }

    /// Passes without time passing, until nothing more is written.
    pub(crate) fn act(&mut self, desired: &Service) -> Plan {
        for _ in 0..10 {
            let plan = self.pass(desired);
            if plan.actions.is_empty() {
                return plan;
            }
        }
        panic!("the planner writes without end: {:?}", self.writes);
    }

    /// The oldest task of the PRIMARY deployment exits at once.
    pub(crate) fn crash_oldest(&mut self) {
        let (id, now) = (self.deployments[0].id, self.now);
        let running = |task: &&mut Run| task.deployment == id && task.stopped.is_none();
        let Some(task) = self.tasks.iter_mut().find(running) else { return };
        let why = "Essential container in task exited".to_owned();
        task.stopped = Some((now, "EssentialContainerExited", why));
    }

    pub(crate) fn newest_definition(&self) -> String {
        let number = self.definitions.len();
        format!("arn:aws:ecs:eu-west-1:123456789012:task-definition/web:{number}")
    }

    pub(crate) fn is_rolling(&self) -> bool {
        self.history.first().is_some_and(|one| one.status == "IN_PROGRESS")
    }

    pub(crate) fn later(&mut self, seconds: i64) {
        self.now += seconds;
    }

    pub(crate) fn alarm(&mut self, name: &str, state: &str, ago: i64) {
        self.alarms.retain(|one| one.name != name);
        let since = self.at().checked_sub(SignedDuration::from_secs(ago)).ok();
        self.alarms.push(Alarm {
            name: name.to_owned(),
            state: state.to_owned(),
            reason: Some("threshold crossed".to_owned()),
            since,
        });
    }
}

/// After how many seconds a task of this image exits by itself.
fn life(image: &str) -> Option<i64> {
    match image {
        _ if image.starts_with("crash") => Some(15),
        _ if image.starts_with("slow-crash") => Some(60),
        _ => None,
    }
}

/// How many seconds after RUNNING a task of this image becomes healthy.
fn warm_up(image: &str) -> i64 {
    if image.starts_with("late") { 120 } else { 15 }
}

pub(crate) fn input<'a>(
    key: &'a evenkeel_manifest::ServiceKey,
    desired: Option<&'a Service>,
    observed: &'a Observed,
) -> Input<'a> {
    Input {
        key,
        desired,
        observed,
        now: observed.at,
        instance: INSTANCE,
        drift: DriftMemory::nothing(),
    }
}

fn take_content(members: &mut Map<String, Value>) -> Map<String, Value> {
    STARTING.iter().filter_map(|name| members.remove_entry(*name)).collect()
}
