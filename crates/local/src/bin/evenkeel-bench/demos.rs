//! What users notice of each strategy, as the demo measures it: real tasks and real requests; never reads a result that
//! the demo did not report.
//!
//! The demo is the binary `evenkeel-local` beside this one, as a process of its own.

use std::process::Stdio;

use serde_json::{Map, Value};
use tokio::process::Command;

use crate::BenchResult;
use crate::daemon::binary;
use crate::figures::Figures;

/// Each weight lasts until three minutes of the region are judged, so that some 10,000 requests come in the meantime.
const WEIGHTS: [&str; 4] = ["--strategy", "steps", "--rate", "1000"];

pub(crate) async fn measure(figures: &mut Figures) -> BenchResult<()> {
    for (strategy, report) in play(&["--all"]).await? {
        to_zero(figures, &strategy, &report);
    }
    weights(figures, &Value::Object(play(&WEIGHTS).await?));
    Ok(())
}

/// Plays the demo and returns its report.
async fn play(arguments: &[&str]) -> BenchResult<Map<String, Value>> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("report.json");
    let mut command = Command::new(binary("evenkeel-local")?);
    command.arg("demo").args(arguments).arg("--report").arg(&file).stdout(Stdio::null());
    let status = command.kill_on_drop(true).status().await?;
    let report: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    match report {
        Value::Object(report) if status.success() => Ok(report),
        report => Err(format!("the demo was not as it should be: {report:#}").into()),
    }
}

/// Bad revisions of one strategy: from the verdict to the last request that was sent to them.
fn to_zero(figures: &mut Figures, strategy: &str, report: &Value) {
    let of = |name: &str| -> Vec<f64> {
        revisions(report).filter_map(|one| one.get(name)?.as_f64()).collect()
    };
    let seconds = of("seconds_from_verdict_to_zero_weight");
    let shares = of("share_of_requests_to_bad");
    let (Some(longest), Some(most)) = (largest(&seconds), largest(&shares)) else { return };
    figures.add(
        format!("verdict_to_zero_seconds_{strategy}"),
        format!("{strategy}: verdict to the last bad request"),
        longest,
        format!("{longest:.2} s (share {:.1} %)", most * 100.0),
        "The longest of the demo's bad revisions, from the tag that rejects it to the last request sent to it, and the \
         largest share of production requests that one got. Real seconds; the region's time runs 15 times as fast.",
    );
}

/// A good revision's steps: what each asked for, and who answered.
fn weights(figures: &mut Figures, report: &Value) {
    let good = revisions(report).find(|one| one.get("name").and_then(Value::as_str) == Some("v2"));
    let steps = good.and_then(|one| one.get("steps")?.as_array());
    for step in steps.into_iter().flatten() {
        let number = |name: &str| step.get(name).and_then(Value::as_f64).unwrap_or_default();
        let (asked, requests) = (number("weight_percent"), number("requests"));
        let got = 100.0 * number("answered_by_it") / requests;
        figures.add(
            format!("weight_measured_at_{asked}_percent"),
            format!("steps: answers at a weight of {asked} %"),
            got,
            format!("{got:.2} % of {requests}"),
            "Of the requests answered between two changes of the weight, the part that the new revision answered. A request \
             that is under way when the weight changes counts for the weight after it.",
        );
    }
}

fn revisions(report: &Value) -> impl Iterator<Item = &Value> {
    report.get("revisions").and_then(Value::as_array).into_iter().flatten()
}

fn largest(numbers: &[f64]) -> Option<f64> {
    numbers.iter().copied().max_by(f64::total_cmp)
}
