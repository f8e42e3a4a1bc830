//! Reading the truth about a service out of the region's memory; never through a reply.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::identifiers::{last_part, task_id};
use super::service::{
    Deployment, LoadBalancer, Revision, Rollout, Service, ServiceId, ServiceStatus,
};
use super::service_deployment::ServiceDeployment;
use super::task::Task;
use super::task_set::TaskSet;
use super::{State, TaskId, Timer, list, text};
use crate::elb::TargetState;
use crate::facts::{
    DeploymentCourse, DeploymentFacts, HistoryFacts, Life, ServiceFacts, TaskFacts,
};
use crate::{Happening, RequestTally};

/// How many service deployments of a service are told of, the newest ones.
const HISTORY: usize = 10;

impl State {
    pub(crate) fn facts(&self, id: ServiceId) -> Option<ServiceFacts> {
        let service = self.services.get(&id)?;
        Some(ServiceFacts {
            at: self.now,
            cluster: service.cluster.clone(),
            name: service.name.clone(),
            arn: service.arn.clone(),
            life: life(service.status),
            desired: service.desired,
            minimum_healthy_percent: service.configuration.least,
            maximum_percent: service.configuration.most,
            tags: service.tags.clone(),
            deployments: self.deployment_facts(service),
            tasks: service
                .tasks
                .iter()
                .filter_map(|id| self.tasks.get(id))
                .map(|task| self.task_facts(task))
                .collect(),
            history: history(service),
            alarms: self.cloudwatch.states(),
        })
    }

    fn deployment_facts(&self, service: &Service) -> Vec<DeploymentFacts> {
        let facts = |one: &Deployment| {
            let balancer = one.revision.load_balancers.iter().find(|one| one.listeners.is_some());
            let share = balancer.map(|balancer| self.share_of(balancer));
            let groups = one.revision.load_balancers.iter();
            let groups = groups.filter_map(|one| self.elb.target_groups.get(&one.target_group));
            let failed_requests = groups.map(|group| group.failed_requests).sum();
            DeploymentFacts { share, failed_requests, ..deployment(one) }
        };
        let deployments = service.deployments.iter().map(facts);
        deployments.chain(self.task_set_facts(service)).collect()
    }

    /// Task sets as deployments, of which the PRIMARY one is complete.
    fn task_set_facts(&self, service: &Service) -> Vec<DeploymentFacts> {
        let facts = |set: &TaskSet| {
            let groups =
                || set.deployment.revision.load_balancers.iter().map(|one| &one.target_group);
            let listener = self.code_deploy.production_listener(&service.cluster, &service.name);
            let share = groups().find_map(|group| match listener {
                Some(listener) => self.elb.share_behind(listener, group),
                None => self.elb.production_share_of(group),
            });
            let known = groups().filter_map(|group| self.elb.target_groups.get(group));
            let failed_requests = known.map(|group| group.failed_requests).sum();
            let course = if set.is_primary() {
                DeploymentCourse::Completed
            } else {
                DeploymentCourse::InProgress
            };
            DeploymentFacts { course, share, failed_requests, ..deployment(&set.deployment) }
        };
        let mut sets: Vec<&TaskSet> = service.task_sets.iter().collect();
        sets.sort_by_key(|set| (!set.is_primary(), std::cmp::Reverse(set.deployment.created_at)));
        sets.into_iter().map(facts).collect()
    }

    fn share_of(&self, balancer: &LoadBalancer) -> u32 {
        let Some(listeners) = &balancer.listeners else { return 0 };
        let weights = self.elb.forwards_of(&listeners.production_rule);
        let all: u32 = weights.iter().map(|(_, weight)| weight).sum();
        let own = weights.iter().find(|(group, _)| *group == balancer.target_group);
        own.map_or(0, |(_, weight)| weight * 1000 / all.max(1))
    }

    /// Whether no newer service has its name.
    pub(crate) fn is_newest(&self, id: ServiceId) -> bool {
        let Some(service) = self.services.get(&id) else { return false };
        let name = (service.cluster.clone(), service.name.clone());
        self.names.get(&name) == Some(&id)
    }

    fn task_facts(&self, task: &Task) -> TaskFacts {
        TaskFacts {
            id: task.id.0,
            deployment: task.deployment,
            definition: Arc::clone(&task.content.arn),
            state: task.state.word(),
            wanted: task.wanted,
            healthy: task.is_healthy(self.now, self.timings.healthy_without_check),
            was_healthy: task.was_healthy,
            failing: task.failing.is_some(),
            created_at: task.times.created,
            started_at: task.times.started,
            stopping_at: task.times.stopping,
            stop_code: task.stop_code.map(super::task::StopCode::word),
            stopped_reason: task.stopped_reason.clone(),
        }
    }

    /// The service that a timer is about.
    pub(crate) fn service_of(&self, timer: &Timer) -> Option<ServiceId> {
        match timer {
            Timer::Schedule(id)
            | Timer::ForgetService(id)
            | Timer::ServiceDeployment(id, _)
            | Timer::Stage(id, _, _)
            | Timer::StageExpires(id, _, _)
            | Timer::HookAnswers(id, _, _)
            | Timer::HookExpires(id, _, _)
            | Timer::Breaker(id, _)
            | Timer::DeploymentAlarm(id, _) => Some(*id),
            Timer::Task(task, _) | Timer::Kill(task) | Timer::Forget(task) => {
                self.tasks.get(task).map(|task| task.service)
            }
            Timer::CodeDeploy(number, _)
            | Timer::CodeDeployStops(number)
            | Timer::CodeDeployAlarms(number) => self.service_of_deployment(*number),
            Timer::Drained { .. } | Timer::EvaluateAlarms | Timer::SendMetrics(_) => None,
        }
    }

    /// The service whose task something happened to.
    pub(crate) fn service_hit_by(&self, happening: &Happening) -> Option<ServiceId> {
        let task = match happening {
            Happening::TaskRunning { task, .. }
            | Happening::TaskFailedToStart { task, .. }
            | Happening::ContainerExited { task, .. }
            | Happening::ContainerHealth { task, .. } => task_id(task)?,
            Happening::TargetHealth { target_group, id, port, result } => {
                self.turned(target_group, id, *port, result.is_ok())?
            }
            Happening::BalancersReport(tallies) => return self.failing(tallies),
        };
        Some(self.tasks.get(&task)?.service)
    }

    /// The service whose users' requests failed, if one's did.
    fn failing(&self, tallies: &[RequestTally]) -> Option<ServiceId> {
        let failing = tallies.iter().find(|tally| tally.failed() > 0)?.target_group.as_ref()?;
        let is_behind = |one: &LoadBalancer| one.target_group == *failing;
        let of = |one: &Deployment| one.revision.load_balancers.iter().any(is_behind);
        let found = self.services.iter().find(|(_, service)| service.deployments.iter().any(of));
        found.map(|(id, _)| *id)
    }

    /// The task behind a target, when one more check of it may change whether it is healthy.
    fn turned(&self, target_group: &str, id: &str, port: u16, passed: bool) -> Option<TaskId> {
        let task = self.elb.task_at(target_group, id, port)?;
        let is_healthy = self.elb.state_of(target_group, id, port) == Some(TargetState::Healthy);
        (is_healthy != passed).then_some(task)
    }

    /// The services that the input of a call names.
    pub(crate) fn services_named(&self, input: &Value) -> BTreeSet<ServiceId> {
        let arn = text(input, "resourceArn").or_else(|| text(input, "serviceDeploymentArn"));
        let path = arn.and_then(|arn| {
            let mut parts = arn.split('/').skip(1);
            Some((parts.next()?, parts.next()?))
        });
        let named = text(input, "service").or_else(|| text(input, "serviceName"));
        let named =
            named.map(|name| (text(input, "cluster").unwrap_or("default"), last_part(name)));
        let key = path.or(named).map(|(cluster, name)| (cluster.to_owned(), name.to_owned()));
        let named = key.and_then(|key| self.names.get(&key)).copied();
        let deployed = self.service_of_deployment_id(input);
        named.into_iter().chain(deployed).chain(self.services_behind(input)).collect()
    }

    /// The services whose task sets are in the target groups that a call gives weights to.
    fn services_behind<'a>(&'a self, input: &'a Value) -> impl Iterator<Item = ServiceId> + 'a {
        let actions = ["Actions", "DefaultActions"].into_iter().flat_map(|name| list(input, name));
        let groups = actions.filter_map(|action| action.get("ForwardConfig"));
        let groups: BTreeSet<&str> = groups
            .flat_map(|config| list(config, "TargetGroups"))
            .filter_map(|group| text(group, "TargetGroupArn"))
            .collect();
        let is_behind = move |service: &Service| {
            let sets = service.task_sets.iter();
            let mut balancers = sets.flat_map(|set| &set.deployment.revision.load_balancers);
            balancers.any(|one| groups.contains(one.target_group.as_str()))
        };
        let services = self.services.iter();
        services.filter(move |(_, service)| is_behind(service)).map(|(id, _)| *id)
    }
}

fn life(status: ServiceStatus) -> Life {
    match status {
        ServiceStatus::Active => Life::Active,
        ServiceStatus::Draining => Life::Draining,
        ServiceStatus::Inactive => Life::Inactive,
    }
}

fn deployment(one: &Deployment) -> DeploymentFacts {
    DeploymentFacts {
        id: one.id,
        course: match one.rollout {
            Rollout::InProgress => DeploymentCourse::InProgress,
            Rollout::Completed => DeploymentCourse::Completed,
            Rollout::Failed => DeploymentCourse::Failed,
        },
        definition: definition(&one.revision),
        revision: one.revision.number,
        created_at: one.created_at,
        failed_tasks: one.failed_tasks,
        share: None,
        failed_requests: 0,
    }
}

fn definition(revision: &Revision) -> Arc<str> {
    Arc::clone(&revision.task_definition.arn)
}

fn history(service: &Service) -> Vec<HistoryFacts> {
    let facts = |one: &ServiceDeployment| {
        let revision = service.revisions.get(&one.target())?;
        Some(HistoryFacts {
            arn: one.arn.clone(),
            status: one.status.word(),
            revision: one.target(),
            definition: definition(revision),
            created_at: one.created_at,
        })
    };
    let skipped = service.rollouts.len().saturating_sub(HISTORY);
    service.rollouts.iter().skip(skipped).filter_map(facts).collect()
}
