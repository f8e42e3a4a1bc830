//! `spec.rollout` from its nodes; never invents a value that the defaults do not have.

use std::time::Duration;

use jiff::SignedDuration;

use super::analysis::read::analysis;
use super::approvals::gates;
use super::code_deploy::code_deploy;
use super::steps::{check_names, steps};
use super::window::read::windows;
use super::{
    Breaker, Counting, OnFailure, Percent, Probe, Rollout, Shift, Step, Strategy, Threshold,
};
use crate::envelope::{flag, known_members};
use crate::node::{Cursor, Kind};
use crate::problem::Report;
use crate::spelling;

const ROLLOUT: [&str; 13] = [
    "strategy",
    "canary",
    "linear",
    "steps",
    "keepFor",
    "codeDeploy",
    "bake",
    "gateTimeout",
    "analysis",
    "approvals",
    "windows",
    "breaker",
    "probe",
];
const STEP: [&str; 2] = ["percent", "bake"];
const BREAKER: [&str; 8] = [
    "launchFailures",
    "healthFailures",
    "crashes",
    "doomed",
    "alarms",
    "progressDeadline",
    "onFailure",
    "counting",
];
const PROBE: [&str; 2] = ["enabled", "healthyFor"];

/// The members of `spec.rollout` that only some strategies have, and which.
const ONLY_FOR: [(&str, &[&str]); 9] = [
    ("canary", &["Canary"]),
    ("linear", &["Linear"]),
    ("steps", &["Steps"]),
    ("keepFor", &["Steps"]),
    ("codeDeploy", &["CodeDeploy"]),
    ("bake", &["BlueGreen", "Canary", "Linear"]),
    ("gateTimeout", &["BlueGreen", "Canary", "Linear", "Steps"]),
    ("analysis", &["BlueGreen", "Canary", "Linear", "Steps", "CodeDeploy"]),
    ("approvals", &["BlueGreen", "Canary", "Linear"]),
];

/// Reads `spec.rollout`; what is absent or wrong has its default.
pub(crate) fn rollout(at: &Cursor<'_>, report: &mut Report) -> Rollout {
    known_members(at, &ROLLOUT, |_| false, report);
    let rollout = Rollout {
        strategy: strategy(at, report),
        analysis: at.member("analysis").and_then(|at| analysis(&at, report)),
        approvals: at.member("approvals").map(|at| gates(&at, report)).unwrap_or_default(),
        windows: at.member("windows").map(|at| windows(&at, report)).unwrap_or_default(),
        breaker: at.member("breaker").map(|at| breaker(&at, report)).unwrap_or_default(),
        probe: at.member("probe").map(|at| probe(&at, report)).unwrap_or_default(),
    };
    if rollout.strategy.code_deploy().is_some() {
        check_ungated(at, &rollout, report);
    }
    check_names(at, rollout.analysis.as_ref(), report);
    rollout
}

/// CodeDeploy goes on by itself, and would give all traffic to what was rejected.
fn check_ungated(at: &Cursor<'_>, rollout: &Rollout, report: &mut Report) {
    let holds = rollout.breaker.on_failure == OnFailure::Hold;
    if let Some(at) = at.descendant("breaker.onFailure").filter(|_| holds) {
        report.error(&at, "nothing holds CodeDeploy but a rollback: use `Rollback`");
    }
    let of_gates = [
        ("webhooks", "a web hook is asked at a gate, and CodeDeploy waits at none: use `metrics`"),
        ("patience", "it is of gates, and CodeDeploy waits at none: remove this"),
        ("onInconclusive", "it is of gates, and CodeDeploy waits at none: remove this"),
    ];
    for (name, message) in of_gates {
        if let Some(at) = at.descendant(&format!("analysis.{name}")) {
            report.error(&at, message);
        }
    }
}

fn strategy(at: &Cursor<'_>, report: &mut Report) -> Strategy {
    let Some(kind) = kind(at, report) else { return Strategy::Rolling };
    for (name, kinds) in ONLY_FOR {
        if let Some(member) = at.member(name).filter(|_| !kinds.contains(&kind)) {
            let kinds = spelling::choices(kinds);
            report.error(&member, format!("only for the strategy {kinds}, and this is {kind}"));
        }
    }
    match kind {
        "BlueGreen" => Strategy::BlueGreen(shift(at, report)),
        "Canary" => {
            let usual = Step { percent: Percent::whole(10), bake: Duration::from_mins(10) };
            Strategy::Canary(shift(at, report), step(at, "canary", usual, 0.1, report))
        }
        "Linear" => {
            let usual = Step { percent: Percent::whole(10), bake: Duration::from_mins(6) };
            Strategy::Linear(shift(at, report), step(at, "linear", usual, 3.0, report))
        }
        "Steps" => Strategy::Steps(steps(at, report)),
        "CodeDeploy" => Strategy::CodeDeploy(code_deploy(at, report)),
        _ => Strategy::Rolling,
    }
}

/// `None` when it was wrong, and reported.
fn kind(rollout: &Cursor<'_>, report: &mut Report) -> Option<&'static str> {
    let Some(at) = rollout.member("strategy") else { return Some("Rolling") };
    let known = ["Rolling", "BlueGreen", "Canary", "Linear", "Steps", "CodeDeploy"];
    let known = known.map(|name| (name, name));
    choice(&at, &known, report)
}

fn shift(at: &Cursor<'_>, report: &mut Report) -> Shift {
    const FORTNIGHT: Duration = Duration::from_hours(336);
    let usual = Shift::default();
    let mut whole =
        |name, least, most| at.member(name).and_then(|at| minutes(&at, least, most, report));
    Shift {
        bake: whole("bake", Duration::ZERO, DAY).unwrap_or(usual.bake),
        gate_timeout: whole("gateTimeout", Duration::from_mins(1), FORTNIGHT)
            .unwrap_or(usual.gate_timeout),
    }
}

fn step(rollout: &Cursor<'_>, name: &str, usual: Step, least: f64, report: &mut Report) -> Step {
    let Some(at) = rollout.member(name) else { return usual };
    known_members(&at, &STEP, |_| false, report);
    Step {
        percent: at
            .member("percent")
            .and_then(|at| share(&at, least, report))
            .unwrap_or(usual.percent),
        bake: at
            .member("bake")
            .and_then(|at| minutes(&at, Duration::ZERO, DAY, report))
            .unwrap_or(usual.bake),
    }
}

/// A part of the traffic. Source of the bounds: `DeploymentConfiguration` API reference.
fn share(at: &Cursor<'_>, least: f64, report: &mut Report) -> Option<Percent> {
    let percent = at.scalar_text().filter(|_| at.text().is_none());
    let percent = percent.and_then(|text| text.parse().ok()).and_then(Percent::new);
    let percent = percent.filter(|percent| percent.value() >= least);
    if percent.is_none() {
        let message =
            format!("expected a percentage from {least} to 100 with at most one decimal place");
        report.error(at, message);
    }
    percent
}

/// ECS takes these durations in minutes.
fn minutes(
    at: &Cursor<'_>,
    least: Duration,
    most: Duration,
    report: &mut Report,
) -> Option<Duration> {
    let duration = between(at, least, most, report)?;
    if duration.as_secs().is_multiple_of(60) && duration.subsec_nanos() == 0 {
        return Some(duration);
    }
    report.error(at, "expected whole minutes, for ECS counts in them");
    None
}

fn breaker(at: &Cursor<'_>, report: &mut Report) -> Breaker {
    known_members(at, &BREAKER, |_| false, report);
    let default = Breaker::default();
    let mut threshold =
        |name, default| at.member(name).and_then(|at| threshold(&at, report)).unwrap_or(default);
    Breaker {
        launch_failures: threshold("launchFailures", default.launch_failures),
        health_failures: threshold("healthFailures", default.health_failures),
        crashes: threshold("crashes", default.crashes),
        doomed: threshold("doomed", default.doomed),
        alarms: at.member("alarms").map(|at| alarms(&at, report)).unwrap_or_default(),
        progress_deadline: at
            .member("progressDeadline")
            .and_then(|at| duration(&at, Duration::from_secs(1), report))
            .unwrap_or(default.progress_deadline),
        on_failure: {
            let known = [("Rollback", OnFailure::Rollback), ("Hold", OnFailure::Hold)];
            chosen(at, "onFailure", &known, report).unwrap_or(default.on_failure)
        },
        counting: {
            let known =
                [("Consecutive", Counting::Consecutive), ("Cumulative", Counting::Cumulative)];
            chosen(at, "counting", &known, report).unwrap_or(default.counting)
        },
    }
}

fn probe(at: &Cursor<'_>, report: &mut Report) -> Probe {
    known_members(at, &PROBE, |_| false, report);
    let default = Probe::default();
    Probe {
        enabled: flag(at, "enabled", report).unwrap_or(default.enabled),
        healthy_for: at
            .member("healthyFor")
            .and_then(|at| duration(&at, Duration::ZERO, report))
            .unwrap_or(default.healthy_for),
    }
}

/// The choice of a member; `None` when it is absent, or wrong and reported.
pub(crate) fn chosen<T: Copy>(
    parent: &Cursor<'_>,
    name: &str,
    known: &[(&str, T)],
    report: &mut Report,
) -> Option<T> {
    choice(&parent.member(name)?, known, report)
}

pub(crate) fn choice<T: Copy>(
    at: &Cursor<'_>,
    known: &[(&str, T)],
    report: &mut Report,
) -> Option<T> {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let Some(text) = at.text() else {
        report.error(at, format!("expected {}", spelling::choices(&names)));
        return None;
    };
    let found = known.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    if found.is_none() {
        let suggestion = spelling::suggestion(text, &names);
        report.error(at, format!("`{}` is not known{suggestion}", short(text)));
    }
    found
}

fn threshold(at: &Cursor<'_>, report: &mut Report) -> Option<Threshold> {
    let threshold = match &at.node.kind {
        Kind::Integer(count) => {
            u32::try_from(*count).ok().filter(|count| *count >= 1).map(Threshold::Count)
        }
        Kind::String(text) if &**text == "auto" => Some(Threshold::Auto),
        Kind::String(text) => percent(text).map(Threshold::Percent),
        _ => None,
    };
    if threshold.is_none() {
        report.error(
            at,
            "expected `auto`, a number of tasks from 1 up, or a share of the desired count from \
             `1%` to `100%`",
        );
    }
    threshold
}

pub(super) fn percent(text: &str) -> Option<u8> {
    let number: u8 = text.strip_suffix('%')?.trim_end().parse().ok()?;
    (1..=100).contains(&number).then_some(number)
}

fn alarms(at: &Cursor<'_>, report: &mut Report) -> Vec<String> {
    if !matches!(at.node.kind, Kind::List(_)) {
        let found = at.node.kind.noun();
        report.error(at, format!("expected a list of alarm names, found {found}"));
    }
    let mut names: Vec<String> = Vec::new();
    for element in at.elements() {
        match element.text() {
            Some(name) if names.iter().any(|known| known == name) => {
                report.error(&element, "this alarm is already in the list");
            }
            // CloudWatch's limit. Source: PutMetricAlarm API reference.
            Some(name) if (1..=255).contains(&name.chars().count()) => names.push(name.to_owned()),
            _ => report.error(&element, "expected the name of an alarm, 1 to 255 characters"),
        }
    }
    names
}

const DAY: Duration = Duration::from_hours(24);

/// A duration with units, from `least` to one day.
fn duration(at: &Cursor<'_>, least: Duration, report: &mut Report) -> Option<Duration> {
    between(at, least, DAY, report)
}

/// A duration that may be left out.
pub(super) fn chosen_duration(
    parent: &Cursor<'_>,
    name: &str,
    least: Duration,
    most: Duration,
    report: &mut Report,
) -> Option<Duration> {
    between(&parent.member(name)?, least, most, report)
}

pub(super) fn between(
    at: &Cursor<'_>,
    least: Duration,
    most: Duration,
    report: &mut Report,
) -> Option<Duration> {
    let parsed = at.text().and_then(|text| text.parse::<SignedDuration>().ok());
    let duration = parsed.and_then(|duration| Duration::try_from(duration).ok());
    match duration {
        Some(duration) if (least..=most).contains(&duration) => return Some(duration),
        Some(_) => {
            let [least, most] = [least, most].map(|one| SignedDuration::try_from(one).ok());
            let (least, most) = (least.unwrap_or_default(), most.unwrap_or(SignedDuration::MAX));
            report.error(at, format!("expected a duration from {least:#} to {most:#}"));
        }
        None => {
            report.error(at, "expected a duration with its unit, such as `30s`, `10m` or `1h30m`");
        }
    }
    None
}

/// Enough of a word to recognise it.
pub(super) fn short(text: &str) -> String {
    text.chars().take(40).collect()
}
