//! `evenkeel-local serve`: the region alone, until it is interrupted.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use evenkeel_simulator::{Api, ApiError};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::catalogue::{Catalogue, CatalogueError};
use crate::live_region::LiveRegion;
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

pub(crate) fn create_cluster(region: &LiveRegion, name: &str) -> Result<(), ApiError> {
    region.call(Api::Ecs, "CreateCluster", &json!({"clusterName": name})).map(drop)
}

/// A load balancer with one listener that forwards to one target group of IP addresses, on port
/// 8080 with the health path `/health`; its targets drain for that long. Returns the target group's ARN.
pub(crate) fn create_load_balancer(
    region: &LiveRegion,
    name: &str,
    port: u16,
    drain: Duration,
) -> Result<String, ApiError> {
    let elb =
        |operation: &str, input: &Value| region.call(Api::ElasticLoadBalancingV2, operation, input);
    let subnets = json!(["subnet-0000000000000000a", "subnet-0000000000000000b"]);
    let balancer = elb("CreateLoadBalancer", &json!({"Name": name, "Subnets": subnets}))?;
    let group = elb(
        "CreateTargetGroup",
        &json!({
            "Name": name, "Protocol": "HTTP", "Port": 8080, "TargetType": "ip",
            "VpcId": "vpc-00000000000000000", "HealthCheckPath": "/health",
            "HealthCheckIntervalSeconds": 10, "HealthCheckTimeoutSeconds": 5,
            "HealthyThresholdCount": 2, "UnhealthyThresholdCount": 2,
        }),
    )?;
    let arn_in = |reply: &Value, pointer: &str| {
        reply.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let group_arn = arn_in(&group, "/TargetGroups/0/TargetGroupArn");
    let delay = json!([{"Key": "deregistration_delay.timeout_seconds", "Value": drain.as_secs().to_string()}]);
    let attributes = json!({"TargetGroupArn": group_arn, "Attributes": delay});
    elb("ModifyTargetGroupAttributes", &attributes)?;
    elb(
        "CreateListener",
        &json!({
            "LoadBalancerArn": arn_in(&balancer, "/LoadBalancers/0/LoadBalancerArn"),
            "Protocol": "HTTP", "Port": port,
            "DefaultActions": [{"Type": "forward", "TargetGroupArn": group_arn}],
        }),
    )?;
    Ok(group_arn)
}
