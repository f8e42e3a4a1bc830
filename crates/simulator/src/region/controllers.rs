//! The moves of a service from one deployment controller to another; never a deployment.
//!
//! Source: reference page, section 1.2.

use std::sync::Arc;

use super::input::{given, invalid};
use super::service::{Deployment, Rollout, Service, ServiceId, deployment_name};
use super::strategy::Strategy;
use super::task_set::{TaskSet, WHOLE};
use super::{ApiError, State};

impl Service {
    /// What is PRIMARY, be it a deployment or a task set.
    pub(crate) fn primary(&self) -> Option<&Deployment> {
        let set = self.primary_task_set().map(|set| &set.deployment);
        self.deployments.first().or(set)
    }
}

impl State {
    pub(crate) fn check_controller_change(
        &self,
        service: &Service,
        kind: &str,
    ) -> Result<(), ApiError> {
        let deploys =
            service.current_service_deployment().is_some() || self.is_code_deployed(service.id);
        if deploys {
            return Err(invalid(
                "The deployment controller cannot be changed during an ongoing service deployment.",
            ));
        }
        match (service.controller.as_str(), kind) {
            ("ECS", "EXTERNAL") => can_leave_ecs(service),
            // A service without a PRIMARY task set would have nothing to run.
            ("EXTERNAL" | "CODE_DEPLOY", "ECS") if service.primary().is_none() => Err(invalid(
                "The deployment controller cannot be changed while no task set is PRIMARY.",
            )),
            ("EXTERNAL" | "CODE_DEPLOY", "ECS") | ("CODE_DEPLOY", "EXTERNAL") => Ok(()),
            (from, to) => Err(invalid(format!(
                "The deployment controller cannot be changed from {from} to {to}."
            ))),
        }
    }

    /// Starts and stops nothing.
    pub(crate) fn change_controller(&mut self, id: ServiceId, kind: String) {
        match kind.as_str() {
            "ECS" => self.take_over_task_sets(id),
            _ => self.leave_deployments(id),
        }
        if let Some(service) = self.services.get_mut(&id) {
            service.controller = kind;
        }
    }

    /// The PRIMARY task set becomes a COMPLETED deployment with the same id and the same tasks; any other
    /// one is superseded by it.
    fn take_over_task_sets(&mut self, id: ServiceId) {
        let now = self.now;
        let Some(service) = self.services.get_mut(&id) else { return };
        let mut sets = std::mem::take(&mut service.task_sets);
        sets.sort_by_key(|set| !set.is_primary());
        service.deployments = sets.into_iter().map(|set| set.deployment).collect();
        for (index, deployment) in service.deployments.iter_mut().enumerate() {
            deployment.updated_at = now;
            service.revisions.insert(deployment.id, Arc::clone(&deployment.revision));
            if index == 0 {
                deployment.rollout = Rollout::Completed;
                deployment.has_completed = true;
                deployment.desired = service.desired;
                let name = deployment_name(deployment.id);
                deployment.reason = format!("ECS deployment {name} completed.");
                let revision = Arc::clone(&deployment.revision);
                service.last_completed = Some((deployment.id, revision));
            }
        }
    }

    /// ECS stops managing its deployments: they are task sets now, and none of them is PRIMARY.
    fn leave_deployments(&mut self, id: ServiceId) {
        let Some(service) = self.services.get(&id) else { return };
        let path = format!("{}/{}", service.cluster, service.name);
        let tally = self.tally(service);
        let left = service.deployments.iter().map(|one| {
            let live = tally.get(&one.id).map_or(0, |counts| counts.live);
            let scale = u64::from(live) * WHOLE / u64::from(service.desired.max(1));
            TaskSet::left_by_ecs(one.clone(), self.task_set_arn(&path, one.id), scale.min(WHOLE))
        });
        let left: Vec<TaskSet> = left.collect();
        let Some(service) = self.services.get_mut(&id) else { return };
        service.deployments.clear();
        service.task_sets.extend(left);
    }
}

fn can_leave_ecs(service: &Service) -> Result<(), ApiError> {
    let configuration = &service.configuration;
    let shifts = configuration.strategy != Strategy::Rolling;
    if configuration.breaker.enabled || configuration.alarms.is_some() || shifts {
        return Err(invalid(
            "The deployment controller cannot be changed while the deployment configuration \
             contains alarms, a deployment circuit breaker or a strategy other than ROLLING.",
        ));
    }
    let spec = serde_json::Value::Object(service.spec.clone());
    let connects = given(&spec, "serviceConnectConfiguration").is_some_and(|connect| {
        connect.get("enabled").and_then(serde_json::Value::as_bool).unwrap_or(false)
    });
    if connects || given(&spec, "vpcLatticeConfigurations").is_some() {
        return Err(invalid(
            "The deployment controller cannot be changed while the service uses Service Connect or \
             VPC Lattice.",
        ));
    }
    Ok(())
}
