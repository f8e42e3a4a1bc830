//! The AWS operations that Evenkeel uses, all of them; never makes a call.

use std::fmt;

use crate::family::Family;

/// An operation of AWS. The policies under `deploy/` grant exactly [`Operation::ALL`], that of pruning
/// [`Operation::DeleteService`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    DescribeServices,
    ListServices,
    DescribeTaskDefinition,
    ListTaskDefinitions,
    ListServiceDeployments,
    DescribeServiceDeployments,
    DescribeServiceRevisions,
    ListTasks,
    DescribeTasks,
    DescribeTargetHealth,
    DescribeRules,
    DescribeListeners,
    DescribeTargetGroups,
    DescribeAlarms,
    GetMetricData,
    RegisterTaskDefinition,
    CreateService,
    UpdateService,
    StopServiceDeployment,
    ContinueServiceDeployment,
    CreateTaskSet,
    UpdateTaskSet,
    UpdateServicePrimaryTaskSet,
    DeleteTaskSet,
    DeleteService,
    ModifyRule,
    ModifyListener,
    GetDeploymentGroup,
    ListDeployments,
    BatchGetDeployments,
    BatchGetDeploymentTargets,
    CreateDeployment,
    StopDeployment,
    ContinueDeployment,
    TagResource,
    UntagResource,
}

impl Operation {
    pub const ALL: [Self; 36] = [
        Self::DescribeServices,
        Self::ListServices,
        Self::DescribeTaskDefinition,
        Self::ListTaskDefinitions,
        Self::ListServiceDeployments,
        Self::DescribeServiceDeployments,
        Self::DescribeServiceRevisions,
        Self::ListTasks,
        Self::DescribeTasks,
        Self::DescribeTargetHealth,
        Self::DescribeRules,
        Self::DescribeListeners,
        Self::DescribeTargetGroups,
        Self::DescribeAlarms,
        Self::GetMetricData,
        Self::RegisterTaskDefinition,
        Self::CreateService,
        Self::UpdateService,
        Self::StopServiceDeployment,
        Self::ContinueServiceDeployment,
        Self::CreateTaskSet,
        Self::UpdateTaskSet,
        Self::UpdateServicePrimaryTaskSet,
        Self::DeleteTaskSet,
        Self::DeleteService,
        Self::ModifyRule,
        Self::ModifyListener,
        Self::GetDeploymentGroup,
        Self::ListDeployments,
        Self::BatchGetDeployments,
        Self::BatchGetDeploymentTargets,
        Self::CreateDeployment,
        Self::StopDeployment,
        Self::ContinueDeployment,
        Self::TagResource,
        Self::UntagResource,
    ];

    /// AWS's name.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The bucket of AWS that the operation draws from.
    pub(crate) fn family(self) -> Family {
        self.row().1
    }

    /// The action in an IAM policy, such as `ecs:DescribeServices`.
    pub fn action(self) -> String {
        let service = match self {
            Self::ModifyRule
            | Self::ModifyListener
            | Self::DescribeTargetHealth
            | Self::DescribeRules
            | Self::DescribeListeners
            | Self::DescribeTargetGroups => "elasticloadbalancing",
            Self::DescribeAlarms | Self::GetMetricData => "cloudwatch",
            Self::GetDeploymentGroup
            | Self::ListDeployments
            | Self::BatchGetDeployments
            | Self::BatchGetDeploymentTargets
            | Self::CreateDeployment
            | Self::StopDeployment
            | Self::ContinueDeployment => "codedeploy",
            _ => "ecs",
        };
        format!("{service}:{self}")
    }

    /// Whether the operation changes anything in AWS.
    pub fn mutates(self) -> bool {
        matches!(
            self,
            Self::RegisterTaskDefinition
                | Self::CreateService
                | Self::UpdateService
                | Self::StopServiceDeployment
                | Self::ContinueServiceDeployment
                | Self::CreateTaskSet
                | Self::UpdateTaskSet
                | Self::UpdateServicePrimaryTaskSet
                | Self::DeleteTaskSet
                | Self::DeleteService
                | Self::ModifyRule
                | Self::ModifyListener
                | Self::CreateDeployment
                | Self::StopDeployment
                | Self::ContinueDeployment
                | Self::TagResource
                | Self::UntagResource
        )
    }

    fn row(self) -> (&'static str, Family) {
        match self {
            Self::DescribeServices => ("DescribeServices", Family::ServiceRead),
            Self::ListServices => ("ListServices", Family::ServiceRead),
            Self::DescribeTaskDefinition => ("DescribeTaskDefinition", Family::TaskDefinitionRead),
            Self::ListTaskDefinitions => ("ListTaskDefinitions", Family::TaskDefinitionRead),
            Self::ListServiceDeployments => {
                ("ListServiceDeployments", Family::ServiceDeploymentRead)
            }
            Self::DescribeServiceDeployments => {
                ("DescribeServiceDeployments", Family::ServiceDeploymentRead)
            }
            Self::DescribeServiceRevisions => {
                ("DescribeServiceRevisions", Family::ServiceRevisionRead)
            }
            Self::ListTasks => ("ListTasks", Family::ClusterResourceRead),
            Self::DescribeTasks => ("DescribeTasks", Family::ClusterResourceRead),
            Self::DescribeTargetHealth => ("DescribeTargetHealth", Family::ElasticLoadBalancing),
            Self::DescribeRules => ("DescribeRules", Family::ElasticLoadBalancing),
            Self::DescribeListeners => ("DescribeListeners", Family::ElasticLoadBalancing),
            Self::DescribeTargetGroups => ("DescribeTargetGroups", Family::ElasticLoadBalancing),
            Self::DescribeAlarms => ("DescribeAlarms", Family::DescribeAlarms),
            Self::GetMetricData => ("GetMetricData", Family::GetMetricData),
            Self::RegisterTaskDefinition => {
                ("RegisterTaskDefinition", Family::TaskDefinitionModify)
            }
            Self::CreateService => ("CreateService", Family::ServiceModify),
            Self::UpdateService => ("UpdateService", Family::ServiceModify),
            // AWS does not say which bucket these are in; the scarcer one is the safe guess.
            Self::StopServiceDeployment => ("StopServiceDeployment", Family::ServiceModify),
            Self::ContinueServiceDeployment => ("ContinueServiceDeployment", Family::ServiceModify),
            Self::CreateTaskSet => ("CreateTaskSet", Family::TaskSetModify),
            Self::UpdateTaskSet => ("UpdateTaskSet", Family::TaskSetModify),
            Self::UpdateServicePrimaryTaskSet => {
                ("UpdateServicePrimaryTaskSet", Family::TaskSetModify)
            }
            Self::DeleteTaskSet => ("DeleteTaskSet", Family::TaskSetModify),
            Self::DeleteService => ("DeleteService", Family::ServiceModify),
            Self::ModifyRule => ("ModifyRule", Family::ElasticLoadBalancingModify),
            Self::ModifyListener => ("ModifyListener", Family::ElasticLoadBalancingModify),
            Self::GetDeploymentGroup => ("GetDeploymentGroup", Family::CodeDeploy),
            Self::ListDeployments => ("ListDeployments", Family::CodeDeploy),
            Self::BatchGetDeployments => ("BatchGetDeployments", Family::CodeDeploy),
            Self::BatchGetDeploymentTargets => ("BatchGetDeploymentTargets", Family::CodeDeploy),
            Self::CreateDeployment => ("CreateDeployment", Family::CodeDeploy),
            Self::StopDeployment => ("StopDeployment", Family::CodeDeploy),
            Self::ContinueDeployment => ("ContinueDeployment", Family::CodeDeploy),
            Self::TagResource => ("TagResource", Family::TagModify),
            Self::UntagResource => ("UntagResource", Family::TagModify),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An operation of `DynamoDB` on the lease table. `deploy/iam-policy-lease.json` grants exactly
/// [`LeaseOperation::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseOperation {
    Query,
    PutItem,
    DeleteItem,
}

impl LeaseOperation {
    pub const ALL: [Self; 3] = [Self::Query, Self::PutItem, Self::DeleteItem];

    /// AWS's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "Query",
            Self::PutItem => "PutItem",
            Self::DeleteItem => "DeleteItem",
        }
    }

    /// The action in an IAM policy.
    pub fn action(self) -> String {
        format!("dynamodb:{}", self.name())
    }

    /// Whether the operation changes anything in AWS.
    pub fn mutates(self) -> bool {
        self != Self::Query
    }
}

/// A read of a service without an SDK here, by which it is verified that what a manifest names is there.
/// `deploy/iam-policy-verify.json` grants [`VerifyOperation::ALL`] and what else the checks read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyOperation {
    GetRole,
    DescribeSecret,
    DescribeParameters,
    DescribeLogGroups,
    GetAuthorizationToken,
    DescribeSubnets,
    DescribeSecurityGroups,
    GetFunctionConcurrency,
}

impl VerifyOperation {
    pub const ALL: [Self; 8] = [
        Self::GetRole,
        Self::DescribeSecret,
        Self::DescribeParameters,
        Self::DescribeLogGroups,
        Self::GetAuthorizationToken,
        Self::DescribeSubnets,
        Self::DescribeSecurityGroups,
        Self::GetFunctionConcurrency,
    ];

    /// AWS's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::GetRole => "GetRole",
            Self::DescribeSecret => "DescribeSecret",
            Self::DescribeParameters => "DescribeParameters",
            Self::DescribeLogGroups => "DescribeLogGroups",
            Self::GetAuthorizationToken => "GetAuthorizationToken",
            Self::DescribeSubnets => "DescribeSubnets",
            Self::DescribeSecurityGroups => "DescribeSecurityGroups",
            Self::GetFunctionConcurrency => "GetFunctionConcurrency",
        }
    }

    /// The action in an IAM policy.
    pub fn action(self) -> String {
        let service = match self {
            Self::GetRole => "iam",
            Self::DescribeSecret => "secretsmanager",
            Self::DescribeParameters => "ssm",
            Self::DescribeLogGroups => "logs",
            Self::GetAuthorizationToken => "ecr",
            Self::DescribeSubnets | Self::DescribeSecurityGroups => "ec2",
            Self::GetFunctionConcurrency => "lambda",
        };
        format!("{service}:{}", self.name())
    }

    /// What stands before the name in `X-Amz-Target`, for services that speak JSON.
    pub(crate) fn target(self) -> Option<&'static str> {
        match self {
            Self::DescribeSecret => Some("secretsmanager"),
            Self::DescribeParameters => Some("AmazonSSM"),
            Self::DescribeLogGroups => Some("Logs_20140328"),
            Self::GetAuthorizationToken => Some("AmazonEC2ContainerRegistry_V20150921"),
            Self::GetRole
            | Self::DescribeSubnets
            | Self::DescribeSecurityGroups
            | Self::GetFunctionConcurrency => None,
        }
    }

    /// The version of the API, for services that take a form.
    pub(crate) fn version(self) -> Option<&'static str> {
        match self {
            Self::GetRole => Some("2010-05-08"),
            Self::DescribeSubnets | Self::DescribeSecurityGroups => Some("2016-11-15"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn statements(file: &str) -> Vec<Value> {
        let path = format!("{}/../../deploy/{file}", env!("CARGO_MANIFEST_DIR"));
        let policy: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        policy["Statement"].as_array().unwrap().clone()
    }

    fn actions(file: &str) -> BTreeSet<String> {
        let statements = statements(file);
        let actions = statements.iter().flat_map(|s| s["Action"].as_array().unwrap().clone());
        actions.map(|action| action.as_str().unwrap().to_owned()).collect()
    }

    fn expected(operations: impl Iterator<Item = Operation>) -> BTreeSet<String> {
        operations.map(Operation::action).collect()
    }

    #[test]
    fn the_policy_grants_what_is_used_and_nothing_else() {
        let used = Operation::ALL.into_iter().filter(|one| *one != Operation::DeleteService);
        let mut expected = expected(used);
        // Checked by AWS when a role is named in a task definition or service.
        expected.insert("iam:PassRole".to_owned());
        // Checked by AWS in CreateDeployment, the last one where it overrides the alarms of its group.
        let beside = [
            "GetDeploymentConfig",
            "GetApplicationRevision",
            "RegisterApplicationRevision",
            "UpdateDeploymentGroup",
        ];
        expected.extend(beside.map(|name| format!("codedeploy:{name}")));
        assert_eq!(actions("iam-policy.json"), expected);
    }

    #[test]
    fn the_read_only_policy_grants_reading_only() {
        let reads = Operation::ALL.into_iter().filter(|operation| !operation.mutates());
        assert_eq!(actions("iam-policy-read-only.json"), expected(reads));
    }

    #[test]
    fn the_prune_policy_grants_to_delete_what_is_ours_and_on_its_way_out() {
        let expected = expected([Operation::DeleteService].into_iter());
        assert_eq!(actions("iam-policy-prune.json"), expected);
        for statement in statements("iam-policy-prune.json") {
            let tags = &statement["Condition"]["StringLike"];
            assert_eq!(tags["aws:ResourceTag/evenkeel:owner"], "v1:INSTANCE:*");
            assert_eq!(tags["aws:ResourceTag/evenkeel:tombstone"], "v1:scaled-in:*");
        }
    }

    #[test]
    fn the_lease_policy_grants_what_is_used_on_one_table_and_nothing_else() {
        let expected = LeaseOperation::ALL.map(LeaseOperation::action);
        assert_eq!(actions("iam-policy-lease.json"), expected.into());
        for statement in statements("iam-policy-lease.json") {
            assert_eq!(statement["Resource"], "arn:aws:dynamodb:REGION:ACCOUNT:table/LEASE_TABLE");
            let installations = &statement["Condition"]["ForAllValues:StringEquals"];
            assert_eq!(installations["dynamodb:LeadingKeys"][0], "INSTALLATION");
        }
    }

    #[test]
    fn the_verify_policy_grants_what_the_checks_read_and_no_value_of_a_secret() {
        let mut expected: BTreeSet<_> = VerifyOperation::ALL.map(VerifyOperation::action).into();
        let shared = [Operation::DescribeTargetGroups, Operation::DescribeAlarms];
        expected.extend(shared.map(Operation::action));
        // Checked by ECR behind the HTTP API of its registries: manifests, and the configuration of an image.
        expected.extend(["BatchGetImage", "GetDownloadUrlForLayer"].map(|n| format!("ecr:{n}")));
        assert_eq!(actions("iam-policy-verify.json"), expected);
    }

    #[test]
    fn roles_are_passed_to_ecs_only_and_never_all_of_them() {
        let statements = statements("iam-policy.json");
        let passing = statements.iter().filter(|s| s["Action"][0] == "iam:PassRole");
        for statement in passing {
            let service = &statement["Condition"]["StringEquals"]["iam:PassedToService"];
            assert!(["ecs-tasks.amazonaws.com", "ecs.amazonaws.com"].iter().any(|s| service == s));
            assert!(!statement["Resource"].to_string().contains('*'));
        }
    }
}
