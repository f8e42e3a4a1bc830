//! How fast decisions are made, from looks at a region in virtual time; never makes a call.

use std::hint::black_box;
use std::time::{Duration, Instant};

use evenkeel_manifest::{ManifestSet, Service, load};
use evenkeel_planner::{DriftMemory, Input, Observed, Outcome, check, plan, questions, status};
use evenkeel_reconciler::{Cloud, Mode, reconcile};
use evenkeel_simulator::{SimulatedCloud, Simulation};
use serde_json::json;

use crate::BenchResult;
use crate::figures::Figures;
use crate::fleet::{self, CLUSTER};

/// How long each figure is measured.
const MEASURED_FOR: Duration = Duration::from_secs(2);

pub(crate) const INSTANCE: &str = "evenkeel";

pub(crate) async fn measure(figures: &mut Figures) -> BenchResult<()> {
    let mut simulation = Simulation::new(1);
    simulation.ecs("CreateCluster", &json!({"clusterName": CLUSTER}))?;
    let service = first(with_tasks(10, "evenkeel-demo:v1"))?;
    settle(&mut simulation, &service).await?;
    let settled = look(&simulation.cloud(), &service).await?;
    add(figures, "settled", "of a settled service", passes_per_second(&service, &settled));

    let next = first(with_tasks(10, "evenkeel-demo:v2"))?;
    let cloud = simulation.cloud();
    for _ in 0..6 {
        reconcile(&cloud, &next.key, Some(&next), INSTANCE, Mode::Apply).await;
        simulation.advance(Duration::from_secs(5));
    }
    let rolling = look(&cloud, &next).await?;
    add(figures, "rolling", "in a rollout of 10 tasks", passes_per_second(&next, &rolling));
    Ok(())
}

fn add(figures: &mut Figures, name: &str, whose: &str, rate: f64) {
    figures.add(
        format!("planner_passes_per_second_{name}"),
        format!("planner passes a second, {whose}"),
        rate,
        format!("{rate:.0}"),
        "plan, check and status from facts already read, on one thread; without calls.",
    );
}

/// One service of the fleet with so many tasks of an image.
pub(crate) fn with_tasks(count: u32, image: &str) -> ManifestSet {
    let mut files = fleet::files(1);
    for file in &mut files {
        let tasks = format!("desiredCount: {count}");
        file.text = file.text.replace("desiredCount: 0", &tasks).replace("evenkeel-demo:v1", image);
    }
    load(&files)
}

pub(crate) fn first(set: ManifestSet) -> BenchResult<Service> {
    let problems: Vec<String> = set.problems.iter().map(ToString::to_string).collect();
    set.services.into_iter().next().ok_or_else(|| problems.join("\n").into())
}

/// Passes in virtual time until there is nothing left to do.
pub(crate) async fn settle(simulation: &mut Simulation, service: &Service) -> BenchResult<()> {
    for _ in 0..500 {
        let cloud = simulation.cloud();
        let report = reconcile(&cloud, &service.key, Some(service), INSTANCE, Mode::Apply).await;
        if let Some(error) = report.error {
            return Err(error.into());
        }
        if report.plan.actions.is_empty() && report.plan.waiting.is_empty() {
            return Ok(());
        }
        simulation.advance(report.plan.look_again.min(Duration::from_secs(5)));
    }
    Err(format!("{} did not settle", service.key).into())
}

/// All that one pass asks.
async fn look(cloud: &SimulatedCloud, service: &Service) -> BenchResult<Observed> {
    let first = questions(Some(service), None).ok_or("the first look asks nothing")?;
    let mut seen = cloud.observe(&service.key, &first).await?;
    while let Some(more) = questions(Some(service), Some(&seen)) {
        seen = cloud.observe(&service.key, &more).await?;
    }
    Ok(seen)
}

fn passes_per_second(service: &Service, observed: &Observed) -> f64 {
    let (key, desired, now) = (&service.key, Some(service), observed.at);
    let input =
        Input { key, desired, observed, now, instance: INSTANCE, drift: DriftMemory::nothing() };
    let (began, mut passes) = (Instant::now(), 0_u32);
    while began.elapsed() < MEASURED_FOR {
        let decided = plan(black_box(&input));
        black_box(check(&decided, &input)).ok();
        black_box(status(&input, &decided, &Outcome::Done));
        passes += 1;
    }
    f64::from(passes) / began.elapsed().as_secs_f64()
}
