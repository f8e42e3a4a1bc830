//! How long a bad revision goes on after the task that gives it away has stopped, in the region's
//! time; never waits for real time.

use std::time::Duration;

use evenkeel_planner::{Call, Lane};
use evenkeel_reconciler::{LoopSettings, Mode, PassReport, reconcile};
use evenkeel_simulator::{Behaviour, Simulation};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::BenchResult;
use crate::figures::{Figures, median, show};
use crate::fleet::CLUSTER;
use crate::passes::{INSTANCE, first, settle, with_tasks};

const BAD: &str = "evenkeel-demo:v3";

/// Rollouts measured; their tasks crash at as many points between two looks.
const ROLLOUTS: u32 = 20;

pub(crate) async fn measure(figures: &mut Figures) -> BenchResult<()> {
    let mut took = Vec::new();
    for number in 0..ROLLOUTS {
        took.push(stop_to_call(Duration::from_millis(3_000 + 250 * u64::from(number))).await?);
    }
    took.sort_unstable();
    let longest = took.last().copied().unwrap_or_default();
    figures.add(
        "rollback_seconds",
        "task stop to rollback call, region's time",
        median(&took).as_secs_f64(),
        format!("{} (at most {})", show(median(&took)), show(longest)),
        "From the exit of the container whose task trips the breaker (the second crash of a probe) \
         to StopServiceDeployment or UpdateService: polling without events, verdict, call. Median \
         of 20 rollouts of 4 tasks on the simulated region.",
    );
    Ok(())
}

/// One rollout of a revision whose tasks crash so long after their start.
async fn stop_to_call(crash_after: Duration) -> BenchResult<Duration> {
    let mut simulation = Simulation::new(1);
    simulation.world.script(BAD, Behaviour::crashes(crash_after, 1));
    simulation.ecs("CreateCluster", &json!({"clusterName": CLUSTER}))?;
    settle(&mut simulation, &first(with_tasks(4, "evenkeel-demo:v1"))?).await?;
    let bad = first(with_tasks(4, BAD))?;
    let look_again_max = LoopSettings::default().look_again_max_in_rollout;
    for _ in 0..500 {
        let now = simulation.now();
        let cloud = simulation.cloud();
        let report = reconcile(&cloud, &bad.key, Some(&bad), INSTANCE, Mode::Apply).await;
        if rolls_back(&report) {
            let stopped = last_crash(&simulation)?;
            return Ok(Duration::try_from(now.duration_since(stopped))?);
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

/// When the container of the task that crashed last has exited. The task itself is STOPPED only
/// once its network interface is gone.
fn last_crash(simulation: &Simulation) -> BenchResult<Timestamp> {
    let stopped = json!({"cluster": CLUSTER, "desiredStatus": "STOPPED"});
    let tasks = simulation.ecs("ListTasks", &stopped)?;
    let arns = tasks.get("taskArns").cloned().unwrap_or_default();
    let described = simulation.ecs("DescribeTasks", &json!({"cluster": CLUSTER, "tasks": arns}))?;
    let tasks = described.get("tasks").and_then(Value::as_array).into_iter().flatten();
    let crashed = tasks.filter(|task| {
        task.get("stopCode").and_then(Value::as_str) == Some("EssentialContainerExited")
    });
    let last = crashed
        .filter_map(|task| task.get("executionStoppedAt").and_then(Value::as_f64))
        .max_by(f64::total_cmp);
    let seconds = Duration::try_from_secs_f64(last.ok_or("no task crashed")?)?;
    Ok(Timestamp::UNIX_EPOCH + seconds)
}
