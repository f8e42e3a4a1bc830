//! Plans and statuses as plain text; never uses colour and never shows a secret.

use std::fmt;

use jiff::SignedDuration;

use crate::{Change, Condition, ConditionStatus, Plan, Status};

/// `45 s`, `10 min`, `1 h 5 min`: the two largest units that say something.
pub fn span(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (size, name) in units {
        let count = rest / size;
        rest %= size;
        if count > 0 && parts.len() < 2 {
            parts.push(format!("{count} {name}"));
        }
    }
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

/// One line for each action, wait and verdict.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(verdict) = &self.verdict {
            writeln!(f, "verdict {:?}: {}", verdict.kind, verdict.sentence)?;
        }
        for action in &self.actions {
            writeln!(f, "{}: {}", action.call.operation(), action.why)?;
        }
        for wait in &self.waiting {
            write!(f, "waits ({:?}): {}", wait.reason, wait.sentence)?;
            match wait.until {
                Some(until) => writeln!(f, " (until {until})")?,
                None => writeln!(f)?,
            }
        }
        if self.actions.is_empty() && self.waiting.is_empty() {
            writeln!(f, "nothing to do")?;
        }
        Ok(())
    }
}

/// `path: old → new (effect)`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path)?;
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => write!(f, "{old} → {new}")?,
            (None, Some(new)) => write!(f, "+ {new}")?,
            (Some(old), None) => write!(f, "- {old}")?,
            (None, None) => write!(f, "changes")?,
        }
        write!(f, " ({})", self.effect)
    }
}

/// `Ready: False (RolledBack) sentence`.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self.status {
            ConditionStatus::True => "True",
            ConditionStatus::False => "False",
            ConditionStatus::Unknown => "Unknown",
        };
        write!(f, "{:?}: {status} ({})", self.kind, self.reason)?;
        if self.message.is_empty() { Ok(()) } else { write!(f, " {}", self.message) }
    }
}

/// Everything that a person on call asks first.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} of {} tasks running",
            self.key, self.running_count, self.desired_count
        )?;
        for condition in &self.conditions {
            writeln!(f, "  {condition}")?;
        }
        if let Some(rollout) = &self.rollout {
            let deployment = rollout.deployment.as_deref().unwrap_or("no deployment yet");
            write!(f, "  rollout {:?} of {} ({deployment}): ", rollout.phase, rollout.digest)?;
            writeln!(f, "{} of {} tasks", rollout.running_count, rollout.desired_count)?;
        }
        for count in &self.breaker {
            writeln!(f, "  {:?}: {} of {}", count.kind, count.count, count.threshold)?;
        }
        for one in &self.evidence {
            let task = one.task.as_deref().unwrap_or("-");
            writeln!(f, "  {:?} {task}: {}", one.kind, one.reason)?;
        }
        for wait in &self.waiting {
            let until = wait.until.map_or(String::new(), |until| format!(" (until {until})"));
            writeln!(f, "  waits ({:?}): {}{until}", wait.reason, wait.sentence)?;
        }
        for did in &self.did {
            writeln!(f, "  did: {did}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_shows_its_two_largest_units() {
        let shown = [0, 45, 600, 3_900, 90_061].map(|s| span(SignedDuration::from_secs(s)));
        assert_eq!(shown, ["0 s", "45 s", "10 min", "1 h 5 min", "1 d 1 h"]);
    }

    #[test]
    fn a_clock_that_ran_backwards_shows_as_nothing() {
        assert_eq!(span(SignedDuration::from_secs(-5)), "0 s");
    }
}
