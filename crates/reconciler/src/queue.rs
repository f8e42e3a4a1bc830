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
