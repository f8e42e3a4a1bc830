//! What a manifest names and does not make, each once; never what the manifest makes itself.

use evenkeel_manifest::{Hooks, Service, target_groups};
use serde_json::Value;

use super::named::{Arn, Value as Named, function, role_name};
use super::{Asked, Check, Demand, Need, Port};

const TASKS: &str = "ecs-tasks.amazonaws.com";
/// Who assumes the infrastructure roles of a service.
const ECS: &str = "ecs.amazonaws.com";

/// Members of CreateService that name a role which ECS itself assumes.
const INFRASTRUCTURE_ROLES: [(&str, &str); 6] = [
    ("", "role"),
    ("loadBalancers[].advancedConfiguration", "roleArn"),
    ("deploymentConfiguration.lifecycleHooks[]", "roleArn"),
    ("serviceConnectConfiguration.services[].tls", "roleArn"),
    ("volumeConfigurations[].managedEBSVolume", "roleArn"),
    ("vpcLatticeConfigurations[]", "roleArn"),
];

/// Everything that the manifest of a service names and does not make, in the order of [`Check::ALL`].
pub fn needs(service: &Service) -> Vec<Need> {
    let reading = Reading {
        task: &service.task_definition.value(),
        service: &service.service.value(),
        alarms: &service.rollout.breaker.alarms,
        hooks: service.rollout.strategy.code_deploy().map(|group| &group.hooks),
    };
    let mut needs = Vec::new();
    let all = [
        reading.roles(),
        reading.images(),
        reading.secrets(),
        reading.log_groups(),
        reading.target_groups(),
        reading.alarms(),
        reading.network("subnets", Check::Subnet, |id| Asked::Subnet { id }),
        reading.network("securityGroups", Check::SecurityGroup, |id| Asked::SecurityGroup { id }),
        reading.functions(),
    ];
    for need in all.into_iter().flatten() {
        if !needs.contains(&need) {
            needs.push(need);
        }
    }
    needs
}

/// The canonical documents of a manifest.
struct Reading<'a> {
    task: &'a Value,
    service: &'a Value,
    alarms: &'a [String],
    /// Of CodeDeploy's deployments.
    hooks: Option<&'a Hooks>,
}

impl<'a> Reading<'a> {
    fn containers(&self) -> Vec<&'a Value> {
        each(self.task, "containerDefinitions[]")
    }

    fn roles(&self) -> Vec<Need> {
        let role = |text: &str, member, principal| {
            let asked = Asked::Role { name: role_name(text).to_owned() };
            need(Check::Role, member, text, Demand::Role { asked, principal })
        };
        let of_tasks = ["taskRoleArn", "executionRoleArn"]
            .into_iter()
            .filter_map(|member| Some(role(text_of(self.task, member)?, member, TASKS)));
        let of_service = INFRASTRUCTURE_ROLES.into_iter().flat_map(|(path, member)| {
            let named = each(self.service, path).into_iter();
            named.filter_map(move |at| Some(role(text_of(at, member)?, member, ECS)))
        });
        of_tasks.chain(of_service).collect()
    }

    fn images(&self) -> Vec<Need> {
        let image = |container: &Value| {
            let text = text_of(container, "image")?;
            let demand = if container.get("repositoryCredentials").is_some() {
                let why = "the credentials under `repositoryCredentials` are not read".to_owned();
                Demand::Unseen { why }
            } else {
                let asked = Asked::Image { reference: text.to_owned() };
                Demand::Image { asked, os: self.os(), architecture: self.architecture() }
            };
            Some(need(Check::Image, "image", text, demand))
        };
        self.containers().into_iter().filter_map(image).collect()
    }

    fn os(&self) -> &'static str {
        let family = self.task.pointer("/runtimePlatform/operatingSystemFamily");
        let family = family.and_then(Value::as_str).unwrap_or_default();
        if family.starts_with("WINDOWS") { "windows" } else { "linux" }
    }

    /// On EC2 the instances decide, unless the task definition does.
    fn architecture(&self) -> Option<&'static str> {
        let named = self.task.pointer("/runtimePlatform/cpuArchitecture").and_then(Value::as_str);
        match named {
            Some("ARM64") => Some("arm64"),
            Some(_) => Some("amd64"),
            None => self.is_on_fargate().then_some("amd64"),
        }
    }

    fn is_on_fargate(&self) -> bool {
        let listed = each(self.task, "requiresCompatibilities[]");
        let providers = each(self.service, "capacityProviderStrategy[]");
        let mut providers =
            providers.into_iter().filter_map(|one| text_of(one, "capacityProvider"));
        listed.iter().any(|one| *one == "FARGATE")
            || text_of(self.service, "launchType") == Some("FARGATE")
            || providers.any(|name| ["FARGATE", "FARGATE_SPOT"].contains(&name))
    }

    fn secrets(&self) -> Vec<Need> {
        let options = "logConfiguration.secretOptions[]";
        let connect = each(self.service, "serviceConnectConfiguration");
        let containers = self.containers();
        let inner = containers.iter().flat_map(|one| each(one, "secrets[]"));
        let logging = containers.iter().chain(&connect).flat_map(|one| each(one, options));
        let values = inner.chain(logging).filter_map(|one| text_of(one, "valueFrom"));
        let values = values.map(|text| self.value("valueFrom", text, Named::parse(text)));
        let member = "credentialsParameter";
        let credentials = containers.iter().flat_map(|one| each(one, "repositoryCredentials"));
        let credentials = credentials.filter_map(|one| text_of(one, member));
        let credentials = credentials.map(|text| self.value(member, text, Named::secret(text)));
        values.chain(credentials).collect()
    }

    fn value(&self, member: &'static str, text: &str, named: Named<'_>) -> Need {
        let demand = match named {
            Named::Secret { id, stage, version } => Demand::Secret {
                asked: Asked::Secret { id: id.to_owned() },
                stage: stage.map(str::to_owned),
                version: version.map(str::to_owned),
            },
            Named::Parameter { name, region, account } => self.parameter(name, region, account),
        };
        need(Check::Secret, member, text, demand)
    }

    /// What other accounts share is not listed with our own.
    fn parameter(&self, name: &str, region: Option<&str>, account: Option<&str>) -> Demand {
        let ours = text_of(self.task, "executionRoleArn").and_then(Arn::parse);
        let ours = ours.map(|arn| arn.account);
        if let (Some(account), Some(ours)) = (account, ours)
            && account != ours
        {
            return Demand::Unseen { why: format!("it is of another account, {account}") };
        }
        let (name, region) = (name.to_owned(), region.map(str::to_owned));
        Demand::Existence { asked: Asked::Parameter { name, region } }
    }

    fn log_groups(&self) -> Vec<Need> {
        let mut logging = each(self.task, "containerDefinitions[].logConfiguration");
        logging.extend(each(self.service, "serviceConnectConfiguration.logConfiguration"));
        let group = |at: &Value| {
            let options = at.get("options")?;
            let is_made = text_of(options, "awslogs-create-group") == Some("true");
            if text_of(at, "logDriver") != Some("awslogs") || is_made {
                return None;
            }
            let name = text_of(options, "awslogs-group")?;
            let region = text_of(options, "awslogs-region").map(str::to_owned);
            let asked = Asked::LogGroup { name: name.to_owned(), region };
            Some(need(Check::LogGroup, "awslogs-group", name, Demand::Existence { asked }))
        };
        logging.into_iter().filter_map(group).collect()
    }

    fn target_groups(&self) -> Vec<Need> {
        let is_ip = text_of(self.task, "networkMode") == Some("awsvpc");
        let target_type = if is_ip { "ip" } else { "instance" };
        let balancers = each(self.service, "loadBalancers[]");
        let of_balancer = |balancer: &&'a Value| {
            let (port, first) = (self.port(balancer), text_of(balancer, "targetGroupArn"));
            let groups: Vec<Need> = target_groups(balancer)
                .map(|arn| {
                    let is_first = Some(arn) == first;
                    let member =
                        if is_first { "targetGroupArn" } else { "alternateTargetGroupArn" };
                    let asked = Asked::TargetGroup { arn: arn.to_owned() };
                    let demand = Demand::TargetGroup { asked, target_type, port: port.clone() };
                    need(Check::TargetGroup, member, arn, demand)
                })
                .collect();
            groups
        };
        balancers.iter().flat_map(of_balancer).collect()
    }

    fn port(&self, balancer: &Value) -> Option<Port> {
        let container = text_of(balancer, "containerName")?;
        let number = balancer.get("containerPort")?.as_u64()?;
        let found = self.containers().into_iter();
        let found = found.filter(|one| text_of(one, "name") == Some(container));
        let mapping = found.flat_map(|one| each(one, "portMappings[]"));
        let mapping = mapping
            .into_iter()
            .find(|one| one.get("containerPort").and_then(Value::as_u64) == Some(number))?;
        let protocol = text_of(mapping, "protocol").unwrap_or("tcp").to_owned();
        Some(Port { container: container.to_owned(), number, protocol })
    }

    fn alarms(&self) -> Vec<Need> {
        let configured = each(self.service, "deploymentConfiguration.alarms");
        let configured =
            configured.into_iter().filter(|at| at.get("enable") != Some(&false.into()));
        let configured = configured.flat_map(|at| each(at, "alarmNames[]"));
        let configured = configured.filter_map(Value::as_str).map(|name| ("alarmNames", name));
        let own = self.alarms.iter().map(|name| ("alarms", name.as_str()));
        let alarm = |(member, name): (&'static str, &str)| {
            let asked = Asked::Alarm { name: name.to_owned() };
            need(Check::Alarm, member, name, Demand::Existence { asked })
        };
        configured.chain(own).map(alarm).collect()
    }

    fn functions(&self) -> Vec<Need> {
        let named = self.hooks.into_iter().flat_map(Hooks::all);
        let named = named.map(|(event, text)| {
            let (id, region) = function(text);
            let asked = Asked::Function { id, region: region.map(str::to_owned) };
            need(Check::Function, event, text, Demand::Existence { asked })
        });
        named.collect()
    }

    fn network(
        &self,
        member: &'static str,
        check: Check,
        asked: impl Fn(String) -> Asked,
    ) -> Vec<Need> {
        let path = format!("networkConfiguration.awsvpcConfiguration.{member}[]");
        let ids = each(self.service, &path).into_iter().filter_map(Value::as_str);
        ids.map(|id| need(check, member, id, Demand::Vpc { asked: asked(id.to_owned()) })).collect()
    }
}

fn need(check: Check, member: &'static str, text: &str, demand: Demand) -> Need {
    Need { check, member, text: text.to_owned(), demand }
}

fn text_of<'a>(value: &'a Value, member: &str) -> Option<&'a str> {
    value.get(member)?.as_str()
}

/// The values at a path such as `containerDefinitions[].secrets[]`; the value itself when it is empty.
fn each<'a>(value: &'a Value, path: &str) -> Vec<&'a Value> {
    if path.is_empty() {
        return vec![value];
    }
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    match first.strip_suffix("[]") {
        None => value.get(first).map_or_else(Vec::new, |member| each(member, rest)),
        Some(name) => {
            let elements = value.get(name).and_then(Value::as_array).into_iter().flatten();
            elements.flat_map(|element| each(element, rest)).collect()
        }
    }
}

#[cfg(test)]
mod tests;
