//! The set of keys that are due, or will be; never holds anything but keys and never runs anything.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::hash::Hash;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::time::{DelayQueue, delay_queue};

/// `DelayQueue` panics on a deadline that is more than two years away. A key that comes due a day
/// early costs one look.
const DELAY_MAX: Duration = Duration::from_hours(24);

/// A work queue with the guarantees of client-go's:
///
/// - **Stingy**: a key is in the queue once; of two deadlines the earlier wins.
/// - **Exclusive**: a key that was handed out is not handed out again before [`Self::done`].
/// - **Lossless**: a key added while it is handed out comes again after [`Self::done`].
/// - **Fair**: keys are handed out in the order in which they came due.
///
/// A plain struct: who owns it decides when to wait on it.
#[derive(Debug)]
pub struct WorkQueue<K> {
    places: HashMap<K, Place>,
    later: DelayQueue<K>,
    /// In the order of coming due.
    due: VecDeque<(K, Instant)>,
}

/// Where a key is; a key without a place is not in the queue.
#[derive(Debug)]
enum Place {
    Later(delay_queue::Key),
    Due,
    /// Handed out; `again` is the earliest deadline that was asked for meanwhile.
    Out {
        again: Option<Instant>,
    },
}

impl<K> Default for WorkQueue<K> {
    fn default() -> Self {
        Self { places: HashMap::new(), later: DelayQueue::new(), due: VecDeque::new() }
    }
}

impl<K: Clone + Eq + Hash> WorkQueue<K> {
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes `key` due after `delay` at the latest. Delays above a day are taken for a day.
    pub fn add(&mut self, key: K, delay: Duration) {
        let now = Instant::now();
        self.add_at(key, now + delay.min(DELAY_MAX), now);
    }

    fn add_at(&mut self, key: K, at: Instant, now: Instant) {
        match self.places.get_mut(&key) {
            None => self.place(key, at, now),
            Some(Place::Due) => {}
            Some(Place::Out { again }) => *again = Some(again.map_or(at, |before| before.min(at))),
            Some(Place::Later(entry)) => {
                let entry = *entry;
                if at < self.later.deadline(&entry) {
                    self.later.remove(&entry);
                    self.place(key, at, now);
                }
            }
        }
    }

    fn place(&mut self, key: K, at: Instant, now: Instant) {
        let place = if at <= now {
            self.due.push_back((key.clone(), at));
            Place::Due
        } else {
            Place::Later(self.later.insert_at(key.clone(), at))
        };
        self.places.insert(key, place);
    }

    /// Waits for the next key that is due and hands it out; waits for ever while there is none.
    ///
    /// Cancel-safe: a key leaves the queue only together with being returned.
    pub async fn next(&mut self) -> K {
        self.next_if(true).await
    }

    /// As [`Self::next`], but hands out nothing unless `free`: keys that come due line up.
    pub async fn next_if(&mut self, free: bool) -> K {
        poll_fn(|cx| self.poll_next(cx, free)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, free: bool) -> Poll<K> {
        // All that is due lines up before anything is handed out: `DelayQueue` itself hands out
        // the newest of those due, so that one busy key could starve the others.
        while let Poll::Ready(Some(expired)) = self.later.poll_expired(cx) {
            let at = expired.deadline();
            let key = expired.into_inner();
            self.places.insert(key.clone(), Place::Due);
            self.due.push_back((key, at));
        }
        if !free {
            return Poll::Pending;
        }
        let Some((key, _)) = self.due.pop_front() else { return Poll::Pending };
        self.places.insert(key.clone(), Place::Out { again: None });
        Poll::Ready(key)
    }

    /// Takes back a key that was handed out. It comes again if it was added meanwhile; a key that
    /// is not out is left as it is.
    pub fn done(&mut self, key: &K) {
        let Some(Place::Out { again }) = self.places.get(key) else { return };
        let again = *again;
        self.places.remove(key);
        if let Some(at) = again {
            self.place(key.clone(), at, Instant::now());
        }
    }

    /// How many keys are due and not handed out.
    pub fn depth(&self) -> usize {
        self.due.len()
    }

    /// For how long the first in line has been due; zero when none is.
    pub fn oldest_age(&self) -> Duration {
        self.due.front().map_or(Duration::ZERO, |(_, at)| at.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// What comes out within `within`, with the second at which it does, giving each back at once.
    async fn drained(queue: &mut WorkQueue<&'static str>, within: u32) -> Vec<(&'static str, u64)> {
        let began = Instant::now();
        let mut out = Vec::new();
        while let Ok(key) =
            timeout((SECOND * within).saturating_sub(began.elapsed()), queue.next()).await
        {
            out.push((key, began.elapsed().as_secs()));
            queue.done(&key);
        }
        out
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_added_twice_comes_once() {
        let mut queue = WorkQueue::new();
        queue.add("a", Duration::ZERO);
        queue.add("a", Duration::ZERO);
        queue.add("a", SECOND);
        assert_eq!(drained(&mut queue, 10).await, [("a", 0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_earlier_of_two_deadlines_wins_whichever_came_first() {
        let mut queue = WorkQueue::new();
        queue.add("sooner later", 5 * SECOND);
        queue.add("sooner later", 2 * SECOND);
        queue.add("later ignored", 3 * SECOND);
        queue.add("later ignored", 9 * SECOND);
        assert_eq!(drained(&mut queue, 20).await, [("sooner later", 2), ("later ignored", 3)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_out_is_not_handed_out_again_before_it_is_done() {
        let mut queue = WorkQueue::new();
        queue.add("a", Duration::ZERO);
        assert_eq!(queue.next().await, "a");
        queue.add("a", Duration::ZERO);
        assert!(timeout(60 * SECOND, queue.next()).await.is_err(), "a is still out");
        queue.done(&"a");
        assert_eq!(queue.next().await, "a");
        queue.done(&"a");
        assert!(timeout(60 * SECOND, queue.next()).await.is_err(), "a came for one add twice");
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_deadline_asked_for_while_a_key_is_out_is_kept() {
        let mut queue = WorkQueue::new();
        queue.add("a", Duration::ZERO);
        assert_eq!(queue.next().await, "a");
        queue.add("a", 7 * SECOND);
        queue.add("a", 4 * SECOND);
        queue.add("a", 9 * SECOND);
        queue.done(&"a");
        assert_eq!(drained(&mut queue, 30).await, [("a", 4)]);
    }

    #[tokio::test(start_paused = true)]
    async fn done_and_then_add_keeps_a_trigger_that_came_meanwhile() {
        let mut queue = WorkQueue::new();
        queue.add("a", Duration::ZERO);
        assert_eq!(queue.next().await, "a");
        queue.add("a", Duration::ZERO);
        queue.done(&"a");
        queue.add("a", 300 * SECOND);
        assert_eq!(drained(&mut queue, 10).await, [("a", 0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn cancelling_next_loses_nothing() {
        let mut queue = WorkQueue::new();
        queue.add("a", Duration::from_millis(2500));
        for _ in 0..10 {
            if timeout(SECOND, queue.next()).await.is_ok() {
                return;
            }
        }
        panic!("a was lost");
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_key_does_not_starve_one_that_is_due() {
        let mut queue = WorkQueue::new();
        queue.add("quiet", SECOND);
        queue.add("busy", Duration::ZERO);
        let mut rounds = 0;
        while queue.next().await == "busy" {
            queue.add("busy", Duration::ZERO);
            tokio::time::advance(SECOND / 10).await;
            queue.done(&"busy");
            rounds += 1;
            assert!(rounds < 20, "quiet was due after ten rounds and did not come");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn keys_that_come_due_while_nobody_is_free_line_up_in_order() {
        let mut queue = WorkQueue::new();
        queue.add("third", 3 * SECOND);
        queue.add("first", SECOND);
        queue.add("second", 2 * SECOND);
        assert!(timeout(10 * SECOND, queue.next_if(false)).await.is_err());
        assert_eq!((queue.depth(), queue.oldest_age().as_secs()), (3, 9));
        let order: Vec<_> = drained(&mut queue, 1).await.into_iter().map(|(key, _)| key).collect();
        assert_eq!(order, ["first", "second", "third"]);
        assert_eq!((queue.depth(), queue.oldest_age()), (0, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_of_centuries_does_not_panic_and_comes_within_a_day() {
        let mut queue = WorkQueue::new();
        queue.add("a", Duration::MAX);
        assert_eq!(drained(&mut queue, 100_000).await, [("a", 86_400)]);
    }

    #[tokio::test(start_paused = true)]
    async fn done_with_a_key_that_is_not_out_changes_nothing() {
        let mut queue = WorkQueue::new();
        queue.add("a", SECOND);
        queue.done(&"a");
        queue.done(&"never seen");
        assert_eq!(drained(&mut queue, 10).await, [("a", 1)]);
    }

    /// Random adds, hand-outs and returns against the simplest model there is: a list of wishes.
    #[tokio::test(start_paused = true)]
    async fn every_wish_is_met_by_a_hand_out_that_begins_at_or_after_it() {
        for seed in 0..50 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut queue = WorkQueue::new();
            let mut wishes = [None::<Instant>; 5];
            let mut out = Vec::new();
            for _ in 0..400 {
                match rng.u8(0..3) {
                    0 => {
                        let key = rng.usize(0..5);
                        let delay = SECOND * rng.u32(0..4);
                        queue.add(key, delay);
                        let at = Instant::now() + delay;
                        wishes[key] =
                            Some(wishes[key].map_or(at, |before: Instant| before.min(at)));
                    }
                    1 if !out.is_empty() => {
                        let key = out.swap_remove(rng.usize(0..out.len()));
                        queue.done(&key);
                    }
                    _ => {
                        if let Ok(key) = timeout(SECOND, queue.next()).await {
                            assert!(!out.contains(&key), "seed {seed}: {key} is out twice");
                            let wish = wishes[key].take();
                            assert!(wish.is_some(), "seed {seed}: nobody asked for {key}");
                            assert!(wish <= Some(Instant::now()), "seed {seed}: {key} is early");
                            out.push(key);
                        }
                    }
                }
            }
            for key in &out {
                queue.done(key);
            }
            while let Ok(key) = timeout(10 * SECOND, queue.next()).await {
                wishes[key] = None;
                queue.done(&key);
            }
            assert_eq!(wishes, [None; 5], "seed {seed}: a wish was lost");
        }
    }
}
