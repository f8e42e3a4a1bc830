//! Random fleets, random manifests, random people and bad weather, all from one seed; never a course
//! that cannot be played again.

mod chaos;
mod fleet;
mod people;

use std::time::Duration;

use evenkeel_manifest::Pattern;
use evenkeel_reconciler::PruneSettings;
use fastrand::Rng;

use crate::harness::{Keeps, Played, Setup, Stage, Step, Storm, property};

use chaos::Chaos;
use fleet::Fleet;

/// How one seed is played.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub seed: u64,
    /// Only the first so many acts of chaos; for finding the shortest course that fails.
    pub acts: Option<usize>,
    pub keeps: Keeps,
}

/// What came of one seed.
#[derive(Debug)]
pub struct Soaked {
    pub played: Played,
    pub services: usize,
    pub replicas: usize,
    /// Acts of chaos that were played.
    pub acts: usize,
}

impl Soaked {
    /// Calls that went wrong and acts of chaos.
    pub fn faults(&self) -> u64 {
        self.played.faults + u64::try_from(self.acts).unwrap_or(u64::MAX)
    }
}

/// Plays one seed: chaos, then calm for long enough that all must have settled.
pub fn soak(manner: Manner) -> Soaked {
    let mut rng = Rng::with_seed(manner.seed);
    let fleet = Fleet::draw(&mut rng);
    let beginning = fleet.beginning(&mut rng);
    let services = fleet.wishes.len();
    let replicas = match rng.u8(..20) {
        0 => 3,
        1..5 => 2,
        _ => 1,
    };
    let is_small = services <= 3;
    let mut setup = Setup {
        replicas,
        keeps: manner.keeps,
        keeps_history: is_small,
        clock_rates: clock_rates(&mut rng, replicas),
        ..Setup::new(manner.seed)
    };
    if manner.seed % 3 == 1 {
        prunes(&mut setup);
    }
    let storm = Storm::new(rng.u64(..), *pick(&mut rng, &[0.0, 0.01, 0.05, 0.2]), is_small);
    let mut chaos = Chaos::new(rng, replicas, storm, manner.acts);
    let script = async |stage: &mut Stage| {
        play(stage, fleet, beginning, &mut chaos).await;
        // Most of a course is rest: one in four has all of it.
        match manner.seed % 4 {
            0 => stage.settle().await,
            _ => stage.settle_until_still().await,
        }
    };
    let (played, _) = Stage::play(setup, script);
    Soaked { played, services, replicas, acts: chaos.acts() }
}

/// Daemons scale in what has lost its manifest, soon enough that it happens within a course; nothing is deleted so soon.
fn prunes(setup: &mut Setup) {
    let all = || Pattern::of_names("*").into_iter().collect::<Vec<_>>();
    let settings = PruneSettings {
        clusters: all(),
        services: all(),
        grace: Duration::from_mins(1),
        keep: Duration::from_hours(24),
        percent_max: 50,
        services_max: 3,
    };
    setup.settings.prune = Some(settings);
    setup.properties = property::all_for(&setup.settings);
}

/// A deployment group is made for a service that is there.
const TIME_TO_BE_CREATED: Duration = Duration::from_mins(15);

/// Within a factor of two of each other, between half and twice the true rate.
fn clock_rates(rng: &mut Rng, replicas: usize) -> Vec<f64> {
    let slowest = *pick(rng, &[0.5, 0.75, 1.0]);
    (0..replicas).map(|_| slowest * (1.0 + rng.f64())).collect()
}

async fn play(stage: &mut Stage, mut fleet: Fleet, beginning: Vec<Step>, chaos: &mut Chaos) {
    for step in beginning {
        must(stage, &step).await;
    }
    while let Some((pause, steps)) = chaos.next(&mut fleet) {
        must(stage, &Step::Advance(pause)).await;
        for step in &steps {
            // People and tools try things that are not possible just now.
            drop(stage.perform(step).await);
        }
    }
    for step in fleet.ending().into_iter().chain(people::ending(&fleet)) {
        must(stage, &step).await;
    }
    let groups: Vec<Step> = fleet.deployment_groups().collect();
    if !groups.is_empty() {
        must(stage, &Step::Advance(TIME_TO_BE_CREATED)).await;
    }
    for group in &groups {
        // Most are there by now.
        drop(stage.perform(group).await);
    }
}

async fn must(stage: &mut Stage, step: &Step) {
    let done = stage.perform(step).await;
    done.expect("the steps that frame a course are always possible");
}

fn pick<'a, T>(rng: &mut Rng, from: &'a [T]) -> &'a T {
    let index = rng.usize(..from.len());
    from.get(index).expect("an index below the length")
}

fn seconds(rng: &mut Rng, range: std::ops::RangeInclusive<u64>) -> Duration {
    Duration::from_secs(rng.u64(range))
}
