//! The lease table against moto's `DynamoDB`, which we did not write; never proves anything about AWS.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::Client;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use evenkeel_reconciler::{LeaseRecord, LeaseStore};
use prometheus::{Registry, TextEncoder};
use serde_json::{Value, json};

use super::LeaseTable;
use crate::cloud::AwsCloud;
use crate::http;
use crate::metrics::AwsMetrics;

/// The first start installs moto, or waits for another test that does.
const INSTALLATION: Duration = Duration::from_mins(15);

/// For one call; far more than it takes on a slow machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// `DynamoDB` checks and writes in one step. moto has no lock for that, so its requests are served one
/// at a time.
const SERVER: &str = "\
from werkzeug.serving import run_simple
from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
run_simple('127.0.0.1', 0, DomainDispatcherApplication(create_backend_app), threaded=False,
           request_handler=MotoRequestHandler)";

/// A server of moto with the table that `deploy/lease-table.json` defines.
struct Moto {
    server: Child,
    url: String,
    /// Read on, so that the server can go on writing.
    _log: Receiver<String>,
}

impl Moto {
    fn start() -> Self {
        let mut server =
            tool("python").args(["-c", SERVER]).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = server.stderr.take().unwrap();
        let (sender, log) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _unheard = sender.send(line);
            }
        });
        let deadline = Instant::now() + INSTALLATION;
        let url = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line: String = log.recv_timeout(left).expect("moto starts");
            if let Some((_, url)) = line.split_once("Running on ") {
                break url.trim().to_owned();
            }
        };
        let moto = Self { server, url, _log: log };
        moto.aws(&["create-table", "--cli-input-json", &format!("file://{}", definition())]);
        moto
    }

    /// What the AWS CLI prints for a command of `DynamoDB`.
    fn aws(&self, arguments: &[&str]) -> Value {
        let output = tool("aws")
            .args(["--endpoint-url", &self.url, "--output", "json", "dynamodb"])
            .args(arguments)
            .envs([("AWS_REGION", "eu-central-1"), ("AWS_DEFAULT_REGION", "eu-central-1")])
            .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
            .envs([("AWS_CONFIG_FILE", "/dev/null"), ("NO_PROXY", "127.0.0.1")])
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?} failed: {complaint}");
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// A store as one replica has it, with a client of its own.
    fn table(&self, installation: &str) -> LeaseTable {
        self.counted_table(installation, AwsMetrics::new().unwrap())
    }

    /// More patient than in production, for a machine that is busy.
    fn counted_table(&self, installation: &str, metrics: AwsMetrics) -> LeaseTable {
        let credentials = Credentials::new("test", "test", None, None, "test");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(&self.url)
            .http_client(http::client().unwrap())
            .build();
        let cloud = AwsCloud::with_config(&config, http::connector().unwrap(), 1.0, metrics);
        let table = cloud.lease_table("evenkeel-leases", installation);
        let patient = TimeoutConfig::builder().operation_timeout(PATIENCE).build();
        let config = table.client.config().to_builder().timeout_config(patient).build();
        LeaseTable { client: Client::from_conf(config), ..table }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _already_ended = self.server.kill();
        let _reaped = self.server.wait();
    }
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn definition() -> String {
    project().join("deploy/lease-table.json").display().to_string()
}

fn tool(name: &str) -> Command {
    let mut command = Command::new(project().join(".ci/tools"));
    command.args(["strangers", name]);
    command
}

fn record(holder: &str, epoch: u64, beat: u64) -> LeaseRecord {
    LeaseRecord { holder: holder.to_owned(), epoch, beat, version: 1 }
}

#[test]
fn the_definition_of_the_table_is_taken_and_protects_it() {
    let moto = Moto::start();
    let table = &moto.aws(&["describe-table", "--table-name", "evenkeel-leases"])["Table"];
    assert_eq!(table["DeletionProtectionEnabled"], true);
    assert_eq!(table["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST");
    let keys = json!([
        { "AttributeName": "installation", "KeyType": "HASH" },
        { "AttributeName": "record", "KeyType": "RANGE" },
    ]);
    assert_eq!(table["KeySchema"], keys);
}

#[tokio::test]
async fn a_lease_is_created_renewed_taken_over_and_released_by_who_knows_it_and_no_one_else() {
    let moto = Moto::start();
    let (one, two) = (moto.table("shop"), moto.table("shop"));
    let stored = async |store: &LeaseTable| store.read().await.unwrap().remove("shard-0");
    assert_eq!(stored(&one).await, None);

    let first = record("one", 1, 0);
    assert_eq!(one.put("shard-0", None, &first).await, Ok(true));
    assert_eq!(two.put("shard-0", None, &record("two", 1, 0)).await, Ok(false), "it exists");
    assert_eq!(stored(&two).await, Some(first.clone()));

    let renewed = record("one", 1, 1);
    assert_eq!(one.put("shard-0", Some(&first), &renewed).await, Ok(true));
    let stolen = record("two", 2, 0);
    for stale in [
        first.clone(),
        record("two", 1, 1),
        record("one", 2, 1),
        LeaseRecord { version: 2, ..renewed.clone() },
    ] {
        assert_eq!(two.put("shard-0", Some(&stale), &stolen).await, Ok(false), "{stale:?}");
        assert_eq!(two.remove("shard-0", &stale).await, Ok(false), "{stale:?}");
    }
    assert_eq!(stored(&two).await, Some(renewed.clone()));

    assert_eq!(two.put("shard-0", Some(&renewed), &stolen).await, Ok(true));
    assert_eq!(one.put("shard-0", Some(&renewed), &record("one", 1, 2)).await, Ok(false));
    assert_eq!(one.remove("shard-0", &renewed).await, Ok(false));
    assert_eq!(two.remove("shard-0", &stolen).await, Ok(true));
    assert_eq!(two.remove("shard-0", &stolen).await, Ok(false), "it is gone");
    assert_eq!(two.put("shard-0", Some(&stolen), &record("two", 2, 1)).await, Ok(false));
    assert_eq!(stored(&one).await, None);
}

#[tokio::test]
async fn a_lease_that_was_given_back_has_a_holder_without_a_name() {
    let moto = Moto::start();
    let store = moto.table("evenkeel/default");
    let (held, free) = (record("one#1", 3, 8), record("", 3, 9));
    assert_eq!(store.put("shard/default/prod", None, &held).await, Ok(true));
    assert_eq!(store.put("shard/default/prod", Some(&held), &free).await, Ok(true));
    assert_eq!(store.read().await.unwrap()["shard/default/prod"], free);
    let taken = record("two#7", 4, 0);
    assert_eq!(store.put("shard/default/prod", Some(&free), &taken).await, Ok(true));
}

#[tokio::test]
async fn a_record_that_a_person_garbled_cannot_be_taken_before_it_is_deleted() {
    let moto = Moto::start();
    let store = moto.table("shop");
    let key = r#"{ "installation": { "S": "shop" }, "record": { "S": "shard-0" } }"#;
    let garbled = key.replace("} }", r#"}, "holder": { "N": "1" } }"#);
    moto.aws(&["put-item", "--table-name", "evenkeel-leases", "--item", &garbled]);
    assert_eq!(store.read().await, Ok([].into()));
    assert_eq!(store.put("shard-0", None, &record("two", 1, 0)).await, Ok(false));
    moto.aws(&["delete-item", "--table-name", "evenkeel-leases", "--key", key]);
    assert_eq!(store.put("shard-0", None, &record("two", 1, 0)).await, Ok(true));
}

#[tokio::test]
async fn installations_that_share_a_table_do_not_see_each_other() {
    let moto = Moto::start();
    let (shop, bank) = (moto.table("shop"), moto.table("bank"));
    assert_eq!(shop.put("shard-0", None, &record("one", 1, 0)).await, Ok(true));
    assert_eq!(bank.read().await, Ok([].into()));
    assert_eq!(bank.put("shard-0", None, &record("two", 1, 0)).await, Ok(true));
    assert_eq!(shop.read().await.unwrap()["shard-0"].holder, "one");
}

#[tokio::test]
async fn records_beyond_a_page_are_read() {
    let moto = Moto::start();
    let registry = Registry::new();
    let store = moto.counted_table("shop", AwsMetrics::register(&registry).unwrap());
    // A page ends at about 1 MB.
    let holder = "x".repeat(150_000);
    let names: Vec<String> = (0..20).map(|n| format!("shard-{n:02}")).collect();
    for name in &names {
        assert_eq!(store.put(name, None, &record(&holder, 1, 0)).await, Ok(true));
    }
    let read = store.read().await.unwrap();
    assert_eq!(read.into_keys().collect::<Vec<_>>(), names);
    let metrics = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let calls = r#"evenkeel_aws_calls_total{operation="Query",outcome="ok"} 4"#;
    assert!(metrics.contains(calls), "3 MB are read in four pages: {metrics}");
}

#[tokio::test]
async fn of_two_stores_that_race_for_a_lease_exactly_one_wins_every_time() {
    let moto = Moto::start();
    let (one, two) = (moto.table("shop"), moto.table("shop"));
    let mut stored: Option<LeaseRecord> = None;
    let mut wins = [0, 0];
    for epoch in 1..=100 {
        let wanted = [record("one", epoch, 0), record("two", epoch, 0)];
        let [first, second] = &wanted;
        // The future that is polled first would always send first.
        let race = async |a: &LeaseTable, x: &LeaseRecord, b: &LeaseTable, y: &LeaseRecord| {
            let (won, lost) = (a.put("s", stored.as_ref(), x), b.put("s", stored.as_ref(), y));
            let (won, lost) = futures_util::future::join(won, lost).await;
            [won.unwrap(), lost.unwrap()]
        };
        let won = if epoch % 2 == 0 {
            race(&one, first, &two, second).await
        } else {
            let [of_two, of_one] = race(&two, second, &one, first).await;
            [of_one, of_two]
        };
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "epoch {epoch}: {won:?}");
        let winner = usize::from(won[1]);
        wins[winner] += 1;
        stored = one.read().await.unwrap().remove("s");
        assert_eq!(stored.as_ref(), Some(&wanted[winner]));
    }
    assert!(wins.iter().all(|wins| *wins > 0), "it was a race: {wins:?}");
}
