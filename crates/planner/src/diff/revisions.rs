//! What differs between two states of one manifest, without a look at AWS; never says what AWS has.

use std::collections::BTreeSet;

use evenkeel_manifest::{Service, canonical};
use serde_json::{Map, Value, json};

use super::changes::{CREATES, Found, IN_PLACE, REGISTERS, STARTS};
use super::{Effect, MEMBERS, Member};
use crate::Change;
use crate::view::wanted_members;

const FIXED: &str = "cannot be changed on a service that exists";
const KEPT: &str = "is left as it is in AWS";
/// Of what no digest is of: tags of a task definition, and the order of environment files.
const WITH_THE_NEXT: &str = "is applied with the next revision that is registered";
const ROLLOUTS: &str = "changes how Evenkeel goes about it";

/// The members that are who the service is. `deploymentController` is not among them: some controllers can be
/// left for another, and planning says which.
const IMMUTABLE: [&str; 3] = ["launchType", "role", "schedulingStrategy"];

/// What a manifest comes to, from one state of it to another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Revised {
    /// Field by field; values of environment variables are hidden.
    pub changes: Vec<Change>,
    /// A task definition is registered.
    pub registers: bool,
    /// Tasks are replaced.
    pub deploys: bool,
}

/// What changes when the manifest of a service that runs as `old` says becomes `new`. All fields of `new` when
/// there is no `old`.
pub fn revised(old: Option<&Service>, new: &Service) -> Revised {
    let Some(old) = old else {
        return Revised { changes: created(new), registers: true, deploys: true };
    };
    let registers = old.task_definition_digest != new.task_definition_digest;
    let mut changes = definition(old, new, registers);
    let (starting, others) = members(old, new);
    let deploys = registers || !starting.is_empty();
    changes.extend(starting);
    changes.extend(others);
    changes.extend(own(old, new));
    Revised { changes, registers, deploys }
}

fn created(new: &Service) -> Vec<Change> {
    let mut found = Found::new(CREATES);
    found.compare("taskDefinition", None, Some(&new.task_definition.value()));
    found.compare("service", None, Some(&wanted_members(new)));
    found.changes
}

fn definition(old: &Service, new: &Service, registers: bool) -> Vec<Change> {
    let [sent_old, sent_new] = [old, new].map(|service| service.task_definition.value());
    let (old, new) = (canonical::task_definition(&sent_old), canonical::task_definition(&sent_new));
    let mut found = Found::new(if registers { REGISTERS } else { WITH_THE_NEXT });
    if registers {
        found.compare("taskDefinition", Some(&old), Some(&new));
    }
    compare_tags("taskDefinition", &sent_old, &sent_new, &mut found);
    let (sent_old, sent_new) = (files(&sent_old), files(&sent_new));
    let (old, new) = (files(&old), files(&new));
    // Where they are others, not in another order only, their content was compared.
    for (path, sent) in sent_new.iter().filter(|(path, _)| old.get(*path) == new.get(*path)) {
        found.compare(path, sent_old.get(path), Some(sent));
    }
    found.changes
}

/// The environment files of each container, by their path.
fn files(definition: &Value) -> Map<String, Value> {
    let containers = definition.get("containerDefinitions").and_then(Value::as_array);
    let files = |container: &Value| {
        let name = container.get("name")?.as_str()?;
        let path = format!("taskDefinition.containerDefinitions[{name}].environmentFiles");
        Some((path, container.get("environmentFiles")?.clone()))
    };
    containers.into_iter().flatten().filter_map(files).collect()
}

/// Those that start a deployment, and the others.
fn members(old: &Service, new: &Service) -> (Vec<Change>, Vec<Change>) {
    let (old, new) = (wanted_members(old), wanted_members(new));
    let (mut starting, mut others) = (Vec::new(), Vec::new());
    for member in MEMBERS {
        let changes = member_changes(member, old.get(member.name), new.get(member.name));
        match member.effect {
            Effect::Deployment => starting.extend(changes),
            Effect::InPlace => others.extend(changes),
        }
    }
    // What AWS keeps starts nothing.
    let (kept, starting): (Vec<_>, _) = starting.into_iter().partition(|one| one.effect == KEPT);
    others.extend(kept);
    let mut fixed = Found::new(FIXED);
    for name in IMMUTABLE {
        fixed.compare(&format!("service.{name}"), old.get(name), new.get(name));
    }
    let mut controller = Found::new("changes the controller, where that can be");
    let name = "deploymentController";
    controller.compare(&format!("service.{name}"), old.get(name), new.get(name));
    others
        .extend([fixed, controller, tags(&old, &new)].into_iter().flat_map(|found| found.changes));
    (starting, others)
}

fn member_changes(member: &Member, old: Option<&Value>, new: Option<&Value>) -> Vec<Change> {
    let effect = match (member.effect, member.removed, new) {
        (_, None, None) => KEPT,
        (Effect::Deployment, ..) => STARTS,
        (Effect::InPlace, ..) => IN_PLACE,
    };
    let mut found = Found::new(effect);
    found.compare(&format!("service.{}", member.name), old, new);
    // Of a merged member, what is left out is kept.
    if member.name == "deploymentConfiguration" {
        for change in found.changes.iter_mut().filter(|change| change.new.is_none()) {
            KEPT.clone_into(&mut change.effect);
        }
    }
    found.changes
}

fn tags(old: &Value, new: &Value) -> Found {
    let mut found = Found::new(IN_PLACE);
    compare_tags("service", old, new, &mut found);
    found
}

fn compare_tags(of: &str, old: &Value, new: &Value, found: &mut Found) {
    let (old, new) = (by_key(old.get("tags")), by_key(new.get("tags")));
    for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        found.compare(&format!("{of}.tags[{key}]"), old.get(key), new.get(key));
    }
}

fn by_key(tags: Option<&Value>) -> Map<String, Value> {
    let text = |one: &Value, name: &str| one.get(name).and_then(Value::as_str).map(str::to_owned);
    let listed = tags.and_then(Value::as_array).into_iter().flatten();
    listed
        .filter_map(|one| Some((text(one, "key")?, json!(text(one, "value").unwrap_or_default()))))
        .collect()
}

/// The fields that are of the manifest alone.
fn own(old: &Service, new: &Service) -> Vec<Change> {
    let mut found = Found::new(ROLLOUTS);
    let rollout = |service: &Service| serde_json::to_value(&service.rollout).ok();
    found.compare("rollout", rollout(old).as_ref(), rollout(new).as_ref());
    let drift = |service: &Service| serde_json::to_value(&service.drift).ok();
    found.compare("drift", drift(old).as_ref(), drift(new).as_ref());
    let flags = |service: &Service| [service.paused, service.adopt].map(Value::from);
    let ([old_paused, old_adopt], [new_paused, new_adopt]) = (flags(old), flags(new));
    found.compare("paused", Some(&old_paused), Some(&new_paused));
    found.compare("adopt", Some(&old_adopt), Some(&new_adopt));
    let maps = [
        ("metadata.labels", &old.metadata.labels, &new.metadata.labels),
        ("metadata.annotations", &old.metadata.annotations, &new.metadata.annotations),
    ];
    for (path, old, new) in maps {
        for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            let value = |one: Option<&String>| one.map(|text| json!(text));
            let path = format!("{path}[{name}]");
            found.compare(&path, value(old.get(name)).as_ref(), value(new.get(name)).as_ref());
        }
    }
    found.changes
}
