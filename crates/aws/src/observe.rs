//! One look at one service, as deep as asked; never lets a part that could not be read pass for one
//! that is not there.

use std::collections::BTreeSet;
use std::future::Future;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{
    CodeDeploy, Depth, Fact, Lane, LoadBalancing, Observed, ObservedService, Questions, Series,
    ServiceDeployment, ServiceRevision, Task, TaskDefinition, Unknown,
};
use evenkeel_reconciler::CloudError;
use futures_util::future::{join, join5};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::cloud::AwsCloud;
use crate::{code_deploy, deployments, signals};

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
    let began = Instant::now();
    let read = cloud.services.read(&key.cluster, &key.name, lane(questions.depth)).await;
    let service = match read {
        Err(error) if error.is_missing_cluster() => Fact::Absent,
        read => read?,
    };
    // Taken after a reply, because the first one may correct the clock.
    let now = cloud.clock.now();
    let at = now.saturating_sub(began.elapsed()).unwrap_or(now);
    let look = Look { cloud, key, questions, at, service: service.known() };
    let observed = match questions.depth {
        Depth::Shallow => look.shallow().await,
        Depth::Deep => look.deep().await,
    };
    Ok(Observed { service, ..observed })
}

/// What a look starts from.
struct Look<'a> {
    cloud: &'a AwsCloud,
    key: &'a ServiceKey,
    questions: &'a Questions,
    at: Timestamp,
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
        let no_more = BTreeSet::new();
        let task_definitions = fact(self.task_definitions(&no_more));
        let (task_definitions, load_balancing) =
            join(task_definitions, self.load_balancing()).await;
        Observed { task_definitions, load_balancing, ..self.nothing() }
    }

    async fn deep(&self) -> Observed {
        let caller = &*self.cloud.caller;
        let target_groups = &self.questions.target_groups;
        let health = fact(signals::target_groups(caller, target_groups, self.lane()));
        let traffic = join(health, self.load_balancing());
        let (history, tasks, (target_groups, load_balancing), alarms, (code_deploy, metrics)) =
            join5(
                self.history(),
                self.tasks(),
                traffic,
                fact(signals::alarms(caller, &self.questions.alarms, self.lane())),
                self.measured(),
            )
            .await;
        let History { deployments, revisions, task_definitions } = history;
        Observed {
            service_deployments: deployments,
            service_revisions: revisions,
            task_definitions,
            tasks,
            target_groups,
            load_balancing,
            code_deploy,
            alarms,
            metrics,
            ..self.nothing()
        }
    }

    async fn load_balancing(&self) -> Fact<LoadBalancing> {
        match &self.questions.load_balancing {
            Some(question) => {
                fact(Box::pin(self.cloud.balancing.read(question, self.lane()))).await
            }
            None => Fact::Unknown(Unknown::NotAsked),
        }
    }

    async fn code_deploy(&self) -> Fact<CodeDeploy> {
        let Some(question) = &self.questions.code_deploy else {
            return Fact::Unknown(Unknown::NotAsked);
        };
        // The futures of the SDK are large, and this one is part of those of every look.
        match Box::pin(code_deploy::read(&self.cloud.caller, question, self.lane())).await {
            Ok(Some(known)) => Fact::Known(known),
            Ok(None) => Fact::Absent,
            Err(error) => Fact::Unknown(error.into()),
        }
    }

    /// The deployment group says which load balancer's metrics are meant.
    async fn measured(&self) -> (Fact<CodeDeploy>, Fact<Vec<Series>>) {
        let code_deploy = self.code_deploy().await;
        let metrics = self.metrics(&code_deploy).await;
        (code_deploy, metrics)
    }

    async fn metrics(&self, code_deploy: &Fact<CodeDeploy>) -> Fact<Vec<Series>> {
        match &self.questions.metrics {
            Some(question) => fact(self.cloud.measured.read(&question.placed(code_deploy))).await,
            None => Fact::Unknown(Unknown::NotAsked),
        }
    }

    /// An answer in which nothing was asked.
    fn nothing(&self) -> Observed {
        Observed::unasked(self.at, self.questions.depth)
    }

    async fn history(&self) -> History {
        if !self.lives() || self.service.is_some_and(ObservedService::has_task_sets) {
            let task_definitions = fact(self.task_definitions(&self.questions.definitions)).await;
            return History {
                deployments: Fact::Absent,
                revisions: Fact::Absent,
                task_definitions,
            };
        }
        let (cluster, name) = (&self.key.cluster, &self.key.name);
        let newest = deployments::newest(&self.cloud.caller, cluster, name, self.at, self.lane());
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
        fact(self.cloud.tasks.of_service(self.key, self.lane())).await
    }

    /// The revision in use, those of the other deployments, and the one with the digest asked for, or what was registered
    /// for it.
    /// On a deep look all come with content and status of at most 30 seconds ago, for a task set may be made of any of
    /// them, and those in `verify` are read anew.
    async fn task_definitions(
        &self,
        verify: &BTreeSet<String>,
    ) -> Result<Vec<TaskDefinition>, CloudError> {
        let (used, found) = join(self.used_task_definitions(verify), self.wanted()).await;
        let (mut used, mut found) = (used?, found?);
        found.retain(|found| used.iter().all(|used| used.arn != found.arn));
        used.extend(found);
        Ok(used)
    }

    async fn used_task_definitions(
        &self,
        verify: &BTreeSet<String>,
    ) -> Result<Vec<TaskDefinition>, CloudError> {
        let revisions = &self.cloud.task_definitions;
        let mut read = Vec::new();
        for arn in verify {
            read.extend(revisions.existing(arn, self.lane()).await?);
        }
        let in_use = self.service.and_then(|service| service.task_definition.as_ref());
        let deployed = self.deployed().filter(|arn| Some(*arn) != in_use);
        for arn in in_use.into_iter().chain(deployed).filter(|arn| !verify.contains(*arn)) {
            read.push(match self.questions.depth {
                Depth::Shallow => revisions.remembered(arn, self.lane()).await?,
                Depth::Deep => revisions.recent(arn, self.lane()).await?,
            });
        }
        Ok(read)
    }

    fn deployed(&self) -> impl Iterator<Item = &String> {
        let launchers = self.service.into_iter().flat_map(ObservedService::launchers);
        let arns = launchers.map(|deployment| &deployment.task_definition);
        arns.filter(|arn| !arn.is_empty()).collect::<BTreeSet<_>>().into_iter()
    }

    async fn wanted(&self) -> Result<Vec<TaskDefinition>, CloudError> {
        match &self.questions.family {
            Some(question) => self.cloud.task_definitions.find(question, self.lane()).await,
            None => Ok(Vec::new()),
        }
    }

    /// The task definitions that were asked for by ARN, and those of the revisions that were: what may be
    /// returned to must still be there.
    fn asked_task_definitions(&self, revisions: &Fact<Vec<ServiceRevision>>) -> BTreeSet<String> {
        let asked = |revision: &&ServiceRevision| {
            self.questions.revisions.contains(&revision.service_revision_arn)
        };
        let revisions = revisions.known().into_iter().flatten().filter(asked);
        let of_revisions = revisions.map(|revision| revision.task_definition.clone());
        of_revisions.chain(self.questions.definitions.iter().cloned()).collect()
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
        Err(error) => Fact::Unknown(error.into()),
    }
}

#[cfg(test)]
mod tests;
