//! Rollouts on all cores, each from its own seed, so that the number of cores changes nothing.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use fastrand::Rng;

#[derive(Debug)]
pub(crate) struct Playing {
    seed: u64,
    began: Instant,
}

/// Apart enough that no rollout of one line shares its seed with one of another.
const LINE: u64 = 1 << 40;

impl Playing {
    pub(crate) fn from_seed(seed: u64) -> Self {
        Self { seed, began: Instant::now() }
    }

    /// Plays so many rollouts and adds up what `play` counts of each. `what` tells lines apart.
    pub(crate) fn count<const N: usize>(
        &self,
        what: &str,
        rollouts: u32,
        play: impl Fn(&mut Rng) -> [bool; N] + Sync,
    ) -> [u32; N] {
        self.progress(what);
        let line = what.bytes().fold(self.seed, |seed, byte| {
            seed.wrapping_mul(0x0100_0000_01B3).wrapping_add(u64::from(byte))
        });
        let next = AtomicU32::new(0);
        let some = || {
            let mut counts = [0; N];
            loop {
                let rollout = next.fetch_add(1, Ordering::Relaxed);
                if rollout >= rollouts {
                    return counts;
                }
                let seed = line.wrapping_mul(LINE).wrapping_add(u64::from(rollout)) ^ line;
                let found = play(&mut Rng::with_seed(seed));
                counts.iter_mut().zip(found).for_each(|(sum, one)| *sum += u32::from(one));
            }
        };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..cores).map(|_| scope.spawn(some)).collect();
            threads.into_iter().fold([0; N], |mut sums, thread| {
                let counts = thread.join().expect("a rollout does not panic");
                sums.iter_mut().zip(counts).for_each(|(sum, one)| *sum += one);
                sums
            })
        })
    }

    fn progress(&self, what: &str) {
        let mut err = std::io::stderr().lock();
        if err.is_terminal() {
            write!(err, "\r\x1b[K{:.0} s: {what}", self.began.elapsed().as_secs_f64()).ok();
            err.flush().ok();
        }
    }

    /// Says how long it took.
    pub(crate) fn done(&self) {
        let mut err = std::io::stderr().lock();
        if err.is_terminal() {
            writeln!(err, "\r\x1b[K{:.0} s", self.began.elapsed().as_secs_f64()).ok();
        }
    }
}

/// The cores that rollouts are played on do not show in the result.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rollout_is_played_once_and_lines_differ() {
        let playing = Playing::from_seed(3);
        let heads = |what: &str| playing.count(what, 1000, |rng| [rng.bool(), true]);
        assert_eq!(heads("one"), heads("one"));
        assert_ne!(heads("one"), heads("another"));
        assert_eq!(heads("one")[1], 1000);
    }
}
