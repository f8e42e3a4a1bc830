//! `rollouts`: the AWS calls of one undisturbed rollout with each strategy, beside the writes that its steps cannot do
//! without; never a time of the host.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use evenkeel_manifest::Digest;
use jiff::Timestamp;

use super::BadInput;
use super::report::{Failure, Kind, Report, as_f64, print, progress};
use crate::harness::{Event, Property};
use crate::scenario::{Manner, Scenario};

#[derive(Debug, Args)]
pub(super) struct RollingOut {
    /// Tasks of the service.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
    tasks: u32,
}

/// A strategy as scripts say it, and the fewest writes of a rollout: one for each call of its steps in
/// docs/behaviour.md, tags included.
struct Strategy {
    name: &'static str,
    words: &'static str,
    least: usize,
}

const STRATEGIES: [Strategy; 6] = [
    // Registered, announced, started, marked, probed, widened, marked, proven, ended.
    Strategy { name: "Rolling", words: "", least: 9 },
    // Registered, announced, started, marked; gates after test traffic, before the one step and after it; proven, ended.
    Strategy { name: "BlueGreen", words: "front=shop strategy=BlueGreen bake=5m", least: 9 },
    // A gate more, before the second step.
    Strategy {
        name: "Canary",
        words: "front=shop strategy=Canary percent=10 stepBake=3m bake=5m",
        least: 10,
    },
    // Four steps: three gates more than with one.
    Strategy {
        name: "Linear",
        words: "front=shop strategy=Linear percent=25 stepBake=3m bake=5m",
        least: 12,
    },
    // Registered, made, marked, tested; three weights and three bakes, two scalings and the two steps after the first;
    // PRIMARY, kept, deleted, proven, ended.
    Strategy {
        name: "Steps",
        words: "front=shop strategy=Steps steps=10/3m,50/3m,100/2m keep=5m",
        least: 19,
    },
    // Registered, announced, deployed, marked, proven, ended: CodeDeploy moves traffic without asking.
    Strategy { name: "CodeDeploy", words: "front=shop strategy=CodeDeploy", least: 6 },
];

/// Those about the service, by operation.
#[derive(Clone, Debug, Default)]
struct Calls {
    writes: BTreeMap<String, usize>,
    reads: usize,
}

/// Counts from new content in the manifest to the end of its mark.
#[derive(Debug)]
struct Counting {
    first: Option<Digest>,
    is_on: bool,
    calls: Arc<Mutex<Calls>>,
}

impl Property for Counting {
    fn name(&self) -> &'static str {
        "calls of a rollout"
    }

    fn check(&mut self, _: Timestamp, event: &Event<'_>) -> Result<(), String> {
        match event {
            Event::Wanted { service: Some(service), .. } => {
                let first = self.first.get_or_insert_with(|| service.revision_digest.clone());
                self.is_on = *first != service.revision_digest;
            }
            Event::Sent(call) if self.is_on && call.about.is_some() => {
                let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
                if call.is_write() {
                    *calls.writes.entry(call.operation.clone()).or_default() += 1;
                } else {
                    calls.reads += 1;
                }
                self.is_on = call.operation != "UntagResource";
            }
            _ => {}
        }
        Ok(())
    }
}

impl Strategy {
    fn script(&self, tasks: u32) -> Result<Scenario, BadInput> {
        let is_code_deploy_s = self.words.contains("CodeDeploy");
        let group = if is_code_deploy_s { "deployment group web on shop\n" } else { "" };
        let text = format!(
            "One rollout.\n\nfront shop\nimage web:1 healthy\nimage web:2 healthy\nload web image=web:1 count={tasks} {}\n\
             advance 1h\n{group}set web image=web:2\nadvance 1h\nexpect web runs web:2\n",
            self.words
        );
        Ok(Scenario::read(self.name, &text)?)
    }
}

impl RollingOut {
    pub(super) fn run(&self) -> Result<Report, BadInput> {
        let mut report = Report::new("rollouts");
        let mut table =
            format!("{:<10} {:>6} {:>6} {:>6}\n", "strategy", "writes", "least", "reads");
        for strategy in &STRATEGIES {
            progress(strategy.name);
            let calls = Arc::new(Mutex::new(Calls::default()));
            let counting = Counting { first: None, is_on: false, calls: Arc::clone(&calls) };
            let manner = Manner { expects: true, ..Manner::default() };
            let performance =
                strategy.script(self.tasks)?.play_watched(manner, vec![Box::new(counting)]);
            let calls = calls.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let writes: usize = calls.writes.values().sum();
            let Strategy { name, least, .. } = strategy;
            writeln!(table, "{name:<10} {writes:>6} {least:>6} {:>6}", calls.reads).ok();
            report.count(format!("{name} writes"), as_f64(writes), "");
            report.count(format!("{name} reads"), as_f64(calls.reads), "");
            let too_many = format!("{writes} writes, and {least} are enough: {:?}", calls.writes);
            let missed = performance.missed.or((writes > *least).then_some(too_many));
            if let Some(what) = missed {
                report.fail(failure(strategy, what));
            }
        }
        progress("");
        print(&table);
        Ok(report)
    }
}

fn failure(strategy: &Strategy, what: String) -> Failure {
    Failure {
        kind: Kind::Writes,
        course: strategy.name.to_owned(),
        what,
        trace: Vec::new(),
        replay: "evenkeel-simulator rollouts".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rollout_writes_more_than_its_steps_cannot_do_without() {
        let report = RollingOut { tasks: 4 }.run().expect("the scripts are read");
        assert!(report.all_held(), "{report:?}");
    }
}
