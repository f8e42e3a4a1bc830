//! How deployments end early, and the deployments that undo them; never a step of one that goes on.
//!
//! Source: reference page, sections 6.5 and 6.6.

use super::app_spec::AppSpec;
use super::course::unexpected;
use super::deployments::{Deployment, Sides, Status, Stop, Work};
use super::groups::Rollbacks;
use super::hooks::HookEnd;
use super::lifecycle::Step;
use crate::region::{ApiError, Share, State};

/// Why a deployment ends before it has succeeded.
#[derive(Clone, Debug)]
pub(super) enum Cause {
    /// StopDeployment, and what it said of a rollback.
    Stopped(Stop),
    /// Some of those that it watches are red.
    Alarms,
    /// Nobody called ContinueDeployment in time.
    NotContinued,
    /// The replacement did not become steady in time.
    Unsteady,
    NoService,
    /// The function of a hook.
    Hook(HookEnd),
    /// The listeners or target groups are not as they have to be.
    Balancer(String),
    /// By ECS.
    Refused(ApiError),
}

impl Cause {
    fn status(&self) -> Status {
        match self {
            Self::Stopped(_) | Self::Alarms | Self::NotContinued => Status::Stopped,
            Self::Unsteady
            | Self::NoService
            | Self::Hook(_)
            | Self::Balancer(_)
            | Self::Refused(_) => Status::Failed,
        }
    }

    /// `errorInformation`: its code and what it says.
    fn error(&self) -> (&'static str, String) {
        match self {
            Self::Stopped(_) => ("MANUAL_STOP", "The deployment was stopped by a user.".to_owned()),
            Self::Alarms => (
                "ALARM_ACTIVE",
                "One or more alarms have been activated according to the Amazon CloudWatch metrics \
                 you selected, and the affected deployments have been stopped."
                    .to_owned(),
            ),
            Self::NotContinued => (
                "TIMEOUT",
                "The deployment was not continued before its wait time was over.".to_owned(),
            ),
            Self::Unsteady => (
                "TIMEOUT",
                "The deployment timed out while waiting for the replacement task set to become \
                 healthy. This time out period is 60 minutes."
                    .to_owned(),
            ),
            Self::NoService => {
                ("INVALID_ECS_SERVICE", "The ECS service is not one that can be deployed.".to_owned())
            }
            // Which one, and why, is told of the lifecycle event alone.
            Self::Hook(_) => {
                ("HOOK_EXECUTION_FAILURE", "A hook of the deployment has failed.".to_owned())
            }
            Self::Balancer(why) => (
                "ELASTIC_LOAD_BALANCING_INVALID",
                format!("The ELB could not be updated due to the following error: {why}"),
            ),
            Self::Refused(error) => ("ECS_UPDATE_ERROR", unexpected(error)),
        }
    }

    /// What is told of the lifecycle event in which it happened.
    fn diagnosis(&self, found: &Deployment) -> Option<String> {
        let Self::Hook(end) = self else { return None };
        let function = found.function().unwrap_or_default();
        Some(match end {
            HookEnd::AnsweredFailed => format!("{function} answered Failed"),
            HookEnd::NotAnswered => format!("{function} did not answer within one hour"),
        })
    }

    fn is_undone(&self, rollbacks: &Rollbacks) -> bool {
        match self {
            Self::Stopped(said) => {
                said.rolls_back.unwrap_or(rollbacks.on("DEPLOYMENT_STOP_ON_REQUEST"))
            }
            Self::Alarms => rollbacks.on("DEPLOYMENT_STOP_ON_ALARM"),
            // The documentation calls it Stopped, and names no event for it.
            Self::NotContinued => false,
            _ => rollbacks.on("DEPLOYMENT_FAILURE"),
        }
    }
}

impl State {
    /// A deployment acts on StopDeployment.
    pub(crate) fn code_deploy_stops(&mut self, number: u64) {
        let found = self.code_deploy.deployments.get(&number).filter(|one| one.is_active());
        if let Some(said) = found.and_then(|one| one.stop) {
            self.end_early(number, &Cause::Stopped(said));
        }
    }

    /// Traffic stays as it is, unless the deployment is undone.
    pub(super) fn end_early(&mut self, number: u64, cause: &Cause) {
        let now = self.now;
        let Some(found) = self.code_deploy.deployments.get_mut(&number) else { return };
        found.status = cause.status();
        found.error = Some(cause.error());
        found.note_end(true, now);
        if let Some(diagnosis) = cause.diagnosis(found) {
            found.note_diagnosis(diagnosis);
        }
        found.step = Step::Ended;
        found.updated_at = now;
        found.completed_at = Some(now);
        found.started_at.get_or_insert(now);
        let is_rollback = found.triggered_by.is_some();
        if cause.is_undone(&found.plan.rollbacks) && !is_rollback {
            self.undo(number);
        }
    }

    /// Begins the deployment that undoes another one; what has changed nothing yet is left as it is.
    fn undo(&mut self, number: u64) {
        let Some(found) = self.code_deploy.deployments.get(&number) else { return };
        let Some(sides) = found.sides.clone() else { return };
        let Ok(spec) = AppSpec::again(&sides.replaced) else { return };
        let mut undoing = found.undoing(spec.sha256.clone(), self.now);
        if self.is_standing(number, &sides) {
            undoing.sides = Some(sides);
        } else {
            undoing.work = Work::Deploy(spec);
        }
        let id = self.begin_deployment(undoing);
        if let Some(found) = self.code_deploy.deployments.get_mut(&number) {
            found.undone_by = Some(id);
        }
    }

    /// Whether what was to be replaced is still there.
    fn is_standing(&self, number: u64, sides: &Sides) -> bool {
        let service = self.service_of_deployment(number).and_then(|id| self.services.get(&id));
        let blue = service.and_then(|service| service.task_set(sides.blue));
        blue.is_some_and(|set| !set.is_draining())
    }
}

impl Deployment {
    /// Back to what this deployment was about to replace. Alarms that are red because of it must not stop
    /// that.
    fn undoing(&self, sha256: String, now: jiff::Timestamp) -> Self {
        let mut plan = self.plan.clone();
        plan.alarms.clear();
        plan.ready = None;
        Self {
            plan,
            description: None,
            work: Work::Reroute,
            sha256,
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
            triggered_by: Some(self.id.clone()),
            undone_by: None,
            ..self.clone()
        }
    }
}
