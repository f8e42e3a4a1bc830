//! The long-running process: it wires manifests, loop, AWS and HTTP together and supervises them;
//! never decides anything about a service.

mod first_read;
mod first_table_read;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use evenkeel_aws::{AwsCloud, AwsMetrics, AwsSettings, LeaseTable};
use evenkeel_reconciler::lease::LeaseSettingsError;
use evenkeel_reconciler::{
    Cloud, ControlLoop, DesiredState, LeaseKeeper, LeaseMetrics, LeaseSettings, LeaseStore,
    LoopHandle, LoopMetrics, LoopSettings, Mode, Shutdown, StatusBoard,
};
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::JoinMap;
use tracing_appender::non_blocking::ErrorCounter;

use crate::audit::Audit;
use crate::commit_status::CommitStatuses;
use crate::config::{AnalysisConfig, Config, LeaseConfig, RunMode};
use crate::http;
use crate::metrics;
use crate::outside::{Outside, OutsideError};
use crate::read_only::ReadOnly;
use crate::replica::{self, Replica};
use crate::source::{DirectorySource, ManifestsReport, Sources};
use crate::tokens::{self, Tokens, TokensError};
use first_read::FirstRead;
use first_table_read::FirstTableRead;

const LOOP: &str = "control loop";
const MANIFESTS: &str = "manifests";
const HTTP: &str = "http";
const COMMIT_STATUS: &str = "commit status";
const LEASE: &str = "lease";

/// The tasks by their names. When one of them ends unasked, all do.
type Tasks = JoinMap<&'static str, Result<(), String>>;
/// The desired state, as the tasks watch it.
type Wanted = watch::Receiver<Arc<DesiredState>>;

/// A running daemon. Dropping it stops everything where it is; [`Daemon::wait`] ends it well.
#[derive(Debug)]
pub struct Daemon {
    board: Arc<StatusBoard>,
    report: watch::Receiver<Arc<ManifestsReport>>,
    handle: LoopHandle,
    address: SocketAddr,
    registry: Registry,
    tasks: Tasks,
    shutdown: Shutdown,
    http_stop: CancellationToken,
    /// The loop takes the end of this channel for a fault, and during a shutdown it is none.
    _desired: watch::Sender<Arc<DesiredState>>,
}

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("AWS cannot be reached as configured: {0}")]
    Aws(String),
    #[error(
        "cannot listen on {address}: {source}; name another address with --listen or http.listen"
    )]
    Listen { address: SocketAddr, source: io::Error },
    #[error("a metric cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error(transparent)]
    Outside(#[from] OutsideError),
    #[error("the lease cannot be kept as configured: {0}")]
    Lease(#[from] LeaseSettingsError),
    #[error("no cache of repositories can be made: {0}; name a directory in cacheDirectory")]
    Cache(io::Error),
    #[error("web hooks cannot be taken as configured: {0}")]
    Hooks(String),
    #[error("git hosting cannot be told how commits fare: {0}")]
    CommitStatus(String),
    #[error("commands cannot be taken as configured: {0}")]
    Tokens(#[from] TokensError),
}

/// Why the daemon ended other than as asked.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the task `{task}` ended unexpectedly: {why}")]
    TaskEnded { task: &'static str, why: String },
    #[error("aborted before running passes had ended; the next start reads what became of them")]
    Aborted,
}

/// Runs a daemon until `shutdown` is requested or one of its tasks ends.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), DaemonError> {
    Daemon::start(config, shutdown).await?.wait().await
}

impl Daemon {
    /// Connects to AWS and starts all tasks. HTTP answers when this returns.
    pub async fn start(config: Config, shutdown: Shutdown) -> Result<Self, StartError> {
        Self::start_logged(config, shutdown, None).await
    }

    /// As [`Daemon::start`], with the counter of log lines that were dropped.
    pub async fn start_logged(
        config: Config,
        shutdown: Shutdown,
        dropped_lines: Option<ErrorCounter>,
    ) -> Result<Self, StartError> {
        let registry = Registry::new();
        let cloud = connect_to(&config, &registry, config.prune.is_some()).await?;
        let of = |lease: &LeaseConfig| cloud.lease_table(&lease.table, &lease.installation);
        let table = config.lease.as_ref().map(of).map(Arc::new);
        if config.mode == RunMode::Observe {
            let cloud = Arc::new(ReadOnly(cloud));
            let started = Self::start_with(config, cloud, registry, shutdown, dropped_lines);
            return Box::pin(started).await;
        }
        let cloud = Arc::new(cloud);
        let started = Self::start_replica(config, cloud, table, registry, shutdown, dropped_lines);
        Box::pin(started).await
    }

    /// Starts with any cloud, whose metrics are registered in `registry` already, as the only
    /// daemon.
    pub async fn start_with<C: Cloud>(
        config: Config,
        cloud: Arc<C>,
        registry: Registry,
        shutdown: Shutdown,
        dropped_lines: Option<ErrorCounter>,
    ) -> Result<Self, StartError> {
        let table = None::<Arc<LeaseTable>>;
        Self::start_replica(config, cloud, table, registry, shutdown, dropped_lines).await
    }

    /// As [`Daemon::start_with`], as one of several that agree through `table`; `None` when it is
    /// the only one.
    pub async fn start_replica<C: Cloud, S: LeaseStore>(
        config: Config,
        cloud: Arc<C>,
        table: Option<Arc<S>>,
        registry: Registry,
        shutdown: Shutdown,
        dropped_lines: Option<ErrorCounter>,
    ) -> Result<Self, StartError> {
        let tokens = tokens(&config)?;
        let (listener, address) = bind(config.http.listen).await?;
        let (desired, wanted) = watch::channel(Arc::new(DesiredState::default()));
        let (report_sender, report) = watch::channel(Arc::new(ManifestsReport::default()));
        metrics::register(&registry, &config, report.clone(), dropped_lines)?;
        let board = Arc::new(StatusBoard::new());
        let (cloud, first_read) = FirstRead::watching(cloud);
        let cloud = Outside::new(Arc::new(cloud), &asked(&config), &config.verify)?;
        let loop_metrics = LoopMetrics::register(&registry)?;
        let settings = loop_settings(&config);
        let mut control_loop = ControlLoop::new(
            Arc::new(cloud),
            settings,
            loop_metrics,
            wanted.clone(),
            board.clone(),
        );
        let mut tasks = Tasks::new();
        let mut replica = None;
        if let Some(table) = table {
            let (keeper, this) = lease(&config, table, &registry, wanted)?;
            control_loop = control_loop.with_lease(keeper.held());
            replica = Some(this);
            spawn_keeper(&mut tasks, keeper, shutdown.clone());
        }
        let handle = control_loop.handle();
        let source = Source::new(&config, desired.clone(), report_sender)?;
        log_start(&config, address, replica.as_ref());
        let told = statuses(&config, (&report, &desired), &board, replica.clone(), &registry)?;
        let state = http::State {
            target: config.target.clone(),
            board: board.clone(),
            report: report.clone(),
            desired: desired.subscribe(),
            registry: registry.clone(),
            first_read,
            replica,
            draining: shutdown.drain.clone(),
            hooks: source.hooks()?,
            control: http::Control {
                handle: handle.clone(),
                tokens: Arc::new(tokens),
                audit: Audit::register(&registry)?,
            },
        };

        let http_stop = CancellationToken::new();
        spawn_statuses(&mut tasks, told, shutdown.clone());
        spawn_loop(&mut tasks, control_loop, shutdown.clone());
        spawn_source(&mut tasks, source, shutdown.clone());
        spawn_http(&mut tasks, listener, state, http_stop.clone());
        Ok(Self {
            board,
            report,
            handle,
            address,
            registry,
            tasks,
            shutdown,
            http_stop,
            _desired: desired,
        })
    }

    /// The newest status of every service.
    pub fn board(&self) -> &Arc<StatusBoard> {
        &self.board
    }

    /// What is known about the manifests as a whole.
    pub fn manifests(&self) -> watch::Receiver<Arc<ManifestsReport>> {
        self.report.clone()
    }

    /// Asks for passes.
    pub fn handle(&self) -> LoopHandle {
        self.handle.clone()
    }

    /// Where HTTP answers; the port is the real one when 0 was configured.
    pub fn http_address(&self) -> SocketAddr {
        self.address
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Waits for the end. HTTP answers until the last pass has ended and leases are given back, so
    /// that an end that takes long can be watched.
    pub async fn wait(mut self) -> Result<(), DaemonError> {
        let mut fault = None;
        while let Some((task, ended)) = self.tasks.join_next().await {
            if !self.was_asked_to_end(task) && fault.is_none() {
                let why = why_ended(ended);
                tracing::error!(task, why, "a task ended unexpectedly, so everything ends");
                fault = Some(DaemonError::TaskEnded { task, why });
                self.shutdown.drain.cancel();
            }
            let works_on = [LOOP, LEASE].iter().any(|task| self.tasks.contains_key(task));
            if !works_on || fault.is_some() {
                self.http_stop.cancel();
            }
        }
        match fault {
            Some(fault) => Err(fault),
            None if self.shutdown.abort.is_cancelled() => Err(DaemonError::Aborted),
            None => Ok(()),
        }
    }

    fn was_asked_to_end(&self, task: &'static str) -> bool {
        match task {
            HTTP => self.http_stop.is_cancelled(),
            _ => self.shutdown.drain.is_cancelled() || self.shutdown.abort.is_cancelled(),
        }
    }
}

/// Where manifests come from.
enum Source {
    Directory(Box<DirectorySource>),
    Several(Box<Sources>),
}

impl Source {
    fn new(
        config: &Config,
        desired: watch::Sender<Arc<DesiredState>>,
        report: watch::Sender<Arc<ManifestsReport>>,
    ) -> Result<Self, StartError> {
        if config.sources.is_empty() {
            let source = DirectorySource::new(config, desired, report);
            return Ok(Self::Directory(Box::new(source)));
        }
        let several = Sources::new(config, desired, report).map(Box::new);
        several.map(Self::Several).map_err(StartError::Cache)
    }

    fn hooks(&self) -> Result<http::Hooks, StartError> {
        match self {
            Self::Directory(_) => Ok(http::Hooks::default()),
            Self::Several(sources) => http::Hooks::new(sources.hints()).map_err(StartError::Hooks),
        }
    }
}

/// Who besides AWS is asked. A web hook may act on being asked: who only observes asks none.
fn asked(config: &Config) -> AnalysisConfig {
    let mut analysis = config.analysis.clone();
    if config.mode == RunMode::Observe {
        analysis.webhook_urls.clear();
    }
    analysis
}

fn tokens(config: &Config) -> Result<Tokens, TokensError> {
    if config.mode == RunMode::Observe {
        return Ok(Tokens::default());
    }
    let variable = std::env::var_os(tokens::DAEMON_VARIABLE);
    Tokens::load(config.control.tokens_file.as_deref(), variable.as_deref())
}

async fn bind(listen: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Who keeps the leases of this replica, and what is shown of them.
fn lease<S: LeaseStore>(
    config: &Config,
    table: Arc<S>,
    registry: &Registry,
    wanted: Wanted,
) -> Result<(LeaseKeeper<FirstTableRead<S>>, Replica), StartError> {
    let configured = config.lease.as_ref().and_then(|lease| lease.replica.as_deref());
    let name = replica::name(configured);
    let settings = LeaseSettings { replica: name.clone(), ..LeaseSettings::default() };
    let (table, table_read) = FirstTableRead::watching(table);
    let metrics = LeaseMetrics::register(registry)?;
    let keeper = LeaseKeeper::new(Arc::new(table), settings, metrics, wanted)?;
    let replica = Replica { name, held: keeper.held(), table_read };
    Ok((keeper, replica))
}

fn spawn_loop<C: Cloud>(tasks: &mut Tasks, control_loop: ControlLoop<C>, shutdown: Shutdown) {
    tasks.spawn(LOOP, async move {
        control_loop.run(shutdown).await.map_err(|error| error.to_string())
    });
}

fn spawn_source(tasks: &mut Tasks, source: Source, shutdown: Shutdown) {
    tasks.spawn(MANIFESTS, async move {
        match source {
            Source::Directory(source) => source.run(shutdown).await,
            Source::Several(sources) => sources.run(shutdown).await,
        }
        Ok(())
    });
}

/// Who only observes tells nobody that a commit fares well or badly.
fn statuses(
    config: &Config,
    (report, desired): (&watch::Receiver<Arc<ManifestsReport>>, &watch::Sender<Arc<DesiredState>>),
    board: &Arc<StatusBoard>,
    replica: Option<Replica>,
    registry: &Registry,
) -> Result<Option<CommitStatuses>, StartError> {
    let followed = (report.clone(), desired.subscribe());
    let told = CommitStatuses::new(config, followed, board.clone(), replica, registry);
    let told = told.map_err(StartError::CommitStatus)?;
    Ok(told.filter(|_| config.mode == RunMode::Apply))
}

fn spawn_statuses(tasks: &mut Tasks, told: Option<CommitStatuses>, shutdown: Shutdown) {
    if let Some(told) = told {
        tasks.spawn(COMMIT_STATUS, async move {
            told.run(shutdown).await;
            Ok(())
        });
    }
}

fn spawn_http(
    tasks: &mut Tasks,
    listener: TcpListener,
    state: http::State,
    stop: CancellationToken,
) {
    tasks.spawn(HTTP, async move {
        http::serve(listener, http::router(state), stop).await;
        Ok(())
    });
}

fn spawn_keeper<S: LeaseStore>(tasks: &mut Tasks, keeper: LeaseKeeper<S>, shutdown: Shutdown) {
    tasks.spawn(LEASE, async move {
        keeper.run(shutdown).await;
        Ok(())
    });
}

fn log_start(config: &Config, address: SocketAddr, replica: Option<&Replica>) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        instance = config.instance,
        target_name = config.target,
        only_observes = (config.mode == RunMode::Observe).then_some(true),
        manifests = came_from(config),
        replica = replica.map(|replica| replica.name.as_str()),
        http = %address,
        "evenkeel started"
    );
}

fn came_from(config: &Config) -> String {
    let names: Vec<&str> = config.sources.iter().map(|one| one.name.as_str()).collect();
    if names.is_empty() { config.manifests.path.display().to_string() } else { names.join(", ") }
}

fn why_ended(ended: Result<Result<(), String>, JoinError>) -> String {
    match ended {
        Ok(Ok(())) => "it returned".to_owned(),
        Ok(Err(why)) => why,
        Err(error) => error.to_string(),
    }
}

/// Connects to AWS as configured, without a client that deletes services, and registers the metrics of that.
pub async fn connect(config: &Config, registry: &Registry) -> Result<AwsCloud, StartError> {
    connect_to(config, registry, false).await
}

async fn connect_to(
    config: &Config,
    registry: &Registry,
    deletes: bool,
) -> Result<AwsCloud, StartError> {
    let settings = AwsSettings {
        region: config.aws.region.clone(),
        endpoint_url: config.aws.endpoint_url.clone(),
        profile: config.aws.profile.clone(),
        share: config.aws.share,
        deletes,
        metrics: AwsMetrics::register(registry)?,
    };
    AwsCloud::connect(settings).await.map_err(|error| StartError::Aws(error.to_string()))
}

/// What the configuration says about the loop; the rest is the loop's own choice.
pub fn loop_settings(config: &Config) -> LoopSettings {
    LoopSettings {
        instance: config.instance.clone(),
        mode: match config.mode {
            RunMode::Apply => Mode::Apply,
            RunMode::Observe => Mode::DryRun,
        },
        passes_max: config.control_loop.passes,
        resync_every: config.control_loop.resync,
        look_again_max_in_rollout: config.control_loop.rollout_poll,
        pass_timeout: config.control_loop.pass_timeout,
        prune: config.prune.clone(),
        ..LoopSettings::default()
    }
}
