//! A manifest from what AWS shows of a service; never guesses what it does not show.
//!
//! What equals AWS's default is left out, and so is what Evenkeel sets by itself: read back, the manifest wants what runs.

mod rollout;

use serde_json::{Map, Value, json};

use crate::canonical;
use crate::envelope::{API_VERSION, KIND};

/// What AWS shows of one service.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The name of its cluster.
    pub cluster: &'a str,
    /// An element of `DescribeServices.services`, with its tags.
    pub service: &'a Value,
    /// The reply of `DescribeTaskDefinition` about [`task_definition_in_use`], with its tags.
    pub task_definition: &'a Value,
}

/// Why there is no manifest for a service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    #[error("it is {0}: only an ACTIVE service has something to keep")]
    NotActive(String),
    #[error("a deployment is in flight: import it when what runs is what shall run")]
    InFlight,
    #[error(
        "its controller is EXTERNAL, and whoever makes its task sets knows the steps of its rollouts: write the \
         manifest by hand"
    )]
    External,
    #[error("AWS shows no PRIMARY task set of it")]
    NoTaskSet,
    #[error("AWS's reply holds no {0}")]
    Incomplete(&'static str),
}

/// The ARN of the task definition that a service runs.
pub fn task_definition_in_use(service: &Value) -> Option<&str> {
    let launcher = primary(service, "deployments").or_else(|| primary(service, "taskSets"));
    text(launcher.unwrap_or(service), "taskDefinition")
}

/// A manifest that adopts the service and wants what runs.
pub fn import(shown: &Shown<'_>) -> Result<Value, ImportError> {
    let name = text(shown.service, "serviceName").ok_or(ImportError::Incomplete("serviceName"))?;
    check_state(shown.service)?;
    let members = members(shown.service)?;
    let (rollout, members) = rollout::taken_out(members, controller(shown.service));
    let task_definition = task_definition(shown.task_definition, name)?;
    let mut spec = Map::new();
    spec.insert("cluster".to_owned(), json!(shown.cluster));
    spec.insert("adopt".to_owned(), json!(true));
    spec.insert("taskDefinition".to_owned(), task_definition);
    spec.insert("service".to_owned(), Value::Object(members));
    spec.extend(rollout.map(|rollout| ("rollout".to_owned(), rollout)));
    Ok(json!({
        "apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec,
    }))
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str()
}

fn controller(service: &Value) -> &str {
    service.pointer("/deploymentController/type").and_then(Value::as_str).unwrap_or("ECS")
}

fn elements<'a>(service: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    service.get(list).and_then(Value::as_array).into_iter().flatten()
}

fn primary<'a>(service: &'a Value, list: &str) -> Option<&'a Value> {
    elements(service, list).find(|one| text(one, "status") == Some("PRIMARY"))
}

fn check_state(service: &Value) -> Result<(), ImportError> {
    match text(service, "status") {
        Some("ACTIVE") => {}
        status => return Err(ImportError::NotActive(status.unwrap_or("unknown").to_owned())),
    }
    if controller(service) == "EXTERNAL" {
        return Err(ImportError::External);
    }
    let is_alone = ["deployments", "taskSets"].map(|list| elements(service, list).count() <= 1);
    if is_alone == [true, true] { Ok(()) } else { Err(ImportError::InFlight) }
}

/// Members that `DescribeServices` shows of the PRIMARY deployment only.
const OF_THE_DEPLOYMENT: &[&str] = &[
    "serviceConnectConfiguration",
    "volumeConfigurations",
    "vpcLatticeConfigurations",
    "gatewayConnectors",
    "monitoring",
];

/// The input of `CreateService` that would make it, without what is AWS's default.
fn members(service: &Value) -> Result<Map<String, Value>, ImportError> {
    let mut all = service.as_object().cloned().unwrap_or_default();
    let (from, names) = if controller(service) == "CODE_DEPLOY" {
        (
            Some(primary(service, "taskSets").ok_or(ImportError::NoTaskSet)?),
            canonical::task_set_members(),
        )
    } else {
        (primary(service, "deployments"), OF_THE_DEPLOYMENT)
    };
    for &name in names {
        if let Some(value) = from.and_then(|from| from.get(name)).filter(|one| !one.is_null()) {
            all.insert(name.to_owned(), value.clone());
        }
    }
    // Filled in by Evenkeel.
    all.remove("deploymentController");
    let scheduling = all.get("schedulingStrategy").cloned();
    let is_daemon = scheduling.as_ref().and_then(Value::as_str) == Some("DAEMON");
    let Value::Object(mut members) = canonical::service(&Value::Object(all)) else {
        return Err(ImportError::Incomplete("members"));
    };
    keep_breaker(&mut members);
    without_usual(&mut members, &canonical::service(&json!({"schedulingStrategy": scheduling})));
    if is_daemon {
        // Its count is that of the instances, and its percentages have defaults of their own.
        members.remove("desiredCount");
        members.extend(scheduling.map(|word| ("schedulingStrategy".to_owned(), word)));
    }
    Ok(members)
}

/// Evenkeel turns ECS's breaker on where a manifest says nothing of it: one that is off is said to be off, and one that is
/// as Evenkeel sets it is not said.
fn keep_breaker(members: &mut Map<String, Value>) {
    const BREAKER: &str = "deploymentCircuitBreaker";
    let configuration = members.get_mut("deploymentConfiguration").and_then(Value::as_object_mut);
    let Some(configuration) = configuration else { return };
    let Some(breaker) = configuration.get(BREAKER).cloned() else { return };
    let off = json!({"enable": false, "rollback": false});
    let own = |enable: bool| {
        let members = json!({"deploymentCircuitBreaker": {"enable": enable, "rollback": enable}});
        canonical::service(&json!({"deploymentConfiguration": members}))
            .pointer("/deploymentConfiguration/deploymentCircuitBreaker")
            .cloned()
    };
    if Some(&breaker) == own(true).as_ref() {
        configuration.remove(BREAKER);
    } else if Some(&breaker) == own(false).as_ref() {
        // Not as AWS fills it in, or it would be taken for the default that is left out.
        configuration.insert(BREAKER.to_owned(), off);
    }
}

/// Takes out what equals the default: of `deploymentConfiguration`, whose members AWS merges, member by member.
fn without_usual(members: &mut Map<String, Value>, usual: &Value) {
    members.retain(|name, value| {
        if name == "deploymentConfiguration"
            && let (Value::Object(parts), Some(usual)) = (&mut *value, usual.get(name))
        {
            parts.retain(|part, value| usual.get(part) != Some(value));
            return !parts.is_empty();
        }
        usual.get(name) != Some(value)
    });
}

/// The input of `RegisterTaskDefinition` that would make it; the family is left out where it is the service's name.
fn task_definition(reply: &Value, name: &str) -> Result<Value, ImportError> {
    let shown = reply.get("taskDefinition").ok_or(ImportError::Incomplete("taskDefinition"))?;
    let mut content = canonical::task_definition(shown);
    let members = content.as_object_mut().ok_or(ImportError::Incomplete("taskDefinition"))?;
    if members.get("family").and_then(Value::as_str) == Some(name) {
        members.remove("family");
    }
    let is_content = |tag: &&Value| {
        let key = text(tag, "key").unwrap_or_default();
        !key.starts_with("aws:") && !key.starts_with("evenkeel:")
    };
    let tags: Vec<&Value> = elements(reply, "tags").filter(is_content).collect();
    if !tags.is_empty() {
        members.insert("tags".to_owned(), json!(tags));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{File, Service, Strategy, load};

    fn described() -> Value {
        json!({"taskDefinition": {
            "taskDefinitionArn": "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:7", "family": "web", "revision": 7,
            "status": "ACTIVE", "requiresAttributes": [{"name": "x"}], "registeredBy": "arn:aws:iam::123456789012:root",
            "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
            "containerDefinitions": [{
                "name": "web", "image": "web:7", "cpu": 0, "essential": true, "environment": [], "mountPoints": [],
                "portMappings": [{"containerPort": 8080, "hostPort": 8080, "protocol": "tcp"}],
            }],
        }, "tags": [{"key": "team", "value": "shop"}, {"key": "evenkeel:digest", "value": "v1:0"}]})
    }

    fn service(members: Value) -> Value {
        let mut service = json!({
            "serviceArn": "arn:aws:ecs:eu-west-1:123456789012:service/prod/web", "serviceName": "web", "status": "ACTIVE",
            "taskDefinition": "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:7", "desiredCount": 2,
            "runningCount": 2, "pendingCount": 0, "launchType": "FARGATE", "platformVersion": "LATEST",
            "schedulingStrategy": "REPLICA", "propagateTags": "NONE", "events": [], "createdBy": "arn:aws:iam::1:root",
            "deployments": [{"id": "ecs-svc/1", "status": "PRIMARY"}],
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"], "assignPublicIp": "DISABLED"}},
            "deploymentConfiguration": {
                "maximumPercent": 200, "minimumHealthyPercent": 100, "strategy": "ROLLING",
                "deploymentCircuitBreaker": {"enable": true, "rollback": true},
            },
        });
        if let (Some(all), Value::Object(members)) = (service.as_object_mut(), members) {
            all.extend(members);
        }
        service
    }

    fn imported(service: &Value) -> Result<Value, ImportError> {
        import(&Shown { cluster: "prod", service, task_definition: &described() })
    }

    fn read(manifest: &Value) -> Service {
        let mut set = load(&[File { name: "web.json".into(), text: manifest.to_string() }]);
        assert_eq!(set.problems, vec![], "{manifest:#}");
        set.services.remove(0)
    }

    #[test]
    fn a_manifest_has_what_was_chosen_and_none_of_what_is_shown_besides() {
        let manifest = imported(&service(json!({}))).unwrap();
        let wanted = json!({
            "apiVersion": "evenkeel.dev/v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {
                "cluster": "prod", "adopt": true,
                "taskDefinition": {
                    "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
                    "containerDefinitions": [{"name": "web", "image": "web:7", "portMappings": [{"containerPort": 8080}]}],
                    "tags": [{"key": "team", "value": "shop"}],
                },
                "service": {
                    "desiredCount": 2, "launchType": "FARGATE",
                    "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
                },
            },
        });
        assert_eq!(manifest, wanted);
        assert_eq!(read(&manifest).key.to_string(), "prod/web");
    }

    #[test]
    fn a_strategy_that_moves_traffic_becomes_the_rollout() {
        let elb = "arn:aws:elasticloadbalancing:eu-west-1:123456789012";
        let balancers = json!([{
            "targetGroupArn": format!("{elb}:targetgroup/blue/0123456789abcdef"), "containerName": "web", "containerPort": 8080,
            "advancedConfiguration": {
                "alternateTargetGroupArn": format!("{elb}:targetgroup/green/0123456789abcdef"),
                "productionListenerRule": format!("{elb}:listener-rule/app/front/1/2/3"),
                "roleArn": "arn:aws:iam::123456789012:role/ecs",
            },
        }]);
        let canary = json!({
            "strategy": "CANARY", "bakeTimeInMinutes": 5, "canaryConfiguration": {"canaryPercent": 12.5, "canaryBakeTimeInMinutes": 3},
            "lifecycleHooks": [{"targetType": "PAUSE", "lifecycleStages": ["PRE_PRODUCTION_TRAFFIC_SHIFT"]}],
        });
        let shown = service(json!({"loadBalancers": balancers, "deploymentConfiguration": canary}));
        let manifest = imported(&shown).unwrap();
        assert_eq!(
            manifest["spec"]["rollout"],
            json!({"strategy": "Canary", "bake": "5m", "canary": {"percent": 12.5, "bake": "3m"}})
        );
        let breaker = json!({"deploymentCircuitBreaker": {"enable": false, "rollback": false}});
        assert_eq!(manifest["spec"]["service"]["deploymentConfiguration"], breaker);
        let Strategy::Canary(shift, step) = read(&manifest).rollout.strategy else {
            panic!("{manifest:#}")
        };
        assert_eq!(
            (shift.bake.as_secs(), step.bake.as_secs(), step.percent.value()),
            (300, 180, 12.5)
        );
    }

    #[test]
    fn what_code_deploy_deploys_has_the_members_of_its_primary_task_set() {
        let set = json!({
            "id": "ecs-svc/9", "status": "PRIMARY", "taskDefinition": "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:9",
            "launchType": "FARGATE", "platformVersion": "1.4.0",
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-2"]}},
            "loadBalancers": [{
                "targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/blue/0123456789abcdef",
                "containerName": "web", "containerPort": 8080,
            }],
        });
        let shown = service(json!({
            "deploymentController": {"type": "CODE_DEPLOY"}, "deployments": [], "taskSets": [set],
        }));
        assert_eq!(task_definition_in_use(&shown).unwrap().rsplit(':').next(), Some("9"));
        let manifest = imported(&shown).unwrap();
        let members = &manifest["spec"]["service"];
        assert_eq!(
            members["networkConfiguration"]["awsvpcConfiguration"]["subnets"],
            json!(["subnet-2"])
        );
        assert_eq!(members["platformVersion"], "1.4.0");
        assert!(read(&manifest).rollout.strategy.code_deploy().is_some());
    }

    #[test]
    fn what_cannot_be_kept_as_it_is_is_refused_with_its_reason() {
        let controller = |word: &str| json!({"deploymentController": {"type": word}});
        let two = json!({"deployments": [{"status": "PRIMARY"}, {"status": "ACTIVE"}]});
        for (members, refusal) in [
            (json!({"status": "DRAINING"}), ImportError::NotActive("DRAINING".to_owned())),
            (two, ImportError::InFlight),
            (controller("EXTERNAL"), ImportError::External),
            (controller("CODE_DEPLOY"), ImportError::NoTaskSet),
            (json!({"serviceName": 7}), ImportError::Incomplete("serviceName")),
        ] {
            assert_eq!(imported(&service(members)), Err(refusal));
        }
    }
}
