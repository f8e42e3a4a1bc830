//! A whole local region: door, driver, tasks and load balancer, started and ended together.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use evenkeel_simulator::{Effect, Settings};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::balancer::{Balancer, Counts};
use crate::catalogue::Catalogue;
use crate::clock::{BadSpeed, Clock};
use crate::door::{CallLog, Door};
use crate::live_region::LiveRegion;
use crate::tasks::{Places, Stop, TaskNews, TaskOutput, Tasks};

/// What a local region is started with.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Where the AWS APIs are spoken; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The region's time runs faster by this factor.
    pub speed: f64,
    pub seed: u64,
    pub catalogue: Catalogue,
    /// Takes the output of containers.
    pub logs: Option<PathBuf>,
    /// Twelve digits.
    pub account: String,
    /// `us-east-1`
    pub region: String,
    /// Whether calls above AWS's rates are refused.
    pub throttling: bool,
    /// Gives tasks ports of 127.0.0.1 even where each could have an address of its own.
    pub shared_address: bool,
}

impl ServerSettings {
    pub fn new(catalogue: Catalogue) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            speed: 1.0,
            seed: 1,
            catalogue,
            logs: None,
            account: "123456789012".to_owned(),
            region: "us-east-1".to_owned(),
            throttling: true,
            shared_address: false,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(transparent)]
    Speed(#[from] BadSpeed),
    #[error("cannot listen on {address}: {source}; choose another with --port")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("serving the AWS APIs failed: {0}")]
    Serve(#[from] io::Error),
    #[error("a part of the region ended unexpectedly: {0}")]
    Part(#[from] JoinError),
}

/// A local region that runs until it is told to end.
#[derive(Debug)]
pub struct Server {
    region: LiveRegion,
    address: SocketAddr,
    calls: CallLog,
    counts: Counts,
    output: TaskOutput,
    news: TaskNews,
    end: CancellationToken,
    parts: JoinSet<Result<(), ServerError>>,
}

impl Server {
    pub async fn start(settings: ServerSettings) -> Result<Self, ServerError> {
        let clock = Clock::start(Timestamp::now(), settings.speed)?;
        let model = Settings {
            account: settings.account,
            region: settings.region.clone(),
            seed: settings.seed,
            throttling: settings.throttling,
        };
        let region = LiveRegion::new(model, clock);
        let address = settings.listen;
        let listen = |source| ServerError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;

        let (calls, end) = (CallLog::default(), CancellationToken::new());
        let places =
            if settings.shared_address { Places::shared_address() } else { Places::detect() };
        let tasks =
            Tasks::new(region.clone(), &settings.region, settings.catalogue, places, settings.logs);
        let balancer = Balancer::new(region.clone());
        let (output, news, counts) = (tasks.output(), tasks.news(), balancer.counts());
        let mut parts = JoinSet::new();
        let door = Door::new(region.clone(), calls.clone());
        parts.spawn(serve(listener, door, end.clone()));
        parts.spawn(drive(region.clone(), tasks, balancer, end.clone()));
        Ok(Self { region, address, calls, counts, output, news, end, parts })
    }

    /// `http://127.0.0.1:4599`
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn region(&self) -> &LiveRegion {
        &self.region
    }

    pub fn calls(&self) -> &CallLog {
        &self.calls
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    pub fn output(&self) -> &TaskOutput {
        &self.output
    }

    pub fn news(&self) -> &TaskNews {
        &self.news
    }

    /// Returns when a part of the region has ended by itself, which is a failure.
    pub async fn failed(&mut self) -> ServerError {
        match self.parts.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => error.into(),
            Some(Ok(Ok(()))) | None => {
                io::Error::other("a part of the region ended without being told to").into()
            }
        }
    }

    /// Ends the region: no process of it is left when this returns.
    pub async fn stop(mut self) -> Result<(), ServerError> {
        self.end.cancel();
        while let Some(part) = self.parts.join_next().await {
            part??;
        }
        Ok(())
    }
}

async fn serve(
    listener: TcpListener,
    door: Door,
    end: CancellationToken,
) -> Result<(), ServerError> {
    let ended = end.cancelled_owned();
    Ok(axum::serve(listener, door.router()).with_graceful_shutdown(ended).await?)
}

/// Moves the region with the clock and carries out what it wants done.
async fn drive(
    region: LiveRegion,
    mut tasks: Tasks,
    mut balancer: Balancer,
    end: CancellationToken,
) -> Result<(), ServerError> {
    while !end.is_cancelled() {
        let (effects, wake_up) = region.step();
        for effect in effects {
            carry_out(effect, &mut tasks, &mut balancer).await;
        }
        tokio::select! {
            () = region.wait(wake_up) => {}
            () = end.cancelled() => {}
            ended = tasks.ended() => ended?,
            ended = balancer.ended() => ended?,
        }
    }
    balancer.close().await;
    tasks.kill_all().await;
    Ok(())
}

async fn carry_out(effect: Effect, tasks: &mut Tasks, balancer: &mut Balancer) {
    tracing::debug!(?effect, "carrying out");
    match effect {
        Effect::StartTask(launch) => tasks.start(launch),
        Effect::SignalTask { task } => tasks.stop(&task, Stop::Signal),
        Effect::KillTask { task } => tasks.stop(&task, Stop::Kill),
        Effect::LoadBalancingChanged => balancer.refresh().await,
    }
}
