//! Steady requests through the load balancer, open loop: a slow answer never slows the next request
//! down, and no failure goes unrecorded.

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
}

#[derive(Debug)]
pub(super) struct Traffic {
    counted: Arc<Mutex<Counted>>,
    end: CancellationToken,
    sending: JoinSet<()>,
}

impl Traffic {
    /// Begins at once, with `rate` requests per second.
    pub(super) fn start(target: SocketAddr, rate: u32, narrator: Narrator) -> Self {
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
    narrator: Narrator,
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
                    let failure = send(&client, target).await.err();
                    record(&counted, failure.is_some());
                    if let Some(failure) = failure {
                        narrator.failed_request(&failure);
                    }
                });
            }
        }
    }
    requests.join_all().await;
}

/// Fails for anything but a complete answer of the application.
async fn send(
    client: &Client<HttpConnector, Empty<Bytes>>,
    target: SocketAddr,
) -> Result<(), String> {
    let uri = format!("http://{target}/").parse().map_err(|error| format!("{error}"))?;
    let answer = async {
        let response = client.get(uri).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
        if status.is_success() && body.to_bytes().starts_with(b"v") {
            return Ok(());
        }
        Err(format!("the answer was {status}"))
    };
    timeout(TIMEOUT, answer)
        .await
        .unwrap_or_else(|_| Err(format!("no answer in {} s", TIMEOUT.as_secs())))
}

fn record(counted: &Mutex<Counted>, failed: bool) {
    let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
    counted.requests += 1;
    counted.failed += u64::from(failed);
}
