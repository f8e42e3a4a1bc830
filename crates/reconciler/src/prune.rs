//! Which services that no manifest names may go, judged by the whole set of manifests; never by what one service
//! looks like, and never grants anything on ignorance.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_manifest::{Pattern, ServiceKey};
use evenkeel_planner::{ConditionKind, ConditionStatus, Leave, PruneTerms, tag};
use jiff::SignedDuration;

use crate::{DesiredState, StatusBoard};

/// The grant to prune, and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PruneSettings {
    pub clusters: Vec<Pattern>,
    pub services: Vec<Pattern>,
    /// Between being announced and being scaled in.
    pub grace: Duration,
    /// Between being scaled in and being deleted.
    pub keep: Duration,
    /// How many of the services in the grant, in percent, may have lost their manifests before none goes any more.
    /// One may always.
    pub percent_max: usize,
    /// How many are on their way out at the same time.
    pub services_max: usize,
}

/// A service that carries our owner tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedService {
    pub key: ServiceKey,
    /// Whether it is on its way out.
    pub has_tombstone: bool,
    /// Whether its last manifest said that it stays.
    pub is_kept: bool,
}

impl OwnedService {
    /// With what its tags say; `has` tells whether it has a tag.
    pub fn of(key: ServiceKey, has: impl Fn(&str) -> bool) -> Self {
        Self { key, has_tombstone: has(tag::TOMBSTONE), is_kept: has(tag::PRUNE) }
    }
}

/// The services that are ours, as last listed.
pub(crate) type Owned = BTreeMap<ServiceKey, OwnedService>;

impl PruneSettings {
    pub(crate) fn grants(&self, key: &ServiceKey) -> bool {
        let fits = |patterns: &[Pattern], name: &str| patterns.iter().any(|one| one.fits(name));
        fits(&self.clusters, &key.cluster) && fits(&self.services, &key.name)
    }

    /// The terms for one service; `None` when it may not be pruned at all.
    pub(crate) fn terms(
        &self,
        key: &ServiceKey,
        owned: &Owned,
        desired: &DesiredState,
        board: &StatusBoard,
    ) -> Option<PruneTerms> {
        let is_candidate =
            |one: &&OwnedService| !one.is_kept && self.grants(&one.key) && !desired.names(&one.key);
        owned.get(key).filter(is_candidate)?;
        let moves = moves(desired);
        let fleet = Fleet::count(self, key, owned, desired, &moves);
        let acknowledged = desired.is_whole();
        let proceed = acknowledged.clone().and_then(|()| fleet.has_not_shrunk(self));
        let announce = match moves.get(key) {
            Some(new) => acknowledged.clone().and_then(|()| is_in_place(new, board)),
            None => proceed.clone(),
        };
        let announce = announce.and_then(|()| fleet.has_room(self));
        Some(PruneTerms {
            grace: signed(self.grace),
            keep: signed(self.keep),
            lost_for: None,
            announce: leave(announce),
            proceed: leave(proceed),
            acknowledged: leave(acknowledged),
        })
    }
}

/// The services in the grant, counted.
#[derive(Clone, Copy, Debug, Default)]
struct Fleet {
    all: usize,
    /// No manifest names them, they have no tombstone, and none says that it takes their place.
    lost: usize,
    /// Other services on their way out.
    going: usize,
}

impl Fleet {
    fn count(
        settings: &PruneSettings,
        key: &ServiceKey,
        owned: &Owned,
        desired: &DesiredState,
        moves: &Moves<'_>,
    ) -> Self {
        let mut fleet = Self::default();
        for one in owned.values().filter(|one| !one.is_kept && settings.grants(&one.key)) {
            fleet.all += 1;
            if desired.names(&one.key) {
                continue;
            }
            if one.has_tombstone {
                fleet.going += usize::from(one.key != *key);
            } else {
                fleet.lost += usize::from(!moves.contains_key(&one.key));
            }
        }
        fleet
    }

    fn has_not_shrunk(&self, settings: &PruneSettings) -> Result<(), String> {
        let share = self.all.saturating_mul(settings.percent_max) / 100;
        let most = share.max(1);
        if self.lost <= most {
            return Ok(());
        }
        Err(format!(
            "{} of {} services have lost their manifests, and {most} may at once; bring the manifests back, or say \
             of each that it goes: `evenkeel prune CLUSTER/SERVICE --reason ...`",
            self.lost, self.all
        ))
    }

    fn has_room(&self, settings: &PruneSettings) -> Result<(), String> {
        if self.going < settings.services_max {
            return Ok(());
        }
        let most = settings.services_max;
        Err(format!("{} services are on their way out, and {most} may be at once", self.going))
    }
}

/// The services that others take the place of, and which.
type Moves<'d> = BTreeMap<ServiceKey, &'d ServiceKey>;

fn moves(desired: &DesiredState) -> Moves<'_> {
    desired.services.values().filter_map(|one| Some((one.moved_from()?, &one.key))).collect()
}

fn is_in_place(new: &ServiceKey, board: &StatusBoard) -> Result<(), String> {
    let status = board.get(new);
    let ready = status.as_ref().and_then(|status| status.condition(ConditionKind::Ready));
    if ready.is_some_and(|ready| ready.status == ConditionStatus::True) {
        return Ok(());
    }
    Err(format!("{new}, which takes its place, is not ready"))
}

fn leave(result: Result<(), String>) -> Leave {
    result.map_or_else(Leave::Held, |()| Leave::Granted)
}

pub(crate) fn signed(time: Duration) -> SignedDuration {
    SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::{key, service};

    fn settings(percent_max: usize, services_max: usize) -> PruneSettings {
        let all = || vec![Pattern::of_names("*").expect("a star is a pattern")];
        PruneSettings {
            clusters: all(),
            services: all(),
            grace: Duration::from_mins(15),
            keep: Duration::from_hours(24),
            percent_max,
            services_max,
        }
    }

    fn owned(names: &[&str]) -> Owned {
        let plain = |name: &&str| (key(name), OwnedService::of(key(name), |_| false));
        names.iter().map(plain).collect()
    }

    fn desired(names: &[&str]) -> DesiredState {
        let services = names.iter().map(|name| (key(name), Arc::new(service(name, "1"))));
        DesiredState { services: services.collect(), ..DesiredState::default() }
    }

    fn terms(
        settings: &PruneSettings,
        name: &str,
        owned: &Owned,
        desired: &DesiredState,
    ) -> Option<PruneTerms> {
        settings.terms(&key(name), owned, desired, &StatusBoard::new())
    }

    fn is_granted(leave: &Leave) -> bool {
        *leave == Leave::Granted
    }

    #[test]
    fn one_service_may_go_of_however_few() {
        let terms = terms(&settings(10, 5), "a", &owned(&["a", "b"]), &desired(&["b"])).unwrap();
        assert!(is_granted(&terms.announce) && is_granted(&terms.proceed));
    }

    #[test]
    fn what_is_named_kept_not_ours_or_outside_of_the_grant_has_no_terms() {
        let mut all = owned(&["a", "b", "kept"]);
        all.get_mut(&key("kept")).unwrap().is_kept = true;
        let mut desired = desired(&["b", "other"]);
        desired.invalid.insert(key("a"), vec!["bad".to_owned()]);
        for name in ["a", "b", "kept", "unknown"] {
            assert_eq!(terms(&settings(10, 5), name, &all, &desired), None, "{name}");
        }
        desired.invalid.clear();
        assert!(terms(&settings(10, 5), "a", &all, &desired).is_some());
        let none = PruneSettings { clusters: Vec::new(), ..settings(10, 5) };
        assert_eq!(terms(&none, "a", &all, &desired), None);
    }

    #[test]
    fn a_set_that_shrank_lets_none_go_but_those_that_a_person_named() {
        let names: Vec<String> = (0..40).map(|n| format!("s{n:02}")).collect();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        for (lost, is_fine) in [(1, true), (4, true), (5, false), (39, false)] {
            let rest = desired(&all[lost..]);
            let terms = terms(&settings(10, 5), "s00", &owned(&all), &rest).unwrap();
            assert_eq!(is_granted(&terms.announce), is_fine, "{lost}");
            assert_eq!(is_granted(&terms.proceed), is_fine, "{lost}");
            assert!(is_granted(&terms.acknowledged), "{lost}");
        }
    }

    #[test]
    fn those_on_their_way_out_count_for_room_and_not_as_lost() {
        let mut all = owned(&["a", "b", "c", "d"]);
        all.get_mut(&key("b")).unwrap().has_tombstone = true;
        let desired = desired(&["d"]);
        let mut full = settings(50, 1);
        let held = terms(&full, "a", &all, &desired).unwrap();
        assert!(!is_granted(&held.announce) && is_granted(&held.proceed));
        full.services_max = 2;
        assert!(is_granted(&terms(&full, "a", &all, &desired).unwrap().announce));
        let itself = terms(&settings(50, 1), "b", &all, &desired).unwrap();
        assert!(is_granted(&itself.announce), "it does not stand in its own way");
    }

    #[test]
    fn nothing_goes_while_the_set_is_empty_or_not_known_whole() {
        let all = owned(&["a", "b"]);
        let incomplete = DesiredState { incomplete: Some("lost".to_owned()), ..desired(&["b"]) };
        for set in [DesiredState::default(), incomplete] {
            let terms = terms(&settings(100, 100), "a", &all, &set).unwrap();
            for leave in [&terms.announce, &terms.proceed, &terms.acknowledged] {
                assert!(!is_granted(leave));
            }
        }
    }

    #[test]
    fn what_is_moved_waits_for_its_successor_and_is_not_lost() {
        let mut moved = desired(&["b"]);
        let mut new = service("new", "1");
        new.metadata.annotations.insert("evenkeel.dev/moved-from".to_owned(), "a".to_owned());
        moved.services.insert(key("new"), Arc::new(new));
        let all = owned(&["a", "b", "c"]);
        let before = terms(&settings(10, 5), "a", &all, &moved).unwrap();
        let why = before.announce.held().unwrap();
        assert!(why.contains("new, which takes its place, is not ready"), "{why}");
        assert!(is_granted(&before.proceed), "c alone is lost");
    }
}
