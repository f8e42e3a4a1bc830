//! The demo web application that the region's tasks run; never used by the region itself.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::tether;

/// A web application that says its version, and that can be made to misbehave.
#[derive(Clone, Debug, clap::Args)]
pub struct AppArguments {
    /// What `/` answers.
    #[arg(long, env = "APP_VERSION", default_value = "v1")]
    version: String,
    /// The address to listen on.
    #[arg(long, env = "HOST", default_value = "127.0.0.1")]
    host: IpAddr,
    #[arg(long, env = "PORT", default_value_t = 8080)]
    port: u16,
    /// Exit with code 1 after that many milliseconds, before ever listening.
    #[arg(long, env = "APP_CRASH_AFTER_MS")]
    crash_after_ms: Option<u64>,
    /// Exit with code 1 at that request, health checks not counted, without an answer to it.
    #[arg(long, env = "APP_CRASH_AT_REQUEST", value_parser = clap::value_parser!(u32).range(1..))]
    crash_at_request: Option<u32>,
    /// The status code of `/health`.
    #[arg(long, env = "APP_HEALTH_STATUS", default_value_t = 200)]
    health_status: u16,
    /// How many of 100 answers are 500 instead of the version, spread evenly.
    #[arg(long, env = "APP_ERROR_PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=100))]
    error_percent: u32,
    /// How long every answer takes, in milliseconds.
    #[arg(long, env = "APP_LATENCY_MS", default_value_t = 0)]
    latency_ms: u64,
    /// End when standard input is closed, so as never to outlive the program that started this one.
    #[arg(long)]
    tethered: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("a fault was asked for: crashing {0} ms after the start")]
    Crash(u64),
    #[error("a fault was asked for: crashing at a request")]
    CrashAtRequest,
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("serving failed: {0}")]
    Serve(#[from] std::io::Error),
}

#[derive(Clone, Debug)]
struct App {
    version: String,
    health: StatusCode,
    latency: Duration,
    error_percent: u32,
    /// Requests for the version until now.
    asked: Arc<AtomicU32>,
    crash_at_request: Option<u32>,
    crash: Arc<Notify>,
}

/// Serves until SIGTERM, then finishes the requests in flight.
pub async fn run(arguments: AppArguments) -> Result<(), AppError> {
    if let Some(milliseconds) = arguments.crash_after_ms {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        return Err(AppError::Crash(milliseconds));
    }
    let address = SocketAddr::new(arguments.host, arguments.port);
    let listener =
        TcpListener::bind(address).await.map_err(|source| AppError::Listen { address, source })?;
    let mut terminate = signal(SignalKind::terminate())?;
    tracing::info!(version = arguments.version, %address, "listening");
    let end = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            () = tether::cut(arguments.tethered) => {}
        }
        tracing::info!("finishing the requests in flight");
    };
    let app = App {
        version: arguments.version,
        health: StatusCode::from_u16(arguments.health_status).unwrap_or(StatusCode::OK),
        latency: Duration::from_millis(arguments.latency_ms),
        error_percent: arguments.error_percent,
        asked: Arc::default(),
        crash_at_request: arguments.crash_at_request,
        crash: Arc::default(),
    };
    let crash = Arc::clone(&app.crash);
    let served = axum::serve(listener, router(app)).with_graceful_shutdown(end);
    tokio::select! {
        served = served.into_future() => Ok(served?),
        () = crash.notified() => Err(AppError::CrashAtRequest),
    }
}

fn router(app: App) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/echo", get(echo))
        .fallback(version)
        .with_state(app)
}

async fn version(State(app): State<App>) -> Result<String, StatusCode> {
    let before = app.asked.fetch_add(1, Ordering::Relaxed);
    if app.crash_at_request.is_some_and(|number| before + 1 >= number) {
        app.crash.notify_one();
        return std::future::pending().await;
    }
    tokio::time::sleep(app.latency).await;
    let number = before % 100 + 1;
    if number * app.error_percent % 100 < app.error_percent {
        return Err(StatusCode::INTERNAL_SERVER_ERROR);
    }
    Ok(app.version)
}

/// The request's headers, one on a line.
async fn echo(headers: HeaderMap) -> String {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let lines = headers.iter().map(|(name, value)| format!("{name}: {}", text(value)));
    lines.collect::<Vec<_>>().join("\n")
}

async fn health(State(app): State<App>) -> StatusCode {
    tokio::time::sleep(app.latency).await;
    app.health
}
