//! Configuration as any AWS tool reads it, and the clients made from it; never holds a credential of
//! its own.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::{AppName, BehaviorVersion, Region};
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
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
use crate::signed::Signed;

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
    /// Whether services may be deleted: without it there is no client that could.
    pub deletes: bool,
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
/// `DynamoDB` answers within 10 ms. A renewal that takes longer than this must be known to have
/// failed while there is time for another.
const LEASE_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);
/// An attempt and the fetching of credentials before it.
const LEASE_OPERATION_TIMEOUT: Duration = Duration::from_secs(2);

impl AwsCloud {
    /// Reads the configuration and makes the clients. Credentials are fetched when first needed: a
    /// lack of them shows as [`evenkeel_reconciler::CloudError::Denied`] of the first call.
    pub async fn connect(settings: AwsSettings) -> Result<Self, ConnectError> {
        if !(settings.share > 0.0 && settings.share <= 1.0) {
            return Err(ConnectError::Share(settings.share));
        }
        let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http::client()?);
        let config = load(&settings, loader).await?;
        let cloud =
            Self::with_config(&config, http::connector()?, settings.share, settings.metrics);
        if settings.deletes {
            cloud.caller.grant_deletes();
        }
        Ok(cloud)
    }

    pub(crate) fn with_config(
        config: &SdkConfig,
        connector: SharedHttpConnector,
        share: f64,
        metrics: AwsMetrics,
    ) -> Self {
        let clock = Arc::new(Clock::new(Timestamp::now()));
        let caller = caller(config, share, metrics, &clock);
        Self::new(caller, clock, Signed::new(config, connector))
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
        ($service:ident, $timeouts:expr) => {
            $service::Client::from_conf(
                $service::config::Builder::from(config)
                    .app_name(app_name.clone())
                    .retry_config(RetryConfig::disabled())
                    .timeout_config($timeouts)
                    .interceptor(ClockListener(Arc::clone(clock)))
                    .build(),
            )
        };
    }
    let patient = timeouts(CONNECT_TIMEOUT, ATTEMPT_TIMEOUT, OPERATION_TIMEOUT);
    let hasty = timeouts(LEASE_ATTEMPT_TIMEOUT, LEASE_ATTEMPT_TIMEOUT, LEASE_OPERATION_TIMEOUT);
    let budget = Arc::new(Budget::new(share));
    metrics.watch(&budget);
    Caller {
        ecs: client!(aws_sdk_ecs, patient.clone()),
        deleter: OnceLock::new(),
        load_balancing: client!(aws_sdk_elasticloadbalancingv2, patient.clone()),
        code_deploy: client!(aws_sdk_codedeploy, patient.clone()),
        cloudwatch: client!(aws_sdk_cloudwatch, patient),
        dynamodb: client!(aws_sdk_dynamodb, hasty),
        budget,
        metrics,
        capabilities: Capabilities::default(),
    }
}

fn timeouts(connect: Duration, attempt: Duration, operation: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(connect)
        .operation_attempt_timeout(attempt)
        .operation_timeout(operation)
        .build()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::Command;

    use aws_credential_types::credential_fn::provide_credentials_fn;
    use aws_credential_types::provider::SharedCredentialsProvider;
    use aws_credential_types::provider::error::CredentialsError;
    use evenkeel_manifest::ServiceKey;
    use evenkeel_planner::{Action, Call, Lane, Questions};
    use evenkeel_reconciler::{Cloud, CloudError};
    use serde_json::json;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::fake::{Fake, ok};

    fn settings() -> AwsSettings {
        let metrics = AwsMetrics::new().unwrap();
        AwsSettings {
            region: None,
            endpoint_url: None,
            profile: None,
            share: 1.0,
            deletes: false,
            metrics,
        }
    }

    #[tokio::test]
    async fn a_share_that_is_none_or_more_than_all_is_refused() {
        for share in [0.0, -1.0, 1.5, f64::NAN] {
            let refused = AwsCloud::connect(AwsSettings { share, ..settings() }).await;
            assert!(matches!(refused, Err(ConnectError::Share(_))), "{share}");
        }
    }

    /// The environment of a process cannot be changed safely, so each case is a process of its own:
    /// this test again, which then prints where the calls to the five services go.
    #[tokio::test]
    async fn endpoints_come_from_where_every_aws_tool_takes_them() {
        const CASE: &str = "EVENKEEL_TEST_ENDPOINT_URL";
        if let Ok(endpoint_url) = std::env::var(CASE) {
            let endpoint_url = Some(endpoint_url).filter(|url| !url.is_empty());
            return print_endpoints(AwsSettings { endpoint_url, ..settings() }).await;
        }
        let profiles = tempfile::NamedTempFile::new().unwrap();
        let text = "[default]\nregion = eu-north-1\nservices = mine\n\
                    [services mine]\necs =\n  endpoint_url = http://profile-ecs\n";
        std::fs::write(profiles.path(), text).unwrap();
        let aws = [
            "https://ecs.eu-north-1.amazonaws.com/",
            "https://elasticloadbalancing.eu-north-1.amazonaws.com/",
            "https://monitoring.eu-north-1.amazonaws.com/",
            "https://dynamodb.eu-north-1.amazonaws.com/",
            "https://codedeploy.eu-north-1.amazonaws.com/",
        ];
        let config = ("AWS_CONFIG_FILE", profiles.path().to_str().unwrap());
        let region = ("AWS_REGION", "eu-north-1");
        let all = ("AWS_ENDPOINT_URL", "http://all");
        let ecs = ("AWS_ENDPOINT_URL_ECS", "http://ecs");
        let cloudwatch = ("AWS_ENDPOINT_URL_CLOUDWATCH", "http://cw");
        let balancing = ("AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2", "http://elb");
        let dynamodb = ("AWS_ENDPOINT_URL_DYNAMODB", "http://ddb");
        let code_deploy = ("AWS_ENDPOINT_URL_CODEDEPLOY", "http://cd");
        let set = (CASE, "http://set");
        let cases: [Case<'_>; 6] = [
            (&[region], aws),
            (&[region, all], ["http://all/"; 5]),
            (
                &[region, all, ecs, cloudwatch, balancing, dynamodb, code_deploy],
                ["http://ecs/", "http://elb/", "http://cw/", "http://ddb/", "http://cd/"],
            ),
            (&[config], ["http://profile-ecs/", aws[1], aws[2], aws[3], aws[4]]),
            (&[config, ecs], ["http://ecs/", aws[1], aws[2], aws[3], aws[4]]),
            (&[config, all, ecs, set], ["http://set/"; 5]),
        ];
        for (environment, expected) in cases {
            assert_eq!(endpoints_in(environment, CASE), expected, "{environment:?}");
        }
    }

    /// An environment, and where calls to ECS, Elastic Load Balancing, `CloudWatch`, `DynamoDB` and
    /// CodeDeploy go in it.
    type Case<'a> = (&'a [(&'a str, &'a str)], [&'a str; 5]);

    fn endpoints_in(environment: &[(&str, &str)], case: &str) -> Vec<String> {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("connect::tests::endpoints_come_from_where_every_aws_tool_takes_them")
            .env_clear()
            .env(case, "")
            .envs([("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")])
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter_map(|line| line.split("called ").nth(1)).map(str::to_owned).collect()
    }

    async fn print_endpoints(settings: AwsSettings) {
        let fake = Fake::new(|_| ok(&json!({})));
        let loader = aws_config::defaults(BehaviorVersion::latest());
        let config = load(&settings, loader.http_client(fake.http_client())).await.unwrap();
        let connector = http::connector().unwrap();
        let cloud = AwsCloud::with_config(&config, connector, 1.0, settings.metrics);
        let caller = &cloud.caller;
        drop(caller.ecs.list_clusters().send().await);
        drop(caller.load_balancing.describe_load_balancers().send().await);
        drop(caller.cloudwatch.describe_alarms().send().await);
        drop(caller.dynamodb.list_tables().send().await);
        drop(caller.code_deploy.list_applications().send().await);
        for request in fake.requests() {
            let host = request.uri.split("service/").next().unwrap();
            writeln!(std::io::stdout(), "called {host}").unwrap();
        }
    }

    /// A cloud behind real sockets.
    async fn cloud_at(scheme: &str, address: std::net::SocketAddr) -> AwsCloud {
        let settings = AwsSettings {
            region: Some("eu-west-1".to_owned()),
            endpoint_url: Some(format!("{scheme}://{address}")),
            ..settings()
        };
        let credentials =
            aws_credential_types::Credentials::new("id", "secret", None, None, "test");
        let loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http::client().unwrap())
            .credentials_provider(credentials);
        let config = load(&settings, loader).await.unwrap();
        AwsCloud::with_config(&config, http::connector().unwrap(), 1.0, settings.metrics)
    }

    async fn write(cloud: &AwsCloud) -> CloudError {
        let call = Call::UpdateService { input: json!({ "service": "web" }) };
        let action = Action { call, lane: Lane::NewChange, why: String::new() };
        cloud.apply(&ServiceKey::new("main", "web"), &action).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_write_that_never_left_can_be_made_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = write(&cloud_at("http", address).await).await;
        assert_eq!(error.class(), "transient", "{error}");
    }

    #[tokio::test]
    async fn a_connection_that_ends_without_a_reply_leaves_a_write_unknown() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cloud = cloud_at("http", listener.local_addr().unwrap()).await;
        let hang_up = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut [0; 100]).await.unwrap();
        };
        let (error, ()) = futures_util::future::join(write(&cloud), hang_up).await;
        assert_eq!(error.class(), "unknown_outcome", "{error}");
    }

    #[tokio::test]
    async fn a_write_whose_tls_handshake_fails_can_be_made_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cloud = cloud_at("https", listener.local_addr().unwrap()).await;
        let hang_up = async { drop(listener.accept().await.unwrap()) };
        let (error, ()) = futures_util::future::join(write(&cloud), hang_up).await;
        assert_eq!(error.class(), "transient", "{error}");
    }

    #[tokio::test]
    async fn without_credentials_a_call_is_denied_and_says_so() {
        let fake = Fake::new(|_| ok(&json!({})));
        let none =
            provide_credentials_fn(|| async { Err(CredentialsError::not_loaded("none set")) });
        let cloud = fake.cloud_of(SharedCredentialsProvider::new(none));
        assert_eq!(write(&cloud).await.class(), "denied");
        let questions = Questions::shallow();
        let look = cloud.observe(&ServiceKey::new("main", "web"), &questions).await;
        assert_eq!(look.unwrap_err().class(), "denied");
        assert!(fake.requests().is_empty());
    }
}
