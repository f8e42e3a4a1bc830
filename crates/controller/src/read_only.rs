//! A cloud that is only looked at; never lets a call through that changes anything.

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Action, Applied, Asked, Fact, Observed, Questions, Shown, Unknown};
use evenkeel_reconciler::{Cloud, CloudError, OwnedService};

/// Passes looks on, and denies every call of [`Cloud::apply`] before it is made.
#[derive(Debug)]
pub(crate) struct ReadOnly<C>(pub(crate) C);

impl<C: Cloud> Cloud for ReadOnly<C> {
    async fn owned(
        &self,
        instance: &str,
        clusters: &[String],
    ) -> Result<Vec<OwnedService>, CloudError> {
        self.0.owned(instance, clusters).await
    }

    async fn observe(
        &self,
        key: &ServiceKey,
        questions: &Questions,
    ) -> Result<Observed, CloudError> {
        self.0.observe(key, questions).await
    }

    async fn look_at(&self, asked: &Asked) -> Fact<Shown> {
        self.0.look_at(asked).await
    }

    async fn registry_token(&self, region: &str) -> Result<String, Unknown> {
        self.0.registry_token(region).await
    }

    async fn apply(&self, _: &ServiceKey, action: &Action) -> Result<Applied, CloudError> {
        Err(CloudError::Denied {
            operation: action.call.operation().to_owned(),
            code: "ObserveOnly".to_owned(),
            message: "this daemon only observes (mode = \"observe\")".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU32, Ordering};

    use evenkeel_planner::{Call, Lane};

    use super::*;

    #[derive(Debug, Default)]
    struct Counting(AtomicU32);

    impl Cloud for Counting {
        async fn owned(&self, _: &str, _: &[String]) -> Result<Vec<OwnedService>, CloudError> {
            Ok(Vec::new())
        }

        async fn observe(&self, _: &ServiceKey, _: &Questions) -> Result<Observed, CloudError> {
            Err(CloudError::CapabilityMissing { operation: "DescribeServices".to_owned() })
        }

        async fn apply(&self, _: &ServiceKey, _: &Action) -> Result<Applied, CloudError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Err(CloudError::CapabilityMissing { operation: "TagResource".to_owned() })
        }
    }

    #[tokio::test]
    async fn no_call_that_changes_anything_reaches_the_cloud_within() {
        let cloud = ReadOnly(Counting::default());
        let key = ServiceKey::new("prod", "web");
        let call = Call::TagResource { arn: "arn".to_owned(), tags: BTreeMap::new() };
        let action = Action { call, lane: Lane::Person, why: String::new() };
        let results = [
            cloud.apply(&key, &action).await,
            cloud.apply_if(&key, &action, &|| true).await.unwrap(),
        ];
        for result in results {
            assert_eq!(result.unwrap_err().class(), "denied");
        }
        assert_eq!(cloud.0.0.load(Ordering::Relaxed), 0);
        assert!(cloud.observe(&key, &Questions::shallow()).await.is_err(), "looks go through");
    }
}
