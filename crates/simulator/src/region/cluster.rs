//! Clusters; never what runs in them.

use serde_json::{Map, Value, json};

use super::identifiers::last_part;
use super::input::{given, list, page, paged, text, texts};
use super::service::ServiceStatus;
use super::tags::{self, Tags};
use super::task::TaskState;
use super::{ApiError, State, size};

#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) name: String,
    pub(crate) arn: String,
    /// `ACTIVE` or `INACTIVE`.
    pub(crate) active: bool,
    pub(crate) tags: Tags,
    settings: Value,
    capacity_providers: Value,
    default_capacity_provider_strategy: Value,
}

impl Cluster {
    /// Whether services that name neither a launch type nor a strategy get one from here.
    pub(crate) fn default_strategy(&self) -> Option<&Value> {
        Some(&self.default_capacity_provider_strategy)
            .filter(|strategy| strategy.as_array().is_some_and(|list| !list.is_empty()))
    }
}

pub(crate) fn not_found() -> ApiError {
    ApiError::client("ClusterNotFoundException", "Cluster not found.")
}

impl State {
    /// The active cluster that an input names (`default` when it names none).
    pub(crate) fn cluster(&self, input: &Value) -> Result<&Cluster, ApiError> {
        let name = text(input, "cluster").map_or("default", last_part);
        self.clusters.get(name).filter(|cluster| cluster.active).ok_or_else(not_found)
    }

    pub(crate) fn cluster_name(&self, input: &Value) -> Result<String, ApiError> {
        self.cluster(input).map(|cluster| cluster.name.clone())
    }

    pub(crate) fn create_cluster(&mut self, input: &Value) -> Result<Value, ApiError> {
        let name = text(input, "clusterName").unwrap_or("default").to_owned();
        super::validation::name("Cluster name", &name)?;
        let tags = tags::read(input)?;
        let existing = self.clusters.get(&name).is_some_and(|cluster| cluster.active);
        if !existing {
            let or_empty = |member| given(input, member).cloned().unwrap_or_else(|| json!([]));
            let cluster = Cluster {
                arn: self.ecs_arn(&format!("cluster/{name}")),
                name: name.clone(),
                active: true,
                tags,
                settings: given(input, "settings")
                    .cloned()
                    .unwrap_or_else(|| json!([{"name": "containerInsights", "value": "disabled"}])),
                capacity_providers: or_empty("capacityProviders"),
                default_capacity_provider_strategy: or_empty("defaultCapacityProviderStrategy"),
            };
            self.clusters.insert(name.clone(), cluster);
        }
        let cluster = self.clusters.get(&name).ok_or_else(not_found)?;
        Ok(json!({"cluster": self.read_cluster(cluster, true)}))
    }

    pub(crate) fn delete_cluster(&mut self, input: &Value) -> Result<Value, ApiError> {
        let name = self.cluster_name(input)?;
        let busy = self
            .services
            .values()
            .any(|service| service.cluster == name && service.status != ServiceStatus::Inactive);
        if busy {
            return Err(ApiError::client(
                "ClusterContainsServicesException",
                "The Cluster cannot be deleted while Services are active.",
            ));
        }
        if self.tasks.values().any(|task| task.cluster == name && task.state != TaskState::Stopped)
        {
            return Err(ApiError::client(
                "ClusterContainsTasksException",
                "The Cluster cannot be deleted while Tasks are active.",
            ));
        }
        if let Some(cluster) = self.clusters.get_mut(&name) {
            cluster.active = false;
        }
        let cluster = self.clusters.get(&name).ok_or_else(not_found)?;
        Ok(json!({"cluster": self.read_cluster(cluster, false)}))
    }

    pub(crate) fn describe_clusters(&self, input: &Value) -> Result<Value, ApiError> {
        let mut names: Vec<&str> = texts(input, "clusters").collect();
        if names.is_empty() {
            names.push("default");
        }
        if names.len() > 100 {
            return Err(super::input::invalid("Clusters can have at most 100 items."));
        }
        let with_tags = tags::included(input);
        let (mut clusters, mut failures) = (Vec::new(), Vec::new());
        for name in names {
            match self.clusters.get(last_part(name)) {
                Some(cluster) => clusters.push(self.read_cluster(cluster, with_tags)),
                None => failures.push(json!({
                    "arn": self.ecs_arn(&format!("cluster/{}", last_part(name))),
                    "reason": "MISSING",
                })),
            }
        }
        Ok(json!({"clusters": clusters, "failures": failures}))
    }

    pub(crate) fn list_clusters(&self, input: &Value) -> Result<Value, ApiError> {
        let arns = self.clusters.values().filter(|cluster| cluster.active);
        let (page, token) = page(arns.map(|cluster| cluster.arn.clone()), input, 100, 100)?;
        Ok(paged("clusterArns", page.into_iter().map(Value::String).collect(), token))
    }

    pub(crate) fn put_cluster_capacity_providers(
        &mut self,
        input: &Value,
    ) -> Result<Value, ApiError> {
        let name = self.cluster_name(input)?;
        if let Some(cluster) = self.clusters.get_mut(&name) {
            cluster.capacity_providers = json!(list(input, "capacityProviders"));
            cluster.default_capacity_provider_strategy =
                json!(list(input, "defaultCapacityProviderStrategy"));
        }
        let cluster = self.clusters.get(&name).ok_or_else(not_found)?;
        Ok(json!({"cluster": self.read_cluster(cluster, false)}))
    }

    fn read_cluster(&self, cluster: &Cluster, with_tags: bool) -> Value {
        let services = self.services.values().filter(|service| {
            service.cluster == cluster.name && service.status == ServiceStatus::Active
        });
        let tasks = || self.tasks.values().filter(|task| task.cluster == cluster.name);
        let mut map = Map::new();
        let mut put = |name: &str, value: Value| {
            map.insert(name.to_owned(), value);
        };
        put("clusterArn", json!(cluster.arn));
        put("clusterName", json!(cluster.name));
        put("status", json!(if cluster.active { "ACTIVE" } else { "INACTIVE" }));
        put("activeServicesCount", json!(services.count()));
        put("runningTasksCount", json!(size(tasks().filter(|task| task.is_running()).count())));
        put("pendingTasksCount", json!(size(tasks().filter(|task| task.is_pending()).count())));
        put("registeredContainerInstancesCount", json!(0));
        put("statistics", json!([]));
        put("settings", cluster.settings.clone());
        put("capacityProviders", cluster.capacity_providers.clone());
        put("defaultCapacityProviderStrategy", cluster.default_capacity_provider_strategy.clone());
        put("tags", if with_tags { tags::write(&cluster.tags) } else { json!([]) });
        Value::Object(map)
    }
}
