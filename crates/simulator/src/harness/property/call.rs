//! What one call of a daemon, or of somebody else, says that it is about; read from its input, and
//! never from what the planner calls it.

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::Lane;
use serde_json::Value;

use super::super::Sent;
use crate::region::is_read;

/// A call that changes something.
#[derive(Clone, Copy, Debug)]
pub(super) enum Write<'a> {
    Register(&'a Value),
    Create(&'a Value),
    Update(&'a Value),
    /// Of a service deployment, or at one of its pauses.
    Stop,
    /// Of a pause of a service deployment, which goes on.
    Open,
    CreateSet(&'a Value),
    /// Other things done with task sets.
    Set,
    /// Has CodeDeploy deploy the content of an AppSpec.
    Deploy(&'a str),
    /// Of the weights of a rule.
    Weigh,
    Tag(&'a Value),
    Untag(&'a Value),
    Delete,
    /// What no daemon should ever send.
    Other,
}

/// Members of `UpdateService` that start a deployment (`UpdateService` API reference).
const STARTING: [&str; 12] = [
    "taskDefinition",
    "capacityProviderStrategy",
    "networkConfiguration",
    "platformVersion",
    "loadBalancers",
    "serviceRegistries",
    "serviceConnectConfiguration",
    "volumeConfigurations",
    "vpcLatticeConfigurations",
    "gatewayConnectors",
    "monitoring",
    "forceNewDeployment",
];

impl<'a> Write<'a> {
    /// `None` for calls that only read.
    pub(super) fn of(call: &'a Sent) -> Option<Self> {
        if is_read(&call.operation) && !call.is_write() {
            return None;
        }
        Some(match call.operation.as_str() {
            "RegisterTaskDefinition" => Self::Register(&call.input),
            "CreateService" => Self::Create(&call.input),
            "UpdateService" => Self::Update(&call.input),
            "StopServiceDeployment" | "StopDeployment" => Self::Stop,
            "ContinueServiceDeployment" if turns_back(call) => Self::Stop,
            "ContinueServiceDeployment" | "ContinueDeployment" => Self::Open,
            "CreateDeployment" => Self::Deploy(app_spec(&call.input)),
            "CreateTaskSet" => Self::CreateSet(&call.input),
            "UpdateTaskSet" | "UpdateServicePrimaryTaskSet" | "DeleteTaskSet" => Self::Set,
            "ModifyRule" | "ModifyListener" => Self::Weigh,
            "TagResource" => Self::Tag(&call.input),
            "UntagResource" => Self::Untag(&call.input),
            "DeleteService" => Self::Delete,
            _ => Self::Other,
        })
    }

    /// Whether it asks for a deployment of something new; a return asks for one of something old.
    pub(super) fn starts(self, call: &Sent) -> bool {
        !returns(call)
            && match self {
                Self::Create(input) => !is_for_task_sets(input),
                Self::CreateSet(_) | Self::Deploy(_) => true,
                Self::Update(input) => starts_a_deployment(input),
                Self::Register(_)
                | Self::Stop
                | Self::Open
                | Self::Set
                | Self::Weigh
                | Self::Tag(_)
                | Self::Untag(_)
                | Self::Delete
                | Self::Other => false,
            }
    }

    /// `taskDefinition` of a call that has one.
    pub(super) fn definition(self) -> Option<&'a str> {
        if let Self::Deploy(content) = self {
            return content.split_once("\"TaskDefinition\":\"")?.1.split('"').next();
        }
        text(self.about_a_service()?, "taskDefinition")
    }

    /// Whether it deploys what runs once more.
    pub(super) fn forces(self) -> bool {
        let forced = self.about_a_service().and_then(|input| input.get("forceNewDeployment"));
        forced.and_then(Value::as_bool) == Some(true)
    }

    /// `desiredCount` of a call that has one.
    pub(super) fn count(self) -> Option<u64> {
        self.about_a_service()?.get("desiredCount")?.as_u64()
    }

    fn about_a_service(self) -> Option<&'a Value> {
        match self {
            Self::Create(input) | Self::Update(input) | Self::CreateSet(input) => Some(input),
            Self::Register(_)
            | Self::Stop
            | Self::Open
            | Self::Set
            | Self::Deploy(_)
            | Self::Weigh
            | Self::Tag(_)
            | Self::Untag(_)
            | Self::Delete
            | Self::Other => None,
        }
    }

    /// The value that it gives to a tag of a service.
    pub(super) fn tag(self, key: &str) -> Option<&'a str> {
        let (Self::Tag(input) | Self::Create(input)) = self else { return None };
        tags(input).find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// Whether it takes a tag away.
    pub(super) fn removes(self, key: &str) -> bool {
        let Self::Untag(input) = self else { return false };
        untagged(input).contains(&key)
    }
}

/// Whether it makes ECS go back to an earlier revision.
pub(super) fn returns(call: &Sent) -> bool {
    let rollback = matches!(call.action, Some((Lane::Rollback, _)));
    // CodeDeploy is also told to stop what newer content takes the place of.
    let either_way = ["StopDeployment", "CreateDeployment", "ContinueDeployment", "CreateTaskSet"]
        .contains(&call.operation.as_str());
    call.operation == "StopServiceDeployment"
        || (rollback && either_way)
        || (call.operation == "ContinueServiceDeployment" && turns_back(call))
        || (rollback && call.operation == "UpdateService" && starts_a_deployment(&call.input))
}

/// Such a service is made without tasks.
fn is_for_task_sets(service: &Value) -> bool {
    let controller = service.pointer("/deploymentController/type");
    controller.and_then(Value::as_str) == Some("EXTERNAL")
}

fn app_spec(input: &Value) -> &str {
    let content = input.pointer("/revision/appSpecContent/content");
    content.and_then(Value::as_str).unwrap_or_default()
}

fn turns_back(call: &Sent) -> bool {
    text(&call.input, "action") == Some("ROLLBACK")
}

pub(super) fn starts_a_deployment(update: &Value) -> bool {
    let given = |name: &&str| update.get(name).is_some_and(|value| *value != Value::Bool(false));
    STARTING.iter().any(given)
}

/// `tags` of an input or a reply of ECS.
pub(super) fn tags(value: &Value) -> impl Iterator<Item = (&str, &str)> {
    let listed = value.get("tags").and_then(Value::as_array).into_iter().flatten();
    listed.filter_map(|one| Some((text(one, "key")?, text(one, "value").unwrap_or_default())))
}

/// `tagKeys` of an input.
pub(super) fn untagged(input: &Value) -> Vec<&str> {
    let keys = input.get("tagKeys").and_then(Value::as_array).into_iter().flatten();
    keys.filter_map(Value::as_str).collect()
}

pub(super) fn text<'a>(value: &'a Value, member: &str) -> Option<&'a str> {
    value.get(member)?.as_str()
}

pub(super) fn last_part(arn: &str) -> &str {
    arn.rsplit(['/', ':']).next().unwrap_or(arn)
}

/// The digits of `ecs-svc/6216346761948112104`, or of a service revision's ARN.
pub(super) fn number(id: &str) -> Option<u64> {
    id.rsplit('/').next()?.parse().ok()
}

/// The service that an input names, whoever sent it.
pub(super) fn named(input: &Value) -> Option<ServiceKey> {
    let arn = text(input, "resourceArn").or_else(|| text(input, "serviceDeploymentArn"));
    if let Some(arn) = arn {
        let mut parts = arn.split('/').skip(1);
        return Some(ServiceKey::new(parts.next()?, parts.next()?));
    }
    if let Some(group) = text(input, "deploymentGroupName") {
        let (cluster, name) = group.strip_prefix("DgpECS-")?.split_once('-')?;
        return Some(ServiceKey::new(cluster, name));
    }
    let name = text(input, "service").or_else(|| text(input, "serviceName"))?;
    let cluster = text(input, "cluster").unwrap_or("default");
    Some(ServiceKey::new(last_part(cluster), last_part(name)))
}

/// The PRIMARY deployment in the reply of `CreateService` or `UpdateService`, or a task set in that of a call
/// about one.
pub(super) fn replied_primary(reply: &Value) -> Option<u64> {
    if let Some(set) = reply.get("taskSet") {
        return number(text(set, "id")?);
    }
    primary(reply.get("service")?).and_then(|one| number(text(one, "id")?))
}

/// The PRIMARY deployment of a service as ECS describes it.
pub(super) fn primary(service: &Value) -> Option<&Value> {
    let all = service.get("deployments")?.as_array()?;
    all.iter().find(|one| text(one, "status") == Some("PRIMARY"))
}

/// What `ModifyRule` or `ModifyListener` gives each group, in tenths of a percent, where more than one gets traffic.
pub(super) fn split(input: &Value) -> Option<Vec<u64>> {
    let actions = input.get("Actions").or(input.get("DefaultActions"))?;
    let groups = actions.pointer("/0/ForwardConfig/TargetGroups")?.as_array()?.iter();
    let weights = groups.filter_map(|one| one.get("Weight")?.as_u64()).filter(|one| *one > 0);
    let weights: Vec<u64> = weights.collect();
    let all: u64 = weights.iter().sum();
    (weights.len() > 1).then(|| weights.iter().map(|one| one * 1000 / all).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_is_found_by_name_and_by_every_arn() {
        let web = Some(ServiceKey::new("main", "web"));
        let arn = |kind: &str, rest: &str| format!("arn:aws:ecs:eu-west-1:1:{kind}/main/web{rest}");
        let inputs = [
            json!({"cluster": "main", "service": "web"}),
            json!({"cluster": "arn:aws:ecs:eu-west-1:1:cluster/main", "serviceName": "web"}),
            json!({"cluster": "main", "service": arn("service", "")}),
            json!({"resourceArn": arn("service", "")}),
            json!({"serviceDeploymentArn": arn("service-deployment", "/abc")}),
            json!({"applicationName": "AppECS-main-web", "deploymentGroupName": "DgpECS-main-web"}),
        ];
        assert!(inputs.iter().all(|input| named(input) == web));
        assert_eq!(named(&json!({"family": "web"})), None);
    }

    #[test]
    fn members_that_start_a_deployment_are_told_from_those_that_do_not() {
        assert!(starts_a_deployment(&json!({"taskDefinition": "web:2"})));
        assert!(!starts_a_deployment(&json!({"desiredCount": 2, "forceNewDeployment": false})));
    }
}
