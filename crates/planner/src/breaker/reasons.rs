//! Why a task stopped: the table from stop codes and AWS's texts to kinds of evidence; never counts.

use crate::{EvidenceKind, Task};

/// A stopped or stopping task, classified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stopped {
    pub(crate) kind: EvidenceKind,
    /// Whether a role was not granted what it must do.
    pub(crate) is_refused: bool,
    pub(crate) exit_code: Option<i64>,
    /// AWS's own words: the task's reason, then its containers'.
    pub(crate) reason: String,
}

/// Texts that decide when all `needles` occur; case does not matter, the first row wins.
struct Row {
    needles: &'static [&'static str],
    kind: EvidenceKind,
    is_refused: bool,
    /// A text as AWS writes it, checked by a test.
    #[cfg_attr(not(test), expect(dead_code, reason = "the source of the row, read by its test"))]
    example: &'static str,
}

const fn row(needles: &'static [&'static str], kind: EvidenceKind, example: &'static str) -> Row {
    Row { needles, kind, is_refused: false, example }
}

/// A role may not do what it must.
const fn refused(needles: &'static [&'static str], example: &'static str) -> Row {
    Row { needles, kind: Doomed, is_refused: true, example }
}

use EvidenceKind::{Doomed, Environment, HealthFailure, LaunchFailure, NotAFailure};

/// Texts that mean the same whatever the task did before.
/// Source: ecs-behaviour 7.3 (developer guide, stopped-task-error-codes).
const ALWAYS: &[Row] = &[
    row(
        &["host ec2 (instance"],
        Environment,
        "Host EC2 (instance i-0a1b2c3d4e5f6a7b8) terminated.",
    ),
    row(&["your spot task was interrupted"], Environment, "Your Spot Task was interrupted."),
    row(
        &["container instance deregistration forced"],
        NotAFailure,
        "Container instance deregistration forced by user",
    ),
    row(
        &["task failed elb health checks"],
        HealthFailure,
        "Task failed ELB health checks in (target-group \
         arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef)",
    ),
    row(
        &["task failed container health checks"],
        HealthFailure,
        "Task failed container health checks",
    ),
    row(
        &["is unhealthy in (target-group"],
        HealthFailure,
        "(port 8080) is unhealthy in (target-group arn:aws:elasticloadbalancing:eu-west-1:\
         123456789012:targetgroup/web/0123456789abcdef) due to (reason Health checks failed)",
    ),
    row(
        &["scaling activity initiated by"],
        NotAFailure,
        "Scaling activity initiated by (deployment ecs-svc/6216346761948112104)",
    ),
    row(&["task stopped by user"], NotAFailure, "Task stopped by user"),
];

/// Texts about a task that never reached RUNNING.
/// Sources: developer guide, `task_cannot_pull_image`, resource-initialization-error,
/// failed-to-start-error; ecs-behaviour 7.3.
const BEFORE_RUNNING: &[Row] = &[
    // Not the revision's fault.
    row(
        &["toomanyrequests"],
        Environment,
        "CannotPullContainerError: inspect image has been retried 5 time(s): failed to resolve ref \
         \"docker.io/library/web:1\": toomanyrequests: You have reached your pull rate limit.",
    ),
    row(
        &["pull rate limit"],
        Environment,
        "CannotPullContainerError: You have reached your unauthenticated pull rate limit.",
    ),
    row(&["taskfailedtostart: resource:"], Environment, "TaskFailedToStart: RESOURCE:MEMORY"),
    row(&["taskfailedtostart: agent"], Environment, "TaskFailedToStart: AGENT"),
    row(&["no active instances"], Environment, "TaskFailedToStart: NO ACTIVE INSTANCES"),
    row(&["empty capacity provider"], Environment, "TaskFailedToStart: EMPTY CAPACITY PROVIDER"),
    row(
        &["capacity is unavailable"],
        Environment,
        "Capacity is unavailable at this time. Please try again later or in a different \
         availability zone",
    ),
    row(
        &["timeout waiting for network interface provisioning"],
        Environment,
        "Timeout waiting for network interface provisioning to complete.",
    ),
    row(
        &["unexpected ec2 error while attempting to create network interface"],
        Environment,
        "Unexpected EC2 error while attempting to Create Network Interface with public IP assignment \
         enabled in subnet 'subnet-0123456789abcdef0': InternalError",
    ),
    row(&["internalerror"], Environment, "InternalError: failed to attach network interface"),
    row(
        &["rate exceeded"],
        Environment,
        "ResourceInitializationError: ThrottlingException: Rate exceeded",
    ),
    row(
        &["request canceled while waiting for connection"],
        Environment,
        "CannotPullContainerError: Error response from daemon: Get https://registry.example/v2/: \
         net/http: request canceled while waiting for connection",
    ),
    row(&["context canceled"], Environment, "CannotPullContainerError: context canceled"),
    row(
        &["failed to copy: httpreadseeker"],
        Environment,
        "CannotPullContainerError: ref pull has been retried 1 time(s): failed to copy: \
         httpReadSeeker: failed open: unexpected status code 503",
    ),
    row(
        &["unexpected status code 5"],
        Environment,
        "CannotPullContainerError: failed to resolve ref: unexpected status code 503 Service Unavailable",
    ),
    // The same on every try: the image.
    row(
        &["cannotpull", "not found"],
        Doomed,
        "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve \
         ref docker.io/library/web:nope: docker.io/library/web:nope: not found",
    ),
    row(
        &["cannotpull", "manifest unknown"],
        Doomed,
        "CannotPullContainerError: manifest for web:nope not known: manifest unknown",
    ),
    row(
        &["pull access denied"],
        Doomed,
        "CannotPullContainerError: pull access denied for web, repository does not exist or may \
         require authorization",
    ),
    row(
        &["does not contain descriptor matching platform"],
        Doomed,
        "CannotPullContainerError: image Manifest does not contain descriptor matching platform \
         'linux/amd64'",
    ),
    refused(
        &["the role has the permissions to pull images"],
        "CannotPullContainerError: The task can't pull the image. Check that the role has the \
         permissions to pull images from the registry.",
    ),
    row(
        &["requested access to the resource is denied"],
        Doomed,
        "CannotPullContainerError: denied: requested access to the resource is denied",
    ),
    row(
        &["no basic auth credentials"],
        Doomed,
        "CannotPullContainerError: no basic auth credentials",
    ),
    row(
        &["invalid reference format"],
        Doomed,
        "CannotPullContainerError: invalid reference format",
    ),
    // The command.
    row(
        &["exec format error"],
        Doomed,
        "CannotStartContainerError: exec /bin/web: exec format error",
    ),
    row(
        &["executable file not found"],
        Doomed,
        "CannotStartContainerError: exec: \"webb\": executable file not found in $PATH",
    ),
    row(
        &["cannotstartcontainererror", "no such file or directory"],
        Doomed,
        "CannotStartContainerError: exec: \"/bin/webb\": stat /bin/webb: no such file or directory",
    ),
    row(
        &["cannotstartcontainererror", "permission denied"],
        Doomed,
        "CannotStartContainerError: exec: \"/bin/web\": permission denied",
    ),
    // Secrets, roles, logs.
    refused(
        &["accessdenied"],
        "ResourceInitializationError: unable to pull secrets or registry auth: AccessDeniedException: \
         User: arn:aws:sts::123456789012:assumed-role/web/1 is not authorized to perform: \
         secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:eu-west-1:123456789012:secret:web",
    ),
    refused(
        &["is not authorized to perform"],
        "ResourceInitializationError: unable to pull secrets or registry auth: User: \
         arn:aws:sts::123456789012:assumed-role/web/1 is not authorized to perform: ssm:GetParameters \
         on resource: arn:aws:ssm:eu-west-1:123456789012:parameter/web because no identity-based \
         policy allows the ssm:GetParameters action",
    ),
    refused(
        &["unable to assume the role"],
        "ECS was unable to assume the role 'arn:aws:iam::123456789012:role/web' that was provided for \
         this task",
    ),
    row(
        &["resourcenotfoundexception"],
        Doomed,
        "ResourceNotFoundException: Secrets Manager can't find the specified secret.",
    ),
    row(
        &["can't find the specified secret"],
        Doomed,
        "ResourceInitializationError: unable to pull secrets: Secrets Manager can't find the \
         specified secret.",
    ),
    row(
        &["log group does not exist"],
        Doomed,
        "ResourceInitializationError: failed to validate logger args: The specified log group does \
         not exist",
    ),
    row(
        &["failed to initialize logging driver"],
        Doomed,
        "CannotStartContainerError: failed to initialize logging driver: unknown option",
    ),
    row(
        &["failed to download env files", "nosuchkey"],
        Doomed,
        "ResourceInitializationError: failed to download env files: NoSuchKey",
    ),
    row(
        &["not compatible with the selected compute"],
        Doomed,
        "The selected task definition is not compatible with the selected compute strategy",
    ),
    // Perhaps better next time.
    row(
        &["connection issue between the task and amazon ecr"],
        LaunchFailure,
        "CannotPullContainerError: There is a connection issue between the task and Amazon ECR. \
         Check your task network configuration.",
    ),
    row(
        &["no space left on device"],
        LaunchFailure,
        "CannotPullContainerError: write /var/lib/containerd: no space left on device",
    ),
    row(
        &["placement constraint unsatisfied"],
        LaunchFailure,
        "TaskFailedToStart: MemberOf placement constraint unsatisfied.",
    ),
];

/// What a task's end means for its revision; `None` while it has not been told to stop.
///
/// Stop codes: ecs-behaviour 7.2.
pub(crate) fn classify(task: &Task) -> Option<Stopped> {
    let ending = task.stop_code.is_some() || task.last_status == "STOPPED";
    ending.then(|| {
        let reason = reason(task);
        let text = reason.to_lowercase();
        let kind = kind(task, &text);
        let is_refused =
            kind == Doomed && look_up(BEFORE_RUNNING, &text).is_some_and(|row| row.is_refused);
        Stopped { kind, is_refused, exit_code: exit_code(task), reason }
    })
}

fn kind(task: &Task, text: &str) -> EvidenceKind {
    let code = task.stop_code.as_deref();
    if let Some("SpotInterruption" | "TerminationNotice" | "InfrastructureHealth") = code {
        return Environment;
    }
    if code == Some("UserInitiated") {
        return NotAFailure;
    }
    if let Some(row) = look_up(ALWAYS, text) {
        return row.kind;
    }
    match (code, task.started_at) {
        (Some("ServiceSchedulerInitiated"), _) => NotAFailure,
        (_, None) => look_up(BEFORE_RUNNING, text).map_or(LaunchFailure, |row| row.kind),
        (Some("EssentialContainerExited"), Some(_)) => EvidenceKind::Crash,
        (_, Some(_)) if text.contains("essential container in task exited") => EvidenceKind::Crash,
        // Ran, and stopped for a cause that is newer than this table: shown, not held against it.
        (_, Some(_)) => NotAFailure,
    }
}

fn look_up(table: &'static [Row], text: &str) -> Option<&'static Row> {
    table.iter().find(|row| row.needles.iter().all(|needle| text.contains(needle)))
}

fn reason(task: &Task) -> String {
    let mut parts: Vec<String> = task.stopped_reason.iter().cloned().collect();
    for container in &task.containers {
        let words = container.reason.as_deref().filter(|words| !words.is_empty());
        match (words, container.exit_code) {
            (Some(words), Some(code)) => {
                parts.push(format!("{}: {words} (exit code {code})", container.name));
            }
            (Some(words), None) => parts.push(format!("{}: {words}", container.name)),
            (None, Some(code)) => parts.push(format!("{}: exit code {code}", container.name)),
            (None, None) => {}
        }
    }
    if parts.is_empty() {
        return task.stop_code.clone().unwrap_or_else(|| "no reason given".to_owned());
    }
    parts.join("; ")
}

/// The exit code that tells most: of the first container that failed, else of any.
fn exit_code(task: &Task) -> Option<i64> {
    let codes = || task.containers.iter().filter_map(|container| container.exit_code);
    codes().find(|&code| code != 0).or_else(|| codes().next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Container;
    use jiff::Timestamp;
    use serde_json::json;

    fn task(stop_code: &str, reason: &str, started: bool) -> Task {
        let mut task = Task::read(&json!({
            "taskArn": "arn:aws:ecs:eu-west-1:123456789012:task/prod/0af1",
            "lastStatus": "STOPPED", "stopCode": stop_code, "stoppedReason": reason
        }))
        .unwrap();
        task.started_at = started.then(|| Timestamp::from_second(1_790_000_000).unwrap());
        task
    }

    fn kind_of(stop_code: &str, reason: &str, started: bool) -> EvidenceKind {
        classify(&task(stop_code, reason, started)).unwrap().kind
    }

    #[test]
    fn every_row_before_running_decides_its_own_example() {
        for row in BEFORE_RUNNING {
            assert_eq!(
                kind_of("TaskFailedToStart", row.example, false),
                row.kind,
                "{}",
                row.example
            );
        }
    }

    #[test]
    fn every_row_that_always_holds_decides_its_own_example_at_any_time() {
        for row in ALWAYS {
            for started in [false, true] {
                let kind = kind_of("ServiceSchedulerInitiated", row.example, started);
                assert_eq!(kind, row.kind, "{}", row.example);
            }
        }
    }

    #[test]
    fn needles_are_lower_case_or_they_would_never_match() {
        for row in ALWAYS.iter().chain(BEFORE_RUNNING) {
            assert!(row.needles.iter().all(|needle| needle.to_lowercase() == *needle));
        }
    }

    #[test]
    fn an_essential_container_that_exits_after_running_is_a_crash_even_with_exit_code_zero() {
        for (code, words) in
            [(0, None), (1, None), (137, Some("OutOfMemoryError: Container killed"))]
        {
            let mut task =
                task("EssentialContainerExited", "Essential container in task exited", true);
            task.containers = vec![Container {
                name: "web".to_owned(),
                last_status: None,
                health_status: None,
                exit_code: Some(code),
                reason: words.map(str::to_owned),
                image: None,
            }];
            let stopped = classify(&task).unwrap();
            assert_eq!((stopped.kind, stopped.exit_code), (EvidenceKind::Crash, Some(code)));
        }
    }

    #[test]
    fn a_container_that_exits_before_the_task_runs_is_a_launch_failure() {
        let reason = "Essential container in task exited";
        assert_eq!(kind_of("EssentialContainerExited", reason, false), LaunchFailure);
    }

    #[test]
    fn the_container_s_words_decide_when_the_task_s_do_not() {
        let mut task = task("TaskFailedToStart", "Task failed to start", false);
        task.containers = vec![
            serde_json::from_value(json!({
                "name": "web",
                "reason": "CannotPullContainerError: web:nope: not found"
            }))
            .unwrap(),
        ];
        assert_eq!(classify(&task).unwrap().kind, Doomed);
    }

    #[test]
    fn losing_the_host_or_being_stopped_by_a_person_is_no_failure_of_the_revision() {
        let exited = "Essential container in task exited";
        for code in ["SpotInterruption", "TerminationNotice", "InfrastructureHealth"] {
            assert_eq!(kind_of(code, exited, true), Environment);
        }
        assert_eq!(kind_of("UserInitiated", exited, true), NotAFailure);
    }

    #[test]
    fn a_stop_code_newer_than_the_table_is_no_failure_once_the_task_ran() {
        assert_eq!(kind_of("SomethingNew", "", true), NotAFailure);
        assert_eq!(kind_of("SomethingNew", "", false), LaunchFailure);
    }

    #[test]
    fn a_running_task_is_not_classified() {
        let task = Task::read(&json!({ "taskArn": "t", "lastStatus": "RUNNING" })).unwrap();
        assert_eq!(classify(&task), None);
    }

    #[test]
    fn a_task_is_classified_as_soon_as_it_is_told_to_stop_and_when_no_code_says_why() {
        let mut stopping = task("EssentialContainerExited", "", true);
        "DEACTIVATING".clone_into(&mut stopping.last_status);
        assert_eq!(classify(&stopping).map(|one| one.kind), Some(EvidenceKind::Crash));
        let mut silent = task("", "", true);
        silent.stop_code = None;
        assert_eq!(classify(&silent).map(|one| one.kind), Some(NotAFailure));
        "RUNNING".clone_into(&mut silent.last_status);
        assert_eq!(classify(&silent), None);
    }

    #[test]
    fn an_essential_container_that_exited_is_a_crash_by_its_words_alone() {
        let words = "Essential container in task exited";
        assert_eq!(
            classify(&task("Unheard", words, true)).map(|one| one.kind),
            Some(EvidenceKind::Crash)
        );
    }

    #[test]
    fn the_exit_code_of_a_container_that_failed_is_told_before_that_of_one_that_did_not() {
        let mut both = task("EssentialContainerExited", "", true);
        let exited = |code: i64| serde_json::from_value(json!({ "exitCode": code })).unwrap();
        both.containers = [0, 137].map(exited).into();
        assert_eq!(classify(&both).and_then(|one| one.exit_code), Some(137));
        both.containers.truncate(1);
        assert_eq!(classify(&both).and_then(|one| one.exit_code), Some(0));
    }
}
