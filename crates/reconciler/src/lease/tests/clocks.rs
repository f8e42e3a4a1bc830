//! The protocol at its default times, driven by clocks that run at different rates, over a table
//! that loses and delays requests, by replicas that are frozen for up to ten minutes.

use super::*;

/// Of the world, in milliseconds.
type Time = u64;

const STEP: usize = 50;
const HOUR: Time = 3_600_000;

struct Skewed {
    lease: ShardLease,
    /// Seconds of its clock in two of the world.
    rate: u64,
    next_round: Moment,
    request: Option<Request>,
    frozen_until: Time,
    /// Until when its last write may take effect.
    writes_until: Time,
    writes: u64,
}

struct Request {
    /// `None` to read.
    put: Option<Put>,
    sent_at: Moment,
    /// When it takes effect, and when the answer is there; `None` when it is lost on the way.
    arrives: Option<Time>,
    answers: Option<Time>,
    stored: bool,
}

impl Skewed {
    fn new(name: &str, rate: u64) -> Self {
        let me = Holder { name: name.to_owned(), version: 1 };
        let lease = ShardLease::new(me, LeaseSettings::default().times());
        let (next_round, request) = (Moment::ZERO, None);
        Self { lease, rate, next_round, request, frozen_until: 0, writes_until: 0, writes: 0 }
    }

    fn clock(&self, now: Time) -> Moment {
        Duration::from_millis(now * self.rate / 2)
    }

    fn ask(&mut self, now: Time, put: Option<Put>, rng: &mut fastrand::Rng) {
        let arrives = (rng.u32(0..100) < 95).then(|| now + rng.u64(0..400));
        let answers = arrives.filter(|_| rng.u32(0..100) < 95).map(|at| at + rng.u64(0..400));
        let sent_at = self.clock(now);
        self.request = Some(Request { put, sent_at, arrives, answers, stored: false });
    }

    /// The network does not freeze with the replica.
    fn reach(&mut self, now: Time, record: &mut Option<LeaseRecord>) {
        let Some(request) = &mut self.request else { return };
        if request.arrives.is_none_or(|at| at > now) {
            return;
        }
        request.arrives = None;
        if let Some(put) = request.put.as_ref().filter(|put| put.expected == *record) {
            *record = Some(put.record.clone());
            request.stored = true;
        }
    }

    fn act(&mut self, now: Time, record: Option<&LeaseRecord>, rng: &mut fastrand::Rng) {
        let clock = self.clock(now);
        let Some(request) = self.request.take() else {
            if clock >= self.next_round {
                self.ask(now, None, rng);
            }
            return;
        };
        let is_answered = request.answers.is_some_and(|at| at <= now);
        let is_overdue = clock.saturating_sub(request.sent_at) >= SECOND;
        match (request.put.clone(), is_answered) {
            (None, true) => {
                self.lease.read_ended(clock, record);
                self.next_round = clock + Duration::from_millis(1500);
                if let Step::Put(put) = self.lease.next(clock, Wish::Hold) {
                    self.ask(now, Some(put), rng);
                }
            }
            (Some(put), true) => {
                let outcome = if request.stored { PutOutcome::Stored } else { PutOutcome::Refused };
                self.lease.put_ended(request.sent_at, clock, put, outcome);
            }
            (Some(put), false) if is_overdue => {
                self.lease.put_ended(request.sent_at, clock, put, PutOutcome::Unknown);
                self.next_round = clock;
            }
            (None, false) if is_overdue => {}
            (_, false) => self.request = Some(request),
        }
    }

    /// Sends a write as often as it may: says whether it did.
    fn writes(&mut self, now: Time) -> bool {
        let may_write = self.lease.may_write(self.clock(now)) && self.writes_until <= now;
        if may_write {
            self.writes_until = now + 4_000 * 2 / self.rate;
            self.writes += 1;
        }
        may_write
    }
}

/// Two replicas for an hour; how often each wrote.
fn an_hour(rates: [u64; 2], seed: u64) -> [u64; 2] {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut record = None;
    let [a, b] = rates;
    let mut replicas = [Skewed::new("a", a), Skewed::new("b", b)];
    for now in (0..HOUR).step_by(STEP) {
        for index in [0, 1] {
            let others_until = replicas[1 - index].writes_until;
            let replica = &mut replicas[index];
            replica.reach(now, &mut record);
            if rng.u32(0..6_000) == 0 {
                replica.frozen_until = now + rng.u64(0..600_000);
            }
            if replica.frozen_until > now {
                continue;
            }
            let wrote = replica.writes(now);
            assert!(!wrote || others_until <= now, "rates {rates:?}, seed {seed}, at {now} ms");
            replica.act(now, record.as_ref(), &mut rng);
        }
    }
    replicas.map(|replica| replica.writes)
}

#[test]
fn writes_do_not_overlap_when_one_clock_runs_twice_as_fast_as_the_other() {
    for rates in [[1, 2], [2, 1], [2, 2], [2, 4], [4, 2], [3, 2]] {
        let counts: Vec<[u64; 2]> = (0..20).map(|seed| an_hour(rates, seed)).collect();
        let total = counts.iter().fold([0, 0], |sum, one| [sum[0] + one[0], sum[1] + one[1]]);
        assert!(total.iter().all(|count| *count > 500), "both came to write: {total:?}");
    }
}

#[test]
#[should_panic(expected = "rates [1, 8]")]
fn writes_overlap_when_clocks_differ_by_more_than_was_promised() {
    for seed in 0..20 {
        assert_eq!(an_hour([1, 8], seed).len(), 2);
    }
}
