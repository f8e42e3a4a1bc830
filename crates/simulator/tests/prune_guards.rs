//! Manifests that seem to have gone, in every way and at every moment of pruning: nothing may go because of it.

#![expect(
    clippy::unwrap_used,
    reason = "a fixture that does not find what it set up is a failed test"
)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use evenkeel_manifest::Pattern;
use evenkeel_reconciler::{LoopSettings, PruneSettings};
use evenkeel_simulator::harness::{Course, Replica, Setup, Stage, Step, Wish, property};

const SERVICES: usize = 8;
const MINUTE: Duration = Duration::from_mins(1);

/// How manifests seem to be gone: so many, and what is wrong besides.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Loss {
    Removed(usize),
    /// And a file cannot be read.
    Hidden(usize),
    Garbled(usize),
}

/// How far the one service is whose manifest went rightly.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    Named,
    Announced,
    ScaledIn,
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    None,
    Crash,
    Restart,
    StaleLooks,
}

const LOSSES: [Loss; 9] = [
    Loss::Removed(SERVICES - 1),
    Loss::Removed(SERVICES / 2),
    Loss::Removed(2),
    Loss::Removed(SERVICES - 2),
    Loss::Hidden(1),
    Loss::Hidden(SERVICES / 2),
    Loss::Hidden(SERVICES - 1),
    Loss::Garbled(1),
    Loss::Garbled(SERVICES - 1),
];
const MOMENTS: [Moment; 3] = [Moment::Named, Moment::Announced, Moment::ScaledIn];
const TROUBLES: [Trouble; 4] =
    [Trouble::None, Trouble::Crash, Trouble::Restart, Trouble::StaleLooks];

fn settings() -> PruneSettings {
    let all = || vec![Pattern::of_names("*").unwrap()];
    PruneSettings {
        clusters: all(),
        services: all(),
        grace: Duration::from_mins(15),
        keep: Duration::from_hours(3),
        percent_max: 10,
        services_max: 5,
    }
}

fn name(index: usize) -> String {
    format!("s{index:02}")
}

fn wish(index: usize) -> Wish {
    Wish::new(name(index)).with("image", "web:1").with("count", "1")
}

async fn perform(stage: &mut Stage, steps: impl IntoIterator<Item = Step>) {
    for step in steps {
        stage.perform(&step).await.unwrap();
    }
}

/// The first service is brought to its moment; of the others nothing is lost yet.
async fn bring_to(stage: &mut Stage, moment: Moment) {
    perform(stage, [Step::WriteAll((0..SERVICES).map(wish).collect())]).await;
    // Longer than looks lag, so that none shows what was before.
    perform(stage, [Step::Advance(15 * MINUTE)]).await;
    if moment != Moment::Named {
        perform(stage, [Step::Delete(name(0)), Step::Advance(MINUTE)]).await;
    }
    if moment == Moment::ScaledIn {
        perform(stage, [Step::Advance(60 * MINUTE)]).await;
    }
}

async fn lose(stage: &mut Stage, loss: Loss) {
    let (Loss::Removed(count) | Loss::Hidden(count) | Loss::Garbled(count)) = loss;
    if let Loss::Hidden(_) = loss {
        perform(stage, [Step::Unreadable(true)]).await;
    }
    for index in 1..=count {
        let step = match loss {
            Loss::Garbled(_) => Step::Garble(name(index)),
            Loss::Removed(_) | Loss::Hidden(_) => Step::Delete(name(index)),
        };
        perform(stage, [step]).await;
    }
}

async fn trouble(stage: &mut Stage, trouble: Trouble) {
    let first = Replica(0);
    match trouble {
        Trouble::None => {}
        Trouble::Crash => perform(stage, [Step::Kill(first)]).await,
        Trouble::Restart => {
            let steps = [Step::Down(first), Step::Advance(10 * MINUTE), Step::Raise(first)];
            perform(stage, steps).await;
        }
        Trouble::StaleLooks => {
            perform(stage, [Step::Lag("DescribeServices".to_owned(), 5 * MINUTE)]).await;
        }
    }
}

/// What went wrong in one course.
fn play(loss: Loss, moment: Moment, disturbance: Trouble) -> Option<String> {
    let mut setup = Setup::new(7);
    let (prune, resync_every) = (Some(settings()), 30 * MINUTE);
    setup.settings = LoopSettings { prune, resync_every, ..setup.settings };
    setup.properties = property::all_for(&setup.settings);
    setup.keeps_history = true;
    let (played, gone) = Stage::play(setup, async |stage| {
        bring_to(stage, moment).await;
        lose(stage, loss).await;
        trouble(stage, disturbance).await;
        let before = stage.look(Course::writes_since);
        let time = if moment == Moment::ScaledIn { 5 } else { 2 };
        perform(stage, [Step::Advance(Duration::from_hours(time))]).await;
        let written = stage.look(Course::writes_since);
        let is_whole = |index: usize| {
            let facts = stage.look(|course| course.simulation.region().facts("main", &name(index)));
            facts.is_some_and(|facts| {
                facts.desired == 1 && !facts.tags.contains_key("evenkeel:tombstone")
            })
        };
        let gone: Vec<String> = (1..SERVICES).filter(|one| !is_whole(*one)).map(name).collect();
        // What went rightly goes on where the others are still named.
        let is_still = matches!(loss, Loss::Garbled(_)) || written == 0;
        let told = format!("{gone:?} are gone, {written} writes (before: {before})");
        (!gone.is_empty() || !is_still).then_some(told)
    });
    let broken = played.violation.map(|violation| violation.to_string());
    broken.or_else(|| gone.unwrap_or(Some("the course ended early".to_owned())))
}

fn cases() -> Vec<(Loss, Moment, Trouble)> {
    let with_trouble = |(loss, moment)| TROUBLES.map(|trouble| (loss, moment, trouble));
    let pairs = LOSSES.into_iter().flat_map(|loss| MOMENTS.map(|moment| (loss, moment)));
    pairs.flat_map(with_trouble).collect()
}

#[test]
fn nothing_goes_whatever_way_manifests_seem_to_have_gone() {
    let cases = cases();
    assert!(cases.len() >= 100, "{}", cases.len());
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    let work = || {
        while let Some((loss, moment, trouble)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let found = play(*loss, *moment, *trouble);
            let found = found.map(|what| format!("{loss:?} {moment:?} {trouble:?}: {what}"));
            wrong.lock().unwrap().extend(found);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    assert_eq!(wrong.into_inner().unwrap(), Vec::<String>::new(), "of {}", cases.len());
}
