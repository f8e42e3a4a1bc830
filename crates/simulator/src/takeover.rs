//! How long services are without a daemon when the one that looks after them dies; never of real time.

use std::time::Duration;

use fastrand::Rng;

use crate::harness::{Replica, Setup, Stage, Step, Wish};

/// From the death of the holder to the first call of the other daemon, at a moment drawn from the seed.
/// `None` when a property was broken or nobody took over.
pub fn takeover(seed: u64) -> Option<Duration> {
    let mut rng = Rng::with_seed(seed);
    let setup = Setup { replicas: 2, ..Setup::new(seed) };
    let (played, took) = Stage::play(setup, async |stage| {
        let wish = Wish::new("web").with("image", "web:1").with("count", "1");
        stage.perform(&Step::Write(wish)).await.ok()?;
        let settled = Duration::from_mins(4) + Duration::from_millis(rng.u64(..10_000));
        stage.perform(&Step::Advance(settled)).await.ok()?;
        let holder = stage.look(|course| course.last_caller())?;
        let other = Replica(1 - holder.0);
        stage.perform(&Step::Down(holder)).await.ok()?;
        let died_at = stage.look(|course| course.elapsed());
        let step = Duration::from_millis(100);
        for _ in 0..1_000 {
            stage.perform(&Step::Advance(step)).await.ok()?;
            if stage.look(|course| course.last_caller()) == Some(other) {
                return stage.look(|course| course.elapsed()).checked_sub(died_at);
            }
        }
        None
    });
    took.flatten().filter(|_| played.violation.is_none())
}
