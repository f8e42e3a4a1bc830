//! The six revisions, what should become of them, and whether it did; never touches the region.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use super::report::{Outcome, Report, Row};
use super::stage::{RESYNC, Stage};
use super::{DemoError, PATIENCE};

#[derive(Clone, Copy, Debug)]
struct Revision {
    name: &'static str,
    image: &'static str,
    nature: &'static str,
    expected: Outcome,
    /// At most so many tasks may be started with it; `None` for a good one.
    most_bad_tasks: Option<u64>,
}

const REVISIONS: [Revision; 6] = [
    good("v1", "evenkeel-demo:v1", "the first one"),
    good("v2", "evenkeel-demo:v2", "a good one"),
    bad("v3", "evenkeel-demo:v3", "which crashes after its start", 3),
    bad("v4", "evenkeel-demo:v4", "which answers 500 on its health path", 3),
    bad("v5", "evenkeel-demo:v5", "whose image does not exist", 1),
    good("v6", "evenkeel-demo:v6", "a good one again"),
];

const fn good(name: &'static str, image: &'static str, nature: &'static str) -> Revision {
    Revision { name, image, nature, expected: Outcome::Succeeded, most_bad_tasks: None }
}

const fn bad(name: &'static str, image: &'static str, nature: &'static str, most: u64) -> Revision {
    Revision { name, image, nature, expected: Outcome::RolledBack, most_bad_tasks: Some(most) }
}

/// How often the demo looks.
const LOOK: Duration = Duration::from_millis(100);
/// How long traffic goes on once a revision has come to its end.
const AFTERWARDS: Duration = Duration::from_secs(1);

pub(super) async fn play(stage: &mut Stage) -> Result<Report, DemoError> {
    introduce(stage);
    stage.start_daemon()?;
    let mut report = Report::default();
    for revision in REVISIONS {
        let row = roll_out(stage, &revision).await?;
        compare(&revision, &row, &mut report.differences);
        let undecided = row.outcome == Outcome::Undecided;
        report.rows.push(row);
        if undecided {
            return Ok(report);
        }
        if revision.name == "v5" {
            let difference = restart(stage).await?;
            report.differences.extend(difference);
        }
    }
    never_again(stage, &mut report).await?;
    Ok(report)
}

fn introduce(stage: &Stage) {
    stage.narrator.demo(&format!("a local region of ECS answers at {}", stage.server().endpoint()));
    stage.narrator.demo(&format!("its load balancer listens at http://{}/", stage.balancer()));
    let manifests = stage.manifest();
    stage.narrator.demo(&format!("the daemon watches {}", manifests.display()));
    if let Some(kept) = stage.kept() {
        stage.narrator.demo(&format!("manifests and logs stay in {}", kept.display()));
    }
}

/// Saves the manifest of a revision and watches until it is live or rolled back.
async fn roll_out(stage: &mut Stage, revision: &Revision) -> Result<Row, DemoError> {
    let calls = stage.server().calls().total();
    let traffic = stage.traffic();
    stage.narrator.demo(&format!("save the manifest with {}, {}", revision.image, revision.nature));
    let saved = Instant::now();
    stage.save_manifest(revision.image)?;
    let end = watch(stage, revision, saved, calls).await?;
    settle(stage, revision).await;
    let counted = stage.traffic();
    let begun = stage.server().news().begun(revision.image);
    Ok(Row {
        name: revision.name,
        outcome: end.outcome,
        reason: end.reason,
        seconds_to_verdict: end.verdict.as_secs_f64(),
        bad_tasks_started: revision.most_bad_tasks.map_or(0, |_| begun),
        requests: counted.requests - traffic.requests,
        failed_requests: counted.failed - traffic.failed,
        api_calls: stage.server().calls().total() - calls,
    })
}

/// How a revision ended, and how long after its save the verdict fell.
struct End {
    outcome: Outcome,
    reason: String,
    verdict: Duration,
}

async fn watch(
    stage: &mut Stage,
    revision: &Revision,
    saved: Instant,
    calls: u64,
) -> Result<End, DemoError> {
    let mut reason = "no verdict".to_owned();
    while saved.elapsed() < PATIENCE {
        stage.tell_news();
        let rejected = rejected_after(stage, calls);
        let status = stage.status().await?.unwrap_or_default();
        let settled = stage.settled();
        let live = settled.as_ref().is_some_and(|settled| settled.image == revision.image);
        if let Some(message) = condition(&status, "Ready").filter(|_| live && rejected.is_none()) {
            let verdict = saved.elapsed();
            return Ok(End { outcome: Outcome::Succeeded, reason: message, verdict });
        }
        if let Some(sentence) = rejected.and_then(|_| stage.rejection()) {
            reason = sentence;
        }
        if let (Some(at), Some(_), Some(settled)) =
            (rejected, condition(&status, "RolledBack"), settled)
            && settled.image != revision.image
        {
            let verdict = at.duration_since(saved);
            return Ok(End { outcome: Outcome::RolledBack, reason, verdict });
        }
        sleep(LOOK).await;
    }
    stage.tell_news();
    Ok(End { outcome: Outcome::Undecided, reason, verdict: saved.elapsed() })
}

/// Traffic begins with the first revision and goes on for a while after each.
async fn settle(stage: &mut Stage, revision: &Revision) {
    if revision.name == "v1" {
        stage.narrator.demo("steady traffic begins");
        stage.start_traffic();
    }
    linger(stage, AFTERWARDS).await;
}

async fn linger(stage: &mut Stage, time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        stage.tell_news();
        sleep(LOOK).await;
    }
}

/// When the verdict was written at the wire: the tag that says `rejected`.
fn rejected_after(stage: &Stage, calls: u64) -> Option<Instant> {
    let records = stage.server().calls().after(calls);
    let rejects = |(key, _): &(String, String)| key == "evenkeel:rejected";
    let verdict =
        records.into_iter().find(|record| record.status == 200 && record.tags.iter().any(rejects));
    verdict.map(|record| record.at)
}

/// The sentence of a condition that is true.
fn condition(status: &Value, kind: &str) -> Option<String> {
    let conditions = status.get("conditions").and_then(Value::as_array)?;
    let text = |condition: &Value, name: &str| {
        condition.get(name).and_then(Value::as_str).map(ToOwned::to_owned)
    };
    let holds = conditions.iter().find(|condition| {
        text(condition, "type").as_deref() == Some(kind)
            && text(condition, "status").as_deref() == Some("True")
    })?;
    text(holds, "message")
}

/// Kills the daemon while the rejected manifest is in place: the next one must leave it alone.
async fn restart(stage: &mut Stage) -> Result<Option<String>, DemoError> {
    stage.narrator.demo("kill the daemon and start it again: the rejected manifest is still there");
    stage.kill_daemon().await;
    let calls = stage.server().calls().total();
    stage.start_daemon()?;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let status = stage.status().await?.unwrap_or_default();
        if condition(&status, "RolledBack").is_some() {
            linger(stage, RESYNC + AFTERWARDS).await;
            return Ok(writes_after(stage, calls));
        }
        sleep(LOOK).await;
    }
    Ok(Some("after its restart the daemon did not know of the rejected revision".to_owned()))
}

fn writes_after(stage: &Stage, calls: u64) -> Option<String> {
    let records = stage.server().calls().after(calls);
    let writes: Vec<&str> = records
        .iter()
        .filter(|record| record.is_write())
        .map(|record| record.operation.as_str())
        .collect();
    if writes.is_empty() {
        stage.narrator.demo("it remembers, and has written nothing");
        return None;
    }
    Some(format!("the restarted daemon wrote: {}", writes.join(", ")))
}

/// One resync later, no bad revision has been tried again.
async fn never_again(stage: &mut Stage, report: &mut Report) -> Result<(), DemoError> {
    linger(stage, RESYNC).await;
    let counted = stage.stop_traffic().await;
    for (revision, row) in REVISIONS.iter().zip(&report.rows) {
        let begun = stage.server().news().begun(revision.image);
        if revision.most_bad_tasks.is_some() && begun > row.bad_tasks_started {
            report.differences.push(format!("{} was tried again", revision.name));
        }
    }
    if counted.failed > 0 {
        let sentence = format!("{} of {} requests failed", counted.failed, counted.requests);
        report.differences.push(sentence);
    }
    Ok(())
}

fn compare(revision: &Revision, row: &Row, differences: &mut Vec<String>) {
    let name = revision.name;
    if row.outcome != revision.expected {
        let (got, should) = (row.outcome.word(), revision.expected.word());
        differences.push(format!("{name} is {got} and should be {should}: {}", row.reason));
    }
    if let Some(most) = revision.most_bad_tasks
        && row.bad_tasks_started > most
    {
        let started = row.bad_tasks_started;
        differences.push(format!("{name} started {started} bad tasks and may start {most}"));
    }
}
