//! Which operation answers which call; never how.

use serde_json::{Value, json};

use super::{Api, ApiError, State};

/// Answers one call on a state of the region.
pub(crate) fn answer(
    state: &mut State,
    api: Api,
    operation: &str,
    input: &Value,
) -> Result<Value, ApiError> {
    let reply = match api {
        Api::Ecs => ecs(state, operation, input),
        Api::ElasticLoadBalancingV2 => state.elb_call(operation, input),
        Api::CloudWatch => state.cloudwatch_call(operation, input),
        Api::CodeDeploy => state.code_deploy_call(operation, input),
        Api::Sts => sts(state, operation),
    };
    reply.unwrap_or_else(|| Err(unknown(api, operation)))
}

type Reply = Option<Result<Value, ApiError>>;

fn ecs(state: &mut State, operation: &str, input: &Value) -> Reply {
    Some(match operation {
        "CreateCluster" => state.create_cluster(input),
        "DeleteCluster" => state.delete_cluster(input),
        "DescribeClusters" => state.describe_clusters(input),
        "ListClusters" => state.list_clusters(input),
        "PutClusterCapacityProviders" => state.put_cluster_capacity_providers(input),
        "RegisterTaskDefinition" => state.register_task_definition(input),
        "DescribeTaskDefinition" => state.describe_task_definition(input),
        "DeregisterTaskDefinition" => state.deregister_task_definition(input),
        "DeleteTaskDefinitions" => state.delete_task_definitions(input),
        "ListTaskDefinitions" => state.list_task_definitions(input),
        "ListTaskDefinitionFamilies" => state.list_task_definition_families(input),
        "CreateService" => state.create_service(input),
        "UpdateService" => state.update_service(input),
        "DeleteService" => state.delete_service(input),
        "DescribeServices" => state.describe_services(input),
        "ListServices" => state.list_services(input),
        "ListServiceDeployments" => state.list_service_deployments(input),
        "DescribeServiceDeployments" => state.describe_service_deployments(input),
        "DescribeServiceRevisions" => state.describe_service_revisions(input),
        "ContinueServiceDeployment" => state.continue_service_deployment(input),
        "StopServiceDeployment" => state.stop_service_deployment(input),
        "CreateTaskSet" => state.create_task_set(input),
        "UpdateTaskSet" => state.update_task_set(input),
        "UpdateServicePrimaryTaskSet" => state.update_service_primary_task_set(input),
        "DeleteTaskSet" => state.delete_task_set(input),
        "DescribeTaskSets" => state.describe_task_sets(input),
        "ListTasks" => state.list_tasks(input),
        "DescribeTasks" => state.describe_tasks(input),
        "StopTask" => state.stop_task(input),
        "TagResource" => state.tag_resource(input),
        "UntagResource" => state.untag_resource(input),
        "ListTagsForResource" => state.list_tags_for_resource(input),
        _ => return None,
    })
}

fn sts(state: &State, operation: &str) -> Reply {
    let account = &state.settings.account;
    (operation == "GetCallerIdentity").then(|| {
        Ok(json!({
            "Account": account,
            "Arn": format!("arn:aws:iam::{account}:root"),
            "UserId": account,
        }))
    })
}

fn unknown(api: Api, operation: &str) -> ApiError {
    match api {
        Api::Ecs | Api::CodeDeploy => ApiError::client("UnknownOperationException", ""),
        Api::ElasticLoadBalancingV2 | Api::CloudWatch | Api::Sts => {
            ApiError::client("InvalidAction", format!("Could not find operation {operation}"))
        }
    }
}
