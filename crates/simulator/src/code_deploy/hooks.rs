//! The functions that deployments call at their lifecycle events, by what they answer; never runs one.
//!
//! Source: reference page, section 6.1; `PutLifecycleEventHookExecutionStatus` API reference.

use std::time::Duration;

use serde_json::{Value, json};

use super::deployments::{Deployment, Work, check_id};
use super::ends::Cause;
use super::lifecycle::Step;
use super::{CodeDeploy, refused, required};
use crate::region::{ApiError, State, text};

/// What a function does when a hook calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookFunction {
    /// Answers `Succeeded` after so long, or after the time that functions usually take.
    Passes(Option<Duration>),
    /// Answers `Failed` after so long.
    Fails(Option<Duration>),
    /// Never answers.
    Hangs,
}

/// How the call of a function ended the deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HookEnd {
    AnsweredFailed,
    NotAnswered,
}

impl CodeDeploy {
    /// From now on a function does this; one that nobody scripted passes. By the text that an `AppSpec` names it by.
    pub(crate) fn script(&mut self, function: &str, does: HookFunction) {
        self.functions.insert(function.to_owned(), does);
    }

    /// Calls the function of the step in which a deployment is, if it has one.
    pub(super) fn call_function(&mut self, number: u64) {
        let Some(found) = self.deployments.get_mut(&number) else { return };
        let does = |function| self.functions.get(function).copied();
        let usual = HookFunction::Passes(None);
        found.called = found.function().map(|function| does(function).unwrap_or(usual));
    }
}

impl Deployment {
    /// The function that is called in the step in which it is.
    pub(super) fn function(&self) -> Option<&str> {
        let Work::Deploy(spec) = &self.work else { return None };
        let found = spec.hooks.iter().find(|(step, _)| *step == self.step)?;
        Some(&found.1)
    }

    /// The id by which the call of a function is answered. AWS tells it to the function alone, and means nothing by its
    /// text; here it is `d-A1B2C3D4E:BeforeAllowTraffic`, so that a person can answer.
    fn hook_execution(&self, step: Step) -> Option<String> {
        Some(format!("{}:{}", self.id, step.name()?))
    }

    /// The step whose function was called with that id; none before it is.
    fn called_as(&self, execution: &str) -> Option<Step> {
        let Work::Deploy(spec) = &self.work else { return None };
        let steps = spec.hooks.iter().map(|(step, _)| *step);
        let mut called = steps.filter(|step| self.has_begun(*step));
        called.find(|step| self.hook_execution(*step).as_deref() == Some(execution))
    }
}

impl State {
    /// How long the call of the function takes, at most.
    pub(super) fn time_of_call(&self, does: HookFunction) -> Duration {
        match does {
            HookFunction::Passes(after) | HookFunction::Fails(after) => {
                after.unwrap_or(self.timings.lambda_hook)
            }
            HookFunction::Hangs => self.timings.code_deploy_hook,
        }
    }

    /// The function of the step in which a deployment is has answered, or its time is over.
    pub(super) fn code_deploy_answers(&mut self, number: u64, does: HookFunction) {
        match does {
            HookFunction::Passes(_) => self.leave_step(number),
            HookFunction::Fails(_) => self.fail_hook(number, HookEnd::AnsweredFailed),
            HookFunction::Hangs => self.fail_hook(number, HookEnd::NotAnswered),
        }
    }

    fn fail_hook(&mut self, number: u64, end: HookEnd) {
        self.end_early(number, &Cause::Hook(end));
    }

    pub(super) fn put_lifecycle_event_hook_execution_status(
        &mut self,
        input: &Value,
    ) -> Result<Value, ApiError> {
        check_id(required(input, "deploymentId", "DeploymentIdRequired")?)?;
        let found = self.code_deploy.deployment(input)?;
        let execution = text(input, "lifecycleEventHookExecutionId").unwrap_or_default();
        let step = found.called_as(execution).ok_or_else(|| {
            refused(
                "InvalidLifecycleEventHookExecutionId",
                format!("{execution} is not the execution of a hook of {}.", found.id),
            )
        })?;
        let passes = match text(input, "status") {
            Some("Succeeded") => true,
            Some("Failed") => false,
            _ => {
                return Err(refused(
                    "InvalidLifecycleEventHookExecutionStatus",
                    "The status must be Succeeded or Failed.",
                ));
            }
        };
        if !found.is_active() || found.step != step {
            return Err(refused(
                "LifecycleEventAlreadyCompleted",
                format!("The lifecycle event of {execution} is already complete."),
            ));
        }
        let number = found.number;
        if passes {
            self.leave_step(number);
        } else {
            self.fail_hook(number, HookEnd::AnsweredFailed);
        }
        Ok(json!({"lifecycleEventHookExecutionId": execution}))
    }
}
