//! The deployment group that deploys a service with CodeDeploy, and those of its deployments that matter now; never
//! says what they mean.

use std::collections::BTreeSet;

use evenkeel_planner::{
    CodeDeploy, CodeDeployDeployment, CodeDeployQuestion, DeploymentGroup, Lane, LifecycleEvent,
};
use evenkeel_reconciler::CloudError;
use futures_util::future::try_join;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::deployments::unread;
use crate::operation::Operation;
use crate::pages::{Limit, Listing};
use crate::reply::elements;

/// The states of a deployment that has not ended (API reference, ListDeployments).
const ON_THEIR_WAY: [&str; 5] = ["Created", "Queued", "InProgress", "Baking", "Ready"];
/// A group has one deployment on its way, and perhaps some that wait for it.
const ON_THEIR_WAY_MAX: usize = 100;
/// Most deployments since a moment that are read: the newest, which are listed first, though AWS does not promise it.
const SINCE_MAX: usize = 100;
/// Most ids in one call of BatchGetDeployments (API reference).
const IDS_MAX: usize = 25;

/// `None` when the application or the group does not exist.
pub(crate) async fn read(
    caller: &Caller,
    question: &CodeDeployQuestion,
    lane: Lane,
) -> Result<Option<CodeDeploy>, CloudError> {
    let Some(group) = group(caller, question, lane).await? else { return Ok(None) };
    let listed = try_join(on_their_way(caller, question, lane), since(caller, question, lane));
    let (on_their_way, since) = listed.await?;
    let listed: BTreeSet<String> = on_their_way.into_iter().chain(since).collect();
    let ids = listed.union(&question.ids).cloned().collect();
    let mut deployments = described(caller, ids, lane).await?;
    let complete = CodeDeployDeployment::all_described(&listed, &deployments);
    complete.map_err(|error| unread(Operation::BatchGetDeployments, error.0))?;
    for one in deployments.iter_mut().filter(|one| question.ids.contains(&one.deployment_id)) {
        if let Some(target) = one.target(&group) {
            one.lifecycle_events = events(caller, &target, lane).await?;
        }
    }
    let rollbacks = described(caller, unread_rollbacks(&deployments), lane).await?;
    deployments.extend(rollbacks);
    Ok(Some(CodeDeploy { group, deployments }))
}

async fn group(
    caller: &Caller,
    question: &CodeDeployQuestion,
    lane: Lane,
) -> Result<Option<DeploymentGroup>, CloudError> {
    let operation = Operation::GetDeploymentGroup;
    let input = json!({
        "applicationName": question.application, "deploymentGroupName": question.group,
    });
    let reply = match caller.json(operation, lane, &input).await {
        Err(error) if is_missing(&error) => return Ok(None),
        reply => reply?,
    };
    let info = reply.get("deploymentGroupInfo").unwrap_or(&Value::Null);
    let group = DeploymentGroup::read(info).map_err(|error| unread(operation, error.0))?;
    Ok(Some(group))
}

fn is_missing(error: &CloudError) -> bool {
    let CloudError::Conflict { code, .. } = error else { return false };
    ["ApplicationDoesNotExistException", "DeploymentGroupDoesNotExistException"]
        .contains(&code.as_str())
}

async fn on_their_way(
    caller: &Caller,
    question: &CodeDeployQuestion,
    lane: Lane,
) -> Result<Vec<String>, CloudError> {
    let input = json!({
        "applicationName": question.application, "deploymentGroupName": question.group,
        "includeOnlyStatuses": ON_THEIR_WAY,
    });
    listed(caller, input, Limit::All(ON_THEIR_WAY_MAX), lane).await
}

async fn since(
    caller: &Caller,
    question: &CodeDeployQuestion,
    lane: Lane,
) -> Result<Vec<String>, CloudError> {
    let Some(since) = question.since else { return Ok(Vec::new()) };
    let input = json!({
        "applicationName": question.application, "deploymentGroupName": question.group,
        "createTimeRange": { "start": since.as_second() },
    });
    listed(caller, input, Limit::First(SINCE_MAX), lane).await
}

async fn listed(
    caller: &Caller,
    input: Value,
    limit: Limit,
    lane: Lane,
) -> Result<Vec<String>, CloudError> {
    let operation = Operation::ListDeployments;
    let listing = Listing { operation, input, member: "deployments", limit };
    let ids = listing.read(caller, lane).await?;
    Ok(ids.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// The deployments with these ids; one that CodeDeploy no longer has is left out.
async fn described(
    caller: &Caller,
    ids: BTreeSet<String>,
    lane: Lane,
) -> Result<Vec<CodeDeployDeployment>, CloudError> {
    let operation = Operation::BatchGetDeployments;
    let ids: Vec<String> = ids.into_iter().collect();
    let mut deployments = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(IDS_MAX) {
        let reply = caller.json(operation, lane, &json!({ "deploymentIds": chunk })).await?;
        for value in elements(&reply, "deploymentsInfo") {
            let deployment = CodeDeployDeployment::read(value);
            deployments.push(deployment.map_err(|error| unread(operation, error.0))?);
        }
    }
    Ok(deployments)
}

/// The lifecycle events of a deployment that failed. They only explain it: none where AWS will not tell them.
async fn events(
    caller: &Caller,
    target: &Value,
    lane: Lane,
) -> Result<Vec<LifecycleEvent>, CloudError> {
    match caller.json(Operation::BatchGetDeploymentTargets, lane, target).await {
        Ok(reply) => Ok(LifecycleEvent::read_all(&reply)),
        Err(
            error @ (CloudError::Throttled { .. }
            | CloudError::Transient { .. }
            | CloudError::UnknownOutcome { .. }),
        ) => Err(error),
        Err(_) => Ok(Vec::new()),
    }
}

/// The rollbacks that these name and that are not among them: CodeDeploy begins them by itself.
fn unread_rollbacks(deployments: &[CodeDeployDeployment]) -> BTreeSet<String> {
    let read: BTreeSet<_> = deployments.iter().map(|one| &one.deployment_id).collect();
    let infos = deployments.iter().filter_map(|one| one.rollback_info.as_ref());
    let named = infos.filter_map(|info| info.rollback_deployment_id.as_ref());
    named.filter(|id| !id.is_empty() && !read.contains(id)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use evenkeel_manifest::ServiceKey;
    use evenkeel_planner::{Action, Applied, Call};
    use evenkeel_reconciler::Cloud;
    use jiff::Timestamp;

    use super::*;
    use crate::fake::{Fake, Reply, Request, answer, error, ok};

    fn question(since: Option<i64>, ids: &[&str]) -> CodeDeployQuestion {
        CodeDeployQuestion {
            application: "AppECS-main-web".to_owned(),
            group: "DgpECS-main-web".to_owned(),
            since: since.map(|second| Timestamp::from_second(second).unwrap()),
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        }
    }

    /// One deployment is on its way, `d-3`; sixty were made lately, on two pages; `d-1` was rolled back by `d-2`.
    fn region(request: &Request) -> Reply {
        let body = request.json();
        ok(&match request.operation.as_str() {
            "GetDeploymentGroup" => json!({ "deploymentGroupInfo": {
                "applicationName": body["applicationName"],
                "deploymentGroupName": body["deploymentGroupName"],
                "deploymentConfigName": "CodeDeployDefault.ECSAllAtOnce",
                "ecsServices": [{ "serviceName": "web", "clusterName": "main" }],
                "memberOfTomorrow": null,
            } }),
            "ListDeployments" => match (body.get("createTimeRange"), body.get("nextToken")) {
                (None, None) => json!({ "deployments": [], "nextToken": "more" }),
                (None, Some(_)) => json!({ "deployments": ["d-3"] }),
                (Some(_), None) => json!({ "deployments": ids(100..140), "nextToken": "more" }),
                (Some(_), Some(_)) => json!({ "deployments": ids(140..160) }),
            },
            "BatchGetDeployments" => {
                let asked = body["deploymentIds"].as_array().unwrap().iter();
                json!({ "deploymentsInfo": asked.filter(|id| *id != "d-gone").map(deployment).collect::<Vec<_>>() })
            }
            other => panic!("nobody asks for {other}"),
        })
    }

    fn ids(range: std::ops::Range<u32>) -> Vec<String> {
        range.map(|n| format!("d-{n}")).collect()
    }

    fn deployment(id: &Value) -> Value {
        let mut deployment = json!({
            "applicationName": "AppECS-main-web", "deploymentId": id, "status": "InProgress",
            "createTime": 1_795_410_000.25, "creator": "user", "description": "evenkeel v1:0",
            "computePlatform": "ECS", "rollbackInfo": {},
        });
        if id == "d-1" {
            deployment["status"] = "Stopped".into();
            deployment["rollbackInfo"] = json!({ "rollbackDeploymentId": "d-2" });
            deployment["errorInformation"] = json!({ "code": "ALARM_ACTIVE", "message": "red" });
        }
        deployment
    }

    async fn look(
        fake: &Fake,
        question: &CodeDeployQuestion,
    ) -> Result<Option<CodeDeploy>, CloudError> {
        Box::pin(read(&fake.cloud().caller, question, Lane::Sweep)).await
    }

    fn read_ids(look: &CodeDeploy) -> Vec<&str> {
        look.deployments.iter().map(|one| one.deployment_id.as_str()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_at_rest_shows_what_is_on_its_way_and_what_was_asked_for() {
        let fake = Fake::new(region);
        let look = look(&fake, &question(None, &["d-5", "d-gone"])).await.unwrap().unwrap();
        assert_eq!(look.group.ecs_services[0].service_name, "web");
        assert_eq!(look.group.deployment_config_name.unwrap(), "CodeDeployDefault.ECSAllAtOnce");
        let [first, second] = &look.deployments[..] else { panic!("{:?}", look.deployments) };
        assert_eq!([&*first.deployment_id, &*second.deployment_id], ["d-3", "d-5"]);
        assert_eq!(first.create_time.unwrap().as_millisecond(), 1_795_410_000_250);
        let names = json!({
            "applicationName": "AppECS-main-web", "deploymentGroupName": "DgpECS-main-web",
        });
        assert_eq!(fake.bodies("GetDeploymentGroup"), [names]);
        let listed = fake.bodies("ListDeployments");
        assert_eq!(listed.len(), 2, "both pages, and none of what was made lately");
        let statuses = json!(["Created", "Queued", "InProgress", "Baking", "Ready"]);
        assert!(listed.iter().all(|body| body["includeOnlyStatuses"] == statuses), "{listed:?}");
        assert!(listed.iter().all(|body| body["applicationName"] == "AppECS-main-web"));
        assert!(listed.iter().all(|body| body["deploymentGroupName"] == "DgpECS-main-web"));
        assert_eq!(fake.operations().len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn all_that_were_made_since_then_are_read_twenty_five_a_call() {
        let fake = Fake::new(region);
        let look = look(&fake, &question(Some(1_795_409_990), &["d-110"])).await.unwrap().unwrap();
        let expected: BTreeSet<_> = ids(100..160).into_iter().chain(["d-3".to_owned()]).collect();
        assert_eq!(read_ids(&look), expected.iter().collect::<Vec<_>>(), "each once");
        let batches = fake.bodies("BatchGetDeployments");
        let sizes = batches.iter().map(|body| body["deploymentIds"].as_array().unwrap().len());
        assert_eq!(sizes.collect::<Vec<_>>(), [25, 25, 11]);
        let listed = fake.bodies("ListDeployments");
        let since = listed.iter().filter(|body| body.get("createTimeRange").is_some());
        let since: Vec<_> = since.collect();
        assert_eq!(since.len(), 2);
        for body in since {
            assert_eq!(body["createTimeRange"], json!({ "start": 1_795_409_990 }));
            assert!(body.get("includeOnlyStatuses").is_none(), "also those that have ended");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_very_many_the_first_hundred_are_read() {
        let fake = Fake::new(|request| {
            let body = request.json();
            let page = if body.get("nextToken").is_some() { 175..250 } else { 100..175 };
            match request.operation.as_str() {
                "ListDeployments" if body.get("createTimeRange").is_some() => {
                    ok(&json!({ "deployments": ids(page), "nextToken": "more" }))
                }
                _ => region(request),
            }
        });
        let look = look(&fake, &question(Some(0), &[])).await.unwrap().unwrap();
        let expected: Vec<_> = ids(100..200).into_iter().chain(["d-3".to_owned()]).collect();
        assert_eq!(read_ids(&look), expected);
        assert_eq!(fake.bodies("ListDeployments").len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rollback_that_a_deployment_names_is_read_too() {
        let fake = Fake::new(region);
        let look = look(&fake, &question(None, &["d-1"])).await.unwrap().unwrap();
        assert_eq!(read_ids(&look), ["d-1", "d-3", "d-2"]);
        let asked = fake.bodies("BatchGetDeployments");
        assert_eq!(asked.last(), Some(&json!({ "deploymentIds": ["d-2"] })));
        let again = self::look(&fake, &question(None, &["d-1", "d-2"])).await.unwrap().unwrap();
        assert_eq!(read_ids(&again), ["d-1", "d-2", "d-3"]);
        assert_eq!(fake.bodies("BatchGetDeployments").len(), 3, "what was read is not asked again");
    }

    /// As [`region`], but that `d-1` failed; `answer` is that about its target.
    fn failed(answer: Reply) -> impl Fn(&Request) -> Reply {
        move |request| {
            let body = request.json();
            match request.operation.as_str() {
                "BatchGetDeployments" => {
                    let asked = body["deploymentIds"].as_array().unwrap().iter();
                    let read = asked.map(|id| {
                        let mut one = deployment(id);
                        if id == "d-1" {
                            one["status"] = "Failed".into();
                        }
                        one
                    });
                    ok(&json!({ "deploymentsInfo": read.collect::<Vec<_>>() }))
                }
                "BatchGetDeploymentTargets" => answer.clone(),
                _ => region(request),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_lifecycle_events_of_a_deployment_that_failed_are_read_if_it_was_asked_for() {
        let event = json!({ "lifecycleEventName": "BeforeAllowTraffic", "status": "Failed" });
        let target = json!({ "ecsTarget": { "lifecycleEvents": [event] } });
        let fake = Fake::new(failed(ok(&json!({ "deploymentTargets": [target] }))));
        let look = look(&fake, &question(None, &["d-1"])).await.unwrap().unwrap();
        let events = &look.deployments[0].lifecycle_events;
        assert_eq!(events[0].lifecycle_event_name, "BeforeAllowTraffic");
        let asked = json!({ "deploymentId": "d-1", "targetIds": ["main:web"] });
        assert_eq!(fake.bodies("BatchGetDeploymentTargets"), [asked]);
        let rest = Fake::new(failed(ok(&json!({}))));
        self::look(&rest, &question(Some(0), &[])).await.unwrap().unwrap();
        assert_eq!(rest.bodies("BatchGetDeploymentTargets"), Vec::<Value>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn events_that_may_not_be_read_explain_nothing_and_those_that_fail_for_now_are_read_later()
     {
        for code in
            ["AccessDeniedException", "UnknownOperationException", "DeploymentNotStartedException"]
        {
            let fake = Fake::new(failed(error(code, "no")));
            let look = look(&fake, &question(None, &["d-1"])).await.unwrap().unwrap();
            assert_eq!(look.deployments[0].lifecycle_events, Vec::new(), "{code}");
        }
        let fake = Fake::new(failed(error("ThrottlingException", "Rate exceeded")));
        let error = look(&fake, &question(None, &["d-1"])).await.unwrap_err();
        assert_eq!((error.class(), error.operation()), ("throttled", "BatchGetDeploymentTargets"));
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_group_that_does_not_exist_nothing_more_is_asked() {
        for code in ["ApplicationDoesNotExistException", "DeploymentGroupDoesNotExistException"] {
            let fake = Fake::new(move |_| error(code, "No such thing"));
            assert_eq!(look(&fake, &question(Some(0), &["d-1"])).await, Ok(None));
            assert_eq!(fake.operations(), ["GetDeploymentGroup"]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_cannot_be_read_is_an_error_and_told_by_its_class() {
        let rows = [
            ("AccessDeniedException", "denied"),
            ("ThrottlingException", "throttled"),
            ("UnknownOperationException", "capability_missing"),
            ("InvalidApplicationNameException", "rejected"),
        ];
        for failing in ["GetDeploymentGroup", "ListDeployments", "BatchGetDeployments"] {
            for (code, class) in rows {
                let fake = Fake::new(move |request| {
                    if request.operation == failing { error(code, "no") } else { region(request) }
                });
                let error = look(&fake, &question(Some(0), &[])).await.unwrap_err();
                assert_eq!((error.class(), error.operation()), (class, failing));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_description_from_before_a_listed_deployment_was_made_is_no_answer() {
        let fake = Fake::new(|request| match request.operation.as_str() {
            "BatchGetDeployments" => ok(&json!({ "deploymentsInfo": [] })),
            _ => region(request),
        });
        let error = look(&fake, &question(None, &["d-gone"])).await.unwrap_err();
        assert_eq!((error.class(), error.operation()), ("transient", "BatchGetDeployments"));
        assert!(error.to_string().contains("d-3 was listed"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_without_what_it_must_have_is_an_error() {
        let fake = Fake::new(|_| ok(&json!({})));
        let error = look(&fake, &question(None, &[])).await.unwrap_err();
        assert_eq!((error.class(), error.operation()), ("transient", "GetDeploymentGroup"));
    }

    fn calls() -> [(Call, Value); 3] {
        let content = "{\"version\":0.0}";
        let input = json!({
            "applicationName": "AppECS-main-web", "deploymentGroupName": "DgpECS-main-web",
            "revision": {
                "revisionType": "AppSpecContent",
                "appSpecContent": { "content": content, "sha256": "0".repeat(64) },
            },
            "description": "evenkeel v1:0",
            "autoRollbackConfiguration": { "enabled": true, "events": ["DEPLOYMENT_FAILURE"] },
            "memberOfTomorrow": 1,
        });
        let id = "d-A1B2C3D4E".to_owned();
        [
            (Call::CreateDeployment { input: input.clone() }, input),
            (
                Call::StopDeployment { id: id.clone() },
                json!({ "deploymentId": id, "autoRollbackEnabled": true }),
            ),
            (
                Call::ContinueDeployment { id: id.clone() },
                json!({ "deploymentId": id, "deploymentWaitType": "READY_WAIT" }),
            ),
        ]
    }

    async fn apply(fake: &Fake, call: Call) -> Result<Applied, CloudError> {
        let action = Action { call, lane: Lane::NewChange, why: "test".to_owned() };
        fake.cloud().apply(&ServiceKey::new("main", "web"), &action).await
    }

    #[tokio::test(start_paused = true)]
    async fn each_write_has_the_body_that_aws_documents() {
        for (call, body) in calls() {
            let fake = Fake::new(|_| ok(&json!({ "deploymentId": "d-A1B2C3D4E" })));
            let operation = call.operation();
            assert_eq!(apply(&fake, call).await, Ok(Applied::Done));
            assert_eq!(fake.bodies(operation), [body]);
            let target = format!("CodeDeploy_20141006.{operation}");
            assert_eq!(fake.requests()[0].header("x-amz-target"), Some(&*target));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_is_sent_once_and_its_failure_says_what_to_do_next() {
        let active = "The Deployment Group 'web' already has an active Deployment 'd-A1B2C3D4E'";
        let failures: [(Reply, &str); 12] = [
            (Reply::Lost, "unknown_outcome"),
            (Reply::Silence, "unknown_outcome"),
            (answer(200, &json!("cut off")), "unknown_outcome"),
            (answer(500, &json!({ "__type": "InternalFailure" })), "unknown_outcome"),
            (error("ThrottlingException", "Rate exceeded"), "throttled"),
            (error("AccessDeniedException", "no"), "denied"),
            (error("DeploymentLimitExceededException", active), "conflict"),
            (error("DeploymentAlreadyCompletedException", "it ended"), "conflict"),
            (error("DeploymentIsNotInReadyStateException", "not yet"), "conflict"),
            (error("DeploymentDoesNotExistException", "none"), "conflict"),
            (error("DeploymentGroupDoesNotExistException", "none"), "conflict"),
            (error("InvalidRevisionException", "no"), "rejected"),
        ];
        for (reply, class) in failures {
            for (call, _) in calls() {
                let (operation, reply) = (call.operation(), reply.clone());
                let fake = Fake::new(move |_| reply.clone());
                let error = apply(&fake, call).await.unwrap_err();
                assert_eq!(error.class(), class, "{operation}: {error}");
                assert_eq!(fake.operations(), [operation], "{class}");
            }
        }
    }
}
