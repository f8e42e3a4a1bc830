//! The deployments of a service that ECS lists, or its task sets, for people; never decides anything.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::view::{definition, target_revision};
use crate::{Observed, ObservedService, Refusal, ServiceDeployment, TaskSet, tag};

/// One service deployment, or a task set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PastDeployment {
    /// ECS's word, such as `SUCCESSFUL`, or `PRIMARY` of a task set.
    pub status: String,
    /// ECS's own.
    pub reason: Option<String>,
    pub created_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// The ARN of the service revision that it went to, or the id of the task set.
    pub revision: Option<String>,
    /// The ARN, as far as ECS still knows the revision.
    pub task_definition: Option<String>,
    pub images: Vec<String>,
    /// Whether it is the revision that the service returns to.
    pub is_proven: bool,
}

/// Newest first; as many as a look lists, the newest twenty. Of a service with task sets, for which ECS lists no deployments, those
/// that are there.
///
/// # Errors
///
/// When the look does not show them.
pub fn history(observed: &Observed) -> Result<Vec<PastDeployment>, Refusal> {
    let service = observed.service.known();
    let proven = service.and_then(|service| service.tags.get(tag::PROVEN));
    if let Some(service) = service.filter(|service| service.has_task_sets()) {
        return Ok(task_sets(observed, service, proven));
    }
    let all = match (&observed.service_deployments.known(), observed.service_deployments.unknown())
    {
        (Some(all), _) => all.as_slice(),
        (None, Some(why)) => {
            let why = crate::view::explain(why);
            return Err(Refusal(format!("the service deployments could not be read: {why}")));
        }
        (None, None) => &[],
    };
    let mut sorted: Vec<&ServiceDeployment> = all.iter().collect();
    sorted.sort_by_key(|one| std::cmp::Reverse(one.created_at));
    Ok(sorted.into_iter().map(|one| past(observed, one, proven)).collect())
}

fn task_sets(
    observed: &Observed,
    service: &ObservedService,
    proven: Option<&String>,
) -> Vec<PastDeployment> {
    let mut sorted: Vec<&TaskSet> = service.task_sets.iter().collect();
    sorted.sort_by_key(|one| std::cmp::Reverse(one.deployment.created_at));
    let past = |set: &&TaskSet| PastDeployment {
        status: set.deployment.status.clone(),
        reason: None,
        created_at: set.deployment.created_at,
        finished_at: None,
        revision: Some(set.id().to_owned()),
        task_definition: Some(set.deployment.task_definition.clone()),
        images: definition(observed, &set.deployment.task_definition)
            .and_then(|one| one.document.as_ref())
            .map(|document| images(document.member("containerDefinitions").as_ref()))
            .unwrap_or_default(),
        is_proven: proven == Some(&set.deployment.task_definition),
    };
    sorted.iter().map(past).collect()
}

fn past(
    observed: &Observed,
    deployment: &ServiceDeployment,
    proven: Option<&String>,
) -> PastDeployment {
    let revision = deployment.target_service_revision.as_ref().map(|target| target.arn.clone());
    let target = target_revision(observed, deployment);
    let definition = target.map(|one| one.task_definition.clone());
    PastDeployment {
        status: deployment.status.clone(),
        reason: deployment.status_reason.clone(),
        created_at: deployment.created_at,
        finished_at: deployment.finished_at,
        is_proven: proven.is_some()
            && (proven == revision.as_ref() || proven == definition.as_ref()),
        revision,
        task_definition: definition,
        images: target.map(|one| images(one.rest.get("containerImages"))).unwrap_or_default(),
    }
}

/// Of `containerImages: [{containerName, image, imageDigest}]`, or of `containerDefinitions`.
fn images(listed: Option<&Value>) -> Vec<String> {
    let listed = listed.and_then(Value::as_array);
    let image = |one: &Value| Some(one.get("image")?.as_str()?.to_owned());
    listed.into_iter().flatten().filter_map(image).collect()
}
