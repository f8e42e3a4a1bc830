//! Tasks as real processes: what ECS would say about what they do.

use evenkeel_local::server::ServerSettings;
use serde_json::{Value, json};

use crate::stage::{Stage, shell};

async fn stage_with(name: &str, script: &str) -> Stage {
    Stage::start_with(|settings| ServerSettings {
        catalogue: settings.catalogue.clone().with(shell(name, script)),
        ..settings
    })
    .await
}

#[tokio::test]
async fn an_exit_code_is_reported_as_it_was() {
    let stage = stage_with("job:1", "echo out of coffee; exit 3").await;
    let task_definition = stage.register(json!({"image": "job:1"})).await;
    stage.create(&task_definition, 1, json!([])).await;
    let task = stage.stopped_task().await;
    assert_eq!(task["stopCode"], "EssentialContainerExited");
    assert_eq!(task["containers"][0]["exitCode"], 3);
    let said = stage.server.output().tail(task["taskArn"].as_str().unwrap(), "web");
    assert_eq!(said, ["out of coffee"]);
    stage.server.stop().await.unwrap();
}

#[tokio::test]
async fn an_unknown_image_and_a_missing_program_fail_as_on_ecs() {
    for (container, reason) in [
        (json!({"image": "nowhere:9"}), "CannotPullContainerError: "),
        (
            json!({"image": "evenkeel-demo:v1", "entryPoint": ["/no/such/program"]}),
            "CannotStartContainerError: ",
        ),
    ] {
        let stage = Stage::start().await;
        let task_definition = stage.register(container).await;
        stage.create(&task_definition, 1, json!([])).await;
        let task = stage.stopped_task().await;
        assert_eq!(task["stopCode"], "TaskFailedToStart", "{task}");
        let stopped_reason = task["stoppedReason"].as_str().unwrap();
        assert!(stopped_reason.starts_with(reason), "{stopped_reason}");
        stage.server.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_task_that_ignores_sigterm_is_killed_after_its_stop_timeout() {
    let stage = stage_with("stubborn:1", "trap '' TERM; while :; do sleep 0.05; done").await;
    let container = json!({"image": "stubborn:1", "stopTimeout": 2});
    let task_definition = stage.register(container).await;
    stage.create(&task_definition, 1, json!([])).await;
    stage.until("it runs", async || running(&stage).await).await;
    stage.ecs("UpdateService", json!({"service": "web", "desiredCount": 0})).await;
    let task = stage.stopped_task().await;
    assert_eq!(task["containers"][0]["exitCode"], 137, "{task}");
    stage.server.stop().await.unwrap();
}

#[tokio::test]
async fn a_task_that_minds_sigterm_ends_by_itself() {
    let script = "trap 'exit 7' TERM; while :; do sleep 0.05; done";
    let stage = stage_with("polite:1", script).await;
    let task_definition = stage.register(json!({"image": "polite:1", "stopTimeout": 120})).await;
    stage.create(&task_definition, 1, json!([])).await;
    stage.until("it runs", async || running(&stage).await).await;
    stage.ecs("UpdateService", json!({"service": "web", "desiredCount": 0})).await;
    let task = stage.stopped_task().await;
    assert_eq!(task["containers"][0]["exitCode"], 7, "{task}");
    stage.server.stop().await.unwrap();
}

#[tokio::test]
async fn the_environment_is_the_container_s_and_not_this_process_s() {
    let script = "echo \"$COLOUR $AWS_REGION [$CARGO_MANIFEST_DIR] $HOST:$PORT\"; sleep 60";
    let stage = stage_with("env:1", script).await;
    let container = json!({
        "image": "env:1", "environment": [{"name": "COLOUR", "value": "green"}],
        "portMappings": [{"containerPort": 8080}],
    });
    let task_definition = stage.register(container).await;
    stage.create(&task_definition, 1, json!([])).await;
    let task = stage.until("it runs", async || running(&stage).await).await;
    let arn = task["taskArn"].as_str().unwrap();
    let line =
        stage.until("it has written", async || stage.server.output().tail(arn, "web").pop()).await;
    assert!(line.starts_with("green us-east-1 [] 127."), "{line}");
    stage.server.stop().await.unwrap();
}

#[tokio::test]
async fn a_container_s_health_check_is_really_run() {
    for (check, health) in [("exit 0", "HEALTHY"), ("exit 1", "UNHEALTHY")] {
        let stage = stage_with("idle:1", "sleep 600").await;
        let container = json!({
            "image": "idle:1",
            "healthCheck": {"command": ["CMD-SHELL", check], "interval": 5, "retries": 2},
        });
        let task_definition = stage.register(container).await;
        stage.create(&task_definition, 1, json!([])).await;
        stage
            .until(health, async || {
                let tasks = [stage.tasks("RUNNING").await, stage.tasks("STOPPED").await].concat();
                tasks.into_iter().find(|task| task["healthStatus"] == health)
            })
            .await;
        stage.server.stop().await.unwrap();
    }
}

#[tokio::test]
async fn no_process_outlives_the_region() {
    let stage = stage_with("idle:1", "echo $$; sleep 600 & wait").await;
    let task_definition = stage.register(json!({"image": "idle:1"})).await;
    stage.create(&task_definition, 2, json!([])).await;
    let news = stage.server.output().clone();
    let tasks = stage
        .until("both run", async || {
            let tasks = stage.tasks("RUNNING").await;
            (tasks.iter().filter(|task| task["lastStatus"] == "RUNNING").count() == 2)
                .then_some(tasks)
        })
        .await;
    let mut processes = Vec::new();
    for task in &tasks {
        let arn = task["taskArn"].as_str().unwrap();
        let line = stage.until("it says its number", async || news.tail(arn, "web").pop()).await;
        processes.push(line);
    }
    stage.server.stop().await.unwrap();
    for process in processes {
        let children = format!("/proc/{process}");
        assert!(!std::path::Path::new(&children).exists(), "{process} still runs");
    }
}

async fn running(stage: &Stage) -> Option<Value> {
    let tasks = stage.tasks("RUNNING").await;
    tasks.into_iter().find(|task| task["lastStatus"] == "RUNNING")
}
