//! The calls on tasks: listing, describing and stopping; never starting.

use serde_json::{Map, Value, json};

use super::identifiers::{image_digest, last_part, task_id, uuid};
use super::input::{
    described, invalid, list, map_of, page, paged, put_epoch, required, text, texts,
};
use super::service::{ServiceId, not_found};
use super::service_reply::concrete_platform;
use super::tags;
use super::task::{Health, StopCode, Task};
use super::{ApiError, State};

impl State {
    pub(crate) fn list_tasks(&self, input: &Value) -> Result<Value, ApiError> {
        let cluster = self.cluster_name(input)?;
        let service = text(input, "serviceName")
            .map(|name| self.service_id(&json!({"cluster": cluster, "service": name})))
            .transpose()?;
        let (family, started_by) = (text(input, "family"), text(input, "startedBy"));
        let others = [service.is_some(), family.is_some(), text(input, "launchType").is_some()];
        if started_by.is_some() && others.contains(&true) {
            return Err(invalid("startedBy must be the only filter."));
        }
        let wanted = match text(input, "desiredStatus") {
            Some("RUNNING") | None => Some(true),
            Some("STOPPED") => Some(false),
            Some("PENDING") => None,
            Some(_) => return Err(invalid("Invalid desiredStatus.")),
        };
        let fits = |task: &&Task| {
            task.cluster == cluster
                && wanted == Some(task.wanted)
                && family.is_none_or(|family| task.content.family == family)
                && started_by
                    .is_none_or(|by| super::service::deployment_name(task.deployment) == by)
                && text(input, "launchType").is_none_or(|kind| kind == launch_type(task))
        };
        let mut fitting: Vec<&Task> = match service {
            Some(id) => self.tasks_of(id)?.filter(fits).collect(),
            None => self.tasks.values().filter(fits).collect(),
        };
        // All are of one cluster, so that this is the order of their ARNs.
        fitting.sort_unstable_by(|one, other| one.hex.cmp(&other.hex));
        let arns = fitting.iter().map(|task| task.arn.as_str());
        let (arns, token) = page(arns, input, 100, 100)?;
        Ok(paged("taskArns", arns.into_iter().map(Value::String).collect(), token))
    }

    fn tasks_of(&self, id: ServiceId) -> Result<impl Iterator<Item = &Task>, ApiError> {
        let service = self.services.get(&id).ok_or_else(not_found)?;
        Ok(service.tasks.iter().filter_map(|task| self.tasks.get(task)))
    }

    pub(crate) fn describe_tasks(&self, input: &Value) -> Result<Value, ApiError> {
        let cluster = self.cluster_name(input)?;
        let names = list(input, "tasks");
        if names.is_empty() {
            return Err(invalid("Tasks cannot be empty."));
        }
        if names.len() > 100 {
            return Err(invalid("Tasks can have at most 100 items."));
        }
        let with_tags = tags::included(input);
        let (mut tasks, mut failures) = (Vec::new(), Vec::new());
        for name in texts(input, "tasks") {
            if let Some(task) = self.task_named(&cluster, name) {
                tasks.push(self.read_task(task, with_tags, "ElasticNetworkInterface"));
            } else {
                let arn = self.ecs_arn(&format!("task/{cluster}/{}", last_part(name)));
                failures.push(json!({"arn": arn, "reason": "MISSING"}));
            }
        }
        Ok(described("tasks", tasks, failures))
    }

    fn task_named(&self, cluster: &str, name: &str) -> Option<&Task> {
        let task = self.tasks.get(&task_id(name)?)?;
        (task.cluster == cluster && task.hex == last_part(name)).then_some(task)
    }

    pub(crate) fn stop_task(&mut self, input: &Value) -> Result<Value, ApiError> {
        let cluster = self.cluster_name(input)?;
        let id = self
            .task_named(&cluster, required(input, "task")?)
            .map(|task| task.id)
            .ok_or_else(|| invalid("The referenced task was not found."))?;
        let reason = text(input, "reason").unwrap_or("Task stopped by user");
        self.stop_task_for(id, StopCode::UserInitiated, reason);
        let task = self.tasks.get(&id).ok_or_else(not_found)?;
        let (service, reply) =
            (task.service, self.read_task(task, false, "ElasticNetworkInterface"));
        self.look_after_change(service);
        Ok(json!({"task": reply}))
    }

    /// `tasks[]` of DescribeTasks, and the core of a task event.
    pub(crate) fn read_task(&self, task: &Task, with_tags: bool, interface: &str) -> Value {
        let service = self.services.get(&task.service);
        let mut map = map_of(json!({
            "taskArn": task.arn,
            "clusterArn": self.ecs_arn(&format!("cluster/{}", task.cluster)),
            "taskDefinitionArn": *task.content.arn,
            "lastStatus": task.state.word(),
            "desiredStatus": if task.wanted { "RUNNING" } else { "STOPPED" },
            "healthStatus": health_word(task.health()),
            "startedBy": super::service::deployment_name(task.deployment),
            "group": format!("service:{}", service.map_or("", |service| service.name.as_str())),
            "launchType": launch_type(task),
            "availabilityZone": format!("{}{}", self.settings.region, task.zone),
            "cpu": task.content.cpu,
            "memory": task.content.memory,
            "connectivity": "CONNECTED",
            "overrides": {"containerOverrides": [], "inferenceAcceleratorOverrides": []},
            "enableExecuteCommand": false,
            "version": task.version,
            "attachments": attachments(task, interface),
        }));
        let containers = task.containers.iter().zip(&task.content.containers);
        let containers = containers.enumerate().map(|(index, (container, content))| {
            self.read_container(task, index, container, content)
        });
        map.insert("containers".to_owned(), containers.collect());
        if task.fargate {
            let members = Map::new();
            map.insert("platformVersion".to_owned(), json!(concrete_platform(&members)));
            map.insert("platformFamily".to_owned(), json!("Linux"));
        }
        if let Some(code) = task.stop_code {
            map.insert("stopCode".to_owned(), json!(code.word()));
        }
        if let Some(reason) = &task.stopped_reason {
            map.insert("stoppedReason".to_owned(), json!(reason));
        }
        let times = &task.times;
        put_epoch(&mut map, "createdAt", Some(times.created));
        put_epoch(&mut map, "pullStartedAt", times.pull_started);
        put_epoch(&mut map, "pullStoppedAt", times.started);
        put_epoch(&mut map, "startedAt", times.started);
        put_epoch(&mut map, "stoppingAt", times.stopping);
        put_epoch(&mut map, "executionStoppedAt", times.execution_stopped);
        put_epoch(&mut map, "stoppedAt", times.stopped);
        map.insert("tags".to_owned(), if with_tags { tags::write(&task.tags) } else { json!([]) });
        Value::Object(map)
    }

    fn read_container(
        &self,
        task: &Task,
        index: usize,
        container: &super::task::Container,
        content: &super::task_definition::ContainerContent,
    ) -> Value {
        let status = match (container.exited, task.times.started.is_some()) {
            (true, _) => "STOPPED",
            _ if task.is_stopped() => "STOPPED",
            (_, true) => "RUNNING",
            (_, false) => "PENDING",
        };
        let id = uuid(u128::from(task.id.0) << 32 | u128::try_from(index).unwrap_or(0));
        let mut map = map_of(json!({
            "containerArn": self.ecs_arn(&format!("container/{}/{}/{id}", task.cluster, task.hex)),
            "taskArn": task.arn,
            "name": content.name,
            "image": content.image,
            "lastStatus": status,
            "healthStatus": health_word(container.health),
            "cpu": "0",
            "networkInterfaces": [{
                "attachmentId": attachment_id(task),
                "privateIpv4Address": task.address.to_string(),
            }],
            "networkBindings": [],
        }));
        if task.times.started.is_some() {
            map.insert("imageDigest".to_owned(), json!(image_digest(&content.image)));
            map.insert("runtimeId".to_owned(), json!(format!("{}-{index}", task.hex)));
        }
        if let Some(code) = container.exit_code {
            map.insert("exitCode".to_owned(), json!(code));
        }
        let never_started =
            task.times.started.is_none() && task.stop_code == Some(StopCode::TaskFailedToStart);
        let reason = container
            .reason
            .as_deref()
            .or(task.stopped_reason.as_deref().filter(|_| never_started && task.is_stopped()));
        if let Some(reason) = reason {
            map.insert("reason".to_owned(), json!(reason));
        }
        Value::Object(map)
    }
}

fn launch_type(task: &Task) -> &'static str {
    if task.fargate { "FARGATE" } else { "EC2" }
}

fn health_word(health: Health) -> &'static str {
    match health {
        Health::Unknown => "UNKNOWN",
        Health::Healthy => "HEALTHY",
        Health::Unhealthy => "UNHEALTHY",
    }
}

fn attachment_id(task: &Task) -> String {
    uuid(u128::from(task.id.0) << 64)
}

fn attachments(task: &Task, interface: &str) -> Value {
    if !task.content.awsvpc {
        return json!([]);
    }
    let status = if task.is_stopped() { "DELETED" } else { "ATTACHED" };
    json!([{
        "id": attachment_id(task),
        "type": interface,
        "status": status,
        "details": [
            {"name": "networkInterfaceId", "value": format!("eni-{:017x}", task.id.0)},
            {"name": "privateIPv4Address", "value": task.address.to_string()},
        ],
    }])
}
