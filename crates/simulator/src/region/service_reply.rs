//! What callers are told about a service; never changes it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::input::{epoch, map_of, put_epoch};
use super::service::{Deployment, Rollout, Service, ServiceEvent, ServiceStatus};
use super::{State, read_back, tags};

/// How many tasks of a deployment are where.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) running: u32,
    pub(crate) pending: u32,
    /// Wanted, whatever their state.
    pub(crate) live: u32,
    /// Not yet STOPPED.
    pub(crate) present: u32,
}

impl Tally {
    pub(crate) fn of_revision(self, arn: &str, requested: u32) -> Value {
        json!({
            "arn": arn,
            "requestedTaskCount": requested,
            "runningTaskCount": self.running,
            "pendingTaskCount": self.pending,
        })
    }
}

impl State {
    /// `services[]` of DescribeServices.
    pub(crate) fn read_service(&self, service: &Service, with_tags: bool) -> Value {
        let mut map = service.settings.clone();
        let tally = self.tally(service);
        self.put_spec(service, &mut map);
        let mut put = |name: &str, value: Value| {
            map.insert(name.to_owned(), value);
        };
        put("serviceArn", json!(service.arn));
        put("serviceName", json!(service.name));
        put("clusterArn", json!(self.ecs_arn(&format!("cluster/{}", service.cluster))));
        put("status", json!(status_word(service.status)));
        put("desiredCount", json!(service.desired));
        put("runningCount", json!(tally.values().map(|counts| counts.running).sum::<u32>()));
        put("pendingCount", json!(tally.values().map(|counts| counts.pending).sum::<u32>()));
        put("deploymentController", json!({"type": service.controller}));
        put("deploymentConfiguration", service.configuration.document.clone());
        put("healthCheckGracePeriodSeconds", json!(service.grace.as_secs()));
        let read = |deployment: &Deployment| {
            let counts = tally.get(&deployment.id).copied().unwrap_or_default();
            self.read_deployment(service, deployment, counts)
        };
        // What ECS left behind is shown as before. Source: reference page, section 1.2.
        let left = service.task_sets.iter().filter(|set| set.was_deployment);
        let shown = service.deployments.iter().chain(left.map(|set| &set.deployment));
        put("deployments", shown.map(read).collect());
        if service.controller != "ECS" {
            let sets = service.task_sets.iter().filter(|set| !set.was_deployment);
            put("taskSets", sets.map(|set| self.read_task_set(service, set, false)).collect());
        }
        put("events", service.events.iter().map(read_event).collect());
        put("createdBy", json!(format!("arn:aws:iam::{}:root", self.settings.account)));
        put("resourceManagementType", json!("CUSTOMER"));
        if let Some(current) = service.current_service_deployment() {
            put("currentServiceDeployment", json!(current.arn));
        }
        if service.controller == "ECS" {
            let revisions = service.deployments.iter().map(|deployment| {
                let counts = tally.get(&deployment.id).copied().unwrap_or_default();
                counts.of_revision(&deployment.revision.arn, deployment.desired)
            });
            put("currentServiceRevisions", revisions.collect());
        }
        if with_tags {
            put("tags", tags::write(&service.tags));
        }
        put_epoch(&mut map, "createdAt", Some(service.created_at));
        Value::Object(map)
    }

    /// The revision members that DescribeServices shows on the service itself.
    fn put_spec(&self, service: &Service, map: &mut Map<String, Value>) {
        let hidden =
            ["serviceConnectConfiguration", "volumeConfigurations", "vpcLatticeConfigurations"];
        for (member, value) in &service.spec {
            if !hidden.contains(&member.as_str()) {
                map.insert(member.clone(), self.reordered(service, member, value));
            }
        }
        let primary = service.primary_task_set().map(|set| &set.deployment);
        if service.deployments.first().or(primary).is_some_and(|one| one.revision.fargate()) {
            map.insert("platformFamily".to_owned(), json!("Linux"));
        }
        let balanced = map
            .get("loadBalancers")
            .and_then(Value::as_array)
            .is_some_and(|balancers| !balancers.is_empty());
        if balanced || service.spec.contains_key("networkConfiguration") {
            map.entry("roleArn").or_insert_with(|| {
                json!(format!(
                    "arn:aws:iam::{}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS",
                    self.settings.account
                ))
            });
        }
    }

    /// Subnets and security groups come back in an order of their own.
    fn reordered(&self, service: &Service, member: &str, value: &Value) -> Value {
        match member {
            "networkConfiguration" => {
                let seed = self.settings.seed ^ service.id.0 ^ self.sequence;
                read_back::network(value, &mut fastrand::Rng::with_seed(seed))
            }
            "capacityProviderStrategy" => read_back::capacity_provider_strategy(value),
            _ => value.clone(),
        }
    }

    fn read_deployment(&self, service: &Service, deployment: &Deployment, tally: Tally) -> Value {
        let primary = service.deployments.first().is_some_and(|first| first.id == deployment.id);
        let status = match (primary, deployment.rollout, tally.live) {
            (true, _, _) => "PRIMARY",
            (false, Rollout::Failed, 0) => "DRAINING",
            _ => "ACTIVE",
        };
        let mut map = map_of(json!({
            "id": deployment.started_by(),
            "status": status,
            "taskDefinition": *deployment.revision.task_definition.arn,
            "desiredCount": deployment.desired,
            "pendingCount": tally.pending,
            "runningCount": tally.running,
            "failedTasks": deployment.failed_tasks,
            "rolloutState": rollout_word(deployment.rollout),
            "rolloutStateReason": deployment.reason,
            "createdAt": epoch(deployment.created_at),
            "updatedAt": epoch(deployment.updated_at),
        }));
        let members = &deployment.revision.members;
        for member in [
            "launchType",
            "capacityProviderStrategy",
            "networkConfiguration",
            "serviceConnectConfiguration",
            "volumeConfigurations",
            "vpcLatticeConfigurations",
        ] {
            if let Some(value) = members.get(member) {
                map.insert(member.to_owned(), self.reordered(service, member, value));
            }
        }
        if deployment.revision.fargate() {
            map.insert("platformVersion".to_owned(), json!(concrete_platform(members)));
            map.insert("platformFamily".to_owned(), json!("Linux"));
        }
        Value::Object(map)
    }

    /// Counts of tasks by deployment.
    pub(crate) fn tally(&self, service: &Service) -> BTreeMap<u64, Tally> {
        let mut tally: BTreeMap<u64, Tally> = BTreeMap::new();
        for task in service.tasks.iter().filter_map(|id| self.tasks.get(id)) {
            let counts = tally.entry(task.deployment).or_default();
            counts.running += u32::from(task.is_running());
            counts.pending += u32::from(task.is_pending());
            counts.live += u32::from(task.is_wanted());
            counts.present += u32::from(!task.is_stopped());
        }
        tally
    }
}

fn status_word(status: ServiceStatus) -> &'static str {
    match status {
        ServiceStatus::Active => "ACTIVE",
        ServiceStatus::Draining => "DRAINING",
        ServiceStatus::Inactive => "INACTIVE",
    }
}

fn rollout_word(rollout: Rollout) -> &'static str {
    match rollout {
        Rollout::InProgress => "IN_PROGRESS",
        Rollout::Completed => "COMPLETED",
        Rollout::Failed => "FAILED",
    }
}

fn read_event(event: &ServiceEvent) -> Value {
    json!({"id": event.id, "createdAt": epoch(event.at), "message": event.message})
}

pub(crate) fn concrete_platform(members: &Map<String, Value>) -> &str {
    match members.get("platformVersion").and_then(Value::as_str) {
        Some("LATEST") | None => "1.4.0",
        Some(version) => version,
    }
}

pub(crate) fn present(tally: &BTreeMap<u64, Tally>, deployment: u64) -> u32 {
    tally.get(&deployment).map_or(0, |counts| counts.present)
}
