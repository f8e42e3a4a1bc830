//! Who owns what of a service, field by field: last, wanted and live side by side, for people; never
//! decides what is done about it, and never shows the value of an environment variable.

use std::collections::BTreeMap;

use evenkeel_manifest::{DriftPolicy, Service, canonical};
use serde::Serialize;
use serde_json::{Value, json};

use super::changes::{Found, changes};
use super::{Effect, MEMBERS};
use crate::drift::KeptField;
use crate::view::{View, last_part};
use crate::{Change, Input};

/// One field of a service, at a depth at which it can be compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// As in [`Change::path`].
    pub path: String,
    /// What it was in the revision that was last proven; `None` also when that is not known.
    pub last: Option<Value>,
    pub wanted: Option<Value>,
    pub live: Option<Value>,
    pub owner: FieldOwner,
    /// Why wanted and live differ; `None` when they do not, or nothing is wanted.
    pub cause: Option<Cause>,
    /// Where somebody else changed it and the manifest says not to set it back: what instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<DriftPolicy>,
    /// What applying it means; `None` when nothing will be applied.
    pub effect: Option<String>,
}

/// Who decides what a field is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum FieldOwner {
    /// The manifest names it, or one before did and it is taken back.
    Git,
    /// The manifest does not, and Evenkeel manages it all the same.
    Evenkeel,
    /// The count of tasks that the manifest leaves out.
    Autoscaler,
    /// Somebody set it, and it is left alone.
    Outside,
    /// Nobody set it.
    AwsDefault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// The manifest changed, and the change is not live yet.
    Manifest,
    /// Live changed, and the manifest did not.
    Outside,
    /// Nothing remembers which of both it was.
    Unknown,
}

/// Every field of the service that differs from what is wanted, as [`changes`] has it, and every one that the
/// manifest does not name. Empty when nothing is known of the service or nothing is wanted.
pub fn fields(input: &Input<'_>) -> Vec<Field> {
    let Some(desired) = input.desired else { return Vec::new() };
    let service = input.observed.service.known().filter(|service| service.status != "INACTIVE");
    let view = service.and_then(|service| View::of(input, desired, service));
    let history = view.as_ref().map_or(History::Nothing, History::of);
    let differing = changes(input).into_iter().map(|change| history.tell(desired, change));
    let mut fields: Vec<Field> = differing.collect();
    if let Some(view) = &view {
        fields.extend(view.kept.fields.iter().map(|one| kept(desired, one)));
        fields.extend(left_alone(view));
    }
    fields
}

/// What policy keeps was applied as it is wanted; what is ignored is no difference.
fn kept(desired: &Service, one: &KeptField) -> Field {
    let Change { path, old: live, new: wanted, .. } = one.change.clone();
    let owner = owner(desired, &path);
    let cause = (one.policy == DriftPolicy::Report).then_some(Cause::Outside);
    let (last, policy) = (wanted.clone(), Some(one.policy));
    Field { path, last, wanted, live, owner, cause, policy, effect: None }
}

/// What is remembered of the content that was last proven.
enum History {
    Nothing,
    /// It is the content wanted.
    Same,
    /// It is another: what it had in the fields in which it differs. `None` when AWS does not show it.
    Other(Option<BTreeMap<String, Option<Value>>>),
}

impl History {
    fn of(view: &View<'_>) -> Self {
        match &view.memory.applied {
            None => Self::Nothing,
            Some(last) if last.digest == view.desired.revision_digest => Self::Same,
            Some(_) => Self::Other(proven_fields(view)),
        }
    }

    fn tell(&self, desired: &Service, change: Change) -> Field {
        let Change { path, old: live, new: wanted, effect } = change;
        let (last, cause) = match self {
            _ if !is_of_revision(&path) => (None, Cause::Unknown),
            Self::Nothing => (None, Cause::Unknown),
            Self::Same => (wanted.clone(), Cause::Outside),
            Self::Other(None) => (None, Cause::Manifest),
            Self::Other(Some(fields)) => match fields.get(&path) {
                Some(last) => (last.clone(), Cause::Manifest),
                None => (wanted.clone(), Cause::Outside),
            },
        };
        let owner = owner(desired, &path);
        Field {
            path,
            last,
            wanted,
            live,
            owner,
            cause: Some(cause),
            policy: None,
            effect: Some(effect),
        }
    }
}

/// Whether the digest is of this field too.
fn is_of_revision(path: &str) -> bool {
    let of_member = |name: &str| {
        let mut members = MEMBERS.iter().filter(|member| member.effect == Effect::Deployment);
        members.any(|member| member.name == name)
    };
    let member = path.strip_prefix("service.").and_then(|rest| rest.split(['.', '[']).next());
    path.starts_with("taskDefinition") || member.is_some_and(of_member)
}

fn owner(desired: &Service, path: &str) -> FieldOwner {
    let service = desired.service.value();
    let Some(rest) = path.strip_prefix("service.deploymentConfiguration.") else {
        return FieldOwner::Git;
    };
    let written = service.pointer(&format!("/deploymentConfiguration/{}", rest.replace('.', "/")));
    if written.is_some() { FieldOwner::Git } else { FieldOwner::Evenkeel }
}

/// The fields in which the proven revision differs from what is wanted; `None` when it is not shown.
fn proven_fields(view: &View<'_>) -> Option<BTreeMap<String, Option<Value>>> {
    let proven = view.memory.proven.as_deref()?;
    let revisions = view.observed().service_revisions.known()?;
    let revision =
        revisions.iter().find(|one| last_part(&one.service_revision_arn) == last_part(proven))?;
    let definition = view.definition(&revision.task_definition)?.document.as_ref()?;
    let rest = revision.rest.iter().map(|(name, value)| (name.clone(), value.clone()));
    let last = canonical::service(&rest.collect());
    let mut found = Found::new("");
    let wanted = canonical::task_definition(&view.desired.task_definition.value());
    let definition = canonical::task_definition(&definition.value());
    found.compare("taskDefinition", Some(&definition), Some(&wanted));
    for member in MEMBERS.iter().filter(|member| member.effect == Effect::Deployment) {
        let (name, wanted) = (member.name, view.wanted.get(member.name));
        if wanted.is_some() {
            found.compare(&format!("service.{name}"), last.get(name), wanted);
        }
    }
    Some(found.changes.into_iter().map(|change| (change.path, change.old)).collect())
}

/// What is live and not wanted either way.
fn left_alone(view: &View<'_>) -> Vec<Field> {
    let defaults = canonical::service(&json!({}));
    let mut left = Left { defaults: &defaults, fields: Vec::new() };
    let members = view.live.as_object().into_iter().flatten();
    for (name, live) in members.filter(|(name, _)| is_shown(name)) {
        left.compare(&[name.as_str()], live, view.wanted.get(name));
    }
    left.fields
}

/// Members that say nothing about drift: tags are told key by key, and others are who the service is.
fn is_shown(name: &str) -> bool {
    !["tags", "deploymentController", "role", "schedulingStrategy"].contains(&name)
}

struct Left<'a> {
    defaults: &'a Value,
    fields: Vec<Field>,
}

impl Left<'_> {
    fn compare(&mut self, way: &[&str], live: &Value, wanted: Option<&Value>) {
        match (live, wanted) {
            (Value::Object(live), _) if !live.is_empty() => {
                for (name, live) in live {
                    let wanted = wanted.and_then(|wanted| wanted.get(name));
                    self.compare(&[way, &[name.as_str()]].concat(), live, wanted);
                }
            }
            (_, Some(_)) => {}
            (live, None) => self.fields.extend(self.field(way, live)),
        }
    }

    fn field(&self, way: &[&str], live: &Value) -> Option<Field> {
        let default = self.defaults.pointer(&format!("/{}", way.join("/")));
        let mut found = Found::new("");
        found.compare(&format!("service.{}", way.join(".")), Some(live), None);
        let change = found.changes.pop()?;
        let owner = match way {
            ["desiredCount"] => FieldOwner::Autoscaler,
            // Which of both is the default depends on the service's age and shape (ecs-behaviour 8).
            ["availabilityZoneRebalancing"] => FieldOwner::AwsDefault,
            _ if default == Some(live) => FieldOwner::AwsDefault,
            _ => FieldOwner::Outside,
        };
        let (path, live) = (change.path, change.old);
        Some(Field {
            path,
            last: None,
            wanted: None,
            live,
            owner,
            cause: None,
            policy: None,
            effect: None,
        })
    }
}

impl FieldOwner {
    /// A word for a column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Evenkeel => "evenkeel",
            Self::Autoscaler => "autoscaler",
            Self::Outside => "outside",
            Self::AwsDefault => "AWS default",
        }
    }
}
