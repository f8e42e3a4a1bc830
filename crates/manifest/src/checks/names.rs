//! Names and tags within the limits of ECS; never judges what they mean.

use std::collections::HashSet;

use super::Wanted;
use crate::envelope::{ELSEWHERE, check_name};
use crate::node::Cursor;
use crate::problem::Report;

/// Of the 50 tags that AWS allows, those that Evenkeel may need: fourteen on a service (owner, digest, proven, commit,
/// rejected, rollout, hold, pause, promote, reweighed, drift, prune, tombstone, tags) and one on a task definition (digest).
/// Source: `TagResource` API reference for all limits on tags.
const SERVICE_TAGS: usize = 36;
const TASK_DEFINITION_TAGS: usize = 49;
const KEY_CHARACTERS: usize = 128;
const VALUE_CHARACTERS: usize = 256;

pub(super) fn check(wanted: &Wanted<'_, '_>, report: &mut Report) {
    if let Some(family) = wanted.task_definition.member("family").filter(|at| at.text().is_some()) {
        check_name(&family, report);
    }
    if let Some(at) =
        wanted.service.member("serviceName").filter(|at| at.text() != Some(wanted.name))
    {
        report.error(&at, "expected the same name as `metadata.name`: remove this");
    }
    for (name, message) in ELSEWHERE {
        if let Some(at) = wanted.service.member(name) {
            report.error(&at, message);
        }
    }
    check_tags(wanted.task_definition, TASK_DEFINITION_TAGS, report);
    check_tags(wanted.service, SERVICE_TAGS, report);
}

fn check_tags(parent: &Cursor<'_>, most: usize, report: &mut Report) {
    let tags = parent.elements_of("tags");
    if let Some(beyond) = tags.get(most) {
        let message = format!("expected at most {most} tags: AWS allows 50, some are Evenkeel's");
        report.error(beyond, message);
    }
    let mut seen = HashSet::new();
    for tag in &tags {
        let Some(key) = tag.member("key") else { continue };
        let Some(text) = key.text() else { continue };
        if !seen.insert(text) {
            report.error(&key, "this tag is already in the list");
        }
        check_tag_key(&key, text, report);
        if let Some(value) = tag.member("value")
            && value.text().is_some_and(|text| text.chars().count() > VALUE_CHARACTERS)
        {
            report.error(&value, format!("expected at most {VALUE_CHARACTERS} characters"));
        }
    }
}

fn check_tag_key(at: &Cursor<'_>, key: &str, report: &mut Report) {
    let lower = key.to_ascii_lowercase();
    if let Some(prefix) = ["aws:", "evenkeel:"].iter().find(|prefix| lower.starts_with(**prefix)) {
        report.error(at, format!("tags that begin with `{prefix}` are reserved"));
    }
    if !(1..=KEY_CHARACTERS).contains(&key.chars().count()) {
        report.error(at, format!("expected 1 to {KEY_CHARACTERS} characters"));
    }
}
