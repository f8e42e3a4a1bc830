//! `evenkeel run`: the daemon until a signal ends it.

use std::convert::Infallible;

use evenkeel_reconciler::Shutdown;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{CommandError, Exit};
use crate::config::Config;
use crate::daemon::Daemon;
use crate::telemetry::Logging;

pub(crate) async fn run(config: Config) -> Result<Exit, CommandError> {
    let logging = Logging::start(&config.log)
        .map_err(|error| CommandError::Sentence(format!("logging cannot start: {error}")))?;
    let shutdown = Shutdown::new();
    let signals = signals(shutdown.clone())?;
    let work = async {
        let daemon = tokio::select! {
            started = Daemon::start_logged(config, shutdown.clone(), Some(logging.dropped())) => started?,
            () = shutdown.drain.cancelled() => return Ok(()),
        };
        daemon.wait().await
    };
    tokio::select! {
        ended = work => ended?,
        never = signals => match never {},
    }
    tracing::info!("evenkeel ended");
    Ok(Exit::Done)
}

/// The first SIGTERM or SIGINT lets passes finish, the second aborts them. The future then waits
/// for ever, because the end is the daemon's to say.
fn signals(shutdown: Shutdown) -> std::io::Result<impl Future<Output = Infallible>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        for token in [shutdown.drain, shutdown.abort] {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if token.is_cancelled() {
                continue;
            }
            tracing::info!(signal = name, "ending: a second signal aborts");
            token.cancel();
        }
        std::future::pending().await
    })
}
