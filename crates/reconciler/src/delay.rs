//! When to look at a service again, by how the last pass over it ended; never waits itself.

use std::time::Duration;

use crate::{CloudError, LoopSettings, PassReport};
use evenkeel_planner::Outcome;

/// The shortest delay there is, so that no defect elsewhere can make a loop spin.
const DELAY_MIN: Duration = Duration::from_millis(50);

/// How a pass ended, as far as the next one is concerned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PassEnd {
    /// Nothing to do and nothing to wait for.
    Settled,
    /// Nothing to do now.
    Waiting(LookAgain),
    /// All actions were carried out.
    Acted(LookAgain),
    Failed(CloudError),
    Refused,
    Panicked,
    TimedOut,
}

/// What the plan said about the next look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LookAgain {
    pub(crate) after: Duration,
    pub(crate) in_rollout: bool,
}

impl PassEnd {
    pub(crate) fn of(report: &PassReport) -> Self {
        let look_again = LookAgain {
            after: report.plan.look_again,
            in_rollout: report.status.rollout.is_some(),
        };
        match (&report.error, &report.outcome) {
            (Some(error), _) => Self::Failed(error.clone()),
            (None, Outcome::Refused(_)) => Self::Refused,
            (None, _) if !report.applied.is_empty() => Self::Acted(look_again),
            (None, _) if report.plan.waiting.is_empty() => Self::Settled,
            (None, _) => Self::Waiting(look_again),
        }
    }

    /// All words that [`Self::word`] can say.
    pub(crate) const WORDS: [&str; 14] = [
        "settled",
        "waiting",
        "acted",
        "throttled",
        "transient",
        "unknown_outcome",
        "rejected",
        "denied",
        "quota",
        "conflict",
        "capability_missing",
        "refused",
        "panicked",
        "timed_out",
    ];

    /// One word for metrics.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Waiting(_) => "waiting",
            Self::Acted(_) => "acted",
            Self::Failed(error) => error.class(),
            Self::Refused => "refused",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed_out",
        }
    }

    pub(crate) fn is_failure(&self) -> bool {
        match self {
            Self::Settled | Self::Waiting(_) | Self::Acted(_) => false,
            Self::Failed(_) | Self::Refused | Self::Panicked | Self::TimedOut => true,
        }
    }
}

/// Everything that the next delay depends on besides how the pass ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances<'a> {
    /// Failed passes in a row, this one included.
    pub(crate) failures: u32,
    /// Until the service's next turn in the sweep.
    pub(crate) resync_in: Duration,
    /// Drawn evenly from 0 to 1.
    pub(crate) dice: f64,
    pub(crate) settings: &'a LoopSettings,
}

/// When to look again. The only place that knows.
pub(crate) fn next_delay(end: &PassEnd, circumstances: Circumstances<'_>) -> Duration {
    let settings = circumstances.settings;
    let delay = match end {
        PassEnd::Settled => circumstances.resync_in,
        PassEnd::Waiting(look_again) | PassEnd::Acted(look_again) => {
            look_again_in(*look_again, circumstances)
        }
        PassEnd::Failed(error) => after_error(error, circumstances),
        PassEnd::TimedOut => soon_then_back_off(circumstances),
        PassEnd::Refused | PassEnd::Panicked => shortened(settings.back_off_person, circumstances),
    };
    delay.max(DELAY_MIN)
}

/// A look that is not wanted before the next sweep is left to the sweep, which shares its calls.
fn look_again_in(look_again: LookAgain, circumstances: Circumstances<'_>) -> Duration {
    let settings = circumstances.settings;
    if look_again.in_rollout {
        return shortened(look_again.after.min(settings.look_again_max_in_rollout), circumstances);
    }
    if look_again.after >= settings.resync_every {
        return circumstances.resync_in;
    }
    shortened(look_again.after, circumstances)
}

fn after_error(error: &CloudError, circumstances: Circumstances<'_>) -> Duration {
    let settings = circumstances.settings;
    match error {
        CloudError::Throttled { retry_after, .. } => {
            back_off(circumstances).max(retry_after.unwrap_or_default())
        }
        CloudError::Transient { .. } => back_off(circumstances),
        CloudError::UnknownOutcome { .. } | CloudError::Conflict { .. } => {
            soon_then_back_off(circumstances)
        }
        CloudError::Denied { .. } | CloudError::Quota { .. } if circumstances.failures <= 1 => {
            shortened(settings.back_off_denied_first, circumstances)
        }
        CloudError::Denied { .. }
        | CloudError::Quota { .. }
        | CloudError::Rejected { .. }
        | CloudError::CapabilityMissing { .. } => {
            shortened(settings.back_off_person, circumstances)
        }
    }
}

/// The first time soon, because all that is needed is a look; after that it is a failure like any
/// other, or a black hole in the network would be asked twice a second.
fn soon_then_back_off(circumstances: Circumstances<'_>) -> Duration {
    let soon = circumstances.settings.look_again_soon;
    if circumstances.failures <= 1 { soon } else { back_off(circumstances).max(soon) }
}

/// Exponential, with full jitter.
fn back_off(circumstances: Circumstances<'_>) -> Duration {
    let settings = circumstances.settings;
    let doubled = 2_u32.saturating_pow(circumstances.failures.saturating_sub(1));
    let ceiling = settings.back_off_first.saturating_mul(doubled).min(settings.back_off_max);
    ceiling.mul_f64(circumstances.dice.clamp(0.0, 1.0))
}

fn shortened(delay: Duration, circumstances: Circumstances<'_>) -> Duration {
    let fraction =
        circumstances.settings.jitter.clamp(0.0, 1.0) * circumstances.dice.clamp(0.0, 1.0);
    delay.mul_f64(1.0 - fraction)
}
