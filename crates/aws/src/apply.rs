//! Carries out one action with one call; never adds to, checks or repeats it.

use aws_sdk_elasticloadbalancingv2::types::Action as RuleAction;
use evenkeel_planner::{Action, Applied, Call, Unused};
use evenkeel_reconciler::CloudError;
use serde_json::{Value, json};

use crate::caller::{Caller, Token};
use crate::operation::Operation;
use crate::secrets;
use crate::weights::{self, Weighed};

pub(crate) async fn apply(caller: &Caller, action: &Action) -> Result<Applied, CloudError> {
    let (token, ready) = prepare(caller, action).await?;
    send(caller, token, ready).await
}

/// As [`apply`], if that is still permitted when the call has its token and nothing is left but to send it; `None` when
/// it is not.
pub(crate) async fn apply_if(
    caller: &Caller,
    action: &Action,
    is_permitted: &(dyn Fn() -> bool + Send + Sync),
) -> Option<Result<Applied, CloudError>> {
    match prepare(caller, action).await {
        Err(error) => Some(Err(error)),
        Ok((token, ready)) if is_permitted() => Some(send(caller, token, ready).await),
        Ok(_) => None,
    }
}

/// What waits and what reads, before the call.
async fn prepare<'a>(
    caller: &Caller,
    action: &'a Action,
) -> Result<(Token, Ready<'a>), CloudError> {
    let token = caller.token(operation(&action.call), action.lane).await?;
    let ready = match request(&action.call) {
        Request::Json(operation, input) => Ready::Json(operation, input),
        // The futures of the SDK are large, and these are part of all others.
        Request::Unused(operation, input, unused) => {
            Box::pin(weights::is_unused(caller, action.lane, operation, unused)).await?;
            Ready::Json(operation, input)
        }
        Request::Rule(weighed) => {
            let actions = Box::pin(weighed.reweighed(caller, action.lane)).await?;
            Ready::Rule(weighed, actions)
        }
    };
    Ok((token, ready))
}

async fn send(caller: &Caller, token: Token, ready: Ready<'_>) -> Result<Applied, CloudError> {
    match ready {
        Ready::Json(operation, input) => {
            let reply = caller.json_with(token, &input).await;
            let reply = reply.map_err(|error| secrets::redact(error, &input))?;
            applied(operation, &reply)
        }
        Ready::Rule(weighed, actions) => Box::pin(weighed.write(caller, token, actions)).await,
    }
}

/// What needs no further look to be sent.
enum Ready<'a> {
    Json(Operation, Value),
    Rule(Weighed<'a>, Vec<RuleAction>),
}

/// What is sent, and to whom.
enum Request<'a> {
    Json(Operation, Value),
    /// If the rule gives the group nothing.
    Unused(Operation, Value, &'a Unused),
    Rule(Weighed<'a>),
}

fn operation(call: &Call) -> Operation {
    match request(call) {
        Request::Json(operation, _) | Request::Unused(operation, _, _) => operation,
        Request::Rule(weighed) => weighed.operation(),
    }
}

fn request(call: &Call) -> Request<'_> {
    let (operation, input) = match call {
        Call::ModifyRule { rule, weights } => {
            return Request::Rule(Weighed { rule, listener: None, weights });
        }
        Call::ModifyListener { listener, rule, weights } => {
            return Request::Rule(Weighed { rule, listener: Some(listener), weights });
        }
        Call::RegisterTaskDefinition { input } => {
            (Operation::RegisterTaskDefinition, input.clone())
        }
        Call::CreateService { input } => (Operation::CreateService, input.clone()),
        Call::UpdateService { input } => (Operation::UpdateService, input.clone()),
        Call::CreateTaskSet { input } => (Operation::CreateTaskSet, input.clone()),
        Call::UpdateTaskSet { input } => (Operation::UpdateTaskSet, input.clone()),
        Call::UpdateServicePrimaryTaskSet { input } => {
            (Operation::UpdateServicePrimaryTaskSet, input.clone())
        }
        Call::DeleteTaskSet { input, unused } => {
            let operation = Operation::DeleteTaskSet;
            return match unused {
                Some(unused) => Request::Unused(operation, input.clone(), unused),
                None => Request::Json(operation, input.clone()),
            };
        }
        Call::DeleteService { input } => (Operation::DeleteService, input.clone()),
        Call::CreateDeployment { input } => (Operation::CreateDeployment, input.clone()),
        Call::StopDeployment { id } => {
            let input = json!({ "deploymentId": id, "autoRollbackEnabled": true });
            (Operation::StopDeployment, input)
        }
        Call::ContinueDeployment { id } => {
            let input = json!({ "deploymentId": id, "deploymentWaitType": "READY_WAIT" });
            (Operation::ContinueDeployment, input)
        }
        Call::StopServiceDeployment { arn } => {
            let input = json!({ "serviceDeploymentArn": arn, "stopType": "ROLLBACK" });
            (Operation::StopServiceDeployment, input)
        }
        Call::ContinueServiceDeployment { arn, hook, action } => {
            let input = json!({
                "serviceDeploymentArn": arn, "hookId": hook, "action": action.word(),
            });
            (Operation::ContinueServiceDeployment, input)
        }
        Call::TagResource { arn, tags } => {
            let tags = tags.iter().map(|(key, value)| json!({ "key": key, "value": value }));
            let tags: Vec<Value> = tags.collect();
            (Operation::TagResource, json!({ "resourceArn": arn, "tags": tags }))
        }
        Call::UntagResource { arn, keys } => {
            (Operation::UntagResource, json!({ "resourceArn": arn, "tagKeys": keys }))
        }
    };
    Request::Json(operation, input)
}

fn applied(operation: Operation, reply: &Value) -> Result<Applied, CloudError> {
    match operation {
        Operation::RegisterTaskDefinition => registered(reply),
        Operation::CreateService | Operation::UpdateService => Ok(Applied::service(reply)),
        _ => Ok(Applied::Done),
    }
}

fn registered(reply: &Value) -> Result<Applied, CloudError> {
    let arn = reply.pointer("/taskDefinition/taskDefinitionArn").and_then(Value::as_str);
    match arn {
        Some(arn) => Ok(Applied::TaskDefinition { arn: arn.to_owned() }),
        None => Err(CloudError::UnknownOutcome {
            operation: Operation::RegisterTaskDefinition.name().to_owned(),
            message: "the reply names no revision".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_manifest::ServiceKey;
    use evenkeel_planner::{HookAction, Lane};
    use evenkeel_reconciler::Cloud;

    use super::*;
    use crate::fake::{Fake, Reply, answer, error, ok};

    #[tokio::test(start_paused = true)]
    async fn a_call_asks_for_leave_when_it_has_its_token_and_is_not_sent_without() {
        let fake = Fake::new(|_| ok(&json!({ "taskDefinition": {} })));
        let (cloud, key) = (fake.cloud(), ServiceKey::new("main", "web"));
        let call = Call::RegisterTaskDefinition { input: json!({ "family": "web" }) };
        let action = Action { call, lane: Lane::NewChange, why: "test".to_owned() };
        while cloud.caller.budget.buckets().any(|(family, bucket)| {
            family.name() == "TaskDefinitionModify" && bucket.level().0 >= 1.0
        }) {
            drop(cloud.apply(&key, &action).await);
        }
        let (began, sent) = (tokio::time::Instant::now(), fake.requests().len());
        let refuse = || {
            assert!(began.elapsed() > std::time::Duration::from_millis(100), "it has a token");
            false
        };
        assert_eq!(cloud.apply_if(&key, &action, &refuse).await, None);
        assert_eq!(fake.requests().len(), sent);
        assert!(cloud.apply_if(&key, &action, &|| true).await.is_some());
        assert_eq!(fake.requests().len(), sent + 1);
    }

    async fn apply(fake: &Fake, call: Call) -> Result<Applied, CloudError> {
        let action = Action { call, lane: Lane::NewChange, why: "test".to_owned() };
        fake.cloud().apply(&ServiceKey::new("main", "web"), &action).await
    }

    #[tokio::test]
    async fn an_input_reaches_aws_whole_with_members_that_the_sdk_does_not_know() {
        let input = json!({
            "family": "web",
            "containerDefinitions": [{ "name": "web", "image": "web:1", "mapOfTomorrow": { "a": 1 } }],
            "memberOfTomorrow": [1.5, true, "ü"],
            "cpu": "256",
        });
        let fake = Fake::new(|_| {
            ok(&json!({ "taskDefinition": { "taskDefinitionArn": "arn:td/web:1" } }))
        });
        let applied = apply(&fake, Call::RegisterTaskDefinition { input: input.clone() }).await;
        assert_eq!(applied, Ok(Applied::TaskDefinition { arn: "arn:td/web:1".to_owned() }));
        let [request] = &fake.requests()[..] else { panic!("one call: {:?}", fake.operations()) };
        assert_eq!(request.json(), input);
        assert_eq!(request.header("content-length"), Some(&*request.body.len().to_string()));
        assert!(request.header("authorization").unwrap().contains("content-length"));
        assert!(request.header("user-agent").unwrap().contains("app/evenkeel"));
    }

    #[tokio::test]
    async fn only_a_cloud_that_was_made_with_the_grant_can_delete_a_service() {
        let input = json!({ "cluster": "main", "service": "web" });
        let call = Call::DeleteService { input: input.clone() };
        let fake = Fake::new(|_| ok(&json!({ "service": {} })));
        assert!(apply(&fake, call.clone()).await.is_err());
        assert_eq!(fake.requests().len(), 0);
        let action = Action { call, lane: Lane::Sweep, why: "test".to_owned() };
        let key = ServiceKey::new("main", "web");
        assert_eq!(fake.cloud_that_deletes().apply(&key, &action).await, Ok(Applied::Done));
        assert_eq!(fake.bodies("DeleteService"), [input]);
    }

    #[tokio::test]
    async fn the_primary_deployment_of_the_reply_is_handed_back() {
        let reply = json!({ "service": { "serviceName": "web", "deployments": [
            { "id": "ecs-svc/1", "status": "ACTIVE" }, { "id": "ecs-svc/2", "status": "PRIMARY" },
        ] } });
        let fake = Fake::new(move |_| ok(&reply));
        let input = json!({ "cluster": "main", "service": "web", "desiredCount": 0 });
        let applied = apply(&fake, Call::UpdateService { input: input.clone() }).await;
        let deployment = Some("ecs-svc/2".to_owned());
        assert_eq!(applied, Ok(Applied::Service { deployment, version: None }));
        assert_eq!(fake.bodies("UpdateService"), [input]);
    }

    #[tokio::test]
    async fn each_small_call_has_the_body_that_aws_documents() {
        let arn = "arn:aws:ecs:eu-west-1:1:service/main/web".to_owned();
        let calls = [
            (
                Call::StopServiceDeployment { arn: arn.clone() },
                json!({ "serviceDeploymentArn": arn, "stopType": "ROLLBACK" }),
            ),
            (
                Call::ContinueServiceDeployment {
                    arn: arn.clone(),
                    hook: "ecs-pause-1".to_owned(),
                    action: HookAction::Rollback,
                },
                json!({
                    "serviceDeploymentArn": arn, "hookId": "ecs-pause-1", "action": "ROLLBACK",
                }),
            ),
            (
                Call::TagResource {
                    arn: arn.clone(),
                    tags: [("a".to_owned(), "1".to_owned())].into(),
                },
                json!({ "resourceArn": arn, "tags": [{ "key": "a", "value": "1" }] }),
            ),
            (
                Call::UntagResource { arn: arn.clone(), keys: vec!["a".to_owned()] },
                json!({ "resourceArn": arn, "tagKeys": ["a"] }),
            ),
        ];
        for (call, body) in calls {
            let fake = Fake::new(|_| ok(&json!({})));
            let operation = call.operation();
            assert_eq!(apply(&fake, call).await, Ok(Applied::Done));
            assert_eq!(fake.bodies(operation), [body]);
        }
    }

    #[tokio::test]
    async fn a_write_is_sent_once_whatever_happens() {
        let failures: [(Reply, &str); 6] = [
            (error("ThrottlingException", "Rate exceeded"), "throttled"),
            (error("ServerException", "oops"), "unknown_outcome"),
            (answer(500, &json!({ "__type": "ServerException" })), "unknown_outcome"),
            (Reply::Lost, "unknown_outcome"),
            (error("InvalidParameterException", "no"), "rejected"),
            (error("ServiceNotActiveException", "no"), "conflict"),
        ];
        for (reply, class) in failures {
            let fake = Fake::new(move |_| reply.clone());
            let call = Call::UpdateService { input: json!({ "service": "web" }) };
            assert_eq!(apply(&fake, call).await.unwrap_err().class(), class);
            assert_eq!(fake.operations(), ["UpdateService"], "{class}");
        }
    }

    #[tokio::test]
    async fn a_reply_that_is_cut_off_leaves_the_outcome_of_a_write_unknown() {
        let fake = Fake::new(|_| Reply::Body {
            status: 200,
            headers: Vec::new(),
            body: b"{\"service\": {".to_vec(),
        });
        let call = Call::CreateService { input: json!({ "serviceName": "web" }) };
        assert_eq!(apply(&fake, call).await.unwrap_err().class(), "unknown_outcome");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_after_fifteen_seconds_with_an_unknown_outcome() {
        let fake = Fake::new(|_| Reply::Silence);
        let began = tokio::time::Instant::now();
        let call = Call::UpdateService { input: json!({ "service": "web" }) };
        let error = apply(&fake, call).await.unwrap_err();
        assert_eq!(error.class(), "unknown_outcome", "{error}");
        assert_eq!(began.elapsed().as_secs(), 15);
        assert_eq!(fake.operations(), ["UpdateService"]);
    }
}
