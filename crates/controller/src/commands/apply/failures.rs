//! Notices the errors that another try would not cure; never changes what a cloud does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Applied, Observed, Questions};
use evenkeel_reconciler::{Cloud, CloudAround, CloudError};

/// What a person must mend, by service; the newest of each.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures(Arc<Mutex<BTreeMap<ServiceKey, String>>>);

impl Failures {
    pub(super) fn of(&self, key: &ServiceKey) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn note(&self, key: &ServiceKey, error: Option<&CloudError>) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            Some(error) if is_lasting(error) => {
                failures.insert(key.clone(), error.to_string());
            }
            Some(_) => {}
            None => {
                failures.remove(key);
            }
        }
    }
}

/// A pipeline should not wait half an hour for a permission.
fn is_lasting(error: &CloudError) -> bool {
    match error {
        CloudError::Rejected { .. } | CloudError::Denied { .. } | CloudError::Quota { .. } => true,
        CloudError::Throttled { .. }
        | CloudError::Transient { .. }
        | CloudError::UnknownOutcome { .. }
        | CloudError::Conflict { .. }
        | CloudError::CapabilityMissing { .. } => false,
    }
}

/// A cloud whose lasting errors are noted.
#[derive(Debug)]
pub(super) struct Noting<C> {
    cloud: Arc<C>,
    failures: Failures,
}

impl<C> Noting<C> {
    pub(super) fn new(cloud: Arc<C>, failures: Failures) -> Self {
        Self { cloud, failures }
    }
}

impl<C: Cloud> CloudAround for Noting<C> {
    type Within = C;

    fn within(&self) -> &C {
        &self.cloud
    }

    async fn observe_around(
        &self,
        key: &ServiceKey,
        questions: &Questions,
    ) -> Result<Observed, CloudError> {
        let observed = self.cloud.observe(key, questions).await;
        // Success says nothing about the write that failed before.
        if let Err(error) = &observed {
            self.failures.note(key, Some(error));
        }
        observed
    }

    fn applied(&self, key: &ServiceKey, result: &Result<Applied, CloudError>) {
        self.failures.note(key, result.as_ref().err());
    }
}
