//! Whether a source may manage what its manifests say; never takes a role that it cannot tell for one that is granted.

use evenkeel_manifest::{Service, ServiceKey};
use serde_json::Value;

use crate::config::{Grant, Pattern};

/// Why a source has no say in a service at all.
pub(super) fn foreign(grant: &Grant, key: &ServiceKey) -> Option<String> {
    let refused =
        |what: &str, name: &str| Some(format!("this source is granted no {what} `{name}`"));
    if !is_granted(grant.clusters.as_deref(), &key.cluster) {
        return refused("cluster", &key.cluster);
    }
    if !is_granted(grant.services.as_deref(), &key.name) {
        return refused("service", &key.name);
    }
    None
}

/// What a manifest of a service that the source may manage asks for and may not.
pub(super) fn excess(grant: &Grant, service: &Service) -> Option<String> {
    let (task, members) = (service.task_definition.value(), service.service.value());
    let mut roles = Vec::new();
    collect_roles(&task, &mut roles);
    collect_roles(&members, &mut roles);
    if let Some(role) = roles.iter().find(|role| !is_granted(grant.roles.as_deref(), role)) {
        let remedy = if role.starts_with("arn:") { "" } else { ": name it by its ARN" };
        return Some(format!("this source is granted no role `{role}`{remedy}"));
    }
    let containers = || elements(&task, "containerDefinitions");
    let images = containers().filter_map(|one| one.get("image")?.as_str());
    if let Some(image) = { images }.find(|image| !is_granted(grant.images.as_deref(), image)) {
        return Some(format!("this source is granted no image `{image}`"));
    }
    let privilege = containers().find_map(of_a_container).or_else(|| of_the_task(&task));
    privilege
        .filter(|_| !grant.privileged)
        .map(|what| format!("this source is granted no privileges, and {what}"))
}

fn is_granted(patterns: Option<&[Pattern]>, text: &str) -> bool {
    patterns.is_none_or(|patterns| patterns.iter().any(|pattern| pattern.fits(text)))
}

fn elements<'a>(value: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    value.get(list).and_then(Value::as_array).into_iter().flatten()
}

/// Every member that AWS takes for a role, at any depth.
fn collect_roles(value: &Value, roles: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let is_role = name == "role" || name.to_ascii_lowercase().ends_with("rolearn");
                match value.as_str().filter(|_| is_role) {
                    Some(role) => roles.push(role.to_owned()),
                    None => collect_roles(value, roles),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|one| collect_roles(one, roles)),
        _ => {}
    }
}

fn of_a_container(container: &Value) -> Option<String> {
    let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
    if container.get("privileged") == Some(&Value::Bool(true)) {
        return Some(format!("the container `{name}` is privileged"));
    }
    let added = container.pointer("/linuxParameters/capabilities/add").and_then(Value::as_array);
    if added.is_some_and(|all| !all.is_empty()) {
        return Some(format!("the container `{name}` adds capabilities"));
    }
    let devices = container.pointer("/linuxParameters/devices").and_then(Value::as_array);
    devices
        .is_some_and(|all| !all.is_empty())
        .then(|| format!("the container `{name}` takes devices of its host"))
}

fn of_the_task(task: &Value) -> Option<String> {
    let is_host = |name: &&&str| task.get(**name).and_then(Value::as_str) == Some("host");
    if let Some(name) = ["networkMode", "pidMode", "ipcMode"].iter().find(is_host) {
        return Some(format!("{name} is `host`"));
    }
    elements(task, "volumes").find_map(|one| {
        let name = one.get("name").and_then(Value::as_str).unwrap_or_default();
        if one.pointer("/host/sourcePath").and_then(Value::as_str).is_some() {
            return Some(format!("the volume `{name}` is a directory of the host"));
        }
        let docker = one.get("dockerVolumeConfiguration")?;
        may_be_of_the_host(docker).then(|| {
            format!("the volume `{name}` of Docker has driverOpts, or another driver than `local`")
        })
    })
}

/// The driver `local` mounts whatever its options name, and what other drivers do is theirs to say.
fn may_be_of_the_host(docker: &Value) -> bool {
    let options = docker.get("driverOpts").and_then(Value::as_object);
    let driver = docker.get("driver").and_then(Value::as_str);
    options.is_some_and(|all| !all.is_empty()) || driver.is_some_and(|driver| driver != "local")
}

#[cfg(test)]
mod tests {
    use evenkeel_manifest::{File, load};
    use serde_json::json;

    use super::*;
    use crate::config::RawGrant;

    fn grant(raw: Value) -> Grant {
        let raw: RawGrant = serde_json::from_value(raw).unwrap();
        crate::config::granted(&raw)
    }

    fn service(task: &Value, members: &Value) -> Service {
        let mut definition = json!({
            "memory": "512", "containerDefinitions": [{"name": "web", "image": "1.dkr.ecr.eu-west-1.amazonaws.com/shop/web:7"}],
        });
        definition.as_object_mut().unwrap().extend(task.as_object().unwrap().clone());
        let manifest = json!({
            "apiVersion": "evenkeel.dev/v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {"cluster": "prod", "taskDefinition": definition, "service": members},
        });
        let mut set = load(&[File { name: "web.json".into(), text: manifest.to_string() }]);
        assert_eq!(set.services.len(), 1, "{:?}", set.problems);
        set.services.remove(0)
    }

    #[test]
    fn a_source_manages_the_clusters_and_services_that_it_is_granted() {
        let key = |cluster: &str, name: &str| ServiceKey::new(cluster, name);
        let some = grant(json!({"clusters": ["prod-*"], "services": ["shop-*", "web"]}));
        for (key, granted) in [
            (key("prod-eu", "web"), true),
            (key("prod-eu", "shop-api"), true),
            (key("prod-eu", "billing"), false),
            (key("test", "web"), false),
        ] {
            assert_eq!(foreign(&some, &key).is_none(), granted, "{key}");
        }
        assert_eq!(foreign(&grant(json!({})), &key("any", "thing")), None);
        assert!(foreign(&grant(json!({"services": []})), &key("prod", "web")).is_some());
    }

    #[test]
    fn what_a_manifest_asks_for_beyond_its_grant_is_refused() {
        let role = |name: &str| format!("arn:aws:iam::123456789012:role/{name}");
        let tasks = json!({"taskRoleArn": role("shop-task"), "executionRoleArn": role("shop-run")});
        let roles = json!({"roles": ["arn:aws:iam::123456789012:role/shop-*"]});
        let images = json!({"images": ["1.dkr.ecr.*.amazonaws.com/shop/*"]});
        let other =
            json!({"containerDefinitions": [{"name": "web", "image": "docker.io/shop/web:7"}]});
        let with = |members: Value| {
            let mut container = json!({"name": "web", "image": "web:7"});
            container.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            json!({"containerDefinitions": [container]})
        };
        let none = || json!({});
        for (granted, task, refused) in [
            (none(), none(), None),
            (roles.clone(), tasks.clone(), None),
            (
                roles.clone(),
                json!({"taskRoleArn": role("admin")}),
                Some("no role `arn:aws:iam::123456789012:role/admin`"),
            ),
            (roles.clone(), json!({"taskRoleArn": "shop-task"}), Some("name it by its ARN")),
            (images.clone(), none(), None),
            (images, other, Some("no image `docker.io/shop/web:7`")),
            (none(), with(json!({"privileged": true})), Some("`web` is privileged")),
            (
                none(),
                with(json!({"linuxParameters": {"capabilities": {"add": ["SYS_ADMIN"]}}})),
                Some("adds capabilities"),
            ),
            (
                none(),
                with(json!({"linuxParameters": {"devices": [{"hostPath": "/dev/kvm"}]}})),
                Some("takes devices"),
            ),
            (none(), json!({"networkMode": "host"}), Some("networkMode is `host`")),
            (none(), json!({"pidMode": "host"}), Some("pidMode is `host`")),
            (
                none(),
                json!({"volumes": [{"name": "root", "host": {"sourcePath": "/"}}]}),
                Some("`root` is a directory"),
            ),
            (json!({"privileged": true}), json!({"networkMode": "host"}), None),
        ] {
            let found = excess(&grant(granted.clone()), &service(&task, &none()));
            match refused {
                Some(words) => assert!(
                    found.as_ref().is_some_and(|one| one.contains(words)),
                    "{task}: {found:?}"
                ),
                None => assert_eq!(found, None, "{granted} {task}"),
            }
        }
    }

    #[test]
    fn a_volume_of_docker_that_may_be_a_directory_of_the_host_is_refused() {
        let bind = json!({"type": "none", "o": "bind", "device": "/"});
        for (docker, refused) in [
            (json!({"driver": "local", "scope": "task", "driverOpts": bind}), true),
            (json!({"driverOpts": {"device": "/dev/sda1"}}), true),
            (json!({"driver": "rexray/ebs"}), true),
            (json!({"driver": "Local"}), true),
            (json!({"driver": "local", "scope": "task", "labels": {"a": "b"}}), false),
            (json!({"driver": "local", "driverOpts": {}}), false),
            (json!({"scope": "shared", "autoprovision": true}), false),
        ] {
            let task = json!({"volumes": [
                {"name": "plain"}, {"name": "data", "dockerVolumeConfiguration": docker},
            ]});
            let service = service(&task, &json!({}));
            let found = excess(&grant(json!({})), &service);
            let is_told = found.as_ref().is_some_and(|why| why.contains("the volume `data`"));
            assert_eq!(is_told, refused, "{docker}: {found:?}");
            assert_eq!(excess(&grant(json!({"privileged": true})), &service), None, "{docker}");
        }
    }

    #[test]
    fn roles_are_found_wherever_aws_takes_one() {
        let deep = json!([{
            "name": "data", "managedEBSVolume": {"roleArn": "arn:aws:iam::1:role/volumes", "sizeInGiB": 10},
        }]);
        let task = json!({
            "taskRoleArn": "arn:aws:iam::1:role/task",
            "volumes": [{"name": "data", "configuredAtLaunch": true}],
        });
        let with_volumes = service(&task, &json!({"volumeConfigurations": deep}));
        let tasks_only = grant(json!({"roles": ["arn:aws:iam::1:role/task"]}));
        let found = excess(&tasks_only, &with_volumes).unwrap();
        assert!(found.contains("role/volumes"), "{found}");
    }
}
