//! How a commit fares, from the statuses of the services that it wants; never from what was told before.

use evenkeel_manifest::{Problem, Service, Severity};
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

/// Which services are told of together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    pub(super) source: &'a str,
    /// `None` for all clusters.
    pub(super) cluster: Option<&'a str>,
}

impl<'a> Scope<'a> {
    pub(super) fn services(self, desired: &'a DesiredState) -> impl Iterator<Item = &'a Service> {
        let all = desired.services.values().map(|one| &**one);
        all.filter(move |one| {
            self.is_of_the_source(&one.source.file)
                && self.cluster.is_none_or(|cluster| one.key.cluster == cluster)
        })
    }

    fn is_of_the_source(self, file: &str) -> bool {
        file.strip_prefix(self.source).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// How the commit in force of one source fares. `status` gives the newest status of a service. A manifest that cannot be
/// read is in no cluster, so all tell of it.
pub(super) fn standing<'a>(
    scope: Scope<'_>,
    problems: &[Problem],
    desired: &DesiredState,
    status: impl Fn(&evenkeel_manifest::ServiceKey) -> Option<std::sync::Arc<Status>> + 'a,
) -> Standing {
    let is_ours = |file: &str| scope.is_of_the_source(file);
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
    let services: Vec<&Service> = scope.services(desired).collect();
    let of_each = services.iter().map(|service| {
        let seen = status(&service.key).filter(|status| is_about(status, service));
        let standing = seen.map_or_else(not_seen, |status| of_service(&status));
        Standing { sentence: format!("{}: {}", service.key, standing.sentence), ..standing }
    });
    let worst = of_each.max_by_key(|one| one.state);
    match worst {
        Some(worst) if worst.state > State::Success => worst,
        _ => {
            let count = services.len();
            let sentence = match scope.cluster {
                Some(cluster) => {
                    format!("all {count} services in {cluster} are as their manifests say")
                }
                None => format!("all {count} services are as their manifests say"),
            };
            Standing { state: State::Success, sentence }
        }
    }
}

/// The digest alone does not tell: counts, tags and terms of the rollout are not in it.
fn is_about(status: &Status, service: &Service) -> bool {
    let commit = status.source.as_ref().and_then(|source| source.commit.as_deref());
    status.wanted.as_ref() == Some(&service.revision_digest)
        && commit == service.source.commit.as_deref()
}

fn not_seen() -> Standing {
    Standing { state: State::Pending, sentence: "is being looked at".to_owned() }
}

fn of_service(status: &Status) -> Standing {
    let holds = |kind: ConditionKind| {
        let found = status.conditions.iter().find(|one| one.kind == kind);
        found.filter(|one| one.status == ConditionStatus::True)
    };
    if let Some(verdict) =
        status.verdict.as_ref().filter(|_| holds(ConditionKind::Rejected).is_some())
    {
        let sentence = format!("{:?}: {}", verdict.kind, verdict.sentence);
        return Standing { state: State::Failure, sentence };
    }
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
