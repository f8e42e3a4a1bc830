//! Looks at AWS without changing anything, for `plan`, `diff` and `--direct`; never calls a write.

use std::collections::BTreeMap;
use std::sync::Arc;

use evenkeel_aws::AwsCloud;
use evenkeel_manifest::{Service, ServiceKey};
use evenkeel_reconciler::{Cloud, Mode, PassReport, reconcile};
use prometheus::Registry;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::cli::CommandError;
use crate::config::Config;
use crate::daemon::connect;

/// One dry pass over every service, many at a time. The AWS edge shares reads between them.
pub(super) async fn look<C: Cloud>(
    cloud: Arc<C>,
    services: Vec<Service>,
    config: &Config,
) -> Result<BTreeMap<ServiceKey, PassReport>, CommandError> {
    let pass = move |service, instance| dry_pass(cloud.clone(), service, instance);
    for_each(services, config, pass).await
}

pub(super) async fn dry_pass<C: Cloud>(
    cloud: Arc<C>,
    service: Arc<Service>,
    instance: String,
) -> PassReport {
    reconcile(&*cloud, &service.key, Some(&service), &instance, Mode::DryRun).await
}

/// What `ask` finds out about every service from AWS, which is not even connected to where there is none.
pub(super) async fn ask_aws<T, F>(
    services: Vec<Service>,
    config: &Config,
    ask: impl Fn(Arc<AwsCloud>, Arc<Service>, String) -> F,
) -> Result<BTreeMap<ServiceKey, T>, CommandError>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    if services.is_empty() {
        return Ok(BTreeMap::new());
    }
    let cloud = Arc::new(connect(config, &Registry::new()).await?);
    for_each(services, config, move |service, instance| ask(cloud.clone(), service, instance)).await
}

/// What `ask` says of every service, many at a time.
pub(super) async fn for_each<T, F>(
    services: Vec<Service>,
    config: &Config,
    ask: impl Fn(Arc<Service>, String) -> F,
) -> Result<BTreeMap<ServiceKey, T>, CommandError>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let free = Arc::new(Semaphore::new(config.control_loop.passes));
    let mut passes = JoinSet::new();
    for service in services {
        let key = service.key.clone();
        let (free, asked) = (free.clone(), ask(Arc::new(service), config.instance.clone()));
        passes.spawn(async move {
            let _permit = free.acquire_owned().await;
            (key, asked.await)
        });
    }
    let mut reports = BTreeMap::new();
    while let Some(pass) = passes.join_next().await {
        let (key, report) =
            pass.map_err(|error| CommandError::Sentence(format!("a pass failed: {error}")))?;
        reports.insert(key, report);
    }
    Ok(reports)
}
