//! Content of which ECS makes another when it is registered; never registered without end.

use std::cmp::Reverse;

use evenkeel_manifest::Service;

use super::stand_still;
use crate::diff::differing_fields;
use crate::tags::{revision_number, tag};
use crate::{Plan, TaskDefinition, WaitReason};

/// The plan where the newest two revisions that were registered for what is wanted have the same other content: the next
/// would have it, too. One alone may be a person's, made of an earlier revision with all its tags.
///
/// Source: ECS drops what it has no use for without an error, such as a variable without a value
/// (aws-actions/amazon-ecs-deploy-task-definition#224).
pub(super) fn not_registered_again(desired: &Service, known: &[TaskDefinition]) -> Option<Plan> {
    let mut meant: Vec<&TaskDefinition> =
        known.iter().filter(|one| is_meant(desired, one)).collect();
    meant.sort_by_key(|one| Reverse(revision_number(&one.arn)));
    meant.dedup_by_key(|one| &one.arn);
    let [newest, before, ..] = meant.as_slice() else { return None };
    (newest.digest == before.digest)
        .then(|| stand_still(WaitReason::Unsupported, sentence(desired, newest, before)))
}

/// Whether it was registered as the wanted content, and has another.
fn is_meant(desired: &Service, one: &TaskDefinition) -> bool {
    let wanted = &desired.task_definition_digest;
    one.status == "ACTIVE"
        && one.digest_tag.as_ref() == Some(wanted)
        && one.digest != *wanted
        && one.arn.contains(&format!(":task-definition/{}:", desired.family))
}

fn sentence(desired: &Service, newest: &TaskDefinition, before: &TaskDefinition) -> String {
    let document = newest.document.as_ref().or(before.document.as_ref());
    let fields = document.map(|one| differing_fields(one, desired)).unwrap_or_default();
    let fields = match fields.as_slice() {
        [] => String::new(),
        [one] => format!(" ({one} differs)"),
        [one, rest @ ..] => format!(" ({one} and {} more differ)", rest.len()),
    };
    format!(
        "ECS made other content of {} than was registered, and the same of {} before{fields}: a third would be no better. \
         Write it as `aws ecs describe-task-definition` shows it; if one of the two is somebody's copy, take the tag {} from it",
        newest.arn,
        before.arn,
        tag::DIGEST
    )
}
