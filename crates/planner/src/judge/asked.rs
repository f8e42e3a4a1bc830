//! Which metrics a manifest's analysis needs; never reads them.
//!
//! Names and dimensions: Elastic Load Balancing, "CloudWatch metrics for your Application Load Balancer";
//! Amazon ECS Developer Guide, "Amazon ECS CloudWatch metrics".

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_manifest::{MetricSource, Service, ServiceKey, application_balancer, target_groups};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::series::{MetricId, MetricQuestion, minute_from, minute_of};
use crate::{ObservedService, TaskSet};

/// `CloudWatch` answers a day of minutes for 70 metrics at once.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// What is to be read of a rollout that began at `since`; `None` when nothing is measured, or no minute
/// since then is closed yet.
pub(crate) fn question(
    desired: &Service,
    service: &ObservedService,
    since: Timestamp,
    now: Timestamp,
) -> Option<MetricQuestion> {
    let analysis = desired.rollout.analysis.as_ref()?;
    let until = closed_until(desired, now)?;
    let earliest = until.checked_sub(LONGEST).unwrap_or(Timestamp::MIN);
    let from = minute_from(since).max(earliest);
    let groups = balanced_groups(desired, service);
    let sources = || analysis.metrics.iter().map(|metric| &metric.source);
    let of_groups = sources().flat_map(|one| groups.iter().flat_map(|group| group.needs(one)));
    let (behind_the_group, placed): (BTreeSet<_>, BTreeSet<_>) =
        of_groups.partition(|_| desired.rollout.strategy.code_deploy().is_some());
    let of_the_service = sources().filter_map(|one| of_the_service(one, &desired.key));
    let metrics: BTreeSet<MetricId> = of_the_service.chain(placed).collect();
    let expressions: BTreeSet<String> = sources().filter_map(expression).collect();
    let is_asked = !(metrics.is_empty() && behind_the_group.is_empty() && expressions.is_empty());
    let question = MetricQuestion { metrics, behind_the_group, expressions, from, until };
    (from < until && is_asked).then_some(question)
}

fn expression(source: &MetricSource) -> Option<String> {
    match source {
        MetricSource::Prometheus(expression) => Some(expression.clone()),
        _ => None,
    }
}

/// The end of the last minute that is complete in `CloudWatch`.
pub(crate) fn closed_until(desired: &Service, now: Timestamp) -> Option<Timestamp> {
    let delay = SignedDuration::try_from(desired.rollout.analysis.as_ref()?.delay).ok()?;
    Some(minute_of(now.checked_sub(delay).ok()?))
}

/// A target group behind an Application Load Balancer, as metrics name them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BalancedGroup {
    pub(crate) arn: String,
    /// `None` until CodeDeploy's deployment group tells it.
    balancer: Option<String>,
}

/// The two groups between which traffic moves.
pub(crate) fn balanced_groups(desired: &Service, service: &ObservedService) -> Vec<BalancedGroup> {
    match desired.rollout.strategy.code_deploy() {
        Some(_) => groups_of_task_sets(service),
        None => groups_of_the_manifest(&desired.service.value()),
    }
}

/// The PRIMARY task set's first. Which second group CodeDeploy uses no manifest says.
fn groups_of_task_sets(service: &ObservedService) -> Vec<BalancedGroup> {
    let (primary, others): (Vec<_>, Vec<_>) =
        service.task_sets.iter().filter(|set| !set.is_draining()).partition(|set| set.is_primary());
    let group =
        |set: &TaskSet| Some(BalancedGroup { arn: set.target_group()?.to_owned(), balancer: None });
    primary.into_iter().chain(others).filter_map(group).collect()
}

/// Those of the first load balancer that is an Application Load Balancer.
fn groups_of_the_manifest(service: &Value) -> Vec<BalancedGroup> {
    const RULE: &str = "/advancedConfiguration/productionListenerRule";
    let listed = service.get("loadBalancers").and_then(Value::as_array);
    let application = |one: &Value| {
        let rule = one.pointer(RULE)?.as_str()?;
        let balancer = application_balancer(rule)?;
        let group =
            |arn: &str| BalancedGroup { arn: arn.to_owned(), balancer: Some(balancer.to_owned()) };
        Some(target_groups(one).map(group).collect())
    };
    listed.into_iter().flatten().find_map(application).unwrap_or_default()
}

/// The metric of a source that is not of a target group.
pub(crate) fn of_the_service(source: &MetricSource, key: &ServiceKey) -> Option<MetricId> {
    let ecs = |name: &str, statistic: &str| MetricId {
        namespace: "AWS/ECS".to_owned(),
        name: name.to_owned(),
        dimensions: BTreeMap::from([
            ("ClusterName".to_owned(), key.cluster.clone()),
            ("ServiceName".to_owned(), key.name.clone()),
        ]),
        statistic: statistic.to_owned(),
    };
    match source {
        MetricSource::Cpu(statistic) => Some(ecs("CPUUtilization", statistic.word())),
        MetricSource::Memory(statistic) => Some(ecs("MemoryUtilization", statistic.word())),
        MetricSource::Query(query) => Some(MetricId {
            namespace: query.namespace.clone(),
            name: query.metric_name.clone(),
            dimensions: query.dimensions.clone(),
            statistic: query.statistic.word().to_owned(),
        }),
        MetricSource::ErrorRate
        | MetricSource::Latency(_)
        | MetricSource::RequestCount
        | MetricSource::HealthyHosts
        | MetricSource::Prometheus(_) => None,
    }
}

impl BalancedGroup {
    /// The same once its load balancer is known; `None` while it is not.
    pub(crate) fn behind(self, told: Option<&str>) -> Option<Self> {
        let balancer = self.balancer.or_else(|| told.map(str::to_owned))?;
        Some(Self { balancer: Some(balancer), ..self })
    }

    fn needs(&self, source: &MetricSource) -> Vec<MetricId> {
        match source {
            MetricSource::ErrorRate => {
                vec![self.requests(), self.server_errors(), self.connection_errors()]
            }
            MetricSource::Latency(statistic) => {
                vec![self.requests(), self.response_time(statistic.word())]
            }
            MetricSource::RequestCount => vec![self.requests()],
            MetricSource::HealthyHosts => vec![self.healthy_hosts()],
            MetricSource::Cpu(_)
            | MetricSource::Memory(_)
            | MetricSource::Query(_)
            | MetricSource::Prometheus(_) => Vec::new(),
        }
    }

    pub(crate) fn requests(&self) -> MetricId {
        self.metric("RequestCount", "Sum")
    }

    pub(crate) fn server_errors(&self) -> MetricId {
        self.metric("HTTPCode_Target_5XX_Count", "Sum")
    }

    /// A target that does not answer at all has no code.
    pub(crate) fn connection_errors(&self) -> MetricId {
        self.metric("TargetConnectionErrorCount", "Sum")
    }

    pub(crate) fn response_time(&self, statistic: &str) -> MetricId {
        self.metric("TargetResponseTime", statistic)
    }

    pub(crate) fn healthy_hosts(&self) -> MetricId {
        self.metric("HealthyHostCount", "Minimum")
    }

    fn metric(&self, name: &str, statistic: &str) -> MetricId {
        let group = self.arn.rsplit(':').next().unwrap_or(&self.arn);
        let metric = MetricId {
            namespace: "AWS/ApplicationELB".to_owned(),
            name: name.to_owned(),
            dimensions: BTreeMap::from([("TargetGroup".to_owned(), group.to_owned())]),
            statistic: statistic.to_owned(),
        };
        match &self.balancer {
            Some(balancer) => metric.behind(balancer),
            None => metric,
        }
    }
}
