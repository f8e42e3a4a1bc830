//! EventBridge-shaped events of what happens; never delivered from here.
//!
//! Source: `DG:ecs_task_events`, `DG:ecs_service_deployment_events`, `DG:ecs_service_events`.

use serde_json::{Value, json};

use super::service::{ServiceId, deployment_name};
use super::{State, TaskId};

/// Events that nobody takes are dropped beyond this, oldest half first.
const MOST: usize = 20_000;

impl State {
    fn emit(&mut self, kind: &str, resource: &str, detail: &Value) {
        if self.events.len() >= MOST {
            self.events.drain(..MOST / 2);
        }
        let id = self.new_uuid();
        self.events.push(json!({
            "version": "0",
            "id": id,
            "detail-type": kind,
            "source": "aws.ecs",
            "account": self.settings.account,
            "time": self.now.to_string(),
            "region": self.settings.region,
            "resources": [resource],
            "detail": detail,
        }));
    }

    /// `ECS Task State Change`; carries no healthStatus.
    pub(crate) fn emit_task(&mut self, id: TaskId) {
        if !self.events_wanted {
            return;
        }
        let Some(task) = self.tasks.get(&id) else { return };
        let mut detail = self.read_task(task, false, "eni");
        let arn = task.arn.clone();
        if let Some(detail) = detail.as_object_mut() {
            detail.remove("healthStatus");
            detail.remove("tags");
            detail.insert("updatedAt".to_owned(), json!(self.now.to_string()));
            let times = ["createdAt", "pullStartedAt", "pullStoppedAt", "startedAt", "stoppingAt"];
            for name in times.into_iter().chain(["executionStoppedAt", "stoppedAt"]) {
                if let Some(time) = detail.get_mut(name) {
                    *time = json!(iso(time));
                }
            }
            for container in
                detail.get_mut("containers").and_then(Value::as_array_mut).into_iter().flatten()
            {
                if let Some(container) = container.as_object_mut() {
                    container.remove("healthStatus");
                }
            }
        }
        self.emit("ECS Task State Change", &arn, &detail);
    }

    /// `ECS Deployment State Change`.
    pub(crate) fn emit_deployment(
        &mut self,
        service: ServiceId,
        deployment: u64,
        kind: &str,
        name: &str,
        reason: &str,
    ) {
        if !self.events_wanted {
            return;
        }
        let Some(arn) = self.services.get(&service).map(|service| service.arn.clone()) else {
            return;
        };
        let detail = json!({
            "eventType": kind,
            "eventName": name,
            "deploymentId": deployment_name(deployment),
            "updatedAt": self.now.to_string(),
            "reason": reason,
        });
        self.emit("ECS Deployment State Change", &arn, &detail);
    }

    /// `ECS Hook State Change`.
    pub(crate) fn emit_hook(
        &mut self,
        id: ServiceId,
        number: u64,
        run: &super::hooks::HookRun,
        name: &str,
    ) {
        if !self.events_wanted {
            return;
        }
        let Some(service) = self.services.get(&id) else { return };
        let Some(found) = service.rollouts.iter().rev().find(|one| one.id == number) else {
            return;
        };
        let bad = ["HOOK_FAILED", "HOOK_TIMED_OUT"].contains(&name);
        let read = run.read();
        let arn = service.arn.clone();
        let detail = json!({
            "eventType": if bad { "ERROR" } else { "INFO" },
            "eventName": name,
            "hookId": run.id,
            "hookType": read.get("targetType"),
            "expiresAt": read.get("expiresAt").map(iso),
            "lifecycleStage": found.shift.as_ref().map(|shift| shift.stage.word()),
            "clusterArn": self.ecs_arn(&format!("cluster/{}", service.cluster)),
            "serviceArn": service.arn,
            "serviceDeploymentArn": found.arn,
            "updatedAt": self.now.to_string(),
        });
        self.emit("ECS Hook State Change", &arn, &detail);
    }

    /// `ECS Service Action`.
    pub(crate) fn emit_service_action(
        &mut self,
        service: ServiceId,
        kind: &str,
        name: &str,
        reason: &str,
    ) {
        if !self.events_wanted {
            return;
        }
        let Some(service) = self.services.get(&service) else { return };
        let arn = service.arn.clone();
        let mut detail = json!({
            "eventType": kind,
            "eventName": name,
            "clusterArn": self.ecs_arn(&format!("cluster/{}", service.cluster)),
            "createdAt": self.now.to_string(),
        });
        if let Some(detail) = detail.as_object_mut().filter(|_| !reason.is_empty()) {
            detail.insert("reason".to_owned(), json!(reason));
        }
        self.emit("ECS Service Action", &arn, &detail);
    }
}

/// Events write times as text.
fn iso(seconds: &Value) -> String {
    let duration = seconds.as_f64().and_then(|s| jiff::SignedDuration::try_from_secs_f64(s).ok());
    let time = duration.and_then(|duration| jiff::Timestamp::from_duration(duration).ok());
    time.map(|time| time.to_string()).unwrap_or_default()
}
