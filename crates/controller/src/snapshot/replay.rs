//! A snapshot in the place of AWS; never asks anybody, and never lets what was not recorded pass for what is not
//! there.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{
    Action, Applied, BalancingQuestion, Depth, Fact, LoadBalancing, Observed, ObservedService,
    Questions, TaskDefinition, Unknown,
};
use evenkeel_reconciler::{Cloud, CloudError, OwnedService};

use super::{Looked, Seen, Snapshot};

/// Answers looks as AWS would have when the snapshot was taken.
pub(crate) struct Replay(BTreeMap<ServiceKey, Looked>);

impl From<Snapshot> for Replay {
    fn from(snapshot: Snapshot) -> Self {
        Self(snapshot.services.into_iter().map(|entry| (entry.key, entry.look)).collect())
    }
}

impl Cloud for Replay {
    async fn owned(&self, _: &str, _: &[String]) -> Result<Vec<OwnedService>, CloudError> {
        Err(CloudError::CapabilityMissing { operation: "ListServices".to_owned() })
    }

    async fn observe(
        &self,
        key: &ServiceKey,
        questions: &Questions,
    ) -> Result<Observed, CloudError> {
        match self.0.get(key) {
            Some(Looked::Seen(seen)) => Ok(seen.answer(questions)),
            Some(Looked::Unread(why)) => Err(unread(format!("when the snapshot was taken: {why}"))),
            None => {
                Err(unread(format!("{key} is not in the snapshot; take one with a manifest of it")))
            }
        }
    }

    async fn apply(&self, _: &ServiceKey, action: &Action) -> Result<Applied, CloudError> {
        Err(CloudError::Denied {
            operation: action.call.operation().to_owned(),
            code: "Snapshot".to_owned(),
            message: "a snapshot is only planned against".to_owned(),
        })
    }
}

/// The same look will fail again.
fn unread(message: String) -> CloudError {
    let (operation, code) = ("DescribeServices".to_owned(), "Snapshot".to_owned());
    CloudError::Rejected { operation, code, message }
}

impl Seen {
    fn answer(&self, questions: &Questions) -> Observed {
        let then = &self.observed;
        let unasked = Observed::unasked(then.at, questions.depth);
        let load_balancing = self.load_balancing(questions.load_balancing.as_ref());
        if questions.depth == Depth::Shallow {
            let task_definitions = self.in_use();
            let service = then.service.clone();
            return Observed { service, task_definitions, load_balancing, ..unasked };
        }
        let asked = &self.asked;
        let revisions = missing(&questions.revisions, &asked.revisions, "DescribeServiceRevisions");
        Observed {
            load_balancing,
            service_revisions: revisions.unwrap_or_else(|| then.service_revisions.clone()),
            alarms: among(
                &questions.alarms,
                &asked.alarms,
                "DescribeAlarms",
                &then.alarms,
                |one| &one.name,
            ),
            target_groups: among(
                &questions.target_groups,
                &asked.target_groups,
                "DescribeTargetHealth",
                &then.target_groups,
                |one| &one.arn,
            ),
            code_deploy: same(
                questions.code_deploy.as_ref(),
                asked.code_deploy.as_ref(),
                "GetDeploymentGroup",
                &then.code_deploy,
            ),
            metrics: same(
                questions.metrics.as_ref(),
                asked.metrics.as_ref(),
                "GetMetricData",
                &then.metrics,
            ),
            ..then.clone()
        }
    }

    /// Revisions from which tasks are started, without their content: what a shallow look shows.
    fn in_use(&self) -> Fact<Vec<TaskDefinition>> {
        let service = self.observed.service.known();
        let is_used = |arn: &str| {
            let is_launched = |one: &ObservedService| {
                one.launchers().any(|launcher| launcher.task_definition == arn)
                    || one.task_definition.as_deref() == Some(arn)
            };
            service.is_some_and(is_launched)
        };
        let without_content =
            |one: &TaskDefinition| TaskDefinition { document: None, ..one.clone() };
        map(&self.observed.task_definitions, |all| {
            all.iter().filter(|one| is_used(&one.arn)).map(without_content).collect()
        })
    }

    fn load_balancing(&self, wanted: Option<&BalancingQuestion>) -> Fact<LoadBalancing> {
        const OPERATION: &str = "DescribeRules";
        let Some(wanted) = wanted else { return Fact::Unknown(Unknown::NotAsked) };
        let none = BalancingQuestion::default();
        let asked = self.asked.load_balancing.as_ref().unwrap_or(&none);
        missing(&wanted.rules, &asked.rules, OPERATION)
            .or_else(|| missing(&wanted.listeners, &asked.listeners, "DescribeListeners"))
            .or_else(|| missing(&wanted.target_groups, &asked.target_groups, OPERATION))
            .unwrap_or_else(|| self.observed.load_balancing.clone())
    }
}

/// Says what of `wanted` nobody had `asked` about.
fn missing<T>(
    wanted: &BTreeSet<String>,
    asked: &BTreeSet<String>,
    operation: &str,
) -> Option<Fact<T>> {
    let unasked: Vec<&str> = wanted.difference(asked).map(String::as_str).collect();
    (!unasked.is_empty()).then(|| not_recorded(operation, &unasked.join(", ")))
}

fn not_recorded<T>(operation: &str, what: &str) -> Fact<T> {
    let message = format!("{what}: not in the snapshot; take one with this manifest");
    Fact::Unknown(Unknown::Failed { operation: operation.to_owned(), message })
}

/// What is `wanted` of a list.
fn among<T: Clone>(
    wanted: &BTreeSet<String>,
    asked: &BTreeSet<String>,
    operation: &str,
    then: &Fact<Vec<T>>,
    name: impl Fn(&T) -> &String,
) -> Fact<Vec<T>> {
    if wanted.is_empty() {
        return Fact::Known(Vec::new());
    }
    missing(wanted, asked, operation).unwrap_or_else(|| {
        map(then, |all| all.iter().filter(|one| wanted.contains(name(one))).cloned().collect())
    })
}

/// The answer to the same question.
fn same<Q: PartialEq, T: Clone>(
    wanted: Option<&Q>,
    asked: Option<&Q>,
    operation: &str,
    then: &Fact<T>,
) -> Fact<T> {
    match wanted {
        None => Fact::Unknown(Unknown::NotAsked),
        Some(_) if wanted == asked => then.clone(),
        Some(_) => not_recorded(operation, "what this manifest asks about"),
    }
}

fn map<T, U>(fact: &Fact<T>, known: impl FnOnce(&T) -> U) -> Fact<U> {
    match fact {
        Fact::Known(value) => Fact::Known(known(value)),
        Fact::Absent => Fact::Absent,
        Fact::Unknown(why) => Fact::Unknown(why.clone()),
    }
}
