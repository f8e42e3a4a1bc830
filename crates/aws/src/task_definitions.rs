//! Revisions of task definitions: their content never changes, so their digests are remembered by
//! ARN; never takes a digest from a tag.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use evenkeel_manifest::{Digest, Document, canonical};
use evenkeel_planner::{FamilyQuestion, Lane, TaskDefinition, tag};
use evenkeel_reconciler::CloudError;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::operation::Operation;
use crate::pages::{Limit, Listing};
use crate::reply::{elements, text};

#[derive(Debug)]
pub(crate) struct TaskDefinitions {
    caller: Arc<Caller>,
    known: Mutex<Known>,
}

/// What is remembered of revisions, without their content: about 300 bytes each. Two generations
/// bound it: when the young one is full, it becomes the old one, and what was not asked for during
/// a whole generation is forgotten.
#[derive(Debug, Default)]
struct Known {
    young: HashMap<String, TaskDefinition>,
    old: HashMap<String, TaskDefinition>,
}

/// Ten thousand services use as many revisions.
const GENERATION: usize = 12_000;
/// How far back a revision with the wanted digest is looked for.
const NEWEST: usize = 20;

impl TaskDefinitions {
    pub(crate) fn new(caller: Arc<Caller>) -> Self {
        Self { caller, known: Mutex::default() }
    }

    /// Digest, tag and status as first seen: status and tag may have changed since.
    pub(crate) async fn remembered(
        &self,
        arn: &str,
        lane: Lane,
    ) -> Result<TaskDefinition, CloudError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(arn);
        match known {
            Some(task_definition) => Ok(task_definition),
            None => Ok(TaskDefinition { document: None, ..self.fresh(arn, lane).await? }),
        }
    }

    /// As AWS has it now, with its content.
    pub(crate) async fn fresh(&self, arn: &str, lane: Lane) -> Result<TaskDefinition, CloudError> {
        let input = json!({ "taskDefinition": arn, "include": ["TAGS"] });
        let reply = self.caller.ecs(Operation::DescribeTaskDefinition, lane, &input).await?;
        let task_definition = read(&reply).ok_or_else(|| CloudError::Transient {
            operation: Operation::DescribeTaskDefinition.name().to_owned(),
            message: format!("the reply holds no task definition for {arn}"),
        })?;
        let known = TaskDefinition { document: None, ..task_definition.clone() };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(known);
        Ok(task_definition)
    }

    /// The newest active revision of the family with that content, among the newest twenty. `None`
    /// only when all of them were looked at.
    pub(crate) async fn find(
        &self,
        question: &FamilyQuestion,
        lane: Lane,
    ) -> Result<Option<TaskDefinition>, CloudError> {
        for arn in self.newest(&question.family, lane).await? {
            let revision = self.remembered(&arn, lane).await?;
            if revision.digest == question.digest {
                return Ok(Some(TaskDefinition { status: "ACTIVE".to_owned(), ..revision }));
            }
        }
        Ok(None)
    }

    async fn newest(&self, family: &str, lane: Lane) -> Result<Vec<String>, CloudError> {
        let listing = Listing {
            operation: Operation::ListTaskDefinitions,
            input: json!({
                "familyPrefix": family, "status": "ACTIVE", "sort": "DESC", "maxResults": NEWEST,
            }),
            member: "taskDefinitionArns",
            limit: Limit::First(NEWEST),
        };
        let arns = listing.read(&self.caller, lane).await?;
        let arns = arns.iter().filter_map(Value::as_str);
        // AWS calls it a prefix and takes it for the name; other servers take the word for it.
        Ok(arns.filter(|arn| family_of(arn) == Some(family)).map(str::to_owned).collect())
    }
}

impl Known {
    fn get(&mut self, arn: &str) -> Option<TaskDefinition> {
        if let Some(known) = self.young.get(arn) {
            return Some(known.clone());
        }
        let known = self.old.remove(arn)?;
        self.insert(known.clone());
        Some(known)
    }

    fn insert(&mut self, task_definition: TaskDefinition) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(task_definition.arn.clone(), task_definition);
    }
}

/// Reads a reply of DescribeTaskDefinition.
fn read(reply: &Value) -> Option<TaskDefinition> {
    let content = reply.get("taskDefinition")?;
    let tag = elements(reply, "tags").find(|tag| text(tag, "key") == tag::DIGEST);
    Some(TaskDefinition {
        arn: content.get("taskDefinitionArn")?.as_str()?.to_owned(),
        status: text(content, "status").to_owned(),
        digest: Digest::of(&canonical::task_definition(content)),
        digest_tag: tag.map(|tag| Digest::from_tag(text(tag, "value"))),
        document: Some(Document::new(content)),
    })
}

/// `web` of `arn:aws:ecs:eu-west-1:123456789012:task-definition/web:7`.
fn family_of(arn: &str) -> Option<&str> {
    let (_, name) = arn.rsplit_once('/')?;
    name.rsplit_once(':').map(|(family, _)| family)
}
