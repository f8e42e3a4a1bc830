//! Answers that were given before, for reads of what has not changed since; never answers a write.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde_json::Value;

use super::identifiers::{last_part, task_id};
use super::input::texts;
use super::service::ServiceId;
use super::{Api, State, list, text};

/// Most answers that are kept.
const KEPT: usize = 4_096;

/// By a hash of the call.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    given: HashMap<u64, Given>,
    changes: u64,
    /// The last change of each service, and the last that may be about anything else, too.
    changed: BTreeMap<ServiceId, u64>,
    all_changed: u64,
}

#[derive(Debug)]
struct Given {
    operation: String,
    input: Value,
    as_of: AsOf,
    answer: Arc<Value>,
}

/// What a read is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Service(ServiceId),
    Definitions,
}

/// The state that an answer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AsOf {
    about: About,
    change: u64,
    /// Subnets are shown in another order whenever anything was made in the region.
    sequence: Option<u64>,
}

impl Answers {
    pub(crate) fn changed(&mut self, service: ServiceId) {
        self.changes += 1;
        self.changed.insert(service, self.changes);
    }

    pub(crate) fn all_changed(&mut self) {
        self.changes += 1;
        self.all_changed = self.changes;
    }

    pub(crate) fn as_of(&self, about: About, state: &State, operation: &str) -> AsOf {
        let (changed, orders) = match about {
            About::Service(id) => (
                self.changed.get(&id).copied().unwrap_or(0),
                operation == "DescribeServices" && state.shows_subnets(id),
            ),
            About::Definitions => (0, false),
        };
        let sequence = orders.then_some(state.sequence);
        AsOf { about, change: changed.max(self.all_changed), sequence }
    }

    pub(crate) fn given(&self, operation: &str, input: &Value, as_of: AsOf) -> Option<Arc<Value>> {
        let given = self.given.get(&hash(operation, input))?;
        let same = given.as_of == as_of && given.operation == operation && given.input == *input;
        same.then(|| Arc::clone(&given.answer))
    }

    pub(crate) fn keep(
        &mut self,
        operation: &str,
        input: &Value,
        as_of: AsOf,
        answer: &Arc<Value>,
    ) {
        if self.given.len() >= KEPT {
            self.given.clear();
        }
        let given = Given {
            operation: operation.to_owned(),
            input: input.clone(),
            as_of,
            answer: Arc::clone(answer),
        };
        self.given.insert(hash(operation, input), given);
    }
}

fn hash(operation: &str, input: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    (operation, input).hash(&mut hasher);
    hasher.finish()
}

impl State {
    /// `None` for reads of several services, of what does not exist, and of what changes without a word.
    pub(crate) fn read_about(&self, api: Api, operation: &str, input: &Value) -> Option<About> {
        if api != Api::Ecs {
            return None;
        }
        let service = match operation {
            "DescribeTaskDefinition" | "ListTaskDefinitions" => return Some(About::Definitions),
            "DescribeServices" => match list(input, "services") {
                [name] => self.named_in_cluster(input, name.as_str()?),
                _ => None,
            },
            "ListTasks" => self.named_in_cluster(input, text(input, "serviceName")?),
            "ListServiceDeployments" => self.named_in_cluster(input, text(input, "service")?),
            "DescribeServiceDeployments" => {
                one(texts(input, "serviceDeploymentArns").map(|arn| self.named_in_arn(arn)))
            }
            "DescribeServiceRevisions" => {
                one(texts(input, "serviceRevisionArns").map(|arn| self.named_in_arn(arn)))
            }
            "DescribeTasks" => {
                let task = |arn| self.tasks.get(&task_id(arn)?).map(|task| task.service);
                one(texts(input, "tasks").map(task))
            }
            _ => None,
        };
        service.map(About::Service)
    }

    /// Whether DescribeServices shows subnets or security groups of it that have an order.
    fn shows_subnets(&self, service: ServiceId) -> bool {
        let Some(service) = self.services.get(&service) else { return false };
        let revisions = service.deployments.iter().map(|one| &one.revision.members);
        let networks = revisions
            .chain([&service.spec])
            .filter_map(|members| members.get("networkConfiguration")?.get("awsvpcConfiguration"));
        let several = |network: &Value| {
            ["subnets", "securityGroups"].iter().any(|name| list(network, name).len() > 1)
        };
        networks.into_iter().any(several)
    }

    fn named_in_cluster(&self, input: &Value, name: &str) -> Option<ServiceId> {
        let cluster = last_part(text(input, "cluster").unwrap_or("default"));
        self.names.get(&(cluster.to_owned(), last_part(name).to_owned())).copied()
    }

    /// `arn:…:service-deployment/<cluster>/<service>/<id>`.
    fn named_in_arn(&self, arn: &str) -> Option<ServiceId> {
        let mut parts = arn.split('/').skip(1);
        let name = (parts.next()?.to_owned(), parts.next()?.to_owned());
        self.names.get(&name).copied()
    }
}

/// What all of them are.
fn one(mut all: impl Iterator<Item = Option<ServiceId>>) -> Option<ServiceId> {
    let first = all.next()??;
    all.all(|other| other == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Simulation;

    /// Two services, settled.
    fn simulation() -> Simulation {
        let mut simulation = Simulation::new(7);
        let calls = [
            ("CreateCluster", json!({"clusterName": "main"})),
            (
                "RegisterTaskDefinition",
                json!({"family": "web", "containerDefinitions": [
                    {"name": "web", "image": "web", "memory": 128},
                ]}),
            ),
            ("CreateService", service("web")),
            ("CreateService", service("api")),
        ];
        for (operation, input) in calls {
            assert_eq!(simulation.ecs(operation, &input).err(), None, "{operation}");
        }
        simulation.advance(std::time::Duration::from_mins(10));
        simulation
    }

    fn service(name: &str) -> Value {
        json!({
            "cluster": "main", "serviceName": name, "taskDefinition": "web", "desiredCount": 2,
            "launchType": "EC2",
        })
    }

    fn read(simulation: &Simulation, operation: &str, input: &Value) -> Arc<Value> {
        simulation.region().call_shared(Api::Ecs, operation, input).unwrap()
    }

    fn look(simulation: &Simulation, name: &str) -> Arc<Value> {
        let input = json!({"cluster": "main", "services": [name], "include": ["TAGS"]});
        read(simulation, "DescribeServices", &input)
    }

    #[test]
    fn a_read_is_answered_as_before_until_its_service_changes() {
        let simulation = simulation();
        let (web, api) = (look(&simulation, "web"), look(&simulation, "api"));
        assert!(Arc::ptr_eq(&web, &look(&simulation, "web")));
        let change = json!({"cluster": "main", "service": "web", "desiredCount": 3});
        simulation.ecs("UpdateService", &change).unwrap();
        let now = look(&simulation, "web");
        assert_eq!(now.pointer("/services/0/desiredCount"), Some(&json!(3)));
        assert!(Arc::ptr_eq(&api, &look(&simulation, "api")), "the other one did not change");
    }

    #[test]
    fn what_a_call_on_a_task_changes_is_shown_at_once() {
        let mut simulation = simulation();
        let listing = json!({"cluster": "main", "serviceName": "web"});
        let before = read(&simulation, "ListTasks", &listing);
        let stop = json!({"cluster": "main", "task": before.pointer("/taskArns/0")});
        simulation.ecs("StopTask", &stop).unwrap();
        let after = read(&simulation, "ListTasks", &listing);
        assert_ne!(before, after);
        simulation.advance(std::time::Duration::from_mins(10));
        assert_ne!(after, read(&simulation, "ListTasks", &listing), "another one was started");
    }

    #[test]
    fn a_revision_that_is_deregistered_is_shown_so() {
        let simulation = simulation();
        let (named, listing) = (json!({"taskDefinition": "web:1"}), json!({"familyPrefix": "web"}));
        let status = |simulation: &Simulation| {
            let shown = read(simulation, "DescribeTaskDefinition", &named);
            shown.pointer("/taskDefinition/status").cloned()
        };
        let listed = read(&simulation, "ListTaskDefinitions", &listing);
        assert_eq!(status(&simulation), Some(json!("ACTIVE")));
        simulation.ecs("DeregisterTaskDefinition", &named).unwrap();
        assert_eq!(status(&simulation), Some(json!("INACTIVE")));
        assert_ne!(listed, read(&simulation, "ListTaskDefinitions", &listing));
    }
}
