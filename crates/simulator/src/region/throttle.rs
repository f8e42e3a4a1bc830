//! AWS's API token buckets, per account and region; never charges a caller twice.
//!
//! Source: "Request throttling for the Amazon ECS API", "Throttling for the Elastic Load
//! Balancing API", CloudWatch service quotas.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Api, ApiError};

/// Name, burst and refill per second of a bucket.
type Family = (&'static str, f64, f64);

#[derive(Clone, Debug)]
pub(crate) struct Buckets {
    enforced: bool,
    levels: BTreeMap<&'static str, (Timestamp, f64)>,
}

impl Buckets {
    pub(crate) fn new(enforced: bool) -> Self {
        Self { enforced, levels: BTreeMap::new() }
    }

    /// Takes one token from every bucket of the operation, or none and refuses.
    pub(crate) fn take(
        &mut self,
        api: Api,
        operation: &str,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        if !self.enforced {
            return Ok(());
        }
        let families = families(api, operation);
        if families.iter().flatten().any(|family| self.level(*family, now) < 1.0) {
            let code = match api {
                Api::Ecs | Api::CodeDeploy => "ThrottlingException",
                Api::ElasticLoadBalancingV2 | Api::CloudWatch | Api::Sts => "Throttling",
            };
            return Err(ApiError::client(code, "Rate exceeded"));
        }
        for family in families.into_iter().flatten() {
            let level = self.level(family, now) - 1.0;
            self.levels.insert(family.0, (now, level));
        }
        Ok(())
    }

    fn level(&self, (name, burst, refill): Family, now: Timestamp) -> f64 {
        let Some((at, level)) = self.levels.get(name) else { return burst };
        let elapsed = now.duration_since(*at).as_secs_f64().max(0.0);
        (level + elapsed * refill).min(burst)
    }
}

fn families(api: Api, operation: &str) -> [Option<Family>; 2] {
    match api {
        Api::Ecs => [ecs(operation), None],
        Api::ElasticLoadBalancingV2 => [Some(("elb", 40.0, 10.0)), Some(elb(operation))],
        Api::CloudWatch => [cloudwatch(operation), None],
        // CodeDeploy's rates are not published.
        Api::CodeDeploy | Api::Sts => [None, None],
    }
}

fn ecs(operation: &str) -> Option<Family> {
    Some(match operation {
        "CreateCluster" | "DeleteCluster" | "PutClusterCapacityProviders" => {
            ("ClusterModify", 20.0, 1.0)
        }
        "DescribeClusters" | "ListClusters" => ("ClusterRead", 50.0, 20.0),
        "StopTask" | "RunTask" => ("ClusterResourceModify", 100.0, 40.0),
        "DescribeTasks" | "ListTasks" => ("ClusterResourceRead", 100.0, 20.0),
        "CreateService" | "UpdateService" | "DeleteService" => ("ServiceModify", 50.0, 5.0),
        "DescribeServices" | "ListServices" => ("ServiceRead", 100.0, 20.0),
        // The family of Stop- and ContinueServiceDeployment is not published.
        "ListServiceDeployments"
        | "DescribeServiceDeployments"
        | "StopServiceDeployment"
        | "ContinueServiceDeployment" => ("ServiceDeploymentRead", 50.0, 20.0),
        "DescribeServiceRevisions" => ("ServiceRevisionRead", 50.0, 20.0),
        "RegisterTaskDefinition" | "DeregisterTaskDefinition" => {
            ("TaskDefinitionModify", 20.0, 1.0)
        }
        "DescribeTaskDefinition" | "ListTaskDefinitions" | "ListTaskDefinitionFamilies" => {
            ("TaskDefinitionRead", 50.0, 20.0)
        }
        "DeleteTaskDefinitions" => ("TaskDefinitionDelete", 5.0, 1.0),
        "CreateTaskSet"
        | "UpdateTaskSet"
        | "DeleteTaskSet"
        | "UpdateServicePrimaryTaskSet"
        | "DescribeTaskSets" => ("TaskSetModify", 100.0, 20.0),
        "TagResource" | "UntagResource" => ("TagModify", 20.0, 10.0),
        "ListTagsForResource" => ("TagRead", 50.0, 20.0),
        _ => return None,
    })
}

fn elb(operation: &str) -> Family {
    match operation {
        "RegisterTargets" | "DeregisterTargets" => ("elb.Registration", 20.0, 4.0),
        "CreateLoadBalancer" => ("elb.ResourceIntensive", 10.0, 0.2),
        _ if operation.starts_with("Describe") => ("elb.NonMutating", 200.0, 50.0),
        _ => ("elb.Mutating", 20.0, 3.0),
    }
}

fn cloudwatch(operation: &str) -> Option<Family> {
    Some(match operation {
        "DescribeAlarms" => ("cloudwatch.DescribeAlarms", 9.0, 9.0),
        "SetAlarmState" => ("cloudwatch.SetAlarmState", 3.0, 3.0),
        "GetMetricData" => ("cloudwatch.GetMetricData", 500.0, 500.0),
        "GetMetricStatistics" => ("cloudwatch.GetMetricStatistics", 400.0, 400.0),
        _ => return None,
    })
}
