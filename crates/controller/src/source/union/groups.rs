//! Target groups between which traffic moves and that services of several sources use: they would move each
//! other's; never about those of one source, which its own reading tells.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use evenkeel_manifest::{Problem, Service, Severity, target_groups};
use serde_json::Value;

/// One problem for each service that shares such a group with another one.
pub(super) fn problems(services: &[Arc<Service>]) -> Vec<Problem> {
    // Parsing ten thousand documents for nothing would be noticed.
    if !services.iter().any(|one| one.service.text().contains("alternateTargetGroupArn")) {
        return Vec::new();
    }
    let mut users: BTreeMap<String, Vec<&Service>> = BTreeMap::new();
    let mut moved = BTreeSet::new();
    for service in services {
        let document = service.service.value();
        let balancers = document.get("loadBalancers").and_then(Value::as_array);
        for balancer in balancers.into_iter().flatten() {
            let groups: Vec<String> = target_groups(balancer).map(str::to_owned).collect();
            if groups.len() > 1 {
                moved.extend(groups.iter().cloned());
            }
            for group in groups {
                users.entry(group).or_default().push(service);
            }
        }
    }
    let shared = |services: &[&Service]| {
        services.iter().map(|service| &service.key).collect::<BTreeSet<_>>().len() > 1
    };
    users.retain(|group, services| moved.contains(group) && shared(services));
    users.iter().flat_map(|(group, services)| told(group, services)).collect()
}

fn told(group: &str, services: &[&Service]) -> Vec<Problem> {
    let problem = |service: &&Service| {
        let others = services.iter().filter(|other| other.key != service.key).take(5);
        let others: Vec<String> =
            others.map(|other| format!("{} ({})", other.key, other.source.file)).collect();
        Problem {
            file: Arc::clone(&service.source.file),
            line: service.source.line,
            column: 1,
            path: "spec.service.loadBalancers".to_owned(),
            message: format!(
                "traffic moves between the groups of this service, and {} uses one of them, too: {group}",
                others.join(", ")
            ),
            severity: Severity::Error,
            service: Some(service.key.clone()),
        }
    };
    services.iter().map(problem).collect()
}
