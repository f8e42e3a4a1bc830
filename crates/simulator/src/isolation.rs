//! A large fleet with and without poison: what is done to the others must be the same, call by call;
//! never compares when, for passes take turns.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;

use crate::Behaviour;
use crate::harness::{Keeps, Played, Setup, Stage, Step, Wish, without_ids};

/// One service in so many is poisoned.
const POISONED: usize = 100;

/// How the two fleets compare.
#[derive(Debug)]
pub struct Isolation {
    pub services: usize,
    pub poisoned: usize,
    /// Healthy services whose calls were not the same.
    pub different: Vec<String>,
    pub writes: u64,
}

type Writes = BTreeMap<String, Vec<String>>;

/// Creates a fleet, rolls out a new revision of every service, and compares the writes to each service
/// with those in a fleet in which one percent are bad.
pub fn isolation(services: usize) -> Isolation {
    let (clean, played) = writes(services, false);
    let (poisoned, _) = writes(services, true);
    let healthy = clean.iter().filter(|(name, _)| !is_poisoned(name));
    let different = healthy.filter(|(name, writes)| poisoned.get(*name) != Some(writes));
    Isolation {
        services,
        poisoned: services / POISONED,
        different: different.map(|(name, _)| name.clone()).collect(),
        writes: played.writes,
    }
}

fn is_poisoned(name: &str) -> bool {
    name.strip_prefix('s')
        .and_then(|index| index.parse().ok())
        .is_some_and(|index: usize| index % POISONED == 7)
}

fn writes(services: usize, with_poison: bool) -> (Writes, Played) {
    let setup = Setup { properties: Vec::new(), keeps: Keeps::Count, ..Setup::new(11) };
    let (played, writes) = Stage::play(setup, async |stage| {
        stage.look(|course| course.keeps_writes(true));
        must(
            stage,
            &Step::Image("app:bad".to_owned(), Behaviour::crashes(Duration::from_secs(3), 1)),
        )
        .await;
        let fleet = |image: &str| -> Vec<Wish> {
            (0..services)
                .map(|index| Wish::new(format!("s{index}")).with("image", image).with("count", "1"))
                .collect()
        };
        must(stage, &Step::WriteAll(fleet("app:1"))).await;
        must(stage, &Step::Advance(Duration::from_mins(30))).await;
        if with_poison {
            poison(stage).await;
        }
        let next = fleet("app:2");
        let next = next.into_iter().filter(|wish| !with_poison || !is_poisoned(&wish.name));
        must(stage, &Step::WriteAll(next.collect())).await;
        must(stage, &Step::Advance(Duration::from_hours(1))).await;
        stage.look(crate::harness::Course::take_writes)
    });
    let mut by_service = Writes::new();
    for (name, write) in writes.unwrap_or_default() {
        by_service.entry(name).or_default().push(without_ids(&without_times(&write)));
    }
    (by_service, played)
}

/// Bad images, bad manifests, calls that always fail, and services that a person keeps deleting.
async fn poison(stage: &mut Stage) {
    let mut rng = Rng::with_seed(5);
    let names: Vec<String> = stage.wishes().map(|wish| wish.name.clone()).collect();
    for name in names.into_iter().filter(|name| is_poisoned(name)) {
        let step = match rng.u8(..4) {
            0 => Step::Write(Wish::new(&*name).with("image", "app:bad").with("count", "1")),
            1 => Step::Garble(name),
            2 => Step::Edit(name, crate::harness::Edit::Delete),
            _ => Step::FailService(name),
        };
        must(stage, &step).await;
    }
}

/// Seconds since the epoch, as tags have them.
fn without_times(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let digits = word.trim_end_matches(|c: char| !c.is_ascii_digit());
        let is_time = digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
        out.push_str(if is_time { word.get(10..).unwrap_or_default() } else { word });
    }
    out
}

async fn must(stage: &mut Stage, step: &Step) {
    let done = stage.perform(step).await;
    done.expect("every step is possible in a fleet that was just made");
}
