//! The guard before a person's command is carried out: it writes tags that commands may write, on a service
//! that is ours, and nothing else; never repairs anything.

use super::{Ground, is_name_of, is_owned, stays_in_scope};
use crate::{Action, Call, Input, Lane};

/// Tags that a command sets, and those that it removes.
const SET: &[&str] = &[
    "evenkeel:hold",
    "evenkeel:pause",
    "evenkeel:promote",
    "evenkeel:rejected",
    "evenkeel:rollout",
    "evenkeel:proven",
    "evenkeel:digest",
];
const REMOVED: &[&str] = &["evenkeel:hold", "evenkeel:pause", "evenkeel:rejected"];

/// Those that stop writes, and may be written in spite of a hold.
const STOPPING: &[&str] = &["evenkeel:hold", "evenkeel:pause"];

/// Refuses what a command does if it breaks a safety property; shares no code with
/// [`obey`](crate::obey). The error names every property broken.
pub fn check_order(actions: &[Action], input: &Input<'_>) -> Result<(), Vec<String>> {
    let Some(desired) = input.desired else {
        return unnamed(actions, input);
    };
    let ground = Ground { input, desired, service: input.observed.service.known() };
    let rules = [person_s_lane, known_tags, heeds_a_hold, returns_to_what_is_known, fits_a_tag];
    let mut broken = Vec::new();
    for action in actions {
        let found = rules.iter().filter_map(|rule| rule(&ground, action));
        broken.extend(found);
        broken.extend(stays_in_scope(&ground, action));
        broken.extend(is_owned(&ground, action));
    }
    if broken.is_empty() { Ok(()) } else { Err(broken) }
}

/// Of a service that no manifest names, only its hold and its tombstone are written.
fn unnamed(actions: &[Action], input: &Input<'_>) -> Result<(), Vec<String>> {
    let service = input.observed.service.known().filter(|one| one.status == "ACTIVE");
    let owner = service.and_then(|one| one.tags.get("evenkeel:owner")?.strip_prefix("v1:"));
    let name = owner.and_then(|owner| owner.split(':').next());
    let is_ours = name.is_some_and(|name| is_name_of(name, input.instance));
    let is_held = service.is_some_and(|one| one.tags.contains_key("evenkeel:hold"));
    let is_about = |arn: &str| service.is_some_and(|one| one.service_arn == *arn);
    let mut broken = Vec::new();
    for action in actions {
        let is_known = match &action.call {
            Call::TagResource { arn, tags } => {
                let one_of = |key: &String| {
                    key == "evenkeel:hold" || (key == "evenkeel:tombstone" && !is_held)
                };
                is_about(arn)
                    && tags.keys().all(one_of)
                    && tags.values().all(|value| value.chars().count() <= 256)
            }
            Call::UntagResource { arn, keys } => {
                is_about(arn) && keys.iter().all(|key| key == "evenkeel:hold")
            }
            _ => false,
        };
        if !is_ours || !is_known || action.lane != Lane::Person {
            broken.push(format!(
                "{} is not for commands where no manifest is",
                action.call.operation()
            ));
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(broken) }
}

fn person_s_lane(_: &Ground<'_>, action: &Action) -> Option<String> {
    (action.lane != Lane::Person).then(|| "a command does not go in a person's lane".to_owned())
}

fn known_tags(_: &Ground<'_>, action: &Action) -> Option<String> {
    let other = match &action.call {
        Call::TagResource { tags, .. } => tags.keys().find(|key| !SET.contains(&key.as_str())),
        Call::UntagResource { keys, .. } => {
            keys.iter().find(|key| !REMOVED.contains(&key.as_str()))
        }
        call => return Some(format!("a command writes tags, not {}", call.operation())),
    };
    other.map(|key| format!("the tag {key} is not for commands"))
}

fn heeds_a_hold(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let is_held = ground.desired.paused || ground.tag("evenkeel:hold").is_some();
    let keys: Vec<&String> = match &action.call {
        Call::TagResource { tags, .. } => tags.keys().collect(),
        Call::UntagResource { keys, .. } => keys.iter().collect(),
        _ => Vec::new(),
    };
    let other = keys.into_iter().find(|key| !STOPPING.contains(&key.as_str()))?;
    is_held.then(|| format!("the service is on hold: {other} may not be written"))
}

/// A revision to return to comes with the verdict on what is left, and exists.
fn returns_to_what_is_known(ground: &Ground<'_>, action: &Action) -> Option<String> {
    let Call::TagResource { tags, .. } = &action.call else { return None };
    let digest = ground.desired.revision_digest.as_str();
    let is_verdict = tags.get("evenkeel:rejected").is_some_and(|value| value.contains(digest));
    if tags.contains_key("evenkeel:rejected") && !is_verdict {
        return Some("the verdict is on something else than what is wanted".to_owned());
    }
    let proven = tags.get("evenkeel:proven")?;
    if !is_verdict || !tags.contains_key("evenkeel:rollout") {
        return Some("another revision is to be returned to without leaving this one".to_owned());
    }
    let revisions = ground.input.observed.service_revisions.known();
    let is_listed =
        revisions.is_some_and(|all| all.iter().any(|one| one.service_revision_arn == *proven));
    let family = format!(":task-definition/{}:", ground.desired.family);
    (!is_listed && !proven.contains(&family)).then(|| format!("{proven} is not known"))
}

/// AWS's limit and alphabet.
fn fits_a_tag(_: &Ground<'_>, action: &Action) -> Option<String> {
    let Call::TagResource { tags, .. } = &action.call else { return None };
    let is_allowed = |c: char| c.is_alphanumeric() || " +-=._:/@".contains(c);
    let fits = |value: &String| value.chars().count() <= 256 && value.chars().all(is_allowed);
    let (key, _) = tags.iter().find(|(_, value)| !fits(value))?;
    Some(format!("the value of {key} does not fit into a tag"))
}
