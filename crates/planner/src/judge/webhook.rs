//! Who is asked at a gate, with what, and what the answers mean; never asks.

use evenkeel_manifest::{Gate, ServiceKey, Webhook};
use jiff::Timestamp;
use serde::Serialize;

use super::{AnalysisResult, Bench, Measurement};
use crate::steps::own_pause;
use crate::tags::Memory;
use crate::view::{View, explain, last_part};
use crate::{Fact, Observed, Questions, ServiceDeployment, TaskSet};

/// A gate of Evenkeel's own steps that stands open, for a deep look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepGate {
    pub gate: Gate,
    /// Asked again, for instance after a restart, it is the same.
    pub id: String,
    /// The id of the task set.
    pub set: String,
    /// The rule that must give the task set all of its traffic before anybody is asked.
    pub test_rule: Option<String>,
    /// What the new revision gets of production traffic, in tenths of a percent.
    pub share: u16,
}

/// One question to a web hook. Its serialised form is the body.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookCall {
    #[serde(skip)]
    pub webhook: Webhook,
    /// Of the pause: asked again, for instance after a restart, it is the same.
    pub id: String,
    /// `AfterTestTraffic`, `BeforeStep` or `AfterProductionTraffic`.
    pub gate: &'static str,
    pub service: ServiceKey,
    /// The ARN of the service deployment, or of the task set.
    pub deployment: String,
    /// The ARN of the new service revision, or of the task definition of the task set.
    pub revision: Option<String>,
    /// What the new revision gets of production traffic, in percent.
    pub share: f64,
    /// Since when the rollout is judged: what was said of the pause before a person wished to try again says nothing of it.
    #[serde(skip)]
    pub since: Option<Timestamp>,
}

/// What a web hook said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WebhookAnswer {
    pub url: String,
    /// Of the pause that it was asked at.
    pub id: String,
    pub result: AnalysisResult,
    pub message: String,
}

/// Whom to ask now: at an open gate of the PRIMARY deployment, those that are for it.
pub fn webhook_calls(
    key: &ServiceKey,
    questions: &Questions,
    observed: &Observed,
) -> Vec<WebhookCall> {
    if let Some(gate) = &questions.step_gate {
        return calls_at_a_step(key, gate, questions, observed);
    }
    let Some(rollout) = primary_deployment(observed) else { return Vec::new() };
    let Some((gate, pause)) = own_pause(rollout) else { return Vec::new() };
    let target = rollout.target_service_revision.as_ref();
    let call = |webhook: &Webhook| WebhookCall {
        webhook: webhook.clone(),
        id: pause.hook_id.clone(),
        gate: gate.name(),
        service: key.clone(),
        deployment: rollout.service_deployment_arn.clone(),
        revision: target.map(|target| target.arn.clone()),
        share: rollout.target_share(),
        since: judged_since(observed),
    };
    questions.webhooks.iter().filter(|webhook| webhook.at.contains(&gate)).map(call).collect()
}

fn calls_at_a_step(
    key: &ServiceKey,
    step: &StepGate,
    questions: &Questions,
    observed: &Observed,
) -> Vec<WebhookCall> {
    let sets = observed.service.known().map(|service| service.task_sets.as_slice());
    let set = sets.unwrap_or_default().iter().find(|set| set.id() == step.set);
    let Some(set) = set.filter(|set| set.is_steady() && gets_test_traffic(step, set, observed))
    else {
        return Vec::new();
    };
    let call = |webhook: &Webhook| WebhookCall {
        webhook: webhook.clone(),
        id: step.id.clone(),
        gate: step.gate.name(),
        service: key.clone(),
        deployment: set.task_set_arn.clone(),
        revision: Some(set.deployment.task_definition.clone()),
        share: f64::from(step.share) / 10.0,
        since: judged_since(observed),
    };
    questions.webhooks.iter().filter(|webhook| webhook.at.contains(&step.gate)).map(call).collect()
}

fn judged_since(observed: &Observed) -> Option<Timestamp> {
    Memory::read(&observed.service.known()?.tags).rollout.map(|mark| mark.since)
}

fn gets_test_traffic(step: &StepGate, set: &TaskSet, observed: &Observed) -> bool {
    let Some(arn) = &step.test_rule else { return true };
    let rule = observed.load_balancing.known().and_then(|seen| seen.rule(arn));
    let group = set.target_group();
    rule.is_some_and(|rule| rule.serving().all(|serving| Some(serving) == group))
}

fn primary_deployment(observed: &Observed) -> Option<&ServiceDeployment> {
    let service = observed.service.known()?;
    let primary = service.deployments.iter().find(|one| one.status == "PRIMARY")?;
    let target = |one: &&ServiceDeployment| {
        let target = one.target_service_revision.as_ref();
        target.is_some_and(|target| last_part(&target.arn) == last_part(&primary.id))
    };
    observed.service_deployments.known()?.iter().find(target)
}

/// What the web hooks of a gate said of it.
pub(super) fn heard(
    view: &View<'_>,
    (gate, id): (Gate, &str),
    webhooks: &[Webhook],
    bench: &Bench<'_>,
) -> Vec<Measurement> {
    let here = webhooks.iter().filter(|webhook| webhook.at.contains(&gate));
    let measurement = |webhook: &Webhook| {
        let (result, sentence) = answer(&view.observed().webhooks, &webhook.url, id);
        let result = match result {
            AnalysisResult::Running if bench.is_impatient() => AnalysisResult::Inconclusive,
            result => result,
        };
        Measurement {
            metric: format!("web hook {}", webhook.shown()),
            result,
            sentence,
            trend: None,
        }
    };
    here.map(measurement).collect()
}

fn answer(fact: &Fact<Vec<WebhookAnswer>>, url: &str, id: &str) -> super::Finding {
    let answers = match fact {
        Fact::Known(answers) => answers,
        Fact::Absent => return (AnalysisResult::Error, "it was not asked".to_owned()),
        Fact::Unknown(why) => return (AnalysisResult::Error, explain(why)),
    };
    match answers.iter().find(|answer| answer.url == url && answer.id == id) {
        Some(answer) => (answer.result, answer.message.clone()),
        None => (AnalysisResult::Running, "it has not answered yet".to_owned()),
    }
}
