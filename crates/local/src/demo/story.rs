//! Plays the revisions of a story and compares what became of them; never touches the region.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use super::manifest::DESIRED_COUNT;
use super::meter::Meter;
use super::report::{Figures, Outcome, Report, Row};
use super::revisions::{Expected, Interruption, Revision};
use super::stage::{RESYNC, Stage};
use super::{DemoError, PATIENCE};

/// How often the demo looks.
const LOOK: Duration = Duration::from_millis(100);
/// How long traffic goes on once a revision has come to its end.
const AFTERWARDS: Duration = Duration::from_secs(1);
/// How long after a verdict a revision may still get requests.
const SECONDS_TO_ZERO: f64 = 2.0;

pub(super) async fn play(stage: &mut Stage, mut report: Report) -> Result<Report, DemoError> {
    introduce(stage);
    stage.start_daemon()?;
    for revision in stage.strategy.revisions() {
        let row = roll_out(stage, revision, &mut report.differences).await?;
        compare(revision, &row, &mut report.differences);
        let undecided = row.outcome == Outcome::Undecided;
        report.rows.push(row);
        if undecided {
            return Ok(report);
        }
        if revision.interruption == Interruption::Afterwards {
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
    if let Some(test) = stage.test_listener() {
        stage.narrator.demo(&format!("and for test traffic at http://{test}/"));
    }
    let manifests = stage.manifest();
    stage.narrator.demo(&format!("the daemon watches {}", manifests.display()));
    if let Some(kept) = stage.kept() {
        stage.narrator.demo(&format!("manifests and logs stay in {}", kept.display()));
    }
}

/// Saves the manifest of a revision and watches until it is live or rolled back.
async fn roll_out(
    stage: &mut Stage,
    revision: &Revision,
    differences: &mut Vec<String>,
) -> Result<Row, DemoError> {
    let calls = stage.server().calls().total();
    let traffic = stage.traffic();
    let mut watched = Watched {
        revision: *revision,
        calls,
        meter: Meter::start(stage, revision.image, revision.name),
        interrupted: false,
        saved: Instant::now(),
    };
    stage.narrator.demo(&format!("save the manifest with {}, {}", revision.image, revision.nature));
    stage.save_manifest(revision.image)?;
    let end = watched.until_its_end(stage).await?;
    settle(stage, revision).await?;
    differences.extend(watched.of_interruption(stage));
    let counted = stage.traffic().since(&traffic);
    let begun = stage.server().news().begun(revision.image);
    Ok(Row {
        name: revision.name,
        outcome: end.outcome,
        reason: end.reason,
        seconds_to_verdict: end.verdict.duration_since(watched.saved).as_secs_f64(),
        bad_tasks_started: if revision.is_bad() { begun } else { 0 },
        requests: counted.requests,
        failed_requests: counted.failed,
        api_calls: stage.server().calls().total() - calls,
        figures: watched
            .meter
            .map(|meter| meter.figures(stage, revision.is_bad().then_some(end.verdict))),
    })
}

/// A revision on its way.
struct Watched {
    revision: Revision,
    /// The daemon's calls before it.
    calls: u64,
    meter: Option<Meter>,
    /// Whether the daemon was killed in the middle of it.
    interrupted: bool,
    saved: Instant,
}

/// How a revision ended, and when the verdict fell.
struct End {
    outcome: Outcome,
    reason: String,
    verdict: Instant,
}

impl Watched {
    async fn until_its_end(&mut self, stage: &mut Stage) -> Result<End, DemoError> {
        let mut reason = "no verdict".to_owned();
        while self.saved.elapsed() < PATIENCE {
            stage.tell_news();
            self.interrupt_mid_shift(stage).await?;
            let status = stage.status().await?.unwrap_or_default();
            if let Some(end) = self.end(stage, &status, &mut reason) {
                if let Some(meter) = &mut self.meter {
                    meter.end(stage);
                }
                return Ok(end);
            }
            sleep(LOOK).await;
        }
        stage.tell_news();
        Ok(End { outcome: Outcome::Undecided, reason, verdict: Instant::now() })
    }

    fn end(&self, stage: &Stage, status: &Value, reason: &mut String) -> Option<End> {
        let rejected = rejected_after(stage, self.calls);
        if rejected.is_some()
            && let Some(sentence) = stage.rejection()
        {
            *reason = sentence;
        }
        let is_live = stage.settled()?.image == self.revision.image;
        match rejected {
            None => condition(status, "Ready").filter(|_| is_live).map(|reason| End {
                outcome: Outcome::Succeeded,
                reason,
                verdict: Instant::now(),
            }),
            Some(verdict) => condition(status, "RolledBack").filter(|_| !is_live).map(|_| End {
                outcome: Outcome::RolledBack,
                reason: reason.clone(),
                verdict,
            }),
        }
    }

    /// Kills the daemon while part of the traffic has moved: the next one must go on.
    async fn interrupt_mid_shift(&mut self, stage: &mut Stage) -> Result<(), DemoError> {
        let Some(meter) = &mut self.meter else { return Ok(()) };
        let shares = meter.look(stage);
        let wanted = self.revision.interruption == Interruption::MidShift && !self.interrupted;
        if wanted && stage.strategy.is_mid_shift(shares) {
            stage.narrator.demo("kill the daemon in mid-shift and start it again");
            stage.kill_daemon().await;
            stage.start_daemon()?;
            self.interrupted = true;
        }
        Ok(())
    }

    /// What is wrong with how it went on after the daemon was killed.
    fn of_interruption(&self, stage: &Stage) -> Option<String> {
        if self.revision.interruption != Interruption::MidShift {
            return None;
        }
        let (name, begun) = (self.revision.name, stage.server().news().begun(self.revision.image));
        if !self.interrupted {
            return Some(format!("{name} was over before the daemon could be killed in mid-shift"));
        }
        (begun != DESIRED_COUNT).then(|| {
            format!("{name} started {begun} tasks instead of going on with its {DESIRED_COUNT}")
        })
    }
}

/// Traffic begins with the first revision and goes on for a while after each.
async fn settle(stage: &mut Stage, revision: &Revision) -> Result<(), DemoError> {
    if revision.name == "v1" {
        stage.make_deployment_group()?;
        stage.narrator.demo("steady traffic begins");
        stage.start_traffic();
    }
    linger(stage, AFTERWARDS).await;
    Ok(())
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
    for (revision, row) in stage.strategy.revisions().iter().zip(&report.rows) {
        let begun = stage.server().news().begun(revision.image);
        if revision.is_bad() && begun > row.bad_tasks_started {
            report.differences.push(format!("{} was tried again", revision.name));
        }
    }
    let at_bad: u64 = report.rows.iter().map(Row::failed_at_bad).sum();
    if counted.failed > at_bad {
        let sentence = format!(
            "{} of {} requests failed that no bad revision got",
            counted.failed - at_bad,
            counted.requests
        );
        report.differences.push(sentence);
    }
    Ok(())
}

fn compare(revision: &Revision, row: &Row, differences: &mut Vec<String>) {
    let name = revision.name;
    let should = match revision.expected {
        Expected::Live => Outcome::Succeeded,
        Expected::TurnedBack { .. } => Outcome::RolledBack,
    };
    if row.outcome != should {
        let (got, should) = (row.outcome.word(), should.word());
        differences.push(format!("{name} is {got} and should be {should}: {}", row.reason));
    }
    let Expected::TurnedBack { most_tasks, most_share } = revision.expected else { return };
    let started = row.bad_tasks_started;
    if started > most_tasks {
        differences.push(format!("{name} started {started} bad tasks and may start {most_tasks}"));
    }
    if let Some(figures) = &row.figures {
        compare_figures(name, figures, most_share, differences);
    }
}

fn compare_figures(name: &str, figures: &Figures, most_share: f64, differences: &mut Vec<String>) {
    let share = figures.share_to_bad.unwrap_or_default();
    if share > most_share {
        differences.push(format!(
            "{name} got {:.1}% of the requests and may get {:.1}%",
            share * 100.0,
            most_share * 100.0
        ));
    }
    let seconds = figures.verdict_to_zero.unwrap_or_default();
    if seconds > SECONDS_TO_ZERO {
        differences.push(format!(
            "{name} still got requests {seconds:.1} s after its verdict and may for {SECONDS_TO_ZERO} s"
        ));
    }
}
