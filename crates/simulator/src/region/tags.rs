//! Tags of ECS resources and the calls on them; never the tags of load balancers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::input::{invalid, list, required, text, texts};
use super::{ApiError, State};

pub(crate) type Tags = BTreeMap<String, String>;

const MOST: usize = 50;

/// Reads `[{key, value}]`.
pub(crate) fn read(input: &Value) -> Result<Tags, ApiError> {
    let tags: Tags = list(input, "tags")
        .iter()
        .filter_map(|tag| {
            let value = text(tag, "value").unwrap_or_default();
            Some((text(tag, "key")?.to_owned(), value.to_owned()))
        })
        .collect();
    for (key, value) in &tags {
        check(key, value)?;
    }
    if tags.len() > MOST {
        return Err(invalid("The maximum number of tags per resource is 50."));
    }
    Ok(tags)
}

fn check(key: &str, value: &str) -> Result<(), ApiError> {
    if key.starts_with("aws:") {
        return Err(invalid(
            "Some of the provided tags begin with a reserved prefix 'aws:'. This prefix cannot be \
             used in any tag key or value.",
        ));
    }
    if key.is_empty() || key.chars().count() > 128 {
        return Err(invalid("Tag key must be between 1 and 128 characters."));
    }
    if value.chars().count() > 256 {
        return Err(invalid("Tag value must be between 0 and 256 characters."));
    }
    Ok(())
}

pub(crate) fn write(tags: &Tags) -> Value {
    tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
}

/// Whether `include` holds `TAGS`.
pub(crate) fn included(input: &Value) -> bool {
    texts(input, "include").any(|word| word == "TAGS")
}

impl State {
    pub(crate) fn tag_resource(&mut self, input: &Value) -> Result<Value, ApiError> {
        let new = read(input)?;
        let tags = self.tags_mut(required(input, "resourceArn")?)?;
        let kept = tags.keys().filter(|key| !new.contains_key(*key)).count();
        if kept + new.len() > MOST {
            return Err(ApiError::client(
                "LimitExceededException",
                "The maximum number of tags per resource is 50.",
            ));
        }
        tags.extend(new);
        Ok(json!({}))
    }

    pub(crate) fn untag_resource(&mut self, input: &Value) -> Result<Value, ApiError> {
        let tags = self.tags_mut(required(input, "resourceArn")?)?;
        for key in texts(input, "tagKeys") {
            tags.remove(key);
        }
        Ok(json!({}))
    }

    pub(crate) fn list_tags_for_resource(&mut self, input: &Value) -> Result<Value, ApiError> {
        let tags = self.tags_mut(required(input, "resourceArn")?)?;
        Ok(json!({"tags": write(tags)}))
    }

    fn tags_mut(&mut self, arn: &str) -> Result<&mut Tags, ApiError> {
        let resource = arn.splitn(6, ':').nth(5).unwrap_or_default().to_owned();
        let missing = || {
            ApiError::client(
                "ResourceNotFoundException",
                "The specified resource wasn't found.".to_owned(),
            )
        };
        let (kind, name) =
            resource.split_once('/').ok_or_else(|| invalid("Invalid resource ARN."))?;
        let tags = match kind {
            "cluster" => self.clusters.get_mut(name).map(|cluster| &mut cluster.tags),
            "service" => self.service_tags_mut(name),
            "task-definition" => self.task_definition_tags_mut(name),
            "task" => self.task_tags_mut(name),
            _ => return Err(invalid(format!("Invalid resource type: {kind}"))),
        };
        tags.ok_or_else(missing)
    }

    fn service_tags_mut(&mut self, path: &str) -> Option<&mut Tags> {
        let (cluster, name) = path.split_once('/')?;
        let id = self.names.get(&(cluster.to_owned(), name.to_owned()))?;
        self.services.get_mut(id).map(|service| &mut service.tags)
    }

    fn task_definition_tags_mut(&mut self, path: &str) -> Option<&mut Tags> {
        let (family, revision) = path.split_once(':')?;
        let revision = revision.parse().ok()?;
        let family = self.families.get_mut(family)?;
        family.revisions.get_mut(&revision).map(|revision| &mut revision.tags)
    }

    fn task_tags_mut(&mut self, path: &str) -> Option<&mut Tags> {
        let id = super::identifiers::task_id(path)?;
        self.tasks.get_mut(&id).map(|task| &mut task.tags)
    }
}
