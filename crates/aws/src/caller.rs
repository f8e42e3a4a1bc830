//! One call to AWS: waits for its token, sends it, gives a failure its meaning and counts it; never
//! tries again.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use evenkeel_planner::Lane;
use evenkeel_reconciler::CloudError;
use serde_json::Value;
use tokio::time::Instant;

use crate::deleter::Deleter;
use crate::error::{Failure, failure};
use crate::exchange::Exchange;
use crate::family::Budget;
use crate::metrics::AwsMetrics;
use crate::operation::Operation;

/// The clients, the budget and the counters of one account and region.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) ecs: aws_sdk_ecs::Client,
    /// Empty where nothing may be deleted.
    pub(crate) deleter: OnceLock<Deleter>,
    pub(crate) code_deploy: aws_sdk_codedeploy::Client,
    pub(crate) load_balancing: aws_sdk_elasticloadbalancingv2::Client,
    pub(crate) cloudwatch: aws_sdk_cloudwatch::Client,
    /// For the lease table, which draws from no bucket.
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) budget: Arc<Budget>,
    pub(crate) metrics: AwsMetrics,
    pub(crate) capabilities: Capabilities,
}

/// Leave to make one call of an operation.
#[derive(Debug)]
pub(crate) struct Token(Operation);

/// Sends an operation of a service that speaks JSON with the body and for the reply of an [`Exchange`].
macro_rules! exchange {
    ($request:expr, $exchange:expr) => {
        $request
            .customize()
            .interceptor($exchange.interceptor())
            .send()
            .await
            .map(drop)
            .map_err(|error| failure(&error, $exchange.sent()))
    };
}

impl Caller {
    /// From now on services may be deleted.
    pub(crate) fn grant_deletes(&self) {
        self.deleter.get_or_init(|| Deleter::new(self.ecs.clone()));
    }

    /// Calls an operation of ECS or of CodeDeploy: `input` becomes the body as it is, and the reply's body is
    /// returned as it is but for nulls, so that no member is lost that is newer than the SDK.
    pub(crate) async fn json(
        &self,
        operation: Operation,
        lane: Lane,
        input: &Value,
    ) -> Result<Value, CloudError> {
        let token = self.token(operation, lane).await?;
        self.json_with(token, input).await
    }

    /// Waits for the operation's token, for who decides only then what to ask.
    pub(crate) async fn token(
        &self,
        operation: Operation,
        lane: Lane,
    ) -> Result<Token, CloudError> {
        self.capabilities.check(operation)?;
        let asked = Instant::now();
        self.budget.take(operation.family(), lane).await;
        self.metrics.waited(operation.family(), asked.elapsed());
        Ok(Token(operation))
    }

    /// As [`Self::json`], at once.
    pub(crate) async fn json_with(
        &self,
        Token(operation): Token,
        input: &Value,
    ) -> Result<Value, CloudError> {
        let exchange = Exchange::new(input);
        let send = async {
            self.send(operation, &exchange).await?;
            exchange.reply()
        };
        // The futures of the SDK are large, and this one is part of all others.
        Box::pin(self.metered(operation, send)).await
    }

    async fn send(&self, operation: Operation, exchange: &Exchange) -> Result<(), Failure> {
        let ecs = &self.ecs;
        match operation {
            Operation::DescribeServices => exchange!(ecs.describe_services(), exchange),
            Operation::ListServices => exchange!(ecs.list_services(), exchange),
            Operation::DescribeTaskDefinition => {
                exchange!(ecs.describe_task_definition(), exchange)
            }
            Operation::ListTaskDefinitions => exchange!(ecs.list_task_definitions(), exchange),
            Operation::ListServiceDeployments => {
                exchange!(ecs.list_service_deployments(), exchange)
            }
            Operation::DescribeServiceDeployments => {
                exchange!(ecs.describe_service_deployments(), exchange)
            }
            Operation::DescribeServiceRevisions => {
                exchange!(ecs.describe_service_revisions(), exchange)
            }
            Operation::ListTasks => exchange!(ecs.list_tasks(), exchange),
            Operation::DescribeTasks => exchange!(ecs.describe_tasks(), exchange),
            Operation::RegisterTaskDefinition => {
                exchange!(ecs.register_task_definition(), exchange)
            }
            Operation::CreateService => exchange!(ecs.create_service(), exchange),
            Operation::UpdateService => exchange!(ecs.update_service(), exchange),
            Operation::StopServiceDeployment => exchange!(ecs.stop_service_deployment(), exchange),
            Operation::ContinueServiceDeployment => {
                exchange!(ecs.continue_service_deployment(), exchange)
            }
            Operation::CreateTaskSet => exchange!(ecs.create_task_set(), exchange),
            Operation::UpdateTaskSet => exchange!(ecs.update_task_set(), exchange),
            Operation::UpdateServicePrimaryTaskSet => {
                exchange!(ecs.update_service_primary_task_set(), exchange)
            }
            Operation::DeleteTaskSet => exchange!(ecs.delete_task_set(), exchange),
            Operation::DeleteService => match self.deleter.get() {
                Some(deleter) => deleter.delete_service(exchange).await,
                None => Err(Failure::NotSent {
                    message: "the configuration grants no pruning".to_owned(),
                    credentials: false,
                }),
            },
            Operation::TagResource => exchange!(ecs.tag_resource(), exchange),
            Operation::UntagResource => exchange!(ecs.untag_resource(), exchange),
            other => Box::pin(self.send_to_code_deploy(other, exchange)).await,
        }
    }

    async fn send_to_code_deploy(
        &self,
        operation: Operation,
        exchange: &Exchange,
    ) -> Result<(), Failure> {
        let code_deploy = &self.code_deploy;
        match operation {
            Operation::GetDeploymentGroup => {
                exchange!(code_deploy.get_deployment_group(), exchange)
            }
            Operation::ListDeployments => exchange!(code_deploy.list_deployments(), exchange),
            Operation::BatchGetDeployments => {
                exchange!(code_deploy.batch_get_deployments(), exchange)
            }
            Operation::BatchGetDeploymentTargets => {
                exchange!(code_deploy.batch_get_deployment_targets(), exchange)
            }
            Operation::CreateDeployment => exchange!(code_deploy.create_deployment(), exchange),
            Operation::StopDeployment => exchange!(code_deploy.stop_deployment(), exchange),
            Operation::ContinueDeployment => {
                exchange!(code_deploy.continue_deployment(), exchange)
            }
            other => {
                let message = format!("{other} is an operation of a service without JSON");
                Err(Failure::NotSent { message, credentials: false })
            }
        }
    }

    /// Reads with a client of a service that does not speak JSON. The request is taken as sent: for reads it
    /// makes no difference.
    pub(crate) async fn read<T, E>(
        &self,
        operation: Operation,
        lane: Lane,
        send: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, CloudError>
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let Token(operation) = self.token(operation, lane).await?;
        let send = async { send.await.map_err(|error| failure(&error, false)) };
        Box::pin(self.metered(operation, send)).await
    }

    /// Writes with a client of a service that does not speak JSON. A request whose answer is lost may have been carried out.
    pub(crate) async fn write_with<T, E>(
        &self,
        Token(operation): Token,
        send: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, CloudError>
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let send = async { send.await.map_err(|error| failure(&error, true)) };
        Box::pin(self.metered(operation, send)).await
    }

    async fn metered<T>(
        &self,
        operation: Operation,
        send: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, CloudError> {
        let began = Instant::now();
        let result = send.await.map_err(|failure| failure.classify(operation));
        let outcome = result.as_ref().map_or_else(CloudError::class, |_| "ok");
        let took = began.elapsed();
        self.metrics.called(operation.name(), outcome, took);
        tracing::debug!(%operation, outcome, ?took, "called AWS");
        if let Err(error) = &result {
            self.learn(operation, error);
        }
        result
    }

    fn learn(&self, operation: Operation, error: &CloudError) {
        match error {
            CloudError::Throttled { .. } => {
                self.budget.throttled(operation.family());
                self.metrics.throttled(operation.family());
            }
            CloudError::CapabilityMissing { .. } => self.capabilities.remember_missing(operation),
            _ => {}
        }
    }
}

/// Which operations the server turned out not to know, for a while.
#[derive(Debug, Default)]
pub(crate) struct Capabilities {
    missing: Mutex<BTreeMap<Operation, Instant>>,
}

/// A server that is not asked in every pass for what it does not know, and asked again soon in case
/// something on the way to it only looked like that.
const MISSING_FOR: Duration = Duration::from_mins(1);

impl Capabilities {
    fn check(&self, operation: Operation) -> Result<(), CloudError> {
        let missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        match missing.get(&operation) {
            Some(since) if since.elapsed() < MISSING_FOR => {
                Err(CloudError::CapabilityMissing { operation: operation.name().to_owned() })
            }
            _ => Ok(()),
        }
    }

    fn remember_missing(&self, operation: Operation) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.insert(operation, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{Registry, TextEncoder};
    use serde_json::json;

    use super::*;
    use crate::fake::{Fake, Request, error, ok};

    fn region(request: &Request) -> crate::fake::Reply {
        match request.operation.as_str() {
            "ListTasks" => error("ThrottlingException", "Rate exceeded"),
            _ => ok(&json!({})),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_call_slows_its_family_down_and_no_other() {
        let cloud = Fake::new(region).cloud();
        let caller = &cloud.caller;
        let listed = caller.json(Operation::ListTasks, Lane::Sweep, &json!({})).await;
        assert_eq!(listed.unwrap_err().class(), "throttled");
        let slow = caller.budget.buckets().filter(|(_, bucket)| bucket.level().0 < 1.0);
        let slow: Vec<_> = slow.map(|(family, _)| family.name()).collect();
        assert_eq!(slow, ["ClusterResourceRead"]);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_throttles_and_buckets_are_exposed() {
        let fake = Fake::new(region);
        let registry = Registry::new();
        let cloud = fake.cloud_with(AwsMetrics::register(&registry).unwrap());
        for operation in [Operation::ListTasks, Operation::ListServices, Operation::ListServices] {
            drop(cloud.caller.json(operation, Lane::Sweep, &json!({})).await);
        }
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            "evenkeel_aws_calls_total{operation=\"ListServices\",outcome=\"ok\"} 2",
            "evenkeel_aws_calls_total{operation=\"ListTasks\",outcome=\"throttled\"} 1",
            "evenkeel_aws_call_duration_seconds_count{operation=\"ListServices\"} 2",
            "evenkeel_aws_throttles_total{bucket=\"ClusterResourceRead\"} 1",
            "evenkeel_aws_bucket_tokens{bucket=\"ClusterResourceRead\"} 0",
            "evenkeel_aws_bucket_tokens{bucket=\"ServiceRead\"} 98",
            "evenkeel_aws_bucket_refill_rate{bucket=\"ClusterResourceRead\"} 10",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn requests_with_the_environment_of_containers_cannot_be_logged() {
        use tracing::level_filters::{LevelFilter, STATIC_MAX_LEVEL};
        // The SDK logs bodies at TRACE, whatever the filter of the program.
        assert_eq!(STATIC_MAX_LEVEL, LevelFilter::DEBUG);
    }

    #[test]
    fn metrics_are_registered_once() {
        let registry = Registry::new();
        AwsMetrics::register(&registry).unwrap();
        assert!(AwsMetrics::register(&registry).is_err());
    }
}
