//! The digests of task definitions, from their contents as the region told them; content never changes.

use std::collections::BTreeMap;

use evenkeel_manifest::{Digest, canonical};
use serde_json::Value;

use super::super::Event;
use super::call::text;

/// By ARN.
#[derive(Clone, Debug, Default)]
pub(super) struct Definitions(BTreeMap<String, Digest>);

impl Definitions {
    pub(super) fn note(&mut self, event: &Event<'_>) {
        let (Event::CarriedOut { call, reply: Ok(reply) }
        | Event::Answered { call, answer: Ok(reply), .. }) = event
        else {
            return;
        };
        if !["RegisterTaskDefinition", "DescribeTaskDefinition"].contains(&&*call.operation) {
            return;
        }
        let Some(content) = reply.get("taskDefinition") else { return };
        let Some(arn) = text(content, "taskDefinitionArn") else { return };
        if !self.0.contains_key(arn) {
            self.0.insert(arn.to_owned(), digest(content));
        }
    }

    /// `None` for one that nobody was told of yet.
    pub(super) fn digest(&self, arn: &str) -> Option<&Digest> {
        self.0.get(arn)
    }

    /// The ARNs of all that have this content.
    pub(super) fn with(&self, digest: &Digest) -> impl Iterator<Item = &str> {
        let alike = self.0.iter().filter(move |(_, content)| *content == digest);
        alike.map(|(arn, _)| arn.as_str())
    }

    /// Whether the content is known and is this one.
    pub(super) fn is(&self, arn: &str, digest: &Digest) -> bool {
        self.digest(arn) == Some(digest)
    }
}

/// Of the input of `RegisterTaskDefinition`, or of a task definition as ECS describes it.
pub(super) fn digest(content: &Value) -> Digest {
    Digest::of(&canonical::task_definition(content))
}
