//! One look at one service, as deep as asked; never lets a part that could not be read pass for one
//! that is not there.

use std::collections::BTreeSet;
use std::future::Future;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{
    Depth, Fact, Lane, Observed, ObservedService, Questions, ServiceDeployment, ServiceRevision,
    Task, TaskDefinition, Unknown,
};
use evenkeel_reconciler::CloudError;
use futures_util::future::{join, join4};

use crate::cloud::AwsCloud;
use crate::{deployments, signals, tasks};

/// Reads in a rollout go before those of settled services.
fn lane(depth: Depth) -> Lane {
    match depth {
        Depth::Shallow => Lane::Sweep,
        Depth::Deep => Lane::RolloutStep,
    }
}

pub(crate) async fn observe(
    cloud: &AwsCloud,
    key: &ServiceKey,
    questions: &Questions,
) -> Result<Observed, CloudError> {
    let at = cloud.clock.now();
    let service = cloud.services.read(&key.cluster, &key.name, lane(questions.depth)).await?;
    let look = Look { cloud, key, questions, service: service.known() };
    let observed = match questions.depth {
        Depth::Shallow => look.shallow().await,
        Depth::Deep => look.deep().await,
    };
    Ok(Observed { at, service, ..observed })
}

/// What a look starts from.
struct Look<'a> {
    cloud: &'a AwsCloud,
    key: &'a ServiceKey,
    questions: &'a Questions,
    service: Option<&'a ObservedService>,
}

/// Deployments, their revisions and the task definitions of all: each needs those before.
struct History {
    deployments: Fact<Vec<ServiceDeployment>>,
    revisions: Fact<Vec<ServiceRevision>>,
    task_definitions: Fact<Vec<TaskDefinition>>,
}

impl Look<'_> {
    async fn shallow(&self) -> Observed {
        let task_definitions = fact(self.task_definitions(&BTreeSet::new())).await;
        Observed { task_definitions, ..self.nothing() }
    }

    async fn deep(&self) -> Observed {
        let caller = &*self.cloud.caller;
        let (history, tasks, target_groups, alarms) = join4(
            self.history(),
            self.tasks(),
            fact(signals::target_groups(caller, &self.questions.target_groups, self.lane())),
            fact(signals::alarms(caller, &self.questions.alarms, self.lane())),
        )
        .await;
        let History { deployments, revisions, task_definitions } = history;
        Observed {
            service_deployments: deployments,
            service_revisions: revisions,
            task_definitions,
            tasks,
            target_groups,
            alarms,
            ..self.nothing()
        }
    }

    /// An answer in which nothing was asked.
    fn nothing(&self) -> Observed {
        Observed {
            at: self.cloud.clock.now(),
            depth: self.questions.depth,
            service: Fact::Unknown(Unknown::NotAsked),
            task_definitions: Fact::Unknown(Unknown::NotAsked),
            service_deployments: Fact::Unknown(Unknown::NotAsked),
            service_revisions: Fact::Unknown(Unknown::NotAsked),
            tasks: Fact::Unknown(Unknown::NotAsked),
            target_groups: Fact::Unknown(Unknown::NotAsked),
            alarms: Fact::Unknown(Unknown::NotAsked),
        }
    }

    async fn history(&self) -> History {
        if !self.lives() {
            let task_definitions = fact(self.task_definitions(&BTreeSet::new())).await;
            return History {
                deployments: Fact::Absent,
                revisions: Fact::Absent,
                task_definitions,
            };
        }
        let (cluster, name) = (&self.key.cluster, &self.key.name);
        let newest = deployments::newest(&self.cloud.caller, cluster, name, self.lane());
        let deployments = fact(newest).await;
        let revisions = self.revisions(&deployments).await;
        let proven = self.asked_task_definitions(&revisions);
        let task_definitions = fact(self.task_definitions(&proven)).await;
        History { deployments, revisions, task_definitions }
    }

    /// Without the deployments nobody can say which revisions belong to them.
    async fn revisions(
        &self,
        deployments: &Fact<Vec<ServiceDeployment>>,
    ) -> Fact<Vec<ServiceRevision>> {
        match deployments {
            Fact::Known(deployments) => {
                let mut arns = deployments::revision_arns(deployments);
                arns.extend(self.questions.revisions.iter().cloned());
                fact(deployments::revisions(&self.cloud.caller, arns, self.lane())).await
            }
            Fact::Absent => Fact::Absent,
            Fact::Unknown(why) => Fact::Unknown(why.clone()),
        }
    }

    async fn tasks(&self) -> Fact<Vec<Task>> {
        if !self.lives() {
            return Fact::Absent;
        }
        let (cluster, name) = (&self.key.cluster, &self.key.name);
        fact(tasks::of_service(&self.cloud.caller, cluster, name, self.lane())).await
    }

    /// The revision in use, those of the other deployments, and the one with the digest asked for.
    /// On a deep look the one in use and those in `verify` are read anew.
    async fn task_definitions(
        &self,
        verify: &BTreeSet<String>,
    ) -> Result<Vec<TaskDefinition>, CloudError> {
        let (used, found) = join(self.used_task_definitions(verify), self.wanted()).await;
        let (mut used, found) = (used?, found?);
        used.extend(found.filter(|found| used.iter().all(|used| used.arn != found.arn)));
        Ok(used)
    }

    async fn used_task_definitions(
        &self,
        verify: &BTreeSet<String>,
    ) -> Result<Vec<TaskDefinition>, CloudError> {
        let revisions = &self.cloud.task_definitions;
        let deep = self.questions.depth == Depth::Deep;
        let in_use = self.service.and_then(|service| service.task_definition.as_ref());
        let mut read = Vec::new();
        for arn in in_use.into_iter().chain(verify.iter().filter(|arn| Some(*arn) != in_use)) {
            read.push(if deep {
                revisions.fresh(arn, self.lane()).await?
            } else {
                revisions.remembered(arn, self.lane()).await?
            });
        }
        for arn in self.deployed().filter(|arn| Some(*arn) != in_use && !verify.contains(*arn)) {
            read.push(revisions.remembered(arn, self.lane()).await?);
        }
        Ok(read)
    }

    fn deployed(&self) -> impl Iterator<Item = &String> {
        let deployments = self.service.into_iter().flat_map(|service| &service.deployments);
        let arns = deployments.map(|deployment| &deployment.task_definition);
        arns.filter(|arn| !arn.is_empty()).collect::<BTreeSet<_>>().into_iter()
    }

    async fn wanted(&self) -> Result<Option<TaskDefinition>, CloudError> {
        match &self.questions.family {
            Some(question) => self.cloud.task_definitions.find(question, self.lane()).await,
            None => Ok(None),
        }
    }

    /// The task definitions of the revisions that were asked for by ARN: what may be returned to
    /// must still be there.
    fn asked_task_definitions(&self, revisions: &Fact<Vec<ServiceRevision>>) -> BTreeSet<String> {
        let asked = |revision: &&ServiceRevision| {
            self.questions.revisions.contains(&revision.service_revision_arn)
        };
        let revisions = revisions.known().into_iter().flatten().filter(asked);
        revisions.map(|revision| revision.task_definition.clone()).collect()
    }

    /// Whether ECS still answers questions about its deployments and tasks.
    fn lives(&self) -> bool {
        self.service.is_some_and(|service| service.status != "INACTIVE")
    }

    fn lane(&self) -> Lane {
        lane(self.questions.depth)
    }
}

/// A part that cannot be read is unknown, and says why.
async fn fact<T>(part: impl Future<Output = Result<T, CloudError>>) -> Fact<T> {
    match part.await {
        Ok(known) => Fact::Known(known),
        Err(CloudError::CapabilityMissing { operation }) => {
            Fact::Unknown(Unknown::CapabilityMissing { operation })
        }
        Err(error) => Fact::Unknown(Unknown::Failed {
            operation: operation(&error).to_owned(),
            message: error.to_string(),
        }),
    }
}

fn operation(error: &CloudError) -> &str {
    match error {
        CloudError::Throttled { operation, .. }
        | CloudError::Transient { operation, .. }
        | CloudError::UnknownOutcome { operation, .. }
        | CloudError::Rejected { operation, .. }
        | CloudError::Denied { operation, .. }
        | CloudError::Quota { operation, .. }
        | CloudError::Conflict { operation, .. }
        | CloudError::CapabilityMissing { operation } => operation,
    }
}
