//! The steps of a deployment, in order; never what is done in one.
//!
//! Source: reference page, section 6.1.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::deployments::Deployment;
use crate::region::{Share, epoch};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Created,
    BeforeInstall,
    Install,
    AfterInstall,
    AllowTestTraffic,
    AfterAllowTestTraffic,
    ReadyWait,
    BeforeAllowTraffic,
    AllowTraffic,
    AfterAllowTraffic,
    TerminationWait,
    Terminate,
    Ended,
}

/// Those that are told of as lifecycle events.
const EVENTS: [(Step, &str); 8] = [
    (Step::BeforeInstall, "BeforeInstall"),
    (Step::Install, "Install"),
    (Step::AfterInstall, "AfterInstall"),
    (Step::AllowTestTraffic, "AllowTestTraffic"),
    (Step::AfterAllowTestTraffic, "AfterAllowTestTraffic"),
    (Step::BeforeAllowTraffic, "BeforeAllowTraffic"),
    (Step::AllowTraffic, "AllowTraffic"),
    (Step::AfterAllowTraffic, "AfterAllowTraffic"),
];

/// A lifecycle event that has begun.
#[derive(Clone, Debug)]
pub(super) struct Event {
    step: Step,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
    has_failed: bool,
    /// What is told of its failure.
    diagnosis: Option<String>,
}

impl Step {
    /// Its name as a lifecycle event.
    pub(super) fn name(self) -> Option<&'static str> {
        EVENTS.iter().find(|(step, _)| *step == self).map(|(_, name)| *name)
    }

    /// The event of that name, if a function can be called in it.
    pub(super) fn scriptable(name: &str) -> Option<Self> {
        let found = EVENTS.iter().find(|(_, known)| *known == name)?;
        (found.1.starts_with("Before") || found.1.starts_with("After")).then_some(found.0)
    }
}

impl Deployment {
    pub(super) fn next(&self) -> Step {
        match self.step {
            Step::Created if self.is_reroute() => Step::AllowTraffic,
            Step::AllowTraffic if self.is_reroute() => Step::Terminate,
            Step::Created => Step::BeforeInstall,
            Step::BeforeInstall => Step::Install,
            Step::Install => Step::AfterInstall,
            Step::AfterInstall if self.plan.test.is_some() => Step::AllowTestTraffic,
            Step::AllowTestTraffic => Step::AfterAllowTestTraffic,
            Step::AfterInstall | Step::AfterAllowTestTraffic if self.plan.ready.is_some() => {
                Step::ReadyWait
            }
            Step::AfterInstall | Step::AfterAllowTestTraffic | Step::ReadyWait => {
                Step::BeforeAllowTraffic
            }
            Step::BeforeAllowTraffic => Step::AllowTraffic,
            Step::AllowTraffic if self.share < Share::ALL => Step::AllowTraffic,
            Step::AllowTraffic => Step::AfterAllowTraffic,
            Step::AfterAllowTraffic => Step::TerminationWait,
            Step::TerminationWait => Step::Terminate,
            Step::Terminate | Step::Ended => Step::Ended,
        }
    }

    /// Notes that a step has begun.
    pub(super) fn note_step(&mut self, step: Step, now: Timestamp) {
        let is_new = self.step != step;
        if is_new {
            self.note_end(false, now);
        }
        if is_new && step.name().is_some() {
            let event =
                Event { step, started_at: now, ended_at: None, has_failed: false, diagnosis: None };
            self.events.push(event);
        }
        self.step = step;
        self.entered += 1;
        self.updated_at = now;
    }

    /// Whether the event of a step has begun.
    pub(super) fn has_begun(&self, step: Step) -> bool {
        self.events.iter().any(|event| event.step == step)
    }

    /// Notes that the event in which it is has ended.
    pub(super) fn note_end(&mut self, has_failed: bool, now: Timestamp) {
        if let Some(event) = self.events.last_mut().filter(|event| event.ended_at.is_none()) {
            event.ended_at = Some(now);
            event.has_failed = has_failed;
        }
    }

    /// Notes what is told of the failure of the event that ended last.
    pub(super) fn note_diagnosis(&mut self, diagnosis: String) {
        if let Some(event) = self.events.last_mut() {
            event.diagnosis = Some(diagnosis);
        }
    }

    /// `lifecycleEvents[]`.
    pub(super) fn read_events(&self) -> Value {
        let test = [Step::AllowTestTraffic, Step::AfterAllowTestTraffic];
        let is_planned = |step: Step| {
            let is_there = if self.is_reroute() { step == Step::AllowTraffic } else { true };
            is_there && (self.plan.test.is_some() || !test.contains(&step))
        };
        let planned = EVENTS.iter().filter(|(step, _)| is_planned(*step));
        planned.map(|(step, name)| self.read_event(*step, name)).collect()
    }

    fn read_event(&self, step: Step, name: &str) -> Value {
        let Some(event) = self.events.iter().find(|event| event.step == step) else {
            let status = if self.is_active() { "Pending" } else { "Skipped" };
            return json!({"lifecycleEventName": name, "status": status});
        };
        let status = match (event.ended_at, event.has_failed) {
            (None, _) => "InProgress",
            (Some(_), true) => "Failed",
            (Some(_), false) => "Succeeded",
        };
        let mut read = json!({
            "lifecycleEventName": name,
            "status": status,
            "startTime": epoch(event.started_at),
        });
        if let (Some(at), Some(read)) = (event.ended_at, read.as_object_mut()) {
            read.insert("endTime".to_owned(), epoch(at));
            if let Some(message) = &event.diagnosis {
                let diagnostics = json!({"errorCode": "UnknownError", "message": message});
                read.insert("diagnostics".to_owned(), diagnostics);
            }
        }
        read
    }
}
