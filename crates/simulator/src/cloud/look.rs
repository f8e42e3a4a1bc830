//! What the AWS edge asks and in which order; never decides what to ask or what to do.

mod apply;
mod balancing;
mod code_deploy;
mod weights;

use std::collections::BTreeSet;
use std::sync::Arc;

use evenkeel_manifest::{Digest, Document, ServiceKey, canonical};
use evenkeel_planner::{
    Action, Alarm, Depth, Fact, MetricId, MetricQuestion, Minutes, Observed, ObservedService,
    Questions, ReadError, Series, ServiceDeployment, ServiceRevision, TargetGroupHealth,
    TargetHealth, Task, TaskDefinition, is_owner, tag,
};
use evenkeel_reconciler::{CloudError, OwnedService};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::SimulatedCloud;
use crate::Api;
use crate::region::{list, text};

/// How far back a revision with the wanted digest is looked for, as the AWS edge does.
const NEWEST: usize = 20;

/// One look or one act: on whose behalf calls are made.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(feature = "harness"),
    expect(dead_code, reason = "only the harness asks about what and why a call is made")
)]
pub(super) struct Caller<'a> {
    pub(super) cloud: &'a SimulatedCloud,
    /// The service that it is about.
    pub(super) about: Option<&'a ServiceKey>,
    /// The action that is carried out.
    pub(super) action: Option<&'a Action>,
}

impl Caller<'_> {
    fn now(&self) -> Timestamp {
        self.cloud.now()
    }

    async fn ecs(&self, operation: &str, input: &Value) -> Result<Arc<Value>, CloudError> {
        self.call(Api::Ecs, operation, input).await
    }

    async fn call(
        &self,
        api: Api,
        operation: &str,
        input: &Value,
    ) -> Result<Arc<Value>, CloudError> {
        self.cloud.call(self, api, operation, input).await
    }

    /// All pages of a listing.
    async fn listed(
        &self,
        operation: &str,
        input: &Value,
        member: &str,
    ) -> Result<Vec<Value>, CloudError> {
        let mut input = input.clone();
        let mut all = Vec::new();
        loop {
            let reply = self.ecs(operation, &input).await?;
            all.extend(list(&reply, member).iter().cloned());
            match (reply.get("nextToken"), input.as_object_mut()) {
                (Some(token), Some(input)) => {
                    input.insert("nextToken".to_owned(), token.clone());
                }
                _ => return Ok(all),
            }
        }
    }

    async fn service(&self, key: &ServiceKey) -> Result<Fact<ObservedService>, CloudError> {
        let operation = "DescribeServices";
        let input = json!({"cluster": key.cluster, "services": [key.name], "include": ["TAGS"]});
        let reply = match self.ecs(operation, &input).await {
            Err(error) if error.is_missing_cluster() => return Ok(Fact::Absent),
            reply => reply?,
        };
        if let Some(service) = list(&reply, "services").first() {
            let parse = |_: &Value| ObservedService::read(service);
            let parsed = self.cloud.memory().services.of(key, &reply, parse);
            return read(operation, parsed).map(Fact::Known);
        }
        let missing =
            list(&reply, "failures").iter().any(|one| text(one, "reason") == Some("MISSING"));
        if missing {
            Ok(Fact::Absent)
        } else {
            Err(unread(operation, "the reply does not name the service"))
        }
    }

    /// As the region has it now, with its content.
    async fn fresh(&self, arn: &str) -> Result<TaskDefinition, CloudError> {
        let operation = "DescribeTaskDefinition";
        let input = json!({"taskDefinition": arn, "include": ["TAGS"]});
        let reply = self.ecs(operation, &input).await?;
        let parsed = self.cloud.memory().definitions.of(arn, &reply, task_definition);
        let revision = read(operation, parsed)?;
        self.cloud.memory().remember(&revision, self.now());
        Ok(revision)
    }

    /// Digest, tag and status as first seen, as the AWS edge remembers them.
    async fn remembered(&self, arn: &str) -> Result<TaskDefinition, CloudError> {
        let known = self.cloud.memory().known(arn);
        match known {
            Some(known) => Ok(known),
            None => Ok(TaskDefinition { document: None, ..self.fresh(arn).await? }),
        }
    }

    /// With its content, at most 30 seconds old.
    async fn recent(&self, arn: &str) -> Result<TaskDefinition, CloudError> {
        let recent = self.cloud.memory().recent(arn, self.now());
        match recent {
            Some(recent) => Ok(recent),
            None => self.fresh(arn).await,
        }
    }

    /// The newest active revision with the digest asked for, or else the newest two that were registered for it, as the
    /// AWS edge finds them.
    async fn wanted(&self, questions: &Questions) -> Result<Vec<TaskDefinition>, CloudError> {
        let Some(question) = &questions.family else { return Ok(Vec::new()) };
        let input = json!({
            "familyPrefix": question.family, "status": "ACTIVE", "sort": "DESC",
            "maxResults": NEWEST,
        });
        let reply = self.ecs("ListTaskDefinitions", &input).await?;
        let mut meant = Vec::new();
        for arn in list(&reply, "taskDefinitionArns").iter().filter_map(Value::as_str) {
            let revision = self.remembered(arn).await?;
            if revision.digest == question.digest {
                return Ok(vec![TaskDefinition { status: "ACTIVE".to_owned(), ..revision }]);
            }
            if revision.digest_tag.as_ref() == Some(&question.digest) {
                meant.push(arn);
            }
        }
        let mut altered = Vec::new();
        for arn in meant.into_iter().take(2) {
            altered.push(self.recent(arn).await?);
        }
        Ok(altered)
    }

    async fn task_definitions(
        &self,
        service: Option<&ObservedService>,
        asked: &BTreeSet<String>,
        questions: &Questions,
    ) -> Result<Vec<TaskDefinition>, CloudError> {
        let mut arns: Vec<String> = Vec::new();
        let in_use = service.and_then(|service| service.task_definition.clone());
        let launchers = service.into_iter().flat_map(ObservedService::launchers);
        let deployed = launchers.map(|one| one.task_definition.clone());
        for arn in in_use.into_iter().chain(asked.iter().cloned()).chain(deployed) {
            if !arn.is_empty() && !arns.contains(&arn) {
                arns.push(arn);
            }
        }
        let mut found = Vec::new();
        for arn in &arns {
            let read = match questions.depth {
                Depth::Shallow => self.remembered(arn).await,
                Depth::Deep => self.recent(arn).await,
            };
            match read {
                Err(error) if asked.contains(arn) && is_no_such_revision(&error) => {}
                read => found.push(read?),
            }
        }
        let mut wanted = self.wanted(questions).await?;
        wanted.retain(|wanted| found.iter().all(|one| one.arn != wanted.arn));
        found.extend(wanted);
        Ok(found)
    }

    async fn service_deployments(
        &self,
        key: &ServiceKey,
    ) -> Result<Vec<ServiceDeployment>, CloudError> {
        let operation = "DescribeServiceDeployments";
        let input = json!({"cluster": key.cluster, "service": key.name, "maxResults": 20});
        let reply = self.ecs("ListServiceDeployments", &input).await?;
        let arns: Vec<&Value> = list(&reply, "serviceDeployments")
            .iter()
            .filter_map(|brief| brief.get("serviceDeploymentArn"))
            .collect();
        if arns.is_empty() {
            return Ok(Vec::new());
        }
        let reply = self.ecs(operation, &json!({"serviceDeploymentArns": arns})).await?;
        refuse_failures(operation, &reply, &[])?;
        let parse = |reply: &Value| {
            list(reply, "serviceDeployments").iter().map(ServiceDeployment::read).collect()
        };
        read(operation, self.cloud.memory().deployments.of(key, &reply, parse))
    }

    async fn revisions(
        &self,
        key: &ServiceKey,
        arns: &BTreeSet<&String>,
    ) -> Result<Vec<ServiceRevision>, CloudError> {
        let operation = "DescribeServiceRevisions";
        let arns: Vec<&&String> = arns.iter().collect();
        let mut all = Vec::new();
        for chunk in arns.chunks(20) {
            let reply = self.ecs(operation, &json!({"serviceRevisionArns": chunk})).await?;
            refuse_failures(operation, &reply, &["MISSING"])?;
            let parse = |reply: &Value| {
                list(reply, "serviceRevisions").iter().map(ServiceRevision::read).collect()
            };
            let parsed = self.cloud.memory().revisions.of(key, &reply, parse);
            all.extend(read(operation, parsed)?);
        }
        Ok(all)
    }

    async fn tasks(&self, key: &ServiceKey) -> Result<Vec<Task>, CloudError> {
        let operation = "DescribeTasks";
        let mut arns = Vec::new();
        for status in ["RUNNING", "STOPPED"] {
            let input = json!({
                "cluster": key.cluster, "serviceName": key.name, "desiredStatus": status,
            });
            let listed = self.listed("ListTasks", &input, "taskArns").await?;
            arns.extend(listed.iter().filter_map(Value::as_str).map(str::to_owned));
        }
        let (mut tasks, unknown) = self.cloud.memory().stopped.among(key, arns);
        for chunk in unknown.chunks(100) {
            let input = json!({"cluster": key.cluster, "tasks": chunk});
            let reply = self.ecs(operation, &input).await?;
            refuse_failures(operation, &reply, &["MISSING"])?;
            let parse = |reply: &Value| list(reply, "tasks").iter().map(Task::read).collect();
            let parsed = self.cloud.memory().tasks.of(key, &reply, parse);
            let described: Vec<Task> = read(operation, parsed)?;
            self.cloud.memory().stopped.remember(key, &described);
            tasks.extend(described);
        }
        Ok(tasks)
    }

    async fn target_groups(
        &self,
        arns: &BTreeSet<String>,
    ) -> Result<Vec<TargetGroupHealth>, CloudError> {
        let mut all = Vec::new();
        for arn in arns {
            let input = json!({"TargetGroupArn": arn});
            let reply =
                self.call(Api::ElasticLoadBalancingV2, "DescribeTargetHealth", &input).await?;
            let targets = list(&reply, "TargetHealthDescriptions").iter().map(target_health);
            all.push(TargetGroupHealth { arn: arn.clone(), targets: targets.collect() });
        }
        Ok(all)
    }

    async fn alarms(&self, names: &BTreeSet<String>) -> Result<Vec<Alarm>, CloudError> {
        let names: Vec<&String> = names.iter().collect();
        let mut alarms = Vec::new();
        for chunk in names.chunks(100) {
            let input = json!({
                "AlarmNames": chunk, "AlarmTypes": ["MetricAlarm", "CompositeAlarm"],
            });
            let reply = self.call(Api::CloudWatch, "DescribeAlarms", &input).await?;
            alarms.extend(list(&reply, "MetricAlarms").iter().map(alarm));
        }
        Ok(alarms)
    }

    /// The minutes of each metric asked for.
    async fn metrics(&self, question: &MetricQuestion) -> Result<Vec<Series>, CloudError> {
        let metrics: Vec<&MetricId> = question.metrics.iter().collect();
        let mut all = Vec::new();
        for chunk in metrics.chunks(500) {
            let queries: Vec<Value> =
                chunk.iter().enumerate().map(|(index, metric)| query(index, metric)).collect();
            let input = json!({
                "MetricDataQueries": queries, "StartTime": question.from.as_second(),
                "EndTime": question.until.as_second(),
            });
            let reply = self.call(Api::CloudWatch, "GetMetricData", &input).await?;
            let results = list(&reply, "MetricDataResults");
            for (metric, result) in chunk.iter().zip(results) {
                all.push(Series { metric: (*metric).clone(), minutes: minutes(result) });
            }
        }
        Ok(all)
    }

    pub(super) async fn look(
        &self,
        key: &ServiceKey,
        questions: &Questions,
    ) -> Result<Observed, CloudError> {
        let at = self.now();
        let service = self.service(key).await?;
        let known = service.known();
        let lives = known.is_some_and(|service| service.status != "INACTIVE");
        let mut observed = Observed {
            task_definitions: fact(self.task_definitions(known, &BTreeSet::new(), questions).await),
            service: Fact::Absent,
            ..Observed::unasked(at, questions.depth)
        };
        if let Some(question) = &questions.load_balancing {
            observed.load_balancing = fact(self.load_balancing(question).await);
        }
        if questions.depth == Depth::Deep {
            self.look_deep(key, questions, lives, known, &mut observed).await;
        }
        Ok(Observed { service, ..observed })
    }

    async fn look_deep(
        &self,
        key: &ServiceKey,
        questions: &Questions,
        lives: bool,
        service: Option<&ObservedService>,
        observed: &mut Observed,
    ) {
        observed.target_groups = fact(self.target_groups(&questions.target_groups).await);
        observed.alarms = fact(self.alarms(&questions.alarms).await);
        if let Some(question) = &questions.code_deploy {
            let seen = self.code_deploy(question).await;
            observed.code_deploy = seen.unwrap_or_else(|error| Fact::Unknown(error.into()));
        }
        if let Some(question) = &questions.metrics {
            let question = question.placed(&observed.code_deploy);
            observed.metrics = fact(self.metrics(&question).await);
        }
        if !lives {
            observed.service_deployments = Fact::Absent;
            observed.service_revisions = Fact::Absent;
            observed.tasks = Fact::Absent;
            return;
        }
        observed.tasks = fact(self.tasks(key).await);
        if service.is_some_and(ObservedService::has_task_sets) {
            observed.service_deployments = Fact::Absent;
            observed.service_revisions = Fact::Absent;
            return self
                .look_again(service, questions.definitions.clone(), questions, observed)
                .await;
        }
        observed.service_deployments = fact(self.service_deployments(key).await);
        observed.service_revisions = match &observed.service_deployments {
            Fact::Known(deployments) => {
                let ends = deployments.iter().flat_map(|one| {
                    one.source_service_revisions.iter().chain(&one.target_service_revision)
                });
                let arns = ends.map(|one| &one.arn).chain(&questions.revisions).collect();
                fact(self.revisions(key, &arns).await)
            }
            Fact::Absent => Fact::Absent,
            Fact::Unknown(why) => Fact::Unknown(why.clone()),
        };
        let asked = observed.service_revisions.known().into_iter().flatten();
        let asked = asked.filter(|one| questions.revisions.contains(&one.service_revision_arn));
        let mut asked: BTreeSet<String> = asked.map(|one| one.task_definition.clone()).collect();
        asked.extend(questions.definitions.iter().cloned());
        self.look_again(service, asked, questions, observed).await;
    }

    /// Task definitions that may be returned to.
    async fn look_again(
        &self,
        service: Option<&ObservedService>,
        asked: BTreeSet<String>,
        questions: &Questions,
        observed: &mut Observed,
    ) {
        if !asked.is_empty() {
            observed.task_definitions =
                fact(self.task_definitions(service, &asked, questions).await);
        }
    }

    pub(super) async fn owned_services(
        &self,
        instance: &str,
        clusters: &[String],
    ) -> Result<Vec<OwnedService>, CloudError> {
        let mut owned = Vec::new();
        for cluster in clusters {
            match self.owned_in(instance, cluster).await {
                Err(error) if error.is_missing_cluster() => {}
                of_cluster => owned.append(&mut of_cluster?),
            }
        }
        Ok(owned)
    }

    async fn owned_in(
        &self,
        instance: &str,
        cluster: &str,
    ) -> Result<Vec<OwnedService>, CloudError> {
        let mut owned = Vec::new();
        let input = json!({"cluster": cluster, "maxResults": 100});
        let arns = self.listed("ListServices", &input, "serviceArns").await?;
        for chunk in arns.chunks(10) {
            let input = json!({"cluster": cluster, "services": chunk, "include": ["TAGS"]});
            let reply = self.ecs("DescribeServices", &input).await?;
            all_told(chunk, &reply)?;
            let services = list(&reply, "services").iter();
            for service in services.filter(|one| is_owned(one, instance)) {
                let name = text(service, "serviceName").unwrap_or_default();
                let tags = || list(service, "tags").iter();
                let has = |tag: &str| tags().any(|one| text(one, "key") == Some(tag));
                owned.push(OwnedService::of(ServiceKey::new(cluster, name), has));
            }
        }
        Ok(owned)
    }
}

/// Whether a reply of DescribeServices tells of every service that was asked for, if only that it is missing.
fn all_told(arns: &[Value], reply: &Value) -> Result<(), CloudError> {
    let is_missing = |one: &&Value| text(one, "reason") == Some("MISSING");
    let found = list(reply, "services").iter().filter_map(|one| text(one, "serviceArn"));
    let missing = list(reply, "failures").iter().filter(is_missing);
    let told: Vec<&str> = found.chain(missing.filter_map(|one| text(one, "arn"))).collect();
    let untold = arns.iter().filter_map(Value::as_str).find(|arn| !told.contains(arn));
    let unread = |arn| unread("DescribeServices", &format!("the reply does not tell of {arn}"));
    untold.map_or(Ok(()), |arn| Err(unread(arn)))
}

/// Reads a reply of DescribeTaskDefinition.
fn task_definition(reply: &Value) -> Result<TaskDefinition, ReadError> {
    let content = TaskDefinition::content(reply)
        .ok_or_else(|| ReadError("the reply holds no task definition".to_owned()))?;
    let tags = list(reply, "tags").iter();
    let mut digest_tags = tags.filter(|one| text(one, "key") == Some(tag::DIGEST));
    let digest_tag = digest_tags.find_map(|one| text(one, "value"));
    Ok(TaskDefinition {
        arn: text(&content, "taskDefinitionArn").unwrap_or_default().to_owned(),
        status: text(&content, "status").unwrap_or_default().to_owned(),
        digest: Digest::of(&canonical::task_definition(&content)),
        digest_tag: digest_tag.map(Digest::from_tag),
        document: Some(Document::new(&content)),
    })
}

fn is_no_such_revision(error: &CloudError) -> bool {
    matches!(error, CloudError::Rejected { message, .. }
        if message.contains("Unable to describe task definition"))
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
        since: since.and_then(|since| Timestamp::from_duration(since).ok()),
    }
}

fn query(index: usize, metric: &MetricId) -> Value {
    let dimensions = metric.dimensions.iter();
    let dimensions: Vec<Value> =
        dimensions.map(|(name, value)| json!({"Name": name, "Value": value})).collect();
    let named = json!({
        "Namespace": metric.namespace, "MetricName": metric.name, "Dimensions": dimensions,
    });
    let statistic = json!({"Metric": named, "Period": 60, "Stat": metric.statistic});
    json!({"Id": format!("m{index}"), "MetricStat": statistic})
}

fn minutes(result: &Value) -> Minutes {
    let at = |at: &Value| {
        let since = jiff::SignedDuration::try_from_secs_f64(at.as_f64()?).ok()?;
        Timestamp::from_duration(since).ok()
    };
    let points = list(result, "Timestamps").iter().zip(list(result, "Values"));
    points.filter_map(|(time, value)| Some((at(time)?, value.as_f64()?))).collect()
}

fn read<T>(operation: &str, result: Result<T, ReadError>) -> Result<T, CloudError> {
    result.map_err(|error| unread(operation, &error.0))
}

/// An element of `failures` whose reason is not among those `accepted` makes the reply partial.
fn refuse_failures(operation: &str, reply: &Value, accepted: &[&str]) -> Result<(), CloudError> {
    let reasons = list(reply, "failures").iter().map(|one| text(one, "reason").unwrap_or_default());
    let mut refused = reasons.filter(|reason| !accepted.contains(reason));
    refused.next().map_or(Ok(()), |reason| Err(unread(operation, reason)))
}

fn unread(operation: &str, message: &str) -> CloudError {
    CloudError::Transient { operation: operation.to_owned(), message: message.to_owned() }
}

/// A part that cannot be read is unknown, and says why.
fn fact<T>(part: Result<T, CloudError>) -> Fact<T> {
    match part {
        Ok(known) => Fact::Known(known),
        Err(error) => Fact::Unknown(error.into()),
    }
}
