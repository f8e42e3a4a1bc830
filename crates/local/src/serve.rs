//! `evenkeel-local serve`: the region alone, until it is interrupted.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use evenkeel_simulator::ApiError;
use tokio::signal::unix::{SignalKind, signal};

use crate::catalogue::{Catalogue, CatalogueError};
use crate::front::{create_cluster, create_load_balancer};
use crate::server::{Server, ServerError, ServerSettings};

#[derive(Clone, Debug, clap::Args)]
pub struct ServeArguments {
    /// The port of 127.0.0.1 on which all AWS APIs are spoken; 0 takes a free one.
    #[arg(long, default_value_t = 4599)]
    port: u16,
    /// How much faster than here time passes in the region.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// A TOML file with one [[image]] table (name, program, arguments, command, environment) for
    /// each image that tasks may use besides the demo application, evenkeel-demo:v1 to :v6.
    #[arg(long, value_name = "FILE")]
    catalogue: Option<PathBuf>,
    /// Decides all that is random in the region.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Also create a load balancer `demo` with a listener on this port (8080 if none is given)
    /// and a target group `demo`.
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "8080")]
    with_alb: Option<u16>,
    /// Write the output of each container to DIR/TASK/CONTAINER.log.
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
    /// Refuse calls above AWS's own rates, as AWS does.
    #[arg(long)]
    throttling: bool,
}

/// How long the targets of `--with-alb` drain: shorter than AWS's 300 s, for who waits for it.
const DRAIN: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("setting up the region failed: {0}")]
    SetUp(#[from] ApiError),
    #[error("signals cannot be received: {0}")]
    Signal(#[from] std::io::Error),
}

/// Serves until SIGINT or SIGTERM.
pub async fn run(arguments: ServeArguments) -> Result<(), ServeError> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut catalogue = Catalogue::shipped()?;
    if let Some(file) = &arguments.catalogue {
        catalogue = catalogue.with_file(file)?;
    }
    let mut server = Server::start(ServerSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], arguments.port)),
        speed: arguments.speed,
        seed: arguments.seed,
        logs: arguments.logs,
        throttling: arguments.throttling,
        ..ServerSettings::new(catalogue)
    })
    .await?;
    create_cluster(server.region(), "default")?;
    let target_group = match arguments.with_alb {
        Some(port) => Some((port, create_load_balancer(server.region(), "demo", port, DRAIN)?)),
        None => None,
    };
    announce(&server, arguments.speed, target_group.as_ref());
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        error = server.failed() => return Err(error.into()),
    }
    Ok(server.stop().await?)
}

/// What a user copies. Output that nobody reads is no reason to stop.
fn announce(server: &Server, speed: f64, target_group: Option<&(u16, String)>) {
    let mut text = format!(
        "# A local region of ECS, {speed} times as fast as time here. Ctrl-C ends it.\n\
         export AWS_ENDPOINT_URL={}\n\
         export AWS_REGION=us-east-1\n\
         export AWS_DEFAULT_REGION=us-east-1\n\
         export AWS_ACCESS_KEY_ID=local\n\
         export AWS_SECRET_ACCESS_KEY=local\n",
        server.endpoint()
    );
    if let Some((port, arn)) = target_group {
        writeln!(text, "# load balancer: http://127.0.0.1:{port}").ok();
        writeln!(text, "# target group:  {arn}").ok();
    }
    let mut stdout = std::io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).ok();
}
