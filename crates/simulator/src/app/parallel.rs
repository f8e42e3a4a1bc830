//! The same work on many things, on as many threads as are given; never changes their order.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What `work` makes of each of the things, in their order.
pub(super) fn each<T: Sync, R: Send>(
    things: &[T],
    threads: usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(things.len()));
    let serve = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(thing) = things.get(index) else { return };
            let result = work(thing);
            done.lock().expect("a panic in another thread ends the work").push((index, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(serve);
        }
    });
    let mut done = done.into_inner().expect("all threads have ended well");
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_kept_on_any_number_of_threads() {
        let numbers: Vec<u32> = (0..100).collect();
        for threads in [0, 1, 7] {
            let squares = each(&numbers, threads, |number| number * number);
            assert_eq!(squares, numbers.iter().map(|number| number * number).collect::<Vec<_>>());
        }
    }
}
