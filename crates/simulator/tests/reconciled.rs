//! The production planner and pass against the region model, in virtual time.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a fixture that does not find what it set up is a failed test"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_manifest::{File, Service, load};
use evenkeel_planner::{Outcome, tag};
use evenkeel_reconciler::{
    Cloud, ControlLoop, DesiredState, LoopMetrics, LoopSettings, Shutdown, StatusBoard,
};
use evenkeel_simulator::{Api, ApiError, Behaviour, Daemon, Fault, Simulation};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_mins(1);

fn manifest(image: &str) -> Service {
    read(manifest_text(image))
}

/// The same behind a target group.
fn balanced(image: &str, group: &str) -> Service {
    let balancers = format!(
        "    loadBalancers:\n      - {{targetGroupArn: \"{group}\", containerName: web, \
         containerPort: 8080}}\n"
    );
    read(manifest_text(image) + &balancers)
}

fn manifest_text(image: &str) -> String {
    format!(
        r#"
apiVersion: evenkeel.dev/v1
kind: Service
metadata:
  name: web
spec:
  cluster: main
  taskDefinition:
    family: web
    requiresCompatibilities: [FARGATE]
    networkMode: awsvpc
    cpu: "256"
    memory: "512"
    containerDefinitions:
      - name: web
        image: {image}
        essential: true
        portMappings: [{{containerPort: 8080}}]
  service:
    desiredCount: 4
    launchType: FARGATE
    networkConfiguration:
      awsvpcConfiguration: {{subnets: [subnet-1], securityGroups: [sg-1]}}
"#
    )
}

fn read(text: String) -> Service {
    let set = load(&[File { name: Arc::from("web.yaml"), text }]);
    assert!(!set.has_errors(), "{:?}", set.problems);
    set.services.into_iter().next().expect("one service")
}

/// A region with the cluster `main`, and a daemon over it.
struct Driven {
    simulation: Simulation,
    daemon: Daemon,
}

impl Driven {
    fn new() -> Self {
        let mut simulation = Simulation::new(3);
        simulation.region().collect_events(true);
        simulation.ecs("CreateCluster", &json!({"clusterName": "main"})).unwrap();
        simulation.world.script("web:crash", Behaviour::crashes(Duration::from_secs(5), 1));
        let daemon = Daemon::new(&simulation, "test");
        Self { simulation, daemon }
    }

    /// A target group behind a listener, checked every five seconds and drained for `drains` seconds.
    fn target_group(&self, drains: u32) -> String {
        let elb = |operation: &str, input: Value| {
            self.simulation.call(Api::ElasticLoadBalancingV2, operation, &input).unwrap()
        };
        let input = json!({
            "Name": "blue", "Port": 8080, "TargetType": "ip", "HealthCheckIntervalSeconds": 5,
            "HealthCheckTimeoutSeconds": 2
        });
        let group = elb("CreateTargetGroup", input)["TargetGroups"][0]["TargetGroupArn"].clone();
        let delay = json!({
            "Key": "deregistration_delay.timeout_seconds", "Value": drains.to_string()
        });
        elb("ModifyTargetGroupAttributes", json!({"TargetGroupArn": group, "Attributes": [delay]}));
        let balancer = elb("CreateLoadBalancer", json!({"Name": "front"}));
        elb(
            "CreateListener",
            json!({
                "LoadBalancerArn": balancer["LoadBalancers"][0]["LoadBalancerArn"], "Port": 80,
                "DefaultActions": [{"Type": "forward", "TargetGroupArn": group}],
            }),
        );
        group.as_str().unwrap().to_owned()
    }

    fn drive(&mut self, wanted: &Service, duration: Duration) {
        self.daemon.want(wanted.clone());
        self.daemon.run_with(&mut self.simulation, duration, |_, _, report| {
            assert!(!matches!(report.outcome, Outcome::Refused(_)), "{:?}", report.outcome);
        });
    }

    /// The daemon dies and another one starts, which knows the manifests and nothing else.
    fn restart(&mut self) {
        self.daemon = Daemon::new(&self.simulation, "test");
    }

    fn service(&self) -> Value {
        let input = json!({"cluster": "main", "services": ["web"], "include": ["TAGS"]});
        self.simulation.ecs("DescribeServices", &input).unwrap()["services"][0].clone()
    }

    fn image(&self) -> String {
        let input = json!({"taskDefinition": self.service()["taskDefinition"]});
        let reply = self.simulation.ecs("DescribeTaskDefinition", &input).unwrap();
        let image = &reply["taskDefinition"]["containerDefinitions"][0]["image"];
        image.as_str().unwrap().to_owned()
    }

    fn tag(&self, key: &str) -> Option<String> {
        let service = self.service();
        let found = service["tags"].as_array().unwrap().iter().find(|tag| tag["key"] == key)?;
        found["value"].as_str().map(str::to_owned)
    }

    fn is_settled(&self) -> bool {
        let service = self.service();
        service["deployments"].as_array().unwrap().len() == 1
            && service["deployments"][0]["rolloutState"] == "COMPLETED"
            && service["runningCount"] == 4
    }
}

#[test]
fn a_service_is_created_rolled_rolled_back_and_the_bad_revision_is_never_tried_again() {
    let mut driven = Driven::new();
    let [first, second, bad] = ["web:1", "web:2", "web:crash"].map(manifest);
    driven.drive(&first, 15 * MINUTE);
    assert!(driven.is_settled(), "{:#}", driven.service());
    driven.drive(&second, 30 * MINUTE);
    assert!(driven.is_settled(), "{:#}", driven.service());
    assert_eq!(driven.image(), "web:2");

    driven.drive(&bad, 60 * MINUTE);
    assert!(driven.is_settled(), "{:#}", driven.service());
    assert_eq!(driven.image(), "web:2");
    let rejected = driven.tag(tag::REJECTED).expect("the verdict is remembered");
    assert!(rejected.contains(bad.revision_digest.as_str()), "{rejected}");
    let launched = driven.simulation.world.launched("web:crash");
    assert!((1..=3).contains(&launched), "{launched} bad tasks");

    driven.restart();
    driven.drive(&bad, 6 * 60 * MINUTE);
    assert_eq!(driven.simulation.world.launched("web:crash"), launched);
    assert_eq!(driven.daemon.cloud().writes(), 0, "a rejected revision is let be");

    driven.drive(&manifest("web:4"), 30 * MINUTE);
    assert!(driven.is_settled());
    assert_eq!(driven.image(), "web:4");
}

#[test]
fn a_settled_service_is_not_written_to() {
    let mut driven = Driven::new();
    let wanted = manifest("web:1");
    driven.drive(&wanted, 15 * MINUTE);
    let writes = driven.daemon.cloud().writes();
    driven.drive(&wanted, 6 * 60 * MINUTE);
    assert_eq!(driven.daemon.cloud().writes(), writes);
}

#[test]
fn a_lost_answer_to_any_write_does_not_start_a_second_deployment() {
    for operation in ["RegisterTaskDefinition", "CreateService", "UpdateService", "TagResource"] {
        let mut driven = Driven::new();
        let lost = || ApiError::server("ServerException", "lost");
        driven.simulation.region().inject(Fault::lose_answer(operation, lost()));
        driven.drive(&manifest("web:1"), 20 * MINUTE);
        driven.drive(&manifest("web:2"), 40 * MINUTE);
        assert!(driven.is_settled(), "{operation}: {:#}", driven.service());
        assert_eq!(driven.image(), "web:2", "{operation}");
        let input = json!({"cluster": "main", "service": "web"});
        let listed = driven.simulation.call(Api::Ecs, "ListServiceDeployments", &input).unwrap();
        assert_eq!(listed["serviceDeployments"].as_array().unwrap().len(), 2, "{operation}");
        let revisions =
            driven.simulation.ecs("ListTaskDefinitions", &json!({"familyPrefix": "web"})).unwrap();
        assert_eq!(revisions["taskDefinitionArns"].as_array().unwrap().len(), 2, "{operation}");
    }
}

#[test]
fn the_same_seed_gives_the_same_course() {
    let course = || {
        let mut driven = Driven::new();
        driven.drive(&manifest("web:1"), 15 * MINUTE);
        driven.drive(&manifest("web:crash"), 60 * MINUTE);
        let events = driven.simulation.region().take_events();
        (driven.service().to_string(), driven.daemon.cloud().calls(), events)
    };
    assert_eq!(course(), course());
}

#[test]
fn a_daemon_that_dies_after_any_pass_of_a_bad_rollout_is_carried_on_by_the_next() {
    let bad = manifest("web:crash");
    for survived in 1..=12 {
        let mut driven = Driven::new();
        driven.drive(&manifest("web:1"), 15 * MINUTE);
        driven.daemon.want(bad.clone());
        let mut passes = 0;
        while passes < survived {
            driven.daemon.run_with(&mut driven.simulation, Duration::from_secs(1), |_, _, _| {
                passes += 1;
            });
        }
        driven.restart();
        driven.drive(&bad, 60 * MINUTE);
        assert!(driven.is_settled(), "after {survived} passes: {:#}", driven.service());
        assert_eq!(driven.image(), "web:1", "after {survived} passes");
        assert!(driven.tag(tag::REJECTED).is_some(), "after {survived} passes");
        let launched = driven.simulation.world.launched("web:crash");
        assert!((1..=3).contains(&launched), "after {survived} passes: {launched} bad tasks");
    }
}

#[test]
fn behind_a_load_balancer_a_revision_that_fails_its_checks_is_rejected_and_traffic_is_kept() {
    let mut driven = Driven::new();
    driven.simulation.world.script("web:500", Behaviour::answers(500));
    let group = driven.target_group(300);
    let group = group.as_str();
    let [good, bad] = ["web:1", "web:500"].map(|image| balanced(image, group));
    driven.drive(&good, 20 * MINUTE);
    assert!(driven.is_settled(), "{:#}", driven.service());
    let mut least = usize::MAX;
    driven.daemon.want(bad);
    driven.daemon.run_with(&mut driven.simulation, 120 * MINUTE, |simulation, _, _| {
        let view = simulation.region().target_group(group).unwrap();
        least = least.min(view.targets.iter().filter(|(_, _, state)| state == "healthy").count());
    });
    assert!(driven.is_settled(), "{:#}", driven.service());
    assert_eq!((driven.image().as_str(), least), ("web:1", 4));
    assert!((1..=3).contains(&driven.simulation.world.launched("web:500")));
}

#[test]
fn a_view_of_services_that_lags_changes_neither_the_end_nor_the_number_of_deployments() {
    let mut driven = Driven::new();
    driven.simulation.region().set_read_lag("DescribeServices", Duration::from_secs(4));
    driven.drive(&manifest("web:1"), 20 * MINUTE);
    driven.drive(&manifest("web:2"), 40 * MINUTE);
    assert!(driven.is_settled(), "{:#}", driven.service());
    assert_eq!(driven.image(), "web:2");
    let input = json!({"cluster": "main", "service": "web"});
    let listed = driven.simulation.call(Api::Ecs, "ListServiceDeployments", &input).unwrap();
    assert_eq!(listed["serviceDeployments"].as_array().unwrap().len(), 2, "{listed:#}");
    driven.drive(&manifest("web:crash"), 60 * MINUTE);
    assert!(driven.is_settled(), "{:#}", driven.service());
    assert_eq!(driven.image(), "web:2");
}

fn wanting(service: Service) -> Arc<DesiredState> {
    let services = BTreeMap::from([(service.key.clone(), Arc::new(service))]);
    Arc::new(DesiredState { services, ..DesiredState::default() })
}

/// The region follows the runtime's paused clock.
async fn follow(simulation: &mut Simulation, duration: Duration) {
    let end = simulation.now() + duration;
    while simulation.now() < end {
        tokio::time::sleep(Duration::from_secs(1)).await;
        simulation.advance(Duration::from_secs(1));
    }
}

#[tokio::test(start_paused = true)]
async fn under_the_whole_control_loop_reads_that_lag_add_no_revision_and_no_deployment() {
    let Driven { mut simulation, .. } = Driven::new();
    for operation in ["DescribeServices", "ListServiceDeployments", "ListTaskDefinitions"] {
        simulation.region().set_read_lag(operation, Duration::from_secs(4));
    }
    let (wanted, desired) = tokio::sync::watch::channel(wanting(manifest("web:1")));
    let settings = LoopSettings { seed: Some(1), ..LoopSettings::default() };
    let metrics = LoopMetrics::register(&prometheus::Registry::new()).unwrap();
    let cloud = Arc::new(simulation.cloud());
    let control = ControlLoop::new(cloud, settings, metrics, desired, Arc::default());
    let script = async {
        follow(&mut simulation, 20 * MINUTE).await;
        wanted.send_replace(wanting(manifest("web:2")));
        follow(&mut simulation, 40 * MINUTE).await;
        wanted.send_replace(wanting(manifest("web:crash")));
        follow(&mut simulation, 60 * MINUTE).await;
    };
    tokio::select! {
        ended = control.run(Shutdown::new()) => panic!("the loop ended: {ended:?}"),
        () = script => {}
    }
    let daemon = Daemon::new(&simulation, "test");
    let driven = Driven { simulation, daemon };
    assert!(driven.is_settled(), "{:#}", driven.service());
    assert_eq!(driven.image(), "web:2");
    assert!((1..=3).contains(&driven.simulation.world.launched("web:crash")));
    let input = json!({"cluster": "main", "service": "web"});
    let listed = driven.simulation.ecs("ListServiceDeployments", &input).unwrap();
    assert_eq!(listed["serviceDeployments"].as_array().unwrap().len(), 3, "{listed:#}");
    let listed = driven.simulation.ecs("ListTaskDefinitions", &json!({})).unwrap();
    assert_eq!(listed["taskDefinitionArns"].as_array().unwrap().len(), 3, "{listed:#}");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_does_not_exist_is_said_and_is_not_asked_for_again_and_again() {
    let Driven { mut simulation, .. } = Driven::new();
    let cloud = Arc::new(simulation.cloud());
    let wanted = read(manifest_text("web:1").replace("cluster: main", "cluster: nowhere"));
    let key = wanted.key.clone();
    let (_wanted, desired) = tokio::sync::watch::channel(wanting(wanted));
    let settings = LoopSettings { seed: Some(1), ..LoopSettings::default() };
    let metrics = LoopMetrics::register(&prometheus::Registry::new()).unwrap();
    let board = Arc::new(StatusBoard::default());
    let control = ControlLoop::new(cloud.clone(), settings, metrics, desired, board.clone());
    tokio::select! {
        ended = control.run(Shutdown::new()) => panic!("the loop ended: {ended:?}"),
        () = follow(&mut simulation, 60 * MINUTE) => {}
    }
    let status = format!("{:?}", board.get(&key).unwrap());
    for said in ["CallFailed", "ClusterNotFoundException", "CreateService"] {
        assert!(status.contains(said), "{status}");
    }
    let calls = cloud.calls();
    assert_eq!(calls["RegisterTaskDefinition"], 1);
    assert!((20..=100).contains(&calls["CreateService"]), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_does_not_exist_hides_no_owned_service_of_the_others() {
    let mut driven = Driven::new();
    driven.drive(&manifest("web:1"), 20 * MINUTE);
    let clusters = ["nowhere".to_owned(), "main".to_owned()];
    let owned = driven.simulation.cloud().owned("test", &clusters).await.unwrap();
    assert_eq!(owned.len(), 1);
}

/// `count` tasks of `image`, behind `group` where there is one, with a probe of `healthy_for`.
fn sized(image: &str, count: u32, group: Option<&str>, healthy_for: &str) -> Service {
    let balancers = group.map_or(String::new(), |group| {
        format!(
            "    loadBalancers:\n      - {{targetGroupArn: \"{group}\", containerName: web, \
             containerPort: 8080}}\n"
        )
    });
    let rollout = format!("  rollout: {{probe: {{healthyFor: {healthy_for}}}}}\n");
    let text = manifest_text(image) + &balancers + &rollout;
    read(text.replace("desiredCount: 4", &format!("desiredCount: {count}")))
}

/// What a bad revision meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ground {
    /// Tasks of the good revision.
    count: u32,
    /// How long its target group drains, in seconds; `None` for no load balancer.
    drains: Option<u32>,
    /// How many seconds after RUNNING a bad task crashes.
    life: u64,
}

/// How many bad tasks start before the good revision is back.
fn bad_tasks(ground: Ground) -> u32 {
    bad_tasks_probed(ground, "30s")
}

fn bad_tasks_probed(ground: Ground, healthy_for: &str) -> u32 {
    let mut driven = Driven::new();
    let crash = Behaviour::crashes(Duration::from_secs(ground.life), 1);
    driven.simulation.world.script("web:short", crash);
    let group = ground.drains.map(|seconds| driven.target_group(seconds));
    let [good, bad] = ["web:1", "web:short"]
        .map(|image| sized(image, ground.count, group.as_deref(), healthy_for));
    driven.drive(&good, 15 * MINUTE);
    driven.drive(&bad, 20 * MINUTE);
    assert_eq!(driven.image(), "web:1", "{ground:?}");
    driven.simulation.world.launched("web:short")
}

fn over(counts: &[u32], drains: Option<u32>, lives: &[u64]) -> Vec<(Ground, u32)> {
    let grounds = counts
        .iter()
        .flat_map(|&count| lives.iter().map(move |&life| Ground { count, drains, life }));
    grounds.map(|ground| (ground, bad_tasks(ground))).collect()
}

fn more_than(most: u32, all: Vec<(Ground, u32)>) -> Vec<(Ground, u32)> {
    all.into_iter().filter(|(_, started)| !(1..=most).contains(started)).collect()
}

#[test]
fn a_revision_that_crashes_after_it_was_healthy_for_seconds_starts_three_tasks_at_most() {
    for drains in [None, Some(0), Some(300)] {
        assert_eq!(more_than(3, over(&[1, 4, 10], drains, &[5, 10, 35])), []);
    }
    assert_eq!(more_than(3, over(&[4], None, &[45, 69])), [], "healthy after 40 s unchecked");
    assert_eq!(more_than(3, over(&[100], Some(0), &[35])), []);
}

/// While a probe lasts, ECS goes on replacing one old task for each new one that is healthy.
#[test]
fn a_probe_of_minutes_lets_one_more_task_start_for_each_that_became_healthy() {
    let ground = Ground { count: 10, drains: None, life: 200 };
    let started = bad_tasks_probed(ground, "5m");
    // A task needs about a minute to start and to count as healthy.
    assert!((4..=6).contains(&started), "{started} bad tasks");
}
