//! Closed minutes put together until they hold enough requests; never a part of a minute.

use jiff::Timestamp;

use super::series::{Minutes, next_minute};

/// Some consecutive minutes of one target group, and what was measured in them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) value: f64,
}

/// What one minute adds: how much it weighs, and its value times that weight.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Weighed {
    pub(crate) weight: f64,
    pub(crate) sum: f64,
}

/// Windows of at least `least` requests each, oldest first, each the mean of its minutes by weight. What
/// is left at the end is not enough yet.
pub(crate) fn grown(
    requests: &Minutes,
    least: f64,
    weigh: impl Fn(Timestamp, f64) -> Weighed,
) -> Vec<Window> {
    let mut windows = Vec::new();
    let mut open: Option<(Timestamp, f64, Weighed)> = None;
    for (minute, number) in requests.iter().filter(|(_, number)| **number > 0.0) {
        let (from, before, weighed) = open.take().unwrap_or((*minute, 0.0, Weighed::default()));
        let one = weigh(*minute, *number);
        let all = Weighed { weight: weighed.weight + one.weight, sum: weighed.sum + one.sum };
        let together = before + number;
        if together >= least && all.weight > 0.0 {
            let (until, value) = (next_minute(*minute), all.sum / all.weight);
            windows.push(Window { from, until, value });
        } else {
            open = Some((from, together, all));
        }
    }
    windows
}

/// One window for each minute with data.
pub(crate) fn each(minutes: &Minutes) -> Vec<Window> {
    let window = |(from, value): (&Timestamp, &f64)| Window {
        from: *from,
        until: next_minute(*from),
        value: *value,
    };
    minutes.iter().map(window).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(numbers: &[f64]) -> Minutes {
        let start = |index: usize| {
            Timestamp::from_second(60 * i64::try_from(index).expect("few")).expect("early")
        };
        numbers.iter().enumerate().map(|(index, number)| (start(index), *number)).collect()
    }

    fn values(requests: &[f64], least: f64) -> Vec<f64> {
        let weigh = |_, number: f64| Weighed { weight: number, sum: number * number };
        grown(&minutes(requests), least, weigh).into_iter().map(|one| one.value).collect()
    }

    #[test]
    fn minutes_are_put_together_until_they_hold_enough_requests() {
        assert_eq!(values(&[10.0, 10.0], 10.0), [10.0, 10.0]);
        assert_eq!(values(&[4.0, 6.0, 10.0, 3.0], 10.0), [5.2, 10.0]);
        assert_eq!(values(&[0.0, 0.0, 10.0], 10.0), [10.0], "minutes without requests say nothing");
        assert!(values(&[9.0], 10.0).is_empty());
    }

    #[test]
    fn a_window_whose_requests_have_no_value_goes_on() {
        let weigh = |minute: Timestamp, number: f64| {
            let weight = if minute.as_second() == 0 { 0.0 } else { number };
            Weighed { weight, sum: weight * 3.0 }
        };
        let windows = grown(&minutes(&[10.0, 10.0]), 10.0, weigh);
        assert_eq!(windows.iter().map(|one| one.value).collect::<Vec<_>>(), [3.0]);
        assert_eq!(windows[0].from.as_second(), 0);
    }
}
