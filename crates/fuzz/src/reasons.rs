//! Texts about a stopped task, given to the breaker through a rollout in flight; never calls the
//! classifier itself, which is private.

use evenkeel_planner::EvidenceKind;
use serde_json::{Value, json};

use crate::look::Look;

/// Lines: stop code, the task's reason, a container's reason, then `exit N` and `never ran` as they apply.
pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines: Vec<&str> = text.lines().collect();
    let evidence = judged(&task(&lines, &str::to_owned));
    let louder = judged(&task(&lines, &str::to_ascii_uppercase));
    assert_eq!(evidence, louder, "the case of a text decides");
}

/// One stopped task of the rollout in flight, its texts spelt in a certain way.
fn task(lines: &[&str], spelt: &dyn Fn(&str) -> String) -> Value {
    let line = |index: usize| lines.get(index).copied().unwrap_or_default();
    let rest = lines.get(3..).unwrap_or_default();
    let exit = rest.iter().find_map(|line| line.strip_prefix("exit ")?.parse::<i64>().ok());
    let mut task = json!({
        "taskArn": "arn:aws:ecs:eu-west-1:123456789012:task/prod/0123456789abcdef0123456789abcdef",
        "startedBy": "ecs-svc/1002",
        "lastStatus": "STOPPED",
        "desiredStatus": "STOPPED",
        "stopCode": line(0),
        "stoppedReason": spelt(line(1)),
        "stoppedAt": 1_790_000_050,
        "containers": [{ "name": "web", "reason": spelt(line(2)), "exitCode": exit }],
    });
    if let Some(task) = task.as_object_mut().filter(|_| !rest.contains(&"never ran")) {
        task.insert("startedAt".to_owned(), json!(1_790_000_010));
    }
    task
}

/// What the status shows about the task, and that it is shown whole.
fn judged(task: &Value) -> Vec<EvidenceKind> {
    let mut look = Look::rolling();
    look.set_tasks(&json!([task]));
    let status = look.examine();
    for evidence in &status.evidence {
        for text in [task.get("stoppedReason"), task.pointer("/containers/0/reason")] {
            let text = text.and_then(Value::as_str).unwrap_or_default().trim();
            assert!(evidence.reason.contains(text), "{text:?} is cut: {evidence:?}");
        }
    }
    status.evidence.iter().map(|one| one.kind).collect()
}
