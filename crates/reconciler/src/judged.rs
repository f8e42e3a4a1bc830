//! The last verdict on a service, and whether one that a pass says is another; never judges anything.

use evenkeel_planner::{ConditionKind, ConditionStatus, Outcome, Status, Verdict, VerdictStatus};

use crate::PassReport;

/// A verdict that was logged and counted.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) verdict: VerdictStatus,
    stage: Stage,
}

/// What became of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// As far as is known it is not written yet: passes say it again.
    Said,
    /// It is written.
    Stands,
    /// It is taken back, or its rollout was left before it was written: one that comes now is another.
    Over,
}

impl Judged {
    /// Takes in a pass whose look was up to date: one from the past shows neither that a verdict is written
    /// nor that it was taken back. Says whether the pass said a verdict that is to be logged and counted.
    pub(crate) fn takes_in(judged: &mut Option<Self>, report: &PassReport) -> bool {
        let Some(verdict) = &report.plan.verdict else {
            if let Some(judged) = judged {
                judged.stage = judged.stage_by(&report.status);
            }
            return false;
        };
        let before = judged.take().filter(|judged| judged.is_the_same_as(verdict));
        let is_written = report.outcome == Outcome::Done && !report.applied.is_empty();
        let said = before.as_ref().map_or(Stage::Said, |judged| judged.stage);
        let stage = if is_written { Stage::Stands } else { said };
        *judged = Some(Self { verdict: VerdictStatus::of(verdict), stage });
        before.is_none()
    }

    fn is_the_same_as(&self, verdict: &Verdict) -> bool {
        self.stage != Stage::Over && self.verdict.digest == verdict.digest
    }

    /// After a look at which no verdict is said.
    fn stage_by(&self, status: &Status) -> Stage {
        let digest = &self.verdict.digest;
        let is_wanted = status.wanted.as_ref() == Some(digest);
        let is_in_rollout = status.rollout.as_ref().is_some_and(|one| one.digest == *digest);
        let rejected = status.condition(ConditionKind::Rejected);
        let is_rejected = rejected.is_some_and(|one| one.status == ConditionStatus::True);
        match self.stage {
            _ if is_wanted && is_rejected => Stage::Stands,
            // Evidence comes and goes while a verdict is not written.
            Stage::Said if is_wanted || is_in_rollout => Stage::Said,
            // Whether it stands shows only while its content is wanted.
            Stage::Stands if !is_wanted => Stage::Stands,
            Stage::Said | Stage::Stands | Stage::Over => Stage::Over,
        }
    }
}
