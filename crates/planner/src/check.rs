//! The guard before every act: refuses a plan that breaks a safety property; shares no code with the
//! planner, so that one mistake is not made twice, and never repairs a plan.
//!
//! Properties: reliability.md, part C (S7, S14, S15, S19–S22, S24, S25, S32).

mod code_deploy;
mod external;
mod gates;
mod order;
mod prune;
mod steps;
pub(crate) mod windows;

use evenkeel_manifest::{Digest, Gate, Service, Strategy, canonical};
use serde_json::Value;

use crate::{
    Action, Call, Depth, Fact, HookAction, Input, Lane, ObservedService, Plan, TaskDefinition,
    Unknown,
};

pub use order::check_order;
pub use prune::check_prune;

/// Refuses a plan that breaks a safety property; shares no code with [`plan`](crate::plan). The error
/// names every property broken.
pub fn check(plan: &Plan, input: &Input<'_>) -> Result<(), Vec<String>> {
    if plan.actions.is_empty() {
        return Ok(());
    }
    let Some(desired) = input.desired else {
        return Err(vec![
            "no manifest names this service, and yet something is written".to_owned(),
        ]);
    };
    let ground = Ground { input, desired, service: input.observed.service.known() };
    let mut broken: Vec<String> = Vec::new();
    for rule in PLAN_RULES {
        broken.extend(rule(&ground, plan));
    }
    for action in &plan.actions {
        let name = action.call.operation();
        let rules = ACTION_RULES.iter().chain(external::RULES).chain(code_deploy::RULES);
        let found = rules.filter_map(|rule| rule(&ground, action));
        broken.extend(found.map(|property| format!("{name}: {property}")));
    }
    if broken.is_empty() { Ok(()) } else { Err(broken) }
}

/// What a plan is checked against.
struct Ground<'a> {
    input: &'a Input<'a>,
    desired: &'a Service,
    service: Option<&'a ObservedService>,
}

type PlanRule = fn(&Ground<'_>, &Plan) -> Option<String>;
type ActionRule = fn(&Ground<'_>, &Action) -> Option<String>;

const PLAN_RULES: &[PlanRule] = &[
    service_is_known,
    nobody_said_stop,
    starts_one_deployment,
    external::puts_back_once_an_hour,
    code_deploy::announces_first,
];

const ACTION_RULES: &[ActionRule] = &[
    deletes_nothing,
    stays_in_scope,
    is_owned,
    fits_the_state,
    registers_only_what_is_missing,
    runs_active_definitions,
    never_runs_the_rejected,
    rolls_back_after_the_verdict,
    rolls_back_to_the_proven,
    counts_are_the_manifest_s,
    never_scales_to_zero,
    begins_small,
    moves_traffic_over_what_is_there,
    widens_and_proves_with_open_eyes,
    leaves_foreign_tags,
    sends_no_fixed_members,
    forces_only_what_ecs_gave_up,
    gates::opens_with_open_eyes,
    heeds_people,
    windows::heeds_windows,
];

/// Members of `UpdateService` that start a deployment (`UpdateService` API reference).
const STARTING: &[&str] = &[
    "taskDefinition",
    "capacityProviderStrategy",
    "networkConfiguration",
    "platformVersion",
    "loadBalancers",
    "serviceRegistries",
    "serviceConnectConfiguration",
    "volumeConfigurations",
    "vpcLatticeConfigurations",
    "gatewayConnectors",
    "monitoring",
    "forceNewDeployment",
];

impl Ground<'_> {
    /// Whether it deploys what is proven once more, which ECS gave up: nothing is left for that.
    fn is_given_up_and_repeated(&self, action: &Action) -> bool {
        let forces = update(action).is_some_and(|input| input.get("forceNewDeployment").is_some());
        let deployments = self.service.map(|service| service.deployments.as_slice());
        let failed = deployments.unwrap_or_default().iter().any(|one| {
            one.status == "PRIMARY"
                && one.rollout_state.as_deref() == Some("FAILED")
                && self.has_proven_content(&one.task_definition)
        });
        forces && failed
    }

    /// Whether a task definition has the content of the proven one.
    fn has_proven_content(&self, arn: &str) -> bool {
        let Some(proven) = self.proven_definition() else { return false };
        let digest = |arn: &str| self.definition(arn).map(|one| &one.digest);
        proven == arn || (digest(arn).is_some() && digest(arn) == digest(proven))
    }

    /// A member of the service as it is, in canonical form.
    fn live(&self, member: &str) -> Option<&Value> {
        self.service?.document.canonical().get(member)
    }

    fn tag(&self, key: &str) -> Option<&str> {
        self.service?.tags.get(key).map(String::as_str)
    }

    fn definition(&self, arn: &str) -> Option<&TaskDefinition> {
        self.input.observed.task_definitions.known()?.iter().find(|one| one.arn == arn)
    }

    /// The task definition of the revision that the tag `evenkeel:proven` names.
    fn proven_definition(&self) -> Option<&str> {
        let proven = self.tag("evenkeel:proven")?;
        if proven.contains(":task-definition/") {
            return Some(proven);
        }
        let revisions = self.input.observed.service_revisions.known()?;
        let revision = revisions.iter().find(|one| one.service_revision_arn == proven)?;
        Some(&revision.task_definition)
    }

    /// The task definition of the proven revision, where it can be used no more.
    fn deregistered(&self) -> Option<&TaskDefinition> {
        self.definition(self.proven_definition()?).filter(|one| one.status != "ACTIVE")
    }

    /// Whether a task definition is that of the proven revision, or has its content where it can be used no more.
    fn is_proven(&self, arn: &str) -> bool {
        let gone = self.deregistered().map(|gone| &gone.digest);
        let copy = self.definition(arn).filter(|one| one.status == "ACTIVE").map(|one| &one.digest);
        self.proven_definition() == Some(arn) || (gone.is_some() && gone == copy)
    }

    fn rejects_the_wanted(&self) -> bool {
        let digest = self.desired.revision_digest.as_str();
        self.tag("evenkeel:rejected").is_some_and(|value| value.contains(digest))
    }

    /// Whether a person lets the wanted revision pass this pause.
    fn is_promoted(&self, hook: &str) -> bool {
        let digest = self.desired.revision_digest.as_str();
        let passes = |scope: &str| {
            self.tag("evenkeel:promote")
                .is_some_and(|value| value.starts_with(&format!("v1:{digest}:{scope}:")))
        };
        passes(hook) || passes("full")
    }

    /// Whether the manifest itself approves what it wants.
    fn is_approved_in_git(&self) -> bool {
        let digits = |text: &str| text.trim_start_matches("v1:").to_owned();
        let wanted = digits(self.desired.revision_digest.as_str());
        let given = self.desired.approval.as_ref().map(|one| digits(one.revision()));
        given.is_some_and(|given| given.len() >= 12 && wanted.starts_with(&given))
    }

    /// Whether it was scaled in from this count when no manifest named it.
    fn gets_its_count_back(&self, count: &Value) -> bool {
        let is_at_zero = self.service.is_some_and(|service| service.desired_count == 0);
        let before = self.tag("evenkeel:tombstone").and_then(|mark| mark.split(':').nth(3));
        let before: Option<u64> = before.and_then(|before| before.parse().ok());
        is_at_zero && before.is_some_and(|before| count.as_u64() == Some(before))
    }

    fn manifest(&self, member: &str) -> Option<Value> {
        self.desired.service.value().get(member).cloned()
    }

    fn exists(&self) -> bool {
        self.service.is_some_and(|service| service.status != "INACTIVE")
    }
}

fn update(action: &Action) -> Option<&Value> {
    match &action.call {
        Call::UpdateService { input } => Some(input),
        _ => None,
    }
}

fn starts_a_deployment(action: &Action) -> bool {
    match &action.call {
        Call::CreateService { .. }
        | Call::StopServiceDeployment { .. }
        | Call::CreateDeployment { .. }
        | Call::StopDeployment { .. }
        | Call::CreateTaskSet { .. } => true,
        Call::ContinueServiceDeployment { action, .. } => *action == HookAction::Rollback,
        Call::UpdateService { input } => STARTING.iter().any(|name| input.get(name).is_some()),
        Call::RegisterTaskDefinition { .. }
        | Call::UpdateTaskSet { .. }
        | Call::UpdateServicePrimaryTaskSet { .. }
        | Call::DeleteTaskSet { .. }
        | Call::DeleteService { .. }
        | Call::ModifyRule { .. }
        | Call::ModifyListener { .. }
        | Call::ContinueDeployment { .. }
        | Call::TagResource { .. }
        | Call::UntagResource { .. } => false,
    }
}

fn service_is_known(ground: &Ground<'_>, _: &Plan) -> Option<String> {
    matches!(ground.input.observed.service, Fact::Unknown(_))
        .then(|| "whether the service exists is unknown: nothing may be written".to_owned())
}

fn nobody_said_stop(ground: &Ground<'_>, _: &Plan) -> Option<String> {
    if ground.desired.paused {
        return Some("the manifest is paused: nothing may be written".to_owned());
    }
    let held = ground.exists() && ground.tag("evenkeel:hold").is_some();
    held.then(|| "the service is on hold: nothing may be written".to_owned())
}

fn starts_one_deployment(_: &Ground<'_>, plan: &Plan) -> Option<String> {
    let starting = plan.actions.iter().filter(|action| starts_a_deployment(action)).count();
    (starting > 1).then(|| format!("{starting} calls start or stop a deployment; one may"))
}

fn deletes_nothing(_: &Ground<'_>, action: &Action) -> Option<String> {
    let deletes = matches!(action.call, Call::DeleteService { .. });
    deletes.then(|| "a manifest names the service".to_owned())
}

fn stays_in_scope(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let key = ground.input.key;
    let named = |input: &Value, member: &str, wanted: &str| {
        input.get(member).and_then(Value::as_str) == Some(wanted)
    };
    let in_scope = match &action.call {
        Call::UpdateService { input } => {
            named(input, "cluster", &key.cluster) && named(input, "service", &key.name)
        }
        Call::CreateService { input } => {
            named(input, "cluster", &key.cluster) && named(input, "serviceName", &key.name)
        }
        Call::TagResource { arn, .. } | Call::UntagResource { arn, .. } => {
            ground.service.is_some_and(|service| service.service_arn == *arn)
        }
        Call::StopServiceDeployment { arn } | Call::ContinueServiceDeployment { arn, .. } => {
            let all = ground.input.observed.service_deployments.known();
            all.is_some_and(|all| all.iter().any(|one| one.service_deployment_arn == *arn))
        }
        Call::RegisterTaskDefinition { input } if action.lane == Lane::Rollback => {
            ground.deregistered().is_some_and(|gone| {
                input
                    .get("family")
                    .and_then(Value::as_str)
                    .is_some_and(|name| gone.arn.contains(&format!(":task-definition/{name}:")))
            })
        }
        Call::RegisterTaskDefinition { input } => named(input, "family", &ground.desired.family),
        call => external::is_in_scope(ground, call) || code_deploy::is_in_scope(ground, call),
    };
    (!in_scope).then(|| format!("it is about something else than {key}"))
}

fn is_owned(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let about_the_service =
        !matches!(action.call, Call::RegisterTaskDefinition { .. } | Call::CreateService { .. });
    if !about_the_service {
        return None;
    }
    if let Some(owner) = ground.tag("evenkeel:owner") {
        let instance = owner.strip_prefix("v1:").and_then(|rest| rest.split(':').next());
        let ours = instance.is_some_and(|name| is_name_of(name, ground.input.instance));
        (!ours).then(|| format!("the service belongs to {owner}"))
    } else {
        let adopts = ground.desired.adopt
            && matches!(&action.call, Call::TagResource { tags, .. } if tags.contains_key("evenkeel:owner"));
        (!adopts).then(|| "the service does not carry our owner tag".to_owned())
    }
}

/// Tags cannot hold every character, so a name may be written with `_` in places.
fn is_name_of(written: &str, instance: &str) -> bool {
    let same = |(a, b): (char, char)| a == b || a == '_';
    written.chars().count() == instance.chars().count().min(100)
        && written.chars().zip(instance.chars()).all(same)
}

fn fits_the_state(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let active = ground.service.is_some_and(|service| service.status == "ACTIVE");
    match &action.call {
        Call::CreateService { .. } if ground.exists() => {
            Some("the service exists already".to_owned())
        }
        Call::CreateService { .. } | Call::RegisterTaskDefinition { .. } => None,
        _ if active => None,
        _ => Some("the service is not ACTIVE".to_owned()),
    }
}

fn registers_only_what_is_missing(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let Call::RegisterTaskDefinition { input } = &action.call else { return None };
    let observed = ground.input.observed;
    let known = match &observed.task_definitions {
        Fact::Known(known) if observed.depth == Depth::Deep => known.as_slice(),
        Fact::Absent if observed.depth == Depth::Deep => &[],
        Fact::Known(_) | Fact::Absent | Fact::Unknown(_) => {
            return Some("nobody looked whether the content is registered already".to_owned());
        }
    };
    let mut wanted = ground.desired.task_definition_digest.clone();
    if action.lane == Lane::Rollback {
        let gone = ground.deregistered().map(|gone| &gone.digest);
        wanted = Digest::of(&canonical::task_definition(input));
        if gone != Some(&wanted) || observed.searched.as_ref() != gone {
            return Some(
                "it is not the content of a deregistered revision to return to".to_owned(),
            );
        }
    }
    let there = known.iter().find(|one| one.digest == wanted && one.status == "ACTIVE")?;
    Some(format!("{} has the content already", there.arn))
}

fn runs_active_definitions(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let (Call::UpdateService { input }
    | Call::CreateService { input }
    | Call::CreateTaskSet { input }) = &action.call
    else {
        return None;
    };
    let arn = input.get("taskDefinition")?.as_str().unwrap_or_default();
    match ground.definition(arn) {
        Some(definition) if definition.status == "ACTIVE" => None,
        Some(definition) => Some(format!("{arn} is {}", definition.status)),
        // The revision to return to was used and proven; it need not be among those looked up.
        None if action.lane == Lane::Rollback && ground.proven_definition() == Some(arn) => None,
        None => Some(format!("{arn} is not known")),
    }
}

fn never_runs_the_rejected(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let input = update(action)?;
    if action.lane == Lane::Rollback || !ground.rejects_the_wanted() || !starts_a_deployment(action)
    {
        return None;
    }
    let arn = input.get("taskDefinition").and_then(Value::as_str);
    let wanted = &ground.desired.task_definition_digest;
    let rejected = arn.is_none_or(|arn| {
        ground.definition(arn).is_none_or(|definition| definition.digest == *wanted)
    });
    rejected.then(|| format!("{} was rejected", ground.desired.revision_digest))
}

fn is_rollback(action: &Action) -> bool {
    matches!(
        action.call,
        Call::StopServiceDeployment { .. }
            | Call::ContinueServiceDeployment { action: HookAction::Rollback, .. }
    ) || is_update_back(action)
}

fn is_update_back(action: &Action) -> bool {
    action.lane == Lane::Rollback && matches!(action.call, Call::UpdateService { .. })
}

fn rolls_back_after_the_verdict(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let verdict = ground.tag("evenkeel:rejected").is_some();
    (is_rollback(action) && !verdict && !ground.is_given_up_and_repeated(action))
        .then(|| "no verdict was written before".to_owned())
}

fn rolls_back_to_the_proven(ground: &Ground<'_>, action: &Action) -> Option<String> {
    if !is_rollback(action) {
        return None;
    }
    let Some(proven) = ground.tag("evenkeel:proven") else {
        return Some("nothing is proven, so there is nothing to return to".to_owned());
    };
    match &action.call {
        Call::UpdateService { input } => {
            let arn = input.get("taskDefinition").and_then(Value::as_str)?;
            let is_copy = || {
                let digest = ground.deregistered().map(|gone| &gone.digest);
                digest.is_some() && ground.definition(arn).map(|one| &one.digest) == digest
            };
            (ground.proven_definition() != Some(arn) && !is_copy())
                .then(|| format!("{arn} is not the proven revision {proven}"))
        }
        Call::StopServiceDeployment { arn } | Call::ContinueServiceDeployment { arn, .. } => {
            let all = ground.input.observed.service_deployments.known()?;
            let stopped = all.iter().find(|one| one.service_deployment_arn == *arn)?;
            let sources = &stopped.source_service_revisions;
            let runs_it = |arn: &str| arn == proven || revision_runs_the_proven(ground, arn);
            let returns = !sources.is_empty() && sources.iter().all(|source| runs_it(&source.arn));
            (!returns).then(|| format!("ECS would not return to the proven revision {proven}"))
        }
        _ => None,
    }
}

fn revision_runs_the_proven(ground: &Ground<'_>, revision: &str) -> bool {
    let all = ground.input.observed.service_revisions.known().map(Vec::as_slice);
    let mut of_it =
        all.unwrap_or_default().iter().filter(|one| one.service_revision_arn == revision);
    of_it.any(|one| ground.has_proven_content(&one.task_definition))
}

fn counts_are_the_manifest_s(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let count = update(action)?.get("desiredCount")?;
    if action.lane == Lane::Rollback {
        return Some("a rollback keeps desiredCount".to_owned());
    }
    let owned = ground.manifest("desiredCount");
    if owned.is_none() && ground.gets_its_count_back(count) {
        return None;
    }
    if owned.is_none() {
        return Some("desiredCount is not the manifest's".to_owned());
    }
    let from_zero = ground.service.is_some_and(|service| service.desired_count == 0);
    let probe = from_zero && count.as_u64() == Some(1);
    (owned.as_ref() != Some(count) && !probe)
        .then(|| format!("desiredCount {count} is not what the manifest says"))
}

fn never_scales_to_zero(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let (Call::UpdateService { input } | Call::CreateService { input }) = &action.call else {
        return None;
    };
    let zero = input.get("desiredCount").and_then(Value::as_u64) == Some(0);
    let wanted = ground.manifest("desiredCount").and_then(|count| count.as_u64()) == Some(0);
    (zero && !wanted).then(|| "it scales to zero, which the manifest does not say".to_owned())
}

/// A start leaves room for one unproven task, or one percent of more than a hundred.
fn begins_small(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let input = update(action)?;
    let daemon = ground.manifest("schedulingStrategy").is_some_and(|one| one == "DAEMON");
    // Where traffic moves, unproven tasks stand beside the proven ones without any.
    let rolls = ground.desired.rollout.strategy == Strategy::Rolling;
    let probes = ground.desired.rollout.probe.enabled && !daemon && rolls;
    if action.lane == Lane::Rollback || !probes || !starts_a_deployment(action) {
        return None;
    }
    let service = ground.service?;
    let count = u64::from(service.desired_count);
    let live = service.document.pointer("/deploymentConfiguration/maximumPercent");
    let maximum = input
        .pointer("/deploymentConfiguration/maximumPercent")
        .or(live)
        .and_then(Value::as_u64)
        .unwrap_or(200);
    let surge = (count * maximum / 100).saturating_sub(count);
    let allowed = (count / 100).max(1);
    if surge > allowed {
        return Some(format!("{surge} unproven tasks could start at once; {allowed} may"));
    }
    let raised = input.get("desiredCount").and_then(Value::as_u64).unwrap_or(count);
    (raised > count.max(1)).then(|| format!("it raises the count from {count} to {raised} at once"))
}

/// What moves traffic starts over target groups that exist, when they were looked at.
fn moves_traffic_over_what_is_there(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let starts = matches!(action.call, Call::CreateService { .. } | Call::UpdateService { .. })
        && starts_a_deployment(action);
    let rolls = ground.desired.rollout.strategy == Strategy::Rolling;
    if action.lane == Lane::Rollback || !starts || rolls {
        return None;
    }
    let seen = match &ground.input.observed.load_balancing {
        Fact::Known(seen) => seen,
        Fact::Unknown(Unknown::Failed { .. }) => {
            return Some("the load balancing was not seen".to_owned());
        }
        Fact::Absent | Fact::Unknown(_) => return None,
    };
    let balancers = ground.manifest("loadBalancers");
    let wanted = balancers.iter().filter_map(Value::as_array).flatten().flat_map(|one| {
        [one.get("targetGroupArn"), one.pointer("/advancedConfiguration/alternateTargetGroupArn")]
    });
    let mut arns = wanted.flatten().filter_map(Value::as_str);
    let missing = arns.find(|arn| seen.target_groups.iter().all(|group| group.arn != *arn))?;
    Some(format!("the target group {missing} does not exist"))
}

fn widens_and_proves_with_open_eyes(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let probing = ground.tag("evenkeel:rollout").is_some_and(|value| value.contains(":probe:"));
    let widens = update(action).is_some() && probing && !starts_a_deployment(action);
    let proves = matches!(&action.call, Call::TagResource { tags, .. }
        if tags.contains_key("evenkeel:proven") && ground.tag("evenkeel:owner").is_some());
    let blind = match &ground.input.observed.tasks {
        Fact::Unknown(Unknown::CapabilityMissing { .. }) | Fact::Known(_) => false,
        Fact::Absent | Fact::Unknown(_) => true,
    };
    ((widens || proves) && blind).then(|| "the tasks were not seen".to_owned())
}

/// Tags that Evenkeel removes from a service that a manifest names, beside those that a manifest had set.
const OURS_TO_REMOVE: &[&str] = &[
    "evenkeel:rollout",
    "evenkeel:rejected",
    "evenkeel:promote",
    "evenkeel:prune",
    "evenkeel:tombstone",
];

fn leaves_foreign_tags(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let reserved = |key: &str| key.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("aws:"));
    match &action.call {
        Call::TagResource { tags, .. } => {
            tags.keys().find(|key| reserved(key)).map(|key| format!("the tag {key} is AWS's"))
        }
        Call::UntagResource { keys, .. } => {
            let memory = ground.tag("evenkeel:tags").unwrap_or_default();
            let ours = |key: &str| {
                OURS_TO_REMOVE.contains(&key) || memory.split(' ').any(|one| one == key)
            };
            keys.iter()
                .find(|key| reserved(key) || !ours(key))
                .map(|key| format!("the tag {key} was not set by us"))
        }
        _ => None,
    }
}

/// Members that `UpdateService` does not take.
fn sends_no_fixed_members(_: &Ground<'_>, action: &Action) -> Option<String> {
    let input = update(action)?;
    ["clientToken", "role", "schedulingStrategy", "launchType", "tags"]
        .iter()
        .find(|name| input.get(name).is_some())
        .map(|name| format!("UpdateService must not carry {name}"))
}

/// Every repeat of a forced deployment starts another one, so it needs a failed one that nobody holds
/// against the revision any more, or a strategy that ECS takes no other way.
fn forces_only_what_ecs_gave_up(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let input = update(action)?;
    let strategy = input.get("capacityProviderStrategy");
    if strategy.is_some() && input.get("forceNewDeployment").is_none() {
        return Some("ECS takes another strategy of capacity providers only by force".to_owned());
    }
    input.get("forceNewDeployment")?;
    if strategy.is_some() && strategy != ground.live("capacityProviderStrategy") {
        return None;
    }
    let failed = ground
        .service?
        .deployments
        .iter()
        .any(|one| one.status == "PRIMARY" && one.rollout_state.as_deref() == Some("FAILED"));
    (!failed).then(|| "it forces a deployment although ECS gave none up".to_owned())
}

/// Nothing starts and no gate opens against a person's pause, nor a gate without the approval that the
/// manifest wants there, unless a person lets it pass.
fn heeds_people(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let by_manifest = ground.desired.metadata.annotations.contains_key("evenkeel.dev/pause");
    let is_paused = (ground.tag("evenkeel:pause").is_some() || by_manifest) && ground.exists();
    let Call::ContinueServiceDeployment { arn, hook, action: HookAction::Continue } = &action.call
    else {
        let starts = action.lane != Lane::Rollback && starts_a_deployment(action);
        return (is_paused && starts).then(|| "rollouts of the service are paused".to_owned());
    };
    let deployments = ground.input.observed.service_deployments.known()?;
    let stage = deployments.iter().find(|one| one.service_deployment_arn == *arn)?.stage();
    let needs_approval =
        Gate::in_stage(stage).is_some_and(|gate| ground.desired.rollout.approvals.contains(&gate));
    let needs_approval = needs_approval && !ground.is_approved_in_git();
    ((is_paused || needs_approval) && !ground.is_promoted(hook))
        .then(|| format!("no person lets it pass the hook {hook}"))
}
