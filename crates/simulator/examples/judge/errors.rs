//! Rollouts in which requests fail; never more than one revision's worth of difference.

use evenkeel_planner::{ComparisonOutcome, ComparisonSettings, Counts, WindowPair, compare_errors};
use fastrand::Rng;

use crate::binomial::Binomial;
use crate::latency;
use crate::one_look::p_fisher;
use crate::playing::Playing;
use crate::report::{Cell, PROMISED, Share, Table};

/// Requests of both target groups in each window of a stage, which ends at a gate.
#[derive(Clone, Copy, Debug)]
struct Stage {
    windows: usize,
    new: u32,
    stable: u32,
}

/// Three gates of six minutes each.
const CANARY: [Stage; 3] = [
    Stage { windows: 6, new: 100, stable: 900 },
    Stage { windows: 6, new: 250, stable: 750 },
    Stage { windows: 6, new: 500, stable: 500 },
];

const EQUAL: [Stage; 3] = [Stage { windows: 6, new: 500, stable: 500 }; 3];

/// Which minutes are bad, for a cause that is not the revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bursts {
    None,
    /// The same minutes for both.
    Common,
    /// Each target group has its own.
    Apart,
}

/// How many times as likely errors are in a minute, and how often such minutes are.
const LEVELS: [(f64, f64); 3] = [(1.0, 0.80), (3.0, 0.15), (10.0, 0.05)];

/// The likeliest that an error becomes in a burst.
const RATE_MAX: f64 = 0.5;

/// Errors of one target group in a window, for each level.
#[derive(Clone, Debug)]
struct Arm {
    requests: u32,
    errors: [Binomial; 3],
}

impl Arm {
    fn new(requests: u32, rate: f64) -> Self {
        let errors = LEVELS.map(|(times, _)| Binomial::new(requests, (rate * times).min(RATE_MAX)));
        Self { requests, errors }
    }

    fn draw(&self, level: usize, rng: &mut Rng) -> Counts {
        let errors = self.errors.get(level).map_or(0.0, |table| table.draw(rng));
        Counts { requests: f64::from(self.requests), errors }
    }
}

fn level(rng: &mut Rng) -> usize {
    let place = rng.f64();
    let mut passed = 0.0;
    LEVELS
        .iter()
        .position(|(_, often)| {
            passed += often;
            place < passed
        })
        .unwrap_or(0)
}

/// Both target groups in one stage.
#[derive(Clone, Debug)]
struct Traffic {
    windows: usize,
    new: Arm,
    stable: Arm,
}

impl Traffic {
    fn of(stage: Stage, rate: f64, times: f64) -> Self {
        let Stage { windows, new, stable } = stage;
        Self { windows, new: Arm::new(new, rate * times), stable: Arm::new(stable, rate) }
    }

    fn window(&self, bursts: Bursts, rng: &mut Rng) -> WindowPair {
        let for_new = if bursts == Bursts::None { 0 } else { level(rng) };
        let for_stable = if bursts == Bursts::Apart { level(rng) } else { for_new };
        WindowPair { stable: self.stable.draw(for_stable, rng), new: self.new.draw(for_new, rng) }
    }
}

/// All windows of a rollout.
fn windows(traffic: &[Traffic], bursts: Bursts, rng: &mut Rng) -> Vec<WindowPair> {
    let stages = traffic.iter().flat_map(|stage| std::iter::repeat_n(stage, stage.windows));
    stages.map(|stage| stage.window(bursts, rng)).collect()
}

/// Whether a look after one of the windows finds the new target group worse.
fn is_found_worse(pairs: &[WindowPair], settings: &ComparisonSettings) -> bool {
    (1..=pairs.len()).any(|closed| {
        let seen = pairs.get(..closed).unwrap_or_default();
        compare_errors(seen, settings).outcome == ComparisonOutcome::Worse
    })
}

/// Rollouts that are outside of the promise are played to show by how much, not to measure it well.
const FEWER: u32 = 50;

/// One line of the table of false rollbacks.
#[derive(Clone, Copy, Debug)]
struct Line {
    shape: &'static str,
    stages: [Stage; 3],
    rate: f64,
    bursts: Bursts,
}

const RATES: [f64; 4] = [0.001, 0.01, 0.05, 0.2];

impl Line {
    fn all() -> Vec<Self> {
        let mut lines = Vec::new();
        for bursts in [Bursts::None, Bursts::Common, Bursts::Apart] {
            for (shape, stages) in [("canary 10, 25, 50 %", CANARY), ("half and half", EQUAL)] {
                lines.extend(RATES.map(|rate| Self { shape, stages, rate, bursts }));
            }
        }
        lines
    }

    /// A rate's rollouts are shared by the lines that are promised.
    fn play(&self, playing: &Playing, rollouts: u32, settings: &ComparisonSettings) -> Share {
        let Self { shape, stages, rate, bursts } = *self;
        let of = if self.is_promised() { rollouts / 4 } else { rollouts / FEWER };
        let traffic = stages.map(|stage| Traffic::of(stage, rate, 1.0));
        let what = format!("errors of the same revision, {shape}, {rate}, {bursts:?}");
        let [count] = playing
            .count(&what, of, |rng| [is_found_worse(&windows(&traffic, bursts, rng), settings)]);
        Share { count, of }
    }

    fn is_promised(&self) -> bool {
        self.bursts != Bursts::Apart
    }

    fn bursts(&self) -> &'static str {
        match self.bursts {
            Bursts::None => "none",
            Bursts::Common => "up to 10 times, of both",
            Bursts::Apart => "up to 10 times, of each",
        }
    }

    fn row(&self, share: Share) -> Vec<Cell> {
        let named = [self.shape.to_owned(), percent(self.rate), self.bursts().to_owned()];
        let promised = Cell::text(if self.is_promised() { PROMISED } else { "no" });
        named.map(Cell::text).into_iter().chain([Cell::Share(share), promised]).collect()
    }
}

/// Rollouts of the same revision: so many for each error rate.
pub(crate) fn false_rollbacks(
    playing: &Playing,
    rollouts: u32,
    settings: &ComparisonSettings,
) -> Table {
    let row = |line: Line| line.row(line.play(playing, rollouts, settings));
    let columns = ["traffic", "error rate", "bursts", "false rollbacks (95 %)", "promised"];
    Table {
        title: "Errors, no difference: 18 windows of 1,000 requests, three gates",
        columns: columns.map(str::to_owned).to_vec(),
        rows: Line::all().into_iter().map(row).collect(),
        is_false_rate: true,
    }
}

/// Where each target group has bad minutes of its own, rates can be compared as values, minute by minute.
pub(crate) fn rates_as_values(
    playing: &Playing,
    rollouts: u32,
    settings: &ComparisonSettings,
) -> Table {
    let of = rollouts / FEWER;
    let row = |(shape, stages, rate): (&str, [Stage; 3], f64)| {
        let [same, doubled] =
            [1.0, 2.0].map(|times| stages.map(|one| Traffic::of(one, rate, times)));
        let [false_rollbacks, missed] =
            playing.count(&format!("rates as values, {shape}, {rate}"), of, |rng| {
                let mut is_worse = |traffic| {
                    let pairs = windows(traffic, Bursts::Apart, rng);
                    let rates = |part: fn(&WindowPair) -> Counts| -> Vec<f64> {
                        pairs.iter().map(|one| part(one).errors / part(one).requests).collect()
                    };
                    latency::is_found_worse(
                        &rates(|one| one.stable),
                        &rates(|one| one.new),
                        settings,
                    )
                };
                [is_worse(&same), !is_worse(&doubled)]
            });
        let named = [shape.to_owned(), percent(rate)].map(Cell::text);
        let shares = [false_rollbacks, missed].map(|count| Cell::Share(Share { count, of }));
        named.into_iter().chain(shares).chain([Cell::text("no")]).collect()
    };
    let shapes = [("canary 10, 25, 50 %", CANARY), ("half and half", EQUAL)];
    let lines = shapes.iter().flat_map(|(shape, stages)| RATES.map(|rate| (*shape, *stages, rate)));
    let columns =
        ["traffic", "error rate", "false rollbacks (95 %)", "doubled, missed", "promised"];
    Table {
        title: "Error rates compared as values, with bursts up to 10 times of each: 18 windows",
        columns: columns.map(str::to_owned).to_vec(),
        rows: lines.map(row).collect(),
        is_false_rate: true,
    }
}

fn percent(part: f64) -> String {
    format!("{:.2} %", part * 100.0)
}

/// Requests of a whole rollout of ten windows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Split {
    new: u32,
    stable: u32,
}

impl Split {
    pub(crate) fn equal(requests: u32) -> Self {
        Self { new: requests, stable: requests }
    }

    fn canary(requests: u32) -> Self {
        Self { new: requests, stable: 9 * requests }
    }

    fn stage(self) -> Stage {
        Stage { windows: 10, new: self.new / 10, stable: self.stable / 10 }
    }
}

/// Misses of a doubled error rate: ours, and those of one look at the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missed {
    pub(crate) ours: Share,
    one_look: Share,
}

pub(crate) fn missed(
    playing: &Playing,
    rollouts: u32,
    split: Split,
    rate: f64,
    settings: &ComparisonSettings,
) -> Missed {
    let traffic = [Traffic::of(split.stage(), rate, 2.0)];
    let what = format!("doubled errors, {} and {} requests, {rate}", split.new, split.stable);
    let [ours, one_look] = playing.count(&what, rollouts, |rng| {
        let pairs = windows(&traffic, Bursts::None, rng);
        let sum = |part: fn(&WindowPair) -> Counts| Counts {
            requests: pairs.iter().map(|pair| part(pair).requests).sum(),
            errors: pairs.iter().map(|pair| part(pair).errors).sum(),
        };
        let p = p_fisher(sum(|pair| pair.new), sum(|pair| pair.stable));
        [!is_found_worse(&pairs, settings), p > settings.alpha]
    });
    let of = |count| Share { count, of: rollouts };
    Missed { ours: of(ours), one_look: of(one_look) }
}

const MISS_COLUMNS: [&str; 4] = ["equal", "(one look)", "10 % canary", "(one look)"];

pub(crate) fn misses_by_rate(
    playing: &Playing,
    rollouts: u32,
    settings: &ComparisonSettings,
) -> Table {
    let rates = [0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2];
    let row = |rate: f64| {
        let of = |split| missed(playing, rollouts, split, rate, settings);
        let (equal, canary) = (of(Split::equal(1000)), of(Split::canary(1000)));
        let shares = [equal.ours, equal.one_look, canary.ours, canary.one_look];
        [Cell::text(percent(rate))].into_iter().chain(shares.map(Cell::Share)).collect()
    };
    Table {
        title: "Missed: the doubled error rate of a new target group with 1,000 requests in 10 windows",
        columns: ["stable rate"].into_iter().chain(MISS_COLUMNS).map(str::to_owned).collect(),
        rows: rates.map(row).to_vec(),
        is_false_rate: false,
    }
}

pub(crate) fn misses_by_requests(
    playing: &Playing,
    rollouts: u32,
    settings: &ComparisonSettings,
) -> Table {
    let requests = [100, 300, 1000, 3000, 10_000, 30_000, 100_000];
    let rates = [0.001, 0.01, 0.05];
    let row = |requests: u32| {
        let cells = rates.iter().flat_map(|rate| {
            let found = missed(playing, rollouts, Split::equal(requests), *rate, settings);
            [found.ours, found.one_look].map(Cell::Share)
        });
        [Cell::text(requests.to_string())].into_iter().chain(cells).collect()
    };
    let headings = rates.iter().flat_map(|rate| [percent(*rate), "(one look)".to_owned()]);
    Table {
        title: "Missed: a doubled error rate, by requests of each target group and stable rate",
        columns: ["requests".to_owned()].into_iter().chain(headings).collect(),
        rows: requests.map(row).to_vec(),
        is_false_rate: false,
    }
}

/// At most so many may be missed.
const MISS_MAX: f64 = 0.01;

/// From where on at most one doubled rate in a hundred is missed.
pub(crate) fn reached(playing: &Playing, rollouts: u32, settings: &ComparisonSettings) -> Table {
    let rates: Vec<f64> = (1..=60).map(|step| f64::from(step) * 0.005).collect();
    let from_rate = |split: Split, which: fn(Missed) -> Share| {
        first(&rates, |rate| which(missed(playing, rollouts, split, *rate, settings)))
            .map_or("more than 30 %".to_owned(), |rate| percent(*rate))
    };
    let requests: Vec<u32> = (1..=120).map(|step| step * 250).collect();
    let from_requests = |split: fn(u32) -> Split, which: fn(Missed) -> Share| {
        first(&requests, |requests| {
            which(missed(playing, rollouts, split(*requests), 0.01, settings))
        })
        .map_or("more than 30000".to_owned(), u32::to_string)
    };
    let row = |named: &str, split: fn(u32) -> Split, which: fn(Missed) -> Share| {
        let cells = [from_rate(split(1000), which), from_requests(split, which)];
        [Cell::text(named)].into_iter().chain(cells.map(Cell::text)).collect()
    };
    Table {
        title: "At most 1 % of doubled error rates is missed",
        columns: [
            "",
            "at 1,000 requests, from a stable rate of",
            "at a stable rate of 1 %, from requests",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows: vec![
            row("equal", Split::equal, |missed| missed.ours),
            row("equal, one look", Split::equal, |missed| missed.one_look),
            row("10 % canary", Split::canary, |missed| missed.ours),
            row("10 % canary, one look", Split::canary, |missed| missed.one_look),
        ],
        is_false_rate: false,
    }
}

/// The first from which on few enough are missed; misses become fewer from one to the next.
fn first<T>(ascending: &[T], missed: impl Fn(&T) -> Share) -> Option<&T> {
    let place = ascending.partition_point(|one| missed(one).part() > MISS_MAX);
    ascending.get(place)
}
