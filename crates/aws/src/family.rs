//! AWS's own families of calls, each with a token bucket of ours; never exceeds our share of one.

use std::collections::BTreeMap;

use evenkeel_planner::Lane;

use crate::bucket::{Bucket, Limits};

/// A token bucket of AWS, per account and region, named as AWS names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Family {
    ServiceModify,
    ServiceRead,
    ServiceDeploymentRead,
    ServiceRevisionRead,
    ClusterResourceRead,
    TaskDefinitionModify,
    TaskDefinitionRead,
    TagModify,
    TaskSetModify,
    /// All calls to Elastic Load Balancing together, its outermost bucket.
    ElasticLoadBalancing,
    /// Calls that change rules and listeners.
    ElasticLoadBalancingModify,
    DescribeAlarms,
    GetMetricData,
    /// All calls to CodeDeploy together.
    CodeDeploy,
}

/// Tokens of `ServiceModify` that only a rollback may take, so that it never waits for other writes.
const ROLLBACK_RESERVE: f64 = 10.0;

impl Family {
    const ALL: [Self; 14] = [
        Self::ServiceModify,
        Self::ServiceRead,
        Self::ServiceDeploymentRead,
        Self::ServiceRevisionRead,
        Self::ClusterResourceRead,
        Self::TaskDefinitionModify,
        Self::TaskDefinitionRead,
        Self::TagModify,
        Self::TaskSetModify,
        Self::ElasticLoadBalancing,
        Self::ElasticLoadBalancingModify,
        Self::DescribeAlarms,
        Self::GetMetricData,
        Self::CodeDeploy,
    ];

    /// The metric label.
    pub(crate) fn name(self) -> &'static str {
        self.row().0
    }

    /// Our share of AWS's bucket, at least one token. What is kept for rollbacks leaves one for the others,
    /// or they would wait for ever.
    fn limits(self, share: f64) -> Limits {
        let (_, burst, refill) = self.row();
        let burst = (burst * share).max(1.0);
        let reserve = match self {
            Self::ServiceModify | Self::ElasticLoadBalancingModify => {
                ROLLBACK_RESERVE.min(burst / 2.0).min(burst - 1.0)
            }
            _ => 0.0,
        };
        Limits { burst, refill: refill * share, reserve }
    }

    /// Name, burst and refill per second. Sources: "Request throttling for the Amazon ECS API",
    /// "API throttling" of Elastic Load Balancing, "`CloudWatch` service quotas" (a rate without a
    /// burst: one second's worth).
    fn row(self) -> (&'static str, f64, f64) {
        match self {
            Self::ServiceModify => ("ServiceModify", 50.0, 5.0),
            Self::ServiceRead => ("ServiceRead", 100.0, 20.0),
            Self::ServiceDeploymentRead => ("ServiceDeploymentRead", 50.0, 20.0),
            Self::ServiceRevisionRead => ("ServiceRevisionRead", 50.0, 20.0),
            Self::ClusterResourceRead => ("ClusterResourceRead", 100.0, 20.0),
            Self::TaskDefinitionModify => ("TaskDefinitionModify", 20.0, 1.0),
            Self::TaskDefinitionRead => ("TaskDefinitionRead", 50.0, 20.0),
            Self::TagModify => ("TagModify", 20.0, 10.0),
            Self::TaskSetModify => ("TaskSetModify", 100.0, 20.0),
            Self::ElasticLoadBalancing => ("ElasticLoadBalancing", 40.0, 10.0),
            Self::ElasticLoadBalancingModify => ("ElasticLoadBalancingModify", 20.0, 3.0),
            Self::DescribeAlarms => ("DescribeAlarms", 9.0, 9.0),
            Self::GetMetricData => ("GetMetricData", 500.0, 500.0),
            // AWS publishes none for CodeDeploy: a careful guess.
            Self::CodeDeploy => ("CodeDeploy", 20.0, 10.0),
        }
    }
}

/// The buckets of one account and region.
#[derive(Debug)]
pub(crate) struct Budget(BTreeMap<Family, Bucket>);

impl Budget {
    /// `share` of every bucket of AWS is ours, above 0 and at most 1.
    pub(crate) fn new(share: f64) -> Self {
        Self(Family::ALL.map(|family| (family, Bucket::new(family.limits(share)))).into())
    }

    /// Waits for a token. Cancel-safe: a caller that gives up takes none.
    pub(crate) async fn take(&self, family: Family, lane: Lane) {
        if let Some(bucket) = self.0.get(&family) {
            bucket.take(lane).await;
        }
    }

    /// AWS refused a call of this family for its rate.
    pub(crate) fn throttled(&self, family: Family) {
        if let Some(bucket) = self.0.get(&family) {
            bucket.throttled();
        }
    }

    /// Each family with its bucket, for metrics.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (Family, &Bucket)> {
        self.0.iter().map(|(family, bucket)| (*family, bucket))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn half_of_the_service_modify_bucket_keeps_ten_tokens_for_rollbacks() {
        let limits = Family::ServiceModify.limits(0.5);
        assert_eq!(limits, Limits { burst: 25.0, refill: 2.5, reserve: 10.0 });
    }

    #[tokio::test(start_paused = true)]
    async fn however_small_the_share_every_lane_gets_its_turn() {
        for share in [f64::MIN_POSITIVE, 0.001, 0.01, 0.03, 0.04, 0.05, 0.09, 0.1, 0.5, 1.0] {
            let budget = Budget::new(share);
            for family in Family::ALL {
                let turn = budget.take(family, Lane::Sweep);
                let turn = tokio::time::timeout(Duration::from_secs(1), turn).await;
                assert!(turn.is_ok(), "{family:?} at a share of {share}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_of_hardly_anything_is_waited_for_and_breaks_nothing() {
        let budget = Budget::new(f64::MIN_POSITIVE);
        budget.take(Family::ServiceModify, Lane::Rollback).await;
        let turn = budget.take(Family::ServiceModify, Lane::Rollback);
        assert!(tokio::time::timeout(Duration::from_hours(24), turn).await.is_err());
    }

    #[test]
    fn what_a_small_share_has_besides_one_token_is_kept_for_rollbacks() {
        let reserve = |share: f64| Family::ElasticLoadBalancingModify.limits(share).reserve;
        assert!((reserve(0.075) - 0.5).abs() < 1e-9, "of 1.5 tokens");
        assert!(reserve(0.01).abs() < 1e-9, "of one token");
    }

    #[test]
    fn a_small_share_still_has_a_token_and_leaves_some_for_everybody() {
        for family in Family::ALL {
            let limits = family.limits(0.01);
            assert!(limits.burst >= 1.0, "{family:?}: {limits:?}");
            assert!(limits.reserve <= limits.burst / 2.0, "{family:?}: {limits:?}");
        }
    }
}
