//! What the demo plays on: region, load balancer, daemon, manifest and traffic; never knows the story.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use evenkeel_simulator::Api;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::broadcast;

use super::daemon::{DaemonProcess, DaemonSettings};
use super::narrator::Narrator;
use super::traffic::{Counted, Traffic};
use super::{DemoArguments, DemoError};
use crate::catalogue::Catalogue;
use crate::serve::{create_cluster, create_load_balancer};
use crate::server::{Server, ServerSettings};
use crate::tasks::TaskEvent;

pub(super) const CLUSTER: &str = "demo";
pub(super) const SERVICE: &str = "web";
pub(super) const DESIRED_COUNT: u64 = 4;

const ROLLOUT_POLL: Duration = Duration::from_millis(400);
pub(super) const RESYNC: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Stage {
    pub(super) narrator: Narrator,
    server: Server,
    balancer: SocketAddr,
    target_group: String,
    directory: Directory,
    daemon_settings: DaemonSettings,
    daemon: Option<DaemonProcess>,
    traffic: Option<Traffic>,
    rate: u32,
    task_events: broadcast::Receiver<TaskEvent>,
    /// ECS's events that were told already.
    told: usize,
}

#[derive(Debug)]
enum Directory {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Directory {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(directory) => directory.path(),
            Self::Kept(path) => path,
        }
    }
}

/// The service as ECS describes it, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) image: String,
}

impl Stage {
    pub(super) async fn set_up(
        arguments: &DemoArguments,
        narrator: Narrator,
    ) -> Result<Self, DemoError> {
        let directory = directory(arguments.keep.clone())?;
        let manifests = directory.path().join("manifests");
        std::fs::create_dir_all(&manifests).map_err(unwritable(&manifests))?;
        let server = Server::start(ServerSettings {
            speed: arguments.speed,
            seed: arguments.seed,
            logs: Some(directory.path().join("logs")),
            ..ServerSettings::new(Catalogue::shipped()?)
        })
        .await?;
        create_cluster(server.region(), CLUSTER)?;
        let balancer = free_address().map_err(unwritable(&manifests))?;
        let target_group = create_load_balancer(server.region(), SERVICE, balancer.port())?;
        let daemon_settings = DaemonSettings {
            program: std::env::current_exe().map_err(DemoError::Daemon)?,
            manifests,
            endpoint: server.endpoint(),
            region: "us-east-1".to_owned(),
            rollout_poll: ROLLOUT_POLL,
            resync: RESYNC,
        };
        let task_events = server.news().subscribe();
        Ok(Self {
            narrator,
            server,
            balancer,
            target_group,
            directory,
            daemon_settings,
            daemon: None,
            traffic: None,
            rate: arguments.rate,
            task_events,
            told: 0,
        })
    }

    pub(super) fn manifest(&self) -> PathBuf {
        self.daemon_settings.manifests.join("web.yaml")
    }

    /// Where manifests and logs are kept, if they are.
    pub(super) fn kept(&self) -> Option<&Path> {
        match &self.directory {
            Directory::Temporary(_) => None,
            Directory::Kept(path) => Some(path),
        }
    }

    pub(super) fn balancer(&self) -> SocketAddr {
        self.balancer
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// Replaces the manifest at once, as git and editors do.
    pub(super) fn save_manifest(&self, image: &str) -> Result<(), DemoError> {
        let manifest = self.manifest();
        let draft = manifest.with_extension("draft");
        let text = manifest_text(image, &self.target_group);
        std::fs::write(&draft, text)
            .and_then(|()| std::fs::rename(&draft, &manifest))
            .map_err(unwritable(&manifest))
    }

    pub(super) fn start_daemon(&mut self) -> Result<(), DemoError> {
        self.daemon = Some(DaemonProcess::start(&self.daemon_settings, self.narrator.clone())?);
        Ok(())
    }

    pub(super) async fn kill_daemon(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.kill().await;
        }
    }

    pub(super) fn start_traffic(&mut self) {
        let traffic = Traffic::start(self.balancer, self.rate, self.narrator.clone());
        self.traffic = Some(traffic);
    }

    pub(super) fn traffic(&self) -> Counted {
        self.traffic.as_ref().map(Traffic::counted).unwrap_or_default()
    }

    pub(super) async fn stop_traffic(&mut self) -> Counted {
        match self.traffic.take() {
            Some(traffic) => traffic.stop().await,
            None => Counted::default(),
        }
    }

    /// What the daemon says about the service.
    pub(super) async fn status(&mut self) -> Result<Option<Value>, DemoError> {
        let Some(daemon) = &mut self.daemon else { return Ok(None) };
        daemon.check()?;
        Ok(daemon.status(CLUSTER, SERVICE).await)
    }

    /// The image that all tasks run, once ECS has only one deployment, completed and at full count.
    pub(super) fn settled(&self) -> Option<Settled> {
        let service = self.service()?;
        let count = |value: &Value, name: &str| value.get(name).and_then(Value::as_u64);
        let deployments = service.get("deployments").and_then(Value::as_array)?;
        let [deployment] = deployments.as_slice() else { return None };
        let complete = deployment.get("rolloutState").and_then(Value::as_str) == Some("COMPLETED")
            && count(deployment, "runningCount") == Some(DESIRED_COUNT)
            && count(&service, "runningCount") == Some(DESIRED_COUNT)
            && count(&service, "pendingCount") == Some(0);
        let task_definition = deployment.get("taskDefinition").filter(|_| complete)?;
        let input = json!({ "taskDefinition": task_definition });
        let reply = self.server.region().call(Api::Ecs, "DescribeTaskDefinition", &input).ok()?;
        let image = reply.pointer("/taskDefinition/containerDefinitions/0/image")?.as_str()?;
        Some(Settled { image: image.to_owned() })
    }

    /// Tells what became of tasks and what ECS says, since the last time.
    pub(super) fn tell_news(&mut self) {
        while let Ok(event) = self.task_events.try_recv() {
            self.narrator.task(&event);
        }
        let Some(service) = self.service() else { return };
        let events = service.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
        let new = events.len().saturating_sub(self.told);
        for event in events.iter().take(new).rev() {
            let text = event.get("message").and_then(Value::as_str).unwrap_or_default();
            self.narrator.ecs(&in_short(text));
        }
        self.told = events.len();
    }

    /// Ends daemon, traffic and region, in this order.
    pub(super) async fn clear(mut self) -> Result<(), DemoError> {
        self.stop_traffic().await;
        self.kill_daemon().await;
        Ok(self.server.stop().await?)
    }

    fn service(&self) -> Option<Value> {
        let input = json!({"cluster": CLUSTER, "services": [SERVICE]});
        let reply = self.server.region().call(Api::Ecs, "DescribeServices", &input).ok()?;
        reply.pointer("/services/0").cloned()
    }
}

/// Without the parts of an event that are the same in every one, and with short ids.
fn in_short(event: &str) -> String {
    let event = event.trim_start_matches("(service web) ").replace("(service web)", "");
    let shortened = event.split(' ').map(|word| {
        let (inner, closing) = match word.find(')') {
            Some(end) => word.split_at(end),
            None => (word, ""),
        };
        let is_id = inner.len() >= 32 && inner.chars().all(|c| c.is_ascii_hexdigit());
        match inner.rsplit_once("targetgroup/") {
            Some((_, name)) => format!("{}{closing}", name.split('/').next().unwrap_or(name)),
            None if is_id => format!("{}{closing}", inner.chars().take(8).collect::<String>()),
            None => word.to_owned(),
        }
    });
    shortened.collect::<Vec<_>>().join(" ")
}

fn manifest_text(image: &str, target_group: &str) -> String {
    format!(
        "apiVersion: evenkeel.dev/v1
kind: Service
metadata:
  name: {SERVICE}
spec:
  cluster: {CLUSTER}
  taskDefinition:
    family: {SERVICE}
    networkMode: awsvpc
    requiresCompatibilities: [FARGATE]
    cpu: \"256\"
    memory: \"512\"
    containerDefinitions:
      - name: web
        image: {image}
        portMappings: [{{containerPort: 8080}}]
  service:
    desiredCount: {DESIRED_COUNT}
    launchType: FARGATE
    networkConfiguration:
      awsvpcConfiguration: {{subnets: [subnet-0000000000000000a]}}
    loadBalancers:
      - {{targetGroupArn: \"{target_group}\", containerName: web, containerPort: 8080}}
"
    )
}

fn directory(keep: Option<PathBuf>) -> Result<Directory, DemoError> {
    match keep {
        Some(path) => {
            std::fs::create_dir_all(&path).map_err(unwritable(&path))?;
            Ok(Directory::Kept(path))
        }
        None => tempfile::tempdir()
            .map(Directory::Temporary)
            .map_err(unwritable(Path::new("a temporary directory"))),
    }
}

fn unwritable(path: &Path) -> impl Fn(std::io::Error) -> DemoError {
    let what = format!("{} cannot be written", path.display());
    move |source| DemoError::File { what: what.clone(), source }
}

fn free_address() -> std::io::Result<SocketAddr> {
    std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_without_what_is_in_every_one() {
        let event = "(service web) registered 1 targets in (target-group \
                     arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/web/88dc97e5aab5fe3d)";
        assert_eq!(in_short(event), "registered 1 targets in (target-group web)");
        let event = "(service web) has started 1 tasks: (task 17f94033310bf0b70000000000000003).";
        assert_eq!(in_short(event), "has started 1 tasks: (task 17f94033).");
    }

    #[test]
    fn the_manifest_is_valid() {
        let text = manifest_text(
            "evenkeel-demo:v1",
            "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/88dc97e5aab5fe3d",
        );
        let file = evenkeel_manifest::File { name: "web.yaml".into(), text };
        let set = evenkeel_manifest::load(&[file]);
        assert!(set.problems.is_empty(), "{:?}", set.problems);
        assert_eq!(set.services.len(), 1);
    }
}
