//! Names that one part of a manifest uses and another must define; never looks outside of it.

use super::Wanted;
use crate::node::Cursor;
use crate::problem::Report;
use crate::spelling;

pub(super) fn check(wanted: &Wanted<'_, '_>, report: &mut Report) {
    let defined = Defined::of(wanted);
    for container in wanted.containers() {
        defined.check_container(&container, report);
    }
    if let Some(at) = wanted.task_definition.descendant("proxyConfiguration.containerName") {
        expect_one_of(&at, "container", &defined.containers, report);
    }
    for list in ["loadBalancers", "serviceRegistries"] {
        for target in wanted.service.elements_of(list) {
            check_container_port(wanted, &target, &defined, report);
        }
    }
    for target in wanted.service.elements_of("loadBalancers") {
        check_load_balancer(&target, report);
    }
    for at in port_names(wanted.service) {
        expect_one_of(&at, "port name", &defined.ports, report);
    }
    for volume in wanted.service.elements_of("volumeConfigurations") {
        if let Some(at) = volume.member("name") {
            expect_one_of(&at, "volume with `configuredAtLaunch: true`", &defined.launched, report);
        }
    }
}

/// The names that a task definition defines.
struct Defined<'a> {
    containers: Vec<&'a str>,
    ports: Vec<&'a str>,
    volumes: Vec<&'a str>,
    /// Volumes configured at launch.
    launched: Vec<&'a str>,
}

impl<'a> Defined<'a> {
    fn of(wanted: &Wanted<'_, 'a>) -> Self {
        let containers = wanted.containers();
        let mappings = containers.iter().flat_map(|at| at.elements_of("portMappings"));
        let volumes = wanted.task_definition.elements_of("volumes");
        let launched =
            volumes.iter().filter(|at| at.boolean_of("configuredAtLaunch") == Some(true));
        Self {
            ports: mappings.filter_map(|at| at.text_of("name")).collect(),
            launched: launched.filter_map(|at| at.text_of("name")).collect(),
            volumes: volumes.iter().filter_map(|at| at.text_of("name")).collect(),
            containers: containers.iter().filter_map(|at| at.text_of("name")).collect(),
        }
    }

    fn check_container(&self, container: &Cursor<'_>, report: &mut Report) {
        let of = |list: &str, name: &str| -> Vec<Cursor<'_>> {
            container.elements_of(list).iter().filter_map(|at| at.member(name)).collect()
        };
        for at in of("dependsOn", "containerName") {
            expect_one_of(&at, "container", &self.containers, report);
        }
        for at in of("volumesFrom", "sourceContainer") {
            expect_one_of(&at, "container", &self.containers, report);
        }
        for at in of("mountPoints", "sourceVolume") {
            expect_one_of(&at, "volume", &self.volumes, report);
        }
    }
}

fn expect_one_of(at: &Cursor<'_>, noun: &str, names: &[&str], report: &mut Report) {
    let Some(text) = at.text().filter(|_| !report.is_full()) else { return };
    if !names.contains(&text) {
        let suggestion = spelling::suggestion(text, names);
        report.error(at, format!("the task definition has no {noun} `{text}`{suggestion}"));
    }
}

/// Source: CreateService refuses a container or port that the task definition does not have.
fn check_container_port(
    wanted: &Wanted<'_, '_>,
    target: &Cursor<'_>,
    defined: &Defined<'_>,
    report: &mut Report,
) {
    let Some(name) = target.member("containerName") else { return };
    expect_one_of(&name, "container", &defined.containers, report);
    let containers = wanted.containers();
    let Some(container) = containers.iter().find(|at| at.text_of("name") == name.text()) else {
        return;
    };
    let Some(port) = target.member("containerPort") else { return };
    let Some(number) = port.integer() else { return };
    let mappings = container.elements_of("portMappings");
    if mappings.iter().any(|mapping| maps(mapping, number)) {
        return;
    }
    let ports: Vec<String> = mappings
        .iter()
        .filter_map(|at| at.integer_of("containerPort"))
        .map(|port| port.to_string())
        .collect();
    let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
    let container = name.text().unwrap_or_default();
    let known = match ports.as_slice() {
        [] => "it maps none".to_owned(),
        ports => format!("it maps {}", spelling::choices(ports).replace(" or ", " and ")),
    };
    report.error(&port, format!("the container `{container}` does not map port {number}: {known}"));
}

fn maps(mapping: &Cursor<'_>, port: i64) -> bool {
    let range = || {
        let (first, last) = mapping.text_of("containerPortRange")?.split_once('-')?;
        Some(first.trim().parse::<i64>().ok()?..=last.trim().parse().ok()?)
    };
    mapping.integer_of("containerPort") == Some(port)
        || range().is_some_and(|range| range.contains(&port))
}

fn check_load_balancer(target: &Cursor<'_>, report: &mut Report) {
    let group = target.member("targetGroupArn").is_some();
    if group == target.member("loadBalancerName").is_some() {
        report.error(
            target,
            "expected `targetGroupArn`, or `loadBalancerName` for a Classic Load Balancer",
        );
    }
}

/// Everywhere in a service that names a port of the task definition.
fn port_names<'a>(service: &Cursor<'a>) -> Vec<Cursor<'a>> {
    let mut users = service.elements_of("vpcLatticeConfigurations");
    users.extend(service.elements_of("gatewayConnectors"));
    if let Some(connect) = service.member("serviceConnectConfiguration") {
        users.extend(connect.elements_of("services"));
    }
    users.iter().filter_map(|user| user.member("portName")).collect()
}
