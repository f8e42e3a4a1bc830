//! What the stand-in answers when it is looked at; never changes it.

use evenkeel_manifest::Document;
use evenkeel_planner::{
    Alarm, Depth, Fact, Observed, ObservedService, Questions, ServiceDeployment, ServiceRevision,
    TargetGroupHealth, TargetHealth, Task, TaskDefinition, Unknown,
};
use serde_json::{Map, Value, json};

use super::{EPOCH, Ecs, History, Rolled, Run, SERVICE_ARN};

impl Ecs {
    pub(crate) fn observe(&self, questions: &Questions) -> Observed {
        let deep = questions.depth == Depth::Deep;
        Observed {
            took: std::time::Duration::ZERO,
            at: self.at(),
            depth: questions.depth,
            service: self.members.as_ref().map_or(Fact::Absent, |_| Fact::Known(self.service())),
            task_definitions: self.definitions_seen(questions),
            searched: questions.family.as_ref().map(|one| one.digest.clone()),
            service_deployments: match (deep, self.is_plain) {
                (true, true) => unimplemented_call("ListServiceDeployments"),
                (true, false) => Fact::Known(self.service_deployments()),
                (false, _) => Fact::Unknown(Unknown::NotAsked),
            },
            service_revisions: match (deep, self.is_plain) {
                (true, true) => unimplemented_call("DescribeServiceRevisions"),
                (true, false) => Fact::Known(self.service_revisions()),
                (false, _) => Fact::Unknown(Unknown::NotAsked),
            },
            tasks: if deep {
                Fact::Known(self.tasks_seen())
            } else {
                Fact::Unknown(Unknown::NotAsked)
            },
            target_groups: if deep {
                Fact::Known(self.target_groups(questions))
            } else {
                Fact::Unknown(Unknown::NotAsked)
            },
            alarms: if deep {
                let named = |one: &&Alarm| questions.alarms.contains(&one.name);
                Fact::Known(self.alarms.iter().filter(named).cloned().collect())
            } else {
                Fact::Unknown(Unknown::NotAsked)
            },
            load_balancing: match questions.load_balancing {
                Some(_) => Fact::Known(self.balancing.clone()),
                None => Fact::Unknown(Unknown::NotAsked),
            },
            code_deploy: Fact::Unknown(Unknown::NotAsked),
            metrics: Fact::Unknown(Unknown::NotAsked),
            measured_until: questions.metrics.as_ref().map(|one| one.until),
            expressions: Fact::Unknown(Unknown::NotAsked),
            webhooks: Fact::Unknown(Unknown::NotAsked),
            verified: Fact::Unknown(Unknown::NotAsked),
        }
    }

    fn service(&self) -> ObservedService {
        let mut document = self.members.clone().unwrap();
        if let Some(primary) = self.deployments.first() {
            let shown = primary.content.iter().filter(|(name, _)| *name != "volumeConfigurations");
            document.extend(shown.map(|(name, value)| (name.clone(), value.clone())));
        }
        document.insert("desiredCount".to_owned(), json!(self.count()));
        let running = self.tasks.iter().filter(|t| t.started.is_some() && t.stopped.is_none());
        let tags: Vec<Value> =
            self.tags.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
        let events: Vec<Value> = self
            .events
            .iter()
            .map(|(at, text)| json!({ "createdAt": EPOCH + at, "message": text }))
            .collect();
        document.extend(
            json!({
                "serviceArn": SERVICE_ARN,
                "serviceName": "web",
                "clusterArn": "arn:aws:ecs:eu-west-1:123456789012:cluster/prod",
                "status": self.status,
                "runningCount": running.count(),
                "pendingCount": 0,
                "tags": tags,
                "events": events,
                "deployments": self.deployments.iter().enumerate().map(|(i, one)| self.deployment(i, one)).collect::<Vec<_>>(),
            })
            .as_object()
            .unwrap()
            .clone(),
        );
        ObservedService::read(&Value::Object(document)).unwrap()
    }

    fn deployment(&self, index: usize, one: &Rolled) -> Value {
        let running = self
            .tasks
            .iter()
            .filter(|t| t.deployment == one.id && t.started.is_some() && t.stopped.is_none());
        let mut shown = json!({
            "id": format!("ecs-svc/{}", one.id),
            "status": if index == 0 { "PRIMARY" } else { "ACTIVE" },
            "taskDefinition": one.content["taskDefinition"],
            "desiredCount": if index == 0 { self.count() } else { 0 },
            "runningCount": running.count(),
            "createdAt": EPOCH + one.created,
            "rolloutState": one.state,
            "rolloutStateReason": one.reason,
        });
        if let Some(volumes) = one.content.get("volumeConfigurations") {
            shown["volumeConfigurations"] = volumes.clone();
        }
        shown
    }

    fn definitions_seen(&self, questions: &Questions) -> Fact<Vec<TaskDefinition>> {
        let in_use: Vec<&str> = self
            .deployments
            .iter()
            .map(|one| one.content["taskDefinition"].as_str().unwrap())
            .collect();
        if in_use.is_empty() && questions.family.is_none() {
            return Fact::Unknown(Unknown::NotAsked);
        }
        let of_revisions: Vec<&Value> = self
            .revisions
            .iter()
            .filter(|(id, _)| questions.revisions.contains(&revision_arn(**id)))
            .map(|(_, content)| &content["taskDefinition"])
            .collect();
        let seen = self.definitions.iter().filter_map(|(arn, (document, status))| {
            let digest = self.digests[arn].clone();
            let asked = questions.family.as_ref().is_some_and(|asked| asked.digest == digest)
                || (questions.depth == Depth::Deep
                    && (questions.definitions.contains(arn)
                        || of_revisions.contains(&&json!(arn))));
            (in_use.contains(&arn.as_str()) || asked).then(|| TaskDefinition {
                arn: arn.clone(),
                status: (*status).to_owned(),
                digest_tag: Some(digest.clone()),
                digest,
                document: (questions.depth == Depth::Deep).then(|| Document::new(document)),
            })
        });
        Fact::Known(seen.collect())
    }

    fn service_deployments(&self) -> Vec<ServiceDeployment> {
        let read = |one: &History| {
            let sources: Vec<Value> =
                one.source.iter().map(|id| json!({ "arn": revision_arn(*id) })).collect();
            ServiceDeployment::read(&json!({
                "serviceDeploymentArn": format!("arn:aws:ecs:eu-west-1:123456789012:service-deployment/prod/web/{}", one.id),
                "status": one.status,
                "createdAt": EPOCH + one.created,
                "targetServiceRevision": { "arn": revision_arn(one.id) },
                "sourceServiceRevisions": sources,
            }))
            .unwrap()
        };
        self.history.iter().map(read).collect()
    }

    fn service_revisions(&self) -> Vec<ServiceRevision> {
        let read = |(id, content): (&u64, &Map<String, Value>)| {
            let mut members = content.clone();
            members.insert("serviceRevisionArn".to_owned(), json!(revision_arn(*id)));
            ServiceRevision::read(&Value::Object(members)).unwrap()
        };
        self.revisions.iter().map(read).collect()
    }

    fn tasks_seen(&self) -> Vec<Task> {
        self.tasks.iter().map(Self::task).collect()
    }

    fn task(task: &Run) -> Task {
        let mut members = json!({
            "taskArn": format!("arn:aws:ecs:eu-west-1:123456789012:task/prod/{}", task.id),
            "taskDefinitionArn": task.definition,
            "startedBy": format!("ecs-svc/{}", task.deployment),
            "lastStatus": if task.started.is_some() { "RUNNING" } else { "PENDING" },
            "desiredStatus": "RUNNING",
            "createdAt": EPOCH + task.created,
            "containers": [{ "name": "web" }],
            "attachments": [{
                "type": "ElasticNetworkInterface",
                "details": [{ "name": "privateIPv4Address", "value": address(task) }]
            }],
        });
        if let Some(at) = task.started {
            members["startedAt"] = json!(EPOCH + at);
        }
        if let Some((at, code, reason)) = &task.stopped {
            members["lastStatus"] = json!("STOPPED");
            members["desiredStatus"] = json!("STOPPED");
            members["stopCode"] = json!(code);
            members["stoppedReason"] = json!(reason);
            members["stoppedAt"] = json!(EPOCH + at);
            if *code == "EssentialContainerExited" {
                members["containers"][0]["exitCode"] = json!(1);
            }
        }
        Task::read(&members).unwrap()
    }

    fn target_groups(&self, questions: &Questions) -> Vec<TargetGroupHealth> {
        let target = |task: &Run| TargetHealth {
            id: address(task),
            port: Some(8080),
            state: if self.healthy(task) { "healthy" } else { "unhealthy" }.to_owned(),
            reason: None,
            description: None,
        };
        let running = || self.tasks.iter().filter(|t| t.started.is_some() && t.stopped.is_none());
        let group = |arn: &String| TargetGroupHealth {
            arn: arn.clone(),
            targets: running().map(target).collect(),
        };
        questions.target_groups.iter().map(group).collect()
    }
}

fn unimplemented_call<T>(operation: &str) -> Fact<T> {
    Fact::Unknown(Unknown::CapabilityMissing { operation: operation.to_owned() })
}

fn revision_arn(id: u64) -> String {
    format!("arn:aws:ecs:eu-west-1:123456789012:service-revision/prod/web/{id}")
}

fn address(task: &Run) -> String {
    format!("10.0.{}.{}", task.id / 256 % 256, task.id % 256)
}
