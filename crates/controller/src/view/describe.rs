//! Everything about one service as text; says the same sentences as the log and the status.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::Value;

use super::{ConditionView, ServiceView, age};
use crate::style::{self, paint, safe};

/// Sections in the order in which a person asks: how is it, what happens, why, what is awaited.
pub(crate) fn describe(service: &ServiceView, now: Timestamp) -> String {
    let mut text = String::new();
    head(&mut text, service, now);
    conditions(&mut text, &service.conditions);
    verdict(&mut text, service);
    rollout(&mut text, service, now);
    breaker(&mut text, service);
    analysis(&mut text, service);
    evidence(&mut text, service, now);
    drift(&mut text, service, now);
    waiting(&mut text, service, now);
    list(&mut text, "Did in the last pass", &service.did);
    list(&mut text, "Last events of ECS", &service.events);
    text
}

/// Writing to a `String` cannot fail.
macro_rules! line {
    ($text:expr, $($arg:tt)*) => { let _infallible = writeln!($text, $($arg)*); };
}

fn head(text: &mut String, service: &ServiceView, now: Timestamp) {
    line!(text, "{}", paint(style::TITLE, safe(&service.name())));
    let wanted = service.wanted.as_deref().unwrap_or("nothing: no manifest names it");
    line!(text, "  wanted revision  {}", safe(wanted));
    if let Some(source) = &service.source {
        let commit = source.commit.as_deref();
        let commit = commit.map_or(String::new(), |commit| format!(" at {}", safe(commit)));
        line!(text, "  manifest         {}:{}{commit}", safe(&source.file), source.line);
    }
    line!(
        text,
        "  tasks            {} of {} running",
        service.running_count,
        service.desired_count
    );
    let seen = service
        .observed_at
        .map_or("never".to_owned(), |at| format!("{} ago ({at:.0})", age(Some(at), now)));
    let again = service
        .look_again
        .map_or(String::new(), |again| format!(", looked at again within {}s", again.secs.max(1)));
    line!(text, "  last seen        {seen}{again}");
    if let Some(replica) = &service.replica {
        line!(text, "  looked after by  {}", safe(replica));
    }
}

fn conditions(text: &mut String, conditions: &[ConditionView]) {
    title(text, "Conditions");
    for condition in conditions {
        let ConditionView { kind, status, reason, message } = condition;
        let fine = (kind == "Ready" && status == "True") || (kind != "Ready" && status == "False");
        let colour = match (kind.as_str(), status.as_str()) {
            _ if fine => style::GOOD,
            ("Progressing" | "Unknown" | "Drifted", _) | (_, "Unknown") => style::CAREFUL,
            _ => style::BAD,
        };
        let status = paint(colour, format!("{:<7}", safe(status)));
        let words = format!("{:<20} {}", safe(reason), safe(message));
        line!(text, "  {:<12} {status} {}", safe(kind), words.trim_end());
    }
    if conditions.is_empty() {
        line!(text, "  none yet");
    }
}

fn verdict(text: &mut String, service: &ServiceView) {
    let Some(verdict) = &service.verdict else { return };
    title(text, "Verdict");
    line!(text, "  {}: {}", paint(style::BAD, safe(&verdict.kind)), safe(&verdict.sentence));
}

fn rollout(text: &mut String, service: &ServiceView, now: Timestamp) {
    let Some(rollout) = &service.rollout else { return };
    title(text, "Rollout");
    line!(text, "  phase            {}", safe(&rollout.phase));
    line!(text, "  revision         {}", safe(&rollout.digest));
    if let Some(deployment) = &rollout.deployment {
        line!(text, "  deployment       {}", safe(deployment));
    }
    if let Some(task_definition) = &rollout.task_definition {
        line!(text, "  task definition  {}", safe(task_definition));
    }
    line!(
        text,
        "  tasks            {} of {} running",
        rollout.running_count,
        rollout.desired_count
    );
    line!(text, "  since            {}", age(rollout.since, now));
}

fn breaker(text: &mut String, service: &ServiceView) {
    if service.breaker.is_empty() {
        return;
    }
    title(text, "Breaker");
    for count in &service.breaker {
        let tripped = count.threshold > 0 && count.count >= count.threshold;
        let colour = if tripped { style::BAD } else { style::GOOD };
        let counted = paint(colour, format!("{} of {}", count.count, count.threshold));
        line!(text, "  {:<16} {counted}", safe(&count.kind));
    }
}

fn analysis(text: &mut String, service: &ServiceView) {
    if service.analysis.is_empty() {
        return;
    }
    title(text, "Analysis");
    for one in &service.analysis {
        let colour = match one.result.as_str() {
            "Passed" => style::GOOD,
            "Failed" => style::BAD,
            _ => style::CAREFUL,
        };
        let result = paint(colour, format!("{:<12}", safe(&one.result)));
        line!(text, "  {:<16} {result} {}", safe(&one.metric), safe(&one.sentence));
    }
}

fn evidence(text: &mut String, service: &ServiceView, now: Timestamp) {
    if service.evidence.is_empty() {
        return;
    }
    title(text, "Evidence");
    for evidence in &service.evidence {
        let mut what = vec![safe(&evidence.kind).into_owned()];
        what.extend(evidence.task.as_deref().map(|task| format!("task {}", safe(task))));
        what.extend(evidence.exit_code.map(|code| format!("exit code {code}")));
        what.extend(evidence.at.map(|at| format!("{} ago", age(Some(at), now))));
        line!(text, "  {}: {}", what.join(", "), safe(&evidence.reason));
    }
}

fn drift(text: &mut String, service: &ServiceView, now: Timestamp) {
    if service.drift.is_empty() {
        return;
    }
    title(text, "Drift");
    let shown = |value: &Option<Value>| {
        let text = value.as_ref().map_or_else(|| "(not set)".to_owned(), Value::to_string);
        safe(&text).into_owned()
    };
    for field in &service.drift {
        let mut what = vec![safe(&field.policy).into_owned()];
        what.extend((field.healed > 0).then(|| format!("changed back {} times", field.healed)));
        what.extend(field.until.map(|until| format!("left alone until {until:.0}")));
        line!(
            text,
            "  {}: was {}, wanted {}, is {}, since {} ({})",
            safe(&field.path),
            shown(&field.last),
            shown(&field.wanted),
            shown(&field.live),
            age(field.since, now),
            what.join("; ")
        );
    }
}

fn waiting(text: &mut String, service: &ServiceView, now: Timestamp) {
    title(text, "Waits for");
    for wait in &service.waiting {
        let until = match wait.until {
            Some(until) if until > now => {
                let left = until.duration_since(now).as_secs();
                format!(" (until {until:.0}, {left}s left)")
            }
            Some(until) => format!(" (until {until:.0}, which has passed)"),
            None => String::new(),
        };
        line!(text, "  {}: {}{until}", safe(&wait.reason), safe(&wait.sentence));
    }
    if service.waiting.is_empty() {
        line!(text, "  nothing");
    }
}

fn list(text: &mut String, heading: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    title(text, heading);
    for entry in lines {
        line!(text, "  {}", safe(entry));
    }
}

fn title(text: &mut String, title: &str) {
    line!(text, "\n{}", paint(style::TITLE, title));
}
