//! The region's load balancers as a real HTTP proxy; never decides which target is healthy.

mod counts;
mod health_check;
mod proxy;
mod routing;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use evenkeel_simulator::Happening;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

pub use counts::{Counts, Route, RouteCounts};
use health_check::Check;
use proxy::Proxy;
use routing::Routing;

use crate::live_region::LiveRegion;

/// How long open connections may go on when a listener closes.
const CLOSING_TIME: Duration = Duration::from_secs(2);

/// How often the region is told of requests, in its own time, and at most in real time.
const REPORT_EACH: Duration = Duration::from_secs(1);
const REPORT_AT_MOST_EACH: Duration = Duration::from_millis(20);

/// Serves every listener of the region on 127.0.0.1 and sends every target's health checks.
#[derive(Debug)]
pub struct Balancer {
    region: LiveRegion,
    routing: SharedRouting,
    proxy: Arc<Proxy>,
    counts: Counts,
    work: JoinSet<()>,
    reporting: AbortHandle,
    ports: HashMap<u16, CancellationToken>,
    checks: HashMap<Check, AbortHandle>,
}

/// The routing in force, replaced as a whole.
#[derive(Clone, Debug, Default)]
struct SharedRouting(Arc<RwLock<Arc<Routing>>>);

impl SharedRouting {
    fn get(&self) -> Arc<Routing> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, routing: Routing) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(routing);
    }
}

impl Balancer {
    pub fn new(region: LiveRegion) -> Self {
        let (routing, counts) = (SharedRouting::default(), Counts::default());
        let proxy = Arc::new(Proxy::new(routing.clone(), counts.clone()));
        let mut work = JoinSet::new();
        let reporting = work.spawn(report(counts.clone(), region.clone()));
        Self {
            region,
            routing,
            proxy,
            counts,
            work,
            reporting,
            ports: HashMap::new(),
            checks: HashMap::new(),
        }
    }

    /// What went through, by listener and target group.
    pub fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// Takes over what the region says now: listeners, rules, weights and targets.
    pub(crate) async fn refresh(&mut self) {
        let routing = self.region.with(|region| Routing::read(region));
        self.follow_targets(&routing);
        let ports = routing.ports();
        self.routing.set(routing);
        self.ports.retain(|port, closed| {
            let wanted = ports.contains(port);
            if !wanted {
                closed.cancel();
            }
            wanted
        });
        for port in ports {
            self.open(port).await;
        }
    }

    /// A port that cannot be had is reported and tried again at the next change.
    async fn open(&mut self, port: u16) {
        if self.ports.contains_key(&port) {
            return;
        }
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        match TcpListener::bind(address).await {
            Err(error) => tracing::error!(
                %address, %error,
                "the load balancer cannot listen; create its listener on another port"
            ),
            Ok(listener) => {
                tracing::info!(%address, "the load balancer listens");
                let closed = CancellationToken::new();
                self.ports.insert(port, closed.clone());
                self.work.spawn(serve(listener, port, Arc::clone(&self.proxy), closed));
            }
        }
    }

    /// Begins the health checks of new targets and ends those of targets that went away.
    fn follow_targets(&mut self, routing: &Routing) {
        let wanted = routing.checks();
        self.checks.retain(|check, task| {
            let keep = wanted.contains(check);
            if !keep {
                task.abort();
            }
            keep
        });
        for check in wanted {
            if !self.checks.contains_key(&check) {
                let task = self.work.spawn(health_check::watch(check.clone(), self.region.clone()));
                self.checks.insert(check, task);
            }
        }
    }

    /// Returns when a part of the balancer has ended; waits for ever while there is none.
    pub(crate) async fn ended(&mut self) -> Result<(), JoinError> {
        match self.work.join_next().await {
            Some(Err(error)) if !error.is_cancelled() => Err(error),
            Some(_) => Ok(()),
            None => std::future::pending().await,
        }
    }

    /// Closes all listeners once the requests in flight are answered.
    pub(crate) async fn close(mut self) {
        self.reporting.abort();
        self.checks.values().for_each(AbortHandle::abort);
        self.ports.values().for_each(CancellationToken::cancel);
        while self.work.join_next().await.is_some() {}
    }
}

/// Tells the region of requests, a second at a time.
async fn report(counts: Counts, region: LiveRegion) {
    let period = region.clock().real(REPORT_EACH).max(REPORT_AT_MOST_EACH);
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        region.report(Happening::BalancersReport(counts.take_unreported()));
    }
}

/// Takes connections until the listener is closed, then lets the open ones finish.
async fn serve(listener: TcpListener, port: u16, proxy: Arc<Proxy>, closed: CancellationToken) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let (stream, client) = tokio::select! {
            () = closed.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    wait_out(&error).await;
                    continue;
                }
            },
        };
        stream.set_nodelay(true).ok();
        let proxy = Arc::clone(&proxy);
        let answer = service_fn(move |request: hyper::Request<Incoming>| {
            let proxy = Arc::clone(&proxy);
            async move { Ok::<_, std::convert::Infallible>(proxy.answer(port, client, request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), answer);
        connections.spawn(graceful.watch(connection));
    }
    drop(listener);
    tokio::time::timeout(CLOSING_TIME, graceful.shutdown()).await.ok();
}

/// Out of file descriptors, or the client is gone already: the next accept may do better.
async fn wait_out(error: &io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::time::sleep(Duration::from_millis(50)).await;
}
