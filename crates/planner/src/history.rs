//! The deployments of a service that ECS lists, for people; never decides anything.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::view::target_revision;
use crate::{Observed, Refusal, ServiceDeployment, ServiceRevision, tag};

/// One service deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PastDeployment {
    /// ECS's word, such as `SUCCESSFUL`.
    pub status: String,
    /// ECS's own.
    pub reason: Option<String>,
    pub created_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// The ARN of the service revision that it went to.
    pub revision: Option<String>,
    /// The ARN, as far as ECS still knows the revision.
    pub task_definition: Option<String>,
    pub images: Vec<String>,
    /// Whether it is the revision that the service returns to.
    pub is_proven: bool,
}

/// Newest first; as many as a look lists, the newest twenty.
///
/// # Errors
///
/// When the look does not show them.
pub fn history(observed: &Observed) -> Result<Vec<PastDeployment>, Refusal> {
    let all = match (&observed.service_deployments.known(), observed.service_deployments.unknown())
    {
        (Some(all), _) => all.as_slice(),
        (None, Some(why)) => {
            let why = crate::view::explain(why);
            return Err(Refusal(format!("the service deployments could not be read: {why}")));
        }
        (None, None) => &[],
    };
    let proven = observed.service.known().and_then(|service| service.tags.get(tag::PROVEN));
    let mut sorted: Vec<&ServiceDeployment> = all.iter().collect();
    sorted.sort_by_key(|one| std::cmp::Reverse(one.created_at));
    Ok(sorted.into_iter().map(|one| past(observed, one, proven)).collect())
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
        images: target.map(images).unwrap_or_default(),
    }
}

/// `containerImages: [{containerName, image, imageDigest}]`
fn images(revision: &ServiceRevision) -> Vec<String> {
    let listed = revision.rest.get("containerImages").and_then(Value::as_array);
    let image = |one: &Value| Some(one.get("image")?.as_str()?.to_owned());
    listed.into_iter().flatten().filter_map(image).collect()
}
