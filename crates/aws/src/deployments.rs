//! Service deployments and service revisions; never looks further back than the newest twenty.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use evenkeel_planner::{Lane, ServiceDeployment, ServiceRevision};
use evenkeel_reconciler::CloudError;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::operation::Operation;
use crate::pages::{Limit, Listing};
use crate::reply::{elements, text};

/// Most ARNs in one call of DescribeServiceDeployments and DescribeServiceRevisions.
const ARNS_MAX: usize = 20;
const WEEK_SECONDS: i64 = 7 * 24 * 3600;
/// ECS keeps service deployments for 90 days: at most this many are listed to find the newest.
const LISTED_MAX: usize = 5_000;

/// The newest twenty, newest first; those of the last week only, if there are any. A newer service
/// deployment ends an older one, so an older one cannot be in flight then.
pub(crate) async fn newest(
    caller: &Caller,
    cluster: &str,
    service: &str,
    now: Timestamp,
    lane: Lane,
) -> Result<Vec<ServiceDeployment>, CloudError> {
    let after = now.as_second() - WEEK_SECONDS;
    let lately = json!({
        "cluster": cluster, "service": service, "maxResults": 100, "createdAt": { "after": after },
    });
    let ever = json!({ "cluster": cluster, "service": service, "maxResults": 100 });
    let mut arns = newest_arns(caller, lately, lane).await?;
    if arns.is_empty() {
        arns = newest_arns(caller, ever, lane).await?;
    }
    if arns.is_empty() {
        return Ok(Vec::new());
    }
    let operation = Operation::DescribeServiceDeployments;
    let input = json!({ "serviceDeploymentArns": arns });
    let reply = caller.json(operation, lane, &input).await?;
    refuse_failures(operation, &reply, &[])?;
    let mut deployments = elements(&reply, "serviceDeployments")
        .map(|value| ServiceDeployment::read(value).map_err(|error| unread(operation, error.0)))
        .collect::<Result<Vec<_>, _>>()?;
    deployments.sort_by_key(|deployment| Reverse(deployment.created_at));
    Ok(deployments)
}

/// AWS does not say in which order it lists them, so all that `input` asks for are listed.
async fn newest_arns(caller: &Caller, input: Value, lane: Lane) -> Result<Vec<String>, CloudError> {
    let listing = Listing {
        operation: Operation::ListServiceDeployments,
        input,
        member: "serviceDeployments",
        limit: Limit::All(LISTED_MAX),
    };
    let mut briefs = listing.read(caller, lane).await?;
    briefs.sort_by(|a, b| created_at(b).total_cmp(&created_at(a)));
    let newest = briefs.iter().take(ARNS_MAX);
    Ok(newest.map(|brief| text(brief, "serviceDeploymentArn").to_owned()).collect())
}

fn created_at(brief: &Value) -> f64 {
    brief.get("createdAt").and_then(Value::as_f64).unwrap_or_default()
}

/// The revisions with these ARNs; one that ECS no longer has is left out.
pub(crate) async fn revisions(
    caller: &Caller,
    arns: BTreeSet<String>,
    lane: Lane,
) -> Result<Vec<ServiceRevision>, CloudError> {
    let operation = Operation::DescribeServiceRevisions;
    let arns: Vec<String> = arns.into_iter().collect();
    let mut revisions = Vec::with_capacity(arns.len());
    for chunk in arns.chunks(ARNS_MAX) {
        let reply = caller.json(operation, lane, &json!({ "serviceRevisionArns": chunk })).await?;
        refuse_failures(operation, &reply, &["MISSING"])?;
        for value in elements(&reply, "serviceRevisions") {
            let revision = ServiceRevision::read(value);
            revisions.push(revision.map_err(|error| unread(operation, error.0))?);
        }
    }
    Ok(revisions)
}

/// The revisions that the deployments come from and go to.
pub(crate) fn revision_arns(deployments: &[ServiceDeployment]) -> BTreeSet<String> {
    let ends = |deployment: &ServiceDeployment| {
        let sources = deployment.source_service_revisions.iter();
        let target = deployment.target_service_revision.iter();
        sources.chain(target).map(|revision| revision.arn.clone()).collect::<Vec<_>>()
    };
    deployments.iter().flat_map(ends).collect()
}

/// An element of `failures` whose reason is not among those `accepted` makes the reply partial.
pub(crate) fn refuse_failures(
    operation: Operation,
    reply: &Value,
    accepted: &[&str],
) -> Result<(), CloudError> {
    let mut failures = elements(reply, "failures");
    match failures.find(|failure| !accepted.contains(&text(failure, "reason"))) {
        Some(failure) => {
            let (arn, reason) = (text(failure, "arn"), text(failure, "reason"));
            Err(unread(operation, format!("{arn}: {reason}")))
        }
        None => Ok(()),
    }
}

pub(crate) fn unread(operation: Operation, message: String) -> CloudError {
    CloudError::Transient { operation: operation.name().to_owned(), message }
}
