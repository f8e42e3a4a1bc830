//! The services that carry our owner tag; never a partial list.

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Lane, ObservedService, is_owner, tag};
use evenkeel_reconciler::{CloudError, OwnedService};
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::operation::Operation;
use crate::pages::{Limit, Listing};
use crate::reply::last_part;
use crate::services::{self, not_mentioned};

/// ECS's quota of services per cluster.
const LISTED_MAX: usize = 5_000;
/// Most names in one DescribeServices call.
const NAMES_MAX: usize = 10;

/// Services of these clusters that `instance` owns; a cluster that does not exist has none. The first
/// failure ends it.
pub(crate) async fn owned(
    caller: &Caller,
    instance: &str,
    clusters: &[String],
) -> Result<Vec<OwnedService>, CloudError> {
    let mut owned = Vec::new();
    for cluster in clusters {
        match of_cluster(caller, instance, cluster).await {
            Err(error) if error.is_missing_cluster() => {}
            of_cluster => owned.append(&mut of_cluster?),
        }
    }
    Ok(owned)
}

async fn of_cluster(
    caller: &Caller,
    instance: &str,
    cluster: &str,
) -> Result<Vec<OwnedService>, CloudError> {
    let mut owned = Vec::new();
    for names in list(caller, cluster).await?.chunks(NAMES_MAX) {
        let token = caller.token(Operation::DescribeServices, Lane::Sweep).await?;
        let mut services = services::describe(caller, token, cluster, names).await?;
        for name in names {
            // Who is left out may be ours, and on its way out.
            let service = services.remove(name).unwrap_or_else(|| Err(not_mentioned(name)))?;
            if let Some(one) = service.known().filter(|one| is_owned(one, instance)) {
                let has = |tag: &str| one.tags.contains_key(tag);
                owned.push(OwnedService::of(ServiceKey::new(cluster, name.as_str()), has));
            }
        }
    }
    Ok(owned)
}

/// The names of all services of a cluster. The first failure ends it.
pub(crate) async fn list(caller: &Caller, cluster: &str) -> Result<Vec<String>, CloudError> {
    let listing = Listing {
        operation: Operation::ListServices,
        input: json!({ "cluster": cluster, "maxResults": 100 }),
        member: "serviceArns",
        limit: Limit::All(LISTED_MAX),
    };
    let arns = listing.read(caller, Lane::Sweep).await?;
    Ok(arns.iter().filter_map(Value::as_str).map(|arn| last_part(arn).to_owned()).collect())
}

fn is_owned(service: &ObservedService, instance: &str) -> bool {
    let owner = service.tags.get(tag::OWNER);
    service.status != "INACTIVE" && owner.is_some_and(|owner| is_owner(owner, instance))
}

#[cfg(test)]
mod tests {
    use evenkeel_reconciler::Cloud;

    use super::*;
    use crate::fake::{Fake, Reply, Request, error, ok};

    /// A cluster of 23 services in three pages; every second one is ours, the others of another
    /// instance.
    fn region(request: &Request) -> Reply {
        let body = request.json();
        if request.operation == "ListServices" {
            let page = body["nextToken"].as_str().map_or(0, |token| token.parse().unwrap());
            let arns: Vec<String> = (page * 10..23.min(page * 10 + 10))
                .map(|n| format!("arn:aws:ecs:eu-west-1:1:service/main/s{n}"))
                .collect();
            let mut reply = json!({ "serviceArns": arns });
            if page < 2 {
                reply["nextToken"] = (page + 1).to_string().into();
            }
            return ok(&reply);
        }
        let names = body["services"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
        let services = names.map(|name| {
            let ours = name.strip_prefix('s').unwrap().parse::<u32>().unwrap() % 2 == 0;
            let owner = if ours { "v1:me:web.yaml" } else { "v1:another:web.yaml" };
            let tags = json!([{ "key": tag::OWNER, "value": owner }]);
            json!({ "serviceArn": name, "serviceName": name, "status": "ACTIVE", "tags": tags })
        });
        ok(&json!({ "services": services.collect::<Vec<_>>() }))
    }

    #[tokio::test(start_paused = true)]
    async fn all_pages_are_read_and_services_of_another_instance_are_not_ours() {
        let fake = Fake::new(region);
        let owned = fake.cloud().owned("me", &["main".to_owned()]).await.unwrap();
        let mut keys: Vec<ServiceKey> = owned.into_iter().map(|one| one.key).collect();
        keys.sort();
        let mut expected: Vec<ServiceKey> =
            (0..23).step_by(2).map(|n| ServiceKey::new("main", format!("s{n}"))).collect();
        expected.sort();
        assert_eq!(keys, expected);
        assert_eq!(fake.bodies("ListServices").len(), 3);
        assert_eq!(fake.bodies("DescribeServices").len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cluster_that_does_not_exist_hides_no_service_of_the_others() {
        for missing_at in ["ListServices", "DescribeServices"] {
            let fake = Fake::new(move |request| {
                if request.operation == missing_at && request.json()["cluster"] == "gone" {
                    return error("ClusterNotFoundException", "Cluster not found.");
                }
                region(request)
            });
            let clusters = ["gone".to_owned(), "main".to_owned()];
            let owned = fake.cloud().owned("me", &clusters).await.unwrap();
            assert_eq!(owned.len(), 12, "{missing_at}");
            assert!(owned.iter().all(|one| one.key.cluster == "main"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_for_the_services_of_a_cluster_hears_that_it_does_not_exist() {
        let fake = Fake::new(|_| error("ClusterNotFoundException", "Cluster not found."));
        let cloud = fake.cloud();
        assert_eq!(cloud.services_of("gone").await.unwrap_err().class(), "conflict");
        assert_eq!(cloud.describe("gone", "web").await.unwrap_err().class(), "conflict");
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_fails_makes_the_whole_list_an_error() {
        let fake = Fake::new(|request| match request.json().get("nextToken") {
            Some(token) if token == "2" => error("ServerException", "oops"),
            _ => region(request),
        });
        let owned = fake.cloud().owned("me", &["main".to_owned()]).await;
        assert_eq!(owned.unwrap_err().class(), "transient");
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_a_reply_leaves_out_makes_the_whole_list_an_error() {
        for failures in [json!([]), json!([{"arn": "arn:service/main/s3", "reason": "INTERNAL"}])] {
            let fake = Fake::new(move |request| {
                if request.operation == "ListServices" {
                    return region(request);
                }
                let names = request.json()["services"].as_array().unwrap().clone();
                let told = names.iter().filter(|name| *name != "s3");
                let services: Vec<Value> = told
                    .map(
                        |name| json!({"serviceArn": name, "serviceName": name, "status": "ACTIVE"}),
                    )
                    .collect();
                ok(&json!({"services": services, "failures": failures}))
            });
            let owned = fake.cloud().owned("me", &["main".to_owned()]).await;
            assert_eq!(owned.unwrap_err().class(), "transient");
        }
    }
}
