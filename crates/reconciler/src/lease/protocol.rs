//! The lease on one shard as one replica sees it: a state machine without clock or I/O; never sends.
//!
//! All instants are times on the replica's own monotonic clock, counted from any moment. Clocks of
//! two replicas are never compared; what they must agree on is how fast time passes, within
//! [`crate::LeaseSettings::clock_skew_max`].

use std::time::Duration;

use super::{LeaseRecord, LeaseTimes};

/// An instant on a replica's own monotonic clock.
pub type Moment = Duration;

/// Who a replica is in the table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// Unique to one start of one process: a replica that restarts is another holder, because it
    /// does not know what it did before.
    pub name: String,
    pub version: u32,
}

/// What is wished of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wish {
    /// Take it when nobody else can have it any more, and keep it.
    Hold,
    /// Do not take it; give it back if it is ours. Not to be wished while a write is under way.
    LetGo,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Nothing, before that moment or before something else happens.
    Wait(Option<Moment>),
    /// Read the record.
    Read,
    /// Send this, and tell [`ShardLease::put_ended`] what came of it.
    Put(Put),
}

/// A conditional write of the table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Put {
    pub expected: Option<LeaseRecord>,
    pub record: LeaseRecord,
}

/// What came of a [`Put`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PutOutcome {
    Stored,
    /// Something else was stored there.
    Refused,
    /// It may have been stored, or may yet be.
    Unknown,
}

/// Holds, watches or takes one lease.
///
/// # Guarantees
///
/// As long as clocks run within the skew, the table's compare-and-set is one, and nobody writes
/// an empty holder into it by hand:
///
/// - No two replicas hold the lease at the same time, by [`Self::valid_until`], whatever a person deletes of the table: that
///   there is no record says nothing, only that one stands for long enough does.
/// - A lease is valid from before the renewal was sent that is known to be stored, for the time to
///   live; an unknown outcome extends nothing and is followed by a read.
/// - The epoch grows with every change of holder that this replica makes, above all it has seen.
///   A replica that saw nothing of a record that a person deleted begins again at one. Nothing but
///   the log depends on that: exclusion rests on compare-and-set and on waiting.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ShardLease {
    me: Holder,
    times: LeaseTimes,
    highest_epoch: u64,
    /// `None` before the first read.
    shown: Option<Shown>,
    /// Whether nothing that was sent since `shown` can have changed the record.
    is_certain: bool,
    /// Since when our claim is known to stand, the record that was put where there was none: whose record was deleted there may hold the lease yet.
    claimed: Option<Moment>,
    valid_until: Option<Moment>,
}

/// The beat of a record that was put where there was none. One that was put in the place of another begins above it.
const CLAIM: u64 = 0;

/// What the table last showed, and since when it shows nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Shown {
    record: Option<LeaseRecord>,
    /// When the read had ended that first showed it.
    since: Moment,
}

impl ShardLease {
    pub fn new(me: Holder, times: LeaseTimes) -> Self {
        Self {
            me,
            times,
            highest_epoch: 0,
            shown: None,
            is_certain: false,
            claimed: None,
            valid_until: None,
        }
    }

    /// The next step. The caller takes one at a time: it sends nothing before it has told how the
    /// last thing ended.
    pub fn next(&mut self, now: Moment, wish: Wish) -> Step {
        let Some(shown) = self.shown.as_ref().filter(|_| self.is_certain) else {
            return Step::Read;
        };
        let is_ours = shown.record.as_ref().is_some_and(|record| self.is_ours(record));
        match (wish, &shown.record) {
            (_, Some(_)) if is_ours && !self.is_proven(now) && !self.is_valid(now) => {
                Step::Wait(self.claimed.map(|since| self.others_are_over(since)))
            }
            (Wish::Hold, Some(record)) if is_ours => self.renew(record),
            (Wish::LetGo, Some(record)) if is_ours => {
                let put = self.release(record);
                self.valid_until = None;
                put
            }
            (Wish::Hold, record) if self.is_to_be_had(shown, now) => self.acquire(record.as_ref()),
            (Wish::Hold, _) => Step::Wait(Some(self.others_are_over(shown.since))),
            (Wish::LetGo, _) => Step::Wait(None),
        }
    }

    /// When a lease is over, by the slowest of clocks, that nobody can have renewed since.
    fn others_are_over(&self, since: Moment) -> Moment {
        since.saturating_add(self.times.takeover_wait)
    }

    /// Whether our record says that nobody else can have the lease.
    fn is_proven(&self, now: Moment) -> bool {
        self.claimed.is_none_or(|since| self.others_are_over(since) <= now)
    }

    fn renew(&self, record: &LeaseRecord) -> Step {
        let renewed = LeaseRecord {
            beat: record.beat.saturating_add(1),
            version: self.me.version,
            ..record.clone()
        };
        Step::Put(Put { expected: Some(record.clone()), record: renewed })
    }

    fn release(&self, record: &LeaseRecord) -> Step {
        let (holder, version) = (String::new(), self.me.version);
        let beat = record.beat.saturating_add(1);
        let free = LeaseRecord { holder, epoch: record.epoch, beat, version };
        Step::Put(Put { expected: Some(record.clone()), record: free })
    }

    fn acquire(&self, expected: Option<&LeaseRecord>) -> Step {
        let record = LeaseRecord {
            holder: self.me.name.clone(),
            epoch: self.highest_epoch.saturating_add(1),
            beat: if expected.is_none() { CLAIM } else { CLAIM + 1 },
            version: self.me.version,
        };
        Step::Put(Put { expected: expected.cloned(), record })
    }

    /// A record that was given back is free at once, any other when its holder's time is over by
    /// the slowest of clocks. Where there is none, one may be put, which must stand for as long.
    fn is_to_be_had(&self, shown: &Shown, now: Moment) -> bool {
        let is_over = self.others_are_over(shown.since) <= now;
        shown.record.as_ref().is_none_or(|record| record.is_free() || is_over)
    }

    /// The table was read, after all that was sent before had ended. `record` is what it showed.
    pub fn read_ended(&mut self, now: Moment, record: Option<&LeaseRecord>) {
        self.is_certain = true;
        self.highest_epoch = self.highest_epoch.max(record.map_or(0, |record| record.epoch));
        if record.is_some_and(|record| !self.is_ours(record)) {
            self.valid_until = None;
        }
        let is_new = self.shown.as_ref().is_none_or(|shown| shown.record.as_ref() != record);
        self.claimed = match record {
            // Nobody heard that this one was stored.
            Some(record) if self.is_ours(record) && record.beat == CLAIM && is_new => Some(now),
            Some(record) if self.is_ours(record) => self.claimed,
            _ => None,
        };
        if is_new {
            self.shown = Some(Shown { record: record.cloned(), since: now });
        }
    }

    /// What was sent at `sent_at` has ended. `sent_at` must not be later than the sending.
    pub fn put_ended(&mut self, sent_at: Moment, now: Moment, put: Put, outcome: PutOutcome) {
        self.is_certain = outcome == PutOutcome::Stored;
        if outcome != PutOutcome::Refused {
            self.highest_epoch = self.highest_epoch.max(put.record.epoch);
        }
        if outcome == PutOutcome::Stored {
            self.stored(sent_at, now, &put);
            self.shown = Some(Shown { record: Some(put.record), since: now });
        }
    }

    /// What is put where there was nothing extends no lease, and what follows it only one that has not ended meanwhile,
    /// until it has stood for so long that everybody else's has.
    fn stored(&mut self, sent_at: Moment, now: Moment, put: &Put) {
        let Some(before) = &put.expected else {
            self.claimed = Some(now);
            return;
        };
        if !self.is_ours(before) || self.is_proven(sent_at) {
            self.claimed = None;
        }
        if !self.is_ours(&put.record) {
            self.valid_until = None;
        } else if self.claimed.is_none() || self.is_valid(sent_at) {
            self.valid_until = Some(sent_at.saturating_add(self.times.ttl));
        }
    }

    fn is_ours(&self, record: &LeaseRecord) -> bool {
        record.holder == self.me.name
    }

    /// Until when nobody else can hold the lease; `None` when somebody may.
    pub fn valid_until(&self) -> Option<Moment> {
        self.valid_until
    }

    pub fn is_valid(&self, now: Moment) -> bool {
        self.valid_until.is_some_and(|until| until > now)
    }

    /// Whether a write may be sent.
    pub fn may_write(&self, now: Moment) -> bool {
        let left = self.valid_until.map(|until| until.saturating_sub(now));
        left.is_some_and(|left| self.times.covers_a_write(left))
    }

    /// Whether its record was deleted under a lease that is valid, and is there again: the lease ends unless that is renewed.
    pub(crate) fn is_put_back(&self, now: Moment) -> bool {
        self.is_valid(now) && self.shown().is_some_and(|record| record.beat == CLAIM)
    }

    /// For how long the table has shown the same.
    pub(crate) fn unchanged_for(&self, now: Moment) -> Duration {
        self.shown.as_ref().map_or(Duration::ZERO, |shown| now.saturating_sub(shown.since))
    }

    /// The record that the table last showed.
    pub fn shown(&self) -> Option<&LeaseRecord> {
        self.shown.as_ref()?.record.as_ref()
    }

    /// Whether the table last showed that the lease is ours, valid or not.
    pub fn is_ours_by_the_table(&self) -> bool {
        self.shown().is_some_and(|record| self.is_ours(record))
    }

    /// The same as seen on a clock that says `then` where this one says `now`, without what makes
    /// no difference any more. Equal values behave equally from then on: for comparing states.
    #[must_use]
    pub fn rebased(&self, now: Moment, then: Moment) -> Self {
        let wait = self.times.takeover_wait;
        let rebase = |moment: Moment| then.saturating_add(moment).saturating_sub(now);
        let shown = self.shown.as_ref().map(|shown| Shown {
            record: shown.record.clone(),
            since: rebase(shown.since).max(then.saturating_sub(wait)),
        });
        let valid_until = self.valid_until.filter(|until| *until > now).map(rebase);
        let claimed = self.claimed.map(|since| rebase(since).max(then.saturating_sub(wait)));
        Self { shown, claimed, valid_until, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LeaseSettings;

    const fn at(millis: u64) -> Moment {
        Duration::from_millis(millis)
    }

    fn lease(name: &str) -> ShardLease {
        let me = Holder { name: name.to_owned(), version: 1 };
        ShardLease::new(me, LeaseSettings::default().times())
    }

    fn record(holder: &str, epoch: u64, beat: u64) -> LeaseRecord {
        LeaseRecord { holder: holder.to_owned(), epoch, beat, version: 1 }
    }

    #[track_caller]
    fn put(lease: &mut ShardLease, now: Moment) -> Put {
        match lease.next(now, Wish::Hold) {
            Step::Put(put) => put,
            other => panic!("{other:?} at {now:?}"),
        }
    }

    /// Held by `a` since 0 s.
    fn held() -> ShardLease {
        let mut lease = lease("a");
        lease.read_ended(at(0), Some(&record("", 4, 7)));
        let acquire = put(&mut lease, at(0));
        assert_eq!(acquire.record, record("a", 5, 1));
        lease.put_ended(at(0), at(100), acquire, PutOutcome::Stored);
        lease
    }

    #[test]
    fn validity_counts_from_before_the_renewal_was_sent() {
        let mut lease = held();
        assert_eq!(lease.valid_until(), Some(at(7000)));
        let renewal = put(&mut lease, at(1500));
        assert_eq!(
            (renewal.expected.clone(), &renewal.record),
            (Some(record("a", 5, 1)), &record("a", 5, 2))
        );
        lease.put_ended(at(1500), at(4000), renewal, PutOutcome::Stored);
        assert_eq!(lease.valid_until(), Some(at(8500)));
        assert!(lease.may_write(at(3999)));
        assert!(!lease.may_write(at(4000)));
    }

    #[test]
    fn an_unknown_outcome_extends_nothing_and_is_read_before_anything_else() {
        let mut lease = held();
        let renewal = put(&mut lease, at(1500));
        lease.put_ended(at(1500), at(2500), renewal.clone(), PutOutcome::Unknown);
        assert_eq!(lease.next(at(2500), Wish::Hold), Step::Read);
        assert_eq!(lease.next(at(2500), Wish::LetGo), Step::Read);
        lease.read_ended(at(2600), Some(&renewal.record));
        assert_eq!(lease.valid_until(), Some(at(7000)), "although it was stored");
        assert_eq!(put(&mut lease, at(2600)).expected, Some(renewal.record));
    }

    #[test]
    fn a_record_that_does_not_change_is_taken_when_twice_its_time_and_a_write_have_passed() {
        let mut lease = lease("b");
        lease.read_ended(at(1000), Some(&record("a", 5, 1)));
        lease.read_ended(at(2500), Some(&record("a", 5, 2)));
        lease.read_ended(at(4000), Some(&record("a", 5, 2)));
        assert_eq!(lease.next(at(20_499), Wish::Hold), Step::Wait(Some(at(20_500))));
        let takeover = put(&mut lease, at(20_500));
        assert_eq!(takeover.expected, Some(record("a", 5, 2)));
        assert_eq!(takeover.record, record("b", 6, 1));
    }

    #[test]
    fn a_holder_that_woke_up_late_resumes_only_if_nobody_has_taken_its_record() {
        let mut lease = held();
        let renewal = put(&mut lease, at(600_000));
        assert!(!lease.may_write(at(600_000)));
        lease.put_ended(at(600_000), at(600_100), renewal.clone(), PutOutcome::Refused);
        assert_eq!(lease.next(at(600_100), Wish::Hold), Step::Read);
        lease.read_ended(at(600_200), Some(&record("b", 6, 3)));
        assert_eq!(lease.valid_until(), None);
        assert!(matches!(lease.next(at(600_200), Wish::Hold), Step::Wait(_)));
    }

    #[test]
    fn a_lease_that_was_given_back_may_be_taken_at_once_and_is_not_valid_while_it_is_given_back() {
        let mut lease = held();
        let Step::Put(release) = lease.next(at(1500), Wish::LetGo) else { panic!("it is ours") };
        assert_eq!(release.record, record("", 5, 2));
        assert!(!lease.is_valid(at(1500)));
        let mut other = self::lease("b");
        other.read_ended(at(9), Some(&release.record));
        assert_eq!(put(&mut other, at(9)).record, record("b", 6, 1));
    }

    /// After the record was deleted under its holder and is put back, known at 1.6 s.
    fn put_back() -> ShardLease {
        let mut lease = held();
        lease.read_ended(at(1500), None);
        let again = put(&mut lease, at(1500));
        assert_eq!((again.expected.clone(), &again.record), (None, &record("a", 6, 0)));
        lease.put_ended(at(1500), at(1600), again, PutOutcome::Stored);
        lease
    }

    #[test]
    fn a_record_deleted_under_its_holder_is_put_back_at_once_and_renewed_before_the_lease_ends() {
        let mut lease = put_back();
        assert_eq!(lease.valid_until(), Some(at(7000)), "what was put back says nothing yet");
        let renewal = put(&mut lease, at(3000));
        lease.put_ended(at(3000), at(3100), renewal, PutOutcome::Stored);
        assert_eq!(lease.valid_until(), Some(at(10_000)));
    }

    #[test]
    fn a_holder_whose_lease_ended_before_what_it_put_back_was_renewed_waits_as_anybody_does() {
        let mut lease = put_back();
        let renewal = put(&mut lease, at(6900));
        lease.put_ended(at(7100), at(7200), renewal, PutOutcome::Stored);
        assert!(!lease.is_valid(at(7200)), "it was sent too late");
        assert_eq!(lease.next(at(7200), Wish::Hold), Step::Wait(Some(at(19_600))));
        assert_eq!(
            lease.next(at(7200), Wish::LetGo),
            Step::Wait(Some(at(19_600))),
            "it is not free"
        );
        let renewal = put(&mut lease, at(19_600));
        lease.put_ended(at(19_600), at(19_700), renewal, PutOutcome::Stored);
        assert_eq!(lease.valid_until(), Some(at(26_600)));
    }

    #[test]
    fn where_there_is_no_record_one_is_put_and_is_no_lease_before_it_has_stood_for_long() {
        for outcome in [PutOutcome::Stored, PutOutcome::Unknown] {
            let mut lease = lease("b");
            lease.read_ended(at(0), None);
            let claim = put(&mut lease, at(0));
            assert_eq!((claim.expected.clone(), &claim.record), (None, &record("b", 1, 0)));
            lease.put_ended(at(0), at(100), claim, outcome);
            lease.read_ended(at(100), Some(&record("b", 1, 0)));
            assert_eq!(lease.valid_until(), None, "{outcome:?}");
            assert_eq!(lease.next(at(18_099), Wish::Hold), Step::Wait(Some(at(18_100))));
            let renewal = put(&mut lease, at(18_100));
            lease.put_ended(at(18_100), at(18_200), renewal, PutOutcome::Stored);
            assert_eq!(lease.valid_until(), Some(at(25_100)));
        }
    }

    #[test]
    fn one_that_was_deleted_meanwhile_is_waited_for_anew() {
        let mut lease = lease("b");
        lease.read_ended(at(0), None);
        let claim = put(&mut lease, at(0));
        lease.put_ended(at(0), at(100), claim, PutOutcome::Stored);
        lease.read_ended(at(10_000), None);
        let again = put(&mut lease, at(10_000));
        assert_eq!(again.record, record("b", 2, 0));
        lease.put_ended(at(10_000), at(10_100), again, PutOutcome::Stored);
        assert_eq!(lease.next(at(18_100), Wish::Hold), Step::Wait(Some(at(28_100))));
    }

    #[test]
    fn one_that_somebody_else_put_is_taken_when_it_has_stood_for_long_above_the_epoch_that_was_seen()
     {
        let mut lease = lease("b");
        lease.read_ended(at(0), Some(&record("a", 5, 1)));
        lease.read_ended(at(1500), None);
        lease.read_ended(at(2000), Some(&record("c", 1, 0)));
        assert_eq!(lease.next(at(19_999), Wish::Hold), Step::Wait(Some(at(20_000))));
        assert_eq!(put(&mut lease, at(20_000)).record, record("b", 6, 1));
    }

    #[test]
    fn a_record_that_a_person_edited_ends_the_lease_and_is_taken_with_a_higher_epoch() {
        let mut lease = held();
        lease.read_ended(at(1500), Some(&record("nobody", 99, 0)));
        assert_eq!(lease.valid_until(), None);
        assert_eq!(put(&mut lease, at(19_500)).record, record("a", 100, 1));
    }
}
