//! The end of a course: nothing goes wrong any more, and everything has the time to settle; never says
//! whether it did.

use std::time::Duration;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Status, Wait, WaitReason};
use tokio::time::Instant;

use super::super::course::{Course, InScript};
use super::super::event::{Event, Replica};
use super::{Stage, calm};

/// After the last fault everything has ended by then: the hour for which somebody else's deployment, or
/// a field that is changed back again and again, is left alone, a deadline of ten minutes, a rollback with another one, ECS's own back-off of at most 27
/// minutes, and some looks.
const SETTLES_WITHIN: Duration = Duration::from_hours(3);

/// How long nothing may happen until a course that ends early is over: every service is looked at at
/// least twice within it.
const STILL_FOR: Duration = Duration::from_mins(20);

impl Stage {
    /// Ends all faults, and gives everything the time to settle.
    pub async fn settle(&mut self) {
        self.heal().await;
        tokio::time::sleep(SETTLES_WITHIN).await;
        self.look(|course| course.tell(&Event::Over));
    }

    /// As [`Self::settle`], but over as soon as nothing was written for a while and no daemon waits for
    /// anything that comes by itself. What only shows after an hour of rest is not found.
    pub async fn settle_until_still(&mut self) {
        self.heal().await;
        let began = Instant::now();
        let ends = began + SETTLES_WITHIN;
        let (mut writes, mut still) = (0, Duration::ZERO);
        // Long enough that the last quarter of the calm, in which nothing may be written, lies within it.
        while still < STILL_FOR.max(began.elapsed() / 3) && Instant::now() < ends {
            tokio::time::sleep(STILL_FOR / 4).await;
            let written = self.look(|course| course.writes);
            let is_still = written == writes && self.is_at_rest();
            still = if is_still { still + STILL_FOR / 4 } else { Duration::ZERO };
            writes = written;
        }
        self.look(|course| course.tell(&Event::Over));
    }

    /// Ends all faults, and lets people say what they still have to say.
    async fn heal(&mut self) {
        self.look(Self::ends_faults);
        if self.people.have_spoken().await {
            self.look(calm);
        }
    }

    fn ends_faults(course: &mut Course) {
        let wakes = course.seats.get(&Replica(0)).map_or(0, |seat| seat.wakes);
        let (calls, took) = (course.calls, course.elapsed());
        course.in_script = Some(InScript { calls, wakes, took });
        calm(course);
    }

    /// Whether some daemon lately saw every service, and waits for nothing or for a person. The status of a daemon that
    /// looks after none of it has the time of this machine, which is no time of the course.
    fn is_at_rest(&self) -> bool {
        self.look(|course| {
            let lately = course.now() - STILL_FOR;
            let rests = |status: &Status| {
                let persons = [WaitReason::Paused, WaitReason::Held, WaitReason::NotOwned];
                // One that has an end is no person's alone.
                let persons = |wait: &Wait| persons.contains(&wait.reason) && wait.until.is_none();
                (lately..=course.now()).contains(&status.observed_at)
                    && status.waiting.iter().all(persons)
            };
            self.wishes.values().all(|wish| {
                let key = ServiceKey::new(wish.cluster(), &*wish.name);
                let mut seen = course.seats.values().filter_map(|seat| seat.board.get(&key));
                seen.any(|status| rests(&status))
            })
        })
    }
}
