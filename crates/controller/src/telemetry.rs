//! Log lines on standard error; never blocks whoever logs, and never prints a secret.

use std::io::{self, IsTerminal, Write};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{LogConfig, LogFormat};

/// Lines that wait for a standard error that nobody reads; further ones are dropped and counted.
/// About 2 MiB of text.
const LINES_MAX: usize = 8192;

/// Keeps logging alive; what is still waiting is written when it is dropped.
#[derive(Debug)]
pub struct Logging {
    _guard: WorkerGuard,
    dropped: ErrorCounter,
}

impl Logging {
    /// Begins to log for the whole process. It fails when something else does already.
    pub fn start(config: &LogConfig) -> Result<Self, TryInitError> {
        let (writer, guard) = non_blocking(io::stderr());
        let dropped = writer.error_counter();
        subscriber(config, writer).try_init()?;
        Ok(Self { _guard: guard, dropped })
    }

    /// How many lines were dropped so far.
    pub fn dropped(&self) -> ErrorCounter {
        self.dropped.clone()
    }
}

fn non_blocking<W: Write + Send + 'static>(sink: W) -> (NonBlocking, WorkerGuard) {
    let builder = NonBlockingBuilder::default().buffered_lines_limit(LINES_MAX).lossy(true);
    builder.thread_name("log").finish(sink)
}

fn subscriber<W>(config: &LogConfig, writer: W) -> Box<dyn tracing::Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // A bad level was refused when the configuration was checked.
    let filter = EnvFilter::try_new(&config.level).unwrap_or_else(|_| EnvFilter::new("info"));
    // Who commanded what is said at any level.
    let filter = filter.add_directive(crate::audit::directive());
    let terminal = io::stderr().is_terminal();
    let text = match config.format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => terminal,
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    if text {
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Box::new(lines.with_ansi(colour).with_target(false).finish())
    } else {
        Box::new(
            lines
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .finish(),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A standard error that nobody reads until the sender is dropped.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _released = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_standard_error_loses_lines_and_stops_nobody() {
        let (release, stuck): (Sender<()>, _) = channel();
        let (writer, guard) = non_blocking(Stuck(stuck));
        let dropped = writer.error_counter();
        let config = LogConfig { format: LogFormat::Json, level: "info".to_owned() };
        tracing::subscriber::with_default(subscriber(&config, writer), || {
            for line in 0..LINES_MAX + 10 {
                tracing::info!(line, "x");
            }
        });
        assert!(dropped.dropped_lines() > 0, "the loop above ended and lines were counted");
        drop(release);
        drop(guard);
    }
}
