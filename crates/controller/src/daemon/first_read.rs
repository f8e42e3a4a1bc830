//! Notices the first successful look at AWS; never changes what a cloud does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Observed, Questions};
use evenkeel_reconciler::{Cloud, CloudAround, CloudError};

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

impl<C: Cloud> CloudAround for FirstRead<C> {
    type Within = C;

    fn within(&self) -> &C {
        &self.cloud
    }

    async fn observe_around(
        &self,
        key: &ServiceKey,
        questions: &Questions,
    ) -> Result<Observed, CloudError> {
        let observed = self.cloud.observe(key, questions).await?;
        self.done.store(true, Ordering::Relaxed);
        Ok(observed)
    }
}
