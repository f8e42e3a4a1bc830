//! One pass over one service: observe, plan, check, act, status; never decides when.

mod follow;

use evenkeel_manifest::{Service, ServiceKey};
use evenkeel_planner::{
    Action, Applied, Change, Depth, Fact, Input, Observed, Outcome, Plan, Questions, Status,
    Unknown,
};
use jiff::Timestamp;
use tokio::time::Instant;

pub(crate) use follow::Follower;

use crate::permit::Permit;
use crate::unconfirmed::Unconfirmed;
use crate::{Cloud, CloudError, Withheld};

/// How often one pass asks at most: shallow, deep, and once more for what the deep look named.
const ROUNDS_MAX: usize = 3;

/// Whether a pass may change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Apply,
    /// Looks, plans and checks, and calls nothing that changes anything.
    DryRun,
}

/// What one pass saw, decided and did.
#[derive(Clone, Debug)]
pub struct PassReport {
    /// The decision, also when it was refused or not carried out to its end.
    pub plan: Plan,
    pub status: Status,
    /// Every field that differs between the manifest and AWS, as seen before acting. Empty when an
    /// applying pass had nothing to do.
    pub changes: Vec<Change>,
    /// The results of the actions that succeeded: a prefix of `plan.actions`.
    pub applied: Vec<Applied>,
    pub outcome: Outcome,
    /// What ended the pass before its end.
    pub error: Option<CloudError>,
    /// Why the rest of the plan was not carried out although nothing failed. Never in a pass of
    /// [`reconcile`].
    pub withheld: Option<Withheld>,
}

impl PassReport {
    /// Whether the service itself could be read.
    pub(crate) fn saw_the_service(&self) -> bool {
        self.error.is_none() || !self.plan.actions.is_empty()
    }
}

/// Brings one service one safe step nearer to what is wanted.
///
/// # Expected flow
///
/// 1. Observe, as often as [`evenkeel_planner::questions`] has more to ask, three times at most.
/// 2. Plan; `now` is the time of the observation, by AWS's clock.
/// 3. Check the plan; one that breaks a safety property is refused whole.
/// 4. Act: the plan's calls in their order, ending with the first that fails. The control loop
///    asks before each whether the plan still holds.
/// 5. Report the status, on every path.
///
/// # Guarantees
///
/// - Nothing is written before the service was read in the same pass. So a call whose outcome is
///   unknown is followed by a read of what it was about, whatever happens in between.
/// - If the service cannot be read, nothing is written.
/// - Nothing is retried; when to try again is the caller's decision.
///
/// # Cancellation
///
/// A pass that is dropped while it acts leaves a call of unknown outcome; the next pass reads.
///
/// `desired` is `None` when no manifest names the service (any more); `instance` is the name of
/// this daemon as written into the owner tag.
pub async fn reconcile<C: Cloud>(
    cloud: &C,
    key: &ServiceKey,
    desired: Option<&Service>,
    instance: &str,
    mode: Mode,
) -> PassReport {
    let (unconfirmed, permit) = (Unconfirmed::default(), Permit::unconditional());
    reconcile_after(cloud, key, desired, instance, mode, &unconfirmed, &permit).await.0
}

/// As [`reconcile`], for a caller that remembers what it wrote before and writes under conditions.
/// Also says what is known after it, or that the look was from the past, so that nothing was done.
pub(crate) async fn reconcile_after<C: Cloud>(
    cloud: &C,
    key: &ServiceKey,
    desired: Option<&Service>,
    instance: &str,
    mode: Mode,
    unconfirmed: &Unconfirmed,
    permit: &Permit,
) -> (PassReport, Option<Unconfirmed>) {
    let (looked_at, seen) = observe(cloud, key, desired).await;
    let (observed, unseen) = match seen {
        Ok(observed) => (observed, None),
        Err(error) => (unreadable(&error), Some(error)),
    };
    let (now, drift) = (observed.at, &unconfirmed.drift);
    let input = Input { key, desired, observed: &observed, now, instance, drift };
    let prune = permit.prune().filter(|_| desired.is_none());
    let mut plan = match prune {
        Some(terms) => evenkeel_planner::prune(&input, terms),
        None => evenkeel_planner::plan(&input),
    };
    if unseen.is_some() {
        plan.actions.clear();
    }
    let is_stale = unconfirmed.hold(&mut plan, observed.service.known())
        || unconfirmed.hold_step(&mut plan, &observed);
    let checked = match prune {
        Some(terms) => evenkeel_planner::check_prune(&plan, &input, terms),
        None => evenkeel_planner::check(&plan, &input),
    };
    let done = match (unseen, checked) {
        (Some(error), _) => Done::failed(Vec::new(), error),
        (None, Err(broken)) => Done::refused(&input, broken),
        (None, Ok(())) if mode == Mode::DryRun => Done::without_calls(Outcome::DryRun),
        (None, Ok(())) => act(cloud, &input, &plan, permit, looked_at).await,
    };
    let changes = match mode {
        Mode::Apply if plan.actions.is_empty() => Vec::new(),
        Mode::Apply | Mode::DryRun => evenkeel_planner::changes(&input),
    };
    // Of a service that could not be read nothing is known; its call did not fail to change it.
    let shown = if observed.service.unknown().is_some() { &Outcome::Done } else { &done.outcome };
    let status = evenkeel_planner::status(&input, &plan, shown);
    let Done { applied, outcome, error, withheld } = done;
    let report = PassReport { plan, status, changes, applied, outcome, error, withheld };
    let known = (!is_stale).then(|| {
        let (calls, drifted) = (report.applied.len(), report.status.drift.as_slice());
        let drift = drift.after(&input, &report.plan, calls, drifted);
        let tasks = observed.tasks.known().map(Vec::as_slice);
        unconfirmed.after(&report, observed.service.known()).with(drift).having_seen(tasks)
    });
    (report, known)
}

/// What the last look showed, and when that look began: each shows the whole service anew.
pub(crate) async fn observe<C: Cloud>(
    cloud: &C,
    key: &ServiceKey,
    desired: Option<&Service>,
) -> (Instant, Result<Observed, CloudError>) {
    observe_with(cloud, key, |seen| evenkeel_planner::questions(desired, seen)).await
}

/// As [`observe`], with other questions.
async fn observe_with<C: Cloud>(
    cloud: &C,
    key: &ServiceKey,
    next: impl Fn(Option<&Observed>) -> Option<Questions>,
) -> (Instant, Result<Observed, CloudError>) {
    let first = next(None).unwrap_or_else(Questions::shallow);
    let (mut looked_at, mut seen) = (Instant::now(), ask(cloud, key, &first).await);
    for _ in 1..ROUNDS_MAX {
        let Ok(observed) = &seen else { break };
        let Some(questions) = next(Some(observed)) else { break };
        looked_at = Instant::now();
        seen = ask(cloud, key, &questions).await;
    }
    (looked_at, seen)
}

/// One look, which says which digest it searched for, until when it measured and how long it lasted.
///
/// # Errors
///
/// Not even the service itself could be read.
pub async fn ask<C: Cloud>(
    cloud: &C,
    key: &ServiceKey,
    questions: &Questions,
) -> Result<Observed, CloudError> {
    let searched = questions.family.as_ref().map(|question| question.digest.clone());
    let measured_until = questions.metrics.as_ref().map(|question| question.until);
    let began = Instant::now();
    let observed = cloud.observe(key, questions).await?;
    Ok(Observed { searched, measured_until, took: began.elapsed(), ..observed })
}

/// What is known when the service could not be read: nothing, and why. The planner then says in
/// its own words what it waits for.
pub(crate) fn unreadable(error: &CloudError) -> Observed {
    let why = match error {
        CloudError::CapabilityMissing { operation } => {
            Unknown::CapabilityMissing { operation: operation.clone() }
        }
        other => {
            Unknown::Failed { operation: other.operation().to_owned(), message: other.to_string() }
        }
    };
    // AWS's clock was not heard; the time is only shown.
    let unasked = Observed::unasked(Timestamp::now(), Depth::Shallow);
    Observed { service: Fact::Unknown(why), ..unasked }
}

/// How the last beat ended.
struct Done {
    applied: Vec<Applied>,
    outcome: Outcome,
    error: Option<CloudError>,
    withheld: Option<Withheld>,
}

impl Done {
    fn without_calls(outcome: Outcome) -> Self {
        Self { applied: Vec::new(), outcome, error: None, withheld: None }
    }

    fn withheld(applied: Vec<Applied>, why: Withheld) -> Self {
        let outcome = Outcome::Withheld { message: why.message().to_owned() };
        Self { applied, outcome, error: None, withheld: Some(why) }
    }

    fn failed(applied: Vec<Applied>, error: CloudError) -> Self {
        let outcome = Outcome::Failed { class: error.class(), message: error.to_string() };
        Self { applied, outcome, error: Some(error), withheld: None }
    }

    /// A refused plan is a defect of the planner: it is said as loudly as can be.
    fn refused(input: &Input<'_>, broken: Vec<String>) -> Self {
        tracing::error!(
            service = %input.key,
            digest = digest(input),
            deployment = deployment(input),
            why = broken.join("; "),
            "plan refused: it breaks a safety property, nothing was done"
        );
        Self::without_calls(Outcome::Refused(broken))
    }
}

async fn act<C: Cloud>(
    cloud: &C,
    input: &Input<'_>,
    plan: &Plan,
    permit: &Permit,
    looked_at: Instant,
) -> Done {
    let mut applied = Vec::with_capacity(plan.actions.len());
    for action in &plan.actions {
        match permit.carry_out(cloud, input.key, action, looked_at).await {
            Ok(Ok(result)) => {
                log_applied(input, action, &result);
                applied.push(result);
            }
            Ok(Err(error)) => {
                log_failed(input, action, &error);
                return Done::failed(applied, error);
            }
            Err(why) => {
                log_withheld(input, action, why);
                return Done::withheld(applied, why);
            }
        }
    }
    Done { applied, outcome: Outcome::Done, error: None, withheld: None }
}

fn log_applied(input: &Input<'_>, action: &Action, result: &Applied) {
    let started = match result {
        Applied::Service { deployment, .. } => deployment.as_deref(),
        Applied::TaskDefinition { .. } | Applied::Done => None,
    };
    tracing::info!(
        service = %input.key,
        digest = digest(input),
        source = source(input),
        commit = commit(input),
        deployment = started.or(deployment(input)),
        action = action.call.operation(),
        why = action.why,
        "applied"
    );
}

fn log_failed(input: &Input<'_>, action: &Action, error: &CloudError) {
    tracing::warn!(
        service = %input.key,
        digest = digest(input),
        source = source(input),
        commit = commit(input),
        deployment = deployment(input),
        action = action.call.operation(),
        why = action.why,
        error = %error,
        class = error.class(),
        "action failed"
    );
}

fn log_withheld(input: &Input<'_>, action: &Action, why: Withheld) {
    tracing::info!(
        service = %input.key,
        digest = digest(input),
        deployment = deployment(input),
        action = action.call.operation(),
        why = why.message(),
        "action withheld"
    );
}

fn digest<'a>(input: &Input<'a>) -> Option<&'a str> {
    input.desired.map(|desired| desired.revision_digest.as_str())
}

/// The file of the manifest.
fn source<'a>(input: &Input<'a>) -> Option<&'a str> {
    input.desired.map(|desired| &*desired.source.file)
}

fn commit<'a>(input: &Input<'a>) -> Option<&'a str> {
    input.desired.and_then(|desired| desired.source.commit.as_deref())
}

/// The id of the PRIMARY deployment.
fn deployment<'a>(input: &Input<'a>) -> Option<&'a str> {
    let service = input.observed.service.known()?;
    service.deployments.iter().find(|d| d.status == "PRIMARY").map(|d| d.id.as_str())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use evenkeel_planner::{Call, DriftMemory, Lane, Wait, WaitReason};
    use tokio::sync::watch;

    use super::*;
    use crate::DesiredState;
    use crate::permit::{InForce, Terms};
    use crate::testing::{Look, ScriptedCloud, foreign, key, service, transient};

    fn action(call: Call) -> Action {
        Action { call, lane: Lane::NewChange, why: "because".to_owned() }
    }

    fn three_actions() -> Plan {
        let arn = || "arn:aws:ecs:eu-west-1:123456789012:service/main/web".to_owned();
        Plan {
            actions: vec![
                action(Call::RegisterTaskDefinition { input: serde_json::json!({}) }),
                action(Call::UpdateService { input: serde_json::json!({}) }),
                action(Call::UntagResource { arn: arn(), keys: Vec::new() }),
            ],
            waiting: vec![Wait {
                reason: WaitReason::Deployment,
                sentence: "ECS moves tasks".to_owned(),
                until: None,
            }],
            verdict: None,
            look_again: Duration::from_secs(5),
        }
    }

    async fn acted(cloud: &ScriptedCloud) -> Done {
        acted_under(cloud, &Permit::unconditional()).await
    }

    async fn acted_under(cloud: &ScriptedCloud, permit: &Permit) -> Done {
        let (key, desired) = (key("web"), service("web", "1"));
        let observed = foreign(&key);
        let (now, desired) = (observed.at, Some(&desired));
        let drift = DriftMemory::nothing();
        let input = Input { key: &key, desired, observed: &observed, now, instance: "test", drift };
        act(cloud, &input, &three_actions(), permit, Instant::now()).await
    }

    #[tokio::test(start_paused = true)]
    async fn actions_are_carried_out_in_their_order() {
        let cloud = ScriptedCloud::new(Duration::ZERO);
        let done = acted(&cloud).await;
        let calls = ["RegisterTaskDefinition web", "UpdateService web", "UntagResource web"];
        assert_eq!(cloud.calls(), calls);
        assert_eq!((done.applied.len(), done.outcome, done.error), (3, Outcome::Done, None));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_action_that_fails_ends_the_pass() {
        let unknown = CloudError::UnknownOutcome {
            operation: "UpdateService".to_owned(),
            message: "timed out".to_owned(),
        };
        let cloud = ScriptedCloud::new(Duration::ZERO);
        cloud.results("web", [Ok(Applied::Done), Err(unknown.clone())]);
        let done = acted(&cloud).await;
        assert_eq!(cloud.calls(), ["RegisterTaskDefinition web", "UpdateService web"]);
        assert_eq!(done.applied, [Applied::Done]);
        let message = unknown.to_string();
        assert_eq!(done.outcome, Outcome::Failed { class: "unknown_outcome", message });
        assert_eq!(done.error, Some(unknown));
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_is_paused_between_two_actions_keeps_the_first_and_is_spared_the_rest() {
        let cloud = ScriptedCloud::new(Duration::ZERO)
            .calls_wait_and_take(Duration::ZERO, Duration::from_secs(1));
        let state = |service: Service| {
            let services = [(service.key.clone(), Arc::new(service))].into();
            Arc::new(DesiredState { services, ..DesiredState::default() })
        };
        let (newest, is_newest) = watch::channel(state(service("web", "1")));
        let planned = Some(Arc::new(service("web", "1")));
        let in_force = InForce { key: Arc::new(key("web")), planned, newest: is_newest };
        let look_age_max = Duration::from_secs(30);
        let permit = Permit::under(Terms { in_force, look_age_max, lease: None, prune: None });
        let pause = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            newest.send_replace(state(Service { paused: true, ..service("web", "1") }));
        };
        let (done, ()) = tokio::join!(acted_under(&cloud, &permit), pause);
        assert_eq!(cloud.calls(), ["RegisterTaskDefinition web"]);
        assert_eq!((done.applied.len(), done.error), (1, None));
        assert_eq!(done.withheld, Some(Withheld::Superseded));
        assert!(matches!(done.outcome, Outcome::Withheld { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_cannot_be_read_is_not_written_to_and_has_a_status() {
        let error = transient("DescribeServices");
        let cloud = ScriptedCloud::new(Duration::ZERO);
        cloud.script("web", [Look::Fails(error.clone())]);
        let wanted = service("web", "1");
        let report = reconcile(&cloud, &key("web"), Some(&wanted), "test", Mode::Apply).await;
        assert_eq!(cloud.calls(), Vec::<String>::new());
        assert_eq!((report.status.key, report.error), (key("web"), Some(error)));
        assert_eq!(report.plan.actions, []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dry_run_changes_nothing() {
        let cloud = ScriptedCloud::new(Duration::ZERO);
        let wanted = service("web", "1");
        let report = reconcile(&cloud, &key("web"), Some(&wanted), "test", Mode::DryRun).await;
        assert_eq!(cloud.calls(), Vec::<String>::new());
        assert_eq!(report.outcome, Outcome::DryRun);
    }
}
