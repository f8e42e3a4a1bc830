//! Configuration as any AWS tool reads it, and the clients made from it; never holds a credential of
//! its own.

use std::sync::Arc;
use std::time::Duration;

use aws_config::{AppName, BehaviorVersion, Region};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use jiff::Timestamp;

use crate::caller::{Caller, Capabilities};
use crate::clock::{Clock, ClockListener};
use crate::cloud::AwsCloud;
use crate::family::Budget;
use crate::http::{self, CaBundleError};
use crate::metrics::AwsMetrics;

/// What may be set besides AWS's own configuration (environment, profiles, metadata services);
/// `None` leaves it to that.
#[derive(Clone, Debug)]
pub struct AwsSettings {
    pub region: Option<String>,
    /// For all services; goes before `AWS_ENDPOINT_URL_ECS` and the like.
    pub endpoint_url: Option<String>,
    pub profile: Option<String>,
    /// The part of each of AWS's token buckets that is ours, above 0 and at most 1. The rest is left
    /// to the console and to other tools, which draw from the same buckets.
    pub share: f64,
    pub metrics: AwsMetrics,
}

impl AwsSettings {
    /// Half of each bucket.
    pub const DEFAULT_SHARE: f64 = 0.5;
}

/// Why there is no connection; a person must change the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("no AWS region: set aws.region, AWS_REGION, or region in the profile of ~/.aws/config")]
    NoRegion,
    #[error("aws.share is {0}: it must be above 0 and at most 1")]
    Share(f64),
    #[error(transparent)]
    CaBundle(#[from] CaBundleError),
}

/// Long enough for another continent, short enough that a pass notices a dead route.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// ECS answers within a second or two; CreateService with Service Connect takes several.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// An attempt and the fetching of credentials before it.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);

impl AwsCloud {
    /// Reads the configuration and makes the clients. Credentials are fetched when first needed: a
    /// lack of them shows as [`evenkeel_reconciler::CloudError::Denied`] of the first call.
    pub async fn connect(settings: AwsSettings) -> Result<Self, ConnectError> {
        if !(settings.share > 0.0 && settings.share <= 1.0) {
            return Err(ConnectError::Share(settings.share));
        }
        let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http::client()?);
        let config = load(&settings, loader).await?;
        Ok(Self::with_config(&config, settings.share, settings.metrics))
    }

    pub(crate) fn with_config(config: &SdkConfig, share: f64, metrics: AwsMetrics) -> Self {
        let clock = Arc::new(Clock::new(Timestamp::now()));
        let caller = caller(config, share, metrics, &clock);
        Self::new(caller, clock)
    }
}

async fn load(
    settings: &AwsSettings,
    mut loader: aws_config::ConfigLoader,
) -> Result<SdkConfig, ConnectError> {
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(endpoint_url) = &settings.endpoint_url {
        loader = loader.endpoint_url(endpoint_url);
    }
    let config = loader.load().await;
    if config.region().is_none() {
        return Err(ConnectError::NoRegion);
    }
    Ok(config)
}

/// The queue's back-off decides about retries, so the SDK makes none. Clients that fetch credentials
/// keep the SDK's defaults: they are set up before.
fn caller(config: &SdkConfig, share: f64, metrics: AwsMetrics, clock: &Arc<Clock>) -> Caller {
    let app_name = AppName::new("evenkeel").expect("letters are allowed in an app name");
    macro_rules! client {
        ($service:ident) => {
            $service::Client::from_conf(
                $service::config::Builder::from(config)
                    .app_name(app_name.clone())
                    .retry_config(RetryConfig::disabled())
                    .timeout_config(timeouts())
                    .interceptor(ClockListener(Arc::clone(clock)))
                    .build(),
            )
        };
    }
    let budget = Arc::new(Budget::new(share));
    metrics.watch(&budget);
    Caller {
        ecs: client!(aws_sdk_ecs),
        load_balancing: client!(aws_sdk_elasticloadbalancingv2),
        cloudwatch: client!(aws_sdk_cloudwatch),
        budget,
        metrics,
        capabilities: Capabilities::default(),
    }
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build()
}
