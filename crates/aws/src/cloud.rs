//! The implementation of `Cloud`; never decides what to ask or what to do.

use std::sync::Arc;

use evenkeel_manifest::{ServiceKey, task_definition_in_use};
use evenkeel_planner::{Action, Applied, Asked, Fact, Lane, Observed, Questions, Shown, Unknown};
use evenkeel_reconciler::{Cloud, CloudError, OwnedService};
use serde_json::{Value, json};

use crate::balancing::Balancing;
use crate::caller::Caller;
use crate::clock::Clock;
use crate::measured::Measured;
use crate::operation::Operation;
use crate::services::Services;
use crate::signed::Signed;
use crate::task_definitions::TaskDefinitions;
use crate::tasks::Tasks;
use crate::{apply, observe, owned, verify};

/// ECS, Elastic Load Balancing, CodeDeploy and `CloudWatch` of one account and region.
#[derive(Debug)]
pub struct AwsCloud {
    pub(crate) caller: Arc<Caller>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) services: Services,
    pub(crate) task_definitions: TaskDefinitions,
    pub(crate) tasks: Tasks,
    pub(crate) balancing: Balancing,
    pub(crate) measured: Measured,
    pub(crate) signed: Signed,
}

impl AwsCloud {
    pub(crate) fn new(caller: Caller, clock: Arc<Clock>, signed: Signed) -> Self {
        let caller = Arc::new(caller);
        let services = Services::new(Arc::clone(&caller));
        let task_definitions = TaskDefinitions::new(Arc::clone(&caller));
        let tasks = Tasks::new(Arc::clone(&caller));
        let balancing = Balancing::new(Arc::clone(&caller));
        let measured = Measured::new(Arc::clone(&caller));
        Self { caller, clock, services, task_definitions, tasks, balancing, measured, signed }
    }
}

/// What AWS shows of a service and of the task definition that it runs, as it came.
#[derive(Clone, Debug)]
pub struct Described {
    /// An element of `DescribeServices.services`, with its tags.
    pub service: Value,
    /// The reply of `DescribeTaskDefinition`, with its tags; `None` when the service names none.
    pub task_definition: Option<Value>,
}

impl AwsCloud {
    /// The names of all services of a cluster, in order. The first failure ends it.
    pub async fn services_of(&self, cluster: &str) -> Result<Vec<String>, CloudError> {
        let mut names = owned::list(&self.caller, cluster).await?;
        names.sort();
        Ok(names)
    }

    /// `None` when there is no such service.
    pub async fn describe(
        &self,
        cluster: &str,
        name: &str,
    ) -> Result<Option<Described>, CloudError> {
        let service = self.services.read(cluster, name, Lane::Sweep).await?;
        let Some(service) = service.known().map(|one| Value::clone(&one.document)) else {
            return Ok(None);
        };
        let task_definition = match task_definition_in_use(&service) {
            Some(arn) => {
                let input = json!({"taskDefinition": arn, "include": ["TAGS"]});
                let operation = Operation::DescribeTaskDefinition;
                Some(self.caller.json(operation, Lane::Sweep, &input).await?)
            }
            None => None,
        };
        Ok(Some(Described { service, task_definition }))
    }
}

impl Cloud for AwsCloud {
    async fn owned(
        &self,
        instance: &str,
        clusters: &[String],
    ) -> Result<Vec<OwnedService>, CloudError> {
        owned::owned(&self.caller, instance, clusters).await
    }

    async fn observe(
        &self,
        key: &ServiceKey,
        questions: &Questions,
    ) -> Result<Observed, CloudError> {
        observe::observe(self, key, questions).await
    }

    async fn apply(&self, _: &ServiceKey, action: &Action) -> Result<Applied, CloudError> {
        apply::apply(&self.caller, action).await
    }

    async fn apply_if(
        &self,
        _: &ServiceKey,
        action: &Action,
        is_permitted: &(dyn Fn() -> bool + Send + Sync),
    ) -> Option<Result<Applied, CloudError>> {
        apply::apply_if(&self.caller, action, is_permitted).await
    }

    async fn look_at(&self, asked: &Asked) -> Fact<Shown> {
        verify::look(self, asked).await
    }

    async fn registry_token(&self, region: &str) -> Result<String, Unknown> {
        verify::registry_token(self, region).await
    }
}
