//! What the demo plays on: region, load balancer, daemon, manifest and traffic; never knows the story.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use evenkeel_simulator::Api;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::broadcast;

use super::code_deploy;
use super::daemon::{DaemonProcess, DaemonSettings};
use super::manifest::{CLUSTER, DESIRED_COUNT, Entrance, SERVICE, manifest_text};
use super::narrator::Narrator;
use super::smoke_test::SmokeTest;
use super::strategy::DemoStrategy;
use super::traffic::{Counted, Traffic};
use super::{DemoArguments, DemoError};
use crate::front::{Front, Ports, create_cluster, create_load_balancer};
use crate::live_region::LiveRegion;
use crate::server::{Server, ServerSettings};
use crate::tasks::TaskEvent;

/// The daemon's pauses are real time while the region's time runs faster, so it looks oftener here
/// than by default (5 s): every 3 s of the region's time.
const ROLLOUT_POLL: Duration = Duration::from_millis(200);
/// How long targets drain, in the region's time.
const DRAIN: Duration = Duration::from_secs(10);
pub(super) const RESYNC: Duration = Duration::from_secs(2);
/// Requests per second to the test listener.
const TEST_RATE: u32 = 20;

#[derive(Debug)]
pub(super) struct Stage {
    pub(super) narrator: Narrator,
    pub(super) strategy: DemoStrategy,
    server: Server,
    ports: Ports,
    entrance: Entrance,
    /// Where traffic moves.
    smoke_test: Option<SmokeTest>,
    directory: Directory,
    daemon_settings: DaemonSettings,
    daemon: Option<DaemonProcess>,
    traffic: Option<Traffic>,
    test_traffic: Option<Traffic>,
    rate: u32,
    task_events: broadcast::Receiver<TaskEvent>,
    /// The newest of ECS's events that were told already.
    told: Option<Value>,
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
        let program = std::env::current_exe().map_err(DemoError::Daemon)?;
        let server = Server::start(ServerSettings {
            speed: arguments.speed,
            seed: arguments.seed,
            logs: Some(directory.path().join("logs")),
            ..ServerSettings::new(arguments.strategy.catalogue(&program))
        })
        .await?;
        create_cluster(server.region(), CLUSTER)?;
        let ports = free_ports().map_err(DemoError::Ports)?;
        let entrance = entrance(server.region(), ports, arguments.strategy)?;
        let smoke_test = match entrance {
            Entrance::One(_) => None,
            Entrance::Shifting(_) => {
                Some(SmokeTest::start(local(ports.test)).await.map_err(DemoError::Ports)?)
            }
        };
        let daemon_settings = DaemonSettings {
            program,
            manifests,
            endpoint: server.endpoint(),
            region: "us-east-1".to_owned(),
            rollout_poll: ROLLOUT_POLL,
            resync: RESYNC,
            webhook_url: smoke_test.as_ref().map(SmokeTest::url),
        };
        let task_events = server.news().subscribe();
        Ok(Self {
            narrator,
            strategy: arguments.strategy,
            server,
            ports,
            entrance,
            smoke_test,
            directory,
            daemon_settings,
            daemon: None,
            traffic: None,
            test_traffic: None,
            rate: arguments.rate,
            task_events,
            told: None,
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

    /// Where production requests go.
    pub(super) fn balancer(&self) -> SocketAddr {
        local(self.ports.production)
    }

    /// Where test requests go; `None` where no traffic moves.
    pub(super) fn test_listener(&self) -> Option<SocketAddr> {
        self.front().map(|front| local(front.ports.test))
    }

    pub(super) fn front(&self) -> Option<&Front> {
        match &self.entrance {
            Entrance::One(_) => None,
            Entrance::Shifting(front) => Some(front),
        }
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// Replaces the manifest at once, as git and editors do.
    pub(super) fn save_manifest(&self, image: &str) -> Result<(), DemoError> {
        let manifest = self.manifest();
        let draft = manifest.with_extension("draft");
        let smoke_test = self.smoke_test.as_ref().map(SmokeTest::url).unwrap_or_default();
        let text = manifest_text(image, &self.entrance, self.strategy, &smoke_test);
        std::fs::write(&draft, text)
            .and_then(|()| std::fs::rename(&draft, &manifest))
            .map_err(unwritable(&manifest))
    }

    /// Once the service is there, what CodeDeploy deploys it by.
    pub(super) fn make_deployment_group(&self) -> Result<(), DemoError> {
        let front = self.front().filter(|_| self.strategy == DemoStrategy::CodeDeploy);
        let Some(front) = front else { return Ok(()) };
        self.narrator.demo("make the CodeDeploy application and deployment group");
        Ok(code_deploy::make_deployment_group(self.server.region(), front)?)
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
        let narrator = Some(self.narrator.clone());
        self.traffic = Some(Traffic::start(self.balancer(), self.rate, narrator));
        if let Some(test) = self.test_listener().filter(|_| self.strategy.has_test_traffic()) {
            self.test_traffic = Some(Traffic::start(test, TEST_RATE, None));
        }
    }

    pub(super) fn traffic(&self) -> Counted {
        self.traffic.as_ref().map(Traffic::counted).unwrap_or_default()
    }

    pub(super) async fn stop_traffic(&mut self) -> Counted {
        if let Some(test) = self.test_traffic.take() {
            test.stop().await;
        }
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

    /// Why the daemon last rejected a revision, in its own words.
    pub(super) fn rejection(&self) -> Option<String> {
        self.daemon.as_ref()?.rejection()
    }

    /// The image that all tasks run, once ECS has only one deployment or task set, complete and at full count.
    pub(super) fn settled(&self) -> Option<Settled> {
        let service = self.service()?;
        let count = |value: &Value, name: &str| value.get(name).and_then(Value::as_u64);
        let listed = |name: &str| service.get(name).and_then(Value::as_array).cloned();
        let launchers = [listed("deployments"), listed("taskSets")].into_iter().flatten().flatten();
        let launchers: Vec<Value> = launchers.collect();
        let [deployment] = launchers.as_slice() else { return None };
        let is =
            |name: &str, word: &str| deployment.get(name).and_then(Value::as_str) == Some(word);
        let is_steady_set = is("stabilityStatus", "STEADY_STATE") && is("status", "PRIMARY");
        let complete = (is("rolloutState", "COMPLETED") || is_steady_set)
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
        let id = |event: &Value| event.get("id").cloned();
        let new = events.iter().take_while(|event| id(event) != self.told || self.told.is_none());
        for event in new.collect::<Vec<_>>().into_iter().rev() {
            let text = event.get("message").and_then(Value::as_str).unwrap_or_default();
            self.narrator.ecs(text);
        }
        self.told = events.first().and_then(id).or(self.told.take());
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

fn unwritable(path: &Path) -> impl Fn(io::Error) -> DemoError {
    let what = format!("{} cannot be written", path.display());
    move |source| DemoError::File { what: what.clone(), source }
}

fn entrance(
    region: &LiveRegion,
    ports: Ports,
    strategy: DemoStrategy,
) -> Result<Entrance, DemoError> {
    Ok(if strategy.moves_traffic() {
        Entrance::Shifting(Front::create(region, SERVICE, ports, DRAIN)?)
    } else {
        Entrance::One(create_load_balancer(region, SERVICE, ports.production, DRAIN)?)
    })
}

fn free_ports() -> io::Result<Ports> {
    let listeners = [TcpListener::bind(local(0))?, TcpListener::bind(local(0))?];
    let [production, test] = listeners.each_ref().map(TcpListener::local_addr);
    Ok(Ports { production: production?.port(), test: test?.port() })
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
