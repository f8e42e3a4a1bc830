//! A status as the command line shows it, from a daemon of this or another version; never decides
//! anything about a service.

mod describe;
mod rollout;
mod sparkline;
mod table;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

pub(crate) use describe::describe;
pub(crate) use rollout::{history, rollout, rollout_line};
pub(crate) use sparkline::Numbers;
pub(crate) use table::table;

/// What is shown of one service. Members that a daemon of another version does not send are empty.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ServiceView {
    pub key: KeyView,
    /// The replica that looks after it, where several run.
    pub replica: Option<String>,
    pub observed_at: Option<Timestamp>,
    pub wanted: Option<String>,
    pub source: Option<SourceView>,
    pub conditions: Vec<ConditionView>,
    pub rollout: Option<RolloutView>,
    pub breaker: Vec<BreakerView>,
    pub analysis: Vec<MeasurementView>,
    pub evidence: Vec<EvidenceView>,
    pub verdict: Option<VerdictView>,
    pub waiting: Vec<WaitView>,
    pub did: Vec<String>,
    pub events: Vec<String>,
    pub desired_count: u32,
    pub running_count: u32,
    pub look_again: Option<SecondsView>,
    pub drift: Vec<DriftedView>,
    pub words: Option<WordsView>,
}

/// Why the wanted revision was rejected.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct VerdictView {
    pub kind: String,
    pub sentence: String,
}

/// Where the manifest is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SourceView {
    pub file: String,
    pub line: usize,
    pub commit: Option<String>,
}

/// A field that is not as the manifest says and stays so for now.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DriftedView {
    pub path: String,
    pub policy: String,
    pub last: Option<Value>,
    pub wanted: Option<Value>,
    pub live: Option<Value>,
    pub since: Option<Timestamp>,
    pub healed: u32,
    pub until: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct KeyView {
    pub target: String,
    pub cluster: String,
    pub name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ConditionView {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub reason: String,
    pub message: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RolloutView {
    pub phase: String,
    pub digest: String,
    pub deployment: Option<String>,
    pub since: Option<Timestamp>,
    pub task_definition: Option<String>,
    pub running_count: u32,
    pub desired_count: u32,
    pub healthy_count: Option<u32>,
    pub shift: Option<ShiftView>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ShiftView {
    pub strategy: String,
    pub stage: Option<String>,
    pub production_weight: f64,
    pub test_weight: Option<f64>,
    pub gate: Option<GateView>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct GateView {
    pub name: String,
    /// What a promotion names it by.
    pub hook: String,
    pub needs_approval: bool,
    pub expires_at: Option<Timestamp>,
}

/// What people said that is still in force.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WordsView {
    pub hold: Option<WordView>,
    pub pause: Option<WordView>,
    pub promotion: Option<WordView>,
    pub rejection: Option<WordView>,
    pub approval: Option<ApprovalView>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ApprovalView {
    pub revision: String,
    pub is_wanted: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WordView {
    pub who: String,
    pub at: Option<Timestamp>,
    pub why: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct BreakerView {
    pub kind: String,
    pub count: u32,
    pub threshold: u32,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct MeasurementView {
    pub metric: String,
    pub result: String,
    pub sentence: String,
    pub trend: Option<TrendView>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TrendView {
    pub values: Vec<f64>,
    pub latest: Option<String>,
    pub limit: String,
    pub most: Option<f64>,
    pub least: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EvidenceView {
    pub kind: String,
    pub task: Option<String>,
    pub at: Option<Timestamp>,
    #[serde(alias = "exitCode")]
    pub exit_code: Option<i64>,
    pub reason: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WaitView {
    pub reason: String,
    pub sentence: String,
    pub until: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SecondsView {
    pub secs: u64,
}

/// How a service is doing, in the one word that matters most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    Careful,
    Bad,
}

impl ServiceView {
    /// A value that is no status shows as an empty one, not as an error.
    pub(crate) fn read(value: &Value) -> Self {
        Self::deserialize(value).unwrap_or_default()
    }

    /// `cluster/name`.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.key.cluster, self.key.name)
    }

    pub(crate) fn is_true(&self, kind: &str) -> bool {
        self.condition(kind).is_some_and(|condition| condition.status == "True")
    }

    pub(crate) fn condition(&self, kind: &str) -> Option<&ConditionView> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }

    /// The condition that explains the state best: a bad one, else progress, else readiness.
    pub(crate) fn headline(&self) -> Option<&ConditionView> {
        const URGENT: [&str; 6] =
            ["Invalid", "RolledBack", "Rejected", "Held", "Unknown", "Progressing"];
        let urgent = URGENT.into_iter().find(|kind| self.is_true(kind));
        self.condition(urgent.unwrap_or("Ready"))
    }

    pub(crate) fn mood(&self) -> Mood {
        if ["Invalid", "RolledBack", "Rejected", "Held"].into_iter().any(|kind| self.is_true(kind))
        {
            Mood::Bad
        } else if self.is_true("Ready") {
            Mood::Good
        } else {
            Mood::Careful
        }
    }
}

/// `12s`, `3m`, `2h`, `5d`: one number, for a column.
pub(crate) fn age(from: Option<Timestamp>, now: Timestamp) -> String {
    let Some(from) = from else { return "-".to_owned() };
    let seconds = now.duration_since(from).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// `v1:` and twelve digits: enough to tell revisions apart, and to approve one.
pub(crate) fn short(digest: &str) -> String {
    digest.chars().take(15).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
        json!({ "type": kind, "status": status, "reason": reason, "message": message })
    }

    /// A service whose new revision is being judged.
    fn probing() -> Value {
        json!({
            "key": { "target": "default", "cluster": "prod", "name": "web" },
            "observedAt": "2026-01-01T00:10:00Z",
            "wanted": "v1:0123456789abcdef0123456789abcdef",
            "conditions": [
                condition("Ready", "False", "RollingOut", "1 of 4 tasks run the wanted revision"),
                condition("Progressing", "True", "Probing", "one task of the new revision proves itself"),
                condition("Held", "False", "NotHeld", "nobody holds it"),
            ],
            "rollout": {
                "phase": "Probing", "digest": "v1:0123456789abcdef0123456789abcdef",
                "deployment": "ecs-svc/1234567890123456789", "since": "2026-01-01T00:09:00Z",
                "taskDefinition": "web:7", "runningCount": 1, "desiredCount": 4,
            },
            "breaker": [
                { "kind": "Crash", "count": 2, "threshold": 2 },
                { "kind": "LaunchFailure", "count": 0, "threshold": 2 },
            ],
            "analysis": [{
                "metric": "errorRate", "result": "Running",
                "sentence": "0.5% in the last 1 windows, 0 over the limit (at most 1%)",
            }],
            "evidence": [{
                "kind": "Crash", "task": "abc", "at": "2026-01-01T00:09:30Z", "exit_code": 1,
                "reason": "Essential container in task exited",
            }],
            "waiting": [{
                "reason": "Probe", "sentence": "one task must stay healthy for 30 s",
                "until": "2026-01-01T00:10:35Z",
            }],
            "did": ["widened"],
            "events": ["(service web) has started 1 tasks: \u{1b}[31mred"],
            "desiredCount": 4, "runningCount": 5,
            "lookAgain": { "secs": 5, "nanos": 0 },
        })
    }

    fn settled() -> Value {
        json!({
            "key": { "target": "default", "cluster": "prod", "name": "api" },
            "observedAt": "2026-01-01T00:00:00Z",
            "wanted": "v1:ffffffffffffffffffffffffffffffff",
            "conditions": [condition("Ready", "True", "Settled", "4 of 4 tasks run")],
            "desiredCount": 4, "runningCount": 4,
        })
    }

    fn now() -> Timestamp {
        "2026-01-01T00:10:05Z".parse().unwrap()
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_table_has_a_line_a_service() {
        let views = [ServiceView::read(&settled()), ServiceView::read(&probing())];
        insta::assert_snapshot!(plain(&table(&views, now())), @r"
        SERVICE   READY  CONDITION  REVISION         TASKS  ROLLOUT      SEEN
        prod/api  True   Settled    v1:ffffffffffff  4/4    -            10m
        prod/web  False  Probing    v1:0123456789ab  5/4    Probing 1/4  5s
        ");
    }

    #[test]
    fn a_table_says_which_replica_looks_after_a_service_where_several_run() {
        let mut with_replica = settled();
        with_replica["replica"] = "evenkeel-0".into();
        let views = [ServiceView::read(&with_replica), ServiceView::read(&probing())];
        insta::assert_snapshot!(plain(&table(&views, now())), @r"
        SERVICE   READY  CONDITION  REVISION         TASKS  ROLLOUT      SEEN  REPLICA
        prod/api  True   Settled    v1:ffffffffffff  4/4    -            10m   evenkeel-0
        prod/web  False  Probing    v1:0123456789ab  5/4    Probing 1/4  5s    -
        ");
        let described = plain(&describe(&ServiceView::read(&with_replica), now()));
        assert!(described.contains("  looked after by  evenkeel-0\n"), "{described}");
    }

    #[test]
    fn a_description_tells_what_happens_and_what_is_awaited() {
        insta::assert_snapshot!(plain(&describe(&ServiceView::read(&probing()), now())), @r"
        prod/web
          wanted revision  v1:0123456789abcdef0123456789abcdef
          tasks            5 of 4 running
          last seen        5s ago (2026-01-01T00:10:00Z), looked at again within 5s

        Conditions
          Ready        False   RollingOut           1 of 4 tasks run the wanted revision
          Progressing  True    Probing              one task of the new revision proves itself
          Held         False   NotHeld              nobody holds it

        Rollout
          phase            Probing
          revision         v1:0123456789abcdef0123456789abcdef
          deployment       ecs-svc/1234567890123456789
          task definition  web:7
          tasks            1 of 4 running
          since            65s

        Breaker
          Crash            2 of 2
          LaunchFailure    0 of 2

        Analysis
          errorRate        Running      0.5% in the last 1 windows, 0 over the limit (at most 1%)

        Evidence
          Crash, task abc, exit code 1, 35s ago: Essential container in task exited

        Waits for
          Probe: one task must stay healthy for 30 s (until 2026-01-01T00:10:35Z, 30s left)

        Did in the last pass
          widened

        Last events of ECS
          (service web) has started 1 tasks: \u{1b}[31mred
        ");
    }

    #[test]
    fn a_description_tells_what_drifted_since_when_and_until_when_it_is_left_alone() {
        let mut status = settled();
        status["drift"] = json!([
            { "path": "service.enableExecuteCommand", "policy": "Report", "last": false, "wanted": false,
              "live": true, "since": "2026-01-01T00:00:05Z" },
            { "path": "service.tags[team]", "policy": "Heal", "last": "shop", "wanted": "shop",
              "live": null, "since": "2025-12-31T22:10:05Z", "healed": 5,
              "until": "2026-01-01T00:20:00Z" },
        ]);
        let text = plain(&describe(&ServiceView::read(&status), now()));
        let drift = text.split("\n\n").find(|section| section.starts_with("Drift\n"));
        insta::assert_snapshot!(drift.unwrap(), @r#"
        Drift
          service.enableExecuteCommand: was false, wanted false, is true, since 10m (Report)
          service.tags[team]: was "shop", wanted "shop", is (not set), since 2h (Heal; changed back 5 times; left alone until 2026-01-01T00:20:00Z)
        "#);
    }

    #[test]
    fn a_verdict_is_told_in_its_own_words() {
        let mut status = settled();
        status["verdict"] =
            json!({"digest": "v1:f", "kind": "Crashes", "sentence": "3 of 3 tasks ended"});
        let view = ServiceView::read(&status);
        let described = plain(&describe(&view, now()));
        assert!(described.contains("\nVerdict\n  Crashes: 3 of 3 tasks ended\n"), "{described}");
        let rollout = plain(&rollout(&view, now(), Numbers::AsNumbers));
        assert!(rollout.contains("\n  verdict   Crashes: 3 of 3 tasks ended\n"), "{rollout}");
    }

    #[test]
    fn a_status_of_a_later_version_is_shown_as_far_as_it_is_understood() {
        let mut status = settled();
        status["novelty"] = json!({ "x": 1 });
        status["waiting"] = json!([{ "reason": "Novel", "sentence": "for something new" }]);
        let view = ServiceView::read(&status);
        assert!(plain(&describe(&view, now())).contains("Novel: for something new"));
        assert_eq!(view.mood(), Mood::Good);
    }

    #[test]
    fn ages_have_one_unit() {
        let from = |text: &str| age(Some(text.parse().unwrap()), now());
        assert_eq!(from("2026-01-01T00:09:00Z"), "65s");
        assert_eq!(from("2026-01-01T00:00:05Z"), "10m");
        assert_eq!(from("2025-12-31T20:10:05Z"), "4h");
        assert_eq!(from("2026-01-01T00:10:06Z"), "0s");
        assert_eq!(age(None, now()), "-");
    }
}
