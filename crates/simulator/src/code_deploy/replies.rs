//! What callers are told about deployments and their targets; never changes one.
//!
//! Source: reference page, section 6.5.

use serde_json::{Map, Value, json};

use super::deployments::{Deployment, Status, check_id};
use super::lifecycle::Step;
use super::{refused, required};
use crate::region::{
    ApiError, Service, State, TaskSet, epoch, given, map_of, page, paged, put_epoch, text, texts,
};

/// A page of names.
pub(super) fn names(
    member: &str,
    names: impl Iterator<Item = String>,
    input: &Value,
) -> Result<Value, ApiError> {
    let (names, token) = page(names, input, 100, 100).map_err(|_| {
        refused("InvalidNextToken", "The next token was specified in an invalid format.")
    })?;
    Ok(paged(member, names.into_iter().map(Value::String).collect(), token))
}

impl State {
    pub(super) fn get_deployment(&self, input: &Value) -> Result<Value, ApiError> {
        let found = self.code_deploy.deployment(input)?;
        Ok(json!({"deploymentInfo": read_deployment(found)}))
    }

    pub(super) fn batch_get_deployments(&self, input: &Value) -> Result<Value, ApiError> {
        let asked: Vec<&str> = texts(input, "deploymentIds").collect();
        if asked.is_empty() {
            return Err(refused("DeploymentIdRequired", "At least one deployment ID is required."));
        }
        if asked.len() > 25 {
            return Err(refused("BatchLimitExceeded", "At most 25 deployments can be asked for."));
        }
        asked.iter().try_for_each(|id| check_id(id))?;
        let all = self.code_deploy.deployments.values();
        let found = all.filter(|one| asked.contains(&one.id.as_str()));
        let read = found.map(read_deployment);
        Ok(json!({"deploymentsInfo": read.collect::<Value>()}))
    }

    /// Newest first.
    pub(super) fn list_deployments(&self, input: &Value) -> Result<Value, ApiError> {
        match (text(input, "applicationName"), text(input, "deploymentGroupName")) {
            (None, None) => {}
            (Some(_), None) => {
                required(input, "deploymentGroupName", "DeploymentGroupNameRequired")?;
            }
            _ => {
                self.code_deploy.named_group(input)?;
            }
        }
        let filter = Filter::read(input)?;
        let found: Vec<&Deployment> =
            self.code_deploy.deployments.values().filter(|one| filter.fits(one)).collect();
        // Keys fall as numbers rise, so that ascending pages are newest first.
        let key = |one: &Deployment| format!("{:020}", u64::MAX - one.number);
        let keys = found.iter().rev().map(|one| key(one));
        let (keys, token) = page(keys, input, 100, 100)
            .map_err(|_| refused("InvalidNextToken", "The next token is invalid."))?;
        let listed = found.iter().rev().filter(|one| keys.contains(&key(one)));
        Ok(paged("deployments", listed.map(|one| json!(one.id)).collect(), token))
    }

    pub(super) fn list_deployment_targets(&self, input: &Value) -> Result<Value, ApiError> {
        let found = self.started_deployment(input)?;
        Ok(json!({"targetIds": [found.target()]}))
    }

    /// Before it has started, a deployment has no targets.
    fn started_deployment(&self, input: &Value) -> Result<&Deployment, ApiError> {
        let found = self.code_deploy.deployment(input)?;
        let is_started = found.status != Status::Created;
        is_started.then_some(found).ok_or_else(|| {
            refused("DeploymentNotStarted", "The specified deployment has not started.")
        })
    }

    pub(super) fn batch_get_deployment_targets(&self, input: &Value) -> Result<Value, ApiError> {
        let found = self.started_deployment(input)?;
        let asked: Vec<&str> = texts(input, "targetIds").collect();
        if asked.is_empty() {
            return Err(refused(
                "DeploymentTargetIdRequired",
                "A deployment target ID is required.",
            ));
        }
        if let Some(unknown) = asked.iter().find(|id| **id != found.target()) {
            return Err(refused(
                "DeploymentTargetDoesNotExist",
                format!("The deployment target {unknown} does not exist."),
            ));
        }
        let target =
            json!({"deploymentTargetType": "ECSTarget", "ecsTarget": self.read_target(found)});
        Ok(json!({"deploymentTargets": [target]}))
    }

    fn read_target(&self, one: &Deployment) -> Value {
        // A target knows no stop.
        let is_stopped = one.status == Status::Stopped;
        let status = if is_stopped { "Failed" } else { one.status.word() };
        json!({
            "deploymentId": one.id,
            "targetId": one.target(),
            "targetArn": self.ecs_arn(&format!("service/{}/{}", one.cluster, one.service)),
            "lastUpdatedAt": epoch(one.updated_at),
            "lifecycleEvents": one.read_events(),
            "status": status,
            "taskSetsInfo": self.read_sides(one),
        })
    }

    /// `taskSetsInfo[]`: those that are still there.
    fn read_sides(&self, one: &Deployment) -> Value {
        let service = self.service_of_deployment(one.number).and_then(|id| self.services.get(&id));
        let (Some(service), Some(sides)) = (service, &one.sides) else { return json!([]) };
        let share = one.share.percent();
        let blue = (Some(sides.blue), "Blue", 100.0 - share, &sides.blue_group);
        let green = (sides.green, "Green", share, &sides.green_group);
        let both = [blue, green].into_iter().filter_map(|(number, label, weight, group)| {
            let set = service.task_set(number?)?;
            let mut read = self.read_side(service, set);
            read.insert("taskSetLabel".to_owned(), json!(label));
            read.insert("trafficWeight".to_owned(), json!(weight));
            let name = self.elb.name_of(group);
            read.insert("targetGroup".to_owned(), json!({"name": name}));
            Some(Value::Object(read))
        });
        both.collect()
    }

    fn read_side(&self, service: &Service, set: &TaskSet) -> Map<String, Value> {
        let tally = self.tally(service);
        let counts = tally.get(&set.deployment.id).copied().unwrap_or_default();
        map_of(json!({
            // AWS's own spelling.
            "identifer": set.deployment.started_by(),
            "desiredCount": set.wanted(service.desired),
            "runningCount": counts.running,
            "pendingCount": counts.pending,
            "status": set.status(),
        }))
    }
}

/// `deploymentInfo`.
fn read_deployment(one: &Deployment) -> Value {
    let mut map = one.plan.shown.clone();
    let sha256 = json!({"sha256": one.sha256});
    map.extend(map_of(json!({
        "applicationName": one.application,
        "deploymentGroupName": one.group,
        "deploymentConfigName": one.config,
        "deploymentId": one.id,
        // The content is not told again.
        "revision": {"revisionType": "AppSpecContent", "appSpecContent": sha256},
        "status": one.status.word(),
        "creator": if one.triggered_by.is_some() { "codeDeployRollback" } else { "user" },
        "ignoreApplicationStopFailures": false,
        "updateOutdatedInstancesOnly": false,
        "instanceTerminationWaitTimeStarted": has_begun_to_terminate(one),
        "fileExistsBehavior": "DISALLOW",
        "deploymentStatusMessages": [],
        "computePlatform": "ECS",
        "deploymentOverview": overview(one),
    })));
    if !one.plan.rollbacks.document.is_null() {
        let document = one.plan.rollbacks.document.clone();
        map.insert("autoRollbackConfiguration".to_owned(), document);
    }
    if let Some(description) = &one.description {
        map.insert("description".to_owned(), json!(description));
    }
    if let Some((code, message)) = &one.error {
        let error = json!({"code": code, "message": message});
        map.insert("errorInformation".to_owned(), error);
    }
    if let Some(info) = rollback_info(one) {
        map.insert("rollbackInfo".to_owned(), info);
    }
    put_epoch(&mut map, "createTime", Some(one.created_at));
    put_epoch(&mut map, "startTime", one.started_at);
    put_epoch(&mut map, "completeTime", one.completed_at);
    Value::Object(map)
}

fn has_begun_to_terminate(one: &Deployment) -> bool {
    !one.is_reroute() && one.step >= Step::TerminationWait && one.error.is_none()
}

/// What ListDeployments is asked for.
struct Filter<'a> {
    application: Option<&'a str>,
    group: Option<&'a str>,
    statuses: Vec<&'a str>,
    since: Option<f64>,
    until: Option<f64>,
}

impl<'a> Filter<'a> {
    fn read(input: &'a Value) -> Result<Self, ApiError> {
        let known = [
            "Created",
            "Queued",
            "InProgress",
            "Baking",
            "Succeeded",
            "Failed",
            "Stopped",
            "Ready",
        ];
        let statuses: Vec<&str> = texts(input, "includeOnlyStatuses").collect();
        if let Some(unknown) = statuses.iter().find(|status| !known.contains(status)) {
            return Err(refused(
                "InvalidDeploymentStatus",
                format!("{unknown} is not a deployment status."),
            ));
        }
        let range = given(input, "createTimeRange").unwrap_or(&Value::Null);
        let at = |name: &str| given(range, name).and_then(Value::as_f64);
        let (since, until) = (at("start"), at("end"));
        if let (Some(since), Some(until)) = (since, until)
            && since > until
        {
            return Err(refused("InvalidTimeRange", "The specified time range is invalid."));
        }
        Ok(Self {
            application: text(input, "applicationName"),
            group: text(input, "deploymentGroupName"),
            statuses,
            since,
            until,
        })
    }

    fn fits(&self, one: &Deployment) -> bool {
        let created = epoch(one.created_at).as_f64().unwrap_or_default();
        self.application.is_none_or(|name| name == one.application)
            && self.group.is_none_or(|name| name == one.group)
            && (self.statuses.is_empty() || self.statuses.contains(&one.status.word()))
            && self.since.is_none_or(|since| created >= since)
            && self.until.is_none_or(|until| created <= until)
    }
}

fn rollback_info(one: &Deployment) -> Option<Value> {
    if let Some(id) = &one.undone_by {
        return Some(json!({"rollbackDeploymentId": id}));
    }
    let id = one.triggered_by.as_ref()?;
    Some(json!({"rollbackTriggeringDeploymentId": id}))
}

/// `deploymentOverview`: the one target by its status.
fn overview(one: &Deployment) -> Value {
    let status = match one.status {
        Status::Created => "Pending",
        Status::Stopped => "Failed",
        other => other.word(),
    };
    let words = ["Pending", "InProgress", "Succeeded", "Failed", "Skipped", "Ready"];
    let counts = words.iter().map(|word| ((*word).to_owned(), json!(u8::from(*word == status))));
    Value::Object(counts.collect())
}
