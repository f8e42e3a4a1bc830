//! The region as a `Cloud` in process; never decides what to ask or what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use evenkeel_manifest::{Digest, Document, ServiceKey, canonical};
use evenkeel_planner::{
    Action, Alarm, Applied, Call, Depth, Fact, Observed, ObservedService, Questions, ReadError,
    ServiceDeployment, ServiceRevision, TargetGroupHealth, TargetHealth, Task, TaskDefinition,
    Unknown, is_owner, tag,
};
use evenkeel_reconciler::{Cloud, CloudError};
use serde_json::{Value, json};

use crate::region::{list, text};
use crate::simulation::lock;
use crate::{Api, ApiError, Region};

/// How far back a revision with the wanted digest is looked for, as the AWS edge does.
const NEWEST: usize = 20;

/// Makes the calls that the AWS edge makes, on a shared region.
#[derive(Clone, Debug)]
pub struct SimulatedCloud {
    region: Arc<Mutex<Region>>,
    /// Calls by operation.
    calls: Arc<Mutex<BTreeMap<String, u64>>>,
    /// Digests of task definitions by ARN: their content never changes.
    digests: Arc<Mutex<BTreeMap<String, Digest>>>,
}

impl SimulatedCloud {
    pub fn new(region: Arc<Mutex<Region>>) -> Self {
        Self { region, calls: Arc::default(), digests: Arc::default() }
    }

    /// How often each operation was called so far.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many calls were made so far that change something.
    pub fn writes(&self) -> u64 {
        let is_read = |name: &str| name.starts_with("Describe") || name.starts_with("List");
        self.calls().iter().filter(|(name, _)| !is_read(name)).map(|(_, number)| number).sum()
    }

    fn ecs(&self, operation: &str, input: &Value) -> Result<Value, CloudError> {
        self.call(Api::Ecs, operation, input)
    }

    fn call(&self, api: Api, operation: &str, input: &Value) -> Result<Value, CloudError> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        *calls.entry(operation.to_owned()).or_default() += 1;
        drop(calls);
        let reply = lock(&self.region).call(api, operation, input);
        reply.map_err(|error| classify(operation, error))
    }

    /// All pages of a listing.
    fn listed(
        &self,
        operation: &str,
        input: &Value,
        member: &str,
    ) -> Result<Vec<Value>, CloudError> {
        let mut input = input.clone();
        let mut all = Vec::new();
        loop {
            let reply = self.ecs(operation, &input)?;
            all.extend(list(&reply, member).iter().cloned());
            match (reply.get("nextToken"), input.as_object_mut()) {
                (Some(token), Some(input)) => {
                    input.insert("nextToken".to_owned(), token.clone());
                }
                _ => return Ok(all),
            }
        }
    }

    fn service(&self, key: &ServiceKey) -> Result<Fact<ObservedService>, CloudError> {
        let operation = "DescribeServices";
        let input = json!({"cluster": key.cluster, "services": [key.name], "include": ["TAGS"]});
        let reply = match self.ecs(operation, &input) {
            // Without the cluster there cannot be a service in it.
            Err(CloudError::Conflict { code, .. }) if code == "ClusterNotFoundException" => {
                return Ok(Fact::Absent);
            }
            reply => reply?,
        };
        if let Some(service) = list(&reply, "services").first() {
            return read(operation, ObservedService::read(service)).map(Fact::Known);
        }
        let missing =
            list(&reply, "failures").iter().any(|one| text(one, "reason") == Some("MISSING"));
        if missing {
            Ok(Fact::Absent)
        } else {
            Err(unread(operation, "the reply does not name the service"))
        }
    }

    fn task_definition(&self, arn: &str) -> Result<TaskDefinition, CloudError> {
        let operation = "DescribeTaskDefinition";
        let reply = self.ecs(operation, &json!({"taskDefinition": arn, "include": ["TAGS"]}))?;
        let content = reply
            .get("taskDefinition")
            .ok_or_else(|| unread(operation, "the reply holds no task definition"))?;
        let tags = list(&reply, "tags").iter();
        let mut digest_tags = tags.filter(|one| text(one, "key") == Some(tag::DIGEST));
        let digest_tag = digest_tags.find_map(|one| text(one, "value"));
        let arn = text(content, "taskDefinitionArn").unwrap_or_default();
        Ok(TaskDefinition {
            arn: arn.to_owned(),
            status: text(content, "status").unwrap_or_default().to_owned(),
            digest: self.digest(arn, content),
            digest_tag: digest_tag.map(Digest::from_tag),
            document: Some(Document::new(content)),
        })
    }

    fn digest(&self, arn: &str, content: &Value) -> Digest {
        let mut known = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        let compute = || Digest::of(&canonical::task_definition(content));
        known.entry(arn.to_owned()).or_insert_with(compute).clone()
    }

    /// The newest active revision with the digest asked for.
    fn wanted(&self, questions: &Questions) -> Result<Option<TaskDefinition>, CloudError> {
        let Some(question) = &questions.family else { return Ok(None) };
        let input = json!({
            "familyPrefix": question.family, "status": "ACTIVE", "sort": "DESC",
            "maxResults": NEWEST,
        });
        let reply = self.ecs("ListTaskDefinitions", &input)?;
        for arn in list(&reply, "taskDefinitionArns").iter().filter_map(Value::as_str) {
            let revision = self.task_definition(arn)?;
            if revision.digest == question.digest {
                return Ok(Some(revision));
            }
        }
        Ok(None)
    }

    fn task_definitions(
        &self,
        service: Option<&ObservedService>,
        asked: &BTreeSet<String>,
        questions: &Questions,
    ) -> Result<Vec<TaskDefinition>, CloudError> {
        let mut arns: Vec<String> = Vec::new();
        let in_use = service.and_then(|service| service.task_definition.clone());
        let deployments = service.map_or(&[][..], |service| &service.deployments);
        let deployed = deployments.iter().map(|one| one.task_definition.clone());
        for arn in in_use.into_iter().chain(asked.iter().cloned()).chain(deployed) {
            if !arn.is_empty() && !arns.contains(&arn) {
                arns.push(arn);
            }
        }
        let found = arns.iter().map(|arn| self.task_definition(arn));
        let mut found = found.collect::<Result<Vec<_>, _>>()?;
        let wanted = self.wanted(questions)?;
        found.extend(wanted.filter(|wanted| found.iter().all(|one| one.arn != wanted.arn)));
        if questions.depth == Depth::Shallow {
            for revision in &mut found {
                revision.document = None;
            }
        }
        Ok(found)
    }

    fn service_deployments(&self, key: &ServiceKey) -> Result<Vec<ServiceDeployment>, CloudError> {
        let operation = "DescribeServiceDeployments";
        let input = json!({"cluster": key.cluster, "service": key.name, "maxResults": 20});
        let reply = self.ecs("ListServiceDeployments", &input)?;
        let arns: Vec<&Value> = list(&reply, "serviceDeployments")
            .iter()
            .filter_map(|brief| brief.get("serviceDeploymentArn"))
            .collect();
        if arns.is_empty() {
            return Ok(Vec::new());
        }
        let reply = self.ecs(operation, &json!({"serviceDeploymentArns": arns}))?;
        let all = list(&reply, "serviceDeployments").iter();
        all.map(|one| read(operation, ServiceDeployment::read(one))).collect()
    }

    fn revisions(&self, arns: &BTreeSet<&String>) -> Result<Vec<ServiceRevision>, CloudError> {
        let operation = "DescribeServiceRevisions";
        let arns: Vec<&&String> = arns.iter().collect();
        let mut all = Vec::new();
        for chunk in arns.chunks(20) {
            let reply = self.ecs(operation, &json!({"serviceRevisionArns": chunk}))?;
            for one in list(&reply, "serviceRevisions") {
                all.push(read(operation, ServiceRevision::read(one))?);
            }
        }
        Ok(all)
    }

    fn tasks(&self, key: &ServiceKey) -> Result<Vec<Task>, CloudError> {
        let operation = "DescribeTasks";
        let mut arns = Vec::new();
        for status in ["RUNNING", "STOPPED"] {
            let input = json!({
                "cluster": key.cluster, "serviceName": key.name, "desiredStatus": status,
            });
            arns.extend(self.listed("ListTasks", &input, "taskArns")?);
        }
        let mut tasks = Vec::new();
        for chunk in arns.chunks(100) {
            let reply = self.ecs(operation, &json!({"cluster": key.cluster, "tasks": chunk}))?;
            for one in list(&reply, "tasks") {
                tasks.push(read(operation, Task::read(one))?);
            }
        }
        Ok(tasks)
    }

    fn target_groups(&self, arns: &BTreeSet<String>) -> Result<Vec<TargetGroupHealth>, CloudError> {
        let health = |arn: &String| {
            let input = json!({"TargetGroupArn": arn});
            let reply = self.call(Api::ElasticLoadBalancingV2, "DescribeTargetHealth", &input)?;
            let targets = list(&reply, "TargetHealthDescriptions").iter().map(target_health);
            Ok(TargetGroupHealth { arn: arn.clone(), targets: targets.collect() })
        };
        arns.iter().map(health).collect()
    }

    fn alarms(&self, names: &BTreeSet<String>) -> Result<Vec<Alarm>, CloudError> {
        let names: Vec<&String> = names.iter().collect();
        let mut alarms = Vec::new();
        for chunk in names.chunks(100) {
            let input = json!({
                "AlarmNames": chunk, "AlarmTypes": ["MetricAlarm", "CompositeAlarm"],
            });
            let reply = self.call(Api::CloudWatch, "DescribeAlarms", &input)?;
            alarms.extend(list(&reply, "MetricAlarms").iter().map(alarm));
        }
        Ok(alarms)
    }

    fn look(&self, key: &ServiceKey, questions: &Questions) -> Result<Observed, CloudError> {
        let at = lock(&self.region).now();
        let service = self.service(key)?;
        let known = service.known();
        let lives = known.is_some_and(|service| service.status != "INACTIVE");
        let mut observed = Observed {
            task_definitions: fact(self.task_definitions(known, &BTreeSet::new(), questions)),
            service: Fact::Absent,
            ..Observed::unasked(at, questions.depth)
        };
        if questions.depth == Depth::Deep {
            self.look_deep(key, questions, lives, known, &mut observed);
        }
        Ok(Observed { service, ..observed })
    }

    fn look_deep(
        &self,
        key: &ServiceKey,
        questions: &Questions,
        lives: bool,
        service: Option<&ObservedService>,
        observed: &mut Observed,
    ) {
        observed.target_groups = fact(self.target_groups(&questions.target_groups));
        observed.alarms = fact(self.alarms(&questions.alarms));
        if !lives {
            observed.service_deployments = Fact::Absent;
            observed.service_revisions = Fact::Absent;
            observed.tasks = Fact::Absent;
            return;
        }
        observed.tasks = fact(self.tasks(key));
        observed.service_deployments = fact(self.service_deployments(key));
        observed.service_revisions = match &observed.service_deployments {
            Fact::Known(deployments) => {
                let ends = deployments.iter().flat_map(|one| {
                    one.source_service_revisions.iter().chain(&one.target_service_revision)
                });
                let arns = ends.map(|one| &one.arn).chain(&questions.revisions).collect();
                fact(self.revisions(&arns))
            }
            Fact::Absent => Fact::Absent,
            Fact::Unknown(why) => Fact::Unknown(why.clone()),
        };
        let asked = observed.service_revisions.known().into_iter().flatten();
        let asked = asked.filter(|one| questions.revisions.contains(&one.service_revision_arn));
        let asked: BTreeSet<String> = asked.map(|one| one.task_definition.clone()).collect();
        if !asked.is_empty() {
            observed.task_definitions = fact(self.task_definitions(service, &asked, questions));
        }
    }

    fn owned_services(
        &self,
        instance: &str,
        clusters: &[String],
    ) -> Result<Vec<ServiceKey>, CloudError> {
        let mut owned = Vec::new();
        for cluster in clusters {
            let input = json!({"cluster": cluster, "maxResults": 100});
            let arns = self.listed("ListServices", &input, "serviceArns")?;
            for chunk in arns.chunks(10) {
                let input = json!({"cluster": cluster, "services": chunk, "include": ["TAGS"]});
                let reply = self.ecs("DescribeServices", &input)?;
                let services = list(&reply, "services").iter();
                for service in services.filter(|one| is_owned(one, instance)) {
                    let name = text(service, "serviceName").unwrap_or_default();
                    owned.push(ServiceKey::new(cluster, name));
                }
            }
        }
        Ok(owned)
    }

    fn carry_out(&self, action: &Action) -> Result<Applied, CloudError> {
        let operation = action.call.operation();
        let reply = match &action.call {
            Call::RegisterTaskDefinition { input }
            | Call::CreateService { input }
            | Call::UpdateService { input } => self.ecs(operation, input)?,
            Call::StopServiceDeployment { arn } => {
                let input = json!({"serviceDeploymentArn": arn, "stopType": "ROLLBACK"});
                self.ecs(operation, &input)?
            }
            Call::TagResource { arn, tags } => {
                let tags: Value =
                    tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
                self.ecs(operation, &json!({"resourceArn": arn, "tags": tags}))?
            }
            Call::UntagResource { arn, keys } => {
                self.ecs(operation, &json!({"resourceArn": arn, "tagKeys": keys}))?
            }
        };
        Ok(applied(&action.call, &reply))
    }
}

impl Cloud for SimulatedCloud {
    async fn owned(
        &self,
        instance: &str,
        clusters: &[String],
    ) -> Result<Vec<ServiceKey>, CloudError> {
        self.owned_services(instance, clusters)
    }

    async fn observe(
        &self,
        key: &ServiceKey,
        questions: &Questions,
    ) -> Result<Observed, CloudError> {
        self.look(key, questions)
    }

    async fn apply(&self, _: &ServiceKey, action: &Action) -> Result<Applied, CloudError> {
        self.carry_out(action)
    }
}

fn applied(call: &Call, reply: &Value) -> Applied {
    match call {
        Call::RegisterTaskDefinition { .. } => {
            let arn = reply.pointer("/taskDefinition/taskDefinitionArn").and_then(Value::as_str);
            Applied::TaskDefinition { arn: arn.unwrap_or_default().to_owned() }
        }
        Call::CreateService { .. } | Call::UpdateService { .. } => {
            let service = reply.get("service").unwrap_or(&Value::Null);
            let primary = list(service, "deployments")
                .iter()
                .find(|one| text(one, "status") == Some("PRIMARY"))
                .and_then(|one| text(one, "id"));
            Applied::Service { deployment: primary.map(str::to_owned) }
        }
        _ => Applied::Done,
    }
}

fn is_owned(service: &Value, instance: &str) -> bool {
    let mut tags = list(service, "tags").iter();
    tags.find(|one| text(one, "key") == Some(tag::OWNER))
        .and_then(|one| text(one, "value"))
        .is_some_and(|owner| is_owner(owner, instance))
}

fn target_health(description: &Value) -> TargetHealth {
    let null = Value::Null;
    let target = description.get("Target").unwrap_or(&null);
    let health = description.get("TargetHealth").unwrap_or(&null);
    let word = |name| text(health, name).map(str::to_owned);
    TargetHealth {
        id: text(target, "Id").unwrap_or_default().to_owned(),
        port: crate::region::count(target, "Port").and_then(|port| u16::try_from(port).ok()),
        state: word("State").unwrap_or_default(),
        reason: word("Reason"),
        description: word("Description"),
    }
}

fn alarm(value: &Value) -> Alarm {
    let since = value.get("StateTransitionedTimestamp").and_then(Value::as_f64);
    let since = since.and_then(|seconds| jiff::SignedDuration::try_from_secs_f64(seconds).ok());
    Alarm {
        name: text(value, "AlarmName").unwrap_or_default().to_owned(),
        state: text(value, "StateValue").unwrap_or_default().to_owned(),
        reason: text(value, "StateReason").map(str::to_owned),
        since: since.and_then(|since| jiff::Timestamp::from_duration(since).ok()),
    }
}

fn read<T>(operation: &str, result: Result<T, ReadError>) -> Result<T, CloudError> {
    result.map_err(|error| unread(operation, &error.0))
}

fn unread(operation: &str, message: &str) -> CloudError {
    CloudError::Transient { operation: operation.to_owned(), message: message.to_owned() }
}

/// A part that cannot be read is unknown, and says why.
fn fact<T>(part: Result<T, CloudError>) -> Fact<T> {
    match part {
        Ok(known) => Fact::Known(known),
        Err(CloudError::CapabilityMissing { operation }) => {
            Fact::Unknown(Unknown::CapabilityMissing { operation })
        }
        Err(error) => Fact::Unknown(Unknown::Failed {
            operation: error.operation().to_owned(),
            message: error.to_string(),
        }),
    }
}

/// What an error means for what to do next, for the codes that the region answers with.
fn classify(operation: &str, error: ApiError) -> CloudError {
    let ApiError { code, message, status } = error;
    let operation = operation.to_owned();
    let is_read = ["Describe", "List", "Get"].iter().any(|verb| operation.starts_with(verb));
    let timing = ["does not have an associated load balancer", "service linked role"];
    match code.as_str() {
        "ThrottlingException" | "Throttling" => {
            CloudError::Throttled { operation, message, retry_after: None }
        }
        "UnknownOperationException" | "InvalidAction" => {
            CloudError::CapabilityMissing { operation }
        }
        "ServiceUnavailable" => CloudError::Transient { operation, message },
        "AccessDeniedException" | "ExpiredTokenException" | "UnrecognizedClientException" => {
            CloudError::Denied { operation, code, message }
        }
        "LimitExceededException" => CloudError::Quota { operation, code, message },
        "ServiceNotActiveException"
        | "ServiceNotFoundException"
        | "ClusterNotFoundException"
        | "ConflictException"
        | "ServiceDeploymentNotFoundException"
        | "TargetGroupNotFound" => CloudError::Conflict { operation, code, message },
        _ if status >= 500 && is_read => CloudError::Transient { operation, message },
        _ if status >= 500 => CloudError::UnknownOutcome { operation, message },
        _ if timing.iter().any(|part| message.contains(part)) => {
            CloudError::Transient { operation, message }
        }
        _ if message.contains("not idempotent") || message.contains("still Draining") => {
            CloudError::Conflict { operation, code, message }
        }
        _ => CloudError::Rejected { operation, code, message },
    }
}
