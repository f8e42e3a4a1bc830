//! Deployments: what they are, and the calls that begin, stop and continue them; never what happens
//! between.
//!
//! Source: reference page, sections 6.2 and 6.5.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::app_spec::AppSpec;
use super::groups::{Plan, Rollbacks, alarms};
use super::lifecycle::{Event, Step};
use super::{CodeDeploy, HookFunction, refused, required};
use crate::region::{ApiError, Revision, Share, State, Strategy, Timer, flag, given, text};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Created,
    InProgress,
    Ready,
    Succeeded,
    Failed,
    Stopped,
}

impl Status {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::InProgress => "InProgress",
            Self::Ready => "Ready",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Stopped => "Stopped",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Deployment {
    pub(super) number: u64,
    pub(super) id: String,
    pub(super) application: String,
    pub(super) group: String,
    pub(super) cluster: String,
    pub(super) service: String,
    pub(super) config: String,
    pub(super) strategy: Strategy,
    pub(super) plan: Plan,
    pub(super) description: Option<String>,
    pub(super) work: Work,
    pub(super) sha256: String,
    pub(super) status: Status,
    /// Its code and what it says.
    pub(super) error: Option<(&'static str, String)>,
    pub(super) created_at: Timestamp,
    pub(super) started_at: Option<Timestamp>,
    pub(super) completed_at: Option<Timestamp>,
    pub(super) updated_at: Timestamp,
    pub(super) step: Step,
    /// How many steps it has entered, to tell a timer of an earlier one.
    pub(super) entered: u64,
    pub(super) events: Vec<Event>,
    /// What the function does that is called in its step.
    pub(super) called: Option<HookFunction>,
    /// Once it has looked at the service.
    pub(super) sides: Option<Sides>,
    /// What the replacement gets of production traffic.
    pub(super) share: Share,
    pub(super) stop: Option<Stop>,
    /// The deployment that this one undoes, by its id.
    pub(super) triggered_by: Option<String>,
    /// The deployment that undoes this one, by its id.
    pub(super) undone_by: Option<String>,
}

/// What StopDeployment said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    /// Whether to roll back; the group decides where nothing was said.
    pub(super) rolls_back: Option<bool>,
}

#[derive(Clone, Debug)]
pub(super) enum Work {
    Deploy(AppSpec),
    /// Back to what a deployment was about to replace.
    Reroute,
}

/// What is replaced and what replaces it.
#[derive(Clone, Debug)]
pub(super) struct Sides {
    /// The number of the PRIMARY task set at the start, and what it runs.
    pub(super) blue: u64,
    pub(super) replaced: Arc<Revision>,
    /// The number of the replacement, once there is one.
    pub(super) green: Option<u64>,
    /// ARNs of target groups.
    pub(super) blue_group: String,
    pub(super) green_group: String,
    /// The rules that carry production traffic and test traffic.
    pub(super) production_rules: Vec<String>,
    pub(super) test_rules: Vec<String>,
}

impl Deployment {
    pub(super) fn is_active(&self) -> bool {
        self.completed_at.is_none()
    }

    pub(super) fn has_succeeded(&self) -> bool {
        self.status == Status::Succeeded
    }

    pub(super) fn is_reroute(&self) -> bool {
        matches!(self.work, Work::Reroute)
    }

    pub(super) fn target(&self) -> String {
        format!("{}:{}", self.cluster, self.service)
    }
}

impl CodeDeploy {
    /// The deployment that an input names.
    pub(super) fn deployment(&self, input: &Value) -> Result<&Deployment, ApiError> {
        let id = required(input, "deploymentId", "DeploymentIdRequired")?;
        check_id(id)?;
        self.deployments.values().find(|one| one.id == id).ok_or_else(|| {
            refused("DeploymentDoesNotExist", format!("The deployment {id} could not be found"))
        })
    }

    /// Its number, unless it has ended.
    fn active_deployment(&self, input: &Value) -> Result<&Deployment, ApiError> {
        let found = self.deployment(input)?;
        found.is_active().then_some(found).ok_or_else(|| {
            let status = found.status.word();
            refused(
                "DeploymentAlreadyCompleted",
                format!("The deployment {} is already complete: {status}", found.id),
            )
        })
    }
}

pub(super) fn check_id(id: &str) -> Result<(), ApiError> {
    if id.starts_with("d-") {
        return Ok(());
    }
    Err(refused("InvalidDeploymentId", format!("{id} is not a valid deployment ID.")))
}

impl State {
    pub(super) fn create_deployment(&mut self, input: &Value) -> Result<Value, ApiError> {
        let (application, name, group) = self.code_deploy.named_group(input)?;
        let spec = AppSpec::of_input(input)?;
        let config = text(input, "deploymentConfigName").unwrap_or(&group.config).to_owned();
        let strategy = self.code_deploy.config(&config)?.strategy;
        let mut plan = group.plan.clone();
        if given(input, "autoRollbackConfiguration").is_some() {
            plan.rollbacks = Rollbacks::read(input)?;
        }
        if let Some(alarms) = alarms(input, "overrideAlarmConfiguration")? {
            plan.alarms = alarms;
        }
        if let Some(active) = self.code_deploy.active(application, name) {
            let id = &active.id;
            return Err(refused(
                "DeploymentLimitExceeded",
                format!("The Deployment Group '{name}' already has an active Deployment '{id}'"),
            ));
        }
        let (cluster, service) = (group.cluster.clone(), group.service.clone());
        let now = self.now;
        let made = Deployment {
            number: 0,
            id: String::new(),
            application: application.to_owned(),
            group: name.to_owned(),
            cluster,
            service,
            config,
            strategy,
            plan,
            description: text(input, "description").map(str::to_owned),
            sha256: spec.sha256.clone(),
            work: Work::Deploy(spec),
            status: Status::Created,
            error: None,
            created_at: now,
            started_at: None,
            completed_at: None,
            updated_at: now,
            step: Step::Created,
            entered: 0,
            events: Vec::new(),
            called: None,
            sides: None,
            share: Share::NONE,
            stop: None,
            triggered_by: None,
            undone_by: None,
        };
        Ok(json!({"deploymentId": self.begin_deployment(made)}))
    }

    /// Gives a deployment its number and its id, and begins it; the id.
    pub(super) fn begin_deployment(&mut self, made: Deployment) -> String {
        let number = self.next_sequence();
        let id = self.new_deployment_id();
        let made = Deployment { number, id: id.clone(), ..made };
        self.code_deploy.deployments.insert(number, made);
        self.after(self.timings.code_deploy_step, Timer::CodeDeploy(number, 0));
        id
    }

    /// `d-` and nine letters or digits.
    fn new_deployment_id(&mut self) -> String {
        let letters = (0..9).map(|_| self.rng.alphanumeric().to_ascii_uppercase());
        format!("d-{}", letters.collect::<String>())
    }

    /// Answers at once, and acts a moment later.
    pub(super) fn stop_deployment(&mut self, input: &Value) -> Result<Value, ApiError> {
        let number = self.code_deploy.active_deployment(input)?.number;
        if let Some(found) = self.code_deploy.deployments.get_mut(&number) {
            found.stop = Some(Stop { rolls_back: flag(input, "autoRollbackEnabled") });
        }
        self.after(self.timings.code_deploy_step, Timer::CodeDeployStops(number));
        Ok(json!({"status": "Pending", "statusMessage": "Stopping the deployment"}))
    }

    pub(super) fn continue_deployment(&mut self, input: &Value) -> Result<Value, ApiError> {
        let found = self.code_deploy.active_deployment(input)?;
        let (number, step) = (found.number, found.step);
        match (text(input, "deploymentWaitType").unwrap_or("READY_WAIT"), step) {
            ("READY_WAIT", Step::ReadyWait) | ("TERMINATION_WAIT", Step::TerminationWait) => {
                self.leave_step(number);
                Ok(json!({}))
            }
            ("READY_WAIT", _) => Err(refused(
                "DeploymentIsNotInReadyState",
                "The deployment does not have a status of Ready and can't continue yet.",
            )),
            ("TERMINATION_WAIT", _) => Err(refused(
                "InvalidDeploymentStatus",
                "The deployment does not wait for the termination of the original task set.",
            )),
            _ => Err(refused("InvalidDeploymentWaitType", "The wait type is invalid.")),
        }
    }
}
