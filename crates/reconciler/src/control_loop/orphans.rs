//! Services that carry our owner tag and that no manifest names; tells of them, and takes those into the roster that
//! may be pruned.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Leave, PruneTerms};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::ControlLoop;
use crate::prune::{Owned, signed};
use crate::{Cloud, CloudError, OwnedService};

/// How often AWS is asked. A manifest that is deleted while the daemon runs is noticed at once;
/// this finds the ones deleted while it did not.
const LIST_EVERY: Duration = Duration::from_hours(1);

/// What listing our services has found, and when it is done again.
#[derive(Debug)]
pub(super) struct Orphans {
    listing: JoinSet<Result<Vec<OwnedService>, CloudError>>,
    next_at: Instant,
    /// When the listing under way, or the last, was begun.
    begun_at: Instant,
    /// When the listing was begun that tells what is owned; `None` before the first.
    listed_at: Option<Instant>,
    /// When a lease was last got: before that another replica may have announced that services go.
    lease_got_at: Option<Instant>,
    known: BTreeSet<ServiceKey>,
    owned: Owned,
    /// When manifests were last seen that are gone.
    lost: BTreeMap<ServiceKey, Instant>,
    /// When a pass was last let announce that a service goes.
    announced: BTreeMap<ServiceKey, Instant>,
}

impl Default for Orphans {
    fn default() -> Self {
        Self {
            listing: JoinSet::new(),
            next_at: Instant::now(),
            begun_at: Instant::now(),
            listed_at: None,
            lease_got_at: None,
            known: BTreeSet::new(),
            owned: Owned::new(),
            lost: BTreeMap::new(),
            announced: BTreeMap::new(),
        }
    }
}

/// How a listing ended, from the inside out: by AWS's answer, or by a panic.
pub(super) type Listed = Result<Result<Vec<OwnedService>, CloudError>, JoinError>;

impl Orphans {
    /// Waits for the listing under way; for ever when there is none.
    ///
    /// Cancel-safe: a result leaves the set only together with being returned.
    pub(super) async fn listed(&mut self) -> Listed {
        match self.listing.join_next().await {
            Some(listed) => listed,
            None => std::future::pending().await,
        }
    }

    /// Takes in what was listed. A listing may have described a service before a pass announced that it goes, which lasts for
    /// `pass_timeout` at most.
    fn take_in(&mut self, listed: Owned, pass_timeout: Duration) {
        let begun_at = self.begun_at;
        self.listed_at = Some(begun_at);
        self.announced.retain(|_, at| *at + pass_timeout >= begun_at);
        self.owned = listed;
        for (key, one) in &mut self.owned {
            one.has_tombstone |= self.announced.contains_key(key);
        }
    }

    /// Why nothing may be announced before our services are listed again.
    fn outdated(&self) -> Option<String> {
        let is_outdated = self.lease_got_at.is_some() && self.listed_at < self.lease_got_at;
        is_outdated.then(|| {
            "which services are on their way out is not known since their lease was got; they are listed again"
                .to_owned()
        })
    }

    /// It is gone, or not ours any more.
    pub(super) fn forget(&mut self, key: &ServiceKey) {
        self.owned.remove(key);
    }
}

impl<C: Cloud> ControlLoop<C> {
    /// Begins a listing if it is time for one and there are manifests to compare it with.
    pub(super) fn list_owned(&mut self) {
        let is_due = Instant::now() >= self.orphans.next_at;
        if !is_due || !self.orphans.listing.is_empty() || self.roster.is_empty() {
            return;
        }
        self.orphans.begun_at = Instant::now();
        self.orphans.next_at = self.orphans.begun_at + LIST_EVERY;
        let clusters: BTreeSet<&str> =
            self.current.keys().into_iter().map(|key| key.cluster.as_str()).collect();
        let clusters: Vec<String> = clusters.into_iter().map(str::to_owned).collect();
        let cloud = self.cloud.clone();
        let instance = self.settings.instance.clone();
        // As long as its calls take, each of which has its own limit: there may be thousands, and nothing waits for
        // the end of them.
        self.orphans.listing.spawn(async move { cloud.owned(&instance, &clusters).await });
    }

    pub(super) fn owned_listed(&mut self, listed: Listed) {
        let owned = match listed {
            Ok(Ok(owned)) => owned,
            Ok(Err(error)) => return tracing::warn!(%error, "could not list our services"),
            Err(error) => return tracing::error!(%error, "listing our services panicked"),
        };
        // All manifests of a daemon have one target; the cloud does not know its name.
        let Some(target) = self.current.keys().first().map(|key| key.target.clone()) else {
            return;
        };
        let here = |one: OwnedService| {
            let key = ServiceKey { target: target.clone(), ..one.key };
            (key.clone(), OwnedService { key, ..one })
        };
        let owned = owned.into_iter().map(here).collect();
        self.orphans.take_in(owned, self.settings.pass_timeout);
        let orphans: BTreeSet<ServiceKey> =
            self.orphans.owned.keys().filter(|key| !self.current.names(key)).cloned().collect();
        for key in orphans.difference(&self.orphans.known) {
            tracing::warn!(
                service = %key,
                why = "it carries our owner tag and no manifest names it",
                "orphan found"
            );
        }
        self.metrics.orphans(orphans.len());
        self.take_in_the_prunable(&orphans);
        self.orphans.known = orphans;
    }

    fn take_in_the_prunable(&mut self, orphans: &BTreeSet<ServiceKey>) {
        let prunable = orphans.iter().filter(|key| self.prune_terms(key).is_some());
        let new: Vec<ServiceKey> =
            prunable.filter(|key| self.roster.note(key).is_none()).cloned().collect();
        let leaving: Vec<_> = new
            .into_iter()
            .filter_map(|key| {
                let key = self.roster.welcome(key);
                self.roster.dismiss(&key)
            })
            .collect();
        self.schedule(&leaving);
    }

    /// Where pruning is granted, another replica may have announced some that this one does not know of.
    pub(super) fn lease_got(&mut self) {
        if self.settings.prune.is_some() {
            self.orphans.lease_got_at = Some(Instant::now());
            self.orphans.next_at = Instant::now();
        }
    }

    /// Where pruning is granted, manifests that have gone are a reason to see what is ours.
    pub(super) fn manifests_lost(&mut self, removed: &[ServiceKey]) {
        let Some(settings) = self.settings.prune.as_ref().filter(|_| !removed.is_empty()) else {
            return;
        };
        let now = Instant::now();
        self.orphans.next_at = now;
        let matters = settings.grace.saturating_add(settings.keep);
        self.orphans.lost.retain(|key, at| at.elapsed() < matters && !self.current.names(key));
        self.orphans.lost.extend(removed.iter().map(|key| (key.clone(), now)));
    }

    /// How this service goes; `None` when it does not.
    pub(super) fn prune_terms(&self, key: &ServiceKey) -> Option<PruneTerms> {
        let settings = self.settings.prune.as_ref()?;
        let terms = settings.terms(key, &self.orphans.owned, &self.current, &self.board)?;
        let lost_for = self.orphans.lost.get(key).map(|at| signed(at.elapsed()));
        let announce = match self.orphans.outdated() {
            Some(why) if terms.announce == Leave::Granted => Leave::Held(why),
            _ => terms.announce,
        };
        Some(PruneTerms { lost_for, announce, ..terms })
    }

    /// As [`Self::prune_terms`], for a pass: what it may announce counts as going from now on, so that passes side
    /// by side do not each take the last place.
    pub(super) fn prune_terms_for_a_pass(&mut self, key: &ServiceKey) -> Option<PruneTerms> {
        let terms = self.prune_terms(key)?;
        if terms.announce == Leave::Granted
            && let Some(one) = self.orphans.owned.get_mut(key)
        {
            one.has_tombstone = true;
            self.orphans.announced.insert(key.clone(), Instant::now());
        }
        Some(terms)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use evenkeel_planner::{Action, Applied, Observed, Questions};
    use prometheus::Registry;

    use super::*;
    use crate::testing::{foreign, key, service};
    use crate::{DesiredState, LoopMetrics, LoopSettings, Shutdown, metrics_text};

    /// A region of so many services that listing them takes half an hour; one of ours no manifest names.
    struct Large;

    const LISTING_TAKES: Duration = Duration::from_mins(30);

    impl Cloud for Large {
        async fn owned(&self, _: &str, _: &[String]) -> Result<Vec<OwnedService>, CloudError> {
            tokio::time::sleep(LISTING_TAKES).await;
            Ok(vec![OwnedService::of(key("forgotten"), |_| false)])
        }

        async fn observe(&self, key: &ServiceKey, _: &Questions) -> Result<Observed, CloudError> {
            Ok(foreign(key))
        }

        async fn apply(&self, _: &ServiceKey, action: &Action) -> Result<Applied, CloudError> {
            panic!("{} on what is not ours", action.call.operation())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_listing_that_takes_longer_than_a_pass_may_is_taken_in_all_the_same() {
        let one = service("web", "1");
        let services = [(one.key.clone(), Arc::new(one))].into();
        let state = Arc::new(DesiredState { services, ..DesiredState::default() });
        let (_sender, desired) = tokio::sync::watch::channel(state);
        let registry = Registry::new();
        let metrics = LoopMetrics::register(&registry).unwrap();
        let (settings, board) = (LoopSettings::default(), Arc::default());
        let looped =
            ControlLoop::new(Arc::new(Large), settings, metrics, desired, Arc::clone(&board));
        let time = LISTING_TAKES + Duration::from_mins(1);
        let ran = tokio::time::timeout(time, looped.run(Shutdown::new())).await;
        assert!(ran.is_err(), "nobody ends it");
        let text = metrics_text(&registry, &board).unwrap();
        assert!(text.lines().any(|line| line == "evenkeel_orphaned_services 1"), "{text}");
    }

    fn listed(has_tombstone: bool) -> Owned {
        let one = OwnedService { key: key("web"), has_tombstone, is_kept: false };
        Owned::from([(one.key.clone(), one)])
    }

    #[tokio::test(start_paused = true)]
    async fn a_listing_from_before_an_announcement_does_not_make_room_for_another_one() {
        let pass_timeout = Duration::from_mins(2);
        for (seconds, goes) in [(0, true), (119, true), (121, false)] {
            let mut orphans = Orphans::default();
            orphans.announced.insert(key("web"), Instant::now());
            tokio::time::advance(Duration::from_secs(seconds)).await;
            orphans.begun_at = Instant::now();
            tokio::time::advance(Duration::from_secs(30)).await;
            orphans.take_in(listed(false), pass_timeout);
            assert_eq!(orphans.owned[&key("web")].has_tombstone, goes, "begun after {seconds} s");
            orphans.take_in(listed(true), pass_timeout);
            assert!(orphans.owned[&key("web")].has_tombstone);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_lease_was_got_nothing_is_announced_on_an_older_listing() {
        let mut orphans = Orphans::default();
        assert_eq!(orphans.outdated(), None, "there is no lease");
        orphans.take_in(listed(false), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(1)).await;
        orphans.lease_got_at = Some(Instant::now());
        orphans.take_in(listed(false), Duration::ZERO);
        assert!(orphans.outdated().is_some_and(|why| why.contains("listed again")));
        orphans.begun_at = Instant::now();
        orphans.take_in(listed(false), Duration::ZERO);
        assert_eq!(orphans.outdated(), None);
    }
}
