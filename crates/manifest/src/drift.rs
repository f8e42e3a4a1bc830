//! What becomes of fields that left what was applied, by their paths; never finds out which did.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use crate::envelope::known_members;
use crate::node::{Cursor, Kind};
use crate::problem::Report;
use crate::rollout::read::{choice, chosen};
use crate::shapes::{Shape, shapes};
use crate::spelling;

/// What is done about a field of a service that somebody else changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum DriftPolicy {
    /// It is set back.
    #[default]
    Heal,
    /// It is told, and left as it is.
    Report,
    /// It is left as it is.
    Ignore,
}

/// The policies of a service: one for all fields, and those of single ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Drift {
    pub default: DriftPolicy,
    /// By path, such as `service.enableExecuteCommand`. A path is of all that is below it, unless a longer one
    /// says otherwise.
    pub fields: BTreeMap<String, DriftPolicy>,
}

const NAMES: [(&str, DriftPolicy); 3] =
    [("Heal", DriftPolicy::Heal), ("Report", DriftPolicy::Report), ("Ignore", DriftPolicy::Ignore)];

impl DriftPolicy {
    /// Its name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Heal => "Heal",
            Self::Report => "Report",
            Self::Ignore => "Ignore",
        }
    }
}

impl Drift {
    /// The policy of the field at `path`.
    pub fn policy(&self, path: &str) -> DriftPolicy {
        if is_set_by_evenkeel(path) || is_fixed(path) {
            return DriftPolicy::Heal;
        }
        let above = self.fields.iter().filter(|(field, _)| is_at_or_below(path, field));
        above.max_by_key(|(field, _)| field.len()).map_or(self.default, |(_, policy)| *policy)
    }

    /// Whether a field below `path` has a policy of its own.
    pub fn divides(&self, path: &str) -> bool {
        let below = |field: &str| field != path && is_at_or_below(field, path);
        self.fields.keys().map(String::as_str).chain(SET_BY_EVENKEEL).any(below)
    }

    /// Whether everything is set back.
    pub fn heals_all(&self) -> bool {
        let others = self.fields.values().chain([&self.default]);
        others.into_iter().all(|policy| *policy == DriftPolicy::Heal)
    }
}

fn is_at_or_below(path: &str, field: &str) -> bool {
    path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// What Evenkeel itself writes in the course of a rollout.
const SET_BY_EVENKEEL: [&str; 7] = [
    "service.deploymentConfiguration.bakeTimeInMinutes",
    "service.deploymentConfiguration.canaryConfiguration",
    "service.deploymentConfiguration.lifecycleHooks",
    "service.deploymentConfiguration.linearConfiguration",
    "service.deploymentConfiguration.maximumPercent",
    "service.deploymentConfiguration.minimumHealthyPercent",
    "service.deploymentConfiguration.strategy",
];

fn is_set_by_evenkeel(path: &str) -> bool {
    SET_BY_EVENKEEL.iter().any(|field| is_at_or_below(path, field))
}

/// Members of CreateService that nobody can change on a service, or that are changed elsewhere.
const FIXED: [&str; 7] = [
    "clientToken",
    "cluster",
    "deploymentController",
    "launchType",
    "role",
    "schedulingStrategy",
    "serviceName",
];

fn is_fixed(path: &str) -> bool {
    path.strip_prefix("service.").is_some_and(|name| FIXED.contains(&name))
}

impl JsonSchema for DriftPolicy {
    fn schema_name() -> Cow<'static, str> {
        "DriftPolicy".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What is done about a field that somebody else changed.",
            "enum": NAMES.map(|(name, _)| name),
        })
    }
}

impl JsonSchema for Drift {
    fn schema_name() -> Cow<'static, str> {
        "Drift".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let policy = generator.subschema_for::<DriftPolicy>();
        json_schema!({
            "description": "What becomes of fields of the service that somebody else changed.",
            "type": "object",
            "properties": {
                "default": policy.clone(),
                "fields": {
                    "description": "Policies by path, such as `service.enableExecuteCommand`.",
                    "type": "object",
                    "propertyNames": { "pattern": "^service\\." },
                    "additionalProperties": policy,
                },
            },
            "additionalProperties": false,
        })
    }
}

/// More than that nobody reads.
const FIELDS_MAX: usize = 50;

/// Reads `spec.drift`; what is absent or wrong has its default.
pub(crate) fn drift(at: &Cursor<'_>, report: &mut Report) -> Drift {
    known_members(at, &["default", "fields"], |_| false, report);
    let default = chosen(at, "default", &NAMES, report).unwrap_or_default();
    let fields = at.member("fields").map(|at| fields(&at, report)).unwrap_or_default();
    Drift { default, fields }
}

fn fields(at: &Cursor<'_>, report: &mut Report) -> BTreeMap<String, DriftPolicy> {
    if !matches!(at.node.kind, Kind::Mapping(_)) {
        let found = at.node.kind.noun();
        report.error(at, format!("expected a mapping of paths to policies, found {found}"));
    }
    let mut fields = BTreeMap::new();
    for (path, member) in at.members() {
        if fields.len() == FIELDS_MAX {
            report
                .error(&member, format!("at most {FIELDS_MAX} fields have a policy of their own"));
            break;
        }
        if let Err(fault) = check_path(path) {
            report.error(&member, fault);
        }
        if let Some(policy) = choice(&member, &NAMES, report) {
            fields.insert(path.to_owned(), policy);
        }
    }
    fields
}

/// What keeps a path from having a policy.
fn check_path(path: &str) -> Result<(), String> {
    let of_definition = is_at_or_below(path, "service.taskDefinition");
    let Some(rest) = path.strip_prefix("service.").filter(|_| !of_definition) else {
        return Err(outside(path));
    };
    if path == "service.deploymentConfiguration" || is_set_by_evenkeel(path) {
        return Err("Evenkeel sets this itself during a rollout, and so heals it; only `alarms` and \
                    `deploymentCircuitBreaker` of `service.deploymentConfiguration` can have a policy"
            .to_owned());
    }
    if let Some(key) = rest.strip_prefix("tags[").and_then(|key| key.strip_suffix(']')) {
        return if key.is_empty() {
            Err("the key of the tag is missing".to_owned())
        } else {
            Ok(())
        };
    }
    let mut shape = &shapes().create_service;
    for (depth, name) in rest.split('.').enumerate() {
        if depth == 0 && FIXED.contains(&name) {
            return Err(format!("`{name}` does not drift: AWS lets nobody change it"));
        }
        let Shape::Structure { members } = shape else {
            return Err(format!("the policy is of the whole field that holds `{}`", brief(name)));
        };
        shape = members.get(name).ok_or_else(|| unknown(name, members.keys(), depth))?;
    }
    Ok(())
}

fn outside(path: &str) -> String {
    if is_at_or_below(path.strip_prefix("service.").unwrap_or(path), "taskDefinition") {
        return "the task definition has no policy: one that somebody else deploys is put back once an \
                hour at most; `evenkeel hold` keeps it"
            .to_owned();
    }
    let suggestion = match spelling::nearest(path, shapes().create_service.names()) {
        Some(near) => format!(": did you mean `service.{near}`?"),
        None => ", such as `service.enableExecuteCommand`".to_owned(),
    };
    format!("expected the path of a field of the service{suggestion}")
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a String>, depth: usize) -> String {
    let is_fixed = |name: &&str| depth == 0 && FIXED.contains(name);
    let known: Vec<&str> = known.map(String::as_str).filter(|name| !is_fixed(name)).collect();
    format!("`{}` is not known{}", brief(name), spelling::suggestion(name, &known))
}

fn brief(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drift(default: DriftPolicy, fields: &[(&str, DriftPolicy)]) -> Drift {
        let fields = fields.iter().map(|(path, policy)| ((*path).to_owned(), *policy)).collect();
        Drift { default, fields }
    }

    #[test]
    fn the_longest_path_above_a_field_decides() {
        let drift = drift(
            DriftPolicy::Heal,
            &[
                ("service.networkConfiguration", DriftPolicy::Report),
                ("service.networkConfiguration.awsvpcConfiguration.subnets", DriftPolicy::Heal),
                ("service.tags[team]", DriftPolicy::Ignore),
            ],
        );
        for (path, policy) in [
            ("service.networkConfiguration.awsvpcConfiguration", DriftPolicy::Report),
            ("service.networkConfiguration.awsvpcConfiguration.subnets", DriftPolicy::Heal),
            ("service.networkConfigurations", DriftPolicy::Heal),
            ("service.tags[team]", DriftPolicy::Ignore),
            ("service.tags[teams]", DriftPolicy::Heal),
        ] {
            assert_eq!(drift.policy(path), policy, "{path}");
        }
        assert!(drift.divides("service.networkConfiguration"));
        assert!(!drift.divides("service.networkConfiguration.awsvpcConfiguration.subnets"));
    }

    #[test]
    fn what_evenkeel_sets_itself_is_healed_whatever_the_default() {
        let drift = drift(DriftPolicy::Ignore, &[]);
        let of = |field| drift.policy(&format!("service.deploymentConfiguration.{field}"));
        assert_eq!(of("maximumPercent"), DriftPolicy::Heal);
        assert_eq!(of("alarms"), DriftPolicy::Ignore);
        assert_eq!(drift.policy("service.launchType"), DriftPolicy::Heal);
        assert!(drift.divides("service.deploymentConfiguration"));
    }

    #[test]
    fn a_path_that_cannot_have_a_policy_is_told_why() {
        for (path, fault) in [
            ("service.enableExecuteComand", "did you mean `enableExecuteCommand`?"),
            ("enableExecuteCommand", "did you mean `service.enableExecuteCommand`?"),
            ("service.launchType", "AWS lets nobody change it"),
            ("service.deploymentConfiguration", "Evenkeel sets this itself"),
            ("service.deploymentConfiguration.maximumPercent", "Evenkeel sets this itself"),
            ("service.loadBalancers.containerName", "the policy is of the whole field"),
            ("service.tags[]", "the key of the tag is missing"),
            ("taskDefinition.containerDefinitions", "has no policy"),
        ] {
            let said = check_path(path).unwrap_err();
            assert!(said.contains(fault), "{path}: {said}");
        }
    }

    #[test]
    fn every_field_that_can_be_changed_can_have_a_policy() {
        for name in shapes().create_service.names().filter(|name| !FIXED.contains(name)) {
            let is_refused = ["deploymentConfiguration", "taskDefinition"].contains(&name);
            assert_eq!(check_path(&format!("service.{name}")).is_err(), is_refused, "{name}");
        }
    }
}
