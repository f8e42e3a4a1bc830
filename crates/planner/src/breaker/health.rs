//! Which tasks of a deployment are healthy, as ECS sees it; never waits for them.

use evenkeel_manifest::Document;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::view::{View, not_seen};
use crate::{Fact, TargetGroupHealth, TargetHealth, Task};

/// What ECS itself waits before it calls a task without any health check healthy
/// (developer guide, `service_definition_parameters`).
const SETTLED: SignedDuration = SignedDuration::from_secs(40);

/// The tasks of `deployment` that are healthy now: RUNNING, passing their container health checks,
/// and `healthy` in every target group of the service, or, where nothing checks them, RUNNING for as
/// long as ECS waits. `None` when that cannot be seen.
pub(crate) fn healthy_tasks<'a>(view: &View<'a>, deployment: &str) -> Option<Vec<&'a Task>> {
    let tasks = view.observed().tasks.known()?;
    let groups = target_groups(view)?;
    let running = tasks.iter().filter(|task| runs(task)).count();
    let ours = tasks.iter().filter(|task| task.started_by.as_deref() == Some(deployment));
    // A deployment has one task definition.
    let checked = ours.clone().next().map_or(Checked::Unknown, |task| Checked::of(view, task));
    let is_checked = checked.is_any() || is_balanced(view);
    let least = if is_checked { SignedDuration::ZERO } else { SETTLED };
    let healthy = ours.filter(|task| {
        runs(task)
            && running_for(task, view.now()) >= least
            && passes_container_checks(task, &checked)
            && groups.iter().all(|group| is_healthy_target(group, task, running))
    });
    Some(healthy.collect())
}

fn runs(task: &Task) -> bool {
    task.last_status == "RUNNING" && task.desired_status != "STOPPED"
}

/// The essential containers of a task whose health ECS checks.
#[derive(Clone, Debug, PartialEq)]
enum Checked {
    Known(Vec<String>),
    /// The content of its task definition is not known.
    Unknown,
}

impl Checked {
    /// As the task definition says that the task runs: the wanted one and the proven one may differ in this, too.
    fn of(view: &View<'_>, task: &Task) -> Self {
        let definition = view.definition(&task.task_definition_arn);
        let is_another =
            definition.is_some_and(|one| one.digest != view.desired.task_definition_digest);
        if !is_another {
            return Self::Known(checked_containers(&view.desired.task_definition));
        }
        let document = definition.and_then(|one| one.document.as_ref());
        document.map_or(Self::Unknown, |one| Self::Known(checked_containers(one)))
    }

    fn is_any(&self) -> bool {
        matches!(self, Self::Known(names) if !names.is_empty())
    }
}

fn checked_containers(definition: &Document) -> Vec<String> {
    let containers = definition.member("containerDefinitions");
    let containers = containers.as_ref().and_then(Value::as_array);
    let is_checked = |one: &&Value| {
        one.get("healthCheck").is_some_and(Value::is_object)
            && one.get("essential").and_then(Value::as_bool) != Some(false)
    };
    let name = |one: &Value| one.get("name").and_then(Value::as_str).map(str::to_owned);
    containers.into_iter().flatten().filter(is_checked).filter_map(name).collect()
}

/// The health of the task as a whole is `UNKNOWN` for ever where one essential container has no check, while ECS itself asks for
/// those only that have one (ecs-behaviour 3.1, 7.4).
fn passes_container_checks(task: &Task, checked: &Checked) -> bool {
    let is_healthy = |name: &String| {
        let mut named = task.containers.iter().filter(|one| one.name == *name);
        named.any(|one| one.health_status.as_deref() == Some("HEALTHY"))
    };
    match (task.health_status.as_deref(), checked) {
        (Some("HEALTHY"), _) => true,
        (Some("UNHEALTHY"), _) => false,
        (_, Checked::Known(names)) => names.iter().all(is_healthy),
        (_, Checked::Unknown) => true,
    }
}

/// The targets that the service registers its tasks as: of one target group, or of two between which
/// traffic moves, and of which a task is in one.
struct Group<'a> {
    container_port: Option<u64>,
    targets: Vec<&'a TargetHealth>,
}

/// `None` when the health of one of them is not known. A server without load balancing has none.
fn target_groups<'a>(view: &View<'a>) -> Option<Vec<Group<'a>>> {
    let listed = view.live.get("loadBalancers").and_then(Value::as_array);
    let balanced = |one: &&Value| one.get("targetGroupArn").is_some();
    let facts = &view.observed().target_groups;
    let mut groups = Vec::new();
    for one in listed.into_iter().flatten().filter(balanced) {
        match facts {
            Fact::Known(known) => {
                let container_port = one.get("containerPort").and_then(Value::as_u64);
                groups.push(Group { container_port, targets: targets(known, one)? });
            }
            fact if not_seen(fact).is_some() => return None,
            Fact::Absent | Fact::Unknown(_) => {}
        }
    }
    Some(groups)
}

/// `None` when one of the groups was not answered for.
fn targets<'a>(known: &'a [TargetGroupHealth], balancer: &Value) -> Option<Vec<&'a TargetHealth>> {
    let mut targets = Vec::new();
    for arn in evenkeel_manifest::target_groups(balancer) {
        targets.extend(&known.iter().find(|one| one.arn == arn)?.targets);
    }
    Some(targets)
}

/// A task with an address of its own is found by it. One that shares its host's address cannot be
/// told apart, so then there must be as many healthy targets as running tasks.
fn is_healthy_target(group: &Group<'_>, task: &Task, running: usize) -> bool {
    let addresses = addresses(task);
    let healthy = || group.targets.iter().filter(|target| target.state == "healthy");
    if addresses.is_empty() {
        return healthy().count() >= running;
    }
    let at_address = || group.targets.iter().filter(|t| addresses.contains(&t.id.as_str()));
    let at_port = |port: Option<u16>| match (port, group.container_port) {
        (Some(port), Some(wanted)) => u64::from(port) == wanted,
        _ => true,
    };
    if at_address().any(|target| at_port(target.port)) {
        return at_address().any(|target| at_port(target.port) && target.state == "healthy");
    }
    let shares_an_address = at_address().next().is_some() || by_instance(&group.targets);
    shares_an_address && healthy().count() >= running
}

/// Whether targets are instances, so that an address says nothing.
fn by_instance(targets: &[&TargetHealth]) -> bool {
    !targets.is_empty() && targets.iter().all(|target| target.id.starts_with("i-"))
}

/// The private addresses of the task's network interface.
pub(crate) fn addresses(task: &Task) -> Vec<&str> {
    task.attachments
        .iter()
        .filter_map(|attachment| attachment.get("details")?.as_array())
        .flatten()
        .filter(|detail| {
            matches!(
                detail.get("name").and_then(Value::as_str),
                Some("privateIPv4Address" | "privateIPv6Address")
            )
        })
        .filter_map(|detail| detail.get("value")?.as_str())
        .collect()
}

fn is_balanced(view: &View<'_>) -> bool {
    let balanced = view.live.get("loadBalancers").and_then(Value::as_array);
    balanced.is_some_and(|all| !all.is_empty())
}

/// How long the task has been running at `now`.
pub(crate) fn running_for(task: &Task, now: Timestamp) -> SignedDuration {
    task.started_at.map_or(SignedDuration::ZERO, |started| now.duration_since(started))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TargetHealth;
    use serde_json::json;

    fn target(id: &str, port: u16, state: &str) -> TargetHealth {
        TargetHealth {
            id: id.to_owned(),
            port: Some(port),
            state: state.to_owned(),
            reason: None,
            description: None,
        }
    }

    fn task(address: Option<&str>) -> Task {
        let details = address.map(|value| json!({ "name": "privateIPv4Address", "value": value }));
        let details: Vec<Value> = details.into_iter().collect();
        Task::read(&json!({ "taskArn": "t", "attachments": [{ "details": details }] })).unwrap()
    }

    #[expect(clippy::needless_pass_by_value, reason = "shorter where it is called")]
    fn healthy(targets: Vec<TargetHealth>, task: &Task, running: usize) -> bool {
        let group = Group { container_port: Some(8080), targets: targets.iter().collect() };
        is_healthy_target(&group, task, running)
    }

    #[test]
    fn a_task_with_its_own_address_is_as_healthy_as_its_target() {
        let ours = task(Some("10.0.0.1"));
        let targets =
            |state| vec![target("10.0.0.1", 8080, state), target("10.0.0.2", 8080, "healthy")];
        assert!(healthy(targets("healthy"), &ours, 2));
        assert!(!healthy(targets("unhealthy"), &ours, 2));
        assert!(!healthy(targets("initial"), &ours, 2));
        assert!(!healthy(targets("draining"), &ours, 1));
    }

    #[test]
    fn a_task_that_is_not_registered_yet_is_not_healthy() {
        assert!(!healthy(vec![target("10.0.0.2", 8080, "healthy")], &task(Some("10.0.0.1")), 1));
        assert!(!healthy(Vec::new(), &task(Some("10.0.0.1")), 1));
    }

    #[test]
    fn tasks_that_share_an_address_are_healthy_when_all_targets_are() {
        let shared = task(Some("127.0.0.1"));
        let targets = |second| {
            vec![target("127.0.0.1", 40_001, "healthy"), target("127.0.0.1", 40_002, second)]
        };
        assert!(healthy(targets("healthy"), &shared, 2));
        assert!(!healthy(targets("initial"), &shared, 2));
    }

    #[test]
    fn tasks_on_instances_are_healthy_when_all_targets_are() {
        let targets =
            |second| vec![target("i-1", 40_001, "healthy"), target("i-2", 40_002, second)];
        assert!(healthy(targets("healthy"), &task(None), 2));
        assert!(!healthy(targets("unhealthy"), &task(None), 2));
        let addressed = task(Some("10.0.0.1"));
        assert!(healthy(targets("healthy"), &addressed, 2));
        assert!(!healthy(targets("unhealthy"), &addressed, 2));
    }

    #[test]
    fn without_a_container_check_unknown_health_is_no_objection() {
        let with =
            |status: &str| Task::read(&json!({ "taskArn": "t", "healthStatus": status })).unwrap();
        let (none, web) = (Checked::Known(vec![]), Checked::Known(vec!["web".to_owned()]));
        let passes = |status, checked| passes_container_checks(&with(status), checked);
        assert!(passes("UNKNOWN", &none) && !passes("UNKNOWN", &web));
        assert!(passes("HEALTHY", &web) && !passes("UNHEALTHY", &none));
        assert!(passes("UNKNOWN", &Checked::Unknown) && !passes("UNHEALTHY", &Checked::Unknown));
    }

    #[test]
    fn an_essential_container_without_a_check_does_not_keep_a_task_from_being_healthy() {
        let with = |web: &str| {
            let containers = json!([
                { "name": "web", "healthStatus": web },
                { "name": "envoy", "healthStatus": "UNKNOWN" },
            ]);
            let task =
                json!({ "taskArn": "t", "healthStatus": "UNKNOWN", "containers": containers });
            Task::read(&task).unwrap()
        };
        let web = Checked::Known(vec!["web".to_owned()]);
        assert!(passes_container_checks(&with("HEALTHY"), &web));
        assert!(!passes_container_checks(&with("UNKNOWN"), &web));
    }
}
