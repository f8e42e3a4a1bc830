//! The containers of one task definition among themselves; never looks at the service.

use std::collections::HashMap;

use crate::node::{Cursor, Kind};
use crate::problem::Report;
use crate::task_size;

/// Source: ECS service quotas, not adjustable.
const CONTAINERS: usize = 10;

pub(super) fn check(task_definition: &Cursor<'_>, report: &mut Report) {
    let Some(list) = task_definition.member("containerDefinitions") else { return };
    let containers: Vec<_> = list.elements().collect();
    if matches!(list.node.kind, Kind::List(_)) {
        check_count(&list, &containers, report);
    }
    check_unique(&containers, "name", "container", report);
    check_ports(task_definition, &containers, report);
    check_memory(task_definition, &containers, report);
    for container in &containers {
        check_variables(container, report);
    }
    if containers.len() <= CONTAINERS {
        check_dependencies(&containers, report);
    }
    check_unique(&task_definition.elements_of("volumes"), "name", "volume", report);
}

fn check_count(list: &Cursor<'_>, containers: &[Cursor<'_>], report: &mut Report) {
    if containers.is_empty() {
        return report.error(list, "expected at least one container");
    }
    if let Some(beyond) = containers.get(CONTAINERS) {
        let message = format!("a task definition has at most {CONTAINERS} containers");
        report.error(beyond, message);
    }
    if containers.iter().all(|container| container.boolean_of("essential") == Some(false)) {
        report.error(list, "no container is essential: leave out `essential: false` for one");
    }
}

/// Reports the second and later objects with the same text under `name`.
fn check_unique(objects: &[Cursor<'_>], name: &str, noun: &str, report: &mut Report) {
    let mut first = HashMap::new();
    for object in objects {
        let Some(at) = object.member(name) else { continue };
        let Some(text) = at.text() else { continue };
        match first.get(text) {
            Some(line) => {
                report.error(&at, format!("the {noun} `{text}` is already defined on line {line}"));
            }
            None => {
                first.insert(text, at.position.line);
            }
        }
    }
}

/// With `awsvpc` and `host` all containers of a task share one set of ports; with `bridge` they
/// share those of the host that are written.
fn check_ports(task_definition: &Cursor<'_>, containers: &[Cursor<'_>], report: &mut Report) {
    let mode = task_definition.text_of("networkMode");
    let shared = matches!(mode, Some("awsvpc" | "host"));
    let mappings: Vec<_> =
        containers.iter().flat_map(|container| container.elements_of("portMappings")).collect();
    check_unique(&mappings, "name", "port name", report);
    let mut first = HashMap::new();
    for mapping in &mappings {
        let (container, host) = (mapping.member("containerPort"), mapping.member("hostPort"));
        if container.is_none() && mapping.member("containerPortRange").is_none() {
            report.error(mapping, "expected `containerPort` or `containerPortRange`");
        }
        for port in [&container, &host].into_iter().flatten() {
            check_port_number(port, report);
        }
        let host = host.filter(|at| at.integer() != Some(0));
        if let (true, Some(container), Some(host)) = (shared, &container, &host)
            && container.integer() != host.integer()
        {
            let mode = mode.unwrap_or_default();
            report.error(host, format!("with `networkMode: {mode}` expected the container port"));
        }
        let Some(used) = host.or(container.filter(|_| shared)) else { continue };
        let Some(port) = used.integer() else { continue };
        let protocol = mapping.text_of("protocol").unwrap_or("tcp");
        if let Some(line) = first.insert((port, protocol), used.position.line) {
            let message = format!("port {port}/{protocol} is already taken on line {line}");
            report.error(&used, message);
        }
    }
}

fn check_port_number(at: &Cursor<'_>, report: &mut Report) {
    if at.integer().is_some_and(|port| !(0..=65535).contains(&port)) {
        report.error(at, "expected a port from 0 to 65535");
    }
}

/// Source: RegisterTaskDefinition API reference, `memory` and `memoryReservation`.
fn check_memory(task_definition: &Cursor<'_>, containers: &[Cursor<'_>], report: &mut Report) {
    let task = task_definition.member("memory").and_then(|at| at.scalar_text());
    let task = task.and_then(|text| task_size::memory_mib(&text));
    for container in containers {
        let (hard, soft) = (container.member("memory"), container.member("memoryReservation"));
        if task.is_none()
            && task_definition.member("memory").is_none()
            && hard.is_none()
            && soft.is_none()
        {
            report.error(
                container,
                "expected `memory` or `memoryReservation`, for the task has no `memory` of its own",
            );
        }
        if let (Some(hard), Some(soft)) = (&hard, &soft)
            && hard.integer() < soft.integer()
        {
            report.error(soft, "expected no more than the container's `memory`");
        }
        let within = |at: &Cursor<'_>| match (at.integer().map(u64::try_from), task) {
            (Some(Ok(mib)), Some(task)) => mib <= task,
            _ => true,
        };
        for at in [hard, soft].into_iter().flatten().filter(|at| !within(at)) {
            report.error(&at, "expected no more than the task's `memory`");
        }
    }
}

/// Source: RegisterTaskDefinition answers that a secret's name must be unique and not shared with a
/// variable.
fn check_variables(container: &Cursor<'_>, report: &mut Report) {
    let mut variables = container.elements_of("environment");
    variables.extend(container.elements_of("secrets"));
    check_unique(&variables, "name", "variable", report);
}

fn check_dependencies(containers: &[Cursor<'_>], report: &mut Report) {
    let by_name: HashMap<&str, &Cursor<'_>> = containers
        .iter()
        .filter_map(|container| Some((container.text_of("name")?, container)))
        .collect();
    for container in containers {
        for dependency in container.elements_of("dependsOn") {
            let needed = dependency.text_of("containerName").and_then(|name| by_name.get(name));
            let healthy = dependency.text_of("condition") == Some("HEALTHY");
            if healthy && needed.is_some_and(|needed| needed.member("healthCheck").is_none()) {
                report.error(&dependency, "`HEALTHY` needs a `healthCheck` in that container");
            }
        }
        if let Some(name) =
            container.text_of("name").filter(|name| waits_for_itself(name, &by_name))
        {
            report.error(container, format!("`{name}` waits for itself through `dependsOn`"));
        }
    }
}

fn waits_for_itself(name: &str, by_name: &HashMap<&str, &Cursor<'_>>) -> bool {
    let mut reached: Vec<&str> = vec![name];
    let mut next = 0;
    while let Some(container) = reached.get(next).copied() {
        next += 1;
        let needs =
            by_name.get(container).map(|at| at.elements_of("dependsOn")).unwrap_or_default();
        for needed in needs.iter().filter_map(|at| at.text_of("containerName")) {
            if needed == name {
                return true;
            }
            if !reached.contains(&needed) {
                reached.push(needed);
            }
        }
    }
    false
}
