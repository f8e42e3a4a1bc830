//! Target groups that several manifests use although traffic moves between them: two services would move
//! each other's; never about what one manifest says.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::{Problem, Service, ServiceKey, Severity, target_groups};

/// One problem for each service that shares a group with another one, when traffic moves to or from it in
/// either. [`load`](crate::load) finds those of one set of files; this is for several sets together.
pub fn shared_groups<S: Borrow<Service>>(services: &[S]) -> Vec<Problem> {
    let services = || services.iter().map(S::borrow);
    // Parsing ten thousand documents for nothing would be noticed.
    if !services().any(|one| one.service.text().contains("alternateTargetGroupArn")) {
        return Vec::new();
    }
    let mut users: BTreeMap<String, Vec<&Service>> = BTreeMap::new();
    let mut moved = BTreeSet::new();
    for service in services() {
        let document = service.service.value();
        let balancers = document.get("loadBalancers").and_then(Value::as_array);
        for balancer in balancers.into_iter().flatten() {
            let groups: Vec<&str> = target_groups(balancer).collect();
            if groups.len() > 1 {
                moved.extend(groups.iter().map(|group| (*group).to_owned()));
            }
            for group in groups {
                users.entry(group.to_owned()).or_default().push(service);
            }
        }
    }
    users.retain(|group, services| moved.contains(group) && keys(services).len() > 1);
    users.iter().flat_map(|(group, services)| told(group, services)).collect()
}

fn keys<'a>(services: &[&'a Service]) -> BTreeSet<&'a ServiceKey> {
    services.iter().map(|service| &service.key).collect()
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
