//! A deployment group and its deployments, asked as the AWS edge asks; never says which of them is ours.

use std::collections::BTreeSet;

use evenkeel_planner::{
    CodeDeploy, CodeDeployDeployment, CodeDeployQuestion, DeploymentGroup, Fact, LifecycleEvent,
};
use evenkeel_reconciler::CloudError;
use serde_json::{Value, json};

use super::{Caller, read, unread};
use crate::Api;
use crate::region::list;

/// `BatchGetDeployments` takes no more.
const BATCH: usize = 25;

impl Caller<'_> {
    pub(super) async fn code_deploy(
        &self,
        question: &CodeDeployQuestion,
    ) -> Result<Fact<CodeDeploy>, CloudError> {
        let operation = "GetDeploymentGroup";
        let group = match self.call(Api::CodeDeploy, operation, &named(question)).await {
            Err(CloudError::Conflict { code, .. }) if code.ends_with("DoesNotExistException") => {
                return Ok(Fact::Absent);
            }
            reply => reply?,
        };
        let info = group.get("deploymentGroupInfo").unwrap_or(&Value::Null);
        let group = read(operation, DeploymentGroup::read(info))?;
        let listed = self.listed_deployments(question).await?;
        let ids: BTreeSet<String> = listed.union(&question.ids).cloned().collect();
        let mut deployments = self.deployments(&ids).await?;
        let complete = CodeDeployDeployment::all_described(&listed, &deployments);
        read("BatchGetDeployments", complete)?;
        for one in deployments.iter_mut().filter(|one| question.ids.contains(&one.deployment_id)) {
            if let Some(target) = one.target(&group) {
                one.lifecycle_events = self.events(&target).await?;
            }
        }
        let rollbacks: BTreeSet<String> = deployments
            .iter()
            .filter_map(|one| one.rollback_info.as_ref()?.rollback_deployment_id.clone())
            .filter(|id| !ids.contains(id))
            .collect();
        deployments.extend(self.deployments(&rollbacks).await?);
        Ok(Fact::Known(CodeDeploy { group, deployments }))
    }

    /// Those on their way, and those that were made lately.
    async fn listed_deployments(
        &self,
        question: &CodeDeployQuestion,
    ) -> Result<BTreeSet<String>, CloudError> {
        let on_their_way = json!(["Created", "Queued", "InProgress", "Baking", "Ready"]);
        let mut ids = self.deployment_ids(question, "includeOnlyStatuses", on_their_way).await?;
        if let Some(since) = question.since {
            let since = json!({"start": since.as_second()});
            ids.extend(self.deployment_ids(question, "createTimeRange", since).await?);
        }
        Ok(ids.into_iter().collect())
    }

    async fn deployment_ids(
        &self,
        question: &CodeDeployQuestion,
        filter: &str,
        by: Value,
    ) -> Result<Vec<String>, CloudError> {
        let mut token = Value::Null;
        let mut all = Vec::new();
        loop {
            let input = json!({
                "applicationName": question.application, "deploymentGroupName": question.group,
                filter: by, "nextToken": token,
            });
            let reply = self.call(Api::CodeDeploy, "ListDeployments", &input).await?;
            let ids = list(&reply, "deployments").iter().filter_map(Value::as_str);
            all.extend(ids.map(str::to_owned));
            match reply.get("nextToken") {
                Some(next) => token = next.clone(),
                None => return Ok(all),
            }
        }
    }

    async fn events(&self, target: &Value) -> Result<Vec<LifecycleEvent>, CloudError> {
        match self.call(Api::CodeDeploy, "BatchGetDeploymentTargets", target).await {
            Ok(reply) => Ok(LifecycleEvent::read_all(&reply)),
            Err(
                error @ (CloudError::Throttled { .. }
                | CloudError::Transient { .. }
                | CloudError::UnknownOutcome { .. }),
            ) => Err(error),
            Err(_) => Ok(Vec::new()),
        }
    }

    async fn deployments(
        &self,
        ids: &BTreeSet<String>,
    ) -> Result<Vec<CodeDeployDeployment>, CloudError> {
        let operation = "BatchGetDeployments";
        let ids: Vec<&String> = ids.iter().collect();
        let mut all = Vec::new();
        for chunk in ids.chunks(BATCH) {
            let input = json!({"deploymentIds": chunk});
            let reply = self.call(Api::CodeDeploy, operation, &input).await?;
            if reply.get("deploymentsInfo").is_none() {
                return Err(unread(operation, "the reply holds no deployments"));
            }
            for one in list(&reply, "deploymentsInfo") {
                all.push(read(operation, CodeDeployDeployment::read(one))?);
            }
        }
        Ok(all)
    }
}

fn named(question: &CodeDeployQuestion) -> Value {
    json!({
        "applicationName": question.application, "deploymentGroupName": question.group,
    })
}
