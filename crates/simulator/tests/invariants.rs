//! What holds at every moment of any course, over seeded random ones.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a fixture that does not find what it set up is a failed test"
)]

use std::time::Duration;

use evenkeel_simulator::{Behaviour, Simulation};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_mins(1);

struct Course {
    seed: u64,
    rng: fastrand::Rng,
    simulation: Simulation,
    desired: u32,
    least: u32,
    most: u32,
}

/// Percentages with which every desired count from 2 to 8 can move.
const PERCENTAGES: [(u32, u32); 5] = [(100, 200), (50, 200), (50, 100), (100, 150), (0, 100)];

impl Course {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (least, most) = PERCENTAGES[rng.usize(..PERCENTAGES.len())];
        let desired = rng.u32(2..=8);
        let mut simulation = Simulation::new(seed);
        for (image, behaviour) in [
            ("crash", Behaviour::crashes(Duration::from_secs(rng.u64(1..60)), 1)),
            ("pull", Behaviour::cannot_be_pulled("pull")),
            ("flap", Behaviour::crashes(Duration::from_secs(rng.u64(60..300)), 0)),
            ("stubborn", Behaviour { stops_after: None, ..Behaviour::healthy() }),
        ] {
            simulation.world.script(image, behaviour);
        }
        simulation.ecs("CreateCluster", &json!({"clusterName": "main"})).unwrap();
        let course = Self { seed, rng, simulation, desired, least, most };
        course.register("good");
        let input = json!({
            "cluster": "main", "serviceName": "web", "taskDefinition": "web",
            "desiredCount": desired,
            "deploymentConfiguration": {
                "minimumHealthyPercent": least, "maximumPercent": most,
                "deploymentCircuitBreaker": {"enable": seed.is_multiple_of(2), "rollback": true},
            },
        });
        course.simulation.ecs("CreateService", &input).unwrap();
        course
    }

    fn register(&self, image: &str) {
        let container = json!({"name": "web", "image": image, "memory": 64});
        let input = json!({"family": "web", "containerDefinitions": [container]});
        self.simulation.ecs("RegisterTaskDefinition", &input).unwrap();
    }

    fn roll_to(&self, image: &str) {
        self.register(image);
        let input = json!({"cluster": "main", "service": "web", "taskDefinition": "web"});
        self.simulation.ecs("UpdateService", &input).unwrap();
    }

    fn service(&self) -> Value {
        let input = json!({"cluster": "main", "services": ["web"]});
        self.simulation.ecs("DescribeServices", &input).unwrap()["services"][0].clone()
    }

    fn is_settled(&self) -> bool {
        let service = self.service();
        service["deployments"].as_array().unwrap().len() == 1
            && service["deployments"][0]["rolloutState"] == "COMPLETED"
            && service["runningCount"] == self.desired
    }

    /// Steps through time and checks the bounds at every second.
    fn watch(&mut self, duration: Duration) {
        let end = self.simulation.now() + duration;
        while self.simulation.now() < end {
            self.simulation.advance(Duration::from_secs(1));
            let present = self.present();
            let ceiling = self.desired * self.most / 100;
            assert!(present <= ceiling, "seed {}: {present} tasks of {ceiling}", self.seed);
            let primaries = self.service()["deployments"].as_array().unwrap().clone();
            let primaries = primaries.iter().filter(|one| one["status"] == "PRIMARY").count();
            assert_eq!(primaries, 1, "seed {}", self.seed);
        }
    }

    /// Tasks that are not yet STOPPED.
    fn present(&self) -> u32 {
        let mut present = 0;
        for status in ["RUNNING", "STOPPED"] {
            let input = json!({"cluster": "main", "serviceName": "web", "desiredStatus": status});
            let arns = self.simulation.ecs("ListTasks", &input).unwrap()["taskArns"].clone();
            for chunk in arns.as_array().unwrap().chunks(100) {
                let input = json!({"cluster": "main", "tasks": chunk});
                let reply = self.simulation.ecs("DescribeTasks", &input).unwrap();
                let tasks = reply["tasks"].as_array().unwrap().iter();
                let here = tasks.filter(|task| task["lastStatus"] != "STOPPED").count();
                present += u32::try_from(here).unwrap();
            }
        }
        present
    }
}

#[test]
fn never_more_tasks_than_the_maximum_and_a_good_revision_always_settles() {
    for seed in 0..24 {
        let mut course = Course::new(seed);
        for _ in 0..3 {
            let images = ["good", "crash", "pull", "flap", "stubborn"];
            let image = images[course.rng.usize(..images.len())];
            course.roll_to(image);
            let seconds = course.rng.u64(5..240);
            course.watch(Duration::from_secs(seconds));
        }
        course.roll_to("good");
        course.simulation.advance(60 * MINUTE);
        assert!(course.is_settled(), "seed {seed}: {:#}", course.service());
    }
}

#[test]
fn rollouts_of_good_revisions_never_have_fewer_running_than_the_minimum() {
    for seed in 0..24 {
        let mut course = Course::new(seed);
        course.simulation.advance(10 * MINUTE);
        assert!(course.is_settled(), "seed {seed}");
        let floor = (course.desired * course.least).div_ceil(100);
        course.roll_to("good");
        let end = course.simulation.now() + 20 * MINUTE;
        while course.simulation.now() < end {
            course.simulation.advance(Duration::from_secs(1));
            let running = course.service()["runningCount"].as_u64().unwrap();
            assert!(running >= u64::from(floor), "seed {seed}: {running} of {floor}");
        }
        assert!(course.is_settled(), "seed {seed}: {:#}", course.service());
    }
}
