//! Notices the first successful look at AWS; never changes what a cloud does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Action, Applied, Observed, Questions};
use evenkeel_reconciler::{Cloud, CloudError};

/// A cloud that remembers whether it was ever read.
#[derive(Debug)]
pub(super) struct FirstRead<C> {
    cloud: Arc<C>,
    done: Arc<AtomicBool>,
}

impl<C: Cloud> FirstRead<C> {
    /// The second value turns true after the first successful look.
    pub(super) fn watching(cloud: Arc<C>) -> (Self, Arc<AtomicBool>) {
        let done = Arc::new(AtomicBool::new(false));
        (Self { cloud, done: done.clone() }, done)
    }
}

impl<C: Cloud> Cloud for FirstRead<C> {
    async fn owned(
        &self,
        instance: &str,
        clusters: &[String],
    ) -> Result<Vec<ServiceKey>, CloudError> {
        self.cloud.owned(instance, clusters).await
    }

    async fn observe(
        &self,
        key: &ServiceKey,
        questions: &Questions,
    ) -> Result<Observed, CloudError> {
        let observed = self.cloud.observe(key, questions).await?;
        self.done.store(true, Ordering::Relaxed);
        Ok(observed)
    }

    async fn apply(&self, key: &ServiceKey, action: &Action) -> Result<Applied, CloudError> {
        self.cloud.apply(key, action).await
    }

    async fn apply_if(
        &self,
        key: &ServiceKey,
        action: &Action,
        is_permitted: &(dyn Fn() -> bool + Send + Sync),
    ) -> Option<Result<Applied, CloudError>> {
        // Not by way of `apply`: only the cloud within knows when waiting is over.
        self.cloud.apply_if(key, action, is_permitted).await
    }
}
