//! `soak`: many seeds; never a failure without the command that shows it again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Args;

use super::BadInput;
use super::report::{Failure, Kind, Report, progress};
use crate::harness::Keeps;
use crate::soak::{Manner, Soaked, soak};

#[derive(Debug, Args)]
pub(super) struct Soaking {
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Play every seed twice and compare the traces.
    #[arg(long)]
    twice: bool,
    /// Only the first so many acts of chaos.
    #[arg(long)]
    acts: Option<usize>,
    /// Print every event.
    #[arg(long)]
    trace: bool,
    #[arg(long, default_value_t = super::sweeps::threads())]
    threads: usize,
}

/// The sum of many seeds.
#[derive(Debug, Default)]
struct Sum {
    seeds: f64,
    rollouts: f64,
    calls: f64,
    writes: f64,
    events: f64,
    faults: f64,
    virtual_seconds: f64,
    chaos_seconds: f64,
    /// Of all threads.
    busy_seconds: f64,
    services: f64,
    with_several_daemons: f64,
    same_trace: f64,
}

impl Soaking {
    #[expect(clippy::unnecessary_wraps, reason = "commands are alike")]
    pub(super) fn run(&self) -> Result<Report, BadInput> {
        let report = Mutex::new(Report::new("soak"));
        let sum = Mutex::new(Sum::default());
        let next = AtomicU64::new(self.first);
        let end = self.first.saturating_add(self.seeds);
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= end {
                            break;
                        }
                        progress(&format!("seed {seed} of {end}"));
                        self.play(seed, &sum, &report);
                    }
                });
            }
        });
        progress("");
        let mut report = report.into_inner().expect("all threads ended well");
        sum.into_inner().expect("all threads ended well").tell(&mut report, self.twice);
        Ok(report)
    }

    fn play(&self, seed: u64, sum: &Mutex<Sum>, report: &Mutex<Report>) {
        let began = Instant::now();
        let keeps = match (self.trace, self.twice) {
            (true, _) => Keeps::Lines,
            (false, true) => Keeps::Hash,
            (false, false) => Keeps::Count,
        };
        let manner = Manner { seed, acts: self.acts, keeps };
        let soaked = soak(manner);
        if self.trace {
            let lines = soaked.played.trace.lines().iter().chain(&soaked.played.waits);
            lines.for_each(|line| super::report::print(line));
        }
        let is_same = self.twice && soak(manner).played.trace.hash() == soaked.played.trace.hash();
        let busy = began.elapsed().as_secs_f64() / if self.twice { 2.0 } else { 1.0 };
        sum.lock().expect("no thread panics").add(&soaked, is_same, busy);
        let mut what = soaked.played.violation.as_ref().map(ToString::to_string);
        if self.twice && !is_same {
            what =
                what.or(Some("S37 determinism broken: two runs have different traces".to_owned()));
        }
        if let Some(what) = what {
            let failure = Self::shortest(seed, what, soaked.acts);
            report.lock().expect("no thread panics").fail(failure);
        }
    }

    /// The course with the fewest acts that still breaks something.
    fn shortest(seed: u64, what: String, acts: usize) -> Failure {
        const SHOWN: usize = 30;
        let fails = |acts: usize, keeps| {
            let played = soak(Manner { seed, acts: Some(acts), keeps }).played;
            played.violation.as_ref().map(ToString::to_string).map(|what| (what, played.trace))
        };
        let (mut least, mut most) = (0, acts);
        while least < most {
            let middle = usize::midpoint(least, most);
            if fails(middle, Keeps::Count).is_some() { most = middle } else { least = middle + 1 }
        }
        let shown = fails(most, Keeps::Lines);
        let (what, trace) = shown.map_or((what, Vec::new()), |(what, trace)| {
            let skipped = trace.lines().len().saturating_sub(SHOWN);
            let lines = trace.lines().iter().skip(skipped);
            (what, lines.map(|line| line.chars().take(300).collect()).collect())
        });
        Failure {
            kind: Kind::Behaviour,
            course: format!("seed {seed}"),
            what,
            trace,
            replay: format!(
                "evenkeel-simulator soak --first {seed} --seeds 1 --acts {most} --trace"
            ),
        }
    }
}

impl Sum {
    fn add(&mut self, soaked: &Soaked, is_same: bool, busy: f64) {
        let as_f64 = |count: u64| u32::try_from(count).map_or(f64::MAX, f64::from);
        let played = &soaked.played;
        self.seeds += 1.0;
        self.rollouts += as_f64(played.rollouts);
        self.calls += as_f64(played.calls);
        self.writes += as_f64(played.writes);
        self.events += as_f64(played.trace.events());
        self.faults += as_f64(soaked.faults());
        self.virtual_seconds += played.took.as_secs_f64();
        self.chaos_seconds += played.took_script.as_secs_f64();
        self.busy_seconds += busy;
        self.services += super::report::as_f64(soaked.services);
        self.with_several_daemons += f64::from(u8::from(soaked.replicas > 1));
        self.same_trace += f64::from(u8::from(is_same));
    }

    fn tell(&self, report: &mut Report, twice: bool) {
        report.count("seeds", self.seeds, "");
        report.count("of these with 2 or 3 daemons", self.with_several_daemons, "");
        report.count("services", self.services, "");
        report.count("rollouts", self.rollouts, "");
        report.count("API calls", self.calls, "");
        report.count("writes", self.writes, "");
        report.count("events checked", self.events, "");
        report.count("faults", self.faults, "");
        report.count(
            "faults a virtual minute of chaos",
            self.faults * 60.0 / self.chaos_seconds,
            "",
        );
        report.count("simulated", self.virtual_seconds / (3600.0 * 24.0 * 365.0), "years");
        report.count("rollouts a second and core", self.rollouts / self.busy_seconds, "");
        report.count(
            "times as fast as real time, a core",
            self.virtual_seconds / self.busy_seconds,
            "",
        );
        if twice {
            report.count("seeds with the same trace twice", self.same_trace, "");
        }
    }
}
