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
/// - **Fair**: keys of one urgency are handed out in the order in which they came due. Urgent ones
///   go first, but of [`ORDINARY_EVERY`] hand-outs one is ordinary while any waits, unless there is
///   room for urgent ones alone.
///
/// A plain struct: who owns it decides when to wait on it.
#[derive(Debug)]
pub struct WorkQueue<K> {
    places: HashMap<K, Place>,
    later: DelayQueue<K>,
    /// In the order of coming due, each.
    urgent: VecDeque<(K, Instant)>,
    ordinary: VecDeque<(K, Instant)>,
    /// Urgent hand-outs since the last ordinary one.
    urgent_in_a_row: usize,
    /// Keys that were handed out as ordinary ones and are not done.
    ordinary_out: usize,
}

/// One hand-out of so many is ordinary, however many urgent keys wait.
pub const ORDINARY_EVERY: usize = 4;

/// Whether a key may wait behind many others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    Ordinary,
    Urgent,
}

/// What there is room for at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    None,
    Urgent,
    /// As [`Self::Urgent`], but for an ordinary key whose turn it is.
    Turns,
    Any,
}

/// Where a key is; a key without a place is not in the queue.
#[derive(Debug)]
enum Place {
    Later(delay_queue::Key, Urgency),
    Due(Urgency),
    /// Handed out, as what; with the earliest deadline and the highest urgency asked for meanwhile.
    Out(Urgency, Option<(Instant, Urgency)>),
}

impl<K> Default for WorkQueue<K> {
    fn default() -> Self {
        Self {
            places: HashMap::new(),
            later: DelayQueue::new(),
            urgent: VecDeque::new(),
            ordinary: VecDeque::new(),
            urgent_in_a_row: 0,
            ordinary_out: 0,
        }
    }
}

impl<K: Clone + Eq + Hash> WorkQueue<K> {
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes `key` due after `delay` at the latest, and at least as urgent as `urgency` until it
    /// is handed out. Delays above a day are taken for a day.
    pub fn add(&mut self, key: K, delay: Duration, urgency: Urgency) {
        let at = Instant::now() + delay.min(DELAY_MAX);
        match self.places.get_mut(&key) {
            None => self.place(key, at, urgency),
            Some(Place::Due(before)) if *before >= urgency => {}
            Some(Place::Due(_)) => self.hurry(&key),
            Some(Place::Out(_, again)) => {
                let (first, most) = again.unwrap_or((at, urgency));
                *again = Some((first.min(at), most.max(urgency)));
            }
            Some(Place::Later(entry, before)) => {
                *before = urgency.max(*before);
                let (entry, urgency) = (*entry, *before);
                if at < self.later.deadline(&entry) {
                    self.later.remove(&entry);
                    self.place(key, at, urgency);
                }
            }
        }
    }

    fn place(&mut self, key: K, at: Instant, urgency: Urgency) {
        if at <= Instant::now() {
            self.line_up(key, at, urgency);
        } else {
            let entry = self.later.insert_at(key.clone(), at);
            self.places.insert(key, Place::Later(entry, urgency));
        }
    }

    fn line_up(&mut self, key: K, at: Instant, urgency: Urgency) {
        self.places.insert(key.clone(), Place::Due(urgency));
        match urgency {
            Urgency::Ordinary => self.ordinary.push_back((key, at)),
            Urgency::Urgent => self.urgent.push_back((key, at)),
        }
    }

    /// Moves a key that is due from the ordinary line to the urgent one.
    fn hurry(&mut self, key: &K) {
        let position = self.ordinary.iter().position(|(waiting, _)| waiting == key);
        if let Some((key, at)) = position.and_then(|position| self.ordinary.remove(position)) {
            self.line_up(key, at, Urgency::Urgent);
        }
    }

    /// Waits for the next key that is due and hands it out; waits for ever while there is none.
    ///
    /// Cancel-safe: a key leaves the queue only together with being returned.
    pub async fn next(&mut self) -> K {
        self.next_for(Room::Any).await
    }

    /// As [`Self::next`], but hands out only what there is `room` for: other keys that come due
    /// line up.
    pub async fn next_for(&mut self, room: Room) -> K {
        poll_fn(|cx| self.poll_next(cx, room)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, room: Room) -> Poll<K> {
        // All that is due lines up before anything is handed out: `DelayQueue` itself hands out
        // the newest of those due, so that one busy key could starve the others.
        while let Poll::Ready(Some(expired)) = self.later.poll_expired(cx) {
            let at = expired.deadline();
            let key = expired.into_inner();
            let urgency = match self.places.get(&key) {
                Some(Place::Later(_, urgency)) => *urgency,
                Some(Place::Due(_) | Place::Out(..)) | None => Urgency::Ordinary,
            };
            self.line_up(key, at, urgency);
        }
        let Some((key, lane)) = self.pop(room) else { return Poll::Pending };
        self.places.insert(key.clone(), Place::Out(lane, None));
        Poll::Ready(key)
    }

    fn pop(&mut self, room: Room) -> Option<(K, Urgency)> {
        let is_ordinary_turn = self.urgent_in_a_row + 1 >= ORDINARY_EVERY;
        let lane = match room {
            Room::None => return None,
            Room::Any if self.urgent.is_empty() => Urgency::Ordinary,
            Room::Any | Room::Turns if is_ordinary_turn && !self.ordinary.is_empty() => {
                Urgency::Ordinary
            }
            Room::Any | Room::Turns | Room::Urgent => Urgency::Urgent,
        };
        let key = match lane {
            Urgency::Ordinary => {
                let (key, _) = self.ordinary.pop_front()?;
                self.urgent_in_a_row = 0;
                self.ordinary_out += 1;
                key
            }
            Urgency::Urgent => {
                let (key, _) = self.urgent.pop_front()?;
                self.urgent_in_a_row = self.urgent_in_a_row.saturating_add(1);
                key
            }
        };
        Some((key, lane))
    }

    /// How many of the keys that are handed out were so as ordinary ones.
    pub fn ordinary_out(&self) -> usize {
        self.ordinary_out
    }

    /// Takes back a key that was handed out. It comes again if it was added meanwhile; a key that
    /// is not out is left as it is.
    pub fn done(&mut self, key: &K) {
        let Some(Place::Out(lane, again)) = self.places.get(key) else { return };
        let (lane, again) = (*lane, *again);
        self.places.remove(key);
        if lane == Urgency::Ordinary {
            self.ordinary_out = self.ordinary_out.saturating_sub(1);
        }
        if let Some((at, urgency)) = again {
            self.place(key.clone(), at, urgency);
        }
    }

    /// How many keys are due and not handed out.
    pub fn depth(&self) -> usize {
        self.urgent.len() + self.ordinary.len()
    }

    /// For how long the key that has waited longest has been due; zero when none is.
    pub fn oldest_age(&self) -> Duration {
        let first = self.urgent.front().into_iter().chain(self.ordinary.front());
        first.map(|(_, at)| at.elapsed()).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::Urgency::{Ordinary, Urgent};
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
        queue.add("a", Duration::ZERO, Ordinary);
        queue.add("a", Duration::ZERO, Ordinary);
        queue.add("a", SECOND, Ordinary);
        assert_eq!(drained(&mut queue, 10).await, [("a", 0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_added_twice_overtakes_none_and_stays_as_urgent_as_it_was() {
        let mut queue = WorkQueue::new();
        for key in ["first", "again"] {
            queue.add(key, Duration::ZERO, Ordinary);
        }
        queue.add("again", Duration::ZERO, Ordinary);
        for urgency in [Urgent, Ordinary] {
            queue.add("urgent", Duration::ZERO, urgency);
        }
        let order: Vec<_> = drained(&mut queue, 1).await.into_iter().map(|(key, _)| key).collect();
        assert_eq!(order, ["urgent", "first", "again"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_earlier_of_two_deadlines_wins_whichever_came_first() {
        let mut queue = WorkQueue::new();
        queue.add("sooner later", 5 * SECOND, Ordinary);
        queue.add("sooner later", 2 * SECOND, Ordinary);
        queue.add("later ignored", 3 * SECOND, Ordinary);
        queue.add("later ignored", 9 * SECOND, Ordinary);
        assert_eq!(drained(&mut queue, 20).await, [("sooner later", 2), ("later ignored", 3)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_out_is_not_handed_out_again_before_it_is_done() {
        let mut queue = WorkQueue::new();
        queue.add("a", Duration::ZERO, Ordinary);
        assert_eq!(queue.next().await, "a");
        queue.add("a", Duration::ZERO, Ordinary);
        assert!(timeout(60 * SECOND, queue.next()).await.is_err(), "a is still out");
        queue.done(&"a");
        assert_eq!(queue.next().await, "a");
        queue.done(&"a");
        assert!(timeout(60 * SECOND, queue.next()).await.is_err(), "a came for one add twice");
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_deadline_asked_for_while_a_key_is_out_is_kept() {
        let mut queue = WorkQueue::new();
        queue.add("a", Duration::ZERO, Ordinary);
        assert_eq!(queue.next().await, "a");
        queue.add("a", 7 * SECOND, Ordinary);
        queue.add("a", 4 * SECOND, Ordinary);
        queue.add("a", 9 * SECOND, Ordinary);
        queue.done(&"a");
        assert_eq!(drained(&mut queue, 30).await, [("a", 4)]);
    }

    #[tokio::test(start_paused = true)]
    async fn done_and_then_add_keeps_a_trigger_that_came_meanwhile() {
        let mut queue = WorkQueue::new();
        queue.add("a", Duration::ZERO, Ordinary);
        assert_eq!(queue.next().await, "a");
        queue.add("a", Duration::ZERO, Ordinary);
        queue.done(&"a");
        queue.add("a", 300 * SECOND, Ordinary);
        assert_eq!(drained(&mut queue, 10).await, [("a", 0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn cancelling_next_loses_nothing() {
        let mut queue = WorkQueue::new();
        queue.add("a", Duration::from_millis(2500), Ordinary);
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
        queue.add("quiet", SECOND, Ordinary);
        queue.add("busy", Duration::ZERO, Ordinary);
        let mut rounds = 0;
        while queue.next().await == "busy" {
            queue.add("busy", Duration::ZERO, Ordinary);
            tokio::time::advance(SECOND / 10).await;
            queue.done(&"busy");
            rounds += 1;
            assert!(rounds < 20, "quiet was due after ten rounds and did not come");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn keys_that_come_due_while_nobody_is_free_line_up_in_order() {
        let mut queue = WorkQueue::new();
        queue.add("third", 3 * SECOND, Ordinary);
        queue.add("first", SECOND, Ordinary);
        queue.add("second", 2 * SECOND, Ordinary);
        assert!(timeout(10 * SECOND, queue.next_for(Room::None)).await.is_err());
        assert_eq!((queue.depth(), queue.oldest_age().as_secs()), (3, 9));
        let order: Vec<_> = drained(&mut queue, 1).await.into_iter().map(|(key, _)| key).collect();
        assert_eq!(order, ["first", "second", "third"]);
        assert_eq!((queue.depth(), queue.oldest_age()), (0, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn urgent_keys_go_first_and_leave_every_fourth_turn_to_the_others() {
        let mut queue = WorkQueue::new();
        for key in ["o1", "o2"] {
            queue.add(key, Duration::ZERO, Ordinary);
        }
        for key in ["u1", "u2", "u3", "u4", "u5"] {
            queue.add(key, Duration::ZERO, Urgent);
        }
        let order: Vec<_> = drained(&mut queue, 1).await.into_iter().map(|(key, _)| key).collect();
        assert_eq!(order, ["u1", "u2", "u3", "o1", "u4", "u5", "o2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn room_for_urgent_keys_hands_out_no_other() {
        let mut queue = WorkQueue::new();
        queue.add("ordinary", Duration::ZERO, Ordinary);
        assert!(timeout(SECOND, queue.next_for(Room::Urgent)).await.is_err());
        queue.add("urgent", Duration::ZERO, Urgent);
        assert_eq!(timeout(SECOND, queue.next_for(Room::Urgent)).await, Ok("urgent"));
    }

    #[tokio::test(start_paused = true)]
    async fn where_keys_take_turns_every_fourth_is_ordinary_and_else_none() {
        let mut queue = WorkQueue::new();
        for key in ["o1", "o2"] {
            queue.add(key, Duration::ZERO, Ordinary);
        }
        assert!(timeout(SECOND, queue.next_for(Room::Turns)).await.is_err(), "not its turn");
        for key in ["u1", "u2", "u3", "u4"] {
            queue.add(key, Duration::ZERO, Urgent);
        }
        let mut order = Vec::new();
        while let Ok(key) = timeout(SECOND, queue.next_for(Room::Turns)).await {
            order.push(key);
        }
        assert_eq!(order, ["u1", "u2", "u3", "o1", "u4"]);
    }

    #[tokio::test(start_paused = true)]
    async fn keys_that_were_handed_out_as_ordinary_count_as_such_until_they_are_done() {
        let mut queue = WorkQueue::new();
        queue.add("ordinary", Duration::ZERO, Ordinary);
        queue.add("urgent", Duration::ZERO, Urgent);
        for count in [0, 1] {
            let key = queue.next().await;
            queue.add(key, Duration::ZERO, Urgent);
            assert_eq!(queue.ordinary_out(), count);
        }
        queue.done(&"urgent");
        assert_eq!(queue.ordinary_out(), 1);
        queue.done(&"ordinary");
        queue.done(&"ordinary");
        assert_eq!(queue.ordinary_out(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_becomes_urgent_overtakes_wherever_it_is() {
        let mut queue = WorkQueue::new();
        for key in ["first", "due", "later", "out"] {
            queue.add(key, if key == "later" { SECOND } else { Duration::ZERO }, Ordinary);
        }
        for key in ["first", "due", "out"] {
            assert_eq!(queue.next().await, key);
        }
        for key in ["first", "due"] {
            queue.done(&key);
            queue.add(key, Duration::ZERO, Ordinary);
        }
        for key in ["due", "later", "out"] {
            queue.add(key, 2 * SECOND, Urgent);
        }
        queue.done(&"out");
        tokio::time::advance(3 * SECOND).await;
        let order: Vec<_> = drained(&mut queue, 1).await.into_iter().map(|(key, _)| key).collect();
        assert_eq!(order, ["due", "later", "out", "first"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_of_centuries_does_not_panic_and_comes_within_a_day() {
        let mut queue = WorkQueue::new();
        queue.add("a", Duration::MAX, Ordinary);
        assert_eq!(drained(&mut queue, 100_000).await, [("a", 86_400)]);
    }

    #[tokio::test(start_paused = true)]
    async fn done_with_a_key_that_is_not_out_changes_nothing() {
        let mut queue = WorkQueue::new();
        queue.add("a", SECOND, Ordinary);
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
                        queue.add(key, delay, Ordinary);
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
