//! How a commit fares, from the statuses of the services that it wants; never from what was told before.

use evenkeel_manifest::{Problem, Severity};
use evenkeel_planner::{ConditionKind, ConditionStatus, Status};
use evenkeel_reconciler::DesiredState;

/// What git hosting knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Success,
    Pending,
    Failure,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) state: State,
    /// One sentence.
    pub(super) sentence: String,
}

/// How the commit in force of one source fares. `status` gives the newest status of a service.
pub(super) fn standing<'a>(
    source: &str,
    problems: &[Problem],
    desired: &DesiredState,
    status: impl Fn(&evenkeel_manifest::ServiceKey) -> Option<std::sync::Arc<Status>> + 'a,
) -> Standing {
    let is_ours = |file: &str| file.strip_prefix(source).is_some_and(|rest| rest.starts_with('/'));
    let errors: Vec<&Problem> = problems
        .iter()
        .filter(|one| one.severity == Severity::Error && is_ours(&one.file))
        .collect();
    if let Some(first) = errors.first() {
        let more = match errors.len() {
            1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        return Standing { state: State::Failure, sentence: format!("{first}{more}") };
    }
    let services: Vec<_> =
        desired.services.values().filter(|one| is_ours(&one.source.file)).collect();
    let of_each = services.iter().map(|service| {
        let wanted = &service.revision_digest;
        let seen = status(&service.key).filter(|one| one.wanted.as_ref() == Some(wanted));
        let standing = seen.map_or_else(not_seen, |status| of_service(&status));
        Standing { sentence: format!("{}: {}", service.key, standing.sentence), ..standing }
    });
    let worst = of_each.max_by_key(|one| one.state);
    match worst {
        Some(worst) if worst.state > State::Success => worst,
        _ => {
            let count = services.len();
            let sentence = format!("all {count} services are as their manifests say");
            Standing { state: State::Success, sentence }
        }
    }
}

fn not_seen() -> Standing {
    Standing { state: State::Pending, sentence: "is being looked at".to_owned() }
}

fn of_service(status: &Status) -> Standing {
    let holds = |kind: ConditionKind| {
        let found = status.conditions.iter().find(|one| one.kind == kind);
        found.filter(|one| one.status == ConditionStatus::True)
    };
    let bad = [ConditionKind::Rejected, ConditionKind::RolledBack, ConditionKind::Invalid];
    if let Some(bad) = bad.into_iter().find_map(holds) {
        return Standing { state: State::Failure, sentence: bad.message.clone() };
    }
    if let Some(ready) = holds(ConditionKind::Ready) {
        return Standing { state: State::Success, sentence: ready.message.clone() };
    }
    let ready = status.conditions.iter().find(|one| one.kind == ConditionKind::Ready);
    let sentence = ready.map(|one| one.message.clone()).unwrap_or_default();
    Standing { state: State::Pending, sentence }
}
