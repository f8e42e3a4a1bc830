//! Revisions of task definitions: their content never changes, so their digests are remembered by
//! ARN; never takes what a tag says for their content.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use evenkeel_manifest::{Digest, Document, canonical};
use evenkeel_planner::{FamilyQuestion, Lane, TaskDefinition, tag};
use evenkeel_reconciler::CloudError;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::caller::Caller;
use crate::generations::Generations;
use crate::operation::Operation;
use crate::pages::{Limit, Listing};
use crate::reply::{elements, text};

#[derive(Debug)]
pub(crate) struct TaskDefinitions {
    caller: Arc<Caller>,
    /// Without their content: about 300 bytes each.
    known: Mutex<Generations<TaskDefinition>>,
    recent: Mutex<HashMap<String, (Instant, TaskDefinition)>>,
}

/// Ten thousand services use as many revisions.
const GENERATION: usize = 12_000;
/// For how long content counts as read just now: a rollout is looked at every few seconds.
const RECENT: Duration = Duration::from_secs(30);
/// Contents that are kept, two for each of 128 rollouts at one time, at most 64 KiB each (ECS's limit).
const RECENT_MAX: usize = 256;
/// How far back a revision with the wanted digest is looked for.
const NEWEST: usize = 20;
/// Revisions with the wanted digest as their tag and other content: two are compared.
const ALTERED: usize = 2;
/// What ECS says of a family or revision that there is not (ecs-behaviour 8).
const NO_SUCH_REVISION: &str = "Unable to describe task definition";

impl TaskDefinitions {
    pub(crate) fn new(caller: Arc<Caller>) -> Self {
        Self { caller, known: Mutex::new(Generations::of(GENERATION)), recent: Mutex::default() }
    }

    /// Digest, tag and status as first seen: status and tag may have changed since.
    pub(crate) async fn remembered(
        &self,
        arn: &str,
        lane: Lane,
    ) -> Result<TaskDefinition, CloudError> {
        let known = lock(&self.known).get(arn);
        match known {
            Some(task_definition) => Ok(task_definition),
            None => Ok(TaskDefinition { document: None, ..self.fresh(arn, lane).await? }),
        }
    }

    /// With its content, as AWS had it at most 30 seconds ago.
    pub(crate) async fn recent(&self, arn: &str, lane: Lane) -> Result<TaskDefinition, CloudError> {
        if let Some((read, task_definition)) = lock(&self.recent).get(arn)
            && read.elapsed() < RECENT
        {
            return Ok(task_definition.clone());
        }
        let task_definition = self.fresh(arn, lane).await?;
        let mut recent = lock(&self.recent);
        recent.retain(|_, (read, _)| read.elapsed() < RECENT);
        if recent.len() < RECENT_MAX {
            recent.insert(arn.to_owned(), (Instant::now(), task_definition.clone()));
        }
        Ok(task_definition)
    }

    /// The same as [`fresh`](Self::fresh); `None` when there is no such revision.
    pub(crate) async fn existing(
        &self,
        arn: &str,
        lane: Lane,
    ) -> Result<Option<TaskDefinition>, CloudError> {
        match self.fresh(arn, lane).await {
            Ok(task_definition) => Ok(Some(task_definition)),
            Err(CloudError::Rejected { message, .. }) if message.contains(NO_SUCH_REVISION) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// As AWS has it now, with its content.
    pub(crate) async fn fresh(&self, arn: &str, lane: Lane) -> Result<TaskDefinition, CloudError> {
        let input = json!({ "taskDefinition": arn, "include": ["TAGS"] });
        let reply = self.caller.json(Operation::DescribeTaskDefinition, lane, &input).await?;
        let task_definition = read(&reply).ok_or_else(|| CloudError::Transient {
            operation: Operation::DescribeTaskDefinition.name().to_owned(),
            message: format!("the reply holds no task definition for {arn}"),
        })?;
        let known = TaskDefinition { document: None, ..task_definition.clone() };
        lock(&self.known).insert(known.arn.clone(), known);
        Ok(task_definition)
    }

    /// The newest active revision of the family with that content, among the newest twenty. Only when all of them were
    /// looked at and none has it: the newest two, with their content, whose tag says that they were registered for it.
    pub(crate) async fn find(
        &self,
        question: &FamilyQuestion,
        lane: Lane,
    ) -> Result<Vec<TaskDefinition>, CloudError> {
        let mut meant = Vec::new();
        for arn in self.newest(&question.family, lane).await? {
            let revision = self.remembered(&arn, lane).await?;
            if revision.digest == question.digest {
                return Ok(vec![TaskDefinition { status: "ACTIVE".to_owned(), ..revision }]);
            }
            if revision.digest_tag.as_ref() == Some(&question.digest) {
                meant.push(arn);
            }
        }
        let mut altered = Vec::new();
        for arn in meant.iter().take(ALTERED) {
            altered.push(self.recent(arn, lane).await?);
        }
        Ok(altered)
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
        // AWS calls it a prefix and takes it for the name; other servers take the word for it.
        let arns = arns.iter().filter_map(Value::as_str);
        let of_family = arns.filter_map(|arn| Some((revision(arn, family)?, arn.to_owned())));
        let mut of_family: Vec<(u64, String)> = of_family.collect();
        of_family.sort_by_key(|(revision, _)| Reverse(*revision));
        Ok(of_family.into_iter().map(|(_, arn)| arn).collect())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a reply of DescribeTaskDefinition.
fn read(reply: &Value) -> Option<TaskDefinition> {
    let content = TaskDefinition::content(reply)?;
    let tag = elements(reply, "tags").find(|tag| text(tag, "key") == tag::DIGEST);
    Some(TaskDefinition {
        arn: content.get("taskDefinitionArn")?.as_str()?.to_owned(),
        status: text(&content, "status").to_owned(),
        digest: Digest::of(&canonical::task_definition(&content)),
        digest_tag: tag.map(|tag| Digest::from_tag(text(tag, "value"))),
        document: Some(Document::new(&content)),
    })
}

/// 7 of `arn:aws:ecs:eu-west-1:123456789012:task-definition/web:7`, if the family is `web`.
fn revision(arn: &str, family: &str) -> Option<u64> {
    let (_, name) = arn.rsplit_once('/')?;
    name.strip_prefix(family)?.strip_prefix(':')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, Reply, Request, error, ok};

    fn arn(revision: u64) -> String {
        format!("arn:aws:ecs:eu-west-1:1:task-definition/web:{revision}")
    }

    fn content(image: &str) -> Value {
        json!({
            "family": "web",
            "containerDefinitions": [{ "name": "web", "image": image, "essential": true }],
        })
    }

    fn question(image: &str) -> FamilyQuestion {
        let digest = Digest::of(&canonical::task_definition(&content(image)));
        FamilyQuestion { family: "web".to_owned(), digest }
    }

    /// Revisions 1 to 30 of family `web`; the image of revision n is `web:n`.
    fn registry(request: &Request) -> Reply {
        let body = request.json();
        if request.operation == "ListTaskDefinitions" {
            let other = "arn:aws:ecs:eu-west-1:1:task-definition/web-2:1".to_owned();
            let arns: Vec<_> = (1..=30).rev().map(arn).chain([other]).collect();
            return ok(&json!({ "taskDefinitionArns": arns }));
        }
        let arn = body["taskDefinition"].as_str().unwrap();
        let revision = revision(arn, "web").unwrap();
        let mut content = content(&format!("web:{revision}"));
        content["taskDefinitionArn"] = arn.into();
        content["revision"] = revision.into();
        content["status"] = "ACTIVE".into();
        let tags = json!([{ "key": tag::DIGEST, "value": "v1:from-the-tag" }]);
        ok(&json!({ "taskDefinition": content, "tags": tags }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_revision_is_found_by_its_content_among_the_newest_twenty() {
        let fake = Fake::new(registry);
        let cloud = fake.cloud();
        let found = cloud.task_definitions.find(&question("web:28"), Lane::Sweep).await;
        let found = found.unwrap();
        let [found] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(found.arn, arn(28));
        assert_eq!(found.digest_tag, Some(Digest::from_tag("v1:from-the-tag")));
        assert_eq!(fake.bodies("DescribeTaskDefinition").len(), 3, "newest first, then stop");
        let too_old = cloud.task_definitions.find(&question("web:10"), Lane::Sweep).await;
        assert_eq!(too_old, Ok(Vec::new()));
        assert_eq!(fake.bodies("DescribeTaskDefinition").len(), 20, "each revision once");
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_two_that_were_registered_for_the_content_and_have_another_are_found_too() {
        let fake = Fake::new(registry);
        let cloud = fake.cloud();
        let digest = Digest::from_tag("v1:from-the-tag");
        let question = FamilyQuestion { family: "web".to_owned(), digest };
        let found = cloud.task_definitions.find(&question, Lane::Sweep).await.unwrap();
        let arns: Vec<_> = found.iter().map(|one| one.arn.clone()).collect();
        assert_eq!(arns, [arn(30), arn(29)]);
        assert!(found.iter().all(|one| one.document.is_some()), "what differs can be told");
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_up_that_fails_is_not_an_absence() {
        let fake = Fake::new(|request| match request.json().get("taskDefinition") {
            Some(looked_at) if *looked_at == arn(29) => error("ServerException", "oops"),
            _ => registry(request),
        });
        let found = fake.cloud().task_definitions.find(&question("web:28"), Lane::Sweep).await;
        assert_eq!(found.unwrap_err().class(), "transient");
    }

    #[test]
    fn content_comes_with_the_tags_that_its_author_gave_it() {
        let one = |key: &str| json!({ "key": key, "value": "x" });
        let mut content = content("web:1");
        content["taskDefinitionArn"] = arn(1).into();
        let tags = [one("team"), one("aws:cloudformation:stack-name"), one(tag::DIGEST)];
        let revision = read(&json!({ "taskDefinition": content, "tags": tags })).unwrap();
        assert_eq!(revision.document.unwrap().value()["tags"], json!([one("team")]));
        let untagged = read(&json!({ "taskDefinition": content })).unwrap();
        assert_eq!(untagged.document.unwrap().value().get("tags"), None);
        assert_eq!(untagged.digest, revision.digest);
    }

    #[tokio::test(start_paused = true)]
    async fn content_is_read_once_and_anew_only_when_it_matters() {
        let fake = Fake::new(registry);
        let cloud = fake.cloud();
        for _ in 0..3 {
            let known = cloud.task_definitions.remembered(&arn(1), Lane::Sweep).await.unwrap();
            assert_eq!(known.document, None, "contents are not kept in memory");
        }
        assert_eq!(fake.operations().len(), 1);
        let fresh = cloud.task_definitions.fresh(&arn(1), Lane::Sweep).await.unwrap();
        assert_eq!(fresh.document.unwrap().value()["containerDefinitions"][0]["image"], "web:1");
        assert_eq!(fake.operations().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn content_that_was_just_read_is_read_again_after_half_a_minute() {
        let fake = Fake::new(registry);
        let cloud = fake.cloud();
        for calls in [1, 1, 2] {
            let recent = cloud.task_definitions.recent(&arn(1), Lane::Sweep).await.unwrap();
            assert!(recent.document.is_some());
            assert_eq!(fake.operations().len(), calls);
            tokio::time::advance(RECENT / 2).await;
        }
    }
}
