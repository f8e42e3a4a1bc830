//! What Fargate and `awsvpc` demand; never applied to other launch types.

use super::Wanted;
use crate::node::Cursor;
use crate::problem::Report;
use crate::task_size::{cpu_units, memory_mib};

/// CPU units, and the memory in MiB that goes with them: from, to, step. 256 has no step of its own:
/// 512, 1024 and 2048.
/// Source: Amazon ECS Developer Guide, task size for Fargate.
const SIZES: [(u64, u64, u64, u64); 7] = [
    (256, 512, 2_048, 512),
    (512, 1_024, 4_096, 1_024),
    (1_024, 2_048, 8_192, 1_024),
    (2_048, 4_096, 16_384, 1_024),
    (4_096, 8_192, 30_720, 1_024),
    (8_192, 16_384, 61_440, 4_096),
    (16_384, 32_768, 122_880, 8_192),
];

/// Windows on Fargate has one to four vCPU only.
const WINDOWS_CPU: std::ops::RangeInclusive<u64> = 1_024..=4_096;

pub(super) fn check(wanted: &Wanted<'_, '_>, report: &mut Report) {
    let task_definition = wanted.task_definition;
    let cpu = size(task_definition, "cpu", cpu_units, "`256` or `0.25 vCPU`", report);
    let memory = size(task_definition, "memory", memory_mib, "`512` or `0.5 GB`", report);
    if wanted.network_mode() == Some("awsvpc") {
        check_network(wanted, report);
    }
    if !is_fargate(wanted) {
        return;
    }
    check_compatibility(wanted, report);
    check_network_mode(wanted, report);
    for (name, size) in [("cpu", &cpu), ("memory", &memory)] {
        if size.is_none() && task_definition.member(name).is_none() {
            report.error(task_definition, format!("Fargate needs `{name}` for the task"));
        }
    }
    if let (Some(cpu), Some(memory)) = (cpu, memory) {
        check_pair(&cpu, &memory, report);
        check_windows(task_definition, &cpu, report);
    }
    for container in wanted.containers() {
        if container.boolean_of("privileged") == Some(true) {
            report.error(&container, "Fargate does not run privileged containers");
        }
    }
}

struct Size<'a> {
    at: Cursor<'a>,
    amount: u64,
}

fn size<'a>(
    task_definition: &Cursor<'a>,
    name: &str,
    parse: fn(&str) -> Option<u64>,
    examples: &str,
    report: &mut Report,
) -> Option<Size<'a>> {
    let at = task_definition.member(name)?;
    let amount = parse(&at.scalar_text()?);
    if amount.is_none() {
        report.error(&at, format!("expected a size such as {examples}"));
    }
    amount.map(|amount| Size { at, amount })
}

fn is_fargate(wanted: &Wanted<'_, '_>) -> bool {
    let providers = wanted.service.elements_of("capacityProviderStrategy");
    requires_fargate(wanted)
        || wanted.service.text_of("launchType") == Some("FARGATE")
        || providers
            .iter()
            .any(|at| matches!(at.text_of("capacityProvider"), Some("FARGATE" | "FARGATE_SPOT")))
}

fn requires_fargate(wanted: &Wanted<'_, '_>) -> bool {
    let all = wanted.task_definition.elements_of("requiresCompatibilities");
    all.iter().any(|one| one.text() == Some("FARGATE"))
}

/// ECS refuses: "Task definition does not support `launch_type` FARGATE".
fn check_compatibility(wanted: &Wanted<'_, '_>, report: &mut Report) {
    if let Some(at) = wanted.task_definition.member("requiresCompatibilities")
        && !requires_fargate(wanted)
    {
        report.error(&at, "the service runs on Fargate: expected `FARGATE` in this list");
    }
}

fn check_network_mode(wanted: &Wanted<'_, '_>, report: &mut Report) {
    match wanted.task_definition.member("networkMode") {
        Some(at) if at.text() == Some("awsvpc") => {}
        Some(at) => report.error(&at, "Fargate needs `awsvpc`"),
        None => report.error(wanted.task_definition, "Fargate needs `networkMode: awsvpc`"),
    }
}

fn check_network(wanted: &Wanted<'_, '_>, report: &mut Report) {
    let Some(network) = wanted.service.descendant("networkConfiguration.awsvpcConfiguration")
    else {
        if wanted.service.member("networkConfiguration").is_none() {
            let message = "`networkMode: awsvpc` needs `networkConfiguration` with subnets";
            report.error(wanted.service, message);
        }
        return;
    };
    // Source: AwsVpcConfiguration API reference.
    for (name, most) in [("subnets", 16), ("securityGroups", 5)] {
        if let Some(beyond) = network.elements_of(name).get(most) {
            report.error(beyond, format!("expected at most {most} {name}"));
        }
    }
    if let Some(subnets) = network.member("subnets")
        && subnets.elements().next().is_none()
    {
        report.error(&subnets, "expected at least one subnet");
    }
}

fn check_pair(cpu: &Size<'_>, memory: &Size<'_>, report: &mut Report) {
    let Some((_, from, to, step)) = SIZES.iter().find(|(units, ..)| *units == cpu.amount) else {
        let known: Vec<String> = SIZES.iter().map(|(units, ..)| units.to_string()).collect();
        return report.error(
            &cpu.at,
            format!("Fargate has no such CPU: expected one of {}", known.join(", ")),
        );
    };
    let exists = (*from..=*to).contains(&memory.amount)
        && memory.amount.is_multiple_of(*step)
        && (cpu.amount, memory.amount) != (256, 1_536);
    if !exists {
        let expected = match cpu.amount {
            256 => "512, 1024 or 2048 MiB".to_owned(),
            _ => format!("{from} to {to} MiB in steps of {step}"),
        };
        let message = format!("Fargate with CPU {} takes {expected} of memory", cpu.amount);
        report.error(&memory.at, message);
    }
}

fn check_windows(task_definition: &Cursor<'_>, cpu: &Size<'_>, report: &mut Report) {
    let system = task_definition.descendant("runtimePlatform.operatingSystemFamily");
    let windows =
        system.is_some_and(|at| at.text().is_some_and(|text| text.starts_with("WINDOWS")));
    if windows && !WINDOWS_CPU.contains(&cpu.amount) {
        report.error(&cpu.at, "Fargate runs Windows with CPU 1024, 2048 or 4096 only");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{Kind, Node, Position};

    /// Every pair that Fargate has, as its documentation lists them.
    fn documented(cpu: u64) -> Vec<u64> {
        let gb = |from: u64, to: u64, step: usize| {
            (from..=to).step_by(step).map(|gb| gb * 1024).collect::<Vec<_>>()
        };
        match cpu {
            256 => vec![512, 1024, 2048],
            512 => gb(1, 4, 1),
            1024 => gb(2, 8, 1),
            2048 => gb(4, 16, 1),
            4096 => gb(8, 30, 1),
            8192 => gb(16, 60, 4),
            16384 => gb(32, 120, 8),
            _ => Vec::new(),
        }
    }

    #[test]
    fn accepts_exactly_the_pairs_that_fargate_has() {
        let file = "web.yaml".into();
        let node = Node::new(Position { line: 1, column: 1 }, Kind::Null);
        let size = |amount| Size { at: Cursor::root(&file, &node), amount };
        for cpu in [0, 128, 256, 300, 512, 1024, 2048, 3072, 4096, 8192, 16384, 32768] {
            let documented = documented(cpu);
            for memory in (0..=130 * 1024).step_by(256) {
                let mut report = Report::default();
                check_pair(&size(cpu), &size(memory), &mut report);
                let accepted = !report.has_errors();
                assert_eq!(accepted, documented.contains(&memory), "cpu {cpu}, memory {memory}");
            }
        }
    }
}
