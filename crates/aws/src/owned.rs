//! The services that carry our owner tag; never a partial list.

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Lane, ObservedService, tag};
use evenkeel_reconciler::CloudError;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::operation::Operation;
use crate::pages::Listing;
use crate::reply::last_part;
use crate::services;

/// ECS's quota of services per cluster.
const LISTED_MAX: usize = 5_000;
/// Most names in one DescribeServices call.
const NAMES_MAX: usize = 10;

/// Services of these clusters, whoever of us owns them. The first failure ends it.
pub(crate) async fn owned(
    caller: &Caller,
    clusters: &[String],
) -> Result<Vec<ServiceKey>, CloudError> {
    let mut keys = Vec::new();
    for cluster in clusters {
        for names in list(caller, cluster).await?.chunks(NAMES_MAX) {
            let services = services::describe(caller, cluster, names, Lane::Sweep).await?;
            for (name, service) in services {
                if service?.known().is_some_and(is_owned) {
                    keys.push(ServiceKey::new(cluster, name));
                }
            }
        }
    }
    Ok(keys)
}

async fn list(caller: &Caller, cluster: &str) -> Result<Vec<String>, CloudError> {
    let listing = Listing {
        operation: Operation::ListServices,
        input: json!({ "cluster": cluster, "maxResults": 100 }),
        member: "serviceArns",
        limit: LISTED_MAX,
    };
    let arns = listing.read(caller, Lane::Sweep).await?;
    Ok(arns.iter().filter_map(Value::as_str).map(|arn| last_part(arn).to_owned()).collect())
}

fn is_owned(service: &ObservedService) -> bool {
    service.status != "INACTIVE" && service.tags.contains_key(tag::OWNER)
}
