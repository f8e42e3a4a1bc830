//! Hooks that run in a stage of a deployment, and their answers; never what the stage does.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::breaker::Cause;
use super::input::{epoch, invalid, required, text};
use super::service::ServiceId;
use super::strategy::{Hook, HookAction, HookTarget, Stage};
use super::{ApiError, State, Timer};

/// One hook in one stage.
#[derive(Clone, Debug)]
pub(crate) struct HookRun {
    /// `ecs-pause-…`, new in each stage and step.
    pub(crate) id: String,
    hook: Hook,
    status: HookStatus,
    expires_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HookStatus {
    AwaitingAction,
    InProgress,
    Succeeded,
    Failed,
    TimedOut,
}

impl HookStatus {
    fn word(self) -> &'static str {
        match self {
            Self::AwaitingAction => "AWAITING_ACTION",
            Self::InProgress => "IN_PROGRESS",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
        }
    }
}

impl HookRun {
    fn is_open(&self) -> bool {
        matches!(self.status, HookStatus::AwaitingAction | HookStatus::InProgress)
    }

    /// `lifecycleHookDetails[]` of DescribeServiceDeployments.
    pub(crate) fn read(&self) -> Value {
        let (kind, arn) = match &self.hook.target {
            HookTarget::Lambda(arn) => ("AWS_LAMBDA", Some(arn)),
            HookTarget::Pause => ("PAUSE", None),
        };
        let action = match self.hook.on_timeout {
            HookAction::Rollback => "ROLLBACK",
            HookAction::Continue => "CONTINUE",
        };
        let mut read = json!({
            "hookId": self.id,
            "targetType": kind,
            "status": self.status.word(),
            "expiresAt": epoch(self.expires_at),
            "timeoutAction": action,
        });
        if let (Some(read), Some(arn)) = (read.as_object_mut(), arn) {
            read.insert("targetArn".to_owned(), json!(arn));
        }
        read
    }
}

impl State {
    /// Starts the hooks of a stage; whether there are any.
    pub(crate) fn start_hooks(&mut self, id: ServiceId, number: u64, stage: Stage) -> bool {
        let hooks = self.shift(id, number).map(|shift| shift.hooks_of(stage)).unwrap_or_default();
        let mut runs = Vec::new();
        for hook in hooks {
            let (kind, status) = match hook.target {
                HookTarget::Lambda(_) => ("lambda", HookStatus::InProgress),
                HookTarget::Pause => ("pause", HookStatus::AwaitingAction),
            };
            let run = HookRun {
                id: format!("ecs-{kind}-{}", self.new_hex16()),
                status,
                expires_at: self.now + hook.timeout,
                hook,
            };
            self.timers.add(run.expires_at, Timer::HookExpires(id, number, run.id.clone()));
            if status == HookStatus::InProgress {
                let answered = Timer::HookAnswers(id, number, run.id.clone());
                self.after(self.timings.lambda_hook, answered);
            } else {
                self.emit_hook(id, number, &run, "HOOK_AWAITING_ACTION");
            }
            runs.push(run);
        }
        let any = !runs.is_empty();
        if let Some(shift) = self.shift_mut(id, number) {
            shift.runs = runs;
        }
        any
    }

    /// A function of a hook said that all is well.
    pub(crate) fn hook_answers(&mut self, id: ServiceId, number: u64, hook: &str) {
        self.end_hook(id, number, hook, HookStatus::Succeeded, None);
    }

    pub(crate) fn hook_expires(&mut self, id: ServiceId, number: u64, hook: &str) {
        let Some(run) = self.open_hook(id, number, hook) else { return };
        let kind = if run.hook.target == HookTarget::Pause { "pause" } else { "lifecycle" };
        let stage = self.shift(id, number).map_or("", |shift| shift.stage.word());
        let reason = format!("{stage} {kind} hook timed out.");
        let failed = (run.hook.on_timeout == HookAction::Rollback).then_some(reason);
        self.end_hook(id, number, hook, HookStatus::TimedOut, failed);
    }

    fn open_hook(&self, id: ServiceId, number: u64, hook: &str) -> Option<&HookRun> {
        let found = self.services.get(&id)?.rollouts.iter().rev().find(|one| one.id == number)?;
        let shift = found.shift.as_ref().filter(|_| found.status.is_under_way())?;
        shift.runs.iter().find(|run| run.id == hook && run.is_open())
    }

    fn end_hook(
        &mut self,
        id: ServiceId,
        number: u64,
        hook: &str,
        status: HookStatus,
        failed: Option<String>,
    ) {
        if self.open_hook(id, number, hook).is_none() {
            return;
        }
        let Some(shift) = self.shift_mut(id, number) else { return };
        let Some(run) = shift.runs.iter_mut().find(|run| run.id == hook) else { return };
        run.status = status;
        let (run, all_ended) = (run.clone(), shift.runs.iter().all(|run| !run.is_open()));
        let name = match status {
            HookStatus::TimedOut => "HOOK_TIMED_OUT",
            HookStatus::Failed => "HOOK_FAILED",
            _ => "HOOK_SUCCEEDED",
        };
        self.emit_hook(id, number, &run, name);
        match failed {
            Some(reason) => self.fail_deployment(id, &Cause::Stage(reason), true),
            None if all_ended => self.work(id, number),
            None => {}
        }
    }

    pub(crate) fn continue_service_deployment(&mut self, input: &Value) -> Result<Value, ApiError> {
        let arn = required(input, "serviceDeploymentArn")?.to_owned();
        let hook = required(input, "hookId")?.to_owned();
        if hook.splitn(3, '-').filter(|part| !part.is_empty()).count() < 3
            || !hook.starts_with("ecs-")
        {
            return Err(invalid(
                "Invalid hookId: hookId must follow the format: ecs-{hookType}-{id}",
            ));
        }
        let (service, found) =
            self.service_deployment(&arn).ok_or_else(super::service_deployment::missing)?;
        let (id, number) = (service.id, found.id);
        if found.status.is_terminal() {
            return Err(invalid(
                "Continuing a service deployment is not allowed for service deployment in \
                 terminal states.",
            ));
        }
        let waits = self
            .open_hook(id, number, &hook)
            .is_some_and(|run| run.status == HookStatus::AwaitingAction);
        if !waits {
            return Err(invalid(
                "Provided hookId is either completed, unavailable, or not associated with the \
                 given Resource ARN",
            ));
        }
        let stage = self.shift(id, number).map_or("", |shift| shift.stage.word());
        match text(input, "action").unwrap_or("CONTINUE") {
            "CONTINUE" => self.end_hook(id, number, &hook, HookStatus::Succeeded, None),
            "ROLLBACK" => {
                let reason = format!("{stage} lifecycle hook(s) failed. Rollback was requested.");
                self.end_hook(id, number, &hook, HookStatus::Failed, Some(reason));
            }
            other => return Err(invalid(format!("Invalid action: {other}"))),
        }
        Ok(json!({"serviceDeploymentArn": arn}))
    }
}
