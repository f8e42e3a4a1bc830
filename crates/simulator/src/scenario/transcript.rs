//! The transcript of a scenario: each command, what the daemons did, and what they say; never a time
//! of the host.

use std::fmt::Write as _;

use evenkeel_planner::{ConditionKind, ConditionStatus};

use crate::harness::Stage;

pub(super) struct Transcript {
    text: String,
}

impl Transcript {
    pub(super) fn new(stage: &Stage, proves: &str) -> Self {
        stage.look(|course| course.tells_acts(true));
        Self { text: format!("{proves}\n") }
    }

    pub(super) fn command(&mut self, stage: &Stage, line: &str) {
        let at = stage.look(|course| clock(course.elapsed()));
        let _ = writeln!(self.text, "\n{at} > {line}");
    }

    pub(super) fn happened(&mut self, stage: &Stage) {
        for act in stage.look(crate::harness::Course::take_acts) {
            let _ = writeln!(self.text, "{act}");
        }
    }

    pub(super) fn shown(&mut self, lines: &[String]) {
        for line in lines {
            let _ = writeln!(self.text, "    {}", crate::harness::without_ids(line));
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// `1:02:03`.
pub(crate) fn clock(since: std::time::Duration) -> String {
    let seconds = since.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// What the daemon says of a service: the conditions that hold, and what it waits for.
pub(super) fn status(stage: &Stage, name: &str) -> Vec<String> {
    let Some(status) = stage.status(name) else { return vec!["nothing is said of it".to_owned()] };
    let mut lines = Vec::new();
    for condition in &status.conditions {
        let told = match (condition.kind, condition.status) {
            (ConditionKind::Ready, ConditionStatus::True) => "Ready".to_owned(),
            (ConditionKind::Ready, _) => "not Ready".to_owned(),
            (kind, ConditionStatus::True) => format!("{kind:?}"),
            _ => continue,
        };
        lines.push(format!("{told} ({}): {}", condition.reason, condition.message));
    }
    for wait in &status.waiting {
        lines.push(format!("waits ({:?}): {}", wait.reason, wait.sentence));
    }
    lines.iter().map(|line| crate::harness::without_ids(line)).collect()
}

/// What a service came to, without what differs from course to course.
pub(super) fn ending(stage: &Stage, name: &str) -> String {
    let Some(facts) = stage.facts(name) else { return format!("{name}: there is none") };
    let definition = facts.primary().map(|one| one.definition.clone()).unwrap_or_default();
    let image = stage.look(|course| course.image(&definition)).unwrap_or_default();
    let digest_of = |key: &str| {
        let value = facts.tags.get(key).map_or("none", String::as_str);
        value.split(':').nth(2).unwrap_or(value).to_owned()
    };
    format!(
        "{name}: {image} x{}, {}, {:?}, rejected {}, marked {}",
        facts.desired,
        if facts.is_steady() { "steady" } else { "not steady" },
        facts.life,
        digest_of("evenkeel:rejected"),
        facts.tags.contains_key("evenkeel:rollout"),
    )
}
