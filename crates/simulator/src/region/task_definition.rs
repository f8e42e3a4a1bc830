//! Task definitions and their revisions; never the services that use them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::identifiers::last_part;
use super::input::{
    count, given, invalid, list, map_of, page, paged, put_epoch, refused, required, text, texts,
};
use super::tags::{self, Tags};
use super::{ApiError, State, flag, read_back, validation};
use crate::HealthCheck;

#[derive(Clone, Debug, Default)]
pub(crate) struct Family {
    pub(crate) revisions: BTreeMap<u32, Revision>,
    /// Revisions are never used again, not even after deletion.
    last: u32,
}

impl Family {
    pub(crate) fn latest_active(&self) -> Option<&Revision> {
        self.revisions.values().rev().find(|revision| revision.status == Status::Active)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Revision {
    pub(crate) content: Arc<TaskContent>,
    pub(crate) status: Status,
    pub(crate) tags: Tags,
    deregistered_at: Option<Timestamp>,
    delete_requested_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Active,
    Inactive,
    DeleteInProgress,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
            Self::DeleteInProgress => "DELETE_IN_PROGRESS",
        }
    }
}

/// What never changes of a revision.
#[derive(Debug)]
pub(crate) struct TaskContent {
    pub(crate) arn: Arc<str>,
    pub(crate) family: String,
    /// As it is read back, without status and times.
    pub(crate) document: Map<String, Value>,
    pub(crate) awsvpc: bool,
    pub(crate) cpu: String,
    pub(crate) memory: String,
    pub(crate) containers: Vec<ContainerContent>,
}

impl TaskContent {
    pub(crate) fn container(&self, name: &str) -> Option<&ContainerContent> {
        self.containers.iter().find(|container| container.name == name)
    }
}

/// What running a container takes.
#[derive(Debug)]
pub(crate) struct ContainerContent {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) essential: bool,
    pub(crate) entry_point: Vec<String>,
    pub(crate) command: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) ports: Vec<u16>,
    pub(crate) health_check: Option<HealthCheck>,
    pub(crate) stop_timeout: Duration,
}

impl ContainerContent {
    fn read(input: &Value) -> Self {
        let texts_of = |name| texts(input, name).map(str::to_owned).collect();
        let environment = list(input, "environment").iter().filter_map(|variable| {
            Some((text(variable, "name")?.to_owned(), text(variable, "value")?.to_owned()))
        });
        let ports = list(input, "portMappings")
            .iter()
            .filter_map(|mapping| u16::try_from(count(mapping, "containerPort")?).ok());
        Self {
            name: text(input, "name").unwrap_or_default().to_owned(),
            image: text(input, "image").unwrap_or_default().to_owned(),
            essential: flag(input, "essential").unwrap_or(true),
            entry_point: texts_of("entryPoint"),
            command: texts_of("command"),
            environment: environment.collect(),
            ports: ports.collect(),
            health_check: given(input, "healthCheck").map(health_check),
            stop_timeout: Duration::from_secs(count(input, "stopTimeout").unwrap_or(30).into()),
        }
    }
}

/// Source of the defaults: `M:ecs.HealthCheck`.
fn health_check(input: &Value) -> HealthCheck {
    let seconds = |name, default| Duration::from_secs(count(input, name).unwrap_or(default).into());
    HealthCheck {
        command: texts(input, "command").map(str::to_owned).collect(),
        interval: seconds("interval", 30),
        timeout: seconds("timeout", 5),
        retries: count(input, "retries").unwrap_or(3),
        start_period: seconds("startPeriod", 0),
    }
}

impl State {
    pub(crate) fn register_task_definition(&mut self, input: &Value) -> Result<Value, ApiError> {
        validation::task_definition(input)?;
        let family = required(input, "family")?.to_owned();
        let new_tags = tags::read(input)?;
        let number = self.families.get(&family).map_or(0, |family| family.last) + 1;
        let arn = self.ecs_arn(&format!("task-definition/{family}:{number}"));
        let mut document = read_back::task_definition(input, &mut self.rng);
        document.insert("taskDefinitionArn".to_owned(), json!(arn));
        document.insert("revision".to_owned(), json!(number));
        document.insert(
            "registeredBy".to_owned(),
            json!(format!("arn:aws:iam::{}:root", self.settings.account)),
        );
        put_epoch(&mut document, "registeredAt", Some(self.now));
        let revision = Revision {
            content: Arc::new(content(arn, &family, input, document)),
            status: Status::Active,
            tags: new_tags,
            deregistered_at: None,
            delete_requested_at: None,
        };
        let reply = json!({
            "taskDefinition": read_revision(&revision), "tags": tags::write(&revision.tags),
        });
        let entry = self.families.get_or_default(family);
        entry.last = number;
        entry.revisions.insert(number, revision);
        Ok(reply)
    }

    pub(crate) fn describe_task_definition(&self, input: &Value) -> Result<Value, ApiError> {
        let name = required(input, "taskDefinition")?;
        let revision = self
            .find_revision(name)
            .ok_or_else(|| refused("Unable to describe task definition."))?;
        let mut reply = map_of(json!({"taskDefinition": read_revision(revision)}));
        if tags::included(input) {
            reply.insert("tags".to_owned(), tags::write(&revision.tags));
        }
        Ok(Value::Object(reply))
    }

    pub(crate) fn deregister_task_definition(&mut self, input: &Value) -> Result<Value, ApiError> {
        let name = required(input, "taskDefinition")?.to_owned();
        let now = self.now;
        let revision = self
            .exact_revision_mut(&name)
            .ok_or_else(|| refused("The specified task definition does not exist."))?;
        if revision.status == Status::Active {
            revision.status = Status::Inactive;
            revision.deregistered_at = Some(now);
        }
        Ok(json!({"taskDefinition": read_revision(revision)}))
    }

    pub(crate) fn delete_task_definitions(&mut self, input: &Value) -> Result<Value, ApiError> {
        let names: Vec<String> = texts(input, "taskDefinitions").map(str::to_owned).collect();
        if names.is_empty() || names.len() > 10 {
            return Err(invalid("taskDefinitions must have between 1 and 10 items."));
        }
        let now = self.now;
        let (mut deleted, mut failures) = (Vec::new(), Vec::new());
        for name in names {
            match self.exact_revision_mut(&name) {
                Some(revision) if revision.status != Status::Active => {
                    revision.status = Status::DeleteInProgress;
                    revision.delete_requested_at = Some(now);
                    deleted.push(read_revision(revision));
                }
                Some(revision) => failures.push(json!({
                    "arn": *revision.content.arn, "reason": "TASK_DEFINITION_ACTIVE",
                    "detail": "The specified task definition is still in ACTIVE status.",
                })),
                None => failures.push(json!({"arn": name, "reason": "MISSING"})),
            }
        }
        Ok(json!({"taskDefinitions": deleted, "failures": failures}))
    }

    pub(crate) fn list_task_definitions(&self, input: &Value) -> Result<Value, ApiError> {
        let prefix = text(input, "familyPrefix");
        let status = text(input, "status").unwrap_or("ACTIVE");
        let descending = text(input, "sort") == Some("DESC");
        let mut revisions: Vec<(&String, u32, &Revision)> = self
            .families
            .iter()
            .filter(|(family, _)| prefix.is_none_or(|prefix| prefix == *family))
            .flat_map(|(family, entry)| {
                entry.revisions.iter().map(move |(number, revision)| (family, *number, revision))
            })
            .filter(|(_, _, revision)| revision.status.word() == status)
            .collect();
        if descending {
            revisions.reverse();
        }
        // Keys that sort as the list does, because revision 10 comes after 9.
        let keys = revisions
            .iter()
            .enumerate()
            .map(|(index, (_, _, revision))| format!("{index:08} {}", revision.content.arn));
        let (keys, token) = page(keys, input, 100, 100)?;
        let arns = keys.iter().filter_map(|key| key.split_once(' '));
        Ok(paged("taskDefinitionArns", arns.map(|(_, arn)| json!(arn)).collect(), token))
    }

    pub(crate) fn list_task_definition_families(&self, input: &Value) -> Result<Value, ApiError> {
        let prefix = text(input, "familyPrefix").unwrap_or_default();
        let status = text(input, "status").unwrap_or("ALL");
        let fits = |family: &Family| match status {
            "ACTIVE" => family.latest_active().is_some(),
            "INACTIVE" => family.latest_active().is_none(),
            _ => true,
        };
        let names = self
            .families
            .iter()
            .filter(|(name, family)| name.starts_with(prefix) && fits(family))
            .map(|(name, _)| name.clone());
        let (names, token) = page(names, input, 100, 100)?;
        Ok(paged("families", names.into_iter().map(Value::String).collect(), token))
    }

    /// The revision that a service may be created on or updated to.
    pub(crate) fn usable_revision(&self, name: &str) -> Result<Arc<TaskContent>, ApiError> {
        let revision =
            self.find_revision(name).ok_or_else(|| refused("TaskDefinition not found."))?;
        if revision.status != Status::Active {
            return Err(refused("TaskDefinition is inactive"));
        }
        Ok(Arc::clone(&revision.content))
    }

    pub(crate) fn revision_of(&self, content: &TaskContent) -> Option<&Revision> {
        self.find_revision(&content.arn)
    }

    /// By `family` (the latest active revision), `family:revision` or ARN.
    fn find_revision(&self, name: &str) -> Option<&Revision> {
        let name = last_part(name);
        match name.split_once(':') {
            None => self.families.get(name)?.latest_active(),
            Some((family, number)) => {
                self.families.get(family)?.revisions.get(&number.parse().ok()?)
            }
        }
    }

    fn exact_revision_mut(&mut self, name: &str) -> Option<&mut Revision> {
        let (family, number) = last_part(name).split_once(':')?;
        self.families.get_mut(family)?.revisions.get_mut(&number.parse().ok()?)
    }
}

fn content(arn: String, family: &str, input: &Value, document: Map<String, Value>) -> TaskContent {
    let word = |name| document.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    TaskContent {
        arn: arn.into(),
        family: family.to_owned(),
        awsvpc: text(input, "networkMode") == Some("awsvpc"),
        cpu: word("cpu"),
        memory: word("memory"),
        containers: list(input, "containerDefinitions")
            .iter()
            .map(ContainerContent::read)
            .collect(),
        document,
    }
}

fn read_revision(revision: &Revision) -> Value {
    let mut map = revision.content.document.clone();
    map.insert("status".to_owned(), json!(revision.status.word()));
    put_epoch(&mut map, "deregisteredAt", revision.deregistered_at);
    put_epoch(&mut map, "deleteRequestedAt", revision.delete_requested_at);
    Value::Object(map)
}
