//! Leave to write, asked for immediately before each call; never looks, plans or decides what to do.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_manifest::{Service, ServiceKey};
use evenkeel_planner::{Action, Applied, PruneTerms};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::desired::same_content;
use crate::lease::{LeaseTimes, PassLease};
use crate::{Cloud, CloudError, DesiredState};

/// Why the rest of a plan was not carried out although nothing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Withheld {
    /// What the manifests want of the service has changed since the pass began.
    Superseded,
    /// The look behind the plan is older than [`crate::LoopSettings::look_age_max`].
    LookExpired,
    /// What is left of the lease does not cover a call, so that another replica could be writing
    /// before it is over.
    LeaseLost,
}

impl Withheld {
    /// One word for metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Superseded => "superseded",
            Self::LookExpired => "look_expired",
            Self::LeaseLost => "lease_lost",
        }
    }

    /// A sentence for people.
    pub fn message(self) -> &'static str {
        match self {
            Self::Superseded => {
                "the manifest has changed since this pass began; it is looked at again with the \
                 new content"
            }
            Self::LookExpired => "the look is too old to write on; it is looked at again at once",
            Self::LeaseLost => {
                "the lease on this cluster's services may end before a call does; nothing is \
                 written without it"
            }
        }
    }
}

/// Everything that leave to write depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grounds {
    /// Whether what was planned from is still wanted.
    pub is_in_force: bool,
    /// How long ago the look began.
    pub look_age: Duration,
    pub look_age_max: Duration,
    /// What is left of the lease, and its times; `None` when only one replica runs.
    pub lease: Option<(Duration, LeaseTimes)>,
}

impl Grounds {
    /// Whether a write may be sent now.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn permit(&self) -> Result<(), Withheld> {
        if !self.is_in_force {
            return Err(Withheld::Superseded);
        }
        if self.look_age > self.look_age_max {
            return Err(Withheld::LookExpired);
        }
        match self.lease {
            Some((left, times)) if !times.covers_a_write(left) => Err(Withheld::LeaseLost),
            Some(_) | None => Ok(()),
        }
    }
}

/// How one call ended, or why it was not made.
pub(crate) type CarriedOut = Result<Result<Applied, CloudError>, Withheld>;

/// Under which conditions a pass may write.
#[derive(Debug)]
pub(crate) struct Permit {
    /// `None` asks for nothing: of a pass that a person waits for.
    terms: Option<Terms>,
}

/// All that must hold when a call is sent.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) in_force: InForce,
    pub(crate) look_age_max: Duration,
    /// `None` when only one replica runs.
    pub(crate) lease: Option<PassLease>,
    /// Of a service that no manifest names, if it may go.
    pub(crate) prune: Option<PruneTerms>,
}

/// What a pass was begun with, and what is wanted now.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) key: Arc<ServiceKey>,
    pub(crate) planned: Option<Arc<Service>>,
    pub(crate) newest: watch::Receiver<Arc<DesiredState>>,
}

impl InForce {
    fn is_unchanged(&self) -> bool {
        let newest = self.newest.borrow();
        match (&self.planned, newest.services.get(&*self.key)) {
            (Some(planned), Some(newest)) => same_content(planned, newest),
            (None, None) => !newest.invalid.contains_key(&*self.key),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// Whether it is still known that no manifest names the service.
    fn is_gone(&self) -> bool {
        self.newest.borrow().is_whole().is_ok()
    }
}

impl Terms {
    fn ask(&self, looked_at: Instant) -> Result<(), Withheld> {
        let grounds = Grounds {
            is_in_force: self.in_force.is_unchanged()
                && (self.prune.is_none() || self.in_force.is_gone()),
            look_age: looked_at.elapsed(),
            look_age_max: self.look_age_max,
            lease: self.lease.as_ref().map(|lease| (lease.left(), lease.times())),
        };
        grounds.permit()
    }

    /// Ends when there is no use in waiting for a call any longer: when the look has expired
    /// before it was sent, or its deadline after.
    async fn overdue(
        &self,
        looked_at: Instant,
        mut sent: watch::Receiver<Option<Instant>>,
        action: &Action,
    ) -> CarriedOut {
        let is_sent = sent.wait_for(Option::is_some);
        let sent_at = match timeout_at(looked_at + self.look_age_max, is_sent).await {
            Ok(Ok(sent_at)) => *sent_at,
            Ok(Err(_)) | Err(_) => None,
        };
        match (sent_at, &self.lease) {
            (None, _) => Err(Withheld::LookExpired),
            (Some(_), None) => std::future::pending().await,
            (Some(at), Some(lease)) => {
                let limit = lease.write_deadline();
                sleep_until(at + limit).await;
                Ok(Err(given_up(action, limit)))
            }
        }
    }
}

impl Permit {
    pub(crate) fn unconditional() -> Self {
        Self { terms: None }
    }

    /// How a service goes that no manifest names; `None` when it does not.
    pub(crate) fn prune(&self) -> Option<&PruneTerms> {
        self.terms.as_ref()?.prune.as_ref()
    }

    pub(crate) fn under(terms: Terms) -> Self {
        Self { terms: Some(terms) }
    }

    /// Makes the call if that may be done when all waiting for its turn is over. `looked_at` is
    /// when the look began that the action was planned from.
    ///
    /// Under a lease the call is given up after its write deadline, so that it takes effect within
    /// the lease or, if AWS is slower than that, is followed by a read.
    pub(crate) async fn carry_out<C: Cloud>(
        &self,
        cloud: &C,
        key: &ServiceKey,
        action: &Action,
        looked_at: Instant,
    ) -> CarriedOut {
        let Some(terms) = &self.terms else { return Ok(cloud.apply(key, action).await) };
        let (sent, is_sent) = watch::channel(None);
        let (refused, is_refused) = watch::channel(Withheld::LookExpired);
        let unanswered = Unanswered { lease: terms.lease.as_ref(), sent: is_sent.clone() };
        let is_permitted = || match terms.ask(looked_at) {
            Ok(()) => sent.send_replace(Some(Instant::now())).is_none(),
            Err(why) => {
                refused.send_replace(why);
                false
            }
        };
        let carried_out = tokio::select! {
            // First, so that a call that was frozen before it left is not sent after its deadline.
            biased;
            overdue = terms.overdue(looked_at, is_sent, action) => overdue,
            result = cloud.apply_if(key, action, &is_permitted) => {
                result.ok_or_else(|| *is_refused.borrow())
            }
        };
        if !matches!(carried_out, Ok(Err(CloudError::UnknownOutcome { .. }))) {
            unanswered.answered();
        }
        carried_out
    }
}

/// A call that may have been sent and has no answer. When it is dropped like that, also because
/// the pass was cancelled, the lease is not given back before the call can take effect no more.
struct Unanswered<'a> {
    lease: Option<&'a PassLease>,
    sent: watch::Receiver<Option<Instant>>,
}

impl Unanswered<'_> {
    fn answered(mut self) {
        self.lease = None;
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let (Some(lease), Some(sent_at)) = (self.lease, *self.sent.borrow()) {
            lease.unanswered(sent_at + lease.write_deadline());
        }
    }
}

fn given_up(action: &Action, after: Duration) -> CloudError {
    CloudError::UnknownOutcome {
        operation: action.call.operation().to_owned(),
        message: format!(
            "no answer within {} s, the most that a lease allows",
            after.as_secs_f64()
        ),
    }
}

#[cfg(test)]
mod tests {

    use evenkeel_planner::{Call, Lane};

    use super::*;
    use crate::lease::{ShardId, Standing};
    use crate::testing::{ScriptedCloud, key, service};
    use crate::{HeldShards, LeaseSettings};

    const SECOND: Duration = Duration::from_secs(1);
    const LOOK_AGE_MAX: Duration = Duration::from_secs(30);

    fn action() -> Action {
        let call = Call::UpdateService { input: serde_json::json!({}) };
        Action { call, lane: Lane::NewChange, why: "because".to_owned() }
    }

    fn state(services: impl IntoIterator<Item = Service>) -> Arc<DesiredState> {
        let services = services.into_iter().map(|s| (s.key.clone(), Arc::new(s))).collect();
        Arc::new(DesiredState { services, ..DesiredState::default() })
    }

    struct Fixture {
        cloud: ScriptedCloud,
        newest: watch::Sender<Arc<DesiredState>>,
        shards: HeldShards,
        permit: Permit,
    }

    /// A service that is wanted and a call that waits for its turn and then takes a time.
    fn fixture(wait: Duration, take: Duration) -> Fixture {
        let (newest, is_newest) = watch::channel(state([service("web", "1")]));
        let (shards, shard) =
            (HeldShards::new(&LeaseSettings::default()), ShardId::of(&key("web")));
        shards.set(&shard, Standing::Held, Some(Instant::now() + SECOND));
        let lease = shards.begin(&shard).expect("it is held");
        let planned = Some(Arc::new(service("web", "1")));
        let in_force = InForce { key: Arc::new(key("web")), planned, newest: is_newest };
        let terms = Terms { in_force, look_age_max: LOOK_AGE_MAX, lease: Some(lease), prune: None };
        let cloud = ScriptedCloud::new(SECOND).calls_wait_and_take(wait, take);
        Fixture { cloud, newest, shards, permit: Permit::under(terms) }
    }

    impl Fixture {
        fn without_lease(mut self) -> Self {
            self.permit.terms = self.permit.terms.map(|terms| Terms { lease: None, ..terms });
            self
        }

        fn leased_for(&self, left: Duration) {
            let until = Some(Instant::now() + left);
            self.shards.set(&ShardId::of(&key("web")), Standing::Held, until);
        }

        async fn calls(&self, looked_at: Instant) -> CarriedOut {
            self.permit.carry_out(&self.cloud, &key("web"), &action(), looked_at).await
        }

        #[track_caller]
        fn assert_nothing_was_sent(&self) {
            assert_eq!(self.cloud.calls(), Vec::<String>::new());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_whose_manifest_changes_while_it_waits_for_its_turn_is_not_sent() {
        let mut paused = service("web", "1");
        paused.paused = true;
        for now in [state([service("web", "2")]), state([paused]), state([])] {
            let fixture = fixture(5 * SECOND, SECOND).without_lease();
            let change = async {
                tokio::time::sleep(4 * SECOND).await;
                fixture.newest.send_replace(now);
            };
            let (result, ()) = tokio::join!(fixture.calls(Instant::now()), change);
            assert_eq!(result, Err(Withheld::Superseded));
            fixture.assert_nothing_was_sent();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_has_been_sent_is_not_taken_back() {
        let fixture = fixture(SECOND, 10 * SECOND).without_lease();
        let change = async {
            tokio::time::sleep(4 * SECOND).await;
            fixture.newest.send_replace(state([]));
        };
        let (result, ()) = tokio::join!(fixture.calls(Instant::now()), change);
        assert_eq!(result, Ok(Ok(Applied::Done)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_on_a_look_that_has_become_too_old_is_not_sent() {
        let fixture = fixture(SECOND, SECOND).without_lease();
        let looked_at = Instant::now();
        tokio::time::advance(LOOK_AGE_MAX.mul_f64(0.99)).await;
        assert_eq!(fixture.calls(looked_at).await, Err(Withheld::LookExpired));
        fixture.assert_nothing_was_sent();
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_does_not_wait_for_its_turn_for_longer_than_its_look_lives() {
        let fixture = fixture(120 * SECOND, SECOND).without_lease();
        let asked = Instant::now();
        assert_eq!(fixture.calls(asked).await, Err(Withheld::LookExpired));
        assert_eq!(asked.elapsed(), LOOK_AGE_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_sent_only_while_the_lease_lasts_longer_than_the_call_and_the_margin() {
        let fixture = fixture(Duration::ZERO, SECOND);
        fixture.leased_for(Duration::ZERO);
        assert_eq!(fixture.calls(Instant::now()).await, Err(Withheld::LeaseLost));
        fixture.leased_for(4 * SECOND + SECOND / 2);
        assert_eq!(fixture.calls(Instant::now()).await, Err(Withheld::LeaseLost));
        fixture.assert_nothing_was_sent();
        fixture.leased_for(4 * SECOND + SECOND / 2 + Duration::from_millis(1));
        assert_eq!(fixture.calls(Instant::now()).await, Ok(Ok(Applied::Done)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_runs_out_while_a_call_waits_for_its_turn_stops_the_call() {
        let fixture = fixture(3 * SECOND, SECOND);
        fixture.leased_for(7 * SECOND);
        assert_eq!(fixture.calls(Instant::now()).await, Err(Withheld::LeaseLost));
        fixture.assert_nothing_was_sent();
    }

    #[tokio::test(start_paused = true)]
    async fn under_a_lease_a_call_without_an_answer_is_given_up_at_its_deadline() {
        let fixture = fixture(SECOND, 60 * SECOND);
        fixture.leased_for(60 * SECOND);
        let asked = Instant::now();
        let result = fixture.calls(asked).await;
        assert_eq!(result.map(|sent| sent.map_err(|e| e.class())), Ok(Err("unknown_outcome")));
        assert_eq!(asked.elapsed(), 5 * SECOND, "counted from when it was sent");
    }

    #[test]
    fn a_look_may_be_written_on_until_it_is_older_than_the_maximum() {
        let grounds = |look_age| Grounds {
            is_in_force: true,
            look_age,
            look_age_max: LOOK_AGE_MAX,
            lease: None,
        };
        assert_eq!(grounds(LOOK_AGE_MAX).permit(), Ok(()));
        let older = LOOK_AGE_MAX + Duration::from_millis(1);
        assert_eq!(grounds(older).permit(), Err(Withheld::LookExpired));
        assert_eq!(grounds(2 * LOOK_AGE_MAX).permit(), Err(Withheld::LookExpired));
    }

    #[test]
    fn what_was_withheld_tells_a_person_which_ground_was_missing() {
        for (why, ground) in [
            (Withheld::Superseded, "the manifest has changed"),
            (Withheld::LookExpired, "the look is too old"),
            (Withheld::LeaseLost, "the lease on this cluster's services may end"),
        ] {
            assert!(why.message().starts_with(ground), "{why:?}: {}", why.message());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_not_given_back_before_a_call_without_an_answer_can_take_effect_no_more() {
        let shard = ShardId::of(&key("web"));
        let unanswered = |fixture: &Fixture| {
            let until = fixture.shards.unanswered_until(&shard);
            until.map(|until| until.duration_since(Instant::now()))
        };
        let answered = fixture(SECOND, SECOND);
        answered.leased_for(60 * SECOND);
        assert_eq!(answered.calls(Instant::now()).await, Ok(Ok(Applied::Done)));
        assert_eq!(unanswered(&answered), None);

        let cancelled = fixture(SECOND, 60 * SECOND);
        cancelled.leased_for(60 * SECOND);
        let call = tokio::time::timeout(2 * SECOND, cancelled.calls(Instant::now())).await;
        assert!(call.is_err(), "the pass was cancelled a second after the call was sent");
        assert_eq!(unanswered(&cancelled), Some(3 * SECOND));

        let waiting = fixture(10 * SECOND, SECOND);
        waiting.leased_for(60 * SECOND);
        let call = tokio::time::timeout(2 * SECOND, waiting.calls(Instant::now())).await;
        assert!(call.is_err(), "the pass was cancelled before the call was sent");
        assert_eq!(unanswered(&waiting), None);

        let lost = fixture(SECOND, SECOND);
        lost.leased_for(60 * SECOND);
        let (operation, message) = ("UpdateService".to_owned(), "timed out".to_owned());
        lost.cloud.results("web", [Err(CloudError::UnknownOutcome { operation, message })]);
        assert!(matches!(lost.calls(Instant::now()).await, Ok(Err(_))));
        assert_eq!(unanswered(&lost), Some(3 * SECOND));
    }
}
