//! How long a bad revision goes on after the task that gives it away has stopped, in the region's
//! time; never waits for real time.

use std::time::Duration;

use evenkeel_planner::{Call, Lane};
use evenkeel_reconciler::{LoopSettings, Mode, PassReport, reconcile};
use evenkeel_simulator::{Behaviour, Simulation};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::BenchResult;
use crate::figures::{Figures, show};
use crate::fleet::CLUSTER;
use crate::passes::{INSTANCE, first, settle, with_tasks};

const BAD: &str = "evenkeel-demo:v3";

pub(crate) async fn measure(figures: &mut Figures) -> BenchResult<()> {
    let mut simulation = Simulation::new(1);
    simulation.world.script(BAD, Behaviour::crashes(Duration::from_secs(3), 1));
    simulation.ecs("CreateCluster", &json!({"clusterName": CLUSTER}))?;
    settle(&mut simulation, &first(with_tasks(4, "evenkeel-demo:v1"))?).await?;
    let bad = first(with_tasks(4, BAD))?;
    let look_again_max = LoopSettings::default().look_again_max_in_rollout;
    for _ in 0..500 {
        let now = simulation.now();
        let cloud = simulation.cloud();
        let report = reconcile(&cloud, &bad.key, Some(&bad), INSTANCE, Mode::Apply).await;
        if rolls_back(&report) {
            let stopped = last_stop(&simulation)?;
            let took = Duration::try_from(now.duration_since(stopped)).unwrap_or_default();
            let what = "task stop to rollback call, region's time, 4 tasks that crash";
            figures.add(what, show(took));
            return Ok(());
        }
        simulation.advance(report.plan.look_again.min(look_again_max));
    }
    Err("the bad revision was not rolled back".into())
}

fn rolls_back(report: &PassReport) -> bool {
    let made = report.plan.actions.iter().take(report.applied.len());
    let mut made = made.filter(|action| action.lane == Lane::Rollback);
    made.any(|action| {
        matches!(action.call, Call::StopServiceDeployment { .. } | Call::UpdateService { .. })
    })
}

/// When the newest stopped task stopped.
fn last_stop(simulation: &Simulation) -> BenchResult<Timestamp> {
    let stopped = json!({"cluster": CLUSTER, "desiredStatus": "STOPPED"});
    let tasks = simulation.ecs("ListTasks", &stopped)?;
    let arns = tasks.get("taskArns").cloned().unwrap_or_default();
    let described = simulation.ecs("DescribeTasks", &json!({"cluster": CLUSTER, "tasks": arns}))?;
    let tasks = described.get("tasks").and_then(Value::as_array).cloned().unwrap_or_default();
    let stops = tasks.iter().filter_map(|task| task.get("stoppedAt").and_then(Value::as_f64));
    let last = stops.fold(None, |last: Option<f64>, at| Some(last.map_or(at, |last| last.max(at))));
    let seconds = Duration::try_from_secs_f64(last.ok_or("no task stopped")?)?;
    Ok(Timestamp::UNIX_EPOCH + seconds)
}
