//! Checks the lease protocol exhaustively and prints how many states that took; fails if a property is
//! violated anywhere.

mod model;

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use evenkeel_reconciler::lease::LeaseTimes;
use stateright::{Checker, HasDiscoveries, Model};

use self::model::{Faults, LeaseModel};

fn worlds() -> Vec<(&'static str, LeaseModel)> {
    let small = LeaseModel::small;
    let faults = Faults::default();
    let shorter = LeaseTimes {
        ttl: Duration::from_secs(2),
        takeover_wait: Duration::from_secs(5),
        write_needs: Duration::from_secs(1),
    };
    let short = || LeaseModel { beat_max: 1, ..small() };
    vec![
        ("leases change hands", small()),
        ("a manifest changes", LeaseModel { generations: 1, ..short() }),
        (
            "a replica dies and starts anew",
            LeaseModel { faults: Faults { crashes: 1, ..faults }, ..short() },
        ),
        (
            "an answer of the table is lost",
            LeaseModel { faults: Faults { losses: 1, ..faults }, ..short() },
        ),
        (
            "a person deletes the record",
            LeaseModel { faults: Faults { deletions: 1, ..faults }, ..short() },
        ),
        (
            "a person deletes it again and again",
            LeaseModel { faults: Faults { deletions: 2, ..faults }, ..short() },
        ),
        (
            "a person deletes it, and an answer of the table is lost",
            LeaseModel {
                faults: Faults { deletions: 1, losses: 1, ..faults },
                epoch_max: 1,
                ..short()
            },
        ),
        (
            "a person edits the record",
            LeaseModel { faults: Faults { edits: 1, ..faults }, ..short() },
        ),
        ("three replicas", LeaseModel { replicas: 3, times: shorter, epoch_max: 1, ..short() }),
        (
            "prompt replicas that die, for the time a takeover takes",
            LeaseModel {
                faults: Faults { crashes: 2, deletions: 1, edits: 1, ..faults },
                epoch_max: 3,
                beat_max: 3,
                is_prompt: true,
                ..small()
            },
        ),
    ]
}

fn main() -> std::io::Result<ExitCode> {
    let only = std::env::args().nth(1).unwrap_or_default();
    let (mut states, mut violations, mut out) = (0, 0, std::io::stdout());
    for (name, world) in worlds().into_iter().filter(|(name, _)| name.contains(&only)) {
        let began = Instant::now();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let checker = world.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures);
        let checker = checker.spawn_bfs().join();
        states += checker.unique_state_count();
        let mut line = format!(
            "{name}: {} states, {} steps, {:.1} s",
            checker.unique_state_count(),
            checker.state_count(),
            began.elapsed().as_secs_f64()
        );
        for property in world_violations(&checker) {
            violations += 1;
            line.push_str("\nVIOLATED: ");
            line.push_str(&property);
        }
        writeln!(out, "{line}")?;
    }
    writeln!(out, "{states} states, {violations} violations")?;
    Ok(if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Each violated property with the shortest way to it.
fn world_violations(checker: &impl Checker<LeaseModel>) -> Vec<String> {
    let discoveries = checker.discoveries().into_iter();
    let violated = discoveries
        .filter(|(name, _)| checker.discovery_classification(name).to_string() != "example");
    violated.map(|(name, path)| format!("{name}: {:?}", path.into_actions())).collect()
}
