//! The implementation of `Cloud`; never decides what to ask or what to do.

use std::sync::Arc;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Action, Applied, Observed, Questions};
use evenkeel_reconciler::{Cloud, CloudError};

use crate::balancing::Balancing;
use crate::caller::Caller;
use crate::clock::Clock;
use crate::measured::Measured;
use crate::services::Services;
use crate::task_definitions::TaskDefinitions;
use crate::tasks::Tasks;
use crate::{apply, observe, owned};

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
}

impl AwsCloud {
    pub(crate) fn new(caller: Caller, clock: Arc<Clock>) -> Self {
        let caller = Arc::new(caller);
        let services = Services::new(Arc::clone(&caller));
        let task_definitions = TaskDefinitions::new(Arc::clone(&caller));
        let tasks = Tasks::new(Arc::clone(&caller));
        let balancing = Balancing::new(Arc::clone(&caller));
        let measured = Measured::new(Arc::clone(&caller));
        Self { caller, clock, services, task_definitions, tasks, balancing, measured }
    }
}

impl Cloud for AwsCloud {
    async fn owned(
        &self,
        instance: &str,
        clusters: &[String],
    ) -> Result<Vec<ServiceKey>, CloudError> {
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
}
