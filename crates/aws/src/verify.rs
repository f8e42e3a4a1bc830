//! Looks at what manifests name and do not make; never writes, never reads the value of a secret, and never says
//! whether what it sees will do.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_planner::{Asked, AttachedGroup, Fact, Lane, Shown, Unknown};
use evenkeel_reconciler::CloudError;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::cloud::AwsCloud;
use crate::operation::{Operation, VerifyOperation};
use crate::signals;
use crate::signed::text_of;

/// With a filter that nothing fits, pages of parameters come back empty.
const PAGES_MAX: usize = 50;

/// Codes that say: IAM does not allow it. Other refusals, such as an expired session, are of another kind.
const FORBIDDEN: [&str; 4] =
    ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized"];

/// Codes that say: there is no such thing. EC2 has one for each kind of thing, which end alike.
const ABSENT: [&str; 3] = ["NoSuchEntity", "ResourceNotFoundException", "TargetGroupNotFound"];

/// What AWS shows of a thing. Of images it knows nothing: registries are asked elsewhere.
pub(crate) async fn look(cloud: &AwsCloud, asked: &Asked) -> Fact<Shown> {
    let looked = match asked {
        Asked::Role { name } => cloud.role(name).await,
        Asked::Image { .. } => return Fact::Unknown(Unknown::NotAsked),
        Asked::Secret { id } => cloud.secret(id).await,
        Asked::Parameter { name, region } => cloud.parameter(name, region.as_deref()).await,
        Asked::LogGroup { name, region } => cloud.log_group(name, region.as_deref()).await,
        Asked::TargetGroup { arn } => cloud.target_group(arn).await,
        Asked::Alarm { name } => cloud.alarm(name).await,
        Asked::Subnet { id } => {
            cloud.vpc(VerifyOperation::DescribeSubnets, ("SubnetId.1", id)).await
        }
        Asked::SecurityGroup { id } => {
            cloud.vpc(VerifyOperation::DescribeSecurityGroups, ("GroupId.1", id)).await
        }
        Asked::Function { id, region } => cloud.function(id, region.as_deref()).await,
    };
    match looked {
        Ok(Some(shown)) => Fact::Known(shown),
        Ok(None) => Fact::Absent,
        Err(error) => not_seen(&action(asked), error),
    }
}

/// What ECR's registries of a region take. It is a secret, good for twelve hours.
pub(crate) async fn registry_token(cloud: &AwsCloud, region: &str) -> Result<String, Unknown> {
    let operation = VerifyOperation::GetAuthorizationToken;
    let reply = cloud.signed.json(operation, Some(region), &json!({})).await;
    let reply = reply.map_err(|error| why(&operation.action(), error))?;
    let token = reply.pointer("/authorizationData/0/authorizationToken");
    token.and_then(Value::as_str).map(str::to_owned).ok_or_else(|| Unknown::Failed {
        operation: operation.action(),
        message: "the reply has no token".to_owned(),
    })
}

impl AwsCloud {
    async fn role(&self, name: &str) -> Result<Option<Shown>, CloudError> {
        let xml = self.signed.query(VerifyOperation::GetRole, &[("RoleName", name)]).await?;
        let policy = text_of(&xml, "AssumeRolePolicyDocument").unwrap_or_default();
        let trust_policy = percent_decode_str(&policy).decode_utf8_lossy().into_owned();
        Ok(text_of(&xml, "Arn").map(|arn| Shown::Role { arn, trust_policy }))
    }

    /// The ARN names the region.
    async fn secret(&self, id: &str) -> Result<Option<Shown>, CloudError> {
        let region = id.strip_prefix("arn:").and_then(|arn| arn.split(':').nth(2));
        let operation = VerifyOperation::DescribeSecret;
        let reply = self.signed.json(operation, region, &json!({ "SecretId": id })).await?;
        let labels = |labels: &Value| -> BTreeSet<String> {
            let labels = labels.as_array().into_iter().flatten();
            labels.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let versions = reply.get("VersionIdsToStages").and_then(Value::as_object);
        let versions = versions.into_iter().flatten();
        let versions: BTreeMap<_, _> =
            versions.map(|(version, stages)| (version.clone(), labels(stages))).collect();
        let is_to_be_deleted = reply.get("DeletedDate").is_some_and(|date| !date.is_null());
        Ok(Some(Shown::Secret { versions, is_to_be_deleted }))
    }

    /// Only its description is read: `GetParameters` would show the value.
    async fn parameter(
        &self,
        name: &str,
        region: Option<&str>,
    ) -> Result<Option<Shown>, CloudError> {
        // The ARN of `/x` and that of `x` are the same.
        let is_of_arn = region.is_some() && !name.starts_with('/');
        let names = if is_of_arn {
            vec![name.to_owned(), format!("/{name}")]
        } else {
            vec![name.to_owned()]
        };
        let filter = json!([{ "Key": "Name", "Option": "Equals", "Values": names }]);
        let mut input = Map::from_iter([("ParameterFilters".to_owned(), filter)]);
        for _ in 0..PAGES_MAX {
            let operation = VerifyOperation::DescribeParameters;
            let reply = self.signed.json(operation, region, &input.clone().into()).await?;
            let found = reply.get("Parameters").and_then(Value::as_array);
            if found.is_some_and(|found| !found.is_empty()) {
                return Ok(Some(Shown::Exists));
            }
            match reply.get("NextToken").and_then(Value::as_str) {
                Some(token) => drop(input.insert("NextToken".to_owned(), token.into())),
                None => return Ok(None),
            }
        }
        let operation = VerifyOperation::DescribeParameters.name().to_owned();
        let message = format!("no end after {PAGES_MAX} pages");
        Err(CloudError::Transient { operation, message })
    }

    /// Groups come in the order of their names, so the one whose name is the whole prefix is the first.
    async fn log_group(
        &self,
        name: &str,
        region: Option<&str>,
    ) -> Result<Option<Shown>, CloudError> {
        let operation = VerifyOperation::DescribeLogGroups;
        let input = json!({ "logGroupNamePrefix": name });
        let reply = self.signed.json(operation, region, &input).await?;
        let groups = reply.get("logGroups").and_then(Value::as_array).into_iter().flatten();
        let mut names = groups.filter_map(|group| group.get("logGroupName"));
        Ok(names.any(|found| found == name).then_some(Shown::Exists))
    }

    async fn target_group(&self, arn: &str) -> Result<Option<Shown>, CloudError> {
        let request = self.caller.load_balancing.describe_target_groups().target_group_arns(arn);
        let operation = Operation::DescribeTargetGroups;
        let reply = self.caller.read(operation, Lane::Sweep, Box::pin(request.send())).await?;
        Ok(reply.target_groups().first().map(|group| {
            Shown::TargetGroup(AttachedGroup {
                target_type: group.target_type().map(|kind| kind.as_str().to_owned()),
                protocol: group.protocol().map(|protocol| protocol.as_str().to_owned()),
                vpc: group.vpc_id().map(str::to_owned),
                load_balancers: group.load_balancer_arns().len(),
            })
        }))
    }

    async fn alarm(&self, name: &str) -> Result<Option<Shown>, CloudError> {
        let names = BTreeSet::from([name.to_owned()]);
        let alarms = Box::pin(signals::alarms(&self.caller, &names, Lane::Sweep)).await?;
        Ok(alarms.first().map(|_| Shown::Exists))
    }

    /// Of all that Lambda tells of one function, its concurrency holds nothing of its environment.
    async fn function(&self, id: &str, region: Option<&str>) -> Result<Option<Shown>, CloudError> {
        let id = utf8_percent_encode(id, NON_ALPHANUMERIC);
        let path = format!("2019-09-30/functions/{id}/concurrency");
        let operation = VerifyOperation::GetFunctionConcurrency;
        self.signed.is_there(operation, region, path).await?;
        Ok(Some(Shown::Exists))
    }

    async fn vpc(
        &self,
        operation: VerifyOperation,
        id: (&str, &str),
    ) -> Result<Option<Shown>, CloudError> {
        let xml = self.signed.query(operation, &[id]).await?;
        Ok(text_of(&xml, "vpcId").map(Shown::InVpc))
    }
}

/// What IAM must allow for the question.
fn action(asked: &Asked) -> String {
    match asked {
        Asked::Role { .. } => VerifyOperation::GetRole.action(),
        Asked::Image { .. } => VerifyOperation::GetAuthorizationToken.action(),
        Asked::Secret { .. } => VerifyOperation::DescribeSecret.action(),
        Asked::Parameter { .. } => VerifyOperation::DescribeParameters.action(),
        Asked::LogGroup { .. } => VerifyOperation::DescribeLogGroups.action(),
        Asked::TargetGroup { .. } => Operation::DescribeTargetGroups.action(),
        Asked::Alarm { .. } => Operation::DescribeAlarms.action(),
        Asked::Subnet { .. } => VerifyOperation::DescribeSubnets.action(),
        Asked::SecurityGroup { .. } => VerifyOperation::DescribeSecurityGroups.action(),
        Asked::Function { .. } => VerifyOperation::GetFunctionConcurrency.action(),
    }
}

fn not_seen(action: &str, error: CloudError) -> Fact<Shown> {
    let is_absent = match &error {
        CloudError::Rejected { code, .. } | CloudError::Conflict { code, .. } => {
            ABSENT.contains(&code.as_str())
                || code.ends_with(".NotFound")
                || code.ends_with(".Malformed")
        }
        _ => false,
    };
    if is_absent { Fact::Absent } else { Fact::Unknown(why(action, error)) }
}

fn why(action: &str, error: CloudError) -> Unknown {
    let operation = action.to_owned();
    let message = match error {
        CloudError::Denied { code, .. } if FORBIDDEN.contains(&code.as_str()) => {
            return Unknown::Denied { operation, message: String::new() };
        }
        CloudError::CapabilityMissing { .. } => return Unknown::CapabilityMissing { operation },
        CloudError::Transient { message, .. } | CloudError::UnknownOutcome { message, .. } => {
            message
        }
        CloudError::Throttled { message, .. } => format!("throttled: {message}"),
        CloudError::Denied { code, message, .. }
        | CloudError::Rejected { code, message, .. }
        | CloudError::Quota { code, message, .. }
        | CloudError::Conflict { code, message, .. } => format!("{code}: {message}"),
    };
    Unknown::Failed { operation, message }
}

#[cfg(test)]
mod tests;
