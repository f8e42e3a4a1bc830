//! What follows from a pass that ended: status, log, metrics and the next pass; never starts one.

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;

use evenkeel_manifest::{OnFailure, ServiceKey};
use evenkeel_planner::{
    ConditionKind, ConditionStatus, Status, VerdictKind, VerdictStatus, WaitReason,
};
use jiff::Timestamp;
use tokio::task::JoinError;

use super::{ControlLoop, Pass};
use crate::delay::{Circumstances, PassEnd, next_delay};
use crate::judged::Judged;
use crate::roster::RolloutSeen;
use crate::unconfirmed::Unconfirmed;
use crate::{Cloud, PassReport, Shutdown, Urgency, unplanned};

impl<C: Cloud> ControlLoop<C> {
    pub(super) fn pass_ended(&mut self, key: &Arc<ServiceKey>, mut pass: Result<Pass, JoinError>) {
        self.queue.done(key);
        let took = pass.as_ref().ok().map(|pass| pass.took);
        let (followed, answers) = match &mut pass {
            Ok(pass) => (pass.followed.take(), std::mem::take(&mut pass.answers)),
            Err(_) => (None, Vec::new()),
        };
        self.note_calls(key, followed.map(|known| *known));
        let end = match pass {
            Ok(Pass { report: Some(report), .. }) => {
                let (report, known) = *report;
                self.reported(key, report, known)
            }
            Ok(Pass { report: None, .. }) => self.timed_out(key),
            Err(error) => self.panicked(key, error),
        };
        for (pending, reply) in answers {
            pending.answer(reply);
        }
        self.places.pass_ended(&end, took.unwrap_or_default());
        self.metrics.pass_ended(&end, took);
        self.plan_next(key, &end);
    }

    /// `known` is `None` when the look was from the past.
    fn reported(
        &mut self,
        key: &ServiceKey,
        report: PassReport,
        known: Option<Unconfirmed>,
    ) -> PassEnd {
        let end = PassEnd::of(&report, known.is_none());
        self.log_waiting(key, &report);
        log_unreadable(key, &report);
        let is_seen = report.saw_the_service();
        if is_seen {
            // What is said on a look from the past is not done, and is said again on the next one.
            if known.is_some() {
                self.note_verdict(key, &report);
            }
            self.note_rollout(key, &report.status, known.is_some());
            self.note_calls(key, known);
            if self.roster.saw(key) {
                self.metrics.resync_completed(Timestamp::now());
            }
        }
        let before = self.board.get(key).filter(|_| !is_seen);
        // A status that no look stands behind has less to say than this one.
        let status = match before.filter(|before| before.wanted.is_some()) {
            Some(before) => unplanned::not_seen(&before, &report.status),
            None => self.explained(key, report.status),
        };
        self.publish(status);
        end
    }

    /// A status of what stands rejected, with the words in which it was: only the pass that rejects it has them.
    fn explained(&self, key: &ServiceKey, mut status: Status) -> Status {
        let rejected = status.condition(ConditionKind::Rejected);
        let rejected = rejected.filter(|one| one.status == ConditionStatus::True);
        if let Some(rejected) = rejected.filter(|_| status.verdict.is_none()) {
            // A person may have rejected it since, after a retry: those were other words.
            let is_it = |judged: &&VerdictStatus| {
                status.wanted.as_ref() == Some(&judged.digest)
                    && format!("{:?}", judged.kind) == rejected.reason
            };
            let judged = self.roster.note(key).and_then(|note| note.judged.as_ref());
            let verdict = judged.map(|judged| &judged.verdict);
            status.verdict = verdict.filter(is_it).cloned().map(Box::new);
        }
        status
    }

    fn timed_out(&mut self, key: &ServiceKey) -> PassEnd {
        let limit = self.settings.pass_timeout;
        let why = format!("a pass did not end within {} s and was cancelled", limit.as_secs());
        tracing::warn!(service = %key, why, "pass cancelled; what it wrote last is read next");
        self.publish_interrupted(key, "PassTimedOut", &why);
        PassEnd::TimedOut
    }

    fn panicked(&mut self, key: &ServiceKey, error: JoinError) -> PassEnd {
        let why = match error.try_into_panic() {
            Ok(payload) => format!("a pass panicked: {}", panic_message(&*payload)),
            Err(error) => format!("a pass was cancelled: {error}"),
        };
        tracing::error!(service = %key, why, "pass panicked; this is a defect of Evenkeel");
        self.publish_interrupted(key, "PassPanicked", &why);
        PassEnd::Panicked
    }

    fn publish_interrupted(&self, key: &ServiceKey, reason: &'static str, why: &str) {
        let before = self.board.get(key);
        self.publish(unplanned::interrupted(key, before.as_deref(), reason, why));
    }

    /// One line when what a service waits for changes, not one for every look.
    fn log_waiting(&self, key: &ServiceKey, report: &PassReport) {
        let before = self.board.get(key);
        let before: BTreeSet<WaitReason> =
            before.iter().flat_map(|status| &status.waiting).map(|wait| wait.reason).collect();
        for wait in &report.plan.waiting {
            let until = wait.until.map(tracing::field::display);
            let digest = report.status.wanted.as_ref().map(tracing::field::display);
            if before.contains(&wait.reason) {
                tracing::debug!(service = %key, digest, until, why = wait.sentence, "still waiting");
            } else if wait.reason == WaitReason::NotPermitted {
                tracing::warn!(service = %key, digest, why = wait.sentence, "left out");
            } else if wait.reason == WaitReason::Unverified {
                tracing::warn!(service = %key, digest, why = wait.sentence, "not verified");
            } else {
                tracing::info!(service = %key, digest, until, why = wait.sentence, "waiting");
            }
        }
        if report.plan.waiting.is_empty() && report.applied.is_empty() && report.error.is_none() {
            tracing::debug!(service = %key, "settled");
        }
    }

    /// A verdict is in every plan until a look shows that it is written; it is said and counted once.
    fn note_verdict(&mut self, key: &ServiceKey, report: &PassReport) {
        let Some(note) = self.roster.note_mut(key) else { return };
        let is_new = Judged::takes_in(&mut note.judged, report);
        let Some(verdict) = report.plan.verdict.as_ref().filter(|_| is_new) else { return };
        let deployment = report.status.rollout.as_ref().and_then(|r| r.deployment.as_deref());
        tracing::warn!(
            service = %key,
            digest = %verdict.digest,
            deployment,
            verdict = ?verdict.kind,
            why = verdict.sentence,
            "revision rejected"
        );
        let desired = self.current.services.get(key);
        let holds = desired.is_some_and(|s| s.rollout.breaker.on_failure == OnFailure::Hold);
        let is_back = [VerdictKind::RolledBackByEcs, VerdictKind::RolledBackByCodeDeploy];
        if !holds || is_back.contains(&verdict.kind) {
            self.metrics.rolled_back(verdict.kind);
        }
    }

    /// A look that is up to date confirms all calls before it.
    fn note_calls(&mut self, key: &ServiceKey, known: Option<Unconfirmed>) {
        if let (Some(known), Some(note)) = (known, self.roster.note_mut(key)) {
            note.unconfirmed = known;
        }
    }

    /// A look from the past neither begins nor ends a rollout.
    fn note_rollout(&mut self, key: &ServiceKey, status: &Status, is_up_to_date: bool) {
        let Some(note) = self.roster.note_mut(key) else { return };
        note.in_rollout = status.rollout.is_some();
        if !is_up_to_date {
            return;
        }
        let before = note.rollout.take();
        if let Some(shown) = &status.rollout {
            note.rollout = RolloutSeen::after(before, shown);
        } else if let Some(before) = before {
            let took = status.observed_at.duration_since(before.began).unsigned_abs();
            self.metrics.rollout_ended(rollout_result(status), took);
        }
    }

    fn plan_next(&mut self, key: &Arc<ServiceKey>, end: &PassEnd) {
        let (now, dice) = (self.roster.elapsed(), self.roster.dice(key));
        let Some(note) = self.roster.note_mut(key) else { return };
        note.failures = if end.is_failure() { note.failures.saturating_add(1) } else { 0 };
        let (failures, in_rollout, leaving) = (note.failures, note.in_rollout, note.leaving);
        if leaving && matches!(end, PassEnd::Settled | PassEnd::Waiting(_)) {
            let goes_on = matches!(end, PassEnd::Waiting(_)) && self.prune_terms(key).is_some();
            if !goes_on {
                self.orphans.forget(key);
                return self.leave(key);
            }
        }
        let urgency = if in_rollout { Urgency::Urgent } else { Urgency::Ordinary };
        let circumstances = Circumstances {
            failures,
            in_rollout,
            resync_in: self.roster.resync_in(key),
            now,
            dice,
            settings: &self.settings,
        };
        let delay = next_delay(end, circumstances);
        self.queue.add(key.clone(), delay, urgency);
    }

    pub(super) fn leave(&mut self, key: &ServiceKey) {
        tracing::info!(service = %key, "no manifest names it any more; it is not looked at again");
        self.roster.forget(key);
        self.board.remove(key);
    }

    /// Lets running passes finish, or cancels them when that is asked for.
    pub(super) async fn drain(&mut self, shutdown: &Shutdown) {
        loop {
            tokio::select! {
                biased;
                // Cancel-safe: a cancelled token stays cancelled.
                () = shutdown.abort.cancelled() => break,
                // Cancel-safe: a result leaves the map only together with being returned.
                ended = self.passes.join_next() => match ended {
                    Some((key, pass)) => self.pass_ended(&key, pass),
                    None => return,
                },
            }
        }
        for key in self.passes.keys() {
            tracing::warn!(service = %key, "pass cancelled by shutdown; the next start reads first");
        }
        self.passes.shutdown().await;
    }
}

fn log_unreadable(key: &ServiceKey, report: &PassReport) {
    if let (Some(error), false) = (&report.error, report.saw_the_service()) {
        let class = error.class();
        tracing::warn!(service = %key, error = %error, class, "could not look; nothing was done");
    }
}

fn rollout_result(status: &Status) -> &'static str {
    let judged_bad = |condition: &evenkeel_planner::Condition| {
        matches!(condition.kind, ConditionKind::Rejected | ConditionKind::RolledBack)
            && condition.status == ConditionStatus::True
    };
    if status.conditions.iter().any(judged_bad) { "rejected" } else { "completed" }
}

fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
