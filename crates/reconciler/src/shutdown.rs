//! How the loop is told to end; never listens for signals itself.

use tokio_util::sync::CancellationToken;

/// Two steps of ending, as a first and a second SIGTERM ask for them.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// No new pass starts; running passes finish. Each ends at the latest after
    /// [`crate::LoopSettings::pass_timeout`].
    pub drain: CancellationToken,
    /// Running passes are cancelled where they are. What they were asking AWS for has an unknown
    /// outcome, which the first pass after the restart reads.
    pub abort: CancellationToken,
}

impl Shutdown {
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends when either step was asked for.
    pub(crate) async fn requested(&self) {
        tokio::select! {
            () = self.drain.cancelled() => {}
            () = self.abort.cancelled() => {}
        }
    }
}
