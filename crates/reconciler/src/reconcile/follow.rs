//! One command of a person over one service: look, say what it writes, check, write; never more than
//! that, and never without the terms of a pass.

use evenkeel_manifest::{Service, ServiceKey};
use evenkeel_planner::{Action, Call, Command, Input, Observed, Order, Plan, tag};

use super::{act, observe_with};
use crate::orders::{Answer, Ask, Followed, NotFollowed, Pending, Reply};
use crate::permit::Permit;
use crate::unconfirmed::Unconfirmed;
use crate::{Cloud, LoopMetrics};

/// What commands are followed with.
pub(crate) struct Follower<'a, C> {
    pub(crate) cloud: &'a C,
    pub(crate) key: &'a ServiceKey,
    pub(crate) desired: Option<&'a Service>,
    pub(crate) instance: &'a str,
    pub(crate) permit: &'a Permit,
    pub(crate) metrics: &'a LoopMetrics,
}

const NO_GRANT: &str = "the configuration does not grant it (prune.clusters, prune.services), its last manifest said \
                        that it stays, or it was not listed yet";

impl<C: Cloud> Follower<'_, C> {
    /// Follows all that was asked, in its order; notes what it wrote and what is to be answered once the
    /// pass has shown what came of it.
    pub(crate) async fn follow_all(
        &self,
        asked: Vec<Pending>,
        known: &mut Unconfirmed,
        answers: &mut Vec<(Pending, Reply)>,
    ) {
        for pending in asked {
            let reply = match pending.ask() {
                None => continue,
                Some(Ask::History) => self.history().await,
                Some(Ask::Order(order)) => self.follow(order, known).await,
            };
            answers.push((pending, reply));
        }
    }

    async fn history(&self) -> Result<Answer, NotFollowed> {
        let next =
            |seen: Option<&Observed>| evenkeel_planner::questions_of_history(self.desired, seen);
        let (_, seen) = observe_with(self.cloud, self.key, next).await;
        let told = evenkeel_planner::history(&seen?);
        told.map(Answer::History).map_err(|refusal| NotFollowed::Refused(refusal.0))
    }

    async fn follow(&self, order: &Order, known: &mut Unconfirmed) -> Result<Answer, NotFollowed> {
        if self.desired.is_none() && self.permit.prune().is_none() {
            return Err(match order.command {
                Command::Prune => NotFollowed::Refused(NO_GRANT.to_owned()),
                _ => NotFollowed::Unmanaged,
            });
        }
        let next = |seen: Option<&Observed>| {
            evenkeel_planner::questions_of(&order.command, self.desired, seen)
        };
        let (looked_at, seen) = observe_with(self.cloud, self.key, next).await;
        let observed = seen?;
        let (key, desired, instance) = (self.key, self.desired, self.instance);
        let (now, drift) = (observed.at, &known.drift.clone());
        let input = Input { key, desired, observed: &observed, now, instance, drift };
        let obeyed = evenkeel_planner::obey(&input, order)
            .map_err(|refusal| NotFollowed::Refused(refusal.0))?;
        let mut plan = Plan::of_a_command(obeyed.actions);
        let changed = !plan.actions.is_empty();
        if order.command == Command::Retry {
            known.drift.heal_anew();
        }
        if known.hold(&mut plan, observed.service.known()) {
            let why = plan.waiting.pop().map(|wait| wait.sentence).unwrap_or_default();
            let when = "try again soon: that takes seconds as a rule, and six minutes at most";
            return Err(NotFollowed::Refused(format!("{why}; {when}")));
        }
        if let Err(broken) = evenkeel_planner::check_order(&plan.actions, &input) {
            let why = broken.join("; ");
            tracing::error!(service = %key, why, "command refused: it breaks a safety property");
            return Err(NotFollowed::Refused(format!("it breaks a safety property: {why}")));
        }
        let done = act(self.cloud, &input, &plan, self.permit, looked_at).await;
        if changed {
            *known = known.after_calls(
                &plan,
                &done.applied,
                done.error.as_ref(),
                observed.service.known(),
            );
        }
        if let Some(error) = done.error {
            return Err(NotFollowed::Failed(error));
        }
        if let Some(why) = done.withheld {
            return Err(NotFollowed::Withheld(why));
        }
        if is_a_verdict(&plan.actions) {
            self.metrics.rolled_back(evenkeel_planner::VerdictKind::Aborted);
        }
        Ok(Answer::Followed(Followed { changed, sentence: obeyed.sentence }))
    }
}

/// Whether a person's word rejects something: an undo may also put back what the manifest wants.
fn is_a_verdict(actions: &[Action]) -> bool {
    let rejects = |call: &Call| matches!(call, Call::TagResource { tags, .. } if tags.contains_key(tag::REJECTED));
    actions.iter().any(|action| rejects(&action.call))
}

#[cfg(test)]
mod tests {
    use evenkeel_planner::Lane;

    use super::*;

    #[test]
    fn an_undo_that_rejects_nothing_is_told_as_no_rollback() {
        for (key, is_one) in [(tag::REJECTED, true), (tag::DIGEST, false)] {
            let tags = [(key.to_owned(), "v1:x".to_owned())].into();
            let call = Call::TagResource { arn: "arn".to_owned(), tags };
            let action = Action { call, lane: Lane::Person, why: String::new() };
            assert_eq!(is_a_verdict(&[action]), is_one, "{key}");
        }
        assert!(!is_a_verdict(&[]));
    }
}
