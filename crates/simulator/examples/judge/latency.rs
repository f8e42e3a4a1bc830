//! Rollouts in which each window has one value of each target group, such as a latency percentile.

use evenkeel_planner::{ComparisonOutcome, ComparisonSettings, Direction, compare_values};
use fastrand::Rng;

use crate::playing::Playing;
use crate::report::{Cell, PROMISED, Share, Table};

/// How values come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// Each minute for itself.
    Independent,
    /// Both follow the same wave and the same random walk.
    Drifting,
    /// Mostly nothing, now and then a few: whole numbers.
    Tied,
    /// A good part of a minute stays in the next one, in each target group apart.
    Lingering,
}

/// How far values of a minute are from their middle, as a part of it.
const SPREAD: f64 = 0.1;

/// How much of a deviation lingers.
const LINGERS: f64 = 0.5;

#[derive(Clone, Debug, Default)]
struct Values {
    stable: Vec<f64>,
    new: Vec<f64>,
}

impl Values {
    fn draw(windows: u32, course: Course, times: f64, rng: &mut Rng) -> Self {
        let mut values = Self::default();
        let (mut walk, mut of_stable, mut of_new) = (0.0, 0.0, 0.0);
        for window in 0..windows {
            walk += normal(rng) * 0.05;
            let wave = (f64::from(window) / 5.0).sin() * 0.2;
            let common = if course == Course::Drifting { walk + wave } else { 0.0 };
            of_stable = deviation(course, of_stable, rng);
            of_new = deviation(course, of_new, rng);
            values.stable.push(value(course, common + of_stable));
            values.new.push(value(course, common + of_new) * times);
        }
        values
    }
}

/// The first number of windows after which a look finds the new target group worse.
fn found_at(stable: &[f64], new: &[f64], settings: &ComparisonSettings) -> Option<usize> {
    (1..=new.len()).find(|windows| {
        let seen = |values: &[f64]| values.get(..*windows).unwrap_or_default().to_vec();
        is_worse(&seen(stable), &seen(new), settings)
    })
}

/// Whether a look after one of the windows finds the new target group worse.
pub(crate) fn is_found_worse(stable: &[f64], new: &[f64], settings: &ComparisonSettings) -> bool {
    found_at(stable, new, settings).is_some()
}

fn is_worse(stable: &[f64], new: &[f64], settings: &ComparisonSettings) -> bool {
    compare_values(stable, new, Direction::Up, settings).outcome == ComparisonOutcome::Worse
}

fn deviation(course: Course, before: f64, rng: &mut Rng) -> f64 {
    let fresh = normal(rng) * SPREAD;
    if course == Course::Lingering {
        LINGERS * before + (1.0 - LINGERS * LINGERS).sqrt() * fresh
    } else {
        fresh
    }
}

fn value(course: Course, deviation: f64) -> f64 {
    match course {
        Course::Tied => (deviation * 20.0).floor().max(0.0),
        _ => 100.0 * deviation.exp(),
    }
}

/// Box and Muller (1958).
fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

/// What is outside of the promise is played to show by how much, not to measure it well.
const FEWER: u32 = 50;

/// Rollouts of the same revision: so many for all kinds of values together.
pub(crate) fn false_rollbacks(
    playing: &Playing,
    rollouts: u32,
    settings: &ComparisonSettings,
) -> Table {
    let bare = ComparisonSettings { tolerance: 0.0, allowed_increase: 1.0, ..*settings };
    let courses = [
        ("independent", Course::Independent, rollouts / 3),
        ("both drift", Course::Drifting, rollouts / 3),
        ("mostly zero, with ties", Course::Tied, rollouts / 3),
        ("half lingers, of each", Course::Lingering, rollouts / FEWER),
    ];
    let mut rows = Vec::new();
    for (settings_named, settings) in [("defaults", settings), ("any sure shift", &bare)] {
        for (course_named, course, of) in courses {
            let what = format!("values of the same revision, {course_named}, {settings_named}");
            let [count] = playing.count(&what, of, |rng| {
                let values = Values::draw(24, course, 1.0, rng);
                [is_found_worse(&values.stable, &values.new, settings)]
            });
            let promised = if course == Course::Lingering { "no" } else { PROMISED };
            let named = [course_named, settings_named].map(Cell::text);
            let share = Cell::Share(Share { count, of });
            rows.push(named.into_iter().chain([share, Cell::text(promised)]).collect());
        }
    }
    let columns = ["values", "settings", "false rollbacks (95 %)", "promised"];
    Table {
        title: "Values, no difference: 24 windows that vary by 10 %",
        columns: columns.map(str::to_owned).to_vec(),
        rows,
        is_false_rate: true,
    }
}

const AFTER: [usize; 4] = [10, 20, 30, 60];

/// Shifts that are not found after so many windows.
pub(crate) fn misses(playing: &Playing, rollouts: u32, settings: &ComparisonSettings) -> Table {
    let row = |times: f64| {
        let what = format!("values {times} times as high");
        let [a, b, c, d, one_look] = playing.count(&what, rollouts, |rng| {
            let values = Values::draw(60, Course::Independent, times, rng);
            let found_at = found_at(&values.stable, &values.new, settings).unwrap_or(usize::MAX);
            let [a, b, c, d] = AFTER.map(|windows| found_at > windows);
            [a, b, c, d, !one_look(&values, 30, settings)]
        });
        let share = |count| Cell::Share(Share { count, of: rollouts });
        let times = Cell::text(format!("{times:.2} times"));
        [times].into_iter().chain([a, b, c, d, one_look].map(share)).collect()
    };
    let after = AFTER.map(|windows| format!("after {windows} windows"));
    let one_look = "(one look after 30)".to_owned();
    Table {
        title: "Missed: values that are higher, and vary by 10 % from window to window",
        columns: ["shift".to_owned()].into_iter().chain(after).chain([one_look]).collect(),
        rows: [1.05, 1.1, 1.15, 1.2, 1.3, 1.5, 2.0].map(row).to_vec(),
        is_false_rate: false,
    }
}

/// The plain rank-sum test of the same alpha, of any shift, once after so many windows.
fn one_look(values: &Values, windows: u32, settings: &ComparisonSettings) -> bool {
    let min_windows = usize::try_from(windows).unwrap_or(usize::MAX);
    let once = ComparisonSettings {
        // The first of many looks may spend one part in `windows + 1`.
        alpha: settings.alpha * f64::from(windows + 1),
        min_windows,
        tolerance: 0.0,
        allowed_increase: 1.0,
        ..*settings
    };
    let stable = values.stable.get(..min_windows).unwrap_or_default();
    is_worse(stable, values.new.get(..min_windows).unwrap_or_default(), &once)
}
