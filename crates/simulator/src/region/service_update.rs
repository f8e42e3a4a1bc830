//! UpdateService: what it keeps, merges, removes, and when it starts a deployment; never waits for
//! one.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::input::{given, invalid};
use super::service::{
    Configuration, REVISION_MEMBERS, Rollout, SETTINGS, Service, ServiceId, ServiceStatus,
    not_found, settle_capacity,
};
use super::task_definition::TaskContent;
use super::{ApiError, State, count, flag, read_back, text, validation};

/// A checked update, ready to be carried out as a whole.
struct Update {
    configuration: Option<Configuration>,
    spec: Map<String, Value>,
    content: Option<Arc<TaskContent>>,
    controller: Option<String>,
    starts_deployment: bool,
}

impl State {
    pub(crate) fn update_service(&mut self, input: &Value) -> Result<Value, ApiError> {
        let id = self.service_id(input)?;
        let service = self.services.get(&id).ok_or_else(not_found)?;
        if service.status != ServiceStatus::Active {
            return Err(ApiError::client("ServiceNotActiveException", "Service was not ACTIVE."));
        }
        let update = self.checked_update(service, input)?;
        self.apply_update(id, input, update);
        let service = self.services.get(&id).ok_or_else(not_found)?;
        Ok(json!({"service": self.read_service(service, true)}))
    }

    fn checked_update(&self, service: &Service, input: &Value) -> Result<Update, ApiError> {
        let controller = given(input, "deploymentController")
            .and_then(|controller| text(controller, "type"))
            .filter(|kind| *kind != service.controller);
        if let Some(kind) = controller {
            self.check_controller_change(service, kind)?;
        }
        validation::updated_members(input, controller.unwrap_or(&service.controller))?;
        let configuration = given(input, "deploymentConfiguration").map(|change| {
            let mut document = service.configuration.document.clone();
            read_back::merge(&mut document, change);
            Configuration::read(document)
        });
        let configuration = configuration.transpose()?;
        let content = match text(input, "taskDefinition") {
            Some(name) => Some(self.usable_revision(name)?),
            None => service.primary().map(|one| Arc::clone(&one.revision.task_definition)),
        };
        let mut spec = service.spec.clone();
        self.change_spec(service, &mut spec, input, content.as_deref());
        strategy_by_force(service, &spec, input)?;
        if let Some(content) = &content {
            validation::revision(&spec, content, &self.elb)?;
        }
        let strategy = configuration.as_ref().unwrap_or(&service.configuration).strategy;
        validation::shifting(&spec, strategy, &self.elb)?;
        let differs = REVISION_MEMBERS
            .iter()
            .filter(|member| !["launchType", "capacityProviderStrategy"].contains(*member))
            .any(|member| comparable(spec.get(*member)) != comparable(service.spec.get(*member)));
        Ok(Update {
            configuration,
            spec,
            content,
            controller: controller.map(str::to_owned),
            starts_deployment: differs || flag(input, "forceNewDeployment") == Some(true),
        })
    }

    fn change_spec(
        &self,
        service: &Service,
        spec: &mut Map<String, Value>,
        input: &Value,
        content: Option<&TaskContent>,
    ) {
        for member in REVISION_MEMBERS {
            if let Some(value) = given(input, member) {
                spec.insert(member.to_owned(), value.clone());
            }
        }
        if let Some(content) = content {
            spec.insert("taskDefinition".to_owned(), json!(*content.arn));
        }
        if given(input, "capacityProviderStrategy").is_some() {
            spec.remove("launchType");
            let cluster = self.clusters.get(&service.cluster);
            settle_capacity(spec, cluster.and_then(super::cluster::Cluster::default_strategy));
        }
        for member in ["volumeConfigurations", "vpcLatticeConfigurations"] {
            if spec.get(member).and_then(Value::as_array).is_some_and(Vec::is_empty) {
                spec.remove(member);
            }
        }
    }

    fn apply_update(&mut self, id: ServiceId, input: &Value, update: Update) {
        let Some(service) = self.services.get_mut(&id) else { return };
        if let Some(configuration) = update.configuration {
            service.configuration = configuration;
        }
        if let Some(controller) = update.controller {
            self.change_controller(id, controller);
        }
        let Some(service) = self.services.get_mut(&id) else { return };
        for member in SETTINGS {
            if let Some(value) = given(input, member) {
                service.settings.insert(member.to_owned(), value.clone());
            }
        }
        if let Some(grace) = count(input, "healthCheckGracePeriodSeconds") {
            service.grace = Duration::from_secs(grace.into());
        }
        if let Some(desired) = count(input, "desiredCount") {
            service.scale(desired);
        }
        service.spec = update.spec;
        match update.content {
            Some(content) if update.starts_deployment => self.start_deployment(id, &content),
            _ => self.look_soon(id),
        }
    }
}

impl Service {
    /// In mid-rollout, what is added is added to the source revision too, so that a bad target
    /// cannot keep a service from scaling out.
    fn scale(&mut self, desired: u32) {
        let added = desired.saturating_sub(self.desired);
        self.desired = desired;
        let rolling =
            self.deployments.first().is_some_and(|first| first.rollout != Rollout::Completed);
        if rolling
            && let Some(source) = self.deployments.iter_mut().skip(1).find(|one| one.has_completed)
        {
            source.desired += added;
        }
    }
}

/// A member without the orders that have no meaning.
/// Source: hashicorp/terraform-provider-aws#43533, aws/containers-roadmap#631.
fn strategy_by_force(
    service: &Service,
    spec: &Map<String, Value>,
    input: &Value,
) -> Result<(), ApiError> {
    let of = |spec: &Map<String, Value>| comparable(spec.get("capacityProviderStrategy"));
    let is_sent = given(input, "capacityProviderStrategy").is_some();
    if !is_sent || flag(input, "forceNewDeployment") == Some(true) || of(spec) == of(&service.spec)
    {
        return Ok(());
    }
    Err(invalid(
        "When switching from launch type to capacity provider strategy on an existing service, or making a change to a \
         capacity provider strategy on a service that is already using one, you must force a new deployment.",
    ))
}

fn comparable(value: Option<&Value>) -> Option<Value> {
    fn sort(value: &mut Value) {
        match value {
            Value::Array(items) => {
                items.iter_mut().for_each(sort);
                items.sort_by_cached_key(Value::to_string);
            }
            Value::Object(map) => map.values_mut().for_each(sort),
            _ => {}
        }
    }
    let mut value = value?.clone();
    sort(&mut value);
    Some(value)
}
