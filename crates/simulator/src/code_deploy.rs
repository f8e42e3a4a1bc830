//! CodeDeploy for services of ECS: what is configured, deployments and their courses; never another
//! compute platform.
//!
//! Source: reference page, section 6.

mod app_spec;
mod applications;
mod configs;
mod course;
mod deployments;
mod ends;
mod groups;
mod hooks;
mod lifecycle;
mod replies;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::region::{ApiError, Kept, ServiceId, State, text};

use applications::Application;
use configs::Config;
use deployments::Deployment;
pub use hooks::HookFunction;

#[derive(Clone, Debug, Default)]
pub(crate) struct CodeDeploy {
    /// By name.
    applications: BTreeMap<String, Application>,
    /// Those that users made, by name.
    configs: BTreeMap<String, Config>,
    /// By number: oldest first.
    deployments: Kept<u64, Deployment>,
    /// What functions that hooks call do, where somebody said so.
    functions: BTreeMap<String, HookFunction>,
}

impl CodeDeploy {
    /// The application and the deployment group of a service.
    pub(crate) fn group_of(&self, cluster: &str, service: &str) -> Option<(String, String)> {
        self.applications.iter().find_map(|(application, one)| {
            let mut groups = one.groups.iter();
            let (name, _) = groups.find(|(_, group)| group.deploys(cluster, service))?;
            Some((application.clone(), name.clone()))
        })
    }

    /// The listener whose traffic moves when a service is deployed.
    pub(crate) fn production_listener(&self, cluster: &str, service: &str) -> Option<&str> {
        let groups = self.applications.values().flat_map(|one| one.groups.values());
        let mut groups = groups.filter(|group| group.deploys(cluster, service));
        groups.next().map(|group| group.plan.production.as_str())
    }

    /// The deployment of a group that has not ended.
    fn active(&self, application: &str, group: &str) -> Option<&Deployment> {
        let mut all = self.deployments.values();
        all.find(|one| one.is_active() && one.application == application && one.group == group)
    }

    /// The deployments that have not ended and are to stop when this alarm turns red.
    pub(crate) fn watching(&self, alarm: &str) -> Vec<u64> {
        let watches = |one: &&Deployment| one.is_active() && one.plan.watches(alarm);
        self.deployments.values().filter(watches).map(|one| one.number).collect()
    }
}

impl State {
    /// Answers a CodeDeploy call; `None` when there is no such operation.
    pub(crate) fn code_deploy_call(
        &mut self,
        operation: &str,
        input: &Value,
    ) -> Option<Result<Value, ApiError>> {
        Some(match operation {
            "CreateApplication" => self.create_application(input),
            "GetApplication" => self.get_application(input),
            "ListApplications" => self.list_applications(input),
            "CreateDeploymentGroup" => self.create_deployment_group(input),
            "GetDeploymentGroup" => self.get_deployment_group(input),
            "ListDeploymentGroups" => self.list_deployment_groups(input),
            "BatchGetDeploymentGroups" => self.batch_get_deployment_groups(input),
            "CreateDeploymentConfig" => self.create_deployment_config(input),
            "GetDeploymentConfig" => self.get_deployment_config(input),
            "CreateDeployment" => self.create_deployment(input),
            "GetDeployment" => self.get_deployment(input),
            "BatchGetDeployments" => self.batch_get_deployments(input),
            "ListDeployments" => self.list_deployments(input),
            "StopDeployment" => self.stop_deployment(input),
            "ContinueDeployment" => self.continue_deployment(input),
            "PutLifecycleEventHookExecutionStatus" => {
                self.put_lifecycle_event_hook_execution_status(input)
            }
            "ListDeploymentTargets" => self.list_deployment_targets(input),
            "BatchGetDeploymentTargets" => self.batch_get_deployment_targets(input),
            _ => return None,
        })
    }

    /// The service that a deployment is of.
    pub(crate) fn service_of_deployment(&self, number: u64) -> Option<ServiceId> {
        let found = self.code_deploy.deployments.get(&number)?;
        self.names.get(&(found.cluster.clone(), found.service.clone())).copied()
    }

    /// The service that the deployment with the id in an input is of.
    pub(crate) fn service_of_deployment_id(&self, input: &Value) -> Option<ServiceId> {
        let id = text(input, "deploymentId")?;
        let found = self.code_deploy.deployments.values().find(|one| one.id == id)?;
        self.service_of_deployment(found.number)
    }

    /// Whether CodeDeploy has a deployment of the service that has not ended.
    pub(crate) fn is_code_deployed(&self, service: ServiceId) -> bool {
        self.code_deploy_number(service).is_some()
    }

    fn code_deploy_number(&self, service: ServiceId) -> Option<u64> {
        let active = self.code_deploy.deployments.values().filter(|one| one.is_active());
        let mut numbers = active.map(|one| one.number);
        numbers.find(|number| self.service_of_deployment(*number) == Some(service))
    }
}

/// An error with CodeDeploy's name for it, `Exception` left out.
fn refused(name: &str, message: impl Into<String>) -> ApiError {
    ApiError::client(format!("{name}Exception"), message)
}

/// A member that must be there, or else `missing`.
fn required<'a>(input: &'a Value, name: &str, missing: &str) -> Result<&'a str, ApiError> {
    let given = text(input, name).filter(|text| !text.is_empty());
    given.ok_or_else(|| refused(missing, format!("The {name} is required.")))
}
