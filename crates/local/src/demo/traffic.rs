//! Steady requests through the load balancer, open loop: a slow answer never slows the next request
//! down, and no failure goes unrecorded.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::narrator::Narrator;

/// A user gives up after that long.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Requests until now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) requests: u64,
    pub(super) failed: u64,
    /// Answers by the version that the application says it is.
    pub(super) by_version: BTreeMap<String, u64>,
}

impl Counted {
    pub(super) fn by(&self, version: &str) -> u64 {
        self.by_version.get(version).copied().unwrap_or_default()
    }

    /// What came after `earlier`.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let news = self
            .by_version
            .iter()
            .map(|(version, count)| (version.clone(), count - earlier.by(version)));
        Self {
            requests: self.requests - earlier.requests,
            failed: self.failed - earlier.failed,
            by_version: news.filter(|(_, count)| *count > 0).collect(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Traffic {
    counted: Arc<Mutex<Counted>>,
    end: CancellationToken,
    sending: JoinSet<()>,
}

impl Traffic {
    /// Begins at once, with `rate` requests per second; a narrator is told of failures.
    pub(super) fn start(target: SocketAddr, rate: u32, narrator: Option<Narrator>) -> Self {
        let counted: Arc<Mutex<Counted>> = Arc::default();
        let end = CancellationToken::new();
        let mut sending = JoinSet::new();
        sending.spawn(send_all(target, rate, Arc::clone(&counted), narrator, end.clone()));
        Self { counted, end, sending }
    }

    /// Requests that were answered or failed.
    pub(super) fn counted(&self) -> Counted {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends nothing more, and waits for the answers that are still out.
    pub(super) async fn stop(mut self) -> Counted {
        self.end.cancel();
        while self.sending.join_next().await.is_some() {}
        self.counted()
    }
}

async fn send_all(
    target: SocketAddr,
    rate: u32,
    counted: Arc<Mutex<Counted>>,
    narrator: Option<Narrator>,
    end: CancellationToken,
) {
    let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build_http();
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut requests = JoinSet::new();
    loop {
        tokio::select! {
            () = end.cancelled() => break,
            Some(_) = requests.join_next() => {}
            _ = ticks.tick() => {
                let (client, counted, narrator) = (client.clone(), Arc::clone(&counted), narrator.clone());
                requests.spawn(async move {
                    let answer = send(&client, target).await;
                    record(&counted, answer.as_deref().ok());
                    if let (Err(failure), Some(narrator)) = (answer, narrator) {
                        narrator.failed_request(&failure);
                    }
                });
            }
        }
    }
    requests.join_all().await;
}

/// Returns the version that answered; fails for anything but a complete answer of the application.
async fn send(
    client: &Client<HttpConnector, Empty<Bytes>>,
    target: SocketAddr,
) -> Result<String, String> {
    let uri = format!("http://{target}/").parse().map_err(|error| format!("{error}"))?;
    let answer = async {
        let response = client.get(uri).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
        let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        if status.is_success() && body.starts_with('v') {
            return Ok(body);
        }
        Err(format!("the answer was {status}"))
    };
    timeout(TIMEOUT, answer)
        .await
        .unwrap_or_else(|_| Err(format!("no answer in {} s", TIMEOUT.as_secs())))
}

fn record(counted: &Mutex<Counted>, version: Option<&str>) {
    let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
    counted.requests += 1;
    match version {
        Some(version) => *counted.by_version.entry(version.to_owned()).or_default() += 1,
        None => counted.failed += 1,
    }
}
