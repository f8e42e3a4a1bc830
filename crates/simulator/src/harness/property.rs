//! What must hold in every course, each property in its own small checker; shares no code with the
//! planner's own guard and never looks at what the planner thinks.

mod asks;
mod bad_tasks;
mod baking;
mod budget;
mod call;
mod calm;
mod capacity;
mod control;
mod definitions;
mod faultless;
mod lasting;
mod memory;
mod needless;
mod ordering;
mod origins;
mod oscillation;
mod passes;
mod pausing;
mod probe;
mod pruning;
mod reach;
mod rollback;
mod rollouts;
mod settling;
mod soundness;
mod source;
mod starvation;
mod traffic;
mod undoing;
mod verdict;
mod weights;
mod wishes;
mod writers;

#[cfg(test)]
mod course;

use evenkeel_reconciler::LoopSettings;

use super::event::{At, Event};

/// A checker. It is told every event in its order and answers with what it found broken.
pub trait Property {
    /// The name in reliability.md part C, with a word: `S7 probe cap`.
    fn name(&self) -> &'static str;

    /// Takes in one event. A description of what is broken ends the course.
    fn check(&mut self, at: At, event: &Event<'_>) -> Result<(), String>;
}

/// A property that was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{property} broken at {at}: {what}")]
pub struct Violation {
    pub property: &'static str,
    pub at: At,
    pub what: String,
}

/// A new checker of every property that applies to what exists, for daemons that have the default name.
fn all() -> Vec<Box<dyn Property + Send>> {
    all_of("evenkeel")
}

/// The same for daemons with these settings: they may prune, or look more rarely.
pub fn all_for(settings: &LoopSettings) -> Vec<Box<dyn Property + Send>> {
    let mut all = all();
    all.push(Box::new(starvation::NoStarvation::at(settings.resync_every)));
    if let Some(prune) = &settings.prune {
        all.retain(|property| ![reach::NO_DELETE, control::PAUSE_NAME].contains(&property.name()));
        all.push(Box::new(control::Pause::where_pruned()));
        all.push(Box::new(pruning::Pruning::of(prune.clone())));
    }
    all
}

/// The same for daemons of this instance.
pub fn all_of(instance: &str) -> Vec<Box<dyn Property + Send>> {
    vec![
        Box::new(capacity::MinimumHealthy::default()),
        Box::new(traffic::NoEmptyTarget::default()),
        Box::new(weights::WeightSum::default()),
        Box::new(traffic::GatedSteps::default()),
        Box::new(baking::BakedSteps::default()),
        Box::new(weights::Drained::default()),
        Box::new(probe::ProbeCap::default()),
        Box::new(bad_tasks::BadTaskCap::default()),
        Box::new(writers::SingleWriter::default()),
        Box::new(writers::OneRollout::default()),
        Box::new(reach::NoDelete::default()),
        Box::new(reach::Scope::default()),
        Box::new(reach::Ownership::of(instance)),
        Box::new(rollback::RollbackTarget::default()),
        Box::new(rollback::NoPingPong::default()),
        Box::new(rollback::OneRollback::default()),
        Box::new(verdict::DurableVerdict::default()),
        Box::new(rollback::KeepsCount::default()),
        Box::new(soundness::VerdictSoundness::default()),
        Box::new(budget::RetryBudget::default()),
        Box::new(needless::NoNeedlessWrites::default()),
        Box::new(budget::CallCap::default()),
        Box::new(oscillation::NoOscillation::default()),
        Box::new(control::Pause::default()),
        Box::new(control::Secrets),
        Box::new(pausing::PausedRollouts::default()),
        Box::new(pausing::NamedGates::default()),
        Box::new(undoing::UndoArrives::default()),
        Box::new(source::DesiredSource::default()),
        Box::new(ordering::NoBackwards::default()),
        Box::new(ordering::ReadBeforeRetry::default()),
        Box::new(ordering::NoWriteOnIgnorance::default()),
        Box::new(settling::AtTheEnd::matches(instance)),
        Box::new(settling::AtTheEnd::is_safe(instance)),
        Box::new(settling::AtTheEnd::is_over(instance)),
        Box::new(settling::AtTheEnd::is_repaired(instance)),
        Box::new(settling::AtTheEnd::is_quiet(instance)),
    ]
}
