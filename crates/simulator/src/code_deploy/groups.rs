//! Deployment groups: which service is deployed behind which listeners, and what follows from a failure;
//! never a deployment.
//!
//! Source: reference page, section 6.4.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::configs::ALL_AT_ONCE;
use super::{CodeDeploy, refused, required};
use crate::region::{
    ApiError, State, count, epoch, flag, given, last_part, list, map_of, text, texts,
};

#[derive(Clone, Debug)]
pub(super) struct Group {
    id: String,
    /// As given, with CodeDeploy's defaults.
    document: Map<String, Value>,
    pub(super) cluster: String,
    pub(super) service: String,
    pub(super) config: String,
    pub(super) plan: Plan,
}

/// What a deployment is made by, as its group was when it began.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Names of the two target groups.
    pub(super) groups: [String; 2],
    pub(super) production: String,
    pub(super) test: Option<String>,
    pub(super) alarms: Vec<String>,
    pub(super) rollbacks: Rollbacks,
    /// How long a deployment waits for ContinueDeployment before it is stopped; `None` if it does not wait.
    pub(super) ready: Option<Duration>,
    pub(super) termination_wait: Duration,
    /// `blueGreenDeploymentConfiguration`, `deploymentStyle` and `loadBalancerInfo`, to be read back.
    pub(super) shown: Map<String, Value>,
}

/// `autoRollbackConfiguration`.
#[derive(Clone, Debug, Default)]
pub(super) struct Rollbacks {
    pub(super) document: Value,
    events: Vec<String>,
}

impl Rollbacks {
    pub(super) fn read(of: &Value) -> Result<Self, ApiError> {
        let Some(document) = given(of, "autoRollbackConfiguration") else {
            return Ok(Self::default());
        };
        let is_enabled = flag(document, "enabled") == Some(true);
        let events: Vec<String> = texts(document, "events").map(str::to_owned).collect();
        let known =
            ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"];
        let is_valid = events.iter().all(|event| known.contains(&event.as_str()));
        if !is_valid || (is_enabled && events.is_empty()) {
            return Err(refused(
                "InvalidAutoRollbackConfig",
                "The automatic rollback configuration was specified in an invalid format.",
            ));
        }
        let events = if is_enabled { events } else { Vec::new() };
        Ok(Self { document: document.clone(), events })
    }

    pub(super) fn on(&self, event: &str) -> bool {
        self.events.iter().any(|one| one == event)
    }
}

impl Plan {
    pub(super) fn watches(&self, alarm: &str) -> bool {
        self.alarms.iter().any(|one| one == alarm)
    }

    fn read(document: &Value) -> Result<Self, ApiError> {
        let pairs = given(document, "loadBalancerInfo")
            .map_or(&[][..], |info| list(info, "targetGroupPairInfoList"));
        let pair = pairs.first().filter(|_| pairs.len() == 1).ok_or_else(|| {
            refused("InvalidLoadBalancerInfo", "Exactly one target group pair must be specified.")
        })?;
        let names = list(pair, "targetGroups").iter().filter_map(|group| text(group, "name"));
        let names: Vec<String> = names.map(str::to_owned).collect();
        let groups = <[String; 2]>::try_from(names).map_err(|_| {
            refused("InvalidTargetGroupPair", "Exactly two target groups must be specified.")
        })?;
        let production = listener(pair, "prodTrafficRoute")?.ok_or_else(|| {
            refused("InvalidTargetGroupPair", "A production traffic route must be specified.")
        })?;
        let (ready, termination_wait) = waits(document)?;
        let shown = ["blueGreenDeploymentConfiguration", "deploymentStyle", "loadBalancerInfo"];
        let shown = shown.iter().filter_map(|name| {
            given(document, name).map(|value| ((*name).to_owned(), value.clone()))
        });
        Ok(Self {
            groups,
            production,
            test: listener(pair, "testTrafficRoute")?,
            alarms: alarms(document, "alarmConfiguration")?.unwrap_or_default(),
            rollbacks: Rollbacks::read(document)?,
            ready,
            termination_wait,
            shown: shown.collect(),
        })
    }
}

/// The one listener of a route.
fn listener(pair: &Value, route: &str) -> Result<Option<String>, ApiError> {
    let Some(route) = given(pair, route) else { return Ok(None) };
    let mut listeners = texts(route, "listenerArns");
    match (listeners.next(), listeners.next()) {
        (None, _) => Ok(None),
        (Some(one), None) => Ok(Some(one.to_owned())),
        (Some(_), Some(_)) => Err(refused(
            "InvalidTargetGroupPair",
            "A traffic route must have exactly one listener ARN.",
        )),
    }
}

/// The names of the alarms of a configuration, none where it is not enabled; `None` without one.
pub(super) fn alarms(of: &Value, member: &str) -> Result<Option<Vec<String>>, ApiError> {
    /// Source: the text of the model; another page says 50.
    const MOST: usize = 10;
    let Some(configuration) = given(of, member) else { return Ok(None) };
    let names = list(configuration, "alarms").iter().filter_map(|alarm| text(alarm, "name"));
    let names: Vec<String> = names.map(str::to_owned).collect();
    if names.len() > MOST {
        let message = format!("At most {MOST} alarms can be specified.");
        return Err(refused("AlarmsLimitExceeded", message));
    }
    let is_enabled = flag(configuration, "enabled") == Some(true);
    Ok(Some(if is_enabled { names } else { Vec::new() }))
}

/// How long a deployment waits before it moves traffic, and before it deletes what it replaced.
fn waits(document: &Value) -> Result<(Option<Duration>, Duration), ApiError> {
    let invalid = |message: &str| refused("InvalidBlueGreenDeploymentConfiguration", message);
    let configuration = given(document, "blueGreenDeploymentConfiguration")
        .ok_or_else(|| invalid("The blueGreenDeploymentConfiguration is required."))?;
    let part = |name: &str| given(configuration, name).unwrap_or(&Value::Null);
    let terminate = part("terminateBlueInstancesOnDeploymentSuccess");
    if text(terminate, "action") != Some("TERMINATE") {
        return Err(invalid("The action on the original task set must be TERMINATE."));
    }
    let wait = count(terminate, "terminationWaitTimeInMinutes").unwrap_or(0);
    if wait > 2880 {
        return Err(invalid("terminationWaitTimeInMinutes must be at most 2880."));
    }
    let ready = part("deploymentReadyOption");
    let minutes = |number: u32| Duration::from_mins(number.into());
    let before = match text(ready, "actionOnTimeout") {
        Some("STOP_DEPLOYMENT") => Some(count(ready, "waitTimeInMinutes").unwrap_or(0)),
        Some("CONTINUE_DEPLOYMENT") => None,
        _ => return Err(invalid("The deploymentReadyOption needs an actionOnTimeout.")),
    };
    Ok((before.map(minutes), minutes(wait)))
}

impl Group {
    pub(super) fn deploys(&self, cluster: &str, service: &str) -> bool {
        self.cluster == cluster && self.service == service
    }
}

impl CodeDeploy {
    /// The application and the group that an input names, and the group.
    pub(super) fn named_group<'a>(
        &self,
        input: &'a Value,
    ) -> Result<(&'a str, &'a str, &Group), ApiError> {
        let (application, found) = self.application(input)?;
        let name = required(input, "deploymentGroupName", "DeploymentGroupNameRequired")?;
        let group = found.groups.get(name).ok_or_else(|| missing(name))?;
        Ok((application, name, group))
    }
}

fn missing(name: &str) -> ApiError {
    refused("DeploymentGroupDoesNotExist", format!("No Deployment Group found for name: {name}"))
}

impl State {
    pub(super) fn create_deployment_group(&mut self, input: &Value) -> Result<Value, ApiError> {
        let (application, found) = self.code_deploy.application(input)?;
        let name = required(input, "deploymentGroupName", "DeploymentGroupNameRequired")?;
        if found.groups.contains_key(name) {
            return Err(refused(
                "DeploymentGroupAlreadyExists",
                format!(
                    "Deployment group name {name} already exists for application {application}"
                ),
            ));
        }
        required(input, "serviceRoleArn", "RoleRequired")?;
        let config = text(input, "deploymentConfigName").unwrap_or(ALL_AT_ONCE).to_owned();
        self.code_deploy.config(&config)?;
        check_style(input)?;
        let (cluster, service) = self.deployable(input)?;
        let document = documented(input, &config);
        let plan = Plan::read(&Value::Object(document.clone()))?;
        let id = self.new_uuid();
        let group = Group { id: id.clone(), document, cluster, service, config, plan };
        if let Some(application) = self.code_deploy.applications.get_mut(application) {
            application.groups.insert(name.to_owned(), group);
        }
        Ok(json!({"deploymentGroupId": id}))
    }

    /// The cluster and the name of the one service that a group is to deploy.
    fn deployable(&self, input: &Value) -> Result<(String, String), ApiError> {
        let invalid = |message: &str| refused("InvalidECSService", message);
        let [named] = list(input, "ecsServices") else {
            return Err(invalid("Exactly one ECS service must be specified."));
        };
        let cluster = last_part(text(named, "clusterName").unwrap_or("default")).to_owned();
        let service = last_part(text(named, "serviceName").unwrap_or_default()).to_owned();
        let id = self.names.get(&(cluster.clone(), service.clone()));
        let found = id.and_then(|id| self.services.get(id));
        let found = found.ok_or_else(|| invalid("The ECS service was not found."))?;
        if found.controller != "CODE_DEPLOY" {
            return Err(invalid(
                "Deployment group's ECS service must be configured for a CODE_DEPLOY deployment \
                 controller.",
            ));
        }
        match self.code_deploy.group_of(&cluster, &service) {
            None => Ok((cluster, service)),
            Some((_, group)) => Err(refused(
                "ECSServiceMappingLimitExceeded",
                format!("The ECS service is already associated with deployment group {group}."),
            )),
        }
    }

    pub(super) fn get_deployment_group(&self, input: &Value) -> Result<Value, ApiError> {
        let (application, name, group) = self.code_deploy.named_group(input)?;
        Ok(json!({"deploymentGroupInfo": self.read_group(application, name, group)}))
    }

    pub(super) fn list_deployment_groups(&self, input: &Value) -> Result<Value, ApiError> {
        let (application, found) = self.code_deploy.application(input)?;
        let mut reply =
            super::replies::names("deploymentGroups", found.groups.keys().cloned(), input)?;
        if let Some(reply) = reply.as_object_mut() {
            reply.insert("applicationName".to_owned(), json!(application));
        }
        Ok(reply)
    }

    pub(super) fn batch_get_deployment_groups(&self, input: &Value) -> Result<Value, ApiError> {
        let (application, found) = self.code_deploy.application(input)?;
        let known = texts(input, "deploymentGroupNames")
            .filter_map(|name| Some((name, found.groups.get(name)?)));
        let read = known.map(|(name, group)| self.read_group(application, name, group));
        Ok(json!({"deploymentGroupsInfo": read.collect::<Value>()}))
    }

    fn read_group(&self, application: &str, name: &str, group: &Group) -> Value {
        let mut map = group.document.clone();
        map.extend(map_of(json!({
            "applicationName": application,
            "deploymentGroupName": name,
            "deploymentGroupId": group.id,
            "computePlatform": "ECS",
        })));
        let all = || {
            let deployments = self.code_deploy.deployments.values();
            let of_group =
                |one: &&super::Deployment| one.application == application && one.group == name;
            deployments.filter(of_group)
        };
        let last = |one: &super::Deployment| {
            json!({
                "deploymentId": one.id,
                "status": one.status.word(),
                "createTime": epoch(one.created_at),
                "endTime": one.completed_at.map(epoch),
            })
        };
        let succeeded = all().filter(|one| one.has_succeeded()).last();
        for (member, one) in
            [("lastAttemptedDeployment", all().last()), ("lastSuccessfulDeployment", succeeded)]
        {
            if let Some(one) = one {
                map.insert(member.to_owned(), last(one));
            }
        }
        Value::Object(map)
    }
}

fn check_style(input: &Value) -> Result<(), ApiError> {
    let style = given(input, "deploymentStyle").unwrap_or(&Value::Null);
    let is = |name: &str, wanted: &str| text(style, name) == Some(wanted);
    if is("deploymentType", "BLUE_GREEN") && is("deploymentOption", "WITH_TRAFFIC_CONTROL") {
        return Ok(());
    }
    Err(refused(
        "InvalidDeploymentStyle",
        "For ECS deployment group, deployment style must be BLUE_GREEN WITH_TRAFFIC_CONTROL.",
    ))
}

/// What was given of a group, with what CodeDeploy adds.
fn documented(input: &Value, config: &str) -> Map<String, Value> {
    let mut map = map_of(json!({
        "deploymentConfigName": config,
        "ec2TagFilters": [],
        "onPremisesInstanceTagFilters": [],
        "autoScalingGroups": [],
        "triggerConfigurations": [],
        "outdatedInstancesStrategy": "UPDATE",
        "terminationHookEnabled": false,
    }));
    for member in [
        "serviceRoleArn",
        "ecsServices",
        "loadBalancerInfo",
        "blueGreenDeploymentConfiguration",
        "deploymentStyle",
        "alarmConfiguration",
        "autoRollbackConfiguration",
        "triggerConfigurations",
    ] {
        if let Some(value) = given(input, member) {
            map.insert(member.to_owned(), value.clone());
        }
    }
    if let Some(configuration) = map.get_mut("blueGreenDeploymentConfiguration") {
        fill_in_waits(configuration);
    }
    map
}

/// What waits for no time is read back as waiting for none: `aws ecs deploy` reads both.
fn fill_in_waits(configuration: &mut Value) {
    for (part, wait) in [
        ("terminateBlueInstancesOnDeploymentSuccess", "terminationWaitTimeInMinutes"),
        ("deploymentReadyOption", "waitTimeInMinutes"),
    ] {
        if let Some(part) = configuration.get_mut(part).and_then(Value::as_object_mut) {
            part.entry(wait).or_insert_with(|| json!(0));
        }
    }
}
