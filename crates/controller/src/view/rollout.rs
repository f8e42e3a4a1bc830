//! A rollout as text, for a look or for a watch; says the same sentences as the status.

use std::fmt::Write as _;

use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;
use serde_json::Value;

use super::{ApprovalView, GateView, Numbers, ServiceView, ShiftView, WordView, age, short};
use crate::style::{self, paint, safe};

/// Writing to a `String` cannot fail.
macro_rules! line {
    ($text:expr, $($arg:tt)*) => { let _infallible = writeln!($text, $($arg)*); };
}

/// Where it stands, what is measured, and what it waits for, with countdowns.
pub(crate) fn rollout(service: &ServiceView, now: Timestamp, numbers: Numbers) -> String {
    let mut text = String::new();
    line!(text, "{}  {}", paint(style::TITLE, safe(&service.name())), headline(service));
    progress(&mut text, service, now);
    if let Some(verdict) = &service.verdict {
        line!(text, "  verdict   {}: {}", safe(&verdict.kind), safe(&verdict.sentence));
    }
    if !service.breaker.is_empty() {
        line!(text, "  breaker   {}", breaker(service));
    }
    measured(&mut text, service, numbers);
    for wait in &service.waiting {
        let until = until(wait.until, now);
        line!(text, "  waits     {}: {}{until}", safe(&wait.reason), safe(&wait.sentence));
    }
    words(&mut text, service);
    text
}

fn headline(service: &ServiceView) -> String {
    let Some(condition) = service.headline() else { return "not looked at yet".to_owned() };
    let colour = match service.mood() {
        super::Mood::Good => style::GOOD,
        super::Mood::Careful => style::CAREFUL,
        super::Mood::Bad => style::BAD,
    };
    format!("{} {}", paint(colour, safe(&condition.reason)), safe(&condition.message))
}

fn progress(text: &mut String, service: &ServiceView, now: Timestamp) {
    let Some(rollout) = &service.rollout else {
        let (running, desired) = (service.running_count, service.desired_count);
        line!(text, "  rollout   none; {running} of {desired} tasks are running");
        if let Some(wanted) = &service.wanted {
            line!(text, "  wanted    {}", safe(&short(wanted)));
        }
        return;
    };
    let since = age(rollout.since, now);
    line!(
        text,
        "  rollout   {} {}, for {since}",
        safe(&rollout.phase),
        safe(&short(&rollout.digest))
    );
    if let Some(shift) = &rollout.shift {
        line!(text, "  traffic   {}", traffic(shift));
        if let Some(gate) = &shift.gate {
            line!(text, "  gate      {}{}", gate_words(gate), until(gate.expires_at, now));
        }
    }
    line!(text, "  tasks     {}", tasks(service));
}

/// `CANARY in BAKE_TIME, 10% of production`
fn traffic(shift: &ShiftView) -> String {
    let stage = shift.stage.as_deref().unwrap_or("no stage yet");
    let test = shift.test_weight.map_or(String::new(), |share| format!(", {share}% of test"));
    let share = shift.production_weight;
    format!("{} in {}, {share}% of production{test}", safe(&shift.strategy), safe(stage))
}

fn gate_words(gate: &GateView) -> String {
    let approval = if gate.needs_approval { ", needs an approval" } else { "" };
    format!("{} ({}){approval}", safe(&gate.name), safe(&gate.hook))
}

fn tasks(service: &ServiceView) -> String {
    let Some(rollout) = &service.rollout else { return String::new() };
    let healthy = rollout.healthy_count.map_or("?".to_owned(), |count| count.to_string());
    let (running, desired) = (rollout.running_count, rollout.desired_count);
    format!("{healthy} healthy and {running} running of {desired}")
}

fn breaker(service: &ServiceView) -> String {
    let one = |count: &super::BreakerView| {
        let tripped = count.threshold > 0 && count.count >= count.threshold;
        let text = format!("{} {}/{}", safe(&count.kind), count.count, count.threshold);
        if tripped { paint(style::BAD, text) } else { text }
    };
    service.breaker.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// `errorRate        ▁▁▂▁  0.2%, at most 1%  Running`
fn measured(text: &mut String, service: &ServiceView, numbers: Numbers) {
    for one in &service.analysis {
        let colour = match one.result.as_str() {
            "Passed" => style::GOOD,
            "Failed" => style::BAD,
            _ => style::CAREFUL,
        };
        let result = paint(colour, safe(&one.result));
        let Some(trend) = &one.trend else {
            line!(text, "  measured  {:<16} {result}", safe(&one.metric));
            continue;
        };
        let (row, limit) = (numbers.show(trend), safe(&trend.limit));
        let latest = safe(trend.latest.as_deref().unwrap_or("no number yet"));
        let gap = if row.is_empty() { "" } else { "  " };
        line!(text, "  measured  {:<16} {row}{gap}{latest}, {limit}  {result}", safe(&one.metric));
    }
}

/// ` (45s left)`; beyond ten minutes whole minutes are enough.
fn until(until: Option<Timestamp>, now: Timestamp) -> String {
    let Some(until) = until else { return String::new() };
    match until.duration_since(now).as_secs() {
        ..=0 => " (due)".to_owned(),
        seconds @ 1..600 => format!(" ({seconds}s left)"),
        seconds => format!(" ({}m left)", seconds / 60),
    }
}

fn words(text: &mut String, service: &ServiceView) {
    let Some(words) = &service.words else { return };
    let all = [
        ("held", &words.hold),
        ("paused", &words.pause),
        ("promoted", &words.promotion),
        ("rejected", &words.rejection),
    ];
    for (what, said) in all {
        if let Some(said) = said {
            line!(text, "  {what:<9} {}", phrase(said));
        }
    }
    if let Some(approval) = &words.approval {
        line!(text, "  approved  {}", approved(approval));
    }
}

fn approved(approval: &ApprovalView) -> String {
    let revision = safe(&approval.revision);
    if approval.is_wanted {
        format!("in git: {revision}")
    } else {
        format!("in git, but of no account: {revision} is other content than what is wanted")
    }
}

fn phrase(said: &WordView) -> String {
    let who = if said.who.is_empty() { "somebody" } else { &said.who };
    let at = said.at.map_or(String::new(), |at| format!(" at {at:.0}"));
    let why = if said.why.is_empty() { String::new() } else { format!(": {}", said.why) };
    safe(&format!("by {who}{at}{why}")).into_owned()
}

/// One line of a watch elsewhere than on a terminal.
pub(crate) struct Line {
    /// The same while nothing that matters has changed: durations in sentences do not.
    pub key: String,
    pub text: String,
}

pub(crate) fn rollout_line(service: &ServiceView) -> Line {
    let condition = service.headline().map_or("-", |condition| condition.reason.as_str());
    let mut key = format!("{} {}", safe(&service.name()), safe(condition));
    if let Some(rollout) = &service.rollout {
        let _infallible =
            write!(key, " {} {}", safe(&rollout.phase), safe(&short(&rollout.digest)));
        if let Some(shift) = &rollout.shift {
            let _infallible = write!(key, " {}", traffic(shift));
            let gate = shift.gate.as_ref().map(|gate| format!(" gate {}", gate_words(gate)));
            key.push_str(&gate.unwrap_or_default());
        }
        let _infallible = write!(key, ", {}", tasks(service));
    }
    for count in service.breaker.iter().filter(|count| count.count > 0) {
        let _infallible =
            write!(key, ", {} {}/{}", safe(&count.kind), count.count, count.threshold);
    }
    let waits: Vec<_> = service.waiting.iter().map(|wait| safe(&wait.reason)).collect();
    let sentence = service.waiting.first().map(|wait| wait.sentence.as_str());
    let message = service.headline().map(|condition| condition.message.as_str());
    let text = format!("{key}: {}", safe(sentence.or(message).unwrap_or_default()));
    Line { key: format!("{key} {}", waits.join(" ")), text: text.trim_end().to_owned() }
}

const COLUMNS: [&str; 6] = ["CREATED", "STATUS", "REVISION", "TASK DEFINITION", "IMAGES", "REASON"];

/// The deployments that ECS remembers, one a line; `*` is the one that the service returns to.
pub(crate) fn history(deployments: &[Value]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(COLUMNS);
    for deployment in deployments {
        table.add_row(past(deployment));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn past(deployment: &Value) -> [String; 6] {
    let text = |name: &str| deployment.get(name).and_then(Value::as_str);
    let last = |name: &str| {
        let shown = text(name).and_then(|arn| arn.rsplit('/').next()).unwrap_or("-");
        safe(shown).into_owned()
    };
    let is_proven = deployment.get("isProven").and_then(Value::as_bool) == Some(true);
    let created = text("createdAt").and_then(|at| at.parse::<Timestamp>().ok());
    let images = deployment.get("images").and_then(Value::as_array);
    let images: Vec<_> = images.into_iter().flatten().filter_map(Value::as_str).map(safe).collect();
    [
        created.map_or("-".to_owned(), |at| format!("{at:.0}")),
        safe(text("status").unwrap_or("-")).into_owned(),
        last("revision") + if is_proven { " *" } else { "" },
        last("taskDefinition"),
        if images.is_empty() { "-".to_owned() } else { images.join(" ") },
        safe(text("reason").unwrap_or("-")).into_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    fn at_gate() -> ServiceView {
        ServiceView::read(&json!({
            "key": { "target": "default", "cluster": "prod", "name": "shop" },
            "conditions": [{
                "type": "Progressing", "status": "True", "reason": "WaitsForPerson",
                "message": "after test traffic: the manifest wants an approval",
            }],
            "rollout": {
                "phase": "Shifting", "digest": "v1:00112233445566778899aabbccddeeff",
                "since": "2026-01-01T00:00:00Z", "runningCount": 4, "desiredCount": 4,
                "healthyCount": 3,
                "shift": {
                    "strategy": "CANARY", "stage": "POST_TEST_TRAFFIC_SHIFT",
                    "productionWeight": 0.0, "testWeight": 100.0,
                    "gate": {
                        "name": "AfterTestTraffic", "hook": "ecs-pause-1", "needsApproval": true,
                        "expiresAt": "2026-01-01T01:00:00Z",
                    },
                },
            },
            "breaker": [{ "kind": "Crash", "count": 1, "threshold": 3 }],
            "analysis": [
                {
                    "metric": "errorRate", "result": "Running", "sentence": "",
                    "trend": {
                        "values": [0.1, 0.2, 0.5, 1.5], "latest": "1.5%", "limit": "at most 1%",
                        "most": 1.0,
                    },
                },
                {
                    "metric": "latency p99", "result": "Passed", "sentence": "",
                    "trend": { "values": [], "latest": null, "limit": "as the stable revision" },
                },
                { "metric": "web hook x", "result": "Passed", "sentence": "smoke test" },
            ],
            "waiting": [{
                "reason": "Person", "until": "2026-01-01T00:11:00Z",
                "sentence": "after test traffic: the manifest wants an approval",
            }],
            "words": { "approval": { "revision": "ffffffffffff", "isWanted": false }, "pause": { "who": "ann", "at": "2026-01-01T00:05:00Z", "why": "lunch" } },
            "runningCount": 8, "desiredCount": 4,
        }))
    }

    #[test]
    fn a_rollout_at_a_gate_tells_stage_weights_tasks_breaker_and_countdown() {
        let now = "2026-01-01T00:10:00Z".parse().unwrap();
        insta::assert_snapshot!(plain(&rollout(&at_gate(), now, Numbers::AsBlocks)), @"
        prod/shop  WaitsForPerson after test traffic: the manifest wants an approval
          rollout   Shifting v1:001122334455, for 10m
          traffic   CANARY in POST_TEST_TRAFFIC_SHIFT, 0% of production, 100% of test
          gate      AfterTestTraffic (ecs-pause-1), needs an approval (50m left)
          tasks     3 healthy and 4 running of 4
          breaker   Crash 1/3
          measured  errorRate        ▁▂▃█  1.5%, at most 1%  Running
          measured  latency p99      no number yet, as the stable revision  Passed
          measured  web hook x       Passed
          waits     Person: after test traffic: the manifest wants an approval (60s left)
          paused    by ann at 2026-01-01T00:05:00Z: lunch
          approved  in git, but of no account: ffffffffffff is other content than what is wanted
        ");
        let piped = plain(&rollout(&at_gate(), now, Numbers::AsNumbers));
        assert!(piped.contains("errorRate        0.1 0.2 0.5 1.5  1.5%, at most 1%"), "{piped}");
    }

    #[test]
    fn a_line_changes_with_what_matters_and_not_with_a_sentence() {
        let first = rollout_line(&at_gate());
        insta::assert_snapshot!(first.text, @"prod/shop WaitsForPerson Shifting v1:001122334455 CANARY in POST_TEST_TRAFFIC_SHIFT, 0% of production, 100% of test gate AfterTestTraffic (ecs-pause-1), needs an approval, 3 healthy and 4 running of 4, Crash 1/3: after test traffic: the manifest wants an approval");
        let mut same = at_gate();
        same.waiting.iter_mut().for_each(|wait| wait.sentence.push_str(" for 2s"));
        assert_eq!(rollout_line(&same).key, first.key);
        let mut other = at_gate();
        other.rollout.iter_mut().for_each(|rollout| rollout.healthy_count = Some(4));
        assert_ne!(rollout_line(&other).key, first.key);
    }

    #[test]
    fn a_history_marks_what_the_service_returns_to() {
        let revision = "arn:aws:ecs:eu-west-1:123456789012:service-revision/prod/web/42";
        let deployments = [
            json!({ "status": "IN_PROGRESS", "createdAt": "2026-01-02T00:00:00Z", "images": [] }),
            json!({
                "status": "SUCCESSFUL", "createdAt": "2026-01-01T00:00:00Z", "revision": revision,
                "taskDefinition": "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:7",
                "images": ["web:7", "log:1"], "isProven": true, "reason": "all is well",
            }),
        ];
        insta::assert_snapshot!(history(&deployments), @"
        CREATED               STATUS       REVISION  TASK DEFINITION  IMAGES       REASON
        2026-01-02T00:00:00Z  IN_PROGRESS  -         -                -            -
        2026-01-01T00:00:00Z  SUCCESSFUL   42 *      web:7            web:7 log:1  all is well
        ");
    }
}
