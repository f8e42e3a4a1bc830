//! A cloud around another one; never more than what it adds.

use std::future::Future;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Action, Applied, Asked, Fact, Observed, Questions, Shown, Unknown};

use super::{Cloud, CloudError};
use crate::OwnedService;

/// Implemented by what adds to looks or takes note of calls. What it does not say itself the cloud within
/// does.
pub trait CloudAround: Send + Sync + 'static {
    type Within: Cloud;

    fn within(&self) -> &Self::Within;

    /// As [`Cloud::observe`].
    fn observe_around(
        &self,
        key: &ServiceKey,
        questions: &Questions,
    ) -> impl Future<Output = Result<Observed, CloudError>> + Send {
        self.within().observe(key, questions)
    }

    /// What came of a call.
    fn applied(&self, _key: &ServiceKey, _result: &Result<Applied, CloudError>) {}
}

impl<C: CloudAround> Cloud for C {
    async fn owned(
        &self,
        instance: &str,
        clusters: &[String],
    ) -> Result<Vec<OwnedService>, CloudError> {
        self.within().owned(instance, clusters).await
    }

    async fn observe(
        &self,
        key: &ServiceKey,
        questions: &Questions,
    ) -> Result<Observed, CloudError> {
        self.observe_around(key, questions).await
    }

    async fn apply(&self, key: &ServiceKey, action: &Action) -> Result<Applied, CloudError> {
        let result = self.within().apply(key, action).await;
        self.applied(key, &result);
        result
    }

    async fn apply_if(
        &self,
        key: &ServiceKey,
        action: &Action,
        is_permitted: &(dyn Fn() -> bool + Send + Sync),
    ) -> Option<Result<Applied, CloudError>> {
        // Not by way of `apply`: only the cloud within knows when waiting is over.
        let result = self.within().apply_if(key, action, is_permitted).await?;
        self.applied(key, &result);
        Some(result)
    }

    async fn look_at(&self, asked: &Asked) -> Fact<Shown> {
        self.within().look_at(asked).await
    }

    async fn registry_token(&self, region: &str) -> Result<String, Unknown> {
        self.within().registry_token(region).await
    }
}
