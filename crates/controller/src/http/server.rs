//! Accepts connections within limits; never lets a slow or greedy client take anything from the
//! rest of the process.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Prometheus, a probe, a few people: anything beyond waits in the backlog.
const CONNECTIONS_MAX: usize = 64;
/// From the beginning of a connection, or the end of a request, to the end of the next head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// However slowly it is read, an answer does not keep a connection for longer.
const CONNECTION_LIFETIME: Duration = Duration::from_mins(2);
/// A request that is being answered at the end may take this long.
const FAREWELL: Duration = Duration::from_secs(2);
/// After an error such as "too many open files", which does not go away by itself at once.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Serves until `stop`, then ends the connections that are left.
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        // Cancel-safe: neither a permit nor a connection is taken before its future is ready.
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_ended) = connections.join_next() => continue,
            accepted = accept(&listener, &free) => accepted,
        };
        let Some((stream, permit)) = accepted else { continue };
        let (router, stop) = (router.clone(), stop.clone());
        connections.spawn(async move {
            connection(stream, router, stop).await;
            drop(permit);
        });
    }
    drop(listener);
    // What is not done in time is dropped with the set.
    let _in_time =
        timeout(FAREWELL, async { while connections.join_next().await.is_some() {} }).await;
}

async fn accept(
    listener: &TcpListener,
    free: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = free.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _peer)) => Some((stream, permit)),
        Err(error) => {
            tracing::warn!(%error, "an HTTP connection could not be accepted");
            sleep(ACCEPT_AGAIN_AFTER).await;
            None
        }
    }
}

async fn connection(stream: TcpStream, router: Router, stop: CancellationToken) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = std::pin::pin!(served);
    let ended = timeout(CONNECTION_LIFETIME, async {
        tokio::select! {
            ended = served.as_mut() => return ended,
            () = stop.cancelled() => served.as_mut().graceful_shutdown(),
        }
        served.await
    });
    match ended.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an HTTP connection failed"),
        Err(_elapsed) => tracing::debug!("an HTTP connection took too long"),
    }
}
